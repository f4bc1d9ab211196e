"""A step's transaction: its COMMIT is waited for, and what became of it is told."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import asyncpg
import pytest

from aiidadb.exceptions import UnknownOutcome
from aiidadb.migration import transaction
from aiidadb.migration.transaction import atomic
from tests.helpers.cancelling import EACH_WAY, outcome_of
from tests.helpers.databases import connected, fetchval
from tests.helpers.faults import proxy
from tests.helpers.gates import AT_GATE, gate

if TYPE_CHECKING:
    from tests.helpers.cancelling import Way

LIMIT = 20  # seconds, far beyond what any of these takes

SLOW = """
create table done (number int);
create function at_commit() returns trigger language plpgsql as $$
begin
    perform {gate};
    {then}
    return null;
end
$$;
create constraint trigger at_commit after insert on done
deferrable initially deferred for each row execute function at_commit();
"""

each_way = pytest.mark.parametrize("way", EACH_WAY)


async def step(connection: asyncpg.Connection) -> None:
    async with atomic(connection, "step one"):
        await connection.execute("insert into done values (1)")


@each_way
async def test_cancelled_during_commit_it_is_waited_for(empty_dsn: str, way: Way) -> None:
    async with (
        asyncio.timeout(LIMIT),
        connected(empty_dsn) as connection,
        gate(empty_dsn) as closed,
    ):
        await connection.execute(SLOW.format(gate=AT_GATE, then=""))
        said = await outcome_of(step(connection), way, when=closed.is_reached, then=closed.open)
        assert isinstance(said, asyncio.CancelledError)
        assert said.__notes__ == ["step one was committed all the same"]
        assert await connection.fetchval("select count(*) from done") == 1


@each_way
async def test_what_the_server_refuses_to_commit_is_told(empty_dsn: str, way: Way) -> None:
    async with (
        asyncio.timeout(LIMIT),
        connected(empty_dsn) as connection,
        gate(empty_dsn) as closed,
    ):
        await connection.execute(SLOW.format(gate=AT_GATE, then="raise division_by_zero;"))
        said = await outcome_of(step(connection), way, when=closed.is_reached, then=closed.open)
        assert isinstance(said, asyncpg.DivisionByZeroError)
        assert await connection.fetchval("select count(*) from done") == 0


async def test_without_an_answer_the_outcome_is_unknown(
    empty_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transaction, "COMMIT_TIMEOUT", 0.2)
    async with asyncio.timeout(LIMIT), proxy(empty_dsn) as between:
        connection = await asyncpg.connect(between.dsn)
        await connection.execute("create table done (number int)")
        between.holds_answers_to = b"COMMIT;"
        said = await outcome_of(step(connection), EACH_WAY[0], when=between.is_holding.wait)
        assert isinstance(said, UnknownOutcome)
        assert connection.is_closed()
        between.is_holding.clear()
    assert await fetchval(empty_dsn, "select count(*) from done") == 1


@each_way
async def test_cancelled_before_it_is_undone(empty_dsn: str, way: Way) -> None:
    async def slow_step(connection: asyncpg.Connection) -> None:
        async with atomic(connection, "step one"):
            await connection.execute("insert into done values (1)")
            await connection.execute("select pg_sleep(60)")

    async with asyncio.timeout(LIMIT), connected(empty_dsn) as connection:
        await connection.execute("create table done (number int)")
        said = await outcome_of(slow_step(connection), way, after=0.1)
        assert isinstance(said, asyncio.CancelledError)
        assert not hasattr(said, "__notes__")
        assert await connection.fetchval("select count(*) from done") == 0
