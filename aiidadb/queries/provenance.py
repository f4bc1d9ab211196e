"""The provenance graph around some nodes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from aiidadb.arguments import as_count, as_whole_number
from aiidadb.frozen_records import maker_of
from aiidadb.pks import as_node_pks
from aiidadb.queries.link_types import as_link_types
from aiidadb.queries.relatives import MOST_DEPTH
from aiidadb.queries.walk import Walk
from aiidadb.querybuilder.records import Link
from aiidadb.sql import QUERIES
from aiidadb.turns import STEP, array_text, in_turn, made_of_rows, sort_distinct, used_up

if TYPE_CHECKING:
    from array import array
    from collections.abc import Collection

    import asyncpg

    from aiidadb.connecting.sessions.session import Session
    from aiidadb.pks import Pks
    from aiidadb.turns import Steps

__all__ = ["MOST_NODES", "Provenance", "ProvenanceNode", "get_provenance"]

MOST_NODES: Final = 10_000
"""How many nodes there are at most, where the caller does not say."""


@dataclass(frozen=True, slots=True)
class ProvenanceNode:
    """A node of a provenance graph.

    What is null in the database is an empty text, but for the process type.

    Attributes:
        pk: Its primary key.
        uuid: Its UUID, as text.
        node_type: Its type, spelled as it is stored.
        process_type: Of processes, such as ``aiida.calculations:core.arithmetic.add``; None of
            data.
        label: Its label.
        depth: The least number of links between it and any of the nodes asked for; 0 of those.
    """

    pk: int
    uuid: str
    node_type: str
    process_type: str | None
    label: str
    depth: int


@dataclass(frozen=True, slots=True)
class Provenance:
    """A part of the provenance graph.

    Attributes:
        nodes: The nodes, the nearest first, then by pk.
        links: Every link between two of them, of the types asked for, by pk.
        truncated: Whether there are more nodes than were asked for at most.
    """

    nodes: list[ProvenanceNode]
    links: list[Link]
    truncated: bool


async def get_provenance(
    session: Session,
    pks: Pks,
    *,
    depth: int = 1,
    link_types: Collection[str] | None = None,
    limit: int = MOST_NODES,
) -> Provenance:
    """See :meth:`aiidadb.queries.manager.QueryManager.get_provenance`."""
    types = as_link_types(link_types)
    walk = Walk(
        types,
        upwards=True,
        downwards=True,
        max_depth=min(as_whole_number(depth, "depth"), MOST_DEPTH),
        return_to_starts=False,
    )
    most = min(as_count(limit, "limit"), MOST_DEPTH)
    starts = await as_node_pks(pks)
    lane = session.lane(starts=len(starts)) if most <= MOST_NODES else session.lane()
    async with lane, session.snapshot():
        depths, truncated = await in_turn(
            _nearest(await walk.levels(session, starts, most=most + 1), most)
        )
        found = await in_turn(array_text(list(depths)))
        nodes = await QUERIES["provenance_nodes"].fetch(session, found)
        links = await session.fetch_traversal(QUERIES["links_among"], found, types)
    return Provenance(
        nodes=await in_turn(_as_nodes(nodes, depths)),
        links=await in_turn(made_of_rows(maker_of(Link), links)),
        truncated=truncated,
    )


def _nearest(levels: list[array[int]], most: int) -> Steps[tuple[dict[int, int], bool]]:
    """The depths of so many nodes, and whether there are more; by depth, then pk."""
    depths: dict[int, int] = {}
    for depth, level in enumerate(levels):
        remaining = most - len(depths)
        nearest = yield from sort_distinct(level[:remaining])
        for at in range(0, len(nearest), STEP):
            depths.update(dict.fromkeys(nearest[at : at + STEP], depth))
            if at:
                yield
        if len(level) > remaining:
            return depths, True
        if depth % STEP == 0:
            yield
    return depths, False


def _as_nodes(rows: list[asyncpg.Record], depths: dict[int, int]) -> Steps[list[ProvenanceNode]]:
    make = maker_of(ProvenanceNode)
    found: dict[int, ProvenanceNode] = {}
    for some in used_up(rows):
        for pk, uuid, node_type, process_type, label in some:
            found[pk] = make(pk, uuid, node_type, process_type, label, depths[pk])
        yield
    return [found[pk] for pk in depths]
