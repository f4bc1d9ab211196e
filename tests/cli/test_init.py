"""``init``: a schema, and the container of files with it."""

from __future__ import annotations

import pytest

from tests.helpers.command_line import fetch, one_line


@pytest.mark.quick
def test_init_makes_a_database_that_the_others_serve(run, empty_dsn):
    made = run("init", "--dsn", empty_dsn)
    assert made.status == 0
    assert "main_0002" in made.out
    assert "drop the database, create it again, and run aiidadb init with --repository" in made.out
    assert run("stats", "--dsn", empty_dsn).out.startswith("No nodes.\n")
    assert one_line(run("init", "--dsn", empty_dsn), 1) == (
        "Error: this is an AiiDA database of version main_0002 already, but has no file container, "
        "without which AiiDA does not open it: if nothing in it is needed, drop it, create it "
        "again, and run aiidadb init with --repository DIRECTORY\n"
    )


@pytest.mark.parametrize(
    ("tables", "to", "said"),
    [
        (None, "main_0002", "version main_0002 already: there is nothing to do"),
        (None, "1.0.45", "version main_0002 already: name another database"),
        ("1.0.45", "1.0.45", "version 1.0.45 already: there is nothing to do"),
        ("1.0.45", "main_0002", "version 1.0.45 already: bring it up to date with `aiidadb migr"),
        ("invoices", "main_0002", "an empty database, and this one has 1 table (invoices): name a"),
    ],
)
def test_where_tables_are_init_says_what_is_left_to_do(run, empty_dsn, tmp_path, tables, to, said):
    if tables == "invoices":
        fetch(empty_dsn, "create table invoices (id integer)")
    else:
        made = ["--to", tables] if tables else ["--repository", tmp_path]
        assert run("init", "--dsn", empty_dsn, *made).status == 0
    assert said in one_line(run("init", "--dsn", empty_dsn, "--to", to), 1)


def test_init_makes_the_container_of_files_too(run, empty_dsn, tmp_path):
    made = run("init", "--dsn", empty_dsn, "--repository", tmp_path, "--json")
    assert made.json == {"schema_version": "main_0002", "repository": str(tmp_path)}
    assert (tmp_path / "container" / "config.json").is_file()
