"""The links of single nodes: which there are, and how many."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from aiidadb.arguments import as_limit
from aiidadb.exceptions import InvalidInputError, InvalidTypeError
from aiidadb.frozen_records import maker_of
from aiidadb.messages import did_you_mean, quote
from aiidadb.pks import as_node_pks
from aiidadb.queries.link_types import as_link_types
from aiidadb.sql import QUERIES
from aiidadb.turns import STEP, array_text, in_turn, used_up

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    import asyncpg

    from aiidadb.connecting.sessions.session import Session
    from aiidadb.pks import Pks
    from aiidadb.turns import Steps

__all__ = ["LinkCounts", "LinkDirection", "NodeLink", "get_link_counts", "get_links"]

LinkDirection: TypeAlias = Literal["incoming", "outgoing"]
"""Whether links are meant that lead to a node, or that lead away from it."""

_DIRECTIONS: Final = ("incoming", "outgoing")


@dataclass(frozen=True, slots=True)
class NodeLink:
    """A link of a node, with the node at its other end.

    What is null in the database is an empty text.

    Attributes:
        type: The link's type, such as ``input_calc``.
        label: The link's label, such as ``structure``.
        pk: The pk of the other node.
        uuid: Its UUID, as text.
        node_type: Its type, spelled as it is stored.
        node_label: Its label.
    """

    type: str
    label: str
    pk: int
    uuid: str
    node_type: str
    node_label: str


@dataclass(frozen=True, slots=True)
class LinkCounts:
    """How many links a node has.

    Attributes:
        incoming: Of those that lead to it, the number by link type; types without a link are
            absent.
        outgoing: The same of those that lead away from it.
    """

    incoming: dict[str, int]
    outgoing: dict[str, int]


async def get_links(
    session: Session,
    pks: Pks,
    direction: LinkDirection,
    *,
    link_types: Collection[str] | None = None,
    limit: int | None = None,
) -> dict[int, list[NodeLink]]:
    """See :meth:`aiidadb.queries.manager.QueryManager.get_links`."""
    incoming = _is_incoming(direction)
    types = as_link_types(link_types)
    most = as_limit(limit)
    starts = await as_node_pks(pks)
    asked = await in_turn(array_text(starts))
    async with session.lane(starts=len(starts)):
        rows = await session.fetch_traversal(
            QUERIES["links_of_nodes"], asked, incoming, types, most
        )
    return await in_turn(_links_by_node(rows))


async def get_link_counts(session: Session, pks: Pks) -> dict[int, LinkCounts]:
    """See :meth:`aiidadb.queries.manager.QueryManager.get_link_counts`."""
    starts = await as_node_pks(pks)
    asked = await in_turn(array_text(starts))
    async with session.lane(starts=len(starts)):
        rows = await session.fetch_traversal(QUERIES["link_counts"], asked)
    return await in_turn(_counts_by_node(rows))


def _is_incoming(direction: LinkDirection) -> bool:
    if not isinstance(direction, str) or direction not in _DIRECTIONS:
        kind = InvalidInputError if isinstance(direction, str) else InvalidTypeError
        raise kind(
            f"direction must be 'incoming' or 'outgoing', not {quote(direction)}",
            advice=did_you_mean(direction, _DIRECTIONS) or None,
        )
    return direction == "incoming"


def _links_by_node(rows: list[asyncpg.Record]) -> Steps[dict[int, list[NodeLink]]]:
    make = maker_of(NodeLink)
    found: dict[int, list[NodeLink]] = {}
    for some in used_up(rows):
        for start, type_, label, pk, uuid, node_type, node_label in some:
            links = found.setdefault(start, [])
            if pk is not None:
                links.append(make(type_, label, pk, uuid, node_type, node_label))
        yield
    return found


def _counts_by_node(rows: Sequence[asyncpg.Record]) -> Steps[dict[int, LinkCounts]]:
    found: dict[int, LinkCounts] = {}
    for at in range(0, len(rows), STEP):
        for node, incoming, type_, links in rows[at : at + STEP]:
            counts = found.setdefault(node, LinkCounts({}, {}))
            if links is not None:
                (counts.incoming if incoming else counts.outgoing)[type_] = links
        yield
    return found
