"""``nodes delete``: shows, asks, deletes, and tells what was deleted."""

from __future__ import annotations

import time

import pytest

from tests.helpers.campaigns import NODES
from tests.helpers.command_line import count, fetch
from tests.helpers.terminal import on_terminal, piped


@pytest.mark.quick
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


@pytest.mark.quick
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
    assert ("Deleting" in terminal.text and "1 of 1" in terminal.text) == (status == 0)
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
        assert terminal.finish() == 130
    assert terminal.text.endswith("Interrupted.\n")
    assert count(main_campaign, "db_dbnode") == NODES


def test_nobody_to_answer_is_an_error(main_campaign):
    done = piped("nodes", "delete", str(NODES), "--dsn", main_campaign)
    assert done.returncode == 1
    assert done.stderr.endswith("Error: nothing was changed, as nobody answers: add --yes\n")
    agreed = piped("nodes", "delete", str(NODES), "--dsn", main_campaign, stdin="y\n")
    assert agreed.returncode == 0
