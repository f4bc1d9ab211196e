"""Servers, databases and contents that are not as AiiDA alone would have them."""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit, urlunsplit

import pytest

import aiidadb
from aiidadb.migration.connection import migrating_connection
from tests.helpers.catalog import describe
from tests.helpers.databases import Databases, connected, fetchval, run_script
from tests.helpers.migrating import migrate
from tests.helpers.old_database import OldDatabase, state_of
from tests.helpers.old_nodes import add_node
from tests.helpers.single_steps import database_at, run_step
from tests.helpers.table_rows import insert, insert_attribute

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.migration.conftest import At

pytestmark = pytest.mark.usefixtures("in_a_directory_of_its_own")


async def test_settings_of_an_old_application_change_nothing(
    databases: Databases, old: OldDatabase
) -> None:
    await run_script(
        databases.server_dsn,
        f'create database "{urlsplit(old.dsn).path[1:]}_twin" '
        f'template "{urlsplit(old.dsn).path[1:]}"',
    )
    twin = f"{old.dsn.partition('?')[0]}_twin" + (
        f"?{urlsplit(old.dsn).query}" if urlsplit(old.dsn).query else ""
    )
    for setting in (
        "standard_conforming_strings = off",
        "escape_string_warning = off",
        "transform_null_equals = on",
        "array_nulls = off",
        "quote_all_identifiers = on",
        "bytea_output = escape",
        "intervalstyle = sql_standard",
        "enable_seqscan = off",
        "work_mem = '64kB'",
        "datestyle = 'SQL, DMY'",
    ):
        await run_script(old.dsn, f'alter database "{urlsplit(old.dsn).path[1:]}" set {setting}')
    await migrate(old.dsn)
    await migrate(twin)
    await run_script(old.dsn, f'alter database "{urlsplit(old.dsn).path[1:]}" reset all')
    assert await state_of(old.dsn) == await state_of(twin)
    await databases.drop(twin)


async def test_an_autovacuum_is_made_to_give_way(old: OldDatabase) -> None:
    """The server does that for sessions that have waited for ``deadlock_timeout``."""
    limits = """
        select
            (select setting::bigint from pg_settings where name = 'lock_timeout'),
            (select setting::bigint from pg_settings where name = 'deadlock_timeout')
    """
    profile = aiidadb.Profile.from_dsn(old.dsn)
    for patience_with_locks in ("1s", "3s"):
        await run_script(
            old.dsn,
            f'alter database "{urlsplit(old.dsn).path[1:]}" '
            f"set deadlock_timeout = '{patience_with_locks}'",
        )
        async with migrating_connection(profile, patience=1, waiting=print) as connection:
            waits, others_wait = await connection.fetchrow(limits)
        assert waits > others_wait


async def test_the_planner_knows_the_columns_that_were_remade(old: OldDatabase) -> None:
    await migrate(old.dsn)
    known = """
        select array_agg(tablename || '.' || attname)
        from pg_stats
        where schemaname = 'public'
    """
    columns = await fetchval(old.dsn, known)
    assert {"db_dblink.type", "db_dbnode.uuid", "db_dbnode.node_type"} <= set(columns)


ODD_NAMES = ['AiiDA "prod" 100%', "aiida?host=evil&user=x#y", "ünï:c@de/../x", " ", "select"]


@pytest.mark.parametrize("name", ODD_NAMES)
async def test_the_name_of_a_database_may_be_anything(databases: Databases, name: str) -> None:
    template = urlsplit(await database_at(databases, 8)).path[1:]
    name += secrets.token_hex(4)
    quoted = '"' + name.replace('"', '""') + '"'
    await run_script(databases.server_dsn, f'create database {quoted} template "{template}"')
    parts = urlsplit(databases.server_dsn)
    dsn = urlunsplit(parts._replace(path=f"/{quote(name, safe='')}"))
    try:
        report = await migrate(dsn)
        assert str(report.version) == "main_0002"
        assert (await migrate(dsn)).steps == ()
    finally:
        await aiidadb.reset_pools()
        await run_script(databases.server_dsn, f"drop database {quoted} with (force)")


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
async def test_the_encoding_of_a_database_may_be_another(
    databases: Databases, encoding: str
) -> None:
    dsn = databases.dsn(f"{urlsplit(await database_at(databases, 1)).path[1:]}_other")
    name = urlsplit(dsn).path[1:]
    await run_script(
        databases.server_dsn,
        f"create database \"{name}\" template template0 encoding '{encoding}'"
        " locale_provider libc lc_collate 'C' lc_ctype 'C'",
    )
    async with connected(dsn) as connection:
        await run_step(connection, 1)
        node, uuid = await add_node(connection, "data.parameter.ParameterData.")
        await connection.execute("update db_dbnode set label = 'Élise I', uuid = upper(uuid)")
        rows = [("é", "txt", "ß", None), ("TITLE", "txt", "I", None), ("title", "txt", "i", None)]
        rows += [("list", "list", "", 1), ("list.0", "txt", "Ä", None)]
        await connection.executemany(
            "insert into db_dbattribute (dbnode_id, key, datatype, tval, ival)"
            " values ($1, $2, $3, $4, $5)",
            [(node, *row) for row in rows],
        )
    await migrate(dsn)
    async with connected(dsn) as connection:
        row = await connection.fetchrow("select uuid, label, node_type, attributes from db_dbnode")
    assert (str(row["uuid"]), row["label"]) == (uuid, "Élise I")
    assert row["node_type"] == "data.core.dict.Dict."
    found = json.loads(row["attributes"])
    assert found == {"é": "ß", "TITLE": "I", "title": "i", "list": ["Ä"]}
    await databases.drop(dsn)


@pytest.mark.parametrize(
    "numbers",
    [
        pytest.param([10, 36, 46, 50], id="some"),
        pytest.param(range(2, 50), id="all", marks=pytest.mark.thorough),
    ],
)
async def test_a_database_without_a_node_goes_all_the_way_from_any_version(
    databases: Databases, main_dsn: str, numbers: Sequence[int]
) -> None:
    async with connected(main_dsn) as connection:
        new = await describe(connection)
    for number in numbers:
        dsn = await database_at(databases, number)
        if number == 50:  # its bookkeeping is the runner's
            await run_script(
                dsn,
                "create table alembic_version (version_num varchar(32) not null"
                " constraint alembic_version_pkc primary key);"
                "insert into alembic_version values ('django_0050')",
            )
        report = await migrate(dsn)
        assert str(report.origin) == f"1.0.{number}"
        async with connected(dsn) as connection:
            assert await describe(connection) == new, number
        await databases.drop(dsn)


async def test_node_types_are_renamed_in_place_where_documents_are_out_of_line(at: At) -> None:
    connection = await at(48)
    node, _ = await add_node(connection, "data.array.bands.BandsData.")
    other, _ = await add_node(connection, "data.mine.Mine.")
    await connection.execute(
        """
        alter table db_dbnode alter column attributes set storage external;
        update db_dbnode set attributes = jsonb_build_object('text', repeat('long ', 100000))
        """
    )
    file = "select pg_relation_filenode('db_dbnode')"
    before = await connection.fetchval(file)
    await run_step(connection, 49)
    assert await connection.fetchval(file) == before
    types = dict(await connection.fetch("select id, node_type from db_dbnode"))
    assert types == {node: "data.core.array.bands.BandsData.", other: "data.mine.Mine."}


async def test_documents_of_many_megabytes(databases: Databases) -> None:
    dsn = await database_at(databases, 8)
    async with connected(dsn) as connection:
        text, _ = await add_node(connection, "data.parameter.ParameterData.")
        wide, _ = await add_node(connection, "data.parameter.ParameterData.")
        await insert_attribute(connection, text, "text", "ä" * 10_000_000)
        await insert_attribute(connection, text, "k" * 1024, "the longest key")
        await insert(
            connection, "db_dbattribute", dbnode_id=wide, key="list", datatype="list", ival=100_000
        )
        await connection.execute(
            """
            insert into db_dbattribute (dbnode_id, key, datatype, tval, fval)
            select $1::int, 'list.' || position, 'float', '', position + 0.5
            from generate_series(0, 99999) as position
            """,
            wide,
        )
    await migrate(dsn)
    async with connected(dsn) as connection:
        found = dict(await connection.fetch("select id, attributes from db_dbnode"))
    assert json.loads(found[text]) == {"text": "ä" * 10_000_000, "k" * 1024: "the longest key"}
    assert json.loads(found[wide]) == {"list": [position + 0.5 for position in range(100_000)]}
    await databases.drop(dsn)
