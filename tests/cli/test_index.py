"""``index``: the index on process states, on the command line."""

from __future__ import annotations

import re

import pytest

from tests.helpers.command_line import fetch, locked
from tests.helpers.terminal import on_terminal


@pytest.mark.quick
def test_it_is_created_and_dropped(run, main_dsn):
    name = re.escape(fetch(main_dsn, "select current_database()")[0][0])
    for command, told in (
        ("create", f"Created the index on process states in the database {name}."),
        ("create", f"The index on process states is already in the database {name}."),
        ("drop", f"Dropped the index on process states from the database {name}."),
        ("drop", f"There is no index on process states in the database {name}."),
    ):
        done = run("index", command, "--dsn", main_dsn)
        assert (done.status, done.err) == (0, "")
        assert re.fullmatch(f"{told}\n", done.out)
    created = run("index", "create", "--dsn", main_dsn, "--json")
    assert created.json == {
        "created": True,
        "index": {"name": "aiidadb_process_state", "size": 8192},
    }
    assert run("index", "drop", "--dsn", main_dsn, "--json").json == {"dropped": True}


def test_what_does_not_work_is_said(run, empty_dsn):
    for command in ("create", "drop"):
        failed = run("index", command, "--dsn", empty_dsn)
        assert (failed.status, failed.out) == (1, "")
        assert failed.err.startswith("Error: ")


def test_who_is_waited_for_is_shown_in_a_line_of_its_own(main_dsn):
    with (
        locked(main_dsn, "db_dbnode", "row exclusive"),
        on_terminal("index", "create", "--dsn", main_dsn) as terminal,
    ):
        terminal.wait_for("waiting: db_dbnode is used by server process")
        terminal.send("\x03")
        assert terminal.finish() == 130
    assert "\x1b[2Kwaiting: " in terminal.raw  # what was in the line, the spinner, is erased first
    assert "Traceback" not in terminal.text
    assert fetch(main_dsn, "select to_regclass('aiidadb_process_state')") == [(None,)]
