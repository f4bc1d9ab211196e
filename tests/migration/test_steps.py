"""The chain of steps: that it is whole, and that what its headers say is what the steps do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import asyncpg
import pytest

from aiidadb.exceptions import SqlFileError
from aiidadb.migration import steps
from aiidadb.version.schema_version import MAIN_HEAD
from aiidadb.version.sqlalchemy_revisions import REVISIONS
from tests.helpers.single_steps import run_step

if TYPE_CHECKING:
    from pathlib import Path

    from tests.migration.conftest import At

STEP = """\
-- migration: django_0002
-- from: 1.0.1
-- to: 1.0.2
-- changes: something
-- why: for this test
-- tables: db_dbnode

select 1;
"""


def test_a_chain_with_a_hole_is_refused(tmp_path: Path) -> None:
    line = tmp_path / "django"
    line.mkdir()
    (line / "0002_step.sql").write_text(STEP)
    with pytest.raises(SqlFileError, match=r"starts from 1\.0\.1, not from None"):
        steps._read_lines(tmp_path)
    (line / "0002_step.sql").rename(line / "0003_step.sql")
    with pytest.raises(SqlFileError, match="name does not say"):
        steps._read_lines(tmp_path)


def test_the_chain_is_whole() -> None:
    assert [str(version) for version in steps.STEPS] == [
        *(f"1.0.{number}" for number in range(1, 51)),
        *REVISIONS,
        "main_0001",
        "main_0002",
    ]


def test_every_step_written_in_python_has_its_place_in_the_chain() -> None:
    placed = set()
    for line in ("django", "sqlalchemy"):
        files = [step for version, step in steps.STEPS.items() if version.line == line]
        called = dict.fromkeys(step for file in files for step in file.python_steps)
        assert list(called) == [step for step in steps.PYTHON_STEPS if step in called]
        placed |= called.keys()
    assert placed == set(steps.PYTHON_STEPS)


# ------------------------------------------------------------------ drops, retypes, remakes

COLUMNS = """
    select
        class.oid as relation,
        attribute.attnum as number,
        class.relname as table_name,
        class.relname || '.' || attribute.attname as name,
        attribute.atttypid as type
    from pg_class as class
    join pg_attribute as attribute
        on attribute.attrelid = class.oid and attribute.attnum > 0 and not attribute.attisdropped
    where class.relnamespace = 'public'::regnamespace
      and class.relkind = 'r'
    order by name
"""

# What a database that AiiDA made has, and one made by replaying the chain has not.
MADE_BY_OTHERS = {
    11: "create table kombu_message (id integer); create table kombu_queue (id integer)",
}


async def test_the_headers_say_what_is_dropped_and_retyped_and_nothing_else(at: At) -> None:
    connection = await at(1)
    for step in steps.STEPS.values():
        if step.version.line != "django" or step.origin is None:
            continue
        number = step.version.number
        if number in MADE_BY_OTHERS:
            await connection.execute(MADE_BY_OTHERS[number])
        before = {(row["relation"], row["number"]): row for row in await connection.fetch(COLUMNS)}
        await run_step(connection, number, without_repository=True)
        after = {(row["relation"], row["number"]): row for row in await connection.fetch(COLUMNS)}
        tables = {relation for relation, _ in after}
        gone = {
            row["name"] if relation in tables else row["table_name"]
            for (relation, column), row in before.items()
            if (relation, column) not in after
        }
        retyped = {
            row["name"]
            for column, row in before.items()
            if column in after and after[column]["type"] != row["type"]
        }
        assert set(step.drops) == gone, step.name
        assert set(step.retypes) == retyped, step.name


async def test_the_last_steps_drop_retype_and_remake_nothing(main_dsn: str) -> None:
    """The way over to AiiDA 2.x, and its steps."""
    for step in (*steps.HAND_OVERS.values(), *steps.STEPS.values()):
        if step.version.line == "main":
            assert (step.drops, step.retypes, step.remakes) == ((), (), ())
    connection = await asyncpg.connect(main_dsn)
    try:
        before = await connection.fetch(COLUMNS)
        await connection.execute(steps.PRELUDE)
        for step in (*steps.HAND_OVERS.values(), steps.STEPS[MAIN_HEAD]):
            async with connection.transaction():
                for part in step.parts:
                    assert isinstance(part, str)
                    await connection.execute(part)
        assert await connection.fetch(COLUMNS) == before
    finally:
        await connection.close()


async def make_view(connection: asyncpg.Connection, name: str) -> str:
    """A view of a column, or of a table's size."""
    table, _, column = name.partition(".")
    view = f"view_{name.replace('.', '_')}"
    what = f'"{column}" as shown' if column else "count(*)"
    await connection.execute(f'create view "{view}" as select {what} from "{table}"')
    return view


async def test_what_the_headers_say_is_what_no_view_may_show(at: At) -> None:
    connection = await at(1)
    for step in steps.STEPS.values():
        if step.version.line != "django" or step.origin is None:
            continue
        number = step.version.number
        if number in MADE_BY_OTHERS:
            await connection.execute(MADE_BY_OTHERS[number])
        columns = {row["name"] for row in await connection.fetch(COLUMNS)}
        tables = {name.partition(".")[0] for name in columns}
        changed = {*step.drops, *step.retypes, *step.remakes}
        assert changed <= columns | tables, step.name

        for name in changed:
            transaction = connection.transaction()
            await transaction.start()
            view = await make_view(connection, name)
            if number == 50:  # it would be dropped without a word
                await run_step(connection, number, without_repository=True)
                assert await connection.fetchval("select to_regclass($1)", view) is None
            else:
                with pytest.raises(
                    (asyncpg.DependentObjectsStillExistError, asyncpg.FeatureNotSupportedError)
                ):
                    await run_step(connection, number, without_repository=True)
            await transaction.rollback()

        transaction = connection.transaction()
        await transaction.start()
        others = [
            name
            for name in sorted(columns | tables)
            if name not in changed and name.partition(".")[0] not in changed | {"django_migrations"}
        ]
        views = [await make_view(connection, name) for name in others]
        await run_step(connection, number, without_repository=True)
        for view in views:
            assert await connection.fetchval("select to_regclass($1)", view) is not None
        await transaction.rollback()
        await run_step(connection, number, without_repository=True)
