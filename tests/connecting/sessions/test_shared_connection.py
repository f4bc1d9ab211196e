"""The connection of a transaction, shared: with tasks started inside, and with the caller's SQL."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import asyncpg
import pytest

import aiidadb
from aiidadb.exceptions import ClosedError, ConcurrencyError
from tests.helpers.databases import connected, fetchval
from tests.helpers.gates import AT_GATE, gate

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

LIMIT = 20  # seconds, far beyond what any of these takes


@pytest.fixture
async def backend(main_dsn: str) -> AsyncIterator[aiidadb.Backend]:
    profile = aiidadb.Profile.from_dsn(main_dsn)
    async with asyncio.timeout(LIMIT), aiidadb.open_backend(profile) as opened:
        yield opened


async def keys(backend: aiidadb.Backend) -> set[str]:
    return {setting.key for setting in await backend.settings.get_all()}


# ---------------------------------------------------------------- savepoints


async def test_a_task_awaited_inside_a_savepoint_of_the_callers_is_told_why_it_cannot(
    backend: aiidadb.Backend,
) -> None:
    async with backend.transaction():
        go_on = asyncio.Event()

        async def call() -> None:
            await go_on.wait()
            await backend.settings.set("task", 1)

        task = asyncio.create_task(call())
        await asyncio.sleep(0)
        async with asyncio.timeout(5), backend.transaction():
            go_on.set()
            with pytest.raises(ConcurrencyError, match="savepoint is open"):
                await task
            await backend.settings.set("inside", 1)
        await backend.settings.set("outside", 1)
    assert await keys(backend) == {"inside", "outside"}


async def test_a_savepoint_awaited_inside_another_is_told_as_well(
    backend: aiidadb.Backend,
) -> None:
    async with backend.transaction():

        async def savepoint() -> None:
            async with backend.transaction():
                pass

        task = asyncio.create_task(savepoint())
        async with asyncio.timeout(5), backend.transaction():
            with pytest.raises(ConcurrencyError, match="savepoint is open"):
                await task


async def test_a_call_that_comes_as_a_savepoint_has_its_turn_is_told_as_well(
    backend: aiidadb.Backend,
) -> None:
    go_on = asyncio.Event()

    async def savepoint() -> None:
        async with backend.transaction():
            await go_on.wait()

    async with backend.transaction():
        own = backend._session._transaction.get()
        assert own is not None
        async with own.turn():
            task = asyncio.create_task(savepoint())
            await asyncio.sleep(0)
        # It is the next one's turn, which has not run since.
        async with asyncio.timeout(5):
            with pytest.raises(ConcurrencyError, match="savepoint is open"):
                await backend.settings.set("a", 1)
        go_on.set()
        await task


async def test_behind_savepoints_of_the_callers_that_end_soon_others_wait(
    backend: aiidadb.Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aiidadb.connecting.sessions.transaction._PATIENCE", LIMIT)

    async def savepoint(number: int) -> None:
        async with backend.transaction():
            await backend.settings.set(f"key{number}", number)
            await asyncio.sleep(0.1)

    async with backend.transaction():
        await asyncio.gather(*map(savepoint, range(10)), backend.settings.get_all())
    assert len(await keys(backend)) == 10


async def test_behind_a_savepoint_of_our_own_others_wait(
    backend: aiidadb.Backend, main_dsn: str
) -> None:
    await backend.settings.set("a", 1)
    async with connected(main_dsn) as other, backend.transaction():
        await other.execute("begin; lock table db_dbnode in exclusive mode")

        async def let_go() -> None:
            await asyncio.sleep(1)  # longer than one waits for a savepoint of the caller's
            await other.execute("commit")

        report, setting, _ = await asyncio.gather(
            backend.delete_nodes_and_connections(1), backend.settings.get("a"), let_go()
        )
    assert (report.missing, setting.value) == ((1,), 1)


async def test_a_transaction_does_not_end_while_a_savepoint_of_a_lost_task_is_open(
    backend: aiidadb.Backend,
) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def savepoint() -> None:
        async with backend.transaction():
            await backend.settings.set("inside", 1)
            begun.set()
            await go_on.wait()

    with pytest.raises(ConcurrencyError, match="savepoint is open"):
        async with backend.transaction():
            await backend.settings.set("outside", 1)
            task = asyncio.create_task(savepoint())
            await begun.wait()
    go_on.set()
    with pytest.raises(aiidadb.AiidaDbError):
        await task
    assert await keys(backend) == set()


# ---------------------------------------------------------------- SQL of the caller's own


async def test_the_callers_own_sql_is_part_of_the_transaction(backend: aiidadb.Backend) -> None:
    with pytest.raises(KeyError):
        async with backend.transaction() as connection:
            await backend.settings.set("a", {"b": 1})
            assert await connection.fetchval("select val from db_dbsetting") == {"b": 1}
            await connection.execute("update db_dbsetting set key = 'c'")
            assert await keys(backend) == {"c"}
            raise KeyError
    assert await keys(backend) == set()


async def test_a_connection_inside_a_transaction_is_the_transactions(
    backend: aiidadb.Backend,
) -> None:
    async with backend.transaction() as outer:
        await backend.settings.set("a", 1)
        async with backend.connection() as connection:
            assert connection is outer
            assert await connection.fetchval("select count(*) from db_dbsetting") == 1
            await backend.settings.set("b", 1)  # it is not kept for the caller alone
    async with backend.connection() as connection:
        assert not connection.is_in_transaction()
        assert await connection.fetchval("select count(*) from db_dbsetting") == 2


@pytest.mark.parametrize("use", ["connection", "transaction"])
async def test_what_the_caller_does_to_the_session_does_not_reach_others(
    main_dsn: str, use: str
) -> None:
    profile = aiidadb.Profile.from_dsn(main_dsn)
    async with aiidadb.open_backend(profile, max_size=1) as backend:
        for _ in range(2):
            async with getattr(backend, use)() as connection:
                await connection.execute("set timezone = 'Asia/Kathmandu'")
            (row,) = await backend._session.fetch("show timezone")
            assert row[0] != "Asia/Kathmandu"
        async with backend.connection() as connection:
            assert await connection.fetchval("show client_connection_check_interval") == "500ms"


async def test_a_call_that_meets_the_callers_own_statement_says_so(
    backend: aiidadb.Backend, main_dsn: str
) -> None:
    async with gate(main_dsn) as closed, backend.transaction() as connection:
        own = asyncio.create_task(connection.execute(f"select {AT_GATE}"))
        await closed.is_reached()
        for call in (backend.settings.get_all(), backend.settings.set("a", 1)):
            with pytest.raises(ConcurrencyError, match="caller's own is under way"):
                await call
        await closed.open()
        await own
        await backend.settings.set("b", 1)
    assert await keys(backend) == {"b"}


async def test_a_savepoint_that_meets_the_callers_own_statement_leaves_all_intact(
    backend: aiidadb.Backend, main_dsn: str
) -> None:
    async with gate(main_dsn) as closed, backend.transaction() as connection:
        await backend.settings.set("a", 1)
        own = asyncio.create_task(connection.fetchval(f"select 1 from {AT_GATE}"))
        await closed.is_reached()
        with pytest.raises(ConcurrencyError, match="caller's own is under way"):
            await backend.delete_nodes_and_connections([1])
        await closed.open()
        assert await own == 1
        assert (await backend.delete_nodes_and_connections([1])).missing == (1,)
    assert await keys(backend) == {"a"}


async def test_the_callers_own_statement_that_meets_a_call_is_told_by_the_driver(
    backend: aiidadb.Backend, main_dsn: str
) -> None:
    async with gate(main_dsn) as closed, backend.transaction() as connection:
        call = asyncio.create_task(backend._session.fetch(f"select {AT_GATE}"))
        await closed.is_reached()
        with pytest.raises(asyncpg.InterfaceError, match="another operation"):
            await connection.execute("select 1")
        await closed.open()
        await call


async def test_a_transaction_that_ends_during_the_callers_own_statement_is_undone(
    backend: aiidadb.Backend, main_dsn: str
) -> None:
    complaints: list[dict[str, object]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _loop, context: complaints.append(context))
    with pytest.raises(ConcurrencyError, match="caller's own is under way"):
        async with backend.transaction() as connection:
            await backend.settings.set("a", 1)
            own = asyncio.create_task(connection.execute("select pg_sleep(60)"))
            await asyncio.sleep(0.1)
    with pytest.raises(asyncpg.PostgresError):
        await own
    assert complaints == []
    assert await fetchval(main_dsn, "select count(*) from db_dbsetting") == 0
    assert await keys(backend) == set()


async def test_a_connection_of_a_closed_backend_is_refused(main_dsn: str) -> None:
    async with aiidadb.open_backend(aiidadb.Profile.from_dsn(main_dsn)) as backend:
        pass
    with pytest.raises(ClosedError):
        async with backend.connection():
            pass
