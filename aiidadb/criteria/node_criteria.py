"""Criteria on nodes: pypika criteria and lookups, checked and turned into SQL and parameters.

Node types are understood in either of AiiDA's spellings, ``data.structure.StructureData.`` (0.x and
1.x) and ``data.core.structure.StructureData.`` (2.x), whichever the database has.
"""

from __future__ import annotations

from functools import lru_cache, partial
from typing import TYPE_CHECKING, Final, Protocol

from pypika.enums import JSONOperators
from pypika.queries import AliasedQuery, QueryBuilder, Selectable, Table
from pypika.terms import JSON, BasicCriterion, Criterion, Field, Node, Star

from aiidadb.criteria.node_columns import no_such_column
from aiidadb.criteria.node_types import spelling_of
from aiidadb.criteria.pypika_internals import children_of, common_queries, sources_of
from aiidadb.criteria.tables import NODE_COLUMNS, NODE_JSON_COLUMNS, nodes
from aiidadb.criteria.to_sql import bind_as_spelled
from aiidadb.criteria.values import without_enum
from aiidadb.exceptions import InvalidInputError, InvalidTypeError
from aiidadb.fresh_stack import on_fresh_stack
from aiidadb.messages import did_you_mean, quote, show

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from aiidadb.version.schema_version import SchemaVersion

__all__ = ["Binder", "all_of", "bind_criteria", "binder", "require_criterion_on"]


class Binder(Protocol):
    """Criteria on nodes, which can be turned into SQL."""

    def __call__(self, *, first: int) -> tuple[str, Sequence[object]]:
        """The condition on ``db_dbnode`` with parameters from a number on, and their values."""


# From 1.0.46 on a node has this column too.
_CRITERIA_COLUMNS: Final = NODE_COLUMNS | {"repository_metadata"}

_TEXT: Final = frozenset({str})

_TEXT_COLUMNS: Final = frozenset({"description", "label", "node_type", "process_type"})

_NOT_BOOLEAN: Final[frozenset[object]] = frozenset(
    {
        JSONOperators.GET_JSON_VALUE,
        JSONOperators.GET_TEXT_VALUE,
        JSONOperators.GET_PATH_JSON_VALUE,
        JSONOperators.GET_PATH_TEXT_VALUE,
    }
)


def all_of(criteria: Iterable[object], lookups: Mapping[str, object]) -> list[Criterion]:
    """Criteria on nodes and equalities on their columns, as one list of criteria.

    Args:
        criteria: pypika criteria on :data:`aiidadb.nodes`; other tables only in queries inside.
        lookups: Column name to the value that it must have; None asks for null. ``pk`` is ``id``.

    Raises:
        InvalidInputError: Not a criterion, or on another table, or not a column of nodes.
    """
    found = [require_criterion_on(one, nodes, _CRITERIA_COLUMNS) for one in criteria]
    for name, value in lookups.items():
        column = "id" if name == "pk" else name
        if column not in NODE_COLUMNS:
            raise no_such_column(name, NODE_COLUMNS)
        if isinstance(value, list | tuple | set | frozenset) and column not in NODE_JSON_COLUMNS:
            raise InvalidInputError(
                f"{name} is looked up by one value, not {quote(value)}: for several, give the "
                f"criterion nodes.{column}.isin(…)"
            )
        plain = without_enum(value)
        is_text = plain is None or isinstance(plain, str | Node)
        if column in _TEXT_COLUMNS and not is_text:
            raise InvalidTypeError(f"{name} is looked up by a text, not {quote(value)}")
        # As JSON from the start: pypika would take a list apart, however deep it is.
        found.append(nodes.field(column) == (JSON(value) if isinstance(value, list) else value))
    return found


def bind_criteria(
    criteria: Iterable[Criterion], *, first: int, version: SchemaVersion
) -> tuple[str, Sequence[object]]:
    """All criteria as one condition of SQL on ``db_dbnode``.

    Args:
        criteria: From :func:`all_of`.
        first: The number of the first parameter.
        version: The database's, which says how it spells node types.

    Returns:
        SQL text with ``$n`` for the values, and the values; ``true`` where there is no criterion.

    Raises:
        InvalidInputError: A value or an operator that PostgreSQL does not have.
    """
    conditions: list[str] = []
    values: list[object] = []
    for criterion in criteria:
        text, more = bind_as_spelled(criterion, spelling_of(version), first=first + len(values))
        conditions.append(f"({text})")
        values += more
    return " and ".join(conditions) or "true", values


def binder(
    criteria: Collection[object], lookups: Mapping[str, object], version: SchemaVersion
) -> Binder:
    """:func:`all_of` and :func:`bind_criteria`, at little cost where lookups are plain texts.

    Those are the most frequent by far, and rendering them takes longer than running a small query:
    the latest results are kept.

    Args:
        criteria: As for :func:`all_of`.
        lookups: As for :func:`all_of`.
        version: As for :func:`bind_criteria`.

    Raises:
        InvalidInputError: As :func:`all_of` does.
    """
    if criteria or not set(map(type, lookups.values())) <= _TEXT:
        return partial(bind_criteria, all_of(criteria, lookups), version=version)
    return _binder_of_texts(tuple(lookups.items()), version)


@lru_cache(maxsize=256)
def _binder_of_texts(lookups: tuple[tuple[str, str], ...], version: SchemaVersion) -> Binder:
    criteria = all_of((), dict(lookups))

    @lru_cache(maxsize=4)
    def bind(*, first: int) -> tuple[str, Sequence[object]]:
        text, values = bind_criteria(criteria, first=first, version=version)
        return text, tuple(values)

    bind(first=1)  # so that what is not valid is refused, and is not kept
    return bind


def require_criterion_on(criterion: object, table: Table, columns: Collection[str]) -> Criterion:
    """What a caller gave, if it is a criterion on a table.

    Args:
        criterion: It.
        table: The table; others may be in queries inside.
        columns: Those that the table has.

    Raises:
        InvalidInputError: It is on another table, or on a column that does not exist.
        InvalidTypeError: It is not a criterion.
    """
    found = _require_criterion(criterion)
    name = table.get_table_name()
    try:
        on_fresh_stack(_check_columns, found, frozenset({name}), name, columns)
    except RecursionError:
        raise InvalidInputError(
            "the criterion is nested too deep: join many criteria in groups, or use isin(…)"
        ) from None
    return found


def _require_criterion(criterion: object) -> Criterion:
    boolean = isinstance(criterion, Criterion) and not isinstance(criterion, Field | QueryBuilder)
    if boolean and isinstance(criterion, BasicCriterion):
        boolean = criterion.comparator not in _NOT_BOOLEAN
    if not boolean:
        raise InvalidTypeError(
            f"{show(criterion)} is not a pypika criterion: write for instance "
            "nodes.node_type == 'data.core.structure.StructureData.'"
        )
    assert isinstance(criterion, Criterion)
    return criterion


def _check_columns(
    part: object, tables: frozenset[str], own: str, columns: Collection[str]
) -> None:
    """Refuse columns of tables that are not in the query, or that the criterion's table lacks."""
    if isinstance(part, QueryBuilder):
        tables = tables | _tables_of(part)
    elif isinstance(part, Field):
        _check_column(part, tables, own, columns)
        return
    for child in children_of(part):
        if not isinstance(child, str | bytes):
            _check_columns(child, tables, own, columns)


def _check_column(field: Field, tables: frozenset[str], own: str, columns: Collection[str]) -> None:
    in_query = len(tables) > 1
    if field.table is None:
        # On its own it could be a column of the other tables of the statement.
        if not in_query and field.name not in columns:
            raise _no_such_column(field.name, own, columns)
        return
    assert isinstance(field.table, Selectable)
    table = field.table.get_table_name()
    if table not in tables:
        raise InvalidInputError(
            f"the criterion is on {table}.{field.name}, but "
            + (
                "criteria are on the nodes looked for: use aiidadb.nodes, without an alias"
                if own == nodes.get_table_name()
                else f"must be on {own}: use it without an alias"
            )
            + ", and other tables in a query inside, such as "
            "nodes.id.isin(Query.from_(links).select(links.output_id))"
        )
    if table == own and not isinstance(field, Star) and field.name not in columns:
        raise _no_such_column(field.name, own, columns)


def _no_such_column(name: str, table: str, columns: Collection[str]) -> InvalidInputError:
    if table != nodes.get_table_name():
        hint = did_you_mean(name, columns) or f"choose among {', '.join(sorted(columns))}"
        return InvalidInputError(f"{table} has no column {quote(name)}", advice=hint)
    if name == "pk":
        return InvalidInputError("nodes have no column 'pk': in criteria it is nodes.id")
    return no_such_column(name, columns)


def _tables_of(query: QueryBuilder) -> frozenset[str]:
    selected = [*sources_of(query), *common_queries(query)]
    return frozenset(
        one.name if isinstance(one, AliasedQuery) else one.get_table_name() for one in selected
    )
