"""Roles of the server, for tests of who may do what."""

from __future__ import annotations

import contextlib
import secrets
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

from tests.helpers.databases import Databases, fetchval, run_script

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

__all__ = ["owner_of", "role_name", "role_with"]


def role_name() -> str:
    """Roles are the server's, which other tests use at the same time."""
    return f"aiidadb_test_{secrets.token_hex(4)}"


@contextlib.asynccontextmanager
async def owner_of(databases: Databases, dsn: str) -> AsyncIterator[tuple[str, str]]:
    """Give a database, and all that is in it, to a role with no other rights; its name, and DSN."""
    name, database = role_name(), urlsplit(dsn).path[1:]
    await run_script(
        databases.server_dsn,
        f'create role {name} login; alter database "{database}" owner to {name}',
    )
    await run_script(
        dsn,
        f"""
        alter schema public owner to {name};
        do $$
        declare
            found_table name;
        begin
            for found_table in select tablename from pg_tables where schemaname = 'public' loop
                execute format('alter table %I owner to {name}', found_table);
            end loop;
        end
        $$;
        """,
    )
    parts = urlsplit(dsn)
    host = parts.netloc.rpartition("@")[2]
    try:
        yield name, urlunsplit(parts._replace(netloc=f"{name}@{host}"))
    finally:
        superuser = await fetchval(dsn, "select current_user")
        await run_script(
            dsn,
            f"reassign owned by {name} to {superuser}; drop owned by {name}; drop role {name}",
        )


@contextlib.asynccontextmanager
async def role_with(dsn: str, grant: str) -> AsyncIterator[str]:
    """A role that may read all and has one right more; the database's DSN for it."""
    name, database = role_name(), urlsplit(dsn).path[1:]
    await run_script(
        dsn,
        f"""
        create role {name} login;
        grant select on all tables in schema public to {name};
        revoke create on schema public from public;
        grant {grant.format(database=database)} to {name};
        """,
    )
    try:
        parts = urlsplit(dsn)
        host = parts.netloc.rpartition("@")[2]
        yield urlunsplit(parts._replace(netloc=f"{name}@{host}"))
    finally:
        await run_script(dsn, f"drop owned by {name}; drop role {name}")
