"""The listing of groups, beside aiida-core's, on databases of both lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import aiidadb
from aiidadb.exceptions import InvalidInputError
from aiidadb.sql import QUERIES
from tests.helpers.graphs import Node, write_groups, write_nodes, write_users

if TYPE_CHECKING:
    from collections.abc import Mapping


async def fill(backend: aiidadb.Backend, groups: Mapping[str, list[int]]) -> dict[str, int]:
    assert backend.version is not None
    await write_users(backend._session, "ada@epfl.ch")
    nodes = [Node(pk) for pk in range(1, 6)]
    await write_nodes(backend._session, nodes, line=backend.version.line)
    return await write_groups(backend._session, groups)


@pytest.mark.quick
async def test_each_group_is_listed_with_its_size(backend):
    pks = await fill(backend, {"b": [1, 2, 3], "empty": [], "a": [1]})
    rows = await backend.queries.get_groups()
    assert [(row.pk, row.label, row.size) for row in rows] == [
        (pks["b"], "b", 3), (pks["empty"], "empty", 0), (pks["a"], "a", 1),
    ]  # fmt: skip
    assert {(row.type_string, row.user_pk) for row in rows} == {("core", 1)}
    assert all(isinstance(row.uuid, str) for row in rows)
    assert await backend.queries.get_groups(limit=2) == rows[:2]
    assert await backend.queries.get_groups(limit=2**70) == rows


async def test_a_part_of_a_label_is_literal(backend):
    await fill(backend, {"a%b": [], "a_b": [], "axb": [], "A%B": [], "a\\b": []})
    for part, labels in {
        "%": ["a%b", "A%B"], "_": ["a_b"], "a%": ["a%b"], "\\": ["a\\b"], "B": ["A%B"],
        "": ["a%b", "a_b", "axb", "A%B", "a\\b"], "nowhere": [],
    }.items():  # fmt: skip
        rows = await backend.queries.get_groups(label_contains=part)
        assert [row.label for row in rows] == labels, part


async def test_a_type_is_found_by_its_old_name_and_its_new_one(backend):
    await fill(backend, {"a": [], "b": [], "c": [], "d": []})
    for label, type_string in (("b", "core.upf"), ("c", "data.upf"), ("d", "plugin.family")):
        await backend._session.execute(
            "update db_dbgroup set type_string = $1 where label = $2", type_string, label
        )
    for asked, labels in {
        "core": ["a"], "user": ["a"], "core.upf": ["b"], "data.upf": ["b", "c"],
        "plugin.family": ["d"], "plugin": [], "core%": [], "": [],
    }.items():  # fmt: skip
        rows = await backend.queries.get_groups(type_string=asked)
        assert [row.label for row in rows] == labels, asked


@pytest.mark.parametrize(
    "given",
    [
        {"type_string": 1}, {"type_string": "a\0"}, {"label_contains": b"a"},
        {"label_contains": "\ud800"}, {"limit": 0}, {"limit": True}, {"limit": "1"},
    ],
    ids=str,
)  # fmt: skip
async def test_what_cannot_be_meant_is_refused(bare_dsn, given):
    async with aiidadb.open_backend(aiidadb.Profile.from_dsn(bare_dsn)) as backend:
        with pytest.raises(InvalidInputError, match=next(iter(given))):
            await backend.queries.get_groups(**given)


async def test_it_is_what_aiida_core_lists(aiida_dsn, aiida_backend):
    from aiida import orm

    user = aiida_backend.default_user
    common = {"user": user, "backend": aiida_backend}
    nodes = [orm.Int(number, **common).store() for number in range(4)]
    for label, members in (("campaign/si", nodes), ("campaign/ge", nodes[:1]), ("other", [])):
        orm.Group(label=label, **common).store().add_nodes(members)
    orm.UpfFamily(label="campaign/upf", **common).store()
    query = orm.QueryBuilder(backend=aiida_backend).append(
        orm.Group, filters={"label": {"like": "%campaign/%"}}
    )
    theirs = [
        aiidadb.GroupRow(one.pk, one.uuid, one.label, one.type_string, one.user.pk, one.count())
        for (one,) in query.order_by({orm.Group: "id"}).all()
    ]
    async with aiidadb.open_backend(aiidadb.Profile.from_dsn(aiida_dsn)) as backend:
        assert await backend.queries.get_groups(label_contains="campaign/") == theirs
        assert len(theirs) == 3


async def test_members_are_counted_by_an_index(backend):
    await fill(backend, {"large": [], "small": [1]})
    async with backend.transaction() as connection:
        await connection.execute(
            """
            insert into db_dbnode
            select (jsonb_populate_record(node, jsonb_build_object(
                'id', 100 + number, 'uuid', gen_random_uuid()))).*
            from db_dbnode as node, generate_series(1, 5000) as number where node.id = 1;
            insert into db_dbgroup_dbnodes (dbgroup_id, dbnode_id)
            select grouping.id, 100 + number
            from db_dbgroup as grouping, generate_series(1, 5000) as number
            where grouping.label = 'large';
            analyze db_dbgroup, db_dbgroup_dbnodes
            """
        )
        text = QUERIES["groups"].text
        for mode in ("force_custom_plan", "force_generic_plan"):
            await connection.execute(f"set local plan_cache_mode = {mode}")
            plan = await connection.fetch(f"explain {text}", None, "small", None)
            assert "Seq Scan on db_dbgroup_dbnodes" not in "\n".join(row[0] for row in plan)
