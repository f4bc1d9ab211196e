"""Rows of a query, read in batches, so that memory does not grow with them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiidadb.sql import QUERIES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import asyncpg

__all__ = ["read_in_batches"]


async def read_in_batches(
    connection: asyncpg.Connection,
    query: str,
    *values: object,
    size: int,
    table: str | None = None,
) -> AsyncIterator[list[asyncpg.Record]]:
    """Read the rows of a query by a cursor of the transaction.

    Args:
        connection: In a transaction; it may be used between two batches.
        query: The query's name.
        values: Its parameters.
        size: How many rows a batch has, the last one fewer.
        table: The table that it is run on, where the query leaves that open.

    Yields:
        Rows, none twice; no empty batch.
    """
    asked = QUERIES[query] if table is None else QUERIES[query].on_table(table)
    batch: list[asyncpg.Record] = []
    # Iterated to its end, asyncpg's cursor closes its portal. With an open one no table that it
    # reads could be altered in the same transaction.
    async for row in connection.cursor(asked.text, *values, prefetch=size):
        batch.append(row)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
