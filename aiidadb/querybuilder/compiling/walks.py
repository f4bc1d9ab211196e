"""What a query asks of a walk: only the ends, or each way, its depth, its path and its links."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiidadb.querybuilder.compiling.depth import bound_of_depth
from aiidadb.querybuilder.compiling.recursion import FAR, FURTHER, WalkNames

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiidadb.querybuilder.compiling.compiled import Asked
    from aiidadb.querybuilder.compiling.parameters import Parameters
    from aiidadb.querybuilder.dictionary import QueryDict
    from aiidadb.querybuilder.filter_tree import Tree

__all__ = ["uses_path", "wants_each_way", "ways_asked"]


def wants_each_way(tag: str, query: QueryDict, filters: Mapping[str, Tree]) -> bool:
    """Whether each way is a row, and not each pair of its ends.

    Args:
        tag: Of the way.
        query: The query.
        filters: Its filters by tag.
    """
    return bool(
        not query["distinct"]
        or _has_function(query)
        or filters.get(tag)
        or query["project"].get(tag)
        or any(tag in spec for spec in query["order_by"])
    )


def _has_function(query: QueryDict) -> bool:
    return any(
        "func" in options
        for projections in query["project"].values()
        for one in projections
        for options in one.values()
    )


def uses_path(tag: str, query: QueryDict, filters: Mapping[str, Tree]) -> bool:
    """Whether the nodes on a way are asked for; takes what :func:`wants_each_way` does."""
    fields = [
        *(key for key, _ in filters.get(tag, ())),
        *(name for one in query["project"].get(tag, ()) for name in one),
        *(name for spec in query["order_by"] for one in spec.get(tag, ()) for name in one),
    ]
    # In combinations of filters it is somewhere further inside.
    return "path" in fields or any(key.lstrip("!~") in ("and", "or") for key in fields)


def ways_asked(
    number: int,
    tag: str,
    query: QueryDict,
    filters: Mapping[str, Tree],
    asked: Asked,
    parameters: Parameters,
) -> WalkNames:
    """A walk of which each way is wanted.

    Args:
        number: Of its stage.
        tag: Of the way.
        query: The query.
        filters: Its filters by tag.
        asked: What is asked of the query.
        parameters: Those of the statement.
    """
    own = filters.get(tag, ())
    with_path = uses_path(tag, query, filters)
    is_set = query["distinct"] and not _has_function(query) and not with_path
    return WalkNames(
        number,
        rows="depths" if is_set else "ways",
        with_path=with_path,
        # Pages of rows that are not distinct identify them by their links.
        with_links=asked.what == "page" and not query["distinct"],
        goes_on=bound_of_depth(own, FURTHER, parameters),
        goes_far=bound_of_depth(own, FAR, parameters),
    )
