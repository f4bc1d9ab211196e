"""What all commands take: a profile or a DSN, help, and the version."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from aiidadb.cli import aiidadb
from aiidadb.demo.campaign import USERS
from tests.helpers.campaigns import write_config
from tests.helpers.command_line import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.mark.quick
def test_a_profile_of_aiidas_configuration_is_opened(run, main_campaign, tmp_path):
    config = write_config(tmp_path, main_campaign, "one")
    facts = run("status", "--config", config, "--json").json
    assert (facts["profile"], facts["default_user"]) == ("one", USERS[0])
    assert run("bands", "list", "--config", config, "-p", "one", "--json").json
    assert "one" in one_line(run("stats", "--config", config, "-p", "two"), 1)


@pytest.mark.quick
def test_help_fits_80_columns(run):
    def commands(group: Any, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        yield path
        for name, command in getattr(group, "commands", {}).items():
            yield from commands(command, (*path, name))

    for path in commands(aiidadb, ()):
        told = run(*path, "--help")
        assert told.status == 0
        assert all(len(line) <= 80 for line in told.out.splitlines()), path
        assert "..." not in re.sub(r"\[ARGS\]\.\.\.|PKS\.\.\.", "", told.out), path


@pytest.mark.quick
def test_it_has_a_version(run):
    assert re.fullmatch(r"aiidadb (\d+\.\d+\.\d+|of a checkout .*)\n", run("--version").out)
