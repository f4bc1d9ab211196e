"""The listing of bands one after the other, and the first of them alone."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import gc
import inspect
import tracemalloc
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

import aiidadb
from aiidadb.exceptions import ClosedError, InvalidInputError, InvalidTypeError, NotExistent
from aiidadb.queries import bands_listing
from tests.helpers.cancelling import EACH_WAY, outcome_of
from tests.helpers.graphs import (
    BANDS,
    SOME_TIME,
    STRUCTURE,
    Node,
    write_groups,
    write_links,
    write_nodes,
    write_users,
)
from tests.helpers.sleepers import SLEEP, wait_for_sleepers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.helpers.cancelling import Way

LIMIT = 30  # seconds, far beyond what any of these takes
MANY = 240


def structure(pk: int) -> Node:
    """One of 30: some of silicon, some of silica, some that do not say."""
    symbols = (["Si"], ["Si", "O"], [])[pk % 3]
    kinds = [{"name": one, "symbols": [one], "weights": [1.0]} for one in symbols]
    sites = [{"kind_name": one} for one in symbols]
    return Node(pk, STRUCTURE, attributes={"kinds": kinds, "sites": sites} if symbols else {})


@pytest_asyncio.fixture
async def backend(head_dsn: str) -> AsyncIterator[aiidadb.Backend]:
    """Bands 101 … 340, the oldest first, of 30 structures, some of none; two connections."""
    profile = aiidadb.Profile.from_dsn(head_dsn, default_user_email="ada@epfl.ch")
    async with asyncio.timeout(LIMIT), aiidadb.open_backend(profile, max_size=2) as backend:
        session = backend._session
        assert backend.version is not None
        await write_users(session, "ada@epfl.ch", "emmy@example.org")
        made = [
            Node(
                pk,
                BANDS,
                label=str(pk),
                user=1 + pk % 2,
                ctime=SOME_TIME + datetime.timedelta(hours=pk),
            )
            for pk in range(101, 101 + MANY)
        ]
        nodes = [*map(structure, range(1, 31)), *made]
        await write_nodes(session, nodes, line=backend.version.line)
        links = [(node.pk % 31, node.pk, "create") for node in made if node.pk % 31]
        await write_links(session, links)
        await write_groups(session, {"few": range(101, 161), "many": range(101, 321)})
        yield backend


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bands_listing, "_FIRST_BATCH", 7)
    monkeypatch.setattr(bands_listing, "_LARGEST_BATCH", 20)


def listing(backend: aiidadb.Backend, **options: Any) -> aiidadb.BandsListing:
    return backend.queries.get_bands_and_parents_structure(**{"all_users": True, **options})


async def is_free(backend: aiidadb.Backend) -> None:
    """Wait until no connection is in use and no lane is taken."""
    async with asyncio.timeout(LIMIT):
        while backend._session._taken._in_use or not backend._session._lanes._places._free:
            await asyncio.sleep(0.001)
    assert not backend._session.in_transaction
    assert not backend._session._lanes._holders


# ------------------------------------------------------------------------------ the same rows


@pytest.mark.usefixtures("small_batches")
@pytest.mark.parametrize(
    "limits",
    [
        pytest.param([8], marks=pytest.mark.quick, id="one limit"),
        pytest.param([1, 27, None, 2**70], marks=pytest.mark.thorough, id="all limits"),
    ],
)
async def test_the_rows_are_those_of_the_list_in_its_order(
    backend: aiidadb.Backend, limits: list[int | None]
) -> None:
    for options in (
        {},
        {"all_users": False},
        {"element": "O"},
        {"element_only": ["Si"], "group_name": "many"},
        {"group_name": "few"},
        {"group_name": "many"},
        {"group_name": "none"},
        {"element": "Au"},
        {"link_types": ["return"]},
        {"past_days": 10**4, "formulamode": "count"},
    ):
        rows = await listing(backend, **options)
        assert [row async for row in listing(backend, **options)] == rows, options
        for limit in (len(rows) or 1 if limit is None else limit for limit in limits):
            assert await listing(backend, limit=limit, **options) == rows[:limit]
            streamed = [row async for row in listing(backend, limit=limit, **options)]
            assert streamed == rows[:limit], (options, limit)
    await is_free(backend)


@pytest.mark.quick
@pytest.mark.usefixtures("small_batches")
async def test_bands_without_a_structure_make_nobody_look_whether_the_schema_was_migrated(
    backend: aiidadb.Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which takes a connection of its own. That no bands are found does."""
    looks = []

    async def look() -> None:
        looks.append(backend.version)

    monkeypatch.setattr(backend._session, "refuse_if_migrated", look)
    assert None in {row.structure_pk async for row in listing(backend)}
    assert {row.structure_pk for row in await listing(backend, link_types=["return"])} == {None}
    assert looks == []
    assert await listing(backend, group_name="none") == []
    assert backend.version is not None
    assert len(looks) == (not backend.version.has_core_prefix)


@pytest.mark.quick
async def test_a_listing_is_asked_for_anew_each_time(backend: aiidadb.Backend) -> None:
    first = listing(backend, limit=1)
    assert await first == await first == [row async for row in first]
    assert await asyncio.create_task(first) == await asyncio.create_task(first) == await first
    assert (await first)[0].pk == 101
    await backend.delete_nodes_and_connections(101)
    assert (await first)[0].pk == 102


@pytest.mark.quick
async def test_it_is_taken_wherever_a_coroutine_is(backend: aiidadb.Backend) -> None:
    rows = await listing(backend)
    assert await asyncio.create_task(listing(backend)) == rows
    assert await asyncio.gather(listing(backend), listing(backend)) == [rows, rows]
    assert await asyncio.wait_for(listing(backend), LIMIT) == rows
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(listing(backend))
    assert task.result() == rows
    assert inspect.isawaitable(listing(backend))
    listing(backend).close()  # what was never begun needs no end
    cancelled = asyncio.create_task(listing(backend))
    await asyncio.sleep(0)
    cancelled.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    await is_free(backend)


@pytest.mark.quick
@pytest.mark.parametrize(
    ("limit", "kind"),
    [(0, InvalidInputError), (-1, InvalidInputError), (1.5, InvalidTypeError),
     ("1", InvalidTypeError), (True, InvalidTypeError), ([1], InvalidTypeError)],
    ids=repr,
)  # fmt: skip
async def test_a_limit_is_a_positive_integer(
    backend: aiidadb.Backend, limit: Any, kind: type[Exception]
) -> None:
    with pytest.raises(kind, match="limit must be a positive integer, not"):
        listing(backend, limit=limit)


@pytest.mark.quick
async def test_what_cannot_be_meant_is_refused_at_the_call(backend: aiidadb.Backend) -> None:
    for options in ({"element": 5}, {"past_days": -1}, {"link_types": ["x"]}, {"group_pk": "a"}):
        with pytest.raises(InvalidInputError):
            listing(backend, **options)
    backend._session.profile = aiidadb.Profile.from_dsn("postgresql:///x")
    nobody = listing(backend, all_users=False)
    with pytest.raises(NotExistent, match="no default user"):
        await nobody
    with pytest.raises(NotExistent, match="no default user"):
        await anext(aiter(nobody))
    await is_free(backend)


# ------------------------------------------------------------------------------ how much is read


@pytest.fixture
def looked_up(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many bands were looked up together, time after time."""
    sizes: list[int] = []
    look_up = bands_listing._Run._look_up

    async def spy(self: Any, bands: list[Any]) -> Any:
        sizes.append(len(bands))
        return await look_up(self, bands)

    monkeypatch.setattr(bands_listing._Run, "_look_up", spy)
    return sizes


async def test_no_more_bands_are_looked_up_than_needed(
    backend: aiidadb.Backend, looked_up: list[int]
) -> None:
    await listing(backend, limit=5)
    assert looked_up == [5]
    looked_up.clear()
    await listing(backend, limit=120)
    assert looked_up == [100, 20]
    looked_up.clear()
    await listing(backend, limit=5, element="O")  # how many that takes is not known before
    assert looked_up == [100]
    looked_up.clear()
    await listing(backend, limit=60, element="O")
    assert looked_up == [100, 140]
    looked_up.clear()
    await listing(backend, limit=3, group_name="few")
    assert looked_up == [3]
    looked_up.clear()
    await anext(aiter(listing(backend)))
    assert looked_up == [100]


async def test_memory_does_not_grow_with_the_rows(
    backend: aiidadb.Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bands_listing, "_LARGEST_BATCH", 200)
    assert backend.version is not None
    made = [Node(pk, BANDS, label="x" * 200) for pk in range(1_001, 6_001)]
    await write_nodes(backend._session, made, line=backend.version.line)

    async def peak(limit: int) -> int:
        number = 0
        gc.collect()
        tracemalloc.start()
        try:
            async for _ in listing(backend, limit=limit):
                number += 1
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
            assert number == limit

    await peak(1_000)  # what is loaded and remembered once and for all
    assert await peak(5_000) < 1.5 * await peak(1_000)


# ------------------------------------------------------------------------------ its snapshot


@pytest.mark.quick
@pytest.mark.usefixtures("small_batches")
async def test_all_rows_are_of_one_moment_and_calls_inside_the_loop_are_not_part_of_it(
    backend: aiidadb.Backend,
) -> None:
    expected = await listing(backend)
    rows = []
    async for row in listing(backend):
        rows.append(row)
        assert not backend._session.in_transaction
        if len(rows) == 3:
            await backend.settings.set("inside", 3)
            await backend.delete_nodes_and_connections(range(200, 340))
            assert len(await listing(backend)) == MANY - 140
        if len(rows) == 4:
            async with backend.transaction() as connection:
                await connection.execute("update db_dbnode set label = 'changed' where id > 150")
    assert rows == expected
    assert (await backend.settings.get("inside")).value == 3
    after = await listing(backend)
    assert len(after) == MANY - 140
    assert after[-1].label == "changed"
    await is_free(backend)


@pytest.mark.quick
@pytest.mark.usefixtures("small_batches")
async def test_inside_a_transaction_it_sees_what_that_has_changed(
    backend: aiidadb.Backend,
) -> None:
    rows = []
    with pytest.raises(ZeroDivisionError):
        async with backend.transaction() as connection:
            await connection.execute("update db_dbnode set label = 'changed' where id > 100")
            async for row in listing(backend):
                rows.append(row)
                assert backend._session.in_transaction
                if len(rows) % 50 == 1:
                    assert len(await listing(backend, limit=60)) == 60
                    async with backend.transaction():  # a savepoint
                        await backend.settings.set("inside", len(rows))
            # The cursor is closed: it would be in the way.
            await connection.execute("alter table db_dbnode add column more int")
            async for _ in listing(backend):
                break
            assert (await backend.settings.get("inside")).value == 201
            raise ZeroDivisionError
    assert {row.label for row in rows} == {"changed"}
    assert len(rows) == MANY
    assert {row.label for row in await listing(backend)} == {
        str(pk) for pk in range(101, 101 + MANY)
    }
    await is_free(backend)


@pytest.mark.usefixtures("small_batches")
async def test_one_that_outlasts_its_transaction_says_so(backend: aiidadb.Backend) -> None:
    async with backend.transaction():
        rows = aiter(listing(backend))
        await anext(rows)
    with pytest.raises(ClosedError, match="transaction that has ended"):
        async for _ in rows:
            pass
    await is_free(backend)


# ------------------------------------------------------------------------------ its connection


@pytest.mark.quick
@pytest.mark.usefixtures("small_batches")
async def test_the_connection_is_free_when_the_last_rows_are_there(
    backend: aiidadb.Backend,
) -> None:
    used = backend._session._taken._in_use
    number = 0
    async for _ in listing(backend):
        number += 1
        assert len(used) == (number <= MANY - 19)  # 7 and 14 and ten times 20 came before
        assert backend._session._lanes._places._free == (number > MANY - 19)
    for options in ({"group_name": "few"}, {"limit": 7}):
        async for _ in listing(backend, **options):
            assert not used
            assert backend._session._lanes._places._free


@pytest.mark.usefixtures("small_batches")
async def test_long_calls_inside_the_loop_wait_for_no_second_lane(
    backend: aiidadb.Backend,
) -> None:
    """There is only one, and the loop has it."""
    async for _ in listing(backend):
        statistics = await backend.queries.get_creation_statistics()
        assert statistics["total"] == MANY + 30
        break
    await is_free(backend)


@pytest.mark.usefixtures("small_batches")
async def test_a_group_of_few_bands_needs_no_lane_and_one_of_many_does(
    backend: aiidadb.Backend,
) -> None:
    async def first(name: str) -> aiidadb.BandsRow:
        return await anext(aiter(listing(backend, group_name=name)))

    async for _ in listing(backend):  # takes the lane
        await asyncio.create_task(first("few"))
        many = asyncio.create_task(first("many"))
        done, _ = await asyncio.wait((many,), timeout=0.1)
        assert not done
        break
    assert (await many).pk == 101


# ------------------------------------------------------------------------------ its end


@pytest.mark.quick
@pytest.mark.usefixtures("small_batches")
@pytest.mark.parametrize("in_transaction", [False, True])
async def test_a_loop_that_is_left_gives_everything_back(
    backend: aiidadb.Backend, in_transaction: bool
) -> None:
    async with backend.transaction() if in_transaction else contextlib.nullcontext():
        async for _ in listing(backend):
            break
        with pytest.raises(KeyError):
            async for row in listing(backend):
                raise KeyError(row.pk)
        async with contextlib.aclosing(aiter(listing(backend))) as rows:
            await anext(rows)
        if not in_transaction:
            await is_free(backend)
        assert len(await listing(backend)) == MANY
    await is_free(backend)


@pytest.mark.quick
@pytest.mark.usefixtures("small_batches", "backend")
@pytest.mark.parametrize("left_by", ["break", "an error", "nothing"])
async def test_one_that_is_left_as_the_event_loop_ends_is_ended_without_a_word(
    head_dsn: str, caplog: pytest.LogCaptureFixture, left_by: str
) -> None:
    """Though nothing waits for its end, and nothing closes the backend."""

    async def main() -> None:
        other = await aiidadb.open_backend(head_dsn, slow_statement=None)
        kept.append(other)
        rows = aiter(listing(other))
        if left_by == "nothing":
            kept.append(rows)
            await anext(rows)
            return
        async for _ in listing(other):
            if left_by == "break":
                break
            raise ZeroDivisionError

    def run() -> None:
        with contextlib.suppress(ZeroDivisionError):
            asyncio.run(main())

    def let_go() -> None:
        kept.clear()
        gc.collect()

    kept: list[object] = []
    await asyncio.to_thread(run)
    assert caplog.records == []
    async with asyncio.timeout(LIMIT), aiidadb.open_backend(head_dsn) as look:
        sql = "select count(*) from pg_stat_activity where state like 'idle in transaction%'"
        async with look.connection() as connection:
            while await connection.fetchval(sql + " and datname = current_database()"):
                await asyncio.sleep(0.02)
    with pytest.warns(ResourceWarning, match="never closed"):
        let_go()


@pytest.mark.usefixtures("small_batches")
@pytest.mark.parametrize("way", EACH_WAY)
@pytest.mark.parametrize("rows", [0, 7, 9], ids=["first rows", "next rows", "in the loop"])
async def test_a_cancelled_loop_gives_everything_back(
    backend: aiidadb.Backend,
    head_dsn: str,
    monkeypatch: pytest.MonkeyPatch,
    way: Way,
    rows: int,
) -> None:
    """Also where the server is at work for it."""
    look_up = bands_listing._Run._look_up
    read = 0
    has_read_all = asyncio.Event()

    async def sleep(self: Any, bands: list[Any]) -> Any:
        if read == rows:
            await self._session.fetch(SLEEP)
        return await look_up(self, bands)

    async def loop() -> None:
        nonlocal read
        async for _ in listing(backend):
            read += 1
            if read == 9:
                has_read_all.set()
                await asyncio.sleep(LIMIT)

    async def is_there() -> None:
        await (has_read_all.wait() if rows == 9 else wait_for_sleepers(head_dsn, 1))

    monkeypatch.setattr(bands_listing._Run, "_look_up", sleep)
    error = await outcome_of(loop(), way, when=is_there)
    assert isinstance(error, asyncio.CancelledError)
    assert read == rows
    await is_free(backend)
    monkeypatch.setattr(bands_listing._Run, "_look_up", look_up)
    asleep = await backend._session.fetch(
        "select pid from pg_stat_activity where query like '%pg_sleep(60)%' and state = 'active'"
        " and pid <> pg_backend_pid() and datname = current_database()"
    )
    assert asleep == []
    assert len(await listing(backend)) == MANY


@pytest.mark.usefixtures("small_batches")
async def test_closing_the_backend_ends_a_loop(head_dsn: str, backend: aiidadb.Backend) -> None:
    profile = aiidadb.Profile.from_dsn(head_dsn)
    async with aiidadb.open_backend(profile) as other:
        rows = aiter(listing(other))
        await anext(rows)
        await other.close(timeout=0.05)
        with pytest.raises(ClosedError):
            async for _ in rows:
                pass
    assert len(await listing(backend)) == MANY
