"""A deletion reports how far it is; stopped or cancelled before COMMIT, it deleted nothing."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

import pytest

import aiidadb
from aiidadb.exceptions import InvalidTypeError
from aiidadb.queries import deletion
from tests.helpers.cancelling import by_cancel, by_sibling, by_timeout, outcome_of
from tests.helpers.choices import some_of
from tests.helpers.databases import connected

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import asyncpg

    from tests.helpers.cancelling import Way

LIMIT: Final = 30  # seconds, far beyond what any of it takes
NODES: Final = 7

FILL: Final = f"""
insert into db_dbuser (id, email, first_name, last_name, institution) values (1, 'u', '', '', '');
insert into db_dbnode (
    id, uuid, node_type, label, description, ctime, mtime, user_id,
    attributes, extras, repository_metadata
)
select n, gen_random_uuid(), 'data.Data.', '', '', now(), now(), 1, '{{}}', '{{}}', '{{}}'
from generate_series(1, {NODES}) n;
insert into db_dblink (input_id, output_id, label, type)
select n, n + 1, 'l', 'create' from generate_series(1, {NODES - 1}) n;
insert into db_dbgroup (id, uuid, label, type_string, time, description, user_id, extras)
values (1, gen_random_uuid(), 'a', 'core', now(), '', 1, '{{}}');
insert into db_dbgroup_dbnodes (dbgroup_id, dbnode_id)
select 1, n from generate_series(1, {NODES}) n;
insert into db_dbcomment (uuid, ctime, mtime, content, dbnode_id, user_id)
select gen_random_uuid(), now(), now(), 'c', n, 1 from generate_series(1, {NODES}) n;
insert into db_dblog (uuid, time, loggername, levelname, message, metadata, dbnode_id)
select gen_random_uuid(), now(), 'l', 'INFO', 'm', '{{}}', n from generate_series(1, {NODES}) n;
"""

# From when on a statement sleeps: what a trigger does before it deletes, and what it writes down.
SLEEP: Final = """
create function wait_here() returns trigger language plpgsql
as 'begin perform pg_sleep(60); return null; end';
create trigger wait_here before delete on {table} for each statement execute function wait_here();
"""
NOTE: Final = """
create table noted (mode text);
create function note() returns trigger language plpgsql
as $$ begin insert into noted select current_setting('plan_cache_mode'); return null; end $$;
create trigger note before delete on db_dbnode for each statement execute function note();
"""
CONTENT: Final = """
select
    (select count(*) from db_dbnode) as nodes, (select count(*) from db_dblink) as links,
    (select count(*) from db_dbgroup_dbnodes) as members,
    (select count(*) from db_dbcomment) as comments, (select count(*) from db_dblog) as logs
"""
WAITING: Final = """
select count(*)
from pg_stat_activity
where datname = current_database() and (wait_event = 'PgSleep' or wait_event_type = 'Lock')
"""
ALL: Final = (NODES, NODES - 1, NODES, NODES, NODES)
STAGES: Final = ("lock", "db_dblink", "db_dbgroup_dbnodes", "db_dbcomment", "db_dblog", "db_dbnode")


@pytest.fixture
async def connection(main_dsn: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection to a database of a few nodes with everything on each of them."""
    async with connected(main_dsn) as opened:
        await opened.execute(FILL)
        yield opened


@pytest.fixture
async def backend(main_dsn: str) -> AsyncIterator[aiidadb.Backend]:
    async with aiidadb.open_backend(aiidadb.Profile.from_dsn(main_dsn), max_size=1) as opened:
        yield opened


async def content(connection: asyncpg.Connection) -> tuple[int, ...]:
    row = await connection.fetchrow(CONTENT)
    assert row is not None
    return tuple(row)


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deletion, "_BATCH", 3)


@pytest.mark.quick
@pytest.mark.usefixtures("small_batches")
async def test_progress_is_told_after_each_statement(
    connection: asyncpg.Connection, backend: aiidadb.Backend
) -> None:
    told: list[tuple[int, int]] = []
    report = await backend.delete_nodes_and_connections(
        range(1, 10), progress=lambda *of: told.append(of)
    )
    assert told == [(0, 7)] * 4 + [(3, 7), (6, 7), (7, 7)]
    assert (report.nodes, report.missing) == (7, (8, 9))
    assert await content(connection) == (0, 0, 0, 0, 0)
    told.clear()
    await backend.delete_nodes_and_connections([1], progress=lambda *of: told.append(of))
    assert told == []


@pytest.mark.usefixtures("small_batches")
@pytest.mark.parametrize("calls", range(7))
async def test_what_progress_raises_comes_out_and_nothing_is_deleted(
    connection: asyncpg.Connection, backend: aiidadb.Backend, calls: int
) -> None:
    error = ConnectionResetError("the caller's own")
    left = calls

    def progress(_done: int, _of: int) -> None:
        nonlocal left
        if not left:
            raise error
        left -= 1

    with pytest.raises(ConnectionResetError) as raised:
        await backend.delete_nodes_and_connections(range(1, NODES + 1), progress=progress)
    assert raised.value is error
    assert error.__cause__ is None
    assert await content(connection) == ALL
    assert (await backend.delete_nodes_and_connections(1)).nodes == 1


@pytest.mark.quick
async def test_progress_must_be_a_function(backend: aiidadb.Backend) -> None:
    with pytest.raises(InvalidTypeError, match="progress must be a function"):
        await backend.delete_nodes_and_connections([1], progress=5)


WAYS: Final = (by_timeout, by_cancel, by_sibling)


async def waits_on_server(dsn: str) -> None:
    """Wait until a statement of the database sleeps, or waits for a lock."""
    async with asyncio.timeout(LIMIT), connected(dsn) as asking:
        while not await asking.fetchval(WAITING):
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("way", some_of(WAYS, [by_timeout]), ids=lambda way: way.__name__)
async def test_cancelled_at_any_statement_nothing_is_deleted(
    connection: asyncpg.Connection,
    backend: aiidadb.Backend,
    main_dsn: str,
    stage: str,
    way: Way,
) -> None:
    locking = connection.transaction()
    if stage == "lock":
        await locking.start()
        await connection.execute("select from db_dbnode where id = 4 for update")
    else:
        await connection.execute(SLEEP.format(table=stage))
    async with asyncio.timeout(LIMIT):
        outcome = await outcome_of(
            backend.delete_nodes_and_connections(range(1, NODES + 1)),
            way,
            when=partial(waits_on_server, main_dsn),
        )
        assert isinstance(outcome, asyncio.CancelledError)
        if stage == "lock":
            await locking.rollback()
        assert await content(connection) == ALL
        # The pool's only connection is free and usable, and no lock is left.
        assert len(await backend.queries.get_all_parents([NODES])) == NODES - 1
        await connection.execute("select from db_dbnode for update nowait")


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
@pytest.mark.usefixtures("small_batches")
async def test_cancelled_between_two_statements_nothing_is_deleted(
    connection: asyncpg.Connection,
    backend: aiidadb.Backend,
    way: Way,
) -> None:
    now = asyncio.Event()

    def progress(done: int, _of: int) -> None:
        if done:
            now.set()

    async with asyncio.timeout(LIMIT):
        outcome = await outcome_of(
            backend.delete_nodes_and_connections(range(1, NODES + 1), progress=progress),
            way,
            when=now.wait,
        )
    assert isinstance(outcome, asyncio.CancelledError)
    assert await content(connection) == ALL


async def test_a_callers_transaction_keeps_how_it_plans_and_checks(
    connection: asyncpg.Connection, backend: aiidadb.Backend
) -> None:
    await connection.execute(NOTE)
    async with backend.transaction() as own:
        await own.execute("set local plan_cache_mode = force_custom_plan")
        await backend.delete_nodes_and_connections([1, 2])
        assert await own.fetchval("show plan_cache_mode") == "force_custom_plan"
        link = "insert into db_dblink (input_id, output_id, label, type) values (3, $1, 'l', 'x')"
        await own.execute(link, 99)  # is checked at the end
        await own.execute("delete from db_dblink where output_id = 99")
    assert await connection.fetchval("select mode from noted") == "force_generic_plan"
    async with backend.connection() as other:
        assert await other.fetchval("show plan_cache_mode") == "auto"


async def test_a_server_that_does_not_know_how_to_plan_is_not_asked(
    connection: asyncpg.Connection, backend: aiidadb.Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PostgreSQL 11 and older."""
    query = deletion.QUERIES["set_plan_cache_mode"]
    unknown = replace(query, text=query.text.replace("'plan_cache_mode'", "'unknown'"))
    monkeypatch.setitem(deletion.QUERIES, "set_plan_cache_mode", unknown)
    assert (await backend.delete_nodes_and_connections(range(1, NODES + 1))).nodes == NODES
    assert await content(connection) == (0, 0, 0, 0, 0)
