"""``status``: which database it is, and what is wrong with it."""

from __future__ import annotations

import re

import pytest

from tests.helpers.command_line import fetch


@pytest.mark.quick
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
