"""Rows together with how many there would be without the limit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from aiidadb import nodes
from aiidadb.exceptions import ResourceError

if TYPE_CHECKING:
    from collections.abc import Callable

    import aiidadb

STRUCTURE = "data.core.structure.StructureData."
NUMBERED = {"extras": {"has_key": "number"}}


def of_nodes(
    backend: aiidadb.Backend, project: object = "id", filters: object = NUMBERED
) -> aiidadb.QueryBuilder:
    query = backend.query().append("", tag="n", filters=filters, project=project)
    return query.order_by({"n": [{"ctime": "desc"}, {"id": "asc"}]})


def joined(backend: aiidadb.Backend) -> aiidadb.QueryBuilder:
    query = of_nodes(backend, ["label", "extras.number"])
    query.append("", tag="m", with_incoming="n", project="*", edge_tag="l", edge_project="label")
    return query.order_by([{"l": "label"}, {"n": "id"}, {"l": "id"}])


def with_what_may_be_missing(backend: aiidadb.Backend) -> aiidadb.QueryBuilder:
    query = of_nodes(backend)
    query.append("group.core", tag="g", with_node="n", outerjoin=True, project=["*", "label"])
    return query.order_by([{"n": "id"}, {"g": "id"}])


def below(backend: aiidadb.Backend) -> aiidadb.QueryBuilder:
    query = backend.query().append(STRUCTURE, tag="s", filters={"extras": {"has_key": "formula"}})
    query.append("", tag="n", with_ancestors="s", project=["id", "label"])
    return query.order_by([{"n": "id"}, {"s": "id"}])


def kinds(backend: aiidadb.Backend) -> aiidadb.QueryBuilder:
    query = backend.query().append("", tag="n", project=["node_type", "process_type"])
    return query.distinct().order_by({"n": ["node_type", "process_type"]})


QUERIES: dict[str, Callable[[aiidadb.Backend], aiidadb.QueryBuilder]] = {
    "by columns": lambda backend: of_nodes(backend, "*", {}),
    "by JSON": lambda backend: of_nodes(backend, ["*", "extras.number"]),
    "by JSON, nested": lambda backend: of_nodes(
        backend, "uuid", {"or": [{"label": "x"}, {"!and": [{"attributes": {"has_key": "kinds"}}]}]}
    ),
    "by JSON, ordered by it": lambda backend: of_nodes(backend).order_by(
        [{"n": {"extras.number": {"cast": "f", "order": "desc"}}}, {"n": "id"}]
    ),
    "by a criterion too": lambda backend: of_nodes(backend).add_filter("n", nodes.label != "x"),
    "joined": joined,
    "joined to what may be missing": with_what_may_be_missing,
    "below": below,
    "below, distinct": lambda backend: below(backend).distinct().order_by({"n": "id"}),
    "distinct": kinds,
    "a function": lambda backend: backend.query().append(
        "", filters=NUMBERED, project={"id": {"func": "max"}}
    ),
    "nothing": lambda backend: of_nodes(backend, "id", {"extras.number": -1}),
}


@pytest.mark.parametrize("name", QUERIES)
async def test_rows_come_with_their_number_without_the_limit(world, name):
    query = QUERIES[name](world)
    every = await query.all()
    assert bool(every) is (name != "nothing")
    assert await query.all_and_count() == (every, len(every))
    for offset in (None, 1, 10_000):
        for limit in (0, 1, 3, 10_000):
            rows, number = await query.limit(limit).offset(offset).all_and_count()
            first = offset or 0
            assert rows == every[first : first + limit]
            assert number == len(every[first:])
    flat, _ = await query.limit(1).offset(None).all_and_count(flat=True)
    assert flat == [one for row in every[:1] for one in row]


async def test_more_rows_than_are_taken_are_an_error_however_many_there_are(world):
    query = of_nodes(world)
    number = await query.count()
    assert number > 3
    bounded = world.query(query.as_dict(), max_rows=3)
    assert len((await bounded.limit(3).all_and_count())[0]) == 3
    assert (await bounded.limit(3).all_and_count())[1] == number
    for limit in (4, None):
        with pytest.raises(ResourceError, match="max_rows"):
            await bounded.limit(limit).all_and_count()
