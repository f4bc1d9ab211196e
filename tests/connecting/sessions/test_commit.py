"""What a caller hears who is cancelled, or loses the connection, while COMMIT is under way."""

from __future__ import annotations

import asyncio
import contextlib
from functools import partial
from typing import TYPE_CHECKING

import asyncpg
import pytest
from pypika import Query

import aiidadb
from aiidadb import nodes
from aiidadb.demo.embedded_server import embedded_server
from aiidadb.exceptions import (
    DatabaseError,
    NotExistent,
    QueryTimeout,
    UnknownOutcome,
    UnreachableStorage,
)
from aiidadb.sql import SCHEMAS
from tests.helpers.cancelling import EACH_WAY, by_cancel, by_timeout, outcome_of
from tests.helpers.databases import connected, fetchval, run_script
from tests.helpers.faults import proxy
from tests.helpers.gates import AT_GATE, gate

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from tests.helpers.cancelling import Way

LIMIT = 20  # seconds, far beyond what any of these takes

each_way = pytest.mark.parametrize("way", EACH_WAY)

AT_COMMIT = """
create function at_commit() returns trigger language plpgsql as $$
begin
    {do}
    return null;
end
$$;
create constraint trigger at_commit after insert or delete on db_dbsetting
deferrable initially deferred for each row execute function at_commit();
"""
WAIT = f"perform {AT_GATE};"


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """However busy the server is, it is asked to cancel a statement before a connection is cut."""
    monkeypatch.setattr("aiidadb.connecting.driver.statement._TIMEOUT", LIMIT)


@contextlib.asynccontextmanager
async def opened(dsn: str, **options: object) -> AsyncIterator[aiidadb.Backend]:
    """A backend with a registry of its own, so with options of its own."""
    async with aiidadb.PoolRegistry() as registry:
        profile = aiidadb.Profile.from_dsn(dsn)
        async with aiidadb.open_backend(profile, registry=registry, **options) as backend:
            yield backend


async def is_stored(dsn: str, key: str = "a") -> bool:
    query = "select exists (select from db_dbsetting where key = $1::text)"
    return bool(await fetchval(dsn, query, key))


async def set_in_transaction(backend: aiidadb.Backend) -> None:
    async with backend.transaction():
        await backend.settings.set("a", 1)


@each_way
async def test_cancelled_during_commit_the_answer_is_waited_for(main_dsn: str, way: Way) -> None:
    await run_script(main_dsn, AT_COMMIT.format(do=WAIT))
    async with asyncio.timeout(LIMIT), opened(main_dsn) as backend, gate(main_dsn) as closed:
        said = await outcome_of(
            set_in_transaction(backend), way, when=closed.is_reached, then=closed.open
        )
        assert isinstance(said, asyncio.CancelledError)
        (note,) = said.__notes__
        assert "committed all the same" in note
        assert await is_stored(main_dsn)
        await backend.settings.get("a")  # and the connection is of use


@pytest.mark.parametrize("how", ["transaction", "single write"])
async def test_cancelled_while_the_connection_goes_back_it_is_said_that_the_change_was_made(
    main_dsn: str, how: str
) -> None:
    is_reset, go_on = asyncio.Event(), asyncio.Event()
    go_on.set()

    async def reset(_connection: asyncpg.Connection) -> None:
        is_reset.set()
        await go_on.wait()

    async with asyncio.timeout(LIMIT), opened(main_dsn, reset=reset) as backend:
        is_reset.clear()
        go_on.clear()
        change = (
            set_in_transaction(backend) if how == "transaction" else backend.settings.set("a", 1)
        )
        call = asyncio.create_task(change)
        await is_reset.wait()
        call.cancel()
        go_on.set()
        with pytest.raises(asyncio.CancelledError) as raised:
            await call
    assert "all the same" in raised.value.__notes__[0]
    assert await is_stored(main_dsn)


@each_way
async def test_what_the_server_refuses_to_commit_is_told_in_the_cancellations_place(
    main_dsn: str, way: Way
) -> None:
    await run_script(main_dsn, AT_COMMIT.format(do=f"{WAIT} raise division_by_zero;"))
    async with asyncio.timeout(LIMIT), opened(main_dsn) as backend, gate(main_dsn) as closed:
        said = await outcome_of(
            set_in_transaction(backend), way, when=closed.is_reached, then=closed.open
        )
        assert isinstance(said, DatabaseError)
        assert said.sqlstate == "22012"
        assert not await is_stored(main_dsn)
        with pytest.raises(NotExistent):
            await backend.settings.get("a")


async def test_a_limit_around_a_transaction_says_so_after_the_commit(main_dsn: str) -> None:
    await run_script(main_dsn, AT_COMMIT.format(do=WAIT))
    async with asyncio.timeout(LIMIT), opened(main_dsn) as backend, gate(main_dsn) as closed:
        with pytest.raises(TimeoutError) as raised:
            async with asyncio.timeout(None) as limit:

                async def expire() -> None:
                    await closed.is_reached()
                    limit.reschedule(asyncio.get_running_loop().time())
                    while not limit.expired():
                        await asyncio.sleep(0.001)
                    await closed.open()

                expiring = asyncio.create_task(expire())
                await set_in_transaction(backend)
        await expiring
    assert "committed" in raised.value.__cause__.__notes__[0]
    assert await is_stored(main_dsn)


@each_way
async def test_without_an_answer_in_time_the_outcome_is_unknown(main_dsn: str, way: Way) -> None:
    async with proxy(main_dsn) as between, asyncio.timeout(LIMIT):
        between.holds_answers_to = b"COMMIT;"
        async with opened(between.dsn, commit_timeout=0.3) as backend:
            said = await outcome_of(set_in_transaction(backend), way, when=between.is_holding.wait)
            assert isinstance(said, UnknownOutcome)
            assert "had not answered COMMIT" in str(said)
            assert "0.3 seconds" in str(said)
            between.is_holding.clear()
            between.holds_answers_to = b""
            assert (await backend.settings.get("a")).value == 1


async def test_a_commit_whose_answer_is_lost_has_an_unknown_outcome(main_dsn: str) -> None:
    async with proxy(main_dsn) as between, opened(between.dsn) as backend:
        with pytest.raises(UnknownOutcome, match="lost before the answer to COMMIT"):
            async with backend.transaction():
                await backend.settings.set("a", 1)
                between.cuts_answer_to = b"COMMIT"
        assert await is_stored(main_dsn)


async def test_a_commit_that_the_server_cancels_has_a_known_outcome(main_dsn: str) -> None:
    await run_script(main_dsn, AT_COMMIT.format(do=WAIT))
    async with opened(main_dsn) as backend, gate(main_dsn) as closed:

        async def cancel(pid: int) -> None:
            await closed.is_reached()
            await run_script(main_dsn, f"select pg_cancel_backend({pid})")

        async with asyncio.TaskGroup() as tasks:
            with pytest.raises(QueryTimeout):
                async with backend.transaction() as connection:
                    await backend.settings.set("a", 1)
                    tasks.create_task(cancel(connection.get_server_pid()))
        assert not await is_stored(main_dsn)


# ---------------------------------------------------------------- one statement, without BEGIN


@pytest.mark.parametrize("call", ["set", "delete"])
async def test_a_single_write_whose_answer_is_lost_has_an_unknown_outcome(
    main_dsn: str, call: str
) -> None:
    async with proxy(main_dsn) as between, opened(between.dsn, max_size=1) as backend:
        # The statement is prepared before: its own answer is the next.
        await backend.settings.set("a", 0)
        await backend.settings.delete("a")
        if call == "delete":
            await backend.settings.set("a", 0)
        between.cut_at_next_answer = True
        with pytest.raises(UnknownOutcome, match="before trying again"):
            await (backend.settings.set("a", 1) if call == "set" else backend.settings.delete("a"))
        assert await is_stored(main_dsn) is (call == "set")


async def test_a_question_whose_answer_is_lost_can_be_asked_again(main_dsn: str) -> None:
    async with proxy(main_dsn) as between, opened(between.dsn, max_size=1) as backend:
        await backend.settings.get_all()
        between.cut_at_next_answer = True
        with pytest.raises(UnreachableStorage, match="try again"):
            await backend.settings.get_all()
        between.cut_at_next_answer = False
        assert await backend.settings.get_all() == []


async def test_a_write_in_a_transaction_that_is_lost_was_not_made(main_dsn: str) -> None:
    async with proxy(main_dsn) as between, opened(between.dsn, max_size=1) as backend:
        with pytest.raises(UnreachableStorage):
            async with backend.transaction():
                await backend.settings.set("a", 1)
                between.cut_at_next_answer = True
                await backend.settings.set("a", 2)
        assert not await is_stored(main_dsn)


@each_way
async def test_a_single_write_that_is_cancelled_in_time_was_not_made(
    main_dsn: str, way: Way
) -> None:
    async with connected(main_dsn) as other, opened(main_dsn) as backend:
        async with asyncio.timeout(LIMIT), other.transaction():
            await other.execute("lock table db_dbsetting in exclusive mode")
            said = await outcome_of(backend.settings.set("a", 1), way, after=0.1)
        assert isinstance(said, asyncio.CancelledError)
        assert not hasattr(said, "__notes__")
        assert not await is_stored(main_dsn)


@each_way
async def test_a_single_write_that_was_made_all_the_same_says_so(main_dsn: str, way: Way) -> None:
    async with proxy(main_dsn) as between, opened(between.dsn, max_size=1) as backend:
        await backend.settings.set("a", 0)
        between.holds_answers_to = b"another value"

        async def let_go() -> None:
            between.holds_answers_to = b""
            between.is_holding.clear()

        async with asyncio.timeout(LIMIT):
            call = backend.settings.set("b", "another value")
            said = await outcome_of(call, way, when=between.is_holding.wait, then=let_go)
        assert isinstance(said, asyncio.CancelledError)
        assert "made all the same" in said.__notes__[0]
        assert await is_stored(main_dsn, "b")


async def test_a_single_write_without_an_answer_in_time_has_an_unknown_outcome(
    main_dsn: str,
) -> None:
    async with (
        proxy(main_dsn) as between,
        opened(between.dsn, max_size=1, commit_timeout=0.3) as backend,
    ):
        between.holds_answers_to = b"another value"
        async with asyncio.timeout(LIMIT):
            call = backend.settings.set("a", "another value")
            said = await outcome_of(call, by_timeout, when=between.is_holding.wait)
        assert isinstance(said, UnknownOutcome)
        between.is_holding.clear()


async def test_a_single_write_to_a_server_that_fell_silent_ends_in_the_callers_time(
    main_dsn: str,
) -> None:
    """Though the server does not take the request to cancel it either."""
    async with (
        proxy(main_dsn) as between,
        opened(between.dsn, max_size=1, commit_timeout=0.3) as backend,
    ):
        await backend.settings.set("a", 0)
        between.fall_silent()
        async with asyncio.timeout(LIMIT / 2) as limit:
            said = await outcome_of(backend.settings.set("a", 1), by_timeout)
        assert isinstance(said, UnknownOutcome)
        assert not limit.expired()
        between.passing.set()


# ---------------------------------------------------------------- what takes too long


HOWS = pytest.mark.parametrize("how", ["transaction", "single write"])


async def change(backend: aiidadb.Backend, how: str) -> None:
    if how == "transaction":
        await set_in_transaction(backend)
    else:
        await backend.settings.set("a", 1)


@HOWS
async def test_what_the_server_cancels_because_it_takes_too_long_was_not_made(
    main_dsn: str, how: str
) -> None:
    await run_script(main_dsn, AT_COMMIT.format(do="perform pg_sleep(60);"))
    async with asyncio.timeout(LIMIT), opened(main_dsn, command_timeout=0.7) as backend:
        with pytest.raises(QueryTimeout, match=r"0\.7 seconds allowed .* nothing was changed"):
            await change(backend, how)
        assert not await is_stored(main_dsn)
        assert await backend.settings.get_all() == []  # and the connection is of use


@HOWS
async def test_what_was_made_before_the_server_was_asked_to_cancel_it_is_as_made(
    main_dsn: str, how: str
) -> None:
    async with proxy(main_dsn) as between, opened(between.dsn, command_timeout=0.7) as backend:
        await backend.settings.set("b", 1)  # which prepares the statement
        between.holds_answers_to = b"COMMIT" if how == "transaction" else b"a value"

        async def let_go() -> None:
            await between.is_holding.wait()
            await asyncio.sleep(1.2)
            between.holds_answers_to = b""
            between.is_holding.clear()

        async with asyncio.timeout(LIMIT), asyncio.TaskGroup() as tasks:
            tasks.create_task(let_go())
            if how == "transaction":
                await set_in_transaction(backend)
            else:
                await backend.settings.set("a", "a value")
        assert await is_stored(main_dsn)
        async with backend.connection() as connection:
            with pytest.raises(TimeoutError):  # the driver's limit is as before
                await connection.execute("select pg_sleep(60)")


@HOWS
async def test_what_takes_too_long_and_is_not_answered_has_an_unknown_outcome(
    main_dsn: str, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aiidadb.connecting.driver.statement.RELEASE_TIMEOUT", 0.3)
    async with proxy(main_dsn) as between, opened(between.dsn, command_timeout=0.7) as backend:
        await backend.settings.set("b", 1)
        between.holds_answers_to = b"COMMIT" if how == "transaction" else b""
        if how != "transaction":
            between.is_holding.set()  # from now on
        async with asyncio.timeout(LIMIT):
            with pytest.raises(UnknownOutcome, match=r"took longer than the 0\.7 seconds allowed"):
                await change(backend, how)
        between.holds_answers_to = b""
        between.is_holding.clear()


# ---------------------------------------------------------------- replication that is waited for


@pytest.fixture(scope="module")
def waiting_server_dsn() -> Iterator[str]:
    """A server whose commits wait for a standby that is not there."""
    with embedded_server(durable=False) as server:
        for script in (
            SCHEMAS["main_0002"],
            "alter system set synchronous_standby_names = 'nobody'",
            "select pg_reload_conf()",
        ):
            asyncio.run(run_script(server.dsn, script))
        yield server.dsn


async def waits_for_standby(dsn: str) -> None:
    query = "select count(*) from pg_stat_activity where wait_event = 'SyncRep'"
    async with asyncio.timeout(LIMIT), connected(dsn) as connection:
        while not await connection.fetchval(query):
            await asyncio.sleep(0.01)


async def test_a_commit_that_waits_for_a_standby_has_an_unknown_outcome(
    waiting_server_dsn: str,
) -> None:
    options = {"commit_timeout": 0.3, "server_settings": {"synchronous_commit": "on"}}
    async with asyncio.timeout(LIMIT), opened(waiting_server_dsn, **options) as backend:
        said = await outcome_of(
            set_in_transaction(backend),
            by_timeout,
            when=partial(waits_for_standby, waiting_server_dsn),
        )
    assert isinstance(said, UnknownOutcome)
    # The server goes on waiting, and lets others see the row when it has done with that.
    query = "select pg_cancel_backend(pid) from pg_stat_activity where wait_event = 'SyncRep'"
    assert await fetchval(waiting_server_dsn, query)
    async with asyncio.timeout(LIMIT):
        while not await is_stored(waiting_server_dsn):
            await asyncio.sleep(0.05)


async def test_a_single_write_that_waits_for_a_standby_was_made(waiting_server_dsn: str) -> None:
    options = {"server_settings": {"synchronous_commit": "on"}}
    async with asyncio.timeout(LIMIT), opened(waiting_server_dsn, **options) as backend:
        said = await outcome_of(
            backend.settings.set("b", 1),
            by_cancel,
            when=partial(waits_for_standby, waiting_server_dsn),
        )
    assert isinstance(said, asyncio.CancelledError)
    assert "made all the same" in said.__notes__[0]
    assert await is_stored(waiting_server_dsn, "b")


@pytest.mark.quick
@pytest.mark.parametrize("whose", ["the caller's", "ours"])
async def test_an_error_that_is_passed_over_inside_does_not_lose_the_rest_in_silence(
    backend, whose
):
    with pytest.raises(DatabaseError, match="earlier statement failed, and nothing of") as caught:
        async with backend.transaction() as connection:
            await backend.settings.set("kept", 1)
            with contextlib.suppress(asyncpg.PostgresError, DatabaseError):
                if whose == "ours":
                    await backend.queries.fetch(Query.from_(nodes).select(nodes.no_such_column))
                else:
                    await connection.execute("select no_such_column")
    assert caught.value.sqlstate == "25P02"
    with pytest.raises(NotExistent):
        await backend.settings.get("kept")


async def test_an_error_that_is_passed_over_in_a_savepoint_loses_that_alone(backend):
    async with backend.transaction() as connection:
        await backend.settings.set("kept", 1)
        with contextlib.suppress(asyncpg.PostgresError):
            async with backend.transaction():
                await backend.settings.set("lost", 1)
                await connection.execute("select no_such_column")
    assert (await backend.settings.get("kept")).value == 1
    with pytest.raises(NotExistent):
        await backend.settings.get("lost")
