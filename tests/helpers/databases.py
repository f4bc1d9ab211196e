"""Databases for tests: each made once as a template, and cloned for every test."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from urllib.parse import urlsplit, urlunsplit

import asyncpg

Builder = Callable[[str], Awaitable[None]]


class Databases:
    """Makes and drops databases on one server.

    All methods may be called from any event loop: nothing is kept open between calls.
    """

    def __init__(self, server_dsn: str) -> None:
        self.server_dsn = server_dsn
        self._prefix = f"aiidadb_test_{secrets.token_hex(4)}"
        self._templates: dict[str, str] = {}
        self._made: list[str] = []
        self._count = 0

    def dsn(self, name: str) -> str:
        parts = urlsplit(self.server_dsn)
        return urlunsplit(parts._replace(path=f"/{name}"))

    async def create(self, template: str | None = None) -> str:
        """A new database, empty or a clone of a template; gives its DSN."""
        self._count += 1
        name = f"{self._prefix}_{self._count}"
        await self._create(name, self._templates.get(template or "", "template0"))
        return self.dsn(name)

    async def template(self, name: str, build: Builder, base: str | None = None) -> str:
        """Make a template once: ``build`` gets the DSN of an empty database. Gives the name.

        With ``base``, the name of another template, it gets the DSN of a clone of that one.
        """
        if name not in self._templates:
            database = f"{self._prefix}_t{len(self._templates)}"
            await self._create(database, self._templates[base] if base else "template0")
            await build(self.dsn(database))
            self._templates[name] = database
        return name

    async def drop(self, dsn: str) -> None:
        name = urlsplit(dsn).path[1:]
        await self._run(f'drop database if exists "{name}" with (force)')
        if name in self._made:
            self._made.remove(name)

    async def drop_all(self) -> None:
        for name in list(self._made):
            await self.drop(self.dsn(name))

    async def _create(self, name: str, template: str) -> None:
        await self._run(
            f'create database "{name}" template "{template}"'
            + (" encoding 'UTF8'" if template == "template0" else "")
        )
        self._made.append(name)

    async def _run(self, statement: str) -> None:
        connection = await asyncpg.connect(self.server_dsn)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()


async def run_script(dsn: str, script: str) -> None:
    """Execute a script of several statements in a database."""
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(script)
    finally:
        await connection.close()


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
