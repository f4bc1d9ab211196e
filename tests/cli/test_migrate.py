"""``migrate``: plans, asks, migrates, and can be stopped."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import pytest

from tests.helpers.campaigns import NODES
from tests.helpers.command_line import locked
from tests.helpers.terminal import on_terminal


@pytest.mark.quick
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


@pytest.mark.quick
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
            assert terminal.finish() == 130
    assert "Interrupted: every step is done wholly or not at all; run it again" in terminal.text
    assert "Traceback" not in terminal.text
    found = run("status", "--dsn", old_campaign, "--json").json
    assert found["problem"] is None
    assert found["schema_version"] not in {"1.0.45", "main_0002"}
    run("migrate", "--yes", "--without-repository", "--dsn", old_campaign)
    assert run("status", "--dsn", old_campaign, "--json").json["schema_version"] == "main_0002"
