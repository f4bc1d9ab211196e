"""The vertices of a query, with the edges that lead to them, and the stages that they are in.

The first stage has all vertices that are joined without a walk to ancestors or descendants; each
walk begins a further one, with what is joined to where it leads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from aiidadb.exceptions import InvalidInputError
from aiidadb.messages import quote
from aiidadb.querybuilder.compiling.sources import edge_of_walk, source_of_table
from aiidadb.querybuilder.compiling.walks import wants_each_way
from aiidadb.querybuilder.entities import ENTITIES
from aiidadb.querybuilder.filter_tree import NESTED
from aiidadb.querybuilder.relations import Walk, relation_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aiidadb.querybuilder.compiling.sources import Source
    from aiidadb.querybuilder.dictionary import QueryDict, VertexDict
    from aiidadb.querybuilder.filter_tree import Tree
    from aiidadb.querybuilder.relations import Relation
    from aiidadb.version.schema_version import SchemaVersion

__all__ = ["Vertex", "Vertices", "vertices_of"]


class Vertex(NamedTuple):
    """A vertex with what leads to it.

    Attributes:
        source: Where it is read from.
        given: What the query says of it.
        relation: How it is joined; None of the first.
        joined: What it is joined to.
        edge: What is between both, if it can be asked for.
        each_way: Of a walk: whether each way is a row, and not each pair of its ends.
        has_counted_ways: Whether these ways are counted to find out how best to read the nodes that
            they lead to. The edge then has the alias of the vertex.
    """

    source: Source
    given: VertexDict
    relation: Relation | None = None
    joined: Vertex | None = None
    edge: Source | None = None
    each_way: bool = False
    has_counted_ways: bool = False


class Vertices(NamedTuple):
    """All vertices of a query.

    Attributes:
        by_tag: In the order of the path.
        sources: By tag, of vertices and edges.
        stages: In the order of the path; a walk leads to the first of each stage but the first one.
    """

    by_tag: Mapping[str, Vertex]
    sources: Mapping[str, Source]
    stages: Sequence[Sequence[Vertex]]

    def have_one_row(self, filters: Mapping[str, Tree]) -> bool:
        """Whether one of them is one row at most, found by its pk or UUID."""
        return any(
            key in ("id", "pk", "uuid")
            and any(operator in (None, "==") and kind is not NESTED for operator, kind, _ in parts)
            for tag in self.by_tag
            for key, parts in filters.get(tag, ())
        )


def vertices_of(query: QueryDict, filters: Mapping[str, Tree], version: SchemaVersion) -> Vertices:
    """The vertices of a query.

    Args:
        query: The query.
        filters: Its filters by tag.
        version: Of the database.

    Raises:
        InvalidInputError: A vertex is joined to what is not there before it, or an edge is asked
            for where there is none.
        InvalidTypeError: It is joined to another entity than its keyword says.
    """
    by_tag: dict[str, Vertex] = {}
    sources: dict[str, Source] = {}
    stages: list[list[Vertex]] = [[]]
    for place, given in enumerate(query["path"]):
        tag, name = given["tag"], ENTITIES[given["orm_base"]].name
        if not place:
            vertex = Vertex(source_of_table(name, "v0", version, 0), given)
        else:
            joined = _joined(given, by_tag)
            keyword, edge_tag = given["joining_keyword"], given["edge_tag"]
            assert keyword is not None
            assert edge_tag is not None
            relation = relation_of(name, keyword, joined.source.entity.name)
            stage = joined.source.stage
            if isinstance(relation, Walk):
                stage = len(stages)
                stages.append([])
            source = source_of_table(name, f"v{place}", version, stage)
            edge = _edge(relation, f"e{place}", version, stage)
            if edge is not None:
                sources[edge_tag] = edge
            elif filters.get(edge_tag) or query["project"].get(edge_tag):
                raise InvalidInputError(
                    f"there is nothing between {quote(given['joining_value'])} and {quote(tag)} "
                    f"that {quote(edge_tag)} could stand for"
                )
            each_way = isinstance(relation, Walk) and wants_each_way(edge_tag, query, filters)
            vertex = Vertex(source, given, relation, joined, edge, each_way)
        stages[vertex.source.stage].append(vertex)
        by_tag[tag] = vertex
        sources[tag] = vertex.source
    return Vertices(by_tag, sources, stages)


def _joined(given: VertexDict, before: Mapping[str, Vertex]) -> Vertex:
    tag = given["joining_value"]
    assert tag is not None
    joined = before.get(tag)
    if joined is None:
        raise InvalidInputError(
            f"{quote(tag)} is the tag of an edge, or comes later: only an existing vertex can "
            "be joined to"
        )
    return joined


def _edge(relation: Relation, alias: str, version: SchemaVersion, stage: int) -> Source | None:
    if isinstance(relation, Walk):
        return edge_of_walk(alias, stage, relation.is_downwards)
    if relation.edge is None:
        return None
    return source_of_table(relation.edge.name, alias, version, stage)
