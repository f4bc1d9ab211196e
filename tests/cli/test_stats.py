"""``stats``: nodes by type and by day."""

from __future__ import annotations

import re

import pytest

from aiidadb.demo.campaign import USERS
from tests.helpers.campaigns import NODES
from tests.helpers.command_line import fetch
from tests.helpers.terminal import piped


@pytest.mark.quick
def test_stats_counts_by_type_and_day(run, dsn):
    told = run("stats", "--dsn", dsn, "--timezone", "UTC", "--days", "3").out
    assert told.startswith(f"{NODES} nodes\nType ")
    assert "BandsData." in told
    assert "Nodes by day, the last 3 of " in told
    assert len(re.findall(r"^\d{4}-\d\d-\d\d +\d+  [█▏▎▍▌▋▊▉#]+$", told, re.MULTILINE)) == 3
    found = run("stats", "--dsn", dsn, "--timezone", "UTC", "--json").json
    assert found["total"] == sum(found["types"].values()) == sum(found["ctime_by_day"].values())
    mine = run("stats", "--dsn", dsn, "--user", 1, "--json").json
    assert 0 < mine["total"] < found["total"]
    assert run("stats", "--dsn", dsn, "--user", USERS[0], "--json").json == mine


def test_bars_of_days_of_any_length_begin_in_one_column(run, main_dsn):
    fetch(
        main_dsn,
        "insert into db_dbuser (id, email, first_name, last_name, institution) "
        "values (1, 'ada@epfl.ch', '', '', '')",
    )
    fetch(
        main_dsn,
        "insert into db_dbnode (uuid, node_type, label, description, ctime, mtime, user_id, "
        "repository_metadata) "
        "select gen_random_uuid(), 'data.core.int.Int.', '', '', time, now(), 1, '{}' "
        "from unnest(array["
        "'-infinity', '0044-03-15 BC', '2024-05-17', '12026-01-01', 'infinity']::timestamptz[]"
        ") as given (time)",
    )
    told = run("stats", "--dsn", main_dsn, "--timezone", "UTC").out
    days = re.findall(r"^(\S.{12})  1  [█▏▎▍▌▋▊▉#]+$", told, re.MULTILINE)
    assert [day.rstrip() for day in days] == [
        "-infinity",
        "0044-03-15 BC",
        "2024-05-17",
        "12026-01-01",
        "infinity",
    ]


def test_a_terminal_without_unicode_gets_plain_bars(main_campaign):
    done = piped(
        "stats", "--days", "2", "--dsn", main_campaign,
        environment={"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"},
    )  # fmt: skip
    assert done.returncode == 0
    assert re.search(r"  #+$", done.stdout, re.MULTILINE)
