"""What stands behind ``from``: the tables of vertices and edges, joined as the query joins them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiidadb.querybuilder.compiling.ends import nodes_of_ways
from aiidadb.querybuilder.relations import Direct, Through

if TYPE_CHECKING:
    from aiidadb.querybuilder.compiling.stages import Stages
    from aiidadb.querybuilder.compiling.vertices import Vertex
    from aiidadb.version.schema_version import SchemaVersion

__all__ = ["tables_of"]


def tables_of(vertex: Vertex, stages: Stages, version: SchemaVersion) -> list[str]:
    """The tables that a vertex adds to those of its stage.

    Args:
        vertex: The vertex.
        stages: All of the query.
        version: Of the database.
    """
    source, relation = vertex.source, vertex.relation
    table, alias = source.entity.table, source.alias
    if relation is None:
        return [f"{table} as {alias}"]
    assert vertex.joined is not None
    is_outer = vertex.given["outerjoin"]
    join = "left join" if is_outer else "join"
    near = vertex.joined.source.alias
    one_by_one = _is_one_by_one(source.stage, stages, version)
    if isinstance(relation, Direct):
        here, there = relation.new_column, f"{near}.{relation.joined_column}"
        return [_joined(join, table, alias, here, there, one_by_one=one_by_one)]
    assert vertex.edge is not None
    edge = vertex.edge.alias
    if isinstance(relation, Through):
        between = "left join" if is_outer and relation.keeps_unmatched else "join"
        here, far = relation.near, f"{edge}.{relation.far}"
        return [
            _joined(between, relation.edge.table, edge, here, f"{near}.id", one_by_one=one_by_one),
            _joined(join, table, alias, "id", far, one_by_one=one_by_one),
        ]
    if vertex.has_counted_ways:
        ways = _walk(source.stage, "way", stages).replace("\n", "\n    ")
        return [f"{nodes_of_ways(source.stage, table, ways)} as {alias}"]
    end, each_way = f"{edge}.node_id", vertex.each_way
    return [
        _walk(source.stage, edge, stages),
        _joined(join, table, alias, "id", end, one_by_one=each_way),
    ]


def _walk(number: int, edge: str, stages: Stages) -> str:
    """The table of a walk, joined to the rows of the stage before if these are needed as well."""
    stage, walk = stages[number], f"walk{number} as {edge}"
    if stage.stands_alone or stage.carries:
        return walk
    return f"base{number - 1} as base\njoin {walk} on {edge}.start_id = {stages.start_of(number)}"


def _is_one_by_one(number: int, stages: Stages, version: SchemaVersion) -> bool:
    """Whether what is joined in a stage is looked up for each row by itself.

    Where each way is a row of its own, there may be far more rows than are ever read, for example
    when they are streamed. Left to itself, the planner often puts all of them into a hash table
    first, and the first row comes only when that is done.
    """
    # This needs an index on each column that is joined by. Databases of the SQLAlchemy backend do
    # not have all of them, and a whole table could be read for each row.
    is_indexed = version.line != "sqlalchemy"
    return number > 0 and stages[number].each_way and is_indexed


def _joined(join: str, table: str, alias: str, here: str, there: str, *, one_by_one: bool) -> str:
    """A table joined by one of its columns, if asked for by a look-up for each row."""
    if one_by_one:
        # `offset 0` keeps the planner from turning the subquery into an ordinary join.
        found = f"select * from {table} where {here} = {there} offset 0"  # noqa: S608 - of ours
        return f"{join} lateral ({found}) as {alias} on true"
    return f"{join} {table} as {alias} on {alias}.{here} = {there}"
