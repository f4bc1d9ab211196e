"""``migrate``: plans, asks, migrates, and can be stopped."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
import pytest_asyncio

from aiidadb.migration.repository.container import read_container_id
from tests.helpers.campaigns import NODES
from tests.helpers.command_line import locked
from tests.helpers.databases import run_script
from tests.helpers.real_databases import load_dump
from tests.helpers.roles import role_with
from tests.helpers.terminal import on_terminal, piped

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.helpers.databases import Databases

OWNER_GONE = """
    set session_replication_role = replica;
    update db_dbnode set user_id = 4711 where id = (select min(id) from db_dbnode)
"""
UNSTORABLE = r"""
    update db_dbcomputer set metadata = '{"a": "\u0000"}'
    where id = (select min(id) from db_dbcomputer)
"""


@pytest_asyncio.fixture
async def legacy_dsn(
    databases: Databases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[str]:
    """A genuine database of AiiDA 0.12.5 with something to repair."""
    monkeypatch.chdir(tmp_path)
    dsn = await load_dump(databases, "legacy/1_aiida-0.12.5_django_0008")
    await run_script(dsn, UNSTORABLE)
    yield dsn
    await databases.drop(dsn)


@pytest.mark.quick
def test_the_plan_says_what_will_run(run, old_campaign):
    told = run("migrate", "--plan", "--dsn", old_campaign)
    lines = told.out.splitlines()
    assert re.fullmatch(r"From 1\.0\.45 to main_0002: \d+ steps", lines[0])
    assert lines[1].split()[:2] == ["To", "Rows"]
    assert f"≤ {NODES}" in told.out
    plan = run("migrate", "--plan", "--dsn", old_campaign, "--json").json
    assert (plan["from"], plan["to"]) == ("1.0.45", "main_0002")
    assert (plan["opened_by"], plan["will_be_opened_by"]) == ("1.4 to 1.6", "2.4 to 2.9")
    said = " ".join(told.out.split())
    assert "no way back but a backup. For AiiDA 2.0 to 2.3, migrate to main_0001 instead." in said
    assert len(plan["steps"]) == int(lines[0].split()[-2])
    sql = run("migrate", "--sql", "--dsn", old_campaign).out
    assert "alter table" in sql
    assert run("migrate", "--sql", "--dsn", old_campaign, "--json").json == {"sql": sql}
    assert run("status", "--dsn", old_campaign, "--json").json["schema_version"] == "1.0.45"


@pytest.mark.quick
def test_a_dry_run_and_then_the_migration(run, old_campaign):
    dry = run("migrate", "--dry-run", "--without-repository", "--dsn", old_campaign)
    assert (dry.status, dry.err) == (0, "")
    assert "\nRolled back, as requested\n" in dry.out
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
    no_sql = run("migrate", "--sql", "--dsn", old_campaign)
    assert (no_sql.status, no_sql.out, no_sql.err) == (0, "", nothing.out)
    assert run("migrate", "--sql", "--json", "--dsn", old_campaign).json == {"sql": ""}


def test_it_asks_before_the_first_change_and_tells_how_to_make_a_backup(old_campaign):
    arguments = ("migrate", "--without-repository", "--dsn", old_campaign)
    name = urlsplit(old_campaign).path[1:]
    question = f"Migrate the database {name} to main_0002?"
    with on_terminal(*arguments) as terminal:
        terminal.wait_for(f"{question} [y/N] ")
        terminal.send("n\n")
        assert terminal.finish() == 1
    assert f"pg_dump -Fc -f {name}.dump " in terminal.text
    assert f"This alters the database {name}" in terminal.text
    assert "db_dbnode" in terminal.text
    text = " ".join(terminal.text.split())
    assert "AiiDA 2.x does not open the database without one; aiidadb cannot add it " in text
    assert text.index("created, add --repository with an empty directory") < text.index(question)
    for line in terminal.text.splitlines():
        assert len(line.rpartition("\r")[2]) <= 80 or "pg_dump" in line
    with on_terminal(*arguments) as terminal:
        terminal.wait_for(f"{question} [y/N] ")
        terminal.send("y\n")
        assert terminal.finish() == 0
    assert "Now at main_0002" in terminal.text
    end = " ".join(terminal.text.split())
    for said in ("Next: install AiiDA 2.x", "versions of your plugins", "`verdi status`"):
        assert said in end
    assert end.index("verdi daemon stop") < end.index(question) < end.index("verdi daemon start")


@pytest.mark.quick
def test_its_help_says_what_comes_before_and_after(run):
    told = " ".join(run("migrate", "--help").out.split())
    for said in ("verdi daemon stop", "pg_dump", "file repository", "plugins", "verdi status"):
        assert said in told


def test_an_empty_directory_gets_an_empty_container(old_campaign, tmp_path):
    words = ("migrate", "--without-repository", "--dsn", old_campaign, "--repository")
    done = piped(*words, str(tmp_path), stdin="y\n")
    assert done.returncode == 0
    assert "No file container" not in done.stdout
    assert f"an empty container was created at {tmp_path}" in " ".join(done.stdout.split())
    assert read_container_id(tmp_path) is not None


def in_a_repository(path: Path) -> Path:
    """A repository of AiiDA 1.x without a file in it."""
    (path / "repository" / "node").mkdir(parents=True)
    return path


@pytest.mark.parametrize(
    "case",
    ["no repository", "missing repository", "occupied repository", "exports", "extra", "owner"],
)
async def test_what_is_missing_is_said_before_it_asks(case, old_campaign, tmp_path):
    repository = in_a_repository(tmp_path / "files")
    options = {"--repository": str(repository), "--export-directory": str(tmp_path)}
    dsn = old_campaign
    environment = {}
    async with contextlib.AsyncExitStack() as stack:
        match case:
            case "no repository":
                del options["--repository"]
                expected = "--without-repository"
            case "missing repository":
                options["--repository"] = str(tmp_path / "none")
                expected = "does not exist"
            case "occupied repository":
                (repository / "container").write_text("")
                expected = "is not a container of AiiDA"
            case "exports":
                (tmp_path / "file").write_text("")
                options["--export-directory"] = str(tmp_path / "file" / "exports")
                expected = "give another export directory"
            case "extra":
                (tmp_path / "packages").mkdir()
                (tmp_path / "packages" / "disk_objectstore.py").write_text("raise ImportError")
                python_path = [str(tmp_path / "packages"), os.environ.get("PYTHONPATH", "")]
                environment = {"PYTHONPATH": os.pathsep.join(python_path)}
                expected = "aiidadb[repository]"
            case "owner":
                dsn = await stack.enter_async_context(role_with(dsn, "create on schema public"))
                expected = "migrate as that role"
        words = [word for pair in options.items() for word in pair]
        # No answer can be read, so that a question would be an error of its own.
        told = await asyncio.to_thread(
            piped, "migrate", *words, "--dsn", dsn, environment=environment
        )
    assert (told.returncode, told.stdout) == (1, "")
    assert re.fullmatch(rf"Error: [^\n]*{re.escape(expected)}[^\n]*\n", told.stderr)
    assert "[y/N]" not in told.stderr


def test_ctrl_c_stops_a_migration_between_two_versions(run, old_campaign):
    with locked(old_campaign, "db_dblink", "access share"):
        arguments = ("migrate", "--yes", "--without-repository", "--dsn", old_campaign)
        with on_terminal(*arguments, columns=120) as terminal:
            terminal.wait_for("waiting: db_dblink is used by server process")
            assert " of 7" in terminal.text  # the bar of the steps
            terminal.send("\x03")
            assert terminal.finish() == 130
    assert (
        "Interrupted: each step is applied completely or not at all; run it again" in terminal.text
    )
    assert "Traceback" not in terminal.text
    found = run("status", "--dsn", old_campaign, "--json").json
    assert found["problem"] is None
    assert found["schema_version"] not in {"1.0.45", "main_0002"}
    run("migrate", "--yes", "--without-repository", "--dsn", old_campaign)
    assert run("status", "--dsn", old_campaign, "--json").json["schema_version"] == "main_0002"


def test_a_check_says_what_is_in_the_way_by_its_status(run, old_campaign):
    clean = run("migrate", "--check", "--without-repository", "--dsn", old_campaign)
    assert (clean.status, clean.err) == (0, "")
    assert clean.out.startswith("Nothing prevents the migration from 1.0.45 to main_0002")
    asyncio.run(run_script(old_campaign, OWNER_GONE))
    told = run("migrate", "--check", "--without-repository", "--dsn", old_campaign)
    assert (told.status, told.err) == (3, "")
    title, empty, heading, message, ids, remedy = told.out.splitlines()
    assert (title, empty) == ("From 1.0.45 to main_0002: 1 finding", "")
    assert heading == "missing_owner at 0050_sqlalchemy_parity: refused"
    assert message.startswith("  db_dbnode.user_id: 1 row ")
    assert ids.startswith("  Ids: ")
    assert remedy.startswith("  To do: make the column refer to")
    as_json = run("migrate", "--check", "--without-repository", "--json", "--dsn", old_campaign)
    assert as_json.status == 3
    (finding,) = as_json.json["findings"]
    assert (finding["code"], finding["count"], finding["action"]) == ("missing_owner", 1, "refused")
    plan = run("migrate", "--plan", "--without-repository", "--json", "--dsn", old_campaign)
    assert (plan.status, plan.json["findings"]) == (0, [finding])
    shown = run("migrate", "--plan", "--without-repository", "--dsn", old_campaign)
    assert "missing_owner" in shown.out
    refused = run("migrate", "--yes", "--without-repository", "--dsn", old_campaign)
    assert refused.status == 1
    assert "would be stopped by missing_owner" in refused.err
    wrong = run("migrate", "--check", "--dsn", old_campaign, "--to", "1.0.99")
    assert wrong.status == 1


def test_a_repair_is_told_before_and_after(run, legacy_dsn):
    arguments = ["--without-repository", "--to", "1.0.33", "--dsn", legacy_dsn]
    told = run("migrate", "--check", "--repair", *arguments)
    assert told.status == 0
    assert "unstorable_json at 0033" in " ".join(told.out.split())
    assert "repaired first, in a separate step" in " ".join(told.out.split())
    needed = "refuses repairable findings unless asked to repair them: add --repair."
    assert needed not in " ".join(told.out.split())
    for look in ("--check", "--plan"):
        looked = run("migrate", look, *arguments)
        assert looked.status == 0
        assert "unstorable_json at 0033" in " ".join(looked.out.split())
        assert needed in " ".join(looked.out.split())
        assert needed not in " ".join(run("migrate", look, "--repair", *arguments).out.split())
    refused = run("migrate", "--yes", *arguments)
    assert refused.status == 1
    assert "--repair" in refused.err
    # Findings come first where it is still to be done in earnest, and last where it is done.
    dry = run("migrate", "--dry-run", "--repair", *arguments).out
    assert dry.index("unstorable_json") < dry.index("Rolled back, as requested")
    done = run("migrate", "--yes", "--repair", *arguments)
    assert (done.status, done.err) == (0, "")
    assert re.search(r"^repair +\d", done.out, re.MULTILINE)
    assert done.out.index("Now at 1.0.33") < done.out.index("unstorable_json")


# ------------------------------------------------------------------ the SQLAlchemy backend


@pytest_asyncio.fixture
async def sqlalchemy_dsn(
    databases: Databases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[str]:
    """What AiiDA 0.12.5 itself made with that backend, at 7a6587e16f4c."""
    monkeypatch.chdir(tmp_path)  # steps write files there
    dsn = await load_dump(databases, "legacy_sqla/1_aiida-0.12.5_7a6587e16f4c")
    yield dsn
    await databases.drop(dsn)


def test_a_database_of_the_sqlalchemy_backend_is_migrated_to_a_revision_and_on(run, sqlalchemy_dsn):
    facts = run("status", "--dsn", sqlalchemy_dsn, "--json").json
    assert facts["schema_version"] == "7a6587e16f4c"
    assert facts["opened_by"] == "AiiDA 0.12.3 to 0.12.5"
    assert "SQLAlchemy" in facts["aiida"]
    assert facts["problem"] is None

    how = ("migrate", "--dsn", sqlalchemy_dsn, "--without-repository")
    plan = run(*how, "--plan", "--json", "--to", "0edcdd5a30f0").json
    assert (plan["from"], plan["to"], len(plan["steps"])) == ("7a6587e16f4c", "0edcdd5a30f0", 38)
    assert plan["steps"][-1]["name"] == "44_0edcdd5a30f0_dbgroup_extras"
    assert run(*how, "--plan").out.startswith("From 7a6587e16f4c to main_0002: 47 steps")
    script = run(*how, "--sql").out
    assert "select pg_temp.aiidadb_note_revision('0edcdd5a30f0');" in script
    assert "aiidadb_note_setting('" not in script.partition("begin;")[2]
    assert run(*how, "--check").status == 0
    assert "Rolled back" in run(*how, "--dry-run").out

    assert run(*how, "--yes", "--to", "0edcdd5a30f0").status == 0
    assert run("status", "--dsn", sqlalchemy_dsn, "--json").json["schema_version"] == "0edcdd5a30f0"
    told = run(*how, "--yes", "--to", "1.0.45")
    assert (told.status, "neither to the other" in told.err) == (1, True)
    assert run(*how, "--yes").status == 0
    assert run("status", "--dsn", sqlalchemy_dsn, "--json").json["schema_version"] == "main_0002"
