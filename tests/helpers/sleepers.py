"""Statements that take long, and how many of them run on the server."""

from __future__ import annotations

import asyncio
from typing import Final

from tests.helpers.databases import connected

__all__ = ["CLIENT_TO_KILL", "SLEEP", "SLEEPERS", "wait_for_sleepers"]

LIMIT = 20  # seconds, far beyond what any test waits

SLEEP: Final = "select pg_sleep(60)"

SLEEPERS: Final = (
    "select count(*) from pg_stat_activity where datname = current_database() "
    "and state = 'active' and query like 'select pg_sleep%'"
)
"""How many sleep in the database that is asked."""

CLIENT_TO_KILL: Final = """
import asyncio, sys, aiidadb

async def main():
    async with aiidadb.open_backend(aiidadb.Profile.from_dsn(sys.argv[1])) as backend:
        async with backend.connection() as connection:
            await connection.execute("set work_mem = '8MB'")  # which a reset undoes
        async with backend.connection() as connection:
            await connection.execute("select pg_sleep(60)")

asyncio.run(main())
"""
"""A program that sleeps on the server; its argument is the DSN."""


async def wait_for_sleepers(dsn: str, number: int) -> None:
    """Wait until that many statements sleep, asking over a connection of its own."""
    async with asyncio.timeout(LIMIT), connected(dsn) as connection:
        while await connection.fetchval(SLEEPERS) != number:
            await asyncio.sleep(0.02)
