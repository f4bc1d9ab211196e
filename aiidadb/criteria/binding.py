"""Renders pypika criteria and queries for asyncpg: every value becomes a parameter.

pypika writes values into the text, and writes expressions without the brackets that PostgreSQL
needs to read them as they were meant: ``a - (-b)`` becomes ``a--b``, a comment. Here a copy of what
was built is rewritten before pypika renders it:

- a value is a parameter ``$n`` with a cast, many values are one array;
- what stands inside an operator gets brackets unless it is a single thing;
- ``== None`` asks for null; what is compared with JSON is JSON; ``regex`` is PostgreSQL's ``~``.

What is SQL by intention stays as written: names of tables, columns, functions and types, parts of
dates, and ``LiteralValue``. Put nothing there that comes from outside.
"""

from __future__ import annotations

import copy
import datetime
import decimal
import enum
import uuid
from typing import TYPE_CHECKING, Any, Final

from pypika import Dialects
from pypika.enums import Boolean, Comparator, Equality, JSONOperators, Matching
from pypika.functions import RegexpLike, RegexpMatches
from pypika.queries import (
    Join,
    QueryBuilder,
    Table,
    _SetOperation,  # pypika's only name for a union of queries
)
from pypika.terms import (
    JSON,
    ArithmeticExpression,
    Array,
    AtTimezone,
    BasicCriterion,
    BetweenCriterion,
    BitwiseAndCriterion,
    BitwiseOrCriterion,
    Bracket,
    Case,
    ComplexCriterion,
    ContainsCriterion,
    EmptyCriterion,
    ExistsCriterion,
    Field,
    Function,
    Interval,
    LiteralValue,
    Negative,
    Node,
    Not,
    NotNullCriterion,
    NullCriterion,
    NullValue,
    Parameter,
    PseudoColumn,
    Term,
    Tuple,
    ValueWrapper,
    WindowFrameAnalyticFunction,
)

from aiidadb.exceptions import InvalidInputError
from aiidadb.jsonvalue import encode_json
from aiidadb.text import require_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

__all__ = ["bind", "children_of", "is_select", "plain_value"]

_CASTS: Final[Mapping[type, str]] = {
    bool: "boolean",
    str: "text",
    float: "float8",
    decimal.Decimal: "numeric",
    datetime.datetime: "timestamptz",
    datetime.date: "date",
    datetime.timedelta: "interval",
    uuid.UUID: "uuid",
}

# Columns of AiiDA's tables whose values are easily given in another type than the column's.
_JSON_COLUMNS: Final = frozenset(
    {"attributes", "extras", "metadata", "auth_params", "repository_metadata", "val"}
)
_TIME_COLUMNS: Final = frozenset({"ctime", "mtime", "time"})

_EQUALITIES: Final = frozenset(Equality)
_JSON_RESULTS: Final[frozenset[object]] = frozenset(
    {JSONOperators.GET_JSON_VALUE, JSONOperators.GET_PATH_JSON_VALUE}
)
_JSON_PATHS: Final = frozenset(
    {JSONOperators.GET_PATH_JSON_VALUE, JSONOperators.GET_PATH_TEXT_VALUE}
)
_JSON_CONTAINMENTS: Final = frozenset({JSONOperators.CONTAINS, JSONOperators.CONTAINED_BY})
_REGULAR_EXPRESSIONS: Final = frozenset({Matching.regex, Matching.regexp, Matching.rlike})
_NOT_IN_POSTGRESQL: Final = frozenset({Matching.glob, Matching.as_of, Matching.bin_regex})

_INTERVAL_UNITS: Final = (
    "years", "quarters", "months", "weeks", "days", "hours", "minutes", "seconds", "microseconds",
)  # fmt: skip


class _More(Comparator):
    """Operators of PostgreSQL that pypika does not have."""

    MATCHES = " ~ "


class _Placeholder(Parameter):
    """A parameter of ours, already numbered."""


def bind(
    term: Term,
    *,
    first: int = 1,
    node_types: Callable[[str], str] | None = None,
) -> tuple[str, list[object]]:
    """Render a criterion or query with every value as a parameter.

    Args:
        term: A pypika criterion, term or query builder; it is left as it was.
        first: The number of the first parameter.
        node_types: Applied to every text that is compared with a column ``node_type``.

    Returns:
        SQL text with ``$n`` for the values, and the values.

    Raises:
        InvalidInputError: A value that PostgreSQL cannot hold, or of a type unknown here; a
            placeholder; an operator that PostgreSQL does not have.
    """
    if not isinstance(term, Term):
        raise InvalidInputError(f"not a pypika criterion or query: {term!r}")
    binder = _Binder(first, node_types)
    bound = binder.bind(term)
    return _render(bound), binder.values


def is_select(query: object) -> bool:
    """Whether this is a query builder, or a union of some, that does nothing but select."""
    if isinstance(query, _SetOperation):
        parts = [query.base_query, *(other for _, other in vars(query)["_set_operation"])]
        return all(is_select(part) for part in parts)
    if not isinstance(query, QueryBuilder):
        return False
    inside = vars(query)
    changes = ("_insert_table", "_update_table", "_delete_from", "_select_into")
    nested = [one.query for one in inside["_with"]]
    return (
        bool(inside["_selects"])
        and not any(inside[name] for name in changes)
        and all(is_select(one) for one in nested)
    )


def children_of(part: object) -> Iterator[object]:
    """What a part of a pypika term consists of, one level down."""
    if isinstance(part, list | tuple | set):
        yield from part
    elif isinstance(part, dict):
        yield from part.values()
    elif isinstance(part, Node | Join) and not isinstance(part, Table):
        yield from vars(part).values()


def plain_value(term: object) -> object:
    """The Python value of a term that holds nothing else, lists included.

    Raises:
        LookupError: It holds more than values.
    """
    if isinstance(term, ValueWrapper):
        return term.value
    if type(term) is JSON:
        return term.value
    if isinstance(term, NullValue):
        return None
    if isinstance(term, Tuple) and not isinstance(term, Bracket):
        return [plain_value(item) for item in term.values]
    raise LookupError(f"not a value: {term!r}")


def _render(bound: Any) -> str:
    # `subquery`: queries inside get their brackets.
    inside = not isinstance(bound, QueryBuilder | _SetOperation)
    text: str = bound.get_sql(
        quote_char='"',
        secondary_quote_char="'",
        dialect=Dialects.POSTGRESQL,
        with_namespace=True,
        subquery=inside,
    )
    return text


class _Binder:
    """Rewrites copies of terms, and remembers the values that it took out."""

    def __init__(self, first: int, node_types: Callable[[str], str] | None) -> None:
        self.values: list[object] = []
        self._first = first
        self._node_types = node_types
        # What stands twice in a query, say under `select` and under `group by`, must stay the same.
        # The originals are kept as well, so that no other object gets their id.
        self._done: dict[int, tuple[object, object]] = {}

    def bind(self, part: Any) -> Any:
        """The part as it is to be rendered."""
        if isinstance(part, list | tuple):
            return type(part)(self.bind(item) for item in part)
        if not _has_values(part):
            return part
        if id(part) not in self._done:
            self._done[id(part)] = (part, self._bind(part))
        return self._done[id(part)][1]

    def _bind(self, part: Any) -> Any:
        special = self._bind_value(part)
        if special is None:
            special = self._bind_operator(part)
        return self._bind_children(part) if special is None else special

    # ------------------------------------------------------------ values

    def _bind_value(self, part: Any) -> Term | None:
        if isinstance(part, ValueWrapper):
            return _aliased(self._parameter(part.value), part)
        if type(part) is JSON:
            return _aliased(self._json(part.value), part)
        if isinstance(part, Array):
            return self._array(part)
        if isinstance(part, Interval):
            return self._placeholder(_interval_text(part), "text", "interval")
        if isinstance(part, AtTimezone):
            # Said as a function, because the operator's zone is written into the text.
            zone = self._placeholder(part.zone, "text", *(["interval"] if part.interval else []))
            return _aliased(Function("timezone", zone, self.bind(part.field)), part)
        if isinstance(part, Parameter):
            raise InvalidInputError(
                f"{part.get_sql()} is a placeholder: put the value itself into the criterion"
            )
        if isinstance(part, EmptyCriterion):
            return LiteralValue("true")
        return None

    def _parameter(self, value: object, field: object = None) -> Term:
        value = value.value if isinstance(value, enum.Enum) else value
        if isinstance(value, Term):
            bound: Term = self.bind(value)
            return bound
        if value is None:
            return NullValue()
        value = _fitting(value, field)
        return self._placeholder(value, _cast_of(value))

    def _json(self, value: object) -> Term:
        # As text first, because a parameter of type jsonb would be encoded a second time.
        return self._placeholder(encode_json(value), "text", "jsonb")  # type: ignore[arg-type]

    def _array(self, array: Array) -> Term:
        try:
            values = plain_value(array)
        except LookupError:
            return _aliased(self._bind_children(array), array)
        assert isinstance(values, list)
        return _aliased(self._many(values, None), array)

    def _many(self, values: list[object], field: object) -> Term:
        """Many values are one parameter: a list of placeholders ends at 32,767."""
        plain = [value.value if isinstance(value, enum.Enum) else value for value in values]
        fitting = [_fitting(value, field) for value in plain]
        kinds = {_cast_of(value) for value in fitting}
        if kinds == {"int", "bigint"}:
            kinds = {"bigint"}
        if len(kinds) > 1:
            raise InvalidInputError(
                f"values of several types in one list: {', '.join(sorted(kinds))}"
            )
        return self._placeholder(fitting, f"{kinds.pop() if kinds else 'text'}[]")

    def _placeholder(self, value: object, *casts: str) -> Term:
        if isinstance(value, str):
            require_text(value, f"the text {value!r}")
        self.values.append(value)
        number = self._first + len(self.values) - 1
        return _Placeholder("::".join((f"${number}", *casts)))

    # ------------------------------------------------------------ operators

    def _bind_operator(self, part: Any) -> Term | None:
        if isinstance(part, ContainsCriterion):
            return self._contains(part)
        if isinstance(part, ComplexCriterion):
            return self._complex(part)
        if isinstance(part, BasicCriterion):
            return self._basic(part)
        if isinstance(part, BetweenCriterion):
            return self._between(part)
        for kinds, names, keep in _OPERANDS:
            if isinstance(part, kinds):
                return _aliased(self._bracketed(part, *names, keep=keep), part)
        return None

    def _bracketed(self, part: Any, *names: str, keep: tuple[type, ...] = ()) -> Term:
        bound: Term = self._bind_children(part)
        for name in names:
            setattr(bound, name, _bracket(getattr(bound, name), keep))
        return bound

    def _complex(self, part: ComplexCriterion) -> Term:
        if part.comparator is Boolean.xor_:
            differ = BasicCriterion(Equality.ne, part.left, part.right, part.alias)
            return self._bracketed(differ, "left", "right")
        return self._bracketed(part, "left", "right", keep=(BasicCriterion, Not, *_CRITERIA))

    def _basic(self, part: BasicCriterion) -> Term:
        operator = part.comparator
        if operator in _NOT_IN_POSTGRESQL:
            raise InvalidInputError(
                f"PostgreSQL has no {operator.value.strip()}: use like, ilike or regex"
            )
        for one, other in ((part.left, part.right), (part.right, part.left)):
            if isinstance(other, NullValue) and operator in (Equality.eq, Equality.ne):
                kind = NullCriterion if operator is Equality.eq else NotNullCriterion
                return self._bracketed(kind(one, part.alias), "term")
        bound = copy.copy(part)
        if operator in _REGULAR_EXPRESSIONS:
            bound.comparator = _More.MATCHES
        bound.left = _bracket(self._operand(part.left, part.right, operator))
        bound.right = _bracket(self._operand(part.right, part.left, operator))
        return bound

    def _operand(self, one: Any, other: Any, operator: object) -> Any:
        """One side of an operator, in the type that the other side asks for."""
        try:
            value = plain_value(one)
        except LookupError:
            return self.bind(one)
        if operator in _JSON_CONTAINMENTS:
            return self._json(_no_json_text(value))
        if operator in _EQUALITIES and _is_json(other):
            return self._json(value)
        if operator in _JSON_PATHS:
            if isinstance(value, list):
                return self._many([str(step) for step in value], None)
            return self._placeholder(value, "text", "text[]")
        if isinstance(one, ValueWrapper):
            return self._parameter(self._spelled(value, other), other)
        return self.bind(one)

    def _between(self, part: BetweenCriterion) -> Term:
        bound = copy.copy(part)
        bound.term = _bracket(self.bind(part.term))
        bound.start = _bracket(self._operand(part.start, part.term, Equality.gte))
        bound.end = _bracket(self._operand(part.end, part.term, Equality.lte))
        return bound

    def _contains(self, part: ContainsCriterion) -> Term:
        bound = copy.copy(part)
        bound.term = _bracket(self.bind(part.term))
        try:
            values = plain_value(part.container)
        except LookupError:
            bound.container = self.bind(part.container)
            return bound
        assert isinstance(values, list)
        if None in values:
            raise InvalidInputError("None among the values of isin: ask for it with isnull()")
        if not values:
            return LiteralValue(str(vars(part)["_is_negated"]).lower())
        if _is_json(part.term):
            texts = [encode_json(value) for value in values]
            array = self._placeholder(texts, "text[]", "jsonb[]")
        else:
            array = self._many([self._spelled(value, part.term) for value in values], part.term)
        # `in (select …)` keeps the meaning of `not in` too.
        bound.container = Bracket(LiteralValue(f"select unnest({array.get_sql()})"))
        return bound

    def _spelled(self, value: object, field: object) -> object:
        is_node_type = isinstance(field, Field) and field.name == "node_type"
        if self._node_types is not None and is_node_type and isinstance(value, str):
            return self._node_types(value)
        return value

    # ------------------------------------------------------------ everything else

    def _bind_children(self, part: Any) -> Any:
        bound = copy.copy(part)
        for name, child in vars(part).items():
            if isinstance(child, list | tuple) or _has_values(child):
                setattr(bound, name, self.bind(child))
        if isinstance(part, QueryBuilder | _SetOperation):
            self._finish_query(bound)
        if isinstance(part, RegexpLike | RegexpMatches) and isinstance(bound.args[-1], NullValue):
            bound.args.pop()  # without modifiers pypika passes null, and null is the answer
        if isinstance(part, WindowFrameAnalyticFunction.Edge) and part.value is not None:
            bound.value = self._placeholder(_count(part.value, "a window's frame"), "bigint")
        return bound

    def _finish_query(self, query: Any) -> None:
        for name in ("_limit", "_offset"):
            if (number := getattr(query, name)) is not None:
                number = _count(number, name.strip("_"))
                setattr(query, name, self._placeholder(number, "bigint"))
        # Where a column of the query around this one is selected, pypika forgets whose it is.
        if isinstance(query, QueryBuilder):
            vars(query)["_foreign_table"] = True


# Criteria that bind closer than `not`, `and` and `or`.
_CRITERIA: Final = (ContainsCriterion, NullCriterion, BetweenCriterion, ExistsCriterion)
# Where the operands of other operators are, and what needs no brackets there.
_OPERANDS: Final[tuple[tuple[Any, tuple[str, ...], tuple[type, ...]], ...]] = (
    (ExistsCriterion, ("container",), ()),
    (Negative | NullCriterion, ("term",), ()),
    (Not, ("term",), (BasicCriterion, *_CRITERIA)),
    (ArithmeticExpression, ("left", "right"), ()),
    (BitwiseAndCriterion | BitwiseOrCriterion, ("term", "value"), ()),
)
_SINGLE: Final = (Case, Field, Function, NullValue, PseudoColumn, Tuple, _Placeholder)


def _has_values(part: object) -> bool:
    """Whether values can stand inside."""
    if isinstance(part, Table | Field | NullValue | LiteralValue | _Placeholder):
        return False
    return isinstance(part, Node | Join | WindowFrameAnalyticFunction.Edge)


def _bracket(term: Any, keep: tuple[type, ...] = ()) -> Any:
    return term if isinstance(term, (*_SINGLE, *keep)) else Bracket(term)


def _aliased(term: Term, original: Any) -> Term:
    if original.alias is None:
        return term
    if isinstance(term, _Placeholder | NullValue | Negative):
        term = Bracket(term)  # these do not write their alias
    term.alias = original.alias
    return term


def _is_json(term: object) -> bool:
    if isinstance(term, BasicCriterion):
        return term.comparator in _JSON_RESULTS
    return type(term) is JSON or (isinstance(term, Field) and term.name in _JSON_COLUMNS)


def _no_json_text(value: object) -> object:
    if isinstance(value, str) and value.lstrip()[:1] in ("{", "["):
        raise InvalidInputError(
            f"{value!r} looks like the text of a JSON value: give the dict or list itself, or "
            "JSON(…) of it if this string is meant"
        )
    return value


def _fitting(value: object, field: object) -> object:
    """A value in the type of the column that it is compared with."""
    if not isinstance(field, Field) or not isinstance(value, str):
        return value
    if field.name == "uuid":
        try:
            return uuid.UUID(value)
        except ValueError:
            raise InvalidInputError(f"{value!r} is no UUID, which the column uuid holds") from None
    if field.name in _TIME_COLUMNS:
        raise InvalidInputError(
            f"{field.name} is a time: compare it with a datetime that has a time zone, "
            f"not with the text {value!r}"
        )
    return value


def _cast_of(value: object) -> str:
    """PostgreSQL's type for a value.

    Raises:
        InvalidInputError: PostgreSQL cannot hold it, or its type is unknown here.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        if not -(2**63) <= value < 2**63:
            raise InvalidInputError(f"{value} does not fit into 64 bits")
        return "int" if -(2**31) <= value < 2**31 else "bigint"
    if isinstance(value, str):
        require_text(value, f"the text {value!r}")
    if isinstance(value, datetime.datetime) and value.tzinfo is None:
        raise InvalidInputError(f"{value!r} has no time zone: give it one")
    for kind, cast in _CASTS.items():
        if isinstance(value, kind):
            return cast
    raise InvalidInputError(f"a value of type {type(value).__name__} cannot be a criterion")


def _count(number: object, what: str) -> int:
    if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number < 2**63:
        raise InvalidInputError(f"{what} must be a number of rows, not {number!r}")
    return number


def _interval_text(interval: Interval) -> str:
    sign = "-" if interval.is_negative else ""
    parts = [(unit, getattr(interval, unit, 0)) for unit in _INTERVAL_UNITS]
    # PostgreSQL's intervals know no quarters.
    texts = [
        f"{sign}{number * 3} months" if unit == "quarters" else f"{sign}{number} {unit}"
        for unit, number in parts
        if number
    ]
    return " ".join(texts) or "0"
