"""Databases for tests: each made once per run as a template, and cloned for every test."""

from __future__ import annotations

import contextlib
import hashlib
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from aiidadb.sql import SCHEMAS

__all__ = [
    "Builder",
    "Databases",
    "clone_of_schema",
    "connected",
    "drop_all_of",
    "fetchval",
    "new_run",
    "run_script",
]

Builder = Callable[[str], Awaitable[None]]


def new_run() -> str:
    """A name for a run of the tests, which the names of all of its databases begin with."""
    return f"aiidadb_test_{secrets.token_hex(4)}"


class Databases:
    """Makes and drops databases on one server.

    Several processes may use one server in the same run: each template is built by one of them,
    and the others wait for it. All methods may be called from any event loop: nothing is kept open
    between calls.

    Args:
        server_dsn: The server, as a role that may create databases.
        run: What the names of all databases of this run begin with; a new name by default.
        process: What distinguishes the databases of this process from those of others.
    """

    def __init__(self, server_dsn: str, *, run: str | None = None, process: str = "main") -> None:
        self.server_dsn = server_dsn
        self._run = run or new_run()
        self._process = process
        self._whole: set[str] = set()
        self._count = 0

    def dsn(self, name: str) -> str:
        """The DSN of a database of this server."""
        parts = urlsplit(self.server_dsn)
        return urlunsplit(parts._replace(path=f"/{name}"))

    async def create(self, template: str | None = None) -> str:
        """Create a database, empty or as a clone of a template; returns its DSN."""
        self._count += 1
        name = f"{self._run}_{self._process}_{self._count}"
        await self._execute(_create(name, self._template(template)))
        return self.dsn(name)

    async def template(self, name: str, build: Builder, base: str | None = None) -> str:
        """Make a template, if that was not done yet in this run.

        Args:
            name: What the template is called.
            build: Fills it, given the DSN of an empty database.
            base: Another template; ``build`` gets a clone of that one instead.

        Returns:
            The name, for `create`.
        """
        if name in self._whole:
            return name
        database = self._template(name)
        async with connected(self.server_dsn) as connection:
            # Released with the connection, whatever becomes of this process.
            await connection.execute(f"select pg_advisory_lock(hashtext('{database}'))")
            # A template that is whole takes no connections; without that mark it was left half.
            query = "select not datallowconn from pg_database where datname = $1::text"
            if not await connection.fetchval(query, database):
                await connection.execute(_drop(database))
                await connection.execute(_create(database, self._template(base)))
                await build(self.dsn(database))
                await connection.execute(f'alter database "{database}" allow_connections false')
        self._whole.add(name)
        return name

    async def drop(self, dsn: str) -> None:
        """Drop a database, also where something is still connected to it."""
        await self._execute(_drop(urlsplit(dsn).path[1:]))

    def _template(self, name: str | None) -> str:
        if name is None:
            return "template0"
        # The names of databases are cut after 63 bytes.
        return f"{self._run}_template_{hashlib.sha256(name.encode()).hexdigest()[:12]}"

    async def _execute(self, statement: str) -> None:
        await run_script(self.server_dsn, statement)


async def clone_of_schema(databases: Databases, name: str) -> str:
    """Make a database without a node; the name is one of those in `SCHEMAS`. Returns its DSN."""

    async def build(dsn: str) -> None:
        await run_script(dsn, SCHEMAS[name])

    return await databases.create(await databases.template(name, build))


async def drop_all_of(run: str, server_dsn: str) -> None:
    """Drop all databases of a run."""
    async with connected(server_dsn) as connection:
        query = "select datname from pg_database where starts_with(datname, $1::text)"
        for (name,) in await connection.fetch(query, f"{run}_"):
            await connection.execute(_drop(name))


async def run_script(dsn: str, script: str) -> None:
    """Execute a script of several statements in a database."""
    async with connected(dsn) as connection:
        await connection.execute(script)


@contextlib.asynccontextmanager
async def connected(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection of asyncpg's own, closed at the end."""
    connection = await asyncpg.connect(dsn)
    try:
        yield connection
    finally:
        await connection.close()


async def fetchval(dsn: str, query: str, *values: object) -> object:
    """One value, over a connection of its own."""
    async with connected(dsn) as connection:
        return await connection.fetchval(query, *values)


def _create(name: str, template: str) -> str:
    encoding = " encoding 'UTF8'" if template == "template0" else ""
    return f'create database "{name}" template "{template}"{encoding}'


def _drop(name: str) -> str:
    return f'drop database if exists "{name}" with (force)'
