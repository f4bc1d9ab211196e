"""What web services ask, of databases that AiiDA itself made, of every line."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import asyncpg
import pytest

import aiidadb
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
