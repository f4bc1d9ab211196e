"""``status``: which database it is, and what is wrong with it."""

from __future__ import annotations

import asyncio
import json
import re

import pytest

from aiidadb.demo.campaign import USERS
from aiidadb.migration.repository.container import create_container
from tests.helpers.campaigns import write_config
from tests.helpers.choices import some_of
from tests.helpers.command_line import count, fetch, locked
from tests.helpers.single_steps import database_at
from tests.helpers.terminal import on_terminal, piped

VERSIONS = range(1, 50)  # with the step after these, Django's bookkeeping goes


@pytest.mark.quick
def test_status_tells_database_and_version(run, main_dsn, django_dsn, empty_dsn):
    told = run("status", "--dsn", main_dsn)
    assert (told.status, told.err) == (0, "")
    assert re.search(r"^schema version +main_0002$", told.out, re.MULTILINE)
    assert re.search(r"^state +2.x, up to date; ", told.out, re.MULTILINE)
    assert re.search(r"^can be opened by +AiiDA 2.4 to 2.9, with a file ", told.out, re.MULTILINE)
    assert "problem" not in told.out
    assert "after migrating" not in told.out
    old = run("status", "--dsn", django_dsn, "--json").json
    assert (old["schema_version"], old["problem"]) == ("1.0.45", None)
    assert "aiidadb migrate" in old["aiida"]
    assert old["opened_by"] == "AiiDA 1.4 to 1.6"
    assert "main_0002 by AiiDA 2.4 to 2.9. There is no way back" in old["after_migrating"]
    assert old["server"].startswith("PostgreSQL 1")
    empty = run("status", "--dsn", empty_dsn, "--json")
    assert (empty.status, empty.err) == (1, "")
    assert empty.json["schema_version"] is None
    assert empty.json["problem"].endswith(
        ": check the name of the database, or create AiiDA's schema in it with `aiidadb init`"
    )
    with on_terminal("status", "--detailed", "--dsn", empty_dsn) as terminal:
        assert terminal.finish() == 1
    assert all(len(line.rpartition("\r")[2]) <= 80 for line in terminal.text.splitlines())


@pytest.mark.quick
def test_what_a_profile_names_and_is_not_there_is_said(run, shared_campaign, tmp_path):
    config = write_config(tmp_path, shared_campaign)
    told = run("status", "--config", config)
    assert (told.status, told.err) == (0, "")
    missing = tmp_path / "repository"
    assert re.search(rf"^repository +{missing} \(does not exist\)$", told.out, re.MULTILINE)
    assert re.search(rf"^default user +{USERS[0]}$", told.out, re.MULTILINE)
    facts = run("status", "--config", config, "--json").json
    assert (facts["repository"], facts["repository_exists"]) == (str(missing), False)
    missing.mkdir()
    config.write_text(config.read_text().replace(USERS[0], "who@epfl.ch"))
    told = run("status", "--config", config)
    assert re.search(rf"^repository +{missing}$", told.out, re.MULTILINE)
    assert re.search(r"^default user +who@epfl.ch \(not in the database\)$", told.out, re.MULTILINE)
    assert "exists" not in told.out
    facts = run("status", "--config", config, "--json").json
    assert (facts["default_user"], facts["default_user_exists"]) == ("who@epfl.ch", False)
    assert facts["repository_exists"] is True


@pytest.mark.quick
def test_it_says_whether_there_is_the_container_without_which_aiida_does_not_open_it(
    run, main_dsn, django_dsn, tmp_path
):
    def look(dsn, *repository):
        options = [word for one in repository for word in ("--repository", one)]
        told = run("status", "--dsn", dsn, *options)
        facts = run("status", "--dsn", dsn, *options, "--json").json
        assert (told.status, "container  " in told.out) == (0, False)
        return " ".join(told.out.split()), facts["container"], facts["aiida"], facts["opened_by"]

    up_to_date = ("2.x, up to date", "AiiDA 2.4 to 2.9")
    not_opened = "state 2.x, up to date; AiiDA does not open it without a file container"
    told, *facts = look(main_dsn)
    assert f"{not_opened} (not checked: no repository was named)" in told
    assert "can be opened by AiiDA 2.4 to 2.9, with a file container state" in told
    assert facts == ["not checked", *up_to_date]
    for place in (tmp_path / "none", tmp_path):
        told, *facts = look(main_dsn, place)
        assert f"{not_opened} (there is none)" in told
        assert "can be opened by AiiDA 2.4 to 2.9, with a file container state" in told
        assert facts == ["missing", *up_to_date]
    (tmp_path / "container").write_text("")
    told, *facts = look(main_dsn, tmp_path)
    assert f"{not_opened} (what is in its place cannot be read, or is not one)" in told
    assert facts == ["unreadable", *up_to_date]
    (tmp_path / "container").unlink()
    create_container(tmp_path)
    told, *facts = look(main_dsn, tmp_path)
    assert told.endswith("can be opened by AiiDA 2.4 to 2.9 state 2.x, up to date")
    assert facts == ["exists", *up_to_date]
    told, *facts = look(django_dsn)
    assert "file container" not in told
    assert facts[0] is None


@pytest.mark.quick
def test_it_says_that_the_environment_named_the_database(run, main_dsn, monkeypatch):
    assert "database from" not in run("status", "--dsn", main_dsn).out
    assert run("status", "--dsn", main_dsn, "--json").json["database_from"] is None
    monkeypatch.setenv("AIIDADB_DSN", main_dsn)
    said = r"^database from +environment variable AIIDADB_DSN$"
    assert re.search(said, run("status").out, re.MULTILINE)
    assert run("status", "--json").json["database_from"] == "environment variable AIIDADB_DSN"
    assert "database from" not in run("status", "--dsn", main_dsn).out


@pytest.mark.quick
def test_users_that_cannot_be_looked_at_are_not_doubted(run, empty_dsn, main_dsn, tmp_path):
    (tmp_path / "empty").mkdir()
    told = run("status", "--config", write_config(tmp_path / "empty", empty_dsn), "--json")
    assert (told.status, told.json["default_user_exists"]) == (1, None)
    config = write_config(tmp_path, main_dsn)
    with locked(main_dsn, "db_dbuser"):
        told = run("status", "--config", config, "--json")
    assert (told.status, told.json["default_user_exists"]) == (0, None)


DJANGO_NOTE = "update db_dbsetting set val = '\"{}\"' where key = 'db|schemaversion'"


@pytest.mark.parametrize(
    ("line", "change", "problem"),
    [
        ("main", "update alembic_version set version_num = 'main_0099'", "ahead"),
        (
            "main",
            "update alembic_version set version_num = 'frobnicated'",
            "is not a known version",
        ),
        (
            "main",
            (
                "do $$ begin create table db_dbattribute (id integer); "
                "update alembic_version set version_num = 'e15ef2630a1b'; end $$"
            ),
            "from Django to SQLAlchemy",
        ),
        ("main", "insert into alembic_version values ('main_0001')", "2 revisions"),
        ("main", "drop table alembic_version", "not an AiiDA database"),
        ("django", DJANGO_NOTE.format("1.0.44"), r"1\.0\.44"),
        (
            "django",
            "update db_dbsetting set val = '\"2\"' where key = 'schema_generation'",
            "generation 2",
        ),
    ],
    ids=["ahead", "unknown", "converted", "two", "not AiiDA's", "contradiction", "generation"],
)
def test_what_cannot_be_worked_with_is_shown_with_status_1(
    run, main_dsn, django_dsn, line, change, problem
):
    dsn = main_dsn if line == "main" else django_dsn
    fetch(dsn, change)
    told = run("status", "--dsn", dsn)
    assert (told.status, told.err) == (1, "")
    assert re.search(rf"^problem +.*{problem}", told.out, re.MULTILINE)
    told = run("status", "--dsn", dsn, "--json", "--detailed")
    assert told.status == 1
    assert re.search(problem, told.json["problem"])


def test_what_is_behind_is_told_with_status_0(run, main_dsn, django_dsn):
    fetch(main_dsn, "update alembic_version set version_num = 'main_0001'")
    fetch(django_dsn, "delete from django_migrations where app = 'db' and name like '0045%'")
    fetch(django_dsn, DJANGO_NOTE.format("1.0.44"))
    for dsn in (main_dsn, django_dsn):
        told = run("status", "--dsn", dsn)
        assert (told.status, told.err) == (0, "")
        assert "problem" not in told.out
        assert re.search(r"^after migrating +.* no way back", told.out, re.MULTILINE)
        assert "`aiidadb migrate` brings it up to date" in told.out


def test_details_count_exactly_and_name_missing_indexes(run, main_campaign):
    told = run("status", "--detailed", "--dsn", main_campaign, "--json").json
    assert told["missing_indexes"] == []
    assert told["process_state_index"] is None
    for name, number in told["counts"].items():
        assert number == count(main_campaign, f"db_db{name.removesuffix('s')}"), name
    assert set(told["counts"]) == {
        "nodes", "links", "groups", "users", "computers", "comments", "logs"
    }  # fmt: skip
    assert told["counts"]["nodes"] > 0
    fetch(
        main_campaign,
        """
        do $$
        declare
            name regclass;
        begin
            for name in
                select indexrelid from pg_index
                where indrelid = 'db_dbcomment'::regclass and not indisprimary and not indisunique
            loop
                execute format('drop index %s', name);
            end loop;
        end $$
        """,
    )
    # One on a part of the rows is of no use for all.
    fetch(main_campaign, "create index on db_dbcomment (user_id) where user_id > 5")
    shown = run("status", "--detailed", "--dsn", main_campaign).out
    assert re.search(rf"^nodes +{told['counts']['nodes']:,}$", shown, re.MULTILINE)
    assert "missing indexes      db_dbcomment.dbnode_id, db_dbcomment.user_id\n" in shown
    assert "process state index  none\n" in shown


@pytest.mark.quick
def test_details_name_the_index_on_process_states(run, main_dsn, empty_dsn):
    index = run("index", "create", "--dsn", main_dsn, "--json").json["index"]
    told = run("status", "--detailed", "--dsn", main_dsn, "--json").json
    assert told["process_state_index"] == index
    shown = run("status", "--detailed", "--dsn", main_dsn).out
    assert re.search(rf"^process state index +{index['name']}$", shown, re.MULTILINE)
    empty = run("status", "--detailed", "--dsn", empty_dsn, "--json").json
    assert empty["process_state_index"] is None


@pytest.mark.parametrize("number", some_of(VERSIONS, {1, 20, 49}))
async def test_details_are_told_of_every_version(databases, number):
    dsn = await database_at(databases, number)
    told = await asyncio.to_thread(piped, "status", "--detailed", "--dsn", dsn, "--json")
    assert (told.returncode, told.stderr) == (0, "")
    assert set(json.loads(told.stdout)["counts"].values()) == {0}
    assert json.loads(told.stdout)["missing_indexes"] == []
    assert json.loads(told.stdout)["process_state_index"] is None
    await databases.drop(dsn)
