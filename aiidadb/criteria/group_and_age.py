"""Filters on queries of nodes: by group and by age. pypika comes in, pypika goes out."""

from __future__ import annotations

import datetime
import math
import sys
from collections.abc import Iterable
from numbers import Real
from typing import TYPE_CHECKING, Final

from pypika import Query, Table
from pypika.queries import QueryBuilder

from aiidadb.criteria.pypika_internals import sources_of, table_name
from aiidadb.criteria.tables import group_nodes, groups, nodes
from aiidadb.exceptions import InvalidInputError, InvalidTypeError
from aiidadb.messages import quote
from aiidadb.pks import as_pks
from aiidadb.text import require_text

if TYPE_CHECKING:
    from aiidadb.pks import Pks

__all__ = ["query_group", "query_past_days"]

_EARLIEST: Final = datetime.datetime.min.replace(tzinfo=datetime.UTC)


def query_group(
    query: QueryBuilder,
    args: object = None,
    *,
    group_name: str | Iterable[str] | None = None,
    group_pk: Pks | None = None,
) -> QueryBuilder:
    """Restrict a query of nodes to those in a group.

    A node in several of the groups stays one row. Where labels and pks are given, a group must have
    one of the labels and one of the pks. (Replaces ``DjangoQueryManager.query_group``, which
    failed on labels.)

    Args:
        query: A pypika query on :data:`aiidadb.nodes`; it is not changed.
        args: What djsite took: an object with attributes ``group_name`` and ``group_pk``.
        group_name: Label of a group, or several (which djsite calls names).
        group_pk: Pk of a group, or several, or groups.

    Returns:
        The query with the filter; run it with ``backend.queries.fetch``. A label or pk that no
        group has is not an error: no node is in such a group.

    Raises:
        InvalidInputError: The query has no nodes, or the labels or pks cannot be used.
    """
    group_name = _argument(args, "group_name", group_name)  # type: ignore[assignment]
    group_pk = _argument(args, "group_pk", group_pk)  # type: ignore[assignment]
    table = _nodes_of(query)
    if group_name is None and group_pk is None:
        return query
    members = Query.from_(group_nodes).select(group_nodes.dbnode_id)
    if group_name is not None:
        labels = _as_labels(group_name)
        members = (
            members.join(groups)
            .on(groups.id == group_nodes.dbgroup_id)
            .where(groups.label.isin(labels))
        )
    if group_pk is not None:
        members = members.where(group_nodes.dbgroup_id.isin(as_pks(group_pk)))
    return query.where(table.id.isin(members))


def query_past_days(
    query: QueryBuilder, args: object = None, *, past_days: float | None = None
) -> QueryBuilder:
    """Restrict a query of nodes to those created in the last days.

    Args:
        query: A pypika query on :data:`aiidadb.nodes`; it is not changed.
        args: What djsite took: an object with an attribute ``past_days``.
        past_days: Days of 24 hours before now, by this machine's clock; fractions are allowed.

    Returns:
        The query with the filter; run it with ``backend.queries.fetch``.

    Raises:
        InvalidInputError: The query has no nodes, or the age is negative or not a finite number.
    """
    past_days = _argument(args, "past_days", past_days)  # type: ignore[assignment]
    table = _nodes_of(query)
    if past_days is None:
        return query
    return query.where(table.ctime >= _days_ago(past_days))


def _argument(args: object, name: str, given: object) -> object:
    in_namespace = getattr(args, name, None)
    if in_namespace is None or given is None:
        return in_namespace if given is None else given
    raise InvalidInputError(f"{name} is given twice: as {quote(given)} and in args")


def _nodes_of(query: QueryBuilder) -> Table:
    """The table of nodes under the name that it has in the query."""
    if isinstance(query, QueryBuilder):
        for table in sources_of(query):
            if isinstance(table, Table) and table_name(table) == table_name(nodes):
                return table
    raise InvalidInputError(
        "the query has no nodes to filter: begin it with pypika.Query.from_(aiidadb.nodes)"
    )


def _as_labels(group_name: str | Iterable[str]) -> list[str]:
    if not isinstance(group_name, Iterable):
        raise InvalidTypeError(f"group_name must be one label or several, not {quote(group_name)}")
    labels = [group_name] if isinstance(group_name, str) else list(group_name)
    for label in labels:
        if not isinstance(label, str):
            raise InvalidTypeError(f"{quote(label)} is not a label of a group: labels are strings")
        require_text(label, "the group's label", quoted=True)
    return labels


def _days_ago(days: object) -> datetime.datetime:
    if not isinstance(days, Real) or isinstance(days, bool):
        raise InvalidTypeError(f"past_days must be a number of days, not {quote(days)}")
    try:
        number = float(days)
    except OverflowError:  # an integer beyond all floats
        number = sys.float_info.max if abs(days) == days else -1.0
    if not math.isfinite(number) or number < 0:
        raise InvalidInputError(f"past_days must be 0 or more, not {quote(days)}")
    try:
        return datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=number)
    except OverflowError:
        return _EARLIEST  # longer ago than there have been years
