"""The connection that migrates: which servers and roles it refuses, and what its session is."""

from __future__ import annotations

import dataclasses
import struct
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

import asyncpg
import pytest

import aiidadb
from aiidadb.exceptions import (
    PermissionDenied,
    ReadOnlyDatabase,
    StorageMigrationError,
)
from aiidadb.migration import connection as migration_connection
from aiidadb.migration.connection import SESSION_SETTINGS, migrating_connection
from tests.helpers.databases import Databases, connected, run_script
from tests.helpers.faults import proxy
from tests.helpers.migrating import migrate, opened
from tests.helpers.roles import role_with

if TYPE_CHECKING:
    from tests.helpers.old_database import OldDatabase

pytestmark = pytest.mark.usefixtures("in_a_directory_of_its_own")


async def test_a_role_that_may_make_nothing_is_told_what_it_needs(
    databases: Databases, old: OldDatabase
) -> None:
    async with role_with(old.dsn, "connect on database {database}") as dsn:
        with pytest.raises(PermissionDenied, match=r"owns AiiDA.*grant create on schema public to"):
            await migrate(dsn)


async def test_a_session_that_may_not_write_is_refused(
    databases: Databases, old: OldDatabase
) -> None:
    async with role_with(old.dsn, "create on schema public") as dsn:
        name = urlsplit(dsn).username
        await run_script(old.dsn, f"alter role {name} set default_transaction_read_only = on")
        with pytest.raises(ReadOnlyDatabase, match="connect to the primary"):
            await migrate(dsn)


async def test_a_server_that_is_too_old_is_refused(
    old: OldDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migration_connection, "MINIMAL_SERVER", 99)
    with pytest.raises(StorageMigrationError, match="migrating needs 99 or newer"):
        await migrate(old.dsn)


def other_process_number(answer: bytes) -> bytes:
    """The server's greeting with another process number, as PgBouncer and its like send it."""
    key = answer.find(b"K\x00\x00\x00\x0c")
    if key < 0:
        return answer
    number = struct.unpack_from("!i", answer, key + 5)[0] + 1
    return answer[: key + 5] + struct.pack("!i", number) + answer[key + 9 :]


async def test_a_connection_pooler_is_refused(old: OldDatabase) -> None:
    async with proxy(old.dsn) as between:
        between.edit_answer = other_process_number
        async with opened(between.dsn) as backend:
            assert str(backend.version) == "1.0.1"
            with pytest.raises(StorageMigrationError, match="PgBouncer"):
                await backend.schema.migrate()


async def test_settings_of_role_and_database_do_not_reach_a_migration(
    databases: Databases, old: OldDatabase
) -> None:
    database = urlsplit(old.dsn).path[1:]
    hostile = {
        "search_path": "'public', 'pg_catalog'",
        "statement_timeout": "'30s'",
        "idle_in_transaction_session_timeout": "'30s'",
        "lock_timeout": "'1min'",
        "default_transaction_isolation": "serializable",
        "synchronous_commit": "off",
        "timezone": "'Asia/Kathmandu'",
        "datestyle": "'German'",
        "extra_float_digits": "-5",
    }
    await run_script(
        old.dsn,
        "".join(
            f"alter database {database} set {name} = {text};" for name, text in hostile.items()
        ),
    )
    profile = aiidadb.Profile.from_dsn(old.dsn)
    async with migrating_connection(profile, patience=1, waiting=print) as connection:
        for name, wanted in {**SESSION_SETTINGS, "search_path": "public"}.items():
            found = await connection.fetchval("select current_setting($1::text, true)", name)
            assert found in (wanted, None if name == "transaction_timeout" else wanted), name
        interval = await connection.fetchval("show client_connection_check_interval")
        assert interval == "500ms"


async def test_tables_of_the_same_names_behind_in_the_search_path_are_left_alone(
    databases: Databases, old: OldDatabase
) -> None:
    await run_script(
        old.dsn,
        """
        create schema behind;
        create table behind.db_dbnode as table public.db_dbnode;
        create table behind.db_dblink as table public.db_dblink;
        """,
    )
    database = urlsplit(old.dsn).path[1:]
    await run_script(old.dsn, f"alter database {database} set search_path = public, behind")
    await migrate(old.dsn, "1.0.20")
    connection = await asyncpg.connect(old.dsn)
    types = await connection.fetchval(
        "select count(*) from behind.db_dbnode where type like 'calculation%'"
    )
    await connection.close()
    assert types == 4


async def test_the_schema_that_the_profile_names_is_migrated(old: OldDatabase) -> None:
    """And not another one, which is what the role would find without the profile."""
    await run_script(old.dsn, 'alter schema public rename to "Mine"; create schema public')
    options = quote('-c search_path="Mine"')
    database = f"{old.dsn}&options={options}"
    await migrate(database, "1.0.5")
    async with connected(old.dsn) as connection:
        query = "select count(*) from pg_tables where schemaname = 'public'"
        assert await connection.fetchval(query) == 0
    async with opened(database) as backend:
        assert str(backend.version) == "1.0.5"


async def test_a_migration_connects_as_the_backend_was_told_to(old: OldDatabase) -> None:
    """What `open_backend` was given beside the profile holds for the migration as well."""
    profile = aiidadb.Profile.from_dsn(old.dsn, name="without a user")
    nobody = dataclasses.replace(profile, user="aiidadb_test_nobody_at_all")
    options = {
        "user": urlsplit(old.dsn).username or "postgres",
        "min_size": 1,
        "command_timeout": 0.5,
        "server_settings": {"work_mem": "8MB", "application_name": "a service"},
    }
    async with aiidadb.open_backend(nobody, schema_check=False, **options) as backend:
        assert len((await backend.schema.migrate("1.0.5")).steps) == 4
    async with migrating_connection(nobody, options, patience=1, waiting=print) as connection:
        assert await connection.fetchval("show work_mem") == "8MB"
        name = await connection.fetchval("show application_name")
        assert name.startswith("aiidadb migrate, process")
        await connection.execute("select pg_sleep(0.7)")
