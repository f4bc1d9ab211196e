"""Every option and argument of every command with text that no caller should pass.

Found by asking click, so that a new option is covered by being there. Whatever is given, a command
answers, or ends with one short line and the status for errors or wrong usage.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any, Final

import click
import pytest

from aiidadb.cli import aiidadb
from aiidadb.criteria.tables import TABLE_NAMES
from tests.helpers.campaigns import write_config
from tests.helpers.command_line import count
from tests.helpers.hostile import CANARY, HOSTILE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.helpers.command_line import Run

MOST_CHARACTERS: Final = 500
SHARE: Final = 9  # a run takes one text in so many for each option


def can_be_argument(value: object) -> bool:
    """Whether a system can hand this over."""
    if type(value) is not str or "\0" in value:
        return False
    try:
        os.fsencode(value)
    except UnicodeEncodeError:
        return False
    return True


TEXTS: Final = {name: text for name, make in HOSTILE.items() if can_be_argument(text := make())} | {
    "number": "1",
    "below": "-1",
    "401 digits": "9" * 401,
    "1e309": "1e309",
    "no number": "nan",
}

# So that no command asks, or changes nodes or the schema.
HARMLESS: Final = {"nodes delete": ["--dry-run"], "migrate": ["--plan"]}
ORDINARY: Final = {"pks": "1", "key": "hostile", "value": "1"}


def commands(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        elif name != "demo":  # which starts a server
            yield " ".join((*path, name)), command


COMMANDS: Final = list(commands(aiidadb))


def line_of(
    name: str, command: click.Command, tried: click.Parameter, text: str, dsn: str, config: Path
) -> list[str]:
    """A command line in which one parameter has the text."""
    where = {"dsn": [], "config": [], "profile": ["--config", str(config)]}
    line = [*name.split(), *HARMLESS.get(name, [])]
    line += where.get(tried.name or "", ["--dsn", dsn])
    arguments: list[str] = []
    for parameter in command.params:
        if isinstance(parameter, click.Argument):
            arguments.append(text if parameter is tried else ORDINARY[parameter.name or ""])
        elif parameter is tried:
            line.append(f"{parameter.opts[0]}={text}")
    return [*line, *(["--", *arguments] if arguments else [])]


def try_all(
    run: Run, name: str, command: click.Command, dsn: str, directory: Path, *, thorough: bool
) -> None:
    config = write_config(directory, dsn)
    before = [count(dsn, table) for table in TABLE_NAMES if table != "db_dbsetting"]
    given = [one for one in command.params if not getattr(one, "is_flag", False)]
    for index, parameter in enumerate(given):
        for number, (what, text) in enumerate(TEXTS.items()):
            if not thorough and (number + index) % SHARE:
                continue
            told = run(*line_of(name, command, parameter, text, dsn, config))
            place = f"{name} {parameter.name} {what}: {told.err[:300]}"
            assert told.status in (0, 1, 2), place
            if told.status:
                assert told.out == "", place
                assert re.fullmatch(r"Error: [^\n]+\n", told.err), place
                assert len(told.err) <= len("Error: \n") + MOST_CHARACTERS, place
            if "dsn" in what:
                assert CANARY not in told.err, place
                assert CANARY not in told.out or parameter.name != "dsn", place
    after = [count(dsn, table) for table in TABLE_NAMES if table != "db_dbsetting"]
    assert after == before


@pytest.mark.parametrize(("name", "command"), COMMANDS, ids=[name for name, _ in COMMANDS])
def test_a_command_answers_or_refuses(
    run: Run, name: str, command: click.Command, main_campaign: str, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    try_all(run, name, command, main_campaign, tmp_path, thorough=False)


@pytest.mark.thorough
@pytest.mark.timeout(3000)
@pytest.mark.parametrize(("name", "command"), COMMANDS, ids=[name for name, _ in COMMANDS])
def test_a_command_answers_or_refuses_every_text(
    run: Run, name: str, command: click.Command, main_campaign: str, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    try_all(run, name, command, main_campaign, tmp_path, thorough=True)
