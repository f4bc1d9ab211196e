"""Questions about the provenance graph."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aiidadb.criteria import all_of, bind
from aiidadb.exceptions import InvalidInputError
from aiidadb.pks import as_pks
from aiidadb.sql import QUERIES

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from pypika.terms import Criterion

    from aiidadb.pks import Pks
    from aiidadb.session import Session

__all__ = ["QueryManager"]

CHUNK_SIZE: Final = 10_000
"""Starts in one batch of closest parents: bounds the server's memory, never changes the answer."""

LINK_TYPES: Final = frozenset(
    {"create", "return", "input_calc", "input_work", "call_calc", "call_work"}
)


class QueryManager:
    """Answers questions about nodes, as ``DjangoQueryManager`` did, right and at once."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def get_closest_parents(
        self,
        pks: Pks,
        *criteria: Criterion,
        node_type: str | None = None,
        link_types: Collection[str] | None = None,
        chunk_size: int | None = None,
        progress: Callable[[int, int], object] | None = None,
        **lookups: object,
    ) -> dict[int, int]:
        """The closest ancestor of each node that meets all criteria.

        Closest is the least number of links over the types asked for; of several at that distance
        it is the one with the lowest pk. A node is never its own parent. (In the place of
        ``djsite.queries.get_closest_parents``, whose default lost parents that children share.)

        Args:
            pks: One pk, or any iterable of pks or of objects with a ``pk``.
            criteria: pypika criteria on :data:`aiidadb.nodes`; node types in either spelling.
            node_type: Shorthand for that lookup.
            link_types: Types of links to follow, such as ``("create", "input_calc")``, which is
                what QueryBuilder's ancestors follow; None: all.
            chunk_size: Starts to walk from in one batch; it bounds the server's memory and never
                changes the answer.
            progress: Called after each batch with the starts done and those in all.
            lookups: Columns of nodes and the values that they must have.

        Returns:
            Start to closest parent; a start that has none, or does not exist, is not in it.

        Raises:
            InvalidInputError: A pk, criterion, link type or chunk size cannot be used.
        """
        starts = as_pks(pks)
        size = CHUNK_SIZE if chunk_size is None else chunk_size
        if not isinstance(size, int) or isinstance(size, bool) or size < 1:
            raise InvalidInputError(f"chunk_size must be a positive integer, not {chunk_size!r}")
        types = _as_link_types(link_types)
        if node_type is not None:
            lookups["node_type"] = node_type
        query = QUERIES["closest_parents"]
        arguments: list[object] = []
        core_prefix = self._session.require_version().has_core_prefix
        conditions = []
        for criterion in all_of(criteria, lookups):
            text, values = bind(
                criterion.as_criterion() if hasattr(criterion, "as_criterion") else criterion,
                first=len(query.parameters) + len(arguments) + 1,
                core_prefix=core_prefix,
            )
            conditions.append(f"({text})")
            arguments += values
        filled = query.fill(match=" and ".join(conditions) or "true")
        parents: dict[int, int] = {}
        for at in range(0, len(starts), size):
            batch = starts[at : at + size]
            rows = await self._session.fetch_traversal(filled, batch, types, *arguments)
            parents.update((row["start"], row["parent"]) for row in rows)
            if progress is not None:
                progress(at + len(batch), len(starts))
        return parents


def _as_link_types(link_types: Collection[str] | None) -> list[str] | None:
    if link_types is None:
        return None
    if isinstance(link_types, str):
        raise InvalidInputError(f"link_types must be several, such as ({link_types!r},)")
    if unknown := sorted({str(name) for name in link_types} - LINK_TYPES):
        raise InvalidInputError(
            f"no such link types: {', '.join(unknown)}; AiiDA has {', '.join(sorted(LINK_TYPES))}"
        )
    return sorted(link_types)
