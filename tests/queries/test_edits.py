"""Edits of many nodes: all or nothing, beside aiida-core's, and two at the same time."""

from __future__ import annotations

import asyncio
import datetime as dt
import random
import uuid
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import asyncpg
import hypothesis
import pytest
import pytest_asyncio

import aiidadb
from aiidadb.exceptions import (
    ConcurrencyError,
    CorruptStorage,
    InvalidInputError,
    MultipleObjectsError,
    NotExistent,
    UnknownOutcome,
)
from aiidadb.sql import QUERIES
from tests.helpers.databases import connected, run_script
from tests.helpers.examples import examples
from tests.helpers.faults import proxy
from tests.helpers.graphs import Node, write_groups, write_nodes, write_users
from tests.helpers.json_values import JSON, same

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

NODES: Final = range(1, 41)
LIMIT: Final = 60  # seconds, far beyond what any of these takes

EDITS: Final[dict[str, Any]] = {
    "set_labels": lambda queries, pks: queries.set_labels({pk: f"label {pk}" for pk in pks}),
    "set_descriptions": lambda queries, pks: queries.set_descriptions(
        {pk: f"described {pk}" for pk in pks}
    ),
    "update_extras": lambda queries, pks: queries.update_extras({pk: {"new": pk} for pk in pks}),
    "add_to_group": lambda queries, pks: queries.add_to_group("campaign", pks),
    "remove_from_group": lambda queries, pks: queries.remove_from_group("full", pks),
}
IS_BLOCKING: Final = """
    select exists (
        select from pg_locks
        where not granted and pg_backend_pid() = any(pg_blocking_pids(pid))
    )
"""

IS_BLOCKED: Final = "select cardinality(pg_blocking_pids($1)) > 0"


async def until_it_blocks(connection: asyncpg.Connection) -> None:
    """Wait until something waits for a lock that a connection has."""
    while not await connection.fetchval(IS_BLOCKING):
        await asyncio.sleep(0.02)


each_edit = pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
# Where what the lines have in common is looked at.
one_line = pytest.mark.parametrize("head_dsn", ["main_0002"], indirect=True)


@pytest_asyncio.fixture
async def filled(backend: aiidadb.Backend) -> AsyncIterator[aiidadb.Backend]:
    """Forty nodes, and two groups: an empty one, and one with all of them."""
    assert backend.version is not None
    await write_users(backend._session, "ada@epfl.ch")
    nodes = [Node(pk, label=f"node {pk}") for pk in NODES]
    await write_nodes(backend._session, nodes, line=backend.version.line)
    await write_groups(backend._session, {"campaign": [], "full": NODES})
    yield backend


async def content(backend: aiidadb.Backend) -> list[object]:
    """All that an edit could change."""
    async with backend.connection() as connection:
        return [
            await connection.fetch(
                "select id, label, description, extras::text, mtime from db_dbnode order by id"
            ),
            await connection.fetch(
                "select dbgroup_id, dbnode_id from db_dbgroup_dbnodes order by 1, 2"
            ),
        ]


async def members(backend: aiidadb.Backend, label: str) -> list[int]:
    async with backend.connection() as connection:
        rows = await connection.fetch(
            """
            select membership.dbnode_id as pk
            from db_dbgroup as grouping
            inner join db_dbgroup_dbnodes as membership on membership.dbgroup_id = grouping.id
            where grouping.label = $1 order by 1
            """,
            label,
        )
    return [row["pk"] for row in rows]


async def column(backend: aiidadb.Backend, name: str, pks: list[int]) -> list[Any]:
    async with backend.connection() as connection:
        rows = await connection.fetch(
            f"select {name} as value from db_dbnode where id = any($1::int[]) order by id", pks
        )
    return [row["value"] for row in rows]


# ---------------------------------------------------------------- what each does


@pytest.mark.quick
async def test_texts_are_set_and_the_time_of_the_change_with_them(filled):
    began = await column(filled, "clock_timestamp()", [1])
    texts = {1: "", 3: 'a "quoted" \\ one', 2: "{a,NULL}", 5: "é\U0001f600\n", 4: "NULL"}
    pks = sorted(texts)
    assert await filled.queries.set_labels(texts) == 5
    assert await filled.queries.set_descriptions(texts) == 5
    for name in ("label", "description"):
        assert await column(filled, name, pks) == [texts[pk] for pk in pks]
    assert min(await column(filled, "mtime", pks)) > began[0]
    others = [pk for pk in NODES if pk not in texts]
    assert await column(filled, "label", others) == [f"node {pk}" for pk in others]
    assert max(await column(filled, "mtime", others)) < began[0]
    assert await filled.queries.set_labels({6: "x" * 255}) == 1
    assert await filled.queries.set_descriptions({6: "x" * 100_000}) == 1


@pytest.mark.quick
async def test_extras_are_added_and_others_stay(filled):
    queries = filled.queries
    assert await queries.update_extras({1: {"a": {"b": 1}, "c": 1}, 2: {}}) == 2
    assert await queries.update_extras({1: {"a": {"d": 2.0}, "x y\\": [None, '"']}}) == 1
    (extras,) = await column(filled, "extras", [1])
    assert extras == {"a": {"d": 2.0}, "c": 1, "x y\\": [None, '"']}
    assert isinstance(extras["a"]["d"], float)
    await filled._session.execute("update db_dbnode set extras = 'null' where id = 2")
    assert await queries.update_extras({2: MappingProxyType({"a": 1})}) == 1
    assert await column(filled, "extras", [2]) == [{"a": 1}]


@pytest.mark.quick
async def test_members_come_and_go_and_what_is_so_already_is_ignored(filled):
    queries = filled.queries
    assert await queries.add_to_group("campaign", [3, 1, 2, 2]) == 3
    assert await queries.add_to_group("campaign", [2, 4]) == 1
    assert await members(filled, "campaign") == [1, 2, 3, 4]
    assert await queries.remove_from_group("campaign", [4, 5, 4]) == 1
    assert await queries.remove_from_group("campaign", 4) == 0
    assert await members(filled, "campaign") == [1, 2, 3]
    assert await queries.add_to_group("campaign", []) == 0
    assert await members(filled, "full") == list(NODES)


async def test_a_group_is_named_by_pk_object_uuid_or_label(filled):
    (row, _) = await filled.queries.get_groups()
    for number, group in enumerate((row.pk, row, uuid.UUID(row.uuid), row.label), start=1):
        assert await filled.queries.add_to_group(group, number) == 1
        assert await filled.queries.remove_from_group(group, number) == 1
    await filled._session.execute(
        "update db_dbgroup set label = $1 where id = $2", row.uuid, row.pk
    )
    assert await filled.queries.add_to_group(row.uuid, 1) == 1  # a text is a label


async def test_nothing_given_changes_nothing(filled):
    before = await content(filled)
    queries = filled.queries
    for call in (queries.set_labels, queries.set_descriptions, queries.update_extras):
        assert await call({}) == 0
    for call in (queries.add_to_group, queries.remove_from_group):
        assert await call("full", []) == 0
    assert await content(filled) == before


# ---------------------------------------------------------------- all or nothing


@each_edit
@pytest.mark.quick
async def test_a_node_that_does_not_exist_is_told_before_anything_is_changed(filled, edit):
    before = await content(filled)
    with pytest.raises(NotExistent, match=r"nothing was changed: there are no nodes -1, 99, 1099"):
        await edit(filled.queries, [99, 1, 2**40, -1])
    with pytest.raises(NotExistent, match=r"109, 110 and 15 more$"):
        await edit(filled.queries, [1, *range(101, 126)])
    async with filled.transaction():
        with pytest.raises(NotExistent, match="there is no node 99"):
            await edit(filled.queries, [1, 99])
        # The transaction goes on.
        await filled.settings.set("a", 1)
    assert await content(filled) == before
    assert (await filled.settings.get("a")).value == 1


@one_line
@each_edit
async def test_it_takes_part_in_a_transaction(filled, edit):
    before = await content(filled)
    with pytest.raises(KeyError):
        async with filled.transaction():
            assert await edit(filled.queries, [1, 2]) == 2
            assert await content(filled) != before
            raise KeyError
    assert await content(filled) == before


async def test_a_group_must_be_clear(filled):
    before = await content(filled)
    queries = filled.queries
    await filled._session.execute(
        "update db_dbgroup set label = 'same', type_string = 'core.' || id"
    )
    for call in (queries.add_to_group, queries.remove_from_group):
        with pytest.raises(MultipleObjectsError, match="2 groups of different types"):
            await call("same", [1])
        for group in ("none", 99, 2**40, uuid.UUID(int=7)):
            with pytest.raises(NotExistent, match="there is no group"):
                await call(group, [1])
    assert await content(filled) == before


async def test_extras_that_are_not_an_object_are_left_as_they_are(filled):
    await filled._session.execute("update db_dbnode set extras = '[1]' where id in (2, 3)")
    before = await content(filled)
    with pytest.raises(CorruptStorage, match="the nodes 2, 3 are not a JSON object"):
        await filled.queries.update_extras({1: {"a": 1}, 2: {"a": 1}, 3: {"a": 1}})
    assert await content(filled) == before


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("set_labels", [(1, "a")], "map pks to labels"),
        ("set_labels", {1: 2}, "label of the node 1 must be a string"),
        ("set_labels", {1: "a\0"}, "label of the node 1 holds a NUL"),
        ("set_labels", {1: "x" * 256}, "256 characters"),
        ("set_labels", {True: "a"}, "not a valid pk"),
        ("set_labels", {"1": "a"}, "not a valid pk"),
        ("set_labels", {2**63: "a"}, "64 bits"),
        ("set_descriptions", {1: None}, "description of the node 1 must be a string"),
        ("set_descriptions", {1: "\ud800"}, "lone surrogate"),
        ("update_extras", {1: []}, "must be a dictionary"),
        ("update_extras", {1: {"a": float("nan")}}, r"extras of the node 1: .*\['a'\] is nan"),
        ("update_extras", {1: {"a": "x\0", "b": "y" * 2000}}, "extras of the node 1: .* NUL"),
        ("update_extras", {1: {"a\0": 1}}, "NUL"),
        ("update_extras", {1: {"a": {2: 3}}}, "JSON keys are strings"),
        ("update_extras", {1: {2: 3}}, "JSON keys are strings"),
        ("update_extras", {1: {"a.b": 1}}, r"with a '\.'"),
        ("update_extras", {1: {"": 1}}, "the empty one"),
        ("update_extras", {1: {"a": (1, 2)}}, "tuple"),
    ],
)
async def test_what_cannot_be_stored_is_refused_before_it_is_sent(bare_dsn, name, given, message):
    if isinstance(given, dict):  # were it sent, there would be no such node
        given = {40: {} if name == "update_extras" else "fine", **given}
    async with aiidadb.open_backend(aiidadb.Profile.from_dsn(bare_dsn)) as backend:
        with pytest.raises(InvalidInputError, match=message):
            await getattr(backend.queries, name)(given)


@one_line
async def test_two_keys_that_are_one_pk_are_refused(filled):
    node = type("Node", (), {"pk": 1})()
    with pytest.raises(InvalidInputError, match="more than one value for the node 1"):
        await filled.queries.set_labels({1: "a", node: "b"})


async def test_what_names_no_group_is_refused(bare_dsn):
    async with aiidadb.open_backend(aiidadb.Profile.from_dsn(bare_dsn)) as backend:
        for call in (backend.queries.add_to_group, backend.queries.remove_from_group):
            for group in (None, True, 1.5, b"a", [1], "a\0", 2**63):
                with pytest.raises(InvalidInputError):
                    await call(group, [1])
            user = aiidadb.User(1, "ada@epfl.ch", "Ada", "", "")
            with pytest.raises(InvalidInputError, match="is not a group"):
                await call(user, [1])
            with pytest.raises(NotExistent) as caught:
                await call(str(uuid.UUID(int=7)), [1])
            assert "uuid.UUID" in (caught.value.advice or "")


@one_line
@pytest.mark.hypothesis
async def test_any_extras_come_back_equal(filled):
    loop = asyncio.get_running_loop()

    @hypothesis.settings(max_examples=examples(15))
    @hypothesis.given(JSON, JSON)
    def check(one: object, other: object) -> None:
        async def there_and_back() -> list[Any]:
            await filled.queries.update_extras({1: {"a": one, "b": 1}, 2: {"a": other}})
            return await column(filled, "extras", [1, 2])

        first, second = asyncio.run_coroutine_threadsafe(there_and_back(), loop).result(30)
        assert same(first, {"a": one, "b": 1})
        assert same(second, {"a": other})

    await asyncio.to_thread(check)


# ---------------------------------------------------------------- several at once


@one_line
@each_edit
async def test_edits_of_the_same_nodes_at_once_all_end_well(head_dsn, filled, edit):
    generator = random.Random(7)
    profile = aiidadb.Profile.from_dsn(head_dsn)
    async with (
        aiidadb.PoolRegistry() as registry,
        aiidadb.open_backend(profile, registry=registry, max_size=8) as backend,
        asyncio.timeout(LIMIT),
    ):
        for _ in range(4):
            sets = [generator.sample(NODES, 20) for _ in range(8)]
            await asyncio.gather(*(edit(backend.queries, some) for some in sets))


@one_line
@each_edit
async def test_one_that_is_undone_by_a_deadlock_is_sent_again(head_dsn, filled, edit):
    lock = """
        select from db_dbnode where id = {pk} for update;
        select from db_dbgroup_dbnodes where dbnode_id = {pk} for update
        """
    profile = aiidadb.Profile.from_dsn(head_dsn)
    soon = {"deadlock_timeout": "100ms"}  # so that the edit is the one that is undone
    async with (
        asyncio.timeout(LIMIT),
        aiidadb.PoolRegistry() as registry,
        aiidadb.open_backend(profile, registry=registry, server_settings=soon) as backend,
        connected(head_dsn) as first,
        connected(head_dsn) as other,
    ):
        async with other.transaction():
            await other.execute("set local deadlock_timeout = '60s'")
            await other.execute(lock.format(pk=8))
            async with first.transaction():
                await first.execute(lock.format(pk=7))
                editing = asyncio.create_task(edit(backend.queries, [6, 7, 8]))
                await until_it_blocks(first)
                locking = asyncio.create_task(other.execute(lock.format(pk=6)))
                while not await first.fetchval(IS_BLOCKED, other.get_server_pid()):
                    await asyncio.sleep(0.02)
            # The edit goes on to what the other has, which waits for what the edit has.
            await locking
        assert await editing == 3


@one_line
async def test_where_transactions_are_isolated_each_is_sent_again_until_it_goes_through(
    head_dsn, filled
):
    profile = aiidadb.Profile.from_dsn(head_dsn)
    isolated = {"default_transaction_isolation": "repeatable read"}
    async with (
        aiidadb.PoolRegistry() as registry,
        aiidadb.open_backend(profile, registry=registry, server_settings=isolated) as backend,
        asyncio.timeout(LIMIT),
    ):
        edits = ({pk: {f"key {at}": at} for pk in NODES} for at in range(4))
        await asyncio.gather(*(backend.queries.update_extras(one) for one in edits))
    for extras in await column(filled, "extras", list(NODES)):
        assert extras == {f"key {at}": at for at in range(4)}


@one_line
async def test_one_that_never_goes_through_is_given_up(head_dsn, filled):
    await run_script(
        head_dsn,
        """
        create sequence tried;
        create function fail() returns trigger language plpgsql as $$
            begin
                perform nextval('tried');
                raise exception 'not now' using errcode = '40001';
            end
        $$;
        create trigger fail before update on db_dbnode execute function fail()
        """,
    )
    with pytest.raises(ConcurrencyError, match="not now"):
        await filled.queries.set_labels({1: "a"})
    async with filled.connection() as connection:
        assert await connection.fetchval("select last_value from tried") == 5
    with pytest.raises(ConcurrencyError, match="not now"):
        async with filled.transaction():
            await filled.queries.set_labels({1: "a"})
    async with filled.connection() as connection:
        assert await connection.fetchval("select last_value from tried") == 6


@one_line
async def test_of_two_that_add_or_remove_the_same_each_counts_what_it_did(head_dsn, filled):
    profile = aiidadb.Profile.from_dsn(head_dsn)
    async with (
        aiidadb.PoolRegistry() as registry,
        aiidadb.open_backend(profile, registry=registry, max_size=8) as backend,
        asyncio.timeout(LIMIT),
    ):
        for call in (backend.queries.add_to_group, backend.queries.remove_from_group):
            counts = await asyncio.gather(*(call("campaign", NODES) for _ in range(8)))
            assert sum(counts) == len(NODES)


@one_line
async def test_extras_that_two_add_at_once_are_all_there(head_dsn, filled):
    profile = aiidadb.Profile.from_dsn(head_dsn)
    async with (
        aiidadb.PoolRegistry() as registry,
        aiidadb.open_backend(profile, registry=registry, max_size=8) as backend,
        asyncio.timeout(LIMIT),
    ):
        await asyncio.gather(
            *(
                backend.queries.update_extras({pk: {f"key {at}": at} for pk in NODES})
                for at in range(8)
            )
        )
    for extras in await column(filled, "extras", list(NODES)):
        assert extras == {f"key {at}": at for at in range(8)}


@each_edit
async def test_a_node_that_is_deleted_meanwhile_does_not_exist(filled, head_dsn, edit):
    before = await content(filled)
    other = await asyncpg.connect(head_dsn)
    try:
        async with asyncio.timeout(LIMIT):
            async with other.transaction():
                await other.execute(
                    """
                    delete from db_dbgroup_dbnodes where dbnode_id = 7;
                    delete from db_dbnode where id = 7;
                    set constraints all immediate
                    """
                )
                editing = asyncio.create_task(edit(filled.queries, [6, 7, 8]))
                await until_it_blocks(other)
            if edit is EDITS["remove_from_group"]:
                # It looked before, and waits for nothing but memberships: they are gone.
                assert await editing == 2
            else:
                with pytest.raises(NotExistent, match="there is no node 7"):
                    await editing
                after = await content(filled)
                assert [row for row in before[0] if row["id"] != 7] == after[0]
    finally:
        await other.close()


# ---------------------------------------------------------------- cancelled, and cut off


@one_line
@each_edit
async def test_one_that_is_cancelled_while_it_waits_changed_nothing(filled, head_dsn, edit):
    before = await content(filled)
    other = await asyncpg.connect(head_dsn)
    try:
        async with asyncio.timeout(LIMIT), other.transaction():
            await other.execute(
                "select from db_dbnode where id = 7 for update;"
                "select from db_dbgroup_dbnodes where dbnode_id = 7 for update"
            )
            editing = asyncio.create_task(edit(filled.queries, [6, 7, 8]))
            await until_it_blocks(other)
            editing.cancel()
            with pytest.raises(asyncio.CancelledError) as cancelled:
                await editing
        assert not hasattr(cancelled.value, "__notes__")
        assert await content(filled) == before
    finally:
        await other.close()


async def test_one_without_an_answer_has_an_unknown_outcome(main_dsn):
    async with (
        proxy(main_dsn) as between,
        aiidadb.open_backend(aiidadb.Profile.from_dsn(between.dsn), max_size=1) as backend,
    ):
        await write_users(backend._session, "ada@epfl.ch")
        await write_nodes(backend._session, [Node(1)], line="main")
        await backend.queries.set_labels({1: "before"})
        between.cut_at_next_answer = True
        async with asyncio.timeout(LIMIT):
            with pytest.raises(UnknownOutcome, match="before trying again"):
                await backend.queries.set_labels({1: "after"})


# ---------------------------------------------------------------- beside aiida-core


def waited(node: Any, change: Callable[[], object]) -> bool:
    """Whether a change by aiida-core sets the time of a node's last change."""
    before = node.mtime
    change()
    assert node.mtime >= before
    return bool(node.mtime > before)


async def test_what_is_changed_and_when_is_as_with_aiida_core(aiida_dsn, aiida_backend):
    from aiida import orm

    common = {"user": aiida_backend.default_user, "backend": aiida_backend}
    theirs, ours = (orm.Int(number, **common).store() for number in range(2))
    group = orm.Group(label="group", **common).store()
    time = group.backend_entity.time
    async with aiidadb.open_backend(aiidadb.Profile.from_dsn(aiida_dsn)) as backend:
        queries = backend.queries

        def set_theirs(name: str, value: object) -> Callable[[], object]:
            return lambda: setattr(theirs, name, value)

        extras = ({"a": {"b": 1}, "c": [1, None]}, {"a": {"d": 2}}, {"a": {"d": 2}})
        pairs = [
            (set_theirs("label", "x"), lambda: queries.set_labels({ours.pk: "x"})),
            (set_theirs("label", "x"), lambda: queries.set_labels({ours.pk: "x"})),
            (set_theirs("description", "y"), lambda: queries.set_descriptions({ours.pk: "y"})),
            (set_theirs("description", "y"), lambda: queries.set_descriptions({ours.pk: "y"})),
            *(
                (
                    lambda one=one: theirs.base.extras.set_many(one),
                    lambda one=one: queries.update_extras({ours.pk: one}),
                )
                for one in extras
            ),
            (lambda: group.add_nodes([theirs]), lambda: queries.add_to_group("group", ours)),
            (lambda: group.add_nodes([theirs]), lambda: queries.add_to_group("group", ours)),
            (
                lambda: group.remove_nodes([theirs]),
                lambda: queries.remove_from_group("group", ours),
            ),
            (
                lambda: group.remove_nodes([theirs]),
                lambda: queries.remove_from_group("group", ours),
            ),
        ]
        changed = []
        for number, (change, call) in enumerate(pairs):
            is_theirs = waited(theirs, change)
            before = ours.mtime
            await call()
            assert (ours.mtime > before) == is_theirs, number
            changed.append(is_theirs)
            assert (ours.label, ours.description) == (theirs.label, theirs.description)
            own = {**theirs.base.extras.all}
            assert {**ours.base.extras.all, "_aiida_hash": own["_aiida_hash"]} == own
            pks = {node.pk for node in group.nodes}
            assert (theirs.pk in pks) == (ours.pk in pks), number
        assert any(changed)
        assert not all(changed)
    assert group.backend_entity.time == time
    assert ours.mtime.tzinfo is not None
    assert abs(ours.mtime - dt.datetime.now(dt.UTC)) < dt.timedelta(minutes=10)


# ---------------------------------------------------------------- plans


async def test_nodes_and_memberships_are_found_by_their_indexes(filled, head_dsn):
    await run_script(
        head_dsn,
        """
        insert into db_dbnode
        select (jsonb_populate_record(node, jsonb_build_object(
            'id', 100 + number, 'uuid', gen_random_uuid()))).*
        from db_dbnode as node, generate_series(1, 5000) as number where node.id = 1;
        insert into db_dbgroup_dbnodes (dbgroup_id, dbnode_id)
        select 2, 100 + number from generate_series(1, 5000) as number;
        analyze
        """,
    )
    pks, texts = "{" + ",".join(map(str, range(200, 203))) + "}", "{" + ",".join("a" * 3) + "}"
    calls = {"set_node_texts": (pks, texts, True), "update_node_extras": (pks, texts)}
    for name in ("add_to_group", "remove_from_group"):
        calls[name] = (2, None, None, pks)
    async with filled.transaction() as connection:
        for mode in ("force_custom_plan", "force_generic_plan"):
            await connection.execute(f"set local plan_cache_mode = {mode}")
            for name, arguments in calls.items():
                rows = await connection.fetch(f"explain {QUERIES[name].text}", *arguments)
                plan = "\n".join(row[0] for row in rows)
                assert "Seq Scan on db_dbnode" not in plan, (name, plan)
                assert "Seq Scan on db_dbgroup_dbnodes" not in plan, name


@one_line
async def test_very_many_nodes_are_edited_in_one_statement(filled, head_dsn):
    number = 3_000
    await run_script(
        head_dsn,
        f"""
        insert into db_dbnode
        select (jsonb_populate_record(node, jsonb_build_object(
            'id', 100 + number, 'uuid', gen_random_uuid()))).*
        from db_dbnode as node, generate_series(1, {number}) as number where node.id = 1;
        """,
    )
    pks = range(101, 101 + number)
    async with asyncio.timeout(LIMIT):
        assert await filled.queries.set_labels({pk: str(pk) for pk in pks}) == number
        assert await filled.queries.add_to_group("campaign", pks) == number
        assert await filled.queries.remove_from_group("campaign", pks) == number
    assert await column(filled, "label", [101, 100 + number]) == ["101", str(100 + number)]
