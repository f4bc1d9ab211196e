"""Walks that begin at their other end, where that leads to fewer nodes.

A query such as "all calculations, with the structure of this pk among their ancestors" names first
what it wants and then what that is narrowed down by. Read as it is written, it walks up from every
calculation of the database, and nearly all of these ways lead elsewhere. The same pairs of ends, by
the same ways, are found from the structure downwards.

The server's statistics are not known here, so a walk is turned only in a clear case: behind it is a
filter for certain values, and before it there are types alone, or filters on JSON that are not for
certain values.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aiidadb.querybuilder.compiling.sources import edge_of_walk, source_of_table
from aiidadb.querybuilder.compiling.vertices import Vertex, Vertices
from aiidadb.querybuilder.compiling.walks import uses_path
from aiidadb.querybuilder.filter_tree import COMBINATIONS, NESTED
from aiidadb.querybuilder.relations import Walk

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiidadb.querybuilder.compiling.sources import Source
    from aiidadb.querybuilder.dictionary import QueryDict
    from aiidadb.querybuilder.filter_tree import Tree
    from aiidadb.version.schema_version import SchemaVersion

__all__ = ["from_narrow_end"]

_LOOSE: Final = frozenset(
    {"has_key", "of_type", ">", "<", ">=", "<=", "!==", "~==", "of_length", "longer", "shorter"}
)
"""Operators on JSON that often keep most of what has such a value."""

_TYPES: Final = frozenset({"node_type", "type_string", "process_type"})


def from_narrow_end(
    vertices: Vertices, query: QueryDict, filters: Mapping[str, Tree], version: SchemaVersion
) -> Vertices:
    """The vertices with their walk begun at the other end, if there are surely fewer starts there.

    Args:
        vertices: Of the query.
        query: The query.
        filters: Its filters by tag.
        version: Of the database.
    """
    if len(vertices.stages) != 2 or any(vertex["outerjoin"] for vertex in query["path"]):
        return vertices
    before, behind = vertices.stages
    walk_tag = behind[0].given["edge_tag"]
    assert walk_tag is not None
    if (
        behind[0].joined is before[0]
        and all(_is_wide(one, filters) for one in before)
        and any(_is_narrow(filters.get(one.given["tag"], ())) for one in behind)
        and not uses_path(walk_tag, query, filters)
    ):
        return _turned(vertices, version)
    return vertices


def _is_wide(vertex: Vertex, filters: Mapping[str, Tree]) -> bool:
    """Whether very many rows may be left of a vertex, and of the edge that leads to it."""
    if vertex.edge is not None and filters.get(vertex.given["edge_tag"] or ""):
        return False
    entity = vertex.source.entity
    return all(
        key in _TYPES
        or (
            key not in COMBINATIONS
            and entity.column(key.partition(".")[0]).kind == "JSON"
            and all(operator in _LOOSE for operator, _, _ in parts)
        )
        for key, parts in filters.get(vertex.given["tag"], ())
    )


def _is_narrow(tree: Tree) -> bool:
    """Whether filters keep few rows: those of certain values."""
    for key, parts in tree:
        if key in COMBINATIONS:
            if key == "and" and any(map(_is_narrow, parts)):
                return True
        elif key not in _TYPES:
            for operator, kind, _ in parts:
                if operator in (None, "==", "in") and kind is not NESTED:
                    return True
    return False


def _turned(vertices: Vertices, version: SchemaVersion) -> Vertices:
    """The same with both stages in the other order, and the walk between them turned round."""
    before, behind = vertices.stages
    first, walked = before[0], behind[0]
    assert isinstance(walked.relation, Walk)
    assert walked.edge is not None
    made: dict[str, Vertex] = {}
    sources: dict[str, Source] = {}
    for vertex in (*behind, *before):
        stage = 1 - vertex.source.stage
        source, given = vertex.source, vertex.given
        source = source_of_table(source.entity.name, source.alias, version, stage)
        if vertex is walked:
            turned = Vertex(source, given)
        elif vertex is first:
            relation = Walk("node", near=walked.relation.far, far=walked.relation.near)
            edge = edge_of_walk(walked.edge.alias, stage, relation.is_downwards)
            given = {**given, "edge_tag": walked.given["edge_tag"]}
            joined = made[walked.given["tag"]]
            turned = Vertex(source, given, relation, joined, edge, walked.each_way)
        else:
            assert vertex.joined is not None
            old = vertex.edge
            new = old and source_of_table(old.entity.name, old.alias, version, stage)
            joined = made[vertex.joined.given["tag"]]
            turned = vertex._replace(source=source, joined=joined, edge=new)
        made[given["tag"]] = turned
        sources[given["tag"]] = source
        if turned.edge is not None:
            assert turned.given["edge_tag"] is not None
            sources[turned.given["edge_tag"]] = turned.edge
    return Vertices(
        {tag: made[tag] for tag in vertices.by_tag},
        {tag: sources[tag] for tag in vertices.sources},
        [[made[one.given["tag"]] for one in stage] for stage in (behind, before)],
    )
