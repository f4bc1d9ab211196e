"""The builder: what it is put together from, and every way to ask."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import copy
import dataclasses
import json
import pickle
import uuid

import pytest

import aiidadb
from aiidadb import nodes
from aiidadb.criteria.tables import links
from aiidadb.exceptions import (
    InvalidInputError,
    InvalidTypeError,
    MultipleObjectsError,
    NotExistent,
    QueryTimeout,
    ResourceError,
)
from aiidadb.querybuilder.compiling.compiled import Compiled
from aiidadb.querybuilder.execution import fetch

STRUCTURE = "data.core.structure.StructureData."
LIMIT = 30


def structures(backend: aiidadb.Backend, **options: object) -> aiidadb.QueryBuilder:
    query = backend.query(**options).append(STRUCTURE, tag="s", project=["id", "label"])
    return query.order_by({"s": "id"})


async def test_rows_come_as_lists_dictionaries_and_one_after_the_other(world):
    query = structures(world)
    rows = await query.all()
    assert [row[1] for row in rows] == [f"structure {number}" for number in range(4)]
    assert await query.all(flat=True) == [one for row in rows for one in row]
    records = [{"s": {"id": pk, "label": label}} for pk, label in rows]
    assert await query.dict() == records
    for size in (1, 3, 100):
        assert await query.all(batch_size=size) == rows
        assert [row async for row in query.iterall(size)] == rows
        assert [row async for row in query.iterdict(size)] == records
    assert await query.first() == rows[0]
    assert await query.limit(2).count() == 2
    assert await query.offset(1).all() == rows[1:3]
    assert await query.limit(0).first() == rows[1]


async def test_one_row_is_one(world):
    query = structures(world)
    with pytest.raises(MultipleObjectsError):
        await query.one()
    query.add_filter("s", {"label": "structure 2"})
    row = await query.one()
    assert row[1] == "structure 2"
    assert await query.add_projection("s", "id").first(flat=True) == row[0]
    query.add_filter("s", {"label": "none"})
    assert await query.first() is None
    with pytest.raises(NotExistent):
        await query.one()


async def test_records_hold_what_is_stored(world):
    query = world.query().append(STRUCTURE, tag="s", filters={"extras.number": 1})
    (node,) = await query.one()
    assert isinstance(node, aiidadb.Node)
    assert (node.label, node.extras["formula"], node.user_pk) == ("structure 1", "SiO2", 1)
    assert node.ctime.utcoffset().total_seconds() == 0
    assert node == dataclasses.replace(node) == pickle.loads(pickle.dumps(node))
    with pytest.raises(dataclasses.FrozenInstanceError):
        node.label = "another"
    query.append("computer", with_node="s", outerjoin=True, project="*")
    assert await query.all() == [[None]]
    both = world.query().append(STRUCTURE, tag="s", filters={"extras.number": 1}, project="id")
    both.append("computer", tag="c", with_node="s", outerjoin=True, project=["*", "label"])
    assert await both.all() == [[node.pk, None, None]]
    assert await both.dict() == [{"s": {"id": node.pk}, "c": {"*": None, "label": None}}]
    everything = await world.query().append("link", project="*").first()
    assert isinstance(everything[0], aiidadb.Link)


async def test_what_is_next_to_the_last_vertex_is_appended(world):
    start = {"label": "calculation 0.0"}
    for step, number in (("inputs", 2), ("outputs", 2), ("children", 11), ("parents", 2)):
        query = world.query().append("process.ProcessNode.", filters=start)
        found = {row[0].pk for row in await getattr(query, step)().all()}
        assert len(found) == number, step


async def test_a_criterion_of_pypika_is_a_filter_too(world):
    query = structures(world).add_filter(
        "s", nodes.label.like("%2") | (nodes.label == "structure 3")
    )
    assert [row[1] for row in await query.all()] == ["structure 2", "structure 3"]
    with pytest.raises(InvalidInputError, match="pypika"):
        query.as_dict()
    query = structures(world).append("", tag="c", with_incoming="s", edge_tag="e")
    number = await query.count()
    assert await query.add_filter("e", links.type == "input_work").count() == 1 < number
    with pytest.raises(InvalidInputError, match="does not stand for a table"):
        await structures(world).children(edge_tag="e").add_filter("e", links.id == 1).all()


async def test_a_transaction_sees_its_own_changes(world):
    with contextlib.suppress(ZeroDivisionError):
        async with world.transaction() as connection:
            await connection.execute(
                "update db_dbnode set label = 'new' where label = 'structure 0'"
            )
            query = structures(world).add_filter("s", {"label": "new"})
            assert await query.count() == 1
            assert len([row async for row in query.iterall(1)]) == 1
            raise ZeroDivisionError
    assert await structures(world).add_filter("s", {"label": "new"}).count() == 0


async def test_a_stream_that_is_left_gives_its_connection_back(aiida_world_dsn):
    profile = aiidadb.Profile.from_dsn(aiida_world_dsn)
    async with asyncio.timeout(LIMIT), aiidadb.open_backend(profile, max_size=1) as backend:
        for _ in range(3):
            async with contextlib.aclosing(structures(backend).iterall(1)) as rows:
                async for _row in rows:
                    break
            assert await structures(backend).count() == 4
        with pytest.raises(ZeroDivisionError):
            async with contextlib.aclosing(structures(backend).iterall(1)) as rows:
                async for _row in rows:
                    raise ZeroDivisionError
        assert await structures(backend).count() == 4


async def test_more_rows_than_are_taken_are_an_error(world):
    assert len(await structures(world, max_rows=4).all()) == 4
    query = structures(world, max_rows=3)
    assert len(await structures(world, max_rows=3).limit(3).all()) == 3
    with pytest.raises(ResourceError, match="more than 1 row, which"):
        await structures(world, max_rows=1).all()
    with pytest.raises(ResourceError, match="max_rows"):
        await query.all()
    with pytest.raises(ResourceError, match="max_rows"):
        await query.dict(batch_size=2)
    with pytest.raises(ResourceError, match="max_rows"):
        await query.page(4)
    page = await query.page(3)
    assert (len(page.rows), len((await query.page(4, after=page.next)).rows)) == (3, 1)


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("field", ["label", "ctime", "process_type", "extras.number"])
@pytest.mark.parametrize("distinct", [False, True])
async def test_pages_hold_each_row_once_in_order(world, order, field, distinct):
    options = {"cast": "f"} if "." in field else {}
    query = world.query().append("", tag="n", project=["uuid", {field: options}])
    query.order_by({"n": {field: {"order": order, **options}}}).distinct(distinct)
    rows = await query.all()
    found, after, pages = [], None, 0
    while pages == 0 or after is not None:
        page = await query.page(7, after=after, with_total=pages == 0)
        assert page.total == (len(rows) if pages == 0 else None)
        found += page.rows
        after, pages = page.next, pages + 1
    assert [row[1] for row in found] == [row[1] for row in rows]
    assert sorted(row[0] for row in found) == sorted(row[0] for row in rows)


async def test_pages_of_joins_and_ways_hold_each_row_once(world):
    query = world.query().append(STRUCTURE, tag="s", project="id")
    query.append("", tag="n", with_ancestors="s", project="id")
    query.append("group.core", tag="g", with_node="s", outerjoin=True, project="label")
    rows = await query.all()
    found, page = [], await query.page(9)
    found += page.rows
    while page.next:
        page = await query.page(9, after=page.next)
        found += page.rows
    assert sorted(map(repr, found)) == sorted(map(repr, rows))


@pytest.mark.parametrize("after", ["", "x", "bnVsbA==", "é", "WyIiLCAxXQ==", 5])
async def test_a_page_of_another_query_is_refused(world, after):
    with pytest.raises(InvalidInputError):
        await structures(world).page(2, after=after)
    other = await structures(world).page(1)
    with pytest.raises(InvalidInputError):
        await structures(world).order_by({"s": {"id": "desc"}}).page(1, after=other.next)
    with pytest.raises(InvalidInputError, match="no pages"):
        await structures(world).add_projection("s", {"id": {"func": "max"}}).page(1)
    with pytest.raises(InvalidInputError, match="at most"):
        await structures(world).page(2**40)


async def test_where_a_page_ends_is_of_its_query_alone_and_unchanged(world):
    query = structures(world).add_filter("s", {"label": {"in": {"structure 0", "structure 1"}}})
    page = await query.page(1)
    assert (await query.page(9, after=page.next)).next is None
    again = structures(world).add_filter("s", {"label": {"in": {"structure 1", "structure 0"}}})
    assert (await again.page(9, after=page.next)).rows == (await query.all())[1:]
    other = structures(world).add_filter("s", {"label": {"in": {"structure 0", "structure 2"}}})
    whole = json.loads(base64.urlsafe_b64decode(page.next))
    begin, last = whole[:-1], whole[-1]
    ends = [[*begin, "x"], [*begin, "1"], [*whole, None], begin, ["", *whole[1:]], last]
    changed = [base64.urlsafe_b64encode(json.dumps(one).encode()).decode() for one in ends]
    asked = [structures(world).add_filter("s", nodes.label != name) for name in "ab"]
    with_criterion = await asked[0].page(1)
    assert len((await asked[0].page(9, after=with_criterion.next)).rows) == 3
    of_others = [(asked[1], with_criterion.next), (structures(world), with_criterion.next)]
    of_others += [(other, page.next), *((query, one) for one in changed)]
    for refused, after in of_others:
        with pytest.raises(InvalidInputError, match="same query"):
            await refused.page(1, after=after)


async def test_rows_that_come_and_go_move_none_to_another_page(world):
    with contextlib.suppress(ZeroDivisionError):
        async with world.transaction() as connection:
            query = structures(world).order_by({"s": {"label": "desc"}})
            first = await query.page(2)
            assert [row[1] for row in first.rows] == ["structure 3", "structure 2"]
            await connection.execute(
                """
                update db_dbnode set label = case label
                    when 'structure 3' then 'structure 0a' else 'structure 9' end
                where label in ('structure 3', 'structure 0')
                """
            )
            rest = await query.page(9, after=first.next)
            assert [row[1] for row in rest.rows] == ["structure 1", "structure 0a"]
            raise ZeroDivisionError


async def test_pages_pass_over_the_limit_and_offset_of_a_dictionary(world):
    query = structures(world).limit(1).offset(2)
    page = await world.query(query.as_dict()).page(3, with_total=True)
    assert (len(page.rows), page.total) == (3, 4)


async def test_what_cannot_be_meant_is_refused_before_the_server_is_asked(world):
    refused = [
        ({"id": {"in": []}}, InvalidInputError),
        ({"id": {"in": [1, "2"]}}, InvalidInputError),
        ({"id": {"in": (one for one in [1])}}, InvalidTypeError),
        ({"id": {"contains": [1]}}, InvalidInputError),
        ({"id": 2**70}, InvalidInputError),
        ({"uuid": "abc"}, InvalidInputError),
        ({"uuid": {"ilike": "abc"}}, InvalidInputError),
        ({"ctime": "yesterday"}, InvalidInputError),
        ({"label": 5}, InvalidTypeError),
        ({"label": {"like": 5}}, InvalidTypeError),
        ({"label.x": 5}, InvalidInputError),
        ({"labl": "x"}, InvalidInputError),
        ({"label": "nul\0"}, InvalidInputError),
        ({"extras.a": {"longer": "x"}}, InvalidTypeError),
        ({"extras.a": {"longer": True}}, InvalidInputError),
        ({"extras.a": {"of_type": "float"}}, InvalidInputError),
        ({"extras.a": {"contains": 1}}, InvalidInputError),
        ({"extras.a": {"has_key": 1}}, InvalidInputError),
        ({"extras.a": {"~!==": 1}}, InvalidInputError),
        ({"extras.a": {1, 2}}, InvalidTypeError),
        ({"extras.a": {"==": {"x": float("nan")}}}, InvalidInputError),
        ({"extras.a": {">": True}}, InvalidInputError),
        ({"extras.a": {"==": "nul\0"}}, InvalidInputError),
        ({"extras.a": 10**400}, InvalidInputError),
        ({"extras.a": {"like": 1}}, InvalidTypeError),
        ({"extras.a": {"longer": [1]}}, InvalidTypeError),
        ({"repository_metadata": {"==": uuid.uuid4()}}, InvalidInputError),
        ({"id": {"==": "x"}}, InvalidInputError),
        ({"id": {5: "x"}}, InvalidTypeError),
        ({"id": {"or": [5]}}, InvalidTypeError),
        ({"or": [5]}, InvalidTypeError),
        ({"or": {"id": 1}}, InvalidTypeError),
        ([1], InvalidTypeError),
    ]
    for filters, kind in refused:
        with pytest.raises(kind):
            world.query().append("", filters=filters).sql()


async def test_a_dictionary_that_is_too_deep_or_too_large_is_refused(world):
    deep = {"id": 1}
    for _ in range(40):
        deep = {"and": [deep]}
    given = {"path": [{"entity_type": "", "tag": "n", "filters": deep}]}
    with pytest.raises(InvalidInputError, match="deeper"):
        world.query(given)
    assert world.query(given, max_depth=100).as_dict()["path"]
    large = {"path": [{"entity_type": "", "tag": "n", "filters": {"id": {"in": [1] * 1000}}}]}
    with pytest.raises(InvalidInputError, match="larger"):
        world.query(large, max_bytes=5000)


async def test_many_rows_leave_turns_to_others(world):
    query = world.query().append("", tag="a", project="id")
    query.append("", tag="b", with_incoming="a", project=["*", "id"])
    query.append("group.core", tag="g", with_node="a", outerjoin=True, project="*")
    rows = await query.all()
    many = world.query().append("user", tag="u", project="id")
    many.append("", tag="a", with_user="u", project="id")
    many.append("user", tag="v", with_node="a").append("", tag="b", with_user="v", project="id")
    assert len(await many.all()) == await many.count() > 2000
    assert len(await many.dict()) == len(await many.all())
    assert len(await query.dict()) == len(rows)


async def test_what_python_cannot_hold_is_none(world):
    deep = "[" * 20_000 + "]" * 20_000
    with contextlib.suppress(ZeroDivisionError):
        async with world.transaction() as connection:
            await connection.execute("set local max_stack_depth = '6MB'")
            await connection.execute(
                "update db_dbnode set extras = jsonb_build_object('deep', $1::text::jsonb), "
                "ctime = 'infinity', mtime = '0044-03-15 BC' where label = 'structure 0'",
                deep,
            )
            query = world.query().append(STRUCTURE, filters={"label": "structure 0"})
            for rows in (await query.all(), await query.all(batch_size=1)):
                ((node,),) = rows
                assert (node.label, node.ctime, node.mtime, node.extras) == (
                    "structure 0",
                    None,
                    None,
                    None,
                )
            raise ZeroDivisionError


async def test_patterns_of_uuids_find_them(world):
    ((whole,),) = await structures(world).add_projection("s", "uuid").limit(1).all()
    for pattern in (f"{whole[:6]}%", f"{whole[:11]}%", f"%{whole[-5:]}", whole, f"{whole[:3]}_%"):
        query = world.query().append("", filters={"uuid": {"like": pattern}}, project="uuid")
        assert [whole] in await query.all()
    for form in (whole.upper(), whole.replace("-", "")):
        assert await world.query().append("", filters={"uuid": form}).count() == 1


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy])
async def test_a_copy_of_a_query_goes_its_own_way(world, copied):
    query = structures(world)
    query.add_filter("s", nodes.label != "structure 3")
    other = copied(query)
    assert await other.all() == await query.all()
    other.add_filter("s", {"label": {"!==": "structure 0"}}).limit(1)
    other.add_filter("s", nodes.label != "structure 1")
    assert [row[1] for row in await other.all()] == ["structure 2"]
    assert await query.count() == 3


async def test_a_query_cannot_be_pickled(world):
    with pytest.raises(InvalidTypeError, match="as_dict"):
        pickle.dumps(structures(world))


@pytest.mark.parametrize("is_for_values", [False, True])
async def test_a_query_that_takes_too_long_says_how_long_it_had(world, is_for_values):
    sleep = Compiled("select pg_sleep(60)", (), (), (), (), is_for_values=is_for_values)
    with pytest.raises(QueryTimeout, match=r"within 0\.1 seconds: allow more with"):
        await fetch(world._session, sleep, (), seconds=0.1)


async def test_what_a_query_is_can_be_seen(world):
    query = structures(world).add_filter("s", {"label": "structure 1"})
    text, values = query.sql()
    assert text.startswith("select v0.id, v0.label\nfrom db_dbnode as v0\nwhere")
    assert values[-1] == "structure 1"
    assert repr(query) == "<aiidadb.QueryBuilder of s>"
    assert repr(world.query()) == "<aiidadb.QueryBuilder of nothing yet>"
    assert repr(world.query(query.as_dict())) == repr(query)
    with pytest.raises(InvalidInputError):
        world.query(max_depth=1000)
    assert world.query(timeout=5.0).append("").sql()
