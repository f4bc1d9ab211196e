"""``init``: a schema, and the container of files with it."""

from __future__ import annotations

import pytest

from tests.helpers.command_line import one_line


@pytest.mark.quick
def test_init_makes_a_database_that_the_others_serve(run, empty_dsn):
    made = run("init", "--dsn", empty_dsn)
    assert made.status == 0
    assert "main_0002" in made.out
    assert "drop the database, create it again, and run aiidadb init with --repository" in made.out
    assert run("stats", "--dsn", empty_dsn).out.startswith("No nodes.\n")
    refused = one_line(run("init", "--dsn", empty_dsn), 1)
    assert "can be created only in an empty database, and this one has 11 tables" in refused
    assert "if nothing in this one is needed, drop it and create it again" in refused


def test_init_makes_the_container_of_files_too(run, empty_dsn, tmp_path):
    made = run("init", "--dsn", empty_dsn, "--repository", tmp_path, "--json")
    assert made.json == {"schema_version": "main_0002", "repository": str(tmp_path)}
    assert (tmp_path / "container" / "config.json").is_file()
