"""The index on the states of processes: created, found, kept by AiiDA, dropped."""

from __future__ import annotations

import asyncio
import random
import re
import string
from typing import TYPE_CHECKING

import asyncpg
import pytest
import pytest_asyncio

import aiidadb
from aiidadb.exceptions import (
    IncompatibleStorageSchema,
    InvalidInputError,
    LockTimeout,
    PermissionDenied,
    StorageMigrationError,
)
from aiidadb.migration.connection import migrating_connection
from aiidadb.queries.processes import PROCESS_STATES
from aiidadb.sql import QUERIES
from tests.helpers.aiida_process import migrate_by_aiida
from tests.helpers.cancelling import EACH_WAY, outcome_of
from tests.helpers.comparison import differences
from tests.helpers.databases import connected, fetchval, run_script
from tests.helpers.graphs import CALCULATION, Node, write_nodes, write_users
from tests.helpers.migrating import migrate, opened
from tests.helpers.real_databases import load_dump
from tests.helpers.roles import owner_of, role_with
from tests.helpers.single_steps import database_at

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.helpers.cancelling import Way
    from tests.helpers.databases import Databases

ACTIVE = ("created", "running", "waiting")
BY_HAND = """
    create index concurrently by_hand on db_dbnode (left(attributes ->> 'process_state', 10))
"""
INDEXES = """
    select array_agg(format('%s %s', indexname, indexdef) order by indexname)
    from pg_indexes
    where tablename = 'db_dbnode'
"""
STATE = "left(attributes ->> 'process_state', 10)"
LOCKS = """
    select count(*)
    from pg_locks
    where relation = 'db_dbnode'::regclass and pid <> pg_backend_pid()
        and database = (select oid from pg_database where datname = current_database())
"""
REWRITE = """
    update db_dbnode
    set attributes = jsonb_set(attributes, '{process_state}', to_jsonb($1::text))
    where id = $2
"""


async def write_processes(backend: aiidadb.Backend, states: dict[int, str]) -> None:
    assert backend.version is not None
    await write_users(backend._session, "ada@epfl.ch")
    await write_nodes(
        backend._session,
        [Node(pk, CALCULATION, attributes={"process_state": one}) for pk, one in states.items()],
        line=backend.version.line,
    )


async def active(backend: aiidadb.Backend) -> list[int]:
    return sorted(row.pk for row in await backend.queries.get_processes(states=ACTIVE))


async def until_waited_for(connection: asyncpg.Connection, mode: str, *relations: str) -> None:
    """Until somebody waits for a lock on one of these relations."""
    query = """
        select count(*)
        from pg_locks
        where not granted
            and mode = $1
            and relation in (select oid from pg_class where relname = any($2))
            and database = (select oid from pg_database where datname = current_database())
    """
    async with asyncio.timeout(60):
        while not await connection.fetchval(query, mode, relations):
            await asyncio.sleep(0.01)


async def until_one_is_unfinished(dsn: str) -> None:
    """Until somebody has begun to create an index concurrently."""
    query = "select count(*) from pg_index where not indisvalid"
    async with asyncio.timeout(60), connected(dsn) as connection:
        while not await connection.fetchval(query):
            await asyncio.sleep(0.01)


@pytest_asyncio.fixture
async def main_backend(main_dsn: str) -> AsyncIterator[aiidadb.Backend]:
    """For what is the same in both lines."""
    async with opened(main_dsn) as backend:
        yield backend


@pytest.mark.quick
async def test_it_is_created_once_found_and_dropped(head_dsn, backend):
    schema = backend.schema
    before = await fetchval(head_dsn, INDEXES)
    assert await schema.get_process_state_index() is None
    assert await schema.drop_process_state_index() is False
    assert await schema.create_process_state_index() is True
    index = await schema.get_process_state_index()
    assert index == aiidadb.ProcessStateIndex("aiidadb_process_state", 8192)
    assert await schema.create_process_state_index() is False
    assert await schema.drop_process_state_index() is True
    assert await schema.get_process_state_index() is None
    assert await fetchval(head_dsn, INDEXES) == before


@pytest.mark.quick
async def test_with_it_every_change_is_seen_at_once(head_dsn, backend):
    """Also those that leave ``mtime`` as it was, which a backend cannot see that remembers."""
    await backend.schema.create_process_state_index()
    await write_processes(backend, {1: "finished", 2: "waiting", 3: "running"})
    assert await active(backend) == [2, 3]
    await backend._session.execute(REWRITE, "created", 1)
    assert await active(backend) == [1, 2, 3]
    async with backend.transaction():
        await backend._session.execute(REWRITE, "killed", 2)
        assert await active(backend) == [1, 3]
    assert await active(backend) == [1, 3]


async def test_a_long_text_of_that_name_can_still_be_stored(head_dsn, backend):
    """Which a B-tree does not take; such an attribute can be in a user's own ``Dict``."""
    await backend.schema.create_process_state_index()
    long = "".join(random.Random(1).choices(string.ascii_letters, k=100_000))
    assert max(map(len, PROCESS_STATES)) < 10
    states = ["running", "running" + long, long, "running ", "runningrunning", "ü" * 5000]
    await write_processes(backend, dict(enumerate(states, start=1)))
    await write_nodes(
        backend._session,
        [Node(9, attributes={"process_state": long}), Node(10, attributes={"process_state": "a"})],
        line=backend.version.line,
    )
    assert await active(backend) == [1]
    assert await backend.schema.drop_process_state_index() is True
    assert await backend.schema.create_process_state_index() is True


async def test_an_open_backend_notices_in_the_end_that_it_came_or_went(
    head_dsn, backend, monkeypatch
):
    await write_processes(backend, {1: "finished", 2: "waiting"})
    loop = asyncio.get_running_loop()
    clock, later = loop.time, 0.0
    monkeypatch.setattr(loop, "time", lambda: clock() + later)
    assert await active(backend) == [2]
    async with opened(head_dsn) as other:
        await other.schema.create_process_state_index()
        assert await active(backend) == [2]
        await backend._session.execute(REWRITE, "running", 1)
        assert await active(backend) == [2]
        later += 900
        assert await active(backend) == [1, 2]
        await other.schema.drop_process_state_index()
        assert await active(backend) == [1, 2]
        await backend._session.execute(REWRITE, "killed", 1)
        later += 900
        assert await active(backend) == [2]


MANY = """
    insert into db_dbnode
    select (jsonb_populate_record(node, jsonb_build_object(
        'id', 2000 + number, 'uuid', gen_random_uuid()))).*
    from db_dbnode as node, generate_series(1, 20000) as number where node.id = 1;
    """


async def test_it_is_what_finds_the_active_ones(head_dsn, backend):
    await write_processes(backend, {1: "finished", 2: "waiting"})
    await run_script(head_dsn, MANY)
    await backend.schema.create_process_state_index()  # and the planner knows how many there are
    for limit in (None, 10):
        arguments = (list(ACTIVE), None, limit, None)
        async with backend.connection() as connection:
            rows = await connection.fetch(f"explain {QUERIES['processes'].text}", *arguments)
        plan = "\n".join(row[0] for row in rows)
        assert "aiidadb_process_state" in plan
        assert "Seq Scan" not in plan
        assert "ctime" not in "".join(re.findall(r"Scan.* using \S+", plan))
    assert await active(backend) == [2]


SERVING = (
    f"({STATE})",
    f"({STATE} desc nulls last)",
    f"({STATE} text_pattern_ops)",
    f"({STATE}) include (mtime)",
    f"({STATE}, id)",
    f"using hash ({STATE})",
)
NOT_SERVING = (
    f"using brin ({STATE})",
    f'({STATE} collate "POSIX")',
    f"({STATE}) where node_type like 'process.%'",
    f"(id, {STATE})",
    "(left(attributes ->> 'process_label', 10))",
    "(left(attributes ->> 'process_state', 9))",
    "((attributes ->> 'process_state'))",
)


async def test_one_that_was_created_by_hand_counts_if_it_serves(main_dsn, main_backend):
    schema = main_backend.schema
    async with connected(main_dsn) as connection:
        for definition in (*SERVING, *NOT_SERVING):
            counts = definition in SERVING
            await connection.execute(f'create index "By hand" on db_dbnode {definition}')
            index = await schema.get_process_state_index()
            assert (None if index is None else index.name) == ('"By hand"' if counts else None)
            assert await schema.create_process_state_index() is not counts
            assert await schema.drop_process_state_index() is True
            is_kept = await connection.fetchval("select to_regclass('\"By hand\"') is not null")
            assert is_kept is not counts
            await connection.execute('drop index if exists "By hand"')


async def test_it_is_found_where_all_names_are_in_quotes(main_dsn, main_backend):
    await main_backend.schema.create_process_state_index()
    async with main_backend.transaction():
        await main_backend._session.execute("set local quote_all_identifiers = on")
        index = await main_backend.schema.get_process_state_index()
    assert index == aiidadb.ProcessStateIndex('"aiidadb_process_state"', 8192)


async def test_one_that_is_dropped_meanwhile_is_not_there(main_dsn, main_backend):
    await main_backend.schema.create_process_state_index()
    async with connected(main_dsn) as other, connected(main_dsn) as watching:
        async with other.transaction():
            await other.execute("drop index aiidadb_process_state")
            asking = asyncio.create_task(main_backend.schema.get_process_state_index())
            both = ("db_dbnode", "aiidadb_process_state")
            await until_waited_for(watching, "AccessShareLock", *both)
        async with asyncio.timeout(60):
            assert await asking is None


@pytest.mark.parametrize("taken", ["table", "index"])
async def test_where_its_name_is_taken_it_is_said(main_dsn, main_backend, taken):
    definition = "table %s (a int)" if taken == "table" else "index %s on db_dbuser (email)"
    await run_script(main_dsn, f"create {definition % 'aiidadb_process_state'}")
    with pytest.raises(StorageMigrationError, match=r"something else named.*rename or drop it"):
        await main_backend.schema.create_process_state_index()
    assert await main_backend.schema.drop_process_state_index() is False


async def test_what_the_documentation_says_to_do_by_hand_does_the_same(head_dsn, backend):
    create = backend.schema.create_process_state_index
    by_hand = create.__doc__.partition("::\n\n")[2].partition("\n\n")[0]
    async with connected(head_dsn) as connection:
        for statement in by_hand.strip().splitlines():
            await connection.execute(statement)
    assert await create() is False


async def test_what_somebody_left_half_made_is_replaced(head_dsn, backend):
    """``create index concurrently`` that was cut short leaves an index that cannot be used."""
    await write_processes(backend, {1: "waiting"})
    async with (
        connected(head_dsn) as writer,
        connected(head_dsn) as creator,
        writer.transaction(),
    ):
        await writer.execute("update db_dbnode set label = 'a'")
        creating = asyncio.create_task(creator.execute(BY_HAND))
        await until_one_is_unfinished(head_dsn)
        await run_script(head_dsn, f"select pg_cancel_backend({creator.get_server_pid()})")
        with pytest.raises(asyncpg.QueryCanceledError):
            await creating
    assert await fetchval(head_dsn, "select count(*) from pg_index where not indisvalid") == 1
    assert await backend.schema.get_process_state_index() is None
    assert await active(backend) == [1]
    assert await backend.schema.create_process_state_index() is True
    assert await fetchval(head_dsn, "select count(*) from pg_index where not indisvalid") == 0
    assert await fetchval(head_dsn, "select to_regclass('by_hand') is null")


async def test_one_that_somebody_creates_concurrently_is_waited_for_and_kept(
    main_dsn, main_backend
):
    schema = main_backend.schema
    async with connected(main_dsn) as reader, connected(main_dsn) as other:
        async with reader.transaction(isolation="repeatable_read"):
            await reader.execute("select count(*) from db_dbnode")
            by_hand = asyncio.create_task(other.execute(BY_HAND))
            await until_one_is_unfinished(main_dsn)
            creating = asyncio.create_task(schema.create_process_state_index())
            await until_waited_for(reader, "ShareLock", "db_dbnode")
        async with asyncio.timeout(60):
            await by_hand
            assert await creating is False
    index = await schema.get_process_state_index()
    assert index is not None
    assert index.name == "by_hand"


async def test_the_commit_of_one_that_somebody_has_created_is_waited_for(main_dsn, main_backend):
    """Which comes after the table was let go of, whenever the server gets to it."""
    schema = main_backend.schema
    change = "update pg_index set indisvalid = {} where indexrelid = 'by_hand'::regclass"
    await run_script(main_dsn, BY_HAND.replace("concurrently", ""))
    await run_script(main_dsn, change.format("false"))
    async with connected(main_dsn) as other:
        async with other.transaction():
            await other.execute(change.format("true"))
            creating = asyncio.create_task(schema.create_process_state_index())
            done, _ = await asyncio.wait((creating,), timeout=1.2)
            assert not done
        async with asyncio.timeout(60):
            assert await creating is False
    index = await schema.get_process_state_index()
    assert index is not None
    assert index.name == "by_hand"


async def test_of_many_that_create_it_at_once_one_does(main_backend):
    schema = main_backend.schema
    async with asyncio.timeout(60):
        created = await asyncio.gather(*(schema.create_process_state_index() for _ in range(6)))
        assert sorted(created) == [False] * 5 + [True]
        dropped = await asyncio.gather(*(schema.drop_process_state_index() for _ in range(4)))
        assert sorted(dropped) == [False] * 3 + [True]


async def test_who_takes_the_table_next_does_not_keep_it_from_being_analyzed(
    main_dsn, main_backend
):
    await write_processes(main_backend, {1: "waiting"})
    async with connected(main_dsn) as writer, connected(main_dsn) as cleaner:
        async with writer.transaction():
            await writer.execute("update db_dbnode set label = 'a'")
            creating = asyncio.create_task(main_backend.schema.create_process_state_index())
            await until_waited_for(writer, "ShareLock", "db_dbnode")
            # As a VACUUM of a large table, which lasts.
            transaction = cleaner.transaction()
            await transaction.start()
            lock = "lock table db_dbnode in share update exclusive mode"
            locking = asyncio.create_task(cleaner.execute(lock))
            await until_waited_for(writer, "ShareUpdateExclusiveLock", "db_dbnode")
        async with asyncio.timeout(60):
            await locking
            assert await creating is True
        known = "select count(*) from pg_stats where tablename = 'aiidadb_process_state'"
        assert await fetchval(main_dsn, known) == 1
        await transaction.rollback()


@pytest.mark.parametrize("name", ["create", "drop"])
async def test_who_is_in_the_way_is_told(main_dsn, main_backend, name):
    schema = main_backend.schema
    if name == "drop":
        await schema.create_process_state_index()
    before = await fetchval(main_dsn, INDEXES)
    change = getattr(schema, f"{name}_process_state_index")
    told: list[str] = []
    writer = await asyncpg.connect(main_dsn, server_settings={"application_name": "a daemon"})
    transaction = writer.transaction()
    await transaction.start()
    await writer.execute("update db_dbnode set label = 'a'")
    message = f"could not be locked to {name} the index.*within 0.1 seconds.*a daemon"
    with pytest.raises(LockTimeout, match=message):
        await change(patience=0.1)
    assert await fetchval(main_dsn, INDEXES) == before

    def note(now: aiidadb.MigrationProgress) -> None:
        told.append(now.what)

    async with asyncio.timeout(60):
        changing = asyncio.create_task(change(progress=note))
        while not told:
            await asyncio.sleep(0.02)
        # Who writes nodes meanwhile waits for a second or two at a time, not until the end.
        async with connected(main_dsn) as other:
            await other.execute("update db_dbnode set label = 'b' where id = 0")
        await transaction.commit()
        assert await changing is True
    assert "db_dbnode is used by" in told[0]
    assert "a daemon" in told[0]
    await writer.close()


async def test_what_progress_raises_ends_it_and_comes_out_unchanged(main_dsn, main_backend):
    def fail(_: object) -> None:
        raise KeyError("mine")

    async with connected(main_dsn) as writer, writer.transaction():
        await writer.execute("lock table db_dbnode in row exclusive mode")
        with pytest.raises(KeyError, match="mine"):
            await main_backend.schema.create_process_state_index(progress=fail)
    assert await main_backend.schema.get_process_state_index() is None


@pytest.mark.parametrize("way", EACH_WAY, ids=lambda way: way.__name__)
async def test_cancelled_it_leaves_nothing(main_dsn: str, way: Way) -> None:
    async with opened(main_dsn) as backend:
        before = await fetchval(main_dsn, INDEXES)
        async with connected(main_dsn) as writer, writer.transaction():
            await writer.execute("lock table db_dbnode in row exclusive mode")
            error = await outcome_of(backend.schema.create_process_state_index(), way, after=0.3)
        assert isinstance(error, asyncio.CancelledError)
        assert await fetchval(main_dsn, INDEXES) == before
        async with asyncio.timeout(30):
            while await fetchval(main_dsn, LOCKS):  # the server hears of it a moment later
                await asyncio.sleep(0.02)
        assert await backend.schema.create_process_state_index() is True


async def test_it_waits_for_a_migration(main_dsn: str) -> None:
    profile = aiidadb.Profile.from_dsn(main_dsn)
    async with (
        opened(main_dsn) as backend,
        migrating_connection(profile, patience=1, waiting=print),
    ):
        with pytest.raises(LockTimeout, match="another migration"):
            await backend.schema.create_process_state_index(patience=0.1)


async def test_a_migration_that_waits_for_it_says_so(main_dsn: str) -> None:
    told: list[str] = []
    async with opened(main_dsn) as backend, connected(main_dsn) as writer, writer.transaction():
        await writer.execute("lock table db_dbnode in row exclusive mode")
        creating = asyncio.create_task(backend.schema.create_process_state_index())
        await until_waited_for(writer, "ShareLock", "db_dbnode")
        profile = aiidadb.Profile.from_dsn(main_dsn)
        with pytest.raises(LockTimeout, match=r"application aiidadb index, process"):
            async with migrating_connection(profile, patience=0.1, waiting=told.append):
                pass
        creating.cancel()
        await asyncio.wait((creating,))
    assert "application aiidadb index, process" in told[0]


@pytest.mark.quick
@pytest.mark.parametrize("name", ["create", "drop"])
async def test_what_it_cannot_do_is_refused(databases, main_dsn, name):
    async with opened(main_dsn) as backend:
        change = getattr(backend.schema, f"{name}_process_state_index")
        for wrong in ({"patience": -1}, {"patience": "1"}, {"progress": 1}):
            with pytest.raises(InvalidInputError):
                await change(**wrong)
        async with backend.transaction():
            with pytest.raises(StorageMigrationError, match="call it outside"):
                await change()
    old = await database_at(databases, 36)
    async with opened(old) as backend:
        with pytest.raises(IncompatibleStorageSchema, match="aiidadb migrate"):
            await getattr(backend.schema, f"{name}_process_state_index")()
    await databases.drop(old)


async def test_a_role_that_does_not_own_the_tables_may_not(databases, main_dsn):
    async with owner_of(databases, main_dsn) as (owner, dsn), opened(dsn) as backend:
        assert await backend.schema.create_process_state_index() is True
        grant = "insert, update on all tables in schema public"
        async with role_with(main_dsn, grant) as other, opened(other) as reader:
            assert await reader.schema.get_process_state_index() is not None
            for change in ("create", "drop"):
                with pytest.raises(
                    PermissionDenied, match=f"db_dbnode belongs to the role {owner}"
                ):
                    await getattr(reader.schema, f"{change}_process_state_index")()
        assert await backend.schema.drop_process_state_index() is True


# ---------------------------------------------------------------- in a migration


@pytest.mark.usefixtures("in_a_directory_of_its_own")
@pytest.mark.parametrize(
    "name",
    [
        "legacy/2_after_aiida-1.6.9_django_0045",
        "legacy_sqla/2_after_aiida-1.6.9_0edcdd5a30f0",
        "legacy_sqla/2_after_aiida-2.1.2_main_0001",
    ],
)
async def test_our_migrations_keep_it(databases: Databases, name: str) -> None:
    dsn = await load_dump(databases, name)
    async with opened(dsn) as backend:
        assert await backend.schema.create_process_state_index() is True
        before = await active(backend)
    await migrate(dsn)
    async with opened(dsn) as backend:
        assert str(backend.version) == "main_0002"
        index = await backend.schema.get_process_state_index()
        assert index is not None
        assert index.name == "aiidadb_process_state"
        assert await active(backend) == before
        assert await backend.schema.drop_process_state_index() is True
    await databases.drop(dsn)


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        # It drops all indexes of the Django line's, and creates those of AiiDA 2.x.
        ("legacy/2_after_aiida-1.6.9_django_0045", False),
        ("legacy_sqla/2_after_aiida-2.1.2_main_0001", True),
    ],
)
async def test_aiida_migrates_a_database_that_has_it(
    databases: Databases, tmp_path: Path, name: str, kept: bool
) -> None:
    dsn, without = [await load_dump(databases, name) for _ in range(2)]
    async with opened(dsn) as backend:
        assert await backend.schema.create_process_state_index() is True
    for one in (dsn, without):
        await migrate_by_aiida(one, tmp_path)
    async with opened(dsn) as backend:
        assert (await backend.schema.get_process_state_index() is not None) is kept
        assert await backend.schema.drop_process_state_index() is kept
    ignored = ["db_dbsetting[repository|uuid].val"]  # each has a container of its own
    assert await differences(dsn, without, names=True, ignored=ignored) == []
    for one in (dsn, without):
        await databases.drop(one)
