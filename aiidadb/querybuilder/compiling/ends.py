"""The nodes that ways lead to: each looked up by itself, or, where ways are many, read together.

A look-up in the index for each way is quick for the first rows, and for few ways in a large
database. But ways can be many more than nodes: from thousands of starts there are often as many as
the database has nodes, and the same nodes are then looked up again and again. To join the table of
nodes as a whole takes half the time.

The planner cannot know how many ways there are, and its guess may be wrong by orders of magnitude.
So where all ways are needed anyway, the server counts them first, and the statement has both: its
join is an ordinary one where ways are many, and a look-up for each where they are few.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aiidadb.querybuilder.compiling.sources import edge_of_walk
from aiidadb.querybuilder.compiling.vertices import Vertices
from aiidadb.querybuilder.relations import Walk

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiidadb.querybuilder.compiling.compiled import Asked
    from aiidadb.querybuilder.filter_tree import Tree
    from aiidadb.version.schema_version import SchemaVersion

__all__ = ["count_of_ways", "needs_all_ways", "nodes_of_ways", "with_counted_ways"]

_FEW: Final = 1000
"""So many look-ups are quick in any database."""

_SHARE: Final = 4
"""To look up one node takes about as long as to read so many together."""


def needs_all_ways(asked: Asked, bounds: tuple[bool, bool]) -> bool:
    """Whether all rows are wanted at once.

    With a limit, or read from a cursor, the first rows may be all that are ever read. And where a
    few rows in an order are wanted, an ordinary join could make the server look at nodes in that
    order, with all ways for each.

    Args:
        asked: What is asked of the query.
        bounds: Whether there is a limit, and an offset.
    """
    return not (any(bounds) or asked.what == "page" or asked.is_streamed)


def with_counted_ways(
    vertices: Vertices, filters: Mapping[str, Tree], version: SchemaVersion
) -> Vertices:
    """The vertices of a query that needs all ways, with those marked whose ways are counted.

    Args:
        vertices: Of the query.
        filters: Its filters by tag.
        version: Of the database.
    """
    # From or to one node there are seldom very many ways, and the planner has less to look at.
    # Databases of the SQLAlchemy backend have ordinary joins everywhere, as they lack indexes.
    if version.line == "sqlalchemy" or vertices.have_one_row(filters):
        return vertices
    by_tag, sources = dict(vertices.by_tag), dict(vertices.sources)
    for tag, vertex in vertices.by_tag.items():
        relation = vertex.relation
        if isinstance(relation, Walk) and vertex.each_way and not vertex.given["outerjoin"]:
            # The way and the node that it leads to are then of one table expression.
            alias, stage = vertex.source.alias, vertex.source.stage
            edge = edge_of_walk(alias, stage, relation.is_downwards)
            by_tag[tag] = vertex._replace(edge=edge, has_counted_ways=True)
            edge_tag = vertex.given["edge_tag"]
            assert edge_tag is not None
            sources[edge_tag] = edge
    stages = [[by_tag[one.given["tag"]] for one in stage] for stage in vertices.stages]
    return Vertices(by_tag, sources, stages)


def count_of_ways(number: int, table: str) -> str:
    """The common table expression that says whether the ways of a walk are many.

    Args:
        number: Of the walk.
        table: Of the nodes.
    """
    return (
        f"many{number} (is_so) as materialized (\n"  # noqa: S608 - names of ours
        f"    select count(*) > greatest({_FEW}, (\n"
        f"        select reltuples / {_SHARE} from pg_class where oid = '{table}'::regclass\n"
        "    ))\n"
        f"    from walk{number}\n"
        ")"
    )


def nodes_of_ways(number: int, table: str, ways: str) -> str:
    """SQL for a table expression: each way of a walk, with the node that it leads to.

    Args:
        number: Of the walk.
        table: Of the nodes.
        ways: The table of the walk as ``way``, with the rows of the stage before if needed.
    """
    many = f"(select is_so from many{number})"  # noqa: S608 - a name of ours
    return (
        "(\n"  # noqa: S608 - names of ours
        f"    select *\n    from {ways}\n"
        "    cross join lateral "
        f"(select * from {table} where id = way.node_id offset 0) as node\n"
        f"    where not {many}\n"
        "    union all\n"
        f"    select *\n    from {ways}\n"
        f"    join {table} as node on node.id = way.node_id\n"
        f"    where {many}\n"
        ")"
    )
