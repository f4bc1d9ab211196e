"""Nothing runs on the server for a backend that was closed, or a client that is gone."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from typing import TYPE_CHECKING

import asyncpg
import pytest

import aiidadb
from aiidadb.connecting.driver.statement import cancel_statement
from aiidadb.connecting.opening import connector
from aiidadb.exceptions import ClosedError
from tests.helpers.databases import fetchval
from tests.helpers.faults import proxy
from tests.helpers.gates import AT_GATE, gate
from tests.helpers.processes import started
from tests.helpers.sleepers import CLIENT_TO_KILL, SLEEP, SLEEPERS, wait_for_sleepers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

LIMIT = 20  # seconds, far beyond what any of these takes


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """However busy the server is, a statement is cancelled before its connection is cut."""
    for name in (
        "driver.statement._TIMEOUT",
        "pools.pool._CANCEL_TIMEOUT",
        "sessions.taken_connections._CANCEL_TIMEOUT",
    ):
        monkeypatch.setattr(f"aiidadb.connecting.{name}", LIMIT)


patiently = pytest.mark.usefixtures("patience")


@contextlib.asynccontextmanager
async def busy(
    backend: aiidadb.Backend, dsn: str, *, timeout: float | None = None
) -> AsyncIterator[asyncio.Task[object]]:
    """A call of the backend that takes long, in another task."""
    call = asyncio.create_task(backend._session.fetch(SLEEP, timeout=timeout))
    await wait_for_sleepers(dsn, 1)
    try:
        yield call
    finally:
        call.cancel()
        await asyncio.wait((call,))


async def test_closing_waits_for_calls_under_way(main_dsn: str) -> None:
    async with (
        asyncio.timeout(LIMIT),
        aiidadb.open_backend(aiidadb.Profile.from_dsn(main_dsn)) as backend,
        gate(main_dsn) as closed,
    ):
        call = asyncio.create_task(backend._session.fetch(f"select {AT_GATE}, 1 as one"))
        await closed.is_reached()
        closing = asyncio.create_task(backend.close(timeout=None))
        await asyncio.sleep(0.1)
        assert not closing.done()
        await closed.open()
        await closing
        assert call.done()
        assert call.result()[0]["one"] == 1
        with pytest.raises(ClosedError):
            await backend.settings.get("a")


@patiently
async def test_closing_cancels_what_takes_longer(main_dsn: str) -> None:
    async with (
        asyncio.timeout(LIMIT),
        aiidadb.open_backend(aiidadb.Profile.from_dsn(main_dsn)) as backend,
        busy(backend, main_dsn) as call,
    ):
        await backend.close(timeout=0.1)
        assert await fetchval(main_dsn, SLEEPERS) == 0
        with pytest.raises(ClosedError, match="closed while this call was under way"):
            await call


@patiently
async def test_closing_cancels_what_has_a_limit_of_its_own(main_dsn: str) -> None:
    async with (
        asyncio.timeout(LIMIT),
        aiidadb.open_backend(aiidadb.Profile.from_dsn(main_dsn)) as backend,
        busy(backend, main_dsn, timeout=60) as call,
    ):
        await backend.close(timeout=0)
        with pytest.raises(ClosedError, match="closed while this call was under way"):
            await call


@patiently
@pytest.mark.thorough
async def test_leaving_a_backend_cancels_what_is_under_way(main_dsn: str) -> None:
    async with asyncio.timeout(LIMIT):
        async with aiidadb.open_backend(aiidadb.Profile.from_dsn(main_dsn)) as backend:
            call = asyncio.create_task(backend._session.fetch(SLEEP))
            await wait_for_sleepers(main_dsn, 1)
        assert await fetchval(main_dsn, SLEEPERS) == 0
        with pytest.raises(ClosedError):
            await call


@patiently
async def test_closing_that_is_cancelled_leaves_nothing_running(main_dsn: str) -> None:
    async with (
        asyncio.timeout(LIMIT),
        aiidadb.open_backend(aiidadb.Profile.from_dsn(main_dsn)) as backend,
        busy(backend, main_dsn),
    ):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await backend.close(timeout=None)
        assert await fetchval(main_dsn, SLEEPERS) == 0


async def test_closing_cuts_a_transaction_that_goes_on(main_dsn: str) -> None:
    async with (
        asyncio.timeout(LIMIT),
        aiidadb.open_backend(aiidadb.Profile.from_dsn(main_dsn)) as backend,
    ):
        begun, go_on = asyncio.Event(), asyncio.Event()

        async def transaction() -> None:
            async with backend.transaction():
                await backend.settings.set("a", 1)
                begun.set()
                await go_on.wait()

        task = asyncio.create_task(transaction())
        await begun.wait()
        await backend.close(timeout=0.1)
        go_on.set()
        with pytest.raises(aiidadb.AiidaDbError):
            await task
        assert await fetchval(main_dsn, "select count(*) from db_dbsetting") == 0


async def test_a_transaction_that_closes_its_own_backend_is_committed(main_dsn: str) -> None:
    async with (
        asyncio.timeout(LIMIT),
        aiidadb.open_backend(aiidadb.Profile.from_dsn(main_dsn)) as backend,
    ):
        async with backend.transaction():
            await backend.settings.set("a", 1)
            await backend.close(timeout=None)
        assert await fetchval(main_dsn, "select count(*) from db_dbsetting") == 1


@patiently
async def test_closing_inside_a_transaction_ends_what_other_tasks_do_in_it(main_dsn: str) -> None:
    async with (
        asyncio.timeout(LIMIT),
        aiidadb.open_backend(aiidadb.Profile.from_dsn(main_dsn)) as backend,
    ):
        with pytest.raises(aiidadb.exceptions.DatabaseError, match="an earlier statement failed"):
            async with backend.transaction(), busy(backend, main_dsn) as call:
                waits = asyncio.create_task(backend.settings.set("a", 1))
                await asyncio.sleep(0)
                await backend.close(timeout=0.1)
                assert await fetchval(main_dsn, SLEEPERS) == 0
                with pytest.raises(ClosedError, match="closed while this call was under way"):
                    await call
                with pytest.raises(ClosedError, match="nothing was sent"):
                    await waits


@patiently
async def test_a_reset_cancels_what_is_under_way(
    main_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aiidadb.connecting.pools.pool.CLOSE_TIMEOUT", 0.1)
    async with asyncio.timeout(LIMIT), aiidadb.PoolRegistry() as registry:
        pool = await registry.get_pool(aiidadb.Profile.from_dsn(main_dsn))
        call = asyncio.create_task(pool.fetch(SLEEP))
        await wait_for_sleepers(main_dsn, 1)
        await registry.reset()
        assert await fetchval(main_dsn, SLEEPERS) == 0
        with pytest.raises(asyncpg.QueryCanceledError):
            await call


async def test_the_statement_of_a_client_that_was_killed_ends(main_dsn: str) -> None:
    with started([sys.executable, "-c", CLIENT_TO_KILL, main_dsn]) as client:
        await wait_for_sleepers(main_dsn, 1)
        client.kill()
        await wait_for_sleepers(main_dsn, 0)


async def test_a_server_that_cannot_look_for_its_clients_is_used_all_the_same(
    main_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As PostgreSQL 13, or one on a system that has no way to find out."""
    asked = []
    real = asyncpg.connect

    async def connect(dsn: str | None, **arguments: object) -> asyncpg.Connection:
        asked.append(dict(arguments["server_settings"]))  # type: ignore[call-overload]
        return await real(dsn, **arguments)

    monkeypatch.setitem(connector.SERVER_SETTINGS, "client_connection_check_interval", "-5ms")
    monkeypatch.setattr(asyncpg, "connect", connect)
    profile = aiidadb.Profile.from_dsn(main_dsn)
    async with (
        aiidadb.open_backend(profile) as backend,
        backend.connection(),
        backend.connection() as connection,
    ):
        assert await connection.fetchval("show jit") == "off"
    assert ["client_connection_check_interval" in one for one in asked] == [True, False, False]


async def test_what_the_caller_asks_for_is_not_dropped(main_dsn: str) -> None:
    profile = aiidadb.Profile.from_dsn(main_dsn)
    name = "client_connection_check_interval"
    async with aiidadb.PoolRegistry() as registry:
        with pytest.raises(aiidadb.AiidaDbError, match=name):
            await registry.get_pool(profile, server_settings={name: "-5ms"})
        pool = await registry.get_pool(profile, server_settings={name: "2s"})
        assert await pool.fetchval(f"show {name}") == "2s"


@pytest.mark.parametrize("waits_for", ["a place", "a new connection"])
async def test_a_call_that_has_no_connection_yet_is_refused_when_the_backend_closes(
    main_dsn: str, waits_for: str
) -> None:
    profile = aiidadb.Profile.from_dsn(main_dsn)
    async with (
        asyncio.timeout(LIMIT),
        aiidadb.PoolRegistry() as registry,
        aiidadb.open_backend(profile, registry=registry, max_size=1) as other,
        aiidadb.open_backend(profile, registry=registry, max_size=1) as backend,
    ):
        await other._session.pool.expire_connections()  # so that the next call connects again
        held = other.connection() if waits_for == "a place" else contextlib.nullcontext()
        async with held:
            call = asyncio.create_task(backend.settings.set("a", 1))
            await asyncio.sleep(0)
            await backend.close()
            assert call.done()
        with pytest.raises(ClosedError, match="nothing was sent"):
            await call
        assert await other.settings.get_all() == []  # and the place is free
        assert await fetchval(main_dsn, "select count(*) from db_dbsetting") == 0


async def test_a_connection_whose_server_cannot_be_asked_in_time_to_cancel_is_cut(
    main_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request that arrives late would cancel what is done next on it."""
    monkeypatch.setattr("aiidadb.connecting.driver.statement._TIMEOUT", 0.1)
    async with asyncio.timeout(LIMIT), proxy(main_dsn) as between:
        connection = await asyncpg.connect(between.dsn)
        between.fall_silent()
        await cancel_statement(connection)
        assert connection.is_closed()
