"""What all commands take: a profile or a DSN, help, and the version."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from aiidadb import __version__
from aiidadb.cli import aiidadb
from aiidadb.demo.campaign import USERS
from tests.helpers.campaigns import write_config
from tests.helpers.command_line import one_line
from tests.helpers.terminal import piped

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.mark.quick
def test_a_profile_of_aiidas_configuration_is_opened(run, main_campaign, tmp_path):
    config = write_config(tmp_path, main_campaign, "one")
    facts = run("status", "--config", config, "--json").json
    assert (facts["profile"], facts["default_user"]) == ("one", USERS[0])
    assert run("bands", "list", "--config", config, "--profile", "one", "--json").json
    assert "one" in one_line(run("stats", "--config", config, "-p", "two"), 1)


@pytest.mark.quick
def test_a_database_without_a_profile_has_none(run, main_dsn, monkeypatch):
    told = run("status", "--dsn", main_dsn)
    assert "profile" not in told.out
    assert run("status", "--dsn", main_dsn, "--json").json["profile"] is None
    refused = one_line(run("bands", "list", "--dsn", main_dsn), 2)
    assert "a DSN names no default user: add --user-email EMAIL, or --all-users" in refused
    monkeypatch.setenv("AIIDADB_DSN", main_dsn)
    assert run("status", "--json").json["profile"] is None


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
    assert run("--version").out == f"aiidadb {__version__}\n"


@pytest.mark.quick
def test_options_can_stand_before_the_command(run, shared_campaign, tmp_path):
    behind = run("bands", "list", "-A", "--dsn", shared_campaign, "--json").json
    assert behind
    for line in (
        ["--dsn", shared_campaign, "--json", "bands", "list", "-A"],
        ["--json", "bands", "--dsn", shared_campaign, "list", "-A"],
        ["--dsn", shared_campaign, "bands", "--json", "list", "-A", "--dsn", shared_campaign],
    ):
        assert run(*line).json == behind, line
    config = write_config(tmp_path, shared_campaign, "one")
    for line in (
        ["-p", "one", "--config", config, "status", "--json"],
        ["--config", config, "--json", "status", "-p", "one"],
        ["--profile", "one", "--json", "status", "--config", config, "--profile", "one"],
    ):
        assert run(*line).json["profile"] == "one", line
    moved = run("--repository", tmp_path, "--config", config, "--json", "status").json
    assert moved["repository"] == str(tmp_path)
    assert "two" in one_line(run("-p", "two", "--config", config, "stats"), 1)


@pytest.mark.quick
def test_a_dsn_can_come_from_the_environment(run, shared_campaign, tmp_path, monkeypatch):
    monkeypatch.setenv("AIIDADB_DSN", shared_campaign)
    named = run("status", "--json", "--dsn", shared_campaign).json
    there = {"size": "", "database_from": "environment variable AIIDADB_DSN"}
    assert run("status", "--json").json | {"size": ""} == named | there
    # What is typed counts more.
    nowhere = "postgresql://postgres@127.0.0.1:9/x"
    assert "connection" in one_line(run("stats", "--dsn", nowhere), 1)
    config = write_config(tmp_path, shared_campaign, "one")
    assert run("status", "--config", config, "--json").json["profile"] == "one"
    assert "'p'" in one_line(run("stats", "-p", "p", "--config", config), 1)
    monkeypatch.setenv("AIIDADB_DSN", "postgresql://ada:geheim@127.0.0.1:x/db")
    assert "geheim" not in one_line(run("stats"), 1)
    monkeypatch.setenv("AIIDADB_DSN", "")
    monkeypatch.setenv("AIIDA_PATH", str(tmp_path))
    assert run("status", "--json").json["profile"] == "one"


@pytest.mark.quick
def test_options_are_completed_in_the_shell():
    def completed(line: str, shell: str = "bash") -> list[str]:
        words = {"COMP_WORDS": f"aiidadb {line}", "COMP_CWORD": str(len(line.split(" ")))}
        done = piped(environment={"_AIIDADB_COMPLETE": f"{shell}_complete", **words})
        return [one.partition(",")[2] for one in done.stdout.splitlines()]

    assert completed("clo") == ["closest-parents"]
    assert completed("--json bands list --gr") == ["--group", "--groups", "--group-pk"]
    assert "call_calc" in completed("closest-parents 1 --link-type ")
    for shell in ("bash", "zsh", "fish"):
        script = piped(environment={"_AIIDADB_COMPLETE": f"{shell}_source"})
        assert (script.returncode, script.stderr) == (0, "")
        assert "_AIIDADB_COMPLETE" in script.stdout


@pytest.mark.quick
@pytest.mark.parametrize(
    ("dsn", "said"),
    [
        ("", "--dsn is empty: give postgresql://user@host/database"),
        ("mysql://ada:geheim@h/db", "'mysql://' is not supported: a DSN begins with postgresql://"),
        ("main", "user@host/database: for a profile use --profile"),
        (
            "postgresql://h/db?foo=1",
            "an unknown parameter 'foo': check its spelling, or remove it: see",
        ),
        ("postgresql://ada@h:9geheim/db", "has a port that is not a number from 1 to 65535: if it"),
        ("postgresql://ada:geheim@h:54x/db", "the port '54x': give a number from 1 to 65535"),
        ("postgresql://ada:geheim/db", "if it is part of a password, write user:password@host"),
        ("postgresql://h/db?tcp_user_timeout=5", "asyncpg does not set it: leave it out"),
    ],
)
def test_a_dsn_that_cannot_be_used_is_refused_in_words_of_the_command_line(
    run, monkeypatch, dsn, said
):
    refused = one_line(run("stats", "--dsn", dsn), 1)
    assert said in refused
    assert "geheim" not in refused
    assert "AIIDADB_DSN" not in refused
    if dsn:
        monkeypatch.setenv("AIIDADB_DSN", dsn)
        assert f"{refused.rstrip()}; the DSN is that of the environment variable AIIDADB_DSN\n" == (
            one_line(run("stats"), 1)
        )


@pytest.mark.quick
def test_where_a_configuration_was_looked_for_is_said(run, monkeypatch, tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    monkeypatch.setenv("AIIDA_PATH", f"{one}:{two}")
    none = "Error: no AiiDA configuration found: looked for"
    here = "; AIIDA_PATH is '/[^']*/two': correct it, or give --config or --dsn\n"
    assert re.fullmatch(f"{none} {one}/.aiida, {two}/.aiida{here}", one_line(run("stats"), 1))
    with monkeypatch.context() as elsewhere:
        elsewhere.delenv("AIIDA_PATH")
        elsewhere.setenv("HOME", str(one))
        assert one_line(run("stats"), 1).endswith("; set AIIDA_PATH, or give --config or --dsn\n")
    (two / ".aiida").mkdir(parents=True)
    assert re.fullmatch(f"{none} {two}/.aiida/config.json{here}", one_line(run("stats"), 1))
    named = one_line(run("stats", "--config", one), 1)
    assert named == f"Error: there is no configuration file {one}: check --config\n"
    (two / ".aiida" / "config.json").write_text("{}")
    beside = one_line(run("stats", "--config", two), 1)
    assert beside == (
        f"Error: there is no configuration file {two}/config.json: did you mean '{two}/.aiida'?\n"
    )


@pytest.mark.quick
def test_a_dsn_goes_with_no_profile(run):
    for other in (["--profile", "main"], ["--config", "."]):
        refused = one_line(run("stats", "--dsn", "postgresql://h/db", *other), 2)
        assert "--dsn cannot be combined with --profile or --config (see" in refused


@pytest.mark.quick
@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("", "Query an AiiDA database, delete nodes, change settings, and migrate old databases."),
        ("", "--json Print the answer as JSON, for scripts. Errors stay plain text, on standard"),
        (
            "bands list",
            "--user-email EMAIL List the band structures of this user. [default: the pr",
        ),
        (
            "bands list",
            "all of these elements: -E Si C or -E Si -E C. It may contain others, too: verdi's",
        ),
        ("bands list", "Print only pk, formula, date and label, without headings, as verdi does."),
        ("bands list", "-p is --past-days here, so write --profile for the profile."),
        ("closest-parents", "Find the closest ancestor of a given type for each of the nodes PKS."),
        ("bands list", "contains any of these elements: -e Si C or -e Si -e C."),
        ("bands list", "[default: create and input_calc; all types, if no structure is found by f"),
        ("closest-parents", "It is matched exactly: nodes of its subclasses are not found."),
        (
            "closest-parents",
            "is the one reached through the fewest links; if several are equally c",
        ),
        ("init", "AiiDA 2.x does not open a database that has no file container."),
        ("init", "aiidadb cannot add it later. A DSN names no file repository: with --dsn, add --"),
        ("", "if that is not set, that of AiiDA's default profile."),
        (
            "stats",
            "--repository DIRECTORY The directory of the profile's files, such as ~/.aiida/re",
        ),
        (
            "migrate",
            "contains 'container' (AiiDA 2.x) or 'repository/node' (0.x, 1.x). For init, mi",
        ),
        (
            "migrate",
            "AiiDA 2.x does not open the result without a file container: to have an empty ",
        ),
        ("status", "which operations aiidadb supports on it."),
        ("stats", "--user USER Count only the nodes of this user, named by pk or email address."),
        ("migrate", "legacy workflows of AiiDA 0.x, logs and other rows of nodes that no longer e"),
        ("nodes delete", "workflows that called a deleted calculation or workflow; and what"),
        ("settings", "the table db_dbsetting, such as 'repository|uuid', and not the options of v"),
        ("settings delete", "Delete the setting KEY, without asking for confirmation."),
        ("settings set", "already has is replaced, without asking for confirmation."),
        (
            "migrate",
            "--to VERSION The schema version to migrate to: main_0002 for AiiDA 2.4 to 2.9",
        ),
        ("migrate", "The exit status is 3 if the migration would be refused."),
        (
            "migrate",
            "Do not refuse if the file repository, or files in it, are missing. Files that",
        ),
        ("migrate", "[default: the current directory]"),
        ("nodes delete", "if another session deletes one of the nodes in the meantime. Without th"),
        ("settings get", "With --json, print the whole setting: its key, value, description and t"),
        ("stats", "such as Europe/Zurich. [default: that of the database server]"),
    ],
)
def test_help_leaves_nothing_to_guess(run, command, said):
    assert said in " ".join(run(*command.split(), "--help").out.split())


def test_help_says_how_a_password_stays_hidden(run):
    told = " ".join(run("stats", "--help").out.split())
    assert (
        "A password in it is visible in ps: put the password alone in PGPASSWORD, a line with it "
        "in ~/.pgpass, or the whole URI in AIIDADB_DSN."
    ) in told
    assert "[default: AIIDADB_DSN, unless --profile or --config is given]" in told
