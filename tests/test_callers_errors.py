"""What the caller's own code raises inside a call of ours comes out as it went in."""

from __future__ import annotations

import asyncio
import builtins
from typing import TYPE_CHECKING

import asyncpg
import pytest

import aiidadb
from aiidadb.exceptions import AiidaDbError
from tests.helpers.databases import fetchval

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


def _of_python() -> list[Exception]:
    kinds = [
        kind
        for kind in vars(builtins).values()
        if isinstance(kind, type) and issubclass(kind, OSError | ValueError | LookupError)
    ]
    odd = (UnicodeDecodeError, UnicodeEncodeError, UnicodeTranslateError)
    return [kind("the caller's own") for kind in set(kinds) - set(odd)]


def _of_the_driver() -> list[Exception]:
    kinds = [
        kind
        for kind in vars(asyncpg.exceptions).values()
        if isinstance(kind, type)
        and issubclass(
            kind, asyncpg.PostgresError | asyncpg.InterfaceError | asyncpg.InternalClientError
        )
    ]
    return [kind("the caller's own") for kind in set(kinds)]


def _of_ours() -> list[Exception]:
    found = [AiidaDbError]
    for kind in found:
        found += kind.__subclasses__()
    return [
        kind("the caller's own") for kind in set(found) if kind.__module__ == "aiidadb.exceptions"
    ]


def _all() -> list[Exception]:
    others: list[Exception] = [
        asyncio.InvalidStateError("the caller's own"),
        StopAsyncIteration("the caller's own"),
        StopIteration("the caller's own"),
        RuntimeError("pool is closing"),
        asyncpg.InterfaceError("pool is closing"),
        asyncpg.InterfaceError("another operation is in progress"),
    ]
    return [*_of_python(), *_of_the_driver(), *_of_ours(), *others]


@pytest.fixture
async def backend(main_dsn: str) -> AsyncIterator[aiidadb.Backend]:
    async with aiidadb.open_backend(aiidadb.Profile.from_dsn(main_dsn), max_size=2) as opened:
        yield opened


@pytest.mark.parametrize("use", ["transaction", "connection"])
async def test_out_of_a_block_comes_what_was_raised_in_it(
    backend: aiidadb.Backend, main_dsn: str, use: str
) -> None:
    for error in _all():
        error.__cause__ = cause = KeyError("cause")
        with pytest.raises(type(error)) as raised:
            async with getattr(backend, use)() as connection:
                await connection.execute(
                    "insert into db_dbsetting (key, description, time) values ('a', '', now())"
                )
                await connection.execute("delete from db_dbsetting")
                if use == "transaction":
                    await backend.settings.set("a", 1)
                raise error
        assert raised.value is error
        assert error.__cause__ is cause
    assert await fetchval(main_dsn, "select count(*) from db_dbsetting") == 0


async def test_out_of_a_savepoint_too(backend: aiidadb.Backend) -> None:
    async with backend.transaction():
        for error in _all():
            with pytest.raises(type(error)) as raised:
                async with backend.transaction():
                    await backend.settings.set("inside", 1)
                    raise error
            assert raised.value is error
        await backend.settings.set("a", 1)
    assert [setting.key for setting in await backend.settings.get_all()] == ["a"]


async def test_errors_of_the_callers_own_sql_are_the_drivers(backend: aiidadb.Backend) -> None:
    for use in (backend.transaction, backend.connection):
        with pytest.raises(asyncpg.DivisionByZeroError):
            async with use() as connection:
                await connection.execute("select 1 / 0")
        with pytest.raises(TimeoutError):
            async with use() as connection:
                await connection.execute("select pg_sleep(60)", timeout=0.05)


async def test_what_the_caller_handles_is_not_told_in_our_errors_place(
    backend: aiidadb.Backend,
) -> None:
    """What goes wrong in a handler has what is handled for its context."""
    try:
        raise ConnectionResetError
    except ConnectionResetError:
        with pytest.raises(aiidadb.DatabaseError) as raised:
            await backend._session.fetch("select 1 / 0")
    assert raised.value.sqlstate == "22012"


async def test_out_of_closest_parents_comes_what_its_progress_raised(
    backend: aiidadb.Backend,
) -> None:
    error = ConnectionResetError("the caller's own")

    def progress(_done: int, _of: int) -> None:
        raise error

    with pytest.raises(ConnectionResetError) as raised:
        await backend.queries.get_closest_parents(
            [1, 2, 3], node_type="data.core.int.Int.", chunk_size=1, progress=progress
        )
    assert raised.value is error


@pytest.mark.parametrize(
    "kind", [OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, ValueError]
)
async def test_what_a_pools_reset_raises_comes_out_of_the_block(
    main_dsn: str, kind: type[Exception]
) -> None:
    error: list[Exception] = []

    async def reset(connection: asyncpg.Connection) -> None:
        if error:
            raise error.pop()

    async with aiidadb.open_backend(main_dsn, reset=reset) as backend:
        for use in (backend.connection, backend.transaction):
            error[:] = [mine] = [kind("the caller's own")]
            with pytest.raises(kind) as raised:
                async with use() as connection:
                    await connection.execute("select 1")
            assert raised.value is mine
            # What ends the block goes before it.
            error[:] = [kind("the caller's own")]
            with pytest.raises(KeyError) as first:
                async with use():
                    raise KeyError("first")
            assert "reset function raised" in first.value.__notes__[0]
            error[:] = [kind("the caller's own")]
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05), use():
                    await asyncio.sleep(20)
        assert await backend.settings.get_all() == []
