"""The SQL files: what is wrong with one is found when it is loaded."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from aiidadb.exceptions import AiidaDbError, SqlFileError
from aiidadb.sql import QUERIES, SCHEMAS, load_queries, load_schemas, read_header, sql_directory

GOOD = """\
-- name: good
-- purpose: To be read
-- parameters: $1 pks bigint[]: which
--     $2 label text: how it is called
-- slots: match
-- result: pk bigint; one row per node
select id
from db_dbnode
where id = any ($1::bigint[])
    and label = $2::text -- and not $3
    and description <> '$4'
    and /*{match}*/ true
"""

NUMBERS = """\
-- name: good
-- purpose: To be run
-- parameters: $1 last int: the last number
-- result: number int; one row per number
select number from generate_series(1, $1::int) as number
"""


OF_TABLES = """\
-- name: good
-- purpose: To be asked of several tables
-- parameters: none
-- tables: db_dbnode, db_dbgroup
-- result: id int; one row per record
select record.id
from /*{table}*/ db_dbnode as record
where record.id > (select count(*) from /*{table}*/ db_dbnode)
"""

NOT_OF_ITS_TABLES = """\
-- slots: match
-- tables: db_dbgroup
-- result: pk bigint; one row per node
select id
from /*{table}*/ """


def load(directory: Path, **files: str) -> dict:
    for name, text in files.items():
        path = directory / f"{name.replace('__', '/')}.sql"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return load_queries(directory)


@pytest.mark.quick
def test_a_good_file_is_read(tmp_path):
    query = load(tmp_path, good=GOOD)["good"]
    assert query.parameters == (("pks", "bigint[]"), ("label", "text"))
    assert query.columns == (("pk", "bigint"),)
    assert query.schemas == ("django_0045", "sqlalchemy_44_0edcdd5a30f0", "main_0002")
    assert query.step is None
    assert query.slots == ("match",)
    assert query.text.startswith("select id")
    assert "and (label = 'x')" in query.fill(match="label = 'x'").text
    assert query.fill().text == query.text
    with pytest.raises(KeyError, match="other"):
        query.fill(other="true")


def test_a_table_is_one_of_those_that_the_header_lists(tmp_path):
    query = load(tmp_path, good=OF_TABLES)["good"]
    assert query.tables == ("db_dbnode", "db_dbgroup")
    assert query.on_table("db_dbgroup").text == (
        "select record.id\nfrom db_dbgroup as record\n"
        "where record.id > (select count(*) from db_dbgroup)"
    )
    for table in ("db_dbuser", "db_dbnode; drop table db_dbnode", "", None):
        with pytest.raises(KeyError, match="good cannot be run"):
            query.on_table(table)


@pytest.mark.quick
async def test_a_query_runs_itself_on_a_connection_and_on_a_session_alike(tmp_path, backend):
    listed = load(tmp_path, good=NUMBERS)["good"]
    async with backend.connection() as connection:
        for runner in (backend._session, connection):
            assert [row["number"] for row in await listed.fetch(runner, 3, timeout=60)] == [1, 2, 3]
            assert dict(await listed.fetchrow(runner, 2)) == {"number": 1}
            assert await listed.fetchval(runner, 2) == 1
            assert await listed.fetchrow(runner, 0) is None
            assert await listed.fetchval(runner, 0) is None
            assert await listed.execute(runner, 3, timeout=60) == "SELECT 3"
    with pytest.raises(AiidaDbError):  # a session's errors are ours
        await replace(listed, text="select 1 / $1::int as number").fetch(backend._session, 0)


def test_a_header_names_the_versions_that_the_question_is_for(tmp_path):
    older = GOOD.replace("-- slots", "-- schema: django_0017, main_0002\n-- slots")
    within = GOOD.replace("-- slots", "-- step: django_0020\n-- slots").replace(
        "-- result: pk bigint; one row per node", "-- result: none"
    )
    assert load(tmp_path, good=older)["good"].schemas == ("django_0017", "main_0002")
    assert load(tmp_path, good=within)["good"].step == "django_0020"
    assert load(tmp_path, good=within)["good"].columns == ()


@pytest.mark.quick
@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (GOOD, "select 1\n", "no header"),
        ("-- purpose: To be read\n", "", "lacks purpose"),
        ("-- result: pk", "-- result: a\n-- result: pk", "'result' twice"),
        ("-- result:", "-- surprise: x\n-- result:", "unknown keys surprise"),
        ("-- name: good", "-- name: better", "name is 'better'"),
        ("label = $2::text", "label = $3::text", r"\$3 is used but not declared"),
        ("and label = $2::text ", "", r"\$2 is declared but not used"),
        ("$2 label", "$3 label", r"declared as \[1, 3\]"),
        ("$1 pks bigint[]: which\n--     $2 label text: how it is called", "pks", "'none' or"),
        ("/*{match}*/ true", "true", "slots"),
        ("-- slots: match\n", "", "slots"),
        ("-- slots: match\n", "-- slots: match\n-- tables: db_dbnode\n", "tables"),
        ("from db_dbnode", "from /*{table}*/ db_dbnode", "tables"),
        (GOOD[GOOD.index("-- slots") : GOOD.index("db_dbnode")], NOT_OF_ITS_TABLES, "tables"),
        ("bigint; one row per node", "bigint", "the result must be 'none' or"),
        ("bigint; one row per node", "bigint (the pk); one row", "the result must be 'none' or"),
        ("pk bigint; one row per node", "one row per node", "the result must be 'none' or"),
        ("pk bigint; one row per node", "nothing", "the result must be 'none' or"),
        ("bigint[]: which", "bigint[]", "'none' or"),
        ("label text", "label", "'none' or"),
        ("-- slots", "-- schema: main_0002, 1.0.45\n-- slots", "'1.0.45' is not a version"),
        ("-- slots", "-- step: 20\n-- slots", "'20' is not a version"),
        ("-- slots", "-- step: django_0020\n-- schema: main_0002\n-- slots", "schema or a step"),
        (GOOD[GOOD.index("select") :], "", "nothing follows"),
    ],
)
def test_what_is_wrong_is_an_error_with_the_files_name(tmp_path, old, new, message):
    assert old in GOOD
    with pytest.raises(SqlFileError, match=message) as raised:
        load(tmp_path, good=GOOD.replace(old, new))
    assert str(tmp_path / "good.sql") in str(raised.value)


def test_a_name_given_twice_is_an_error(tmp_path):
    with pytest.raises(SqlFileError, match="another query of the name 'good'"):
        load(tmp_path, a__good=GOOD, b__good=GOOD)


def test_the_main_lines_schema_is_its_steps_and_then_its_version():
    steps = sorted((sql_directory() / "migrations" / "main").glob("*.sql"))
    bodies = [read_header(step)[1] for step in steps]
    assert [step.name[:4] for step in steps] == ["0001", "0002"]
    assert SCHEMAS["main_0002"].startswith("\n\n".join(bodies))
    rest = SCHEMAS["main_0002"].removeprefix("\n\n".join(bodies))
    assert "create table alembic_version" in rest
    assert "values ('main_0002');" in rest


def test_a_schema_of_a_line_without_steps_is_an_error(tmp_path):
    (tmp_path / "schema").mkdir()
    (tmp_path / "schema" / "main_0003.sql").write_text(
        "-- schema: main_0003\n-- steps: main\nselect 1;\n"
    )
    with pytest.raises(SqlFileError, match=r"main_0003\.sql: there are no steps in .*main"):
        load_schemas(tmp_path / "schema")


def test_every_file_is_loaded_short_lined_and_indented_by_four():
    directory = sql_directory()
    assert QUERIES.keys() == {path.stem for path in (directory / "queries").rglob("*.sql")}
    assert SCHEMAS.keys() == {"django_0045", "main_0002"}
    for path in directory.rglob("*.sql"):
        assert path.read_text().startswith("-- "), path
        assert max(map(len, path.read_text().splitlines())) <= 100, path
        for number, line in enumerate(path.read_text().splitlines(), start=1):
            place = f"{path}:{number}"
            # Bodies of functions are text to the linter.
            if not line.startswith("--"):
                assert (len(line) - len(line.lstrip())) % 4 == 0, f"{place}: indent by 4"
                assert not re.match(r" *(cross )?join lateral| *join ", line), f"{place}: a join"
            else:
                assert not re.match(r"--   \w+:", line), f"{place}: a key that is indented"
        assert path.read_text().isascii(), f"{path}: databases of other encodings cannot take it"
