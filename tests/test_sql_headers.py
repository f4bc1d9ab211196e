"""Every query's header says what the server says: parameters, columns, and the types of both."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

import asyncpg
import pytest

from aiidadb.sql import QUERIES, Query, Typed, load_queries, sql_directory
from aiidadb.version.schema_version import SQLALCHEMY_HEAD, SchemaVersion
from tests.helpers.databases import clone_of_schema
from tests.helpers.single_steps import database_at, django_steps, prelude

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.helpers.databases import Databases

HEADS = ("django_0045", "main_0002")  # those that there is a file of ours for
ALL = [*QUERIES.values(), *load_queries(sql_directory() / "demo").values()]
# The scripts of a step up to where a part in Python has its turn.
BEFORE_A_CALL = re.compile(r"^-- call: \w+$", re.MULTILINE)
# Makes the table that the queries of step 0037 are about.
GATHER = "select pg_temp.aiidadb_gather(array[1, 2])"


def schemas() -> list[str]:
    return sorted({schema for query in ALL if query.step is None for schema in query.schemas})


def steps() -> list[str]:
    return sorted({query.step for query in ALL if query.step is not None})


async def database_of(databases: Databases, schema: str) -> str:
    if schema in HEADS:
        return await clone_of_schema(databases, schema)
    version = SchemaVersion.parse(schema)
    return await database_at(databases, version.number, version.line)


async def differences(connection: asyncpg.Connection, query: Query) -> list[str]:
    """What the header of a query says otherwise than the server."""

    async def oids(types: Sequence[str]) -> list[int]:
        rows = await connection.fetch(
            """
            select to_regtype(given.type)::oid as oid
            from unnest($1::text[]) with ordinality as given (type, position)
            order by given.position
            """,
            types,
        )
        return [row["oid"] for row in rows]

    try:
        statement = await connection.prepare(query.text)
    except asyncpg.PostgresError as error:
        return [f"{query.name}: {error}"]
    taken, given = statement.get_parameters(), statement.get_attributes()
    found = []
    if [one.oid for one in taken] != await oids([one.type for one in query.parameters]):
        found.append(f"{query.name} takes {[one.name for one in taken]}")
    names_differ = [one.name for one in given] != [one.name for one in query.columns]
    if names_differ or [one.type.oid for one in given] != await oids(
        [one.type for one in query.columns]
    ):
        found.append(f"{query.name} gives {[(one.name, one.type.name) for one in given]}")
    return found


async def test_what_a_header_says_otherwise_is_found(main_dsn: str) -> None:
    query = QUERIES["setting_get"]
    connection = await asyncpg.connect(main_dsn)
    try:
        assert await differences(connection, query) == []
        for wrong in (
            replace(query, parameters=(Typed("key", "bigint"),)),
            replace(query, parameters=()),
            replace(query, columns=query.columns[:-1]),
            replace(query, columns=tuple(reversed(query.columns))),
            replace(query, columns=(Typed("key", "varchar"), *query.columns[1:])),
            replace(query, columns=(Typed("key", "texts"), *query.columns[1:])),
            replace(query, text=query.text.replace("db_dbsetting", "db_dbsettings")),
        ):
            assert len(await differences(connection, wrong)) == 1
    finally:
        await connection.close()


@pytest.mark.parametrize("schema", schemas())
async def test_the_header_of_each_query_says_what_the_server_says(
    databases: Databases, schema: str
) -> None:
    asked = [query for query in ALL if query.step is None and schema in query.schemas]
    dsn = await database_of(databases, schema)
    connection = await asyncpg.connect(dsn)
    try:
        variants = list(asked)
        # In an older one not each of the tables has the columns.
        if schema in (*HEADS, SQLALCHEMY_HEAD.schema_name):
            variants += [query.on_table(table) for query in asked for table in query.tables]
        assert [line for query in variants for line in await differences(connection, query)] == []
    finally:
        await connection.close()
        await databases.drop(dsn)


@pytest.mark.parametrize("step", steps())
async def test_so_does_each_query_that_a_step_asks_of_its_own_tables(
    databases: Databases, step: str
) -> None:
    number = int(step.removeprefix("django_"))
    dsn = await database_of(databases, f"django_{number - 1:04}")
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(prelude())
        # Left open: nothing of it is to stay.
        await connection.transaction().start()
        await connection.execute(BEFORE_A_CALL.split(django_steps()[number].text)[0])
        if number == 37:
            await connection.execute(GATHER)
        asked = [query for query in ALL if query.step == step]
        assert [line for query in asked for line in await differences(connection, query)] == []
    finally:
        await connection.close()
        await databases.drop(dsn)
