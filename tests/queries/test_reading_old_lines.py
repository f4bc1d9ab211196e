"""What web services ask, of databases that AiiDA itself made, of every line."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import asyncpg
import pytest

import aiidadb
from aiidadb.queries import parent_search
from tests.helpers.real_databases import load_dump
from tests.queries.test_relatives import Graph, depths_from

if TYPE_CHECKING:
    from tests.helpers.databases import Databases


@pytest.mark.parametrize(
    "dump",
    [
        "legacy/2_after_aiida-1.6.9_django_0045",
        "legacy_sqla/2_after_aiida-1.6.9_0edcdd5a30f0",
        "legacy_sqla/3_after_aiida-2.9.4_main_0002",
    ],
)
async def test_a_real_database_is_read_as_its_tables_say(databases: Databases, dump: str) -> None:
    dsn = await load_dump(databases, dump)
    connection = await asyncpg.connect(dsn)
    nullable = await connection.fetchval(
        """
        select is_nullable = 'YES' from information_schema.columns
        where table_name = 'db_dblink' and column_name = 'type'
        """
    )
    if nullable:  # in the sqlalchemy line much is
        await connection.execute(
            """
            update db_dblink set type = null where id % 3 = 0;
            update db_dbnode set label = null, node_type = null, uuid = null where id % 5 = 0
            """
        )
    links = await connection.fetch(
        "select input_id, output_id, coalesce(type, '') from db_dblink order by id"
    )
    pks = [row["id"] for row in await connection.fetch("select id from db_dbnode")]
    kinds = await connection.fetch(
        "select coalesce(node_type, ''), coalesce(process_type, '') from db_dbnode"
    )
    await connection.close()
    graph = Graph(dict.fromkeys(pks, ""), tuple(tuple(link) for link in links))
    async with aiidadb.open_backend(aiidadb.Profile.from_dsn(dsn)) as backend:
        ask = backend.queries
        incoming, outgoing = (
            await ask.get_links(pks, "incoming"),
            await ask.get_links(pks, "outgoing"),
        )
        counts = await ask.get_link_counts(pks)
        assert incoming.keys() == outgoing.keys() == counts.keys() == set(pks)
        for pk in pks:
            above = [(one, kind) for one, other, kind in graph.links if other == pk]
            below = [(other, kind) for one, other, kind in graph.links if one == pk]
            assert [(link.pk, link.type) for link in incoming[pk]] == above
            assert [(link.pk, link.type) for link in outgoing[pk]] == below
            assert counts[pk].incoming == Counter(kind for _, kind in above)
            assert counts[pk].outgoing == Counter(kind for _, kind in below)
        assert all(isinstance(link.uuid, str) for some in incoming.values() for link in some)
        whole = await ask.get_provenance(pks, depth=0)
        assert {node.pk for node in whole.nodes} == set(pks)
        assert [(one.input_id, one.output_id, one.type) for one in whole.links] == [*graph.links]
        start = min(pks)
        depths = depths_from(graph, {start}, None, None, down=True)
        found = await ask.get_descendants(start, ("id", "depth"), link_types=None)
        assert found == sorted(depths.items())
        types = await ask.get_full_types()
        assert {(one.node_type, one.process_type): one.count for one in types} == Counter(
            map(tuple, kinds)
        )
    await databases.drop(dsn)


async def test_a_link_that_lacks_an_end_is_a_link_of_no_node(
    databases: Databases, monkeypatch: pytest.MonkeyPatch
) -> None:
    dsn = await load_dump(databases, "legacy_sqla/2_after_aiida-1.6.9_0edcdd5a30f0")
    connection = await asyncpg.connect(dsn)
    await connection.execute(
        """
        delete from db_dblink;
        insert into db_dblink (input_id, output_id, type, label)
        select input, output, 'create', 'link'
        from (values (1, 2), (2, 3), (2, 4), (3, 5), (4, 5)) as given (input, output)
        union all
        select null, pk, 'create', 'link' from generate_series(1, 5) as pk
        union all
        select pk, null, 'create', 'link' from generate_series(1, 5) as pk
        """
    )
    label = "start of all"
    await connection.execute("update db_dbnode set label = $1 where id = 1", label)
    await connection.close()
    async with aiidadb.open_backend(aiidadb.Profile.from_dsn(dsn)) as backend:
        ask = backend.queries
        below, above = await ask.get_links(2, "outgoing"), await ask.get_links(5, "incoming")
        assert [link.pk for link in below[2]] == [3, 4]
        assert [link.pk for link in above[5]] == [3, 4]
        one = await ask.get_links([2, 5], "incoming", limit=1)
        assert [len(links) for links in one.values()] == [1, 1]
        assert await ask.get_link_counts([2, 5]) == {
            2: aiidadb.LinkCounts({"create": 1}, {"create": 2}),
            5: aiidadb.LinkCounts({"create": 2}, {}),
        }
        assert await ask.get_descendants(1, ("id", "depth")) == [(2, 1), (3, 2), (4, 2), (5, 3)]
        assert await ask.get_all_parents(5, ("id", "depth")) == [(1, 3), (2, 2), (3, 1), (4, 1)]
        assert await ask.get_all_parents(5) == [(1,), (2,), (3,), (4,)]
        around = await ask.get_provenance(2, depth=4)
        assert [(node.pk, node.depth) for node in around.nodes] == [
            (2, 0), (1, 1), (3, 1), (4, 1), (5, 2),
        ]  # fmt: skip
        assert len(around.links) == 5
        for least_level in (None, 1, 10_000):  # walks; all starts together, in two ways
            if least_level is not None:
                monkeypatch.setattr(parent_search, "_PAIRS_OF_A_START", 0)
                monkeypatch.setattr(parent_search, "_LEAST_ALLOWANCE", 1)
                monkeypatch.setattr(parent_search, "_LEAST_LEVEL", least_level)
            closest = await ask.get_closest_parents([2, 3, 4, 5], label=label)
            assert closest == dict.fromkeys([2, 3, 4, 5], 1)
    await databases.drop(dsn)


async def test_a_group_or_process_that_lacks_a_uuid_is_listed(databases: Databases) -> None:
    dsn = await load_dump(databases, "legacy_sqla/2_after_aiida-1.6.9_0edcdd5a30f0")
    connection = await asyncpg.connect(dsn)
    await connection.execute(
        """
        update db_dbgroup set uuid = null, label = null, type_string = null, user_id = null;
        update db_dbnode set uuid = null where node_type like 'process.%'
        """
    )
    number = await connection.fetchval("select count(*) from db_dbgroup")
    await connection.close()
    async with aiidadb.open_backend(aiidadb.Profile.from_dsn(dsn)) as backend:
        groups = await backend.queries.get_groups(label_contains="")
        assert {(one.uuid, one.label, one.type_string, one.user_pk) for one in groups} == {
            ("", "", "", None)
        }
        assert len(groups) == number > 0
        rows = await backend.queries.get_processes()
        assert {row.uuid for row in rows} == {""}
        changed = await backend.queries.get_processes(changed_after="0001-01-01T00:00:00Z")
        assert {row.uuid for row in changed} == {""}
    await databases.drop(dsn)
