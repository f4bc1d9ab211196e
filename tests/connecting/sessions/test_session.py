"""Transactions, cancellation and errors, as the managers see them."""

import asyncio

import anyio
import asyncpg
import pytest

import aiidadb
from aiidadb.exceptions import (
    ClosedError,
    DatabaseError,
    IntegrityError,
    InvalidInputError,
    NotExistent,
    QueryTimeout,
    ReadOnlyDatabase,
    UnknownOutcome,
    UnreachableStorage,
)
from tests.helpers.databases import fetchval
from tests.helpers.faults import proxy
from tests.helpers.sleepers import SLEEP, wait_for_sleepers


@pytest.fixture
async def other(main_dsn):
    """A connection beside the backend's."""
    connection = await asyncpg.connect(main_dsn)
    yield connection
    await connection.close()


@pytest.fixture
async def backend(main_dsn):
    async with aiidadb.open_backend(aiidadb.Profile.from_dsn(main_dsn), max_size=4) as opened:
        yield opened


@pytest.fixture
async def other_backend(main_dsn):
    """A second backend on the same database, with transactions of its own."""
    async with aiidadb.open_backend(aiidadb.Profile.from_dsn(main_dsn), max_size=4) as opened:
        yield opened


async def keys(backend: aiidadb.Backend) -> set[str]:
    return {setting.key for setting in await backend.settings.get_all()}


@pytest.mark.quick
async def test_what_a_transaction_did_stays_or_goes_together(backend):
    async with backend.transaction():
        await backend.settings.set("a", 1)
        await backend.settings.set("b", 2)
    with pytest.raises(KeyError):
        async with backend.transaction():
            await backend.settings.set("c", 3)
            await backend.settings.delete("a")
            raise KeyError
    assert await keys(backend) == {"a", "b"}


@pytest.mark.quick
async def test_one_inside_another_is_a_savepoint(backend):
    async with backend.transaction():
        await backend.settings.set("outer", 1)
        with pytest.raises(KeyError):
            async with backend.transaction():
                await backend.settings.set("inner", 1)
                raise KeyError
        assert await keys(backend) == {"outer"}
        with pytest.raises(IntegrityError):
            async with backend.transaction():
                await backend._session.execute(
                    "insert into db_dbsetting (key, description, time) values ('outer', '', now())"
                )
        await backend.settings.set("after", 1)
    assert await keys(backend) == {"outer", "after"}


async def test_others_see_nothing_before_the_end(backend, other):
    async with backend.transaction():
        await backend.settings.set("a", 1)
        assert await other.fetchval("select count(*) from db_dbsetting") == 0
    assert await other.fetchval("select count(*) from db_dbsetting") == 1


async def test_tasks_started_inside_take_part_one_call_at_a_time(backend, other):
    async with backend.transaction():
        async with anyio.create_task_group() as group:
            for number in range(20):
                group.start_soon(backend.settings.set, f"key{number}", number)
        assert await other.fetchval("select count(*) from db_dbsetting") == 0
    assert len(await keys(backend)) == 20


async def test_a_task_that_outlives_its_transaction_is_refused(backend):
    over = asyncio.Event()

    async def late() -> None:
        await over.wait()
        await backend.settings.set("late", 1)

    async with backend.transaction():
        task = asyncio.create_task(late())
        await backend.settings.set("a", 1)
    over.set()
    with pytest.raises(ClosedError, match="transaction that has ended"):
        await task
    assert await keys(backend) == {"a"}


async def test_a_task_beside_a_transaction_is_no_part_of_it(backend):
    started, go_on = asyncio.Event(), asyncio.Event()

    async def beside() -> None:
        started.set()
        await go_on.wait()
        await backend.settings.set("beside", 1)

    task = asyncio.create_task(beside())
    await started.wait()
    with pytest.raises(KeyError):
        async with backend.transaction():
            await backend.settings.set("inside", 1)
            go_on.set()
            await task
            raise KeyError
    assert await keys(backend) == {"beside"}


@pytest.mark.quick
async def test_a_cancelled_call_gives_its_connection_back_and_stops_on_the_server(main_dsn, other):
    profile = aiidadb.Profile.from_dsn(main_dsn)
    async with aiidadb.open_backend(profile, max_size=1) as backend:
        for cancel in ("anyio", "asyncio"):
            if cancel == "anyio":
                with anyio.move_on_after(0.2) as scope:
                    await backend._session.fetch("select pg_sleep(60)")
                assert scope.cancelled_caught
            else:
                task = asyncio.create_task(backend._session.fetch("select pg_sleep(60)"))
                await asyncio.sleep(0.2)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
            with anyio.fail_after(10):
                assert await backend._session.fetch("select 1")  # of the only connection
                assert not await other.fetchval(
                    "select count(*) from pg_stat_activity where query like 'select pg_sleep%' "
                    "and state = 'active' and datname = current_database()"
                )


async def test_a_cancelled_transaction_is_rolled_back(main_dsn):
    profile = aiidadb.Profile.from_dsn(main_dsn)
    async with aiidadb.open_backend(profile, max_size=1) as backend:
        with anyio.move_on_after(0.2):
            async with backend.transaction():
                await backend.settings.set("a", 1)
                await anyio.sleep(60)
        with anyio.move_on_after(0.2):
            async with backend.transaction():
                await backend.settings.set("b", 1)
                await backend._session.fetch("select pg_sleep(60)")
        with anyio.fail_after(10):
            assert await keys(backend) == set()


async def test_a_commit_that_loses_its_connection_says_that_the_outcome_is_unknown(main_dsn):
    async with proxy(main_dsn) as between:
        profile = aiidadb.Profile.from_dsn(between.dsn)
        async with aiidadb.open_backend(profile) as backend:
            with pytest.raises(UnknownOutcome):
                async with backend.transaction():
                    await backend.settings.set("a", 1)
                    between.cuts_answer_to = b"COMMIT"


@pytest.mark.parametrize("seconds", [0, 0.1])  # for the client to take note
async def test_a_connection_that_is_lost_before_the_commit_says_that_nothing_is_stored(
    backend, other, seconds
):
    with pytest.raises(UnreachableStorage, match="nothing of the transaction is stored"):
        async with backend.transaction():
            await backend.settings.set("a", 1)
            (row,) = await backend._session.fetch("select pg_backend_pid() as pid")
            await other.execute("select pg_terminate_backend($1)", row["pid"])
            await asyncio.sleep(seconds)
    assert await keys(backend) == set()


@pytest.mark.parametrize("call", ["closest parents", "deletion", "savepoint"])
async def test_a_savepoint_on_a_lost_connection_says_so(backend, other, call):
    with pytest.raises(UnreachableStorage, match=r"lost: .* run the whole transaction again"):
        async with backend.transaction() as connection:
            await other.execute("select pg_terminate_backend($1)", connection.get_server_pid())
            await asyncio.sleep(0.1)
            match call:
                case "closest parents":
                    await backend.queries.get_closest_parents([1])
                case "deletion":
                    await backend.delete_nodes_and_connections([1])
                case _:
                    async with backend.transaction():
                        pass


@pytest.mark.parametrize("end", ["commit", "rollback"])
async def test_a_transaction_that_sql_of_the_callers_own_ended_says_so(backend, end):
    with pytest.raises(DatabaseError, match="caller's own SQL ended the transaction"):
        async with backend.transaction() as connection:
            await backend.settings.set("a", 1)
            await connection.execute(end)
    assert await keys(backend) == ({"a"} if end == "commit" else set())


@pytest.mark.parametrize("end", ["commit", "rollback", "rollback; begin"])
async def test_so_does_one_in_whose_place_sql_of_the_callers_own_began_another(backend, end):
    with pytest.raises(DatabaseError, match=r"ended the transaction.*began another one"):
        async with backend.transaction() as connection:
            await backend.settings.set("a", 1)
            await connection.execute(end)
            if "begin" not in end:
                await connection.execute("begin isolation level repeatable read")
            await backend.settings.set("b", 1)
    assert await keys(backend) == ({"a"} if end == "commit" else set())
    async with backend.transaction():
        await backend.settings.set("c", 1)
    assert "c" in await keys(backend)


async def test_what_the_caller_sets_for_a_transaction_ends_nothing(backend):
    async with backend.transaction() as connection:
        await connection.execute("set transaction isolation level serializable")
        await connection.execute("reset all")
        await connection.execute("savepoint mine")
        await backend.settings.set("a", 1)
        await connection.execute("rollback to savepoint mine")
        async with backend.transaction():
            await backend.settings.set("b", 1)
    assert await keys(backend) == {"b"}


async def test_a_connection_that_the_server_cut_is_one_error_and_no_more(backend, other, main_dsn):
    (row,) = await backend._session.fetch("select pg_backend_pid() as pid")
    call = asyncio.create_task(backend._session.fetch(SLEEP))
    await wait_for_sleepers(main_dsn, 1)
    await other.execute(
        "select pg_terminate_backend(pid) from pg_stat_activity where query like 'select pg_sleep%'"
        " and datname = current_database()"
    )
    with pytest.raises(UnreachableStorage):
        await call
    assert row
    await backend.settings.set("a", 1)
    assert await keys(backend) == {"a"}


@pytest.mark.quick
async def test_errors_of_the_server_are_ours_with_the_original_as_cause(backend):
    with pytest.raises(DatabaseError) as raised:
        await backend._session.fetch("select 1 / 0")
    assert raised.value.sqlstate == "22012"
    assert isinstance(raised.value.__cause__, asyncpg.DivisionByZeroError)
    with pytest.raises(QueryTimeout, match=r"within 0\.1 seconds: allow more with"):
        await backend._session.fetch("select pg_sleep(60)", timeout=0.1)
    with pytest.raises(QueryTimeout, match=r"within 0\.1 seconds: allow more with"):
        await backend._session.execute("select pg_sleep(60)", timeout=0.1)


async def test_a_snapshot_refuses_changes(backend):
    with pytest.raises(ReadOnlyDatabase):
        async with backend._session.snapshot():
            await backend.settings.set("a", 1)


async def test_a_snapshot_does_not_see_what_others_commit(backend, other_backend):
    await backend.settings.set("a", 1)
    async with backend._session.snapshot():
        assert (await backend.settings.get("a")).value == 1
        await other_backend.settings.set("a", 2)
        assert (await backend.settings.get("a")).value == 1
    assert (await backend.settings.get("a")).value == 2


async def test_a_snapshot_inside_a_transaction_is_part_of_it(backend, other_backend):
    async with backend.transaction():
        await backend.settings.set("a", 1)
        async with backend._session.snapshot():
            assert (await backend.settings.get("a")).value == 1
            await other_backend.settings.set("b", 2)
            assert (await backend.settings.get("b")).value == 2
        await backend.settings.set("a", 3)
    assert (await other_backend.settings.get("a")).value == 3


async def test_connections_to_a_server_that_became_readonly_are_not_used_again(main_dsn, other):
    profile = aiidadb.Profile.from_dsn(main_dsn)
    name = profile.database
    await other.execute(f'alter database "{name}" set default_transaction_read_only = on')
    async with aiidadb.open_backend(profile, max_size=1) as backend:
        with pytest.raises(ReadOnlyDatabase):
            await backend.settings.set("a", 1)
        await other.execute(f'alter database "{name}" reset default_transaction_read_only')
        await backend.settings.set("a", 1)


async def test_a_closed_backend_says_so(main_dsn):
    async with aiidadb.open_backend(aiidadb.Profile.from_dsn(main_dsn)) as backend:
        pass
    with pytest.raises(ClosedError):
        await backend.settings.get("a")
    with pytest.raises(ClosedError):
        async with backend.transaction():
            pass


async def test_a_backend_whose_pools_were_reset_says_so(main_dsn):
    async with aiidadb.open_backend(aiidadb.Profile.from_dsn(main_dsn)) as backend:
        await aiidadb.reset_pools()
        with pytest.raises(ClosedError, match="reset"):
            await backend.settings.get("a")


def test_a_backend_of_another_loop_says_so(main_dsn):
    async def open_only() -> aiidadb.Backend:
        async with aiidadb.open_backend(aiidadb.Profile.from_dsn(main_dsn)) as backend:
            keep.append(backend)
            with pytest.raises(NotExistent):
                await backend.settings.get("a")
            await asyncio.to_thread(asyncio.run, use(backend))
        return backend

    async def use(backend: aiidadb.Backend) -> None:
        with pytest.raises(ClosedError, match="another event loop"):
            await backend.settings.get("a")

    keep: list[aiidadb.Backend] = []
    asyncio.run(open_only())


# ---------------------------------------------------------------- between preparing and running


async def locks_of_others(dsn: str) -> int:
    """How many locks on relations of the database others have."""
    return await fetchval(
        dsn,
        """
        select count(*) from pg_locks
        where pid <> pg_backend_pid() and locktype = 'relation'
            and database = (select oid from pg_database where datname = current_database())
        """,
    )


async def test_a_value_that_cannot_be_sent_leaves_no_statement_half_done(main_dsn):
    async with aiidadb.open_backend(aiidadb.Profile.from_dsn(main_dsn), max_size=1) as backend:
        with pytest.raises(InvalidInputError, match="does not fit the type"):
            await backend._session.fetch("select id from db_dbnode where id = $1::int", "one")
        assert await locks_of_others(main_dsn) == 0
        async with backend._session.snapshot():
            assert await backend.queries.get_full_types() == []


async def test_a_call_that_is_cancelled_before_it_runs_its_statement_leaves_it_not_half_done(
    main_dsn, monkeypatch
):
    prepare = asyncpg.Connection.prepare

    async def cancelled_after(self, *arguments, **options):
        statement = await prepare(self, *arguments, **options)
        asyncio.current_task().cancel()
        await asyncio.sleep(0)
        return statement

    async with aiidadb.open_backend(aiidadb.Profile.from_dsn(main_dsn), max_size=1) as backend:
        with monkeypatch.context() as patched:
            patched.setattr(asyncpg.Connection, "prepare", cancelled_after)
            with pytest.raises(asyncio.CancelledError):
                await asyncio.create_task(backend.queries.get_processes())
        assert await locks_of_others(main_dsn) == 0
        async with backend.transaction():
            assert await backend.queries.get_processes() == []
