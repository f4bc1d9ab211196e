"""The listing of processes: states, times, odd attributes, and what pollers need."""

from __future__ import annotations

import asyncio
import datetime as dt
import itertools
from typing import TYPE_CHECKING

import asyncpg
import hypothesis
import pytest
from hypothesis import strategies as st

import aiidadb
from aiidadb.exceptions import InvalidInputError
from aiidadb.queries import processes
from aiidadb.sql import QUERIES
from tests.helpers.databases import run_script
from tests.helpers.examples import examples
from tests.helpers.graphs import (
    CALCULATION,
    WORKFLOW,
    Node,
    each_in_a_transaction,
    write_nodes,
    write_users,
)
from tests.helpers.real_databases import load_dump

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.helpers.databases import Databases

ACTIVE = ("created", "running", "waiting")
STATES = (*ACTIVE, "finished", "excepted", "killed")
BEGIN = dt.datetime(2024, 5, 17, 9, 30, tzinfo=dt.UTC)


def after(minutes: float) -> dt.datetime:
    return BEGIN + dt.timedelta(minutes=minutes)


async def fill(
    backend: aiidadb.Backend,
    attributes_of: Mapping[int, Mapping[str, object] | None],
    times: Mapping[int, tuple[dt.datetime, dt.datetime]] | None = None,
) -> None:
    """Write processes with these attributes, made and changed at these times; and some data."""
    assert backend.version is not None
    await write_users(backend._session, "ada@epfl.ch")
    nodes = [
        Node(pk, CALCULATION if pk % 2 else WORKFLOW, process_type="p", attributes=attributes)
        for pk, attributes in attributes_of.items()
    ]
    data = Node(1000, attributes={"process_state": "running"})
    await write_nodes(backend._session, [*nodes, data], line=backend.version.line)
    for pk, (ctime, mtime) in (times or {}).items():
        await backend._session.execute(
            "update db_dbnode set ctime = $1, mtime = $2 where id = $3", ctime, mtime, pk
        )


def pks_of(rows: Sequence[aiidadb.ProcessRow]) -> list[int]:
    return [row.pk for row in rows]


@pytest.mark.quick
async def test_a_process_is_told_by_its_node(backend):
    full = {
        "process_state": "finished", "process_label": "PwCalculation", "process_status": "done",
        "exit_status": 410, "paused": True, "sealed": True,
    }  # fmt: skip
    await fill(backend, {1: full, 2: {}, 3: None}, {1: (after(1), after(2))})
    first, third, second = await backend.queries.get_processes()
    assert first == aiidadb.ProcessRow(
        1, first.uuid, "PwCalculation", "p", "finished", "done", 410, True, True, after(1), after(2)
    )
    for pk, row in ((2, second), (3, third)):
        assert row == aiidadb.ProcessRow(
            pk, row.uuid, None, "p", None, None, None, False, False, BEGIN, BEGIN
        )


@pytest.mark.quick
async def test_states_are_chosen_and_the_latest_comes_first(backend):
    states = dict(enumerate(STATES, start=1))
    await fill(
        backend,
        {pk: {"process_state": state} for pk, state in states.items()},
        {pk: (after(-pk), after(pk)) for pk in states},
    )
    queries = backend.queries
    assert pks_of(await queries.get_processes()) == [1, 2, 3, 4, 5, 6]
    for count in (0, 1, 2, 6):
        for some in itertools.combinations(STATES, count):
            chosen = [pk for pk, state in states.items() if state in some]
            assert pks_of(await queries.get_processes(states=some)) == chosen
            assert pks_of(await queries.get_processes(states=some, limit=2)) == chosen[:2]
            since = pks_of(await queries.get_processes(states=set(some), since=after(-3)))
            assert since == [pk for pk in chosen if pk <= 3]


ODD = {
    "process_state": [1, None, ["running"], {"a": 1}, True],
    "process_label": [1, None, []],
    "process_status": [1.5, None, {}],
    "exit_status": ["abc", "7", None, 1.5, True, 10**30, [0], {}],
    "paused": [None, 0, "true", []],
    "sealed": [None, 1, "yes"],
}


async def test_an_odd_attribute_spoils_its_cell_alone(backend):
    odd = [(name, value) for name, values in ODD.items() for value in values]
    usual = {
        "process_state": "running", "process_label": "l", "process_status": "s", "exit_status": 0,
        "paused": True, "sealed": True,
    }  # fmt: skip
    await fill(backend, {pk: {**usual, name: value} for pk, (name, value) in enumerate(odd, 1)})
    fields = {"process_state": "state", "process_status": "status"}
    rows = await backend.queries.get_processes()
    assert len(rows) == len(odd)
    for row in rows:
        name, _ = odd[row.pk - 1]
        expected = {fields.get(one, one): value for one, value in usual.items()}
        expected[fields.get(name, name)] = False if name in ("paused", "sealed") else None
        assert {one: getattr(row, one) for one in expected} == expected


async def test_exit_statuses_are_read_where_the_server_drops_backslashes(head_dsn, backend):
    await fill(backend, {1: {"exit_status": -410}})
    mark = "&" if "?" in head_dsn else "?"
    dsn = f"{head_dsn}{mark}options=-c%20standard_conforming_strings=off"
    async with aiidadb.open_backend(dsn) as other:
        for given in ({}, {"changed_after": after(-1)}):
            (row,) = await other.queries.get_processes(**given)
            assert row.exit_status == -410


async def test_attributes_that_are_not_an_object_spoil_nothing_else(backend):
    await fill(backend, {1: {}, 2: {}, 3: {"process_state": "running"}})
    for pk, attributes in ((1, '["process_state"]'), (2, "null")):
        await backend._session.execute(
            "update db_dbnode set attributes = $1::text::jsonb where id = $2", attributes, pk
        )
    rows = await backend.queries.get_processes()
    assert [(row.pk, row.state) for row in rows] == [(3, "running"), (2, None), (1, None)]
    assert pks_of(await backend.queries.get_processes(states=["running"])) == [3]


async def test_a_time_that_python_cannot_hold_is_none(backend):
    await fill(backend, {1: {}, 2: {}, 3: {}}, {3: (after(1), after(1))})
    await backend._session.execute("update db_dbnode set mtime = 'infinity' where id = 1")
    await backend._session.execute(
        "update db_dbnode set ctime = '0044-03-15 12:00+00 BC', mtime = '-infinity' where id = 2"
    )
    rows = await backend.queries.get_processes()
    assert [(row.pk, row.ctime, row.mtime) for row in rows] == [
        (3, after(1), after(1)), (1, BEGIN, None), (2, None, None),
    ]  # fmt: skip
    # One whose time could not be given as the next one is not in an answer to pollers.
    assert pks_of(await backend.queries.get_processes(changed_after=BEGIN)) == [3]


@pytest.mark.quick
async def test_changes_come_in_order_and_a_limit_never_parts_those_of_one_time(backend):
    minutes = {1: 3, 2: 1, 3: 2, 4: 2, 5: 2, 6: 4}
    await fill(
        backend, {pk: {} for pk in minutes}, {pk: (BEGIN, after(at)) for pk, at in minutes.items()}
    )
    queries = backend.queries
    assert pks_of(await queries.get_processes(changed_after=BEGIN)) == [2, 3, 4, 5, 1, 6]
    assert pks_of(await queries.get_processes(changed_after=BEGIN, limit=1)) == [2]
    for limit in (2, 3, 4):
        rows = await queries.get_processes(changed_after=BEGIN, limit=limit)
        assert pks_of(rows) == [2, 3, 4, 5]
    assert pks_of(await queries.get_processes(changed_after=rows[-1].mtime)) == [1, 6]
    assert await queries.get_processes(changed_after=after(4)) == []
    since = await queries.get_processes(changed_after=BEGIN, since=after(1))
    assert since == []


@pytest.mark.parametrize("zone", [dt.UTC, dt.timezone(dt.timedelta(hours=5, minutes=30))], ids=str)
async def test_times_come_with_any_zone_or_as_text(backend, zone):
    await fill(backend, {1: {}, 2: {}}, {1: (after(1), after(1)), 2: (after(2), after(2))})
    for time in (after(1), after(1).astimezone(zone), after(1).astimezone(zone).isoformat()):
        assert pks_of(await backend.queries.get_processes(changed_after=time)) == [2]
        assert pks_of(await backend.queries.get_processes(since=time)) == [2, 1]
    first = dt.datetime.min.replace(tzinfo=dt.timezone(dt.timedelta(hours=14)))
    last = dt.datetime.max.replace(tzinfo=dt.timezone(dt.timedelta(hours=-14)))
    assert len(await backend.queries.get_processes(since=first, changed_after=first)) == 2
    assert await backend.queries.get_processes(since=last) == []
    assert await backend.queries.get_processes(changed_after=last) == []


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"states": ["runing"]}, "did you mean 'running'"),
        ({"states": ["x" * 1000]}, "choose among created, running"),
        ({"states": "running"}, "such as"),
        ({"states": [1]}, "not a state"),
        ({"states": 1}, "collection of states"),
        ({"since": dt.datetime(2024, 1, 1)}, "no time zone"),
        ({"since": "2024-01-01"}, "no time zone"),
        ({"since": dt.date(2024, 1, 1)}, "with a time zone"),
        ({"changed_after": "yesterday"}, "ISO 8601"),
        ({"changed_after": 1.5}, "with a time zone"),
        ({"limit": 0}, "positive integer"),
    ],
    ids=str,
)
async def test_what_cannot_be_meant_is_refused(bare_dsn, given, message):
    async with aiidadb.open_backend(aiidadb.Profile.from_dsn(bare_dsn)) as backend:
        with pytest.raises(InvalidInputError, match=message):
            await backend.queries.get_processes(**given)


_PROCESSES = st.lists(
    st.tuples(st.sampled_from([*STATES, 1, None]), st.integers(0, 5), st.integers(0, 5)),
    max_size=12,
)


@pytest.mark.hypothesis
async def test_it_is_what_python_chooses_and_pages_of_changes_miss_nothing(main_dsn):
    async with aiidadb.open_backend(aiidadb.Profile.from_dsn(main_dsn)) as backend:

        async def check(made, states, since, changed, limit):
            attributes = {pk: {"process_state": one[0]} for pk, one in enumerate(made, 1)}
            times = {pk: (after(one[1]), after(one[2])) for pk, one in enumerate(made, 1)}
            await fill(backend, attributes, times)
            wanted = [
                pk
                for pk, (state, ctime, _) in enumerate(made, 1)
                if (states is None or state in states) and (since is None or ctime >= since)
            ]
            earliest = None if since is None else after(since)
            rows = await backend.queries.get_processes(states=states, since=earliest, limit=limit)
            latest = sorted(wanted, key=lambda pk: (times[pk][0], pk), reverse=True)
            assert pks_of(rows) == latest[:limit]
            seen, last = [], after(changed)
            while rows := await backend.queries.get_processes(
                states=states, since=earliest, changed_after=last, limit=limit
            ):
                seen += rows
                last = rows[-1].mtime
            later = [pk for pk in wanted if times[pk][1] > after(changed)]
            assert pks_of(seen) == sorted(later, key=lambda pk: (times[pk][1], pk))

        await each_in_a_transaction(
            backend,
            check,
            _PROCESSES,
            st.none() | st.sets(st.sampled_from(STATES)),
            st.none() | st.integers(0, 5),
            st.integers(-1, 5),
            st.none() | st.integers(1, 4),
            count=25,
        )


async def test_it_is_what_aiida_core_says_of_its_processes(aiida_dsn, aiida_backend):
    from aiida import orm
    from plumpy.process_states import ProcessState

    common = {"user": aiida_backend.default_user, "backend": aiida_backend}
    nodes: list[orm.ProcessNode] = []
    kinds = (orm.WorkChainNode, orm.CalcFunctionNode, orm.WorkFunctionNode)
    for number, state in enumerate(ProcessState):
        node = kinds[number % 3](process_type=f"aiida.workflows:one.{number}", **common)
        node.set_process_label(f"label {number}")
        node.set_process_status("waiting for nobody")
        node.store()
        node.set_process_state(state)
        if number % 2:
            node.pause()
        if node.is_terminated:
            node.set_exit_status(number)
            node.seal()
        nodes.append(node)
    orm.Int(1, **common).store()

    def told_by_aiida(node: orm.ProcessNode) -> aiidadb.ProcessRow:
        return aiidadb.ProcessRow(
            node.pk, node.uuid, node.process_label, node.process_type, node.process_state.value,
            node.process_status, node.exit_status, node.paused, node.is_sealed, node.ctime,
            node.mtime,
        )  # fmt: skip

    async with aiidadb.open_backend(aiidadb.Profile.from_dsn(aiida_dsn)) as backend:
        get = backend.queries.get_processes
        assert await get() == [told_by_aiida(node) for node in reversed(nodes)]
        for states in (ACTIVE, ("finished",), ("killed", "created")):
            query = orm.QueryBuilder(backend=aiida_backend).append(
                orm.ProcessNode, filters={"attributes.process_state": {"in": states}}, project="id"
            )
            assert sorted(pks_of(await get(states=states))) == sorted(query.all(flat=True))
        last = max(node.mtime for node in nodes)
        assert await get(changed_after=last) == []
        nodes[0].set_process_status("changed")
        (row,) = await get(changed_after=last)
        assert row == told_by_aiida(nodes[0])
        assert row.status == "changed"


async def test_the_sqlalchemy_line_is_served_with_what_may_be_missing_there(databases: Databases):
    dsn = await load_dump(databases, "legacy_sqla/2_after_aiida-1.6.9_0edcdd5a30f0")
    async with aiidadb.open_backend(aiidadb.Profile.from_dsn(dsn)) as backend:
        rows = await backend.queries.get_processes()
        async with backend.connection() as connection:
            number = await connection.fetchval(
                "select count(*) from db_dbnode where node_type like 'process.%'"
            )
        assert len(rows) == number > 0
        active = await backend.queries.get_processes(states=ACTIVE)
        assert active == [row for row in rows if row.state in ACTIVE]
        times = sorted(row.mtime for row in rows if row.mtime is not None)
        changed = await backend.queries.get_processes(changed_after=times[0])
        assert len(changed) == len([time for time in times if time > times[0]])
        assert sum(group.size for group in await backend.queries.get_groups()) > 0
        pk = rows[0].pk
        assert await backend.queries.set_labels({pk: "a"}) == 1
        assert await backend.queries.update_extras({pk: {"a": 1}}) == 1
        (again,) = await backend.queries.get_processes(changed_after=times[-1])
        assert again.pk == pk
    await databases.drop(dsn)


# ---------------------------------------------------------------- what a backend remembers


async def changed(backend: aiidadb.Backend, pk: int, state: object, *, now: bool = True) -> None:
    """Give a process another state, and the time of its change with it, or not."""
    await backend._session.execute(
        """
        update db_dbnode
        set attributes = attributes || jsonb_build_object('process_state', $2::text),
            mtime = case when $3::bool then now() else mtime end
        where id = $1
        """,
        pk,
        state,
        now,
    )


async def active(backend: aiidadb.Backend) -> list[int]:
    return sorted(pks_of(await backend.queries.get_processes(states=ACTIVE)))


@pytest.mark.quick
async def test_what_became_active_or_terminated_is_seen_at_the_next_look(backend):
    await fill(backend, {1: {"process_state": "waiting"}, 2: {"process_state": "finished"}, 3: {}})
    assert await active(backend) == [1]
    await changed(backend, 3, "created")
    assert await active(backend) == [1, 3]
    await changed(backend, 1, "finished")
    assert await active(backend) == [3]
    await changed(backend, 2, "running")  # which AiiDA's processes never do
    assert await active(backend) == [2, 3]
    assert pks_of(await backend.queries.get_processes(states=["running"])) == [2]
    assert pks_of(await backend.queries.get_processes(states=["running"], limit=1)) == [2]
    assert pks_of(await backend.queries.get_processes(states=["created"], since=after(1))) == []
    # New ones: with a higher pk though an old time, as what is imported, and the other way round.
    assert backend.version is not None
    new = {"process_state": "running"}
    for pk in (2001, 5):
        node = Node(pk, WORKFLOW, attributes=new)
        await write_nodes(backend._session, [node], line=backend.version.line)
    await changed(backend, 5, "running")
    assert await active(backend) == [2, 3, 5, 2001]
    await backend.delete_nodes_and_connections([2, 2001])
    assert await active(backend) == [3, 5]


async def test_what_is_changed_against_aiidas_rules_is_seen_in_the_end(backend, monkeypatch):
    await fill(backend, {1: {"process_state": "finished"}, 2: {"process_state": "waiting"}})
    assert await active(backend) == [2]
    await changed(backend, 1, "running", now=False)
    assert await active(backend) == [2]
    async with backend.transaction():
        assert await active(backend) == [1, 2]  # there all processes are looked at
    loop = asyncio.get_running_loop()
    clock = loop.time
    monkeypatch.setattr(loop, "time", lambda: clock() + 900)
    assert await active(backend) == [1, 2]


async def test_what_a_transaction_takes_back_is_not_remembered(backend):
    await fill(backend, {1: {"process_state": "waiting"}, 2: {"process_state": "finished"}})
    with pytest.raises(KeyError):
        async with backend.transaction():
            await changed(backend, 1, "finished")
            await changed(backend, 2, "waiting")
            assert await active(backend) == [2]
            raise KeyError
    assert await active(backend) == [1]


async def test_what_a_transaction_changed_that_was_open_at_a_look_is_seen_at_its_end(
    head_dsn, backend
):
    await fill(backend, {1: {"process_state": "waiting"}, 2: {"process_state": "finished"}})
    assert backend.version is not None
    line, new = backend.version.line, {"process_state": "running"}
    assert await active(backend) == [1]
    other = await asyncpg.connect(head_dsn)
    try:
        async with other.transaction():
            # As what is imported: with old times, and pks lower than what others make meanwhile.
            await write_nodes(other, [Node(2001, WORKFLOW, attributes=new)], line=line)
            for pk in (2002, 2003):
                await write_nodes(backend._session, [Node(pk, WORKFLOW, attributes=new)], line=line)
                assert await active(backend) == [1, *range(2002, pk + 1)]
        assert await active(backend) == [1, 2001, 2002, 2003]
    finally:
        await other.close()


@pytest.mark.parametrize("days", [0.9, 1.1])
async def test_the_time_from_which_on_changes_are_looked_for_does_not_stay_for_ever(days):
    def mark(at: float, oldest: int, following: int) -> processes._Mark:
        return processes._Mark(1, BEGIN + dt.timedelta(days=at), oldest, following)

    marks_after = processes._marks_after
    first = mark(0, 10, 12)  # at which two transactions are open
    look = processes._Look("{}", *marks_after(None, first), 0)
    assert (look.unseen_from, look.waiting) == (first, first)
    second = mark(0.1, 11, 15)
    assert marks_after(look, second) == (first, first)
    third = mark(0.2, 12, 16)  # the two have ended
    look = processes._Look("{}", *marks_after(look, third), 0)
    assert (look.unseen_from, look.waiting) == (first, third)
    fourth = mark(0.3, 17, 18)
    look = processes._Look("{}", *marks_after(look, fourth), 0)
    assert (look.unseen_from, look.waiting) == (third, fourth)
    late = mark(0.2 + days, 17, 30)  # one has not ended for very long
    assert marks_after(look, late) == ((late, late) if days > 1 else (third, fourth))
    idle = mark(5, 40, 40)
    assert marks_after(look, idle) == (idle, idle)


async def test_more_than_are_remembered_are_all_told(backend, monkeypatch):
    monkeypatch.setattr(processes, "_MOST_REMEMBERED", 1)
    await fill(backend, {1: {"process_state": "waiting"}, 2: {"process_state": "running"}})
    for _ in range(2):
        assert await active(backend) == [1, 2]
    await changed(backend, 1, "killed", now=False)
    assert await active(backend) == [2]


async def test_many_that_look_at_once_see_each_change(head_dsn, backend):
    await fill(backend, {pk: {"process_state": "created"} for pk in range(1, 21)})
    async with asyncio.timeout(60):
        for pk in range(1, 21):
            await changed(backend, pk, ("finished", "waiting")[pk % 2])
            answers = await asyncio.gather(*(active(backend) for _ in range(5)))
            expected = [one for one in range(1, 21) if one > pk or one % 2]
            assert answers == [expected] * 5


_STATES_GIVEN = st.sampled_from([*STATES, None])


@pytest.mark.hypothesis
async def test_looks_between_changes_find_what_a_look_at_all_finds(main_dsn):
    profile = aiidadb.Profile.from_dsn(main_dsn)
    async with aiidadb.open_backend(profile) as backend:
        await fill(backend, {pk: {"process_state": "created"} for pk in range(1, 9)})
        loop = asyncio.get_running_loop()

        async def check(changes: list[tuple[int, str | None]]) -> None:
            for pk, state in changes:
                await changed(backend, pk, state)
                async with backend.connection() as connection:
                    rows = await connection.fetch(
                        """
                        select id from db_dbnode
                        where node_type like 'process.%'
                            and attributes ->> 'process_state' = any($1::text[])
                        order by id
                        """,
                        list(ACTIVE),
                    )
                assert await active(backend) == [row["id"] for row in rows]

        @hypothesis.settings(max_examples=examples(15))
        @hypothesis.given(st.lists(st.tuples(st.integers(1, 8), _STATES_GIVEN), max_size=6))
        def run(changes: list[tuple[int, str | None]]) -> None:
            asyncio.run_coroutine_threadsafe(check(changes), loop).result(60)

        await asyncio.to_thread(run)


# ---------------------------------------------------------------- plans

MANY = """
    insert into db_dbnode
    select (jsonb_populate_record(node, jsonb_build_object(
        'id', 2000 + number, 'uuid', gen_random_uuid(),
        'ctime', node.ctime + number * interval '1 minute',
        'mtime', node.mtime + number * interval '1 minute'))).*
    from db_dbnode as node, generate_series(1, 3000) as number where node.id in (1, 1000);
    """


async def plan_of(backend: aiidadb.Backend, name: str, *arguments: object) -> str:
    async with backend.connection() as connection:
        rows = await connection.fetch(f"explain {QUERIES[name].text}", *arguments)
    return "\n".join(row[0] for row in rows)


async def test_changes_are_found_by_the_index_on_their_time(backend, head_dsn):
    await fill(backend, {1: {"process_state": "finished"}})
    await run_script(head_dsn, MANY.replace("2000 + number", "2000 + number * 2 + node.id % 2"))
    await run_script(head_dsn, "analyze db_dbnode")
    for after_minutes, limit in ((2990, None), (10, 10)):
        plan = await plan_of(backend, "changed_processes", None, None, after(after_minutes), limit)
        assert "mtime" in plan
        assert "Seq Scan" not in plan
    plan = await plan_of(backend, "processes", None, None, 10, None)
    assert "ctime" in plan
    assert "Seq Scan" not in plan


async def test_later_looks_are_by_indexes_alone(backend, head_dsn):
    await fill(backend, {1: {"process_state": "finished"}})
    await run_script(head_dsn, MANY.replace("2000 + number", "2000 + number * 2 + node.id % 2"))
    await run_script(head_dsn, "analyze db_dbnode")
    plan = await plan_of(backend, "active_processes", "{1,2001,2003}", 7995, after(2990))
    assert "BitmapOr" in plan
    assert "Seq Scan" not in plan
    plan = await plan_of(backend, "processes", list(ACTIVE), None, None, "{1,2001,2003}")
    assert "Seq Scan" not in plan
