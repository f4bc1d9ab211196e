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
from typing import TYPE_CHECKING, Any, Final

from pypika import Dialects
from pypika.enums import Boolean, Comparator, Equality, JSONOperators, Matching
from pypika.functions import RegexpLike, RegexpMatches
from pypika.queries import Join, QueryBuilder, Table
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

from aiidadb.criteria.node_types import Spelling
from aiidadb.criteria.pypika_internals import (
    SetOperation,
    change_children,
    is_negated,
    replace_numbers_of_rows,
    table_name,
    write_tables_of_columns,
)
from aiidadb.criteria.values import (
    as_array,
    as_parameter,
    count_of,
    interval_text,
    is_json,
    no_json_text,
    plain_value,
    without_enum,
)
from aiidadb.exceptions import InvalidInputError, InvalidTypeError
from aiidadb.fresh_stack import on_fresh_stack
from aiidadb.jsonvalue import encode_json
from aiidadb.messages import quote
from aiidadb.text import require_text

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["bind", "bind_as_spelled"]

MOST_PARAMETERS: Final = 32_767
"""As many as one statement can have."""

_EQUALITIES: Final = frozenset(Equality)
_JSON_PATHS: Final = frozenset(
    {JSONOperators.GET_PATH_JSON_VALUE, JSONOperators.GET_PATH_TEXT_VALUE}
)
_JSON_CONTAINMENTS: Final = frozenset({JSONOperators.CONTAINS, JSONOperators.CONTAINED_BY})
_REGULAR_EXPRESSIONS: Final = frozenset({Matching.regex, Matching.regexp, Matching.rlike})
_NOT_IN_POSTGRESQL: Final = frozenset({Matching.glob, Matching.as_of, Matching.bin_regex})


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

    This knows of no database: a node type is sent as it is written here, and one of AiiDA 2.x finds
    nothing in a database of 1.x. :meth:`aiidadb.Backend.bind` spells it as the database does.

    Args:
        term: A pypika criterion, term or query builder; it is not changed.
        first: The number of the first parameter.
        node_types: Applied to every text that is compared with a column ``node_type``.

    Returns:
        SQL text with ``$n`` for the values, and the values.

    Raises:
        InvalidInputError: A value or name that PostgreSQL cannot hold; a placeholder; an operator
            that PostgreSQL does not have; something nested too deep.
        InvalidTypeError: Not a criterion, or a value of a type unknown here, or one that a column
            of AiiDA's cannot be compared with.
    """
    spelling = Spelling() if node_types is None else Spelling({"node_type": node_types})
    return bind_as_spelled(term, spelling, first=first)


def bind_as_spelled(term: Term, spelling: Spelling, *, first: int = 1) -> tuple[str, list[object]]:
    """:func:`bind`, for one database.

    Args:
        term: As for :func:`bind`.
        spelling: How the database spells things.
        first: As for :func:`bind`.
    """
    if not isinstance(term, Term):
        raise InvalidTypeError(f"not a pypika criterion or query: {quote(term)}")
    if not isinstance(first, int) or isinstance(first, bool):
        raise InvalidTypeError(f"first must be the number of a parameter, not {quote(first)}")
    if not 1 <= first <= MOST_PARAMETERS:
        raise InvalidInputError(f"first must be from 1 to {MOST_PARAMETERS}, not {quote(first)}")
    try:
        text, values = on_fresh_stack(_bind, term, first, spelling)
    except RecursionError:
        raise InvalidInputError(
            f"{_what(term)} is nested too deep: join many criteria in groups, or use isin(…)"
        ) from None
    return require_text(text, f"{_what(term)}, in a name or literal,"), values


def _bind(term: Term, first: int, spelling: Spelling) -> tuple[str, list[object]]:
    binder = _Binder(first, spelling)
    return _render(binder.bind(term)), binder.values


def _what(term: Term) -> str:
    return "the query" if isinstance(term, QueryBuilder | SetOperation) else "the criterion"


def _render(bound: Any) -> str:
    # `subquery`: queries inside get their brackets.
    inside = not isinstance(bound, QueryBuilder | SetOperation)
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

    def __init__(self, first: int, spelling: Spelling) -> None:
        self.values: list[object] = []
        self._first = first
        self._spelling = spelling
        # What stands twice in a query, say under `select` and under `group by`, must stay the same.
        # The originals are kept as well, so that no other object gets their id.
        self._done: dict[int, tuple[object, object]] = {}

    def bind(self, part: Any) -> Any:
        """The part as it is to be rendered."""
        if isinstance(part, list | tuple):
            return type(part)(self.bind(item) for item in part)
        if isinstance(part, Field):
            return self._column(part)
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
            return self._placeholder(interval_text(part), "text", "interval")
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
        value = without_enum(value)
        if isinstance(value, Term):
            bound: Term = self.bind(value)
            return bound
        if value is None:
            return NullValue()
        return self._placeholder(*as_parameter(value, field))

    def _json(self, value: object) -> Term:
        # As text first, because a parameter of type jsonb would be encoded a second time.
        return self._placeholder(encode_json(value), "text", "jsonb")  # type: ignore[arg-type]

    def _array(self, array: Array) -> Term:
        try:
            values = plain_value(array)
        except LookupError:
            return _aliased(self._bind_children(array), array)
        assert isinstance(values, list)
        return _aliased(self._placeholder(*as_array(values)), array)

    def _placeholder(self, value: object, *casts: str) -> Term:
        if isinstance(value, str):
            require_text(value, "the text", quoted=True)
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
            return self._json(no_json_text(value))
        if operator in _EQUALITIES and is_json(other):
            return self._json(value)
        if operator in _JSON_PATHS:
            if isinstance(value, list):
                return self._placeholder(*as_array([str(step) for step in value]))
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
        if any(value is None for value in values):
            raise InvalidInputError("None among the values of isin: ask for it with isnull()")
        if not values:
            return LiteralValue(str(is_negated(part)).lower())
        if is_json(part.term):
            texts = [encode_json(value) for value in values]
            array = self._placeholder(texts, "text[]", "jsonb[]")
        else:
            spelled = [self._spelled(value, part.term) for value in values]
            array = self._placeholder(*as_array(spelled, part.term))
        # `in (select …)` keeps the meaning of `not in` too.
        bound.container = Bracket(LiteralValue(f"select unnest({array.get_sql()})"))
        return bound

    def _spelled(self, value: object, field: object) -> object:
        if isinstance(field, Field) and isinstance(value, str):
            spell = self._spelling.texts.get(field.name)
            return value if spell is None else spell(value)
        return value

    def _column(self, field: Field) -> Field:
        if isinstance(field.table, Table):
            name = self._spelling.columns.get((table_name(field.table), field.name))
            if name is not None:
                field = copy.copy(field)
                field.name = name
        return field

    # ------------------------------------------------------------ everything else

    def _bind_children(self, part: Any) -> Any:
        bound = change_children(part, self.bind)
        if isinstance(part, QueryBuilder | SetOperation):
            replace_numbers_of_rows(bound, self._number_of_rows)
        if isinstance(part, QueryBuilder):
            write_tables_of_columns(bound)
        if isinstance(part, RegexpLike | RegexpMatches) and isinstance(bound.args[-1], NullValue):
            bound.args.pop()  # without modifiers pypika passes null, and null is the answer
        if isinstance(part, WindowFrameAnalyticFunction.Edge) and part.value is not None:
            bound.value = self._placeholder(count_of(part.value, "a window's frame"), "bigint")
        return bound

    def _number_of_rows(self, number: object, what: str) -> Term:
        return self._placeholder(count_of(number, what), "bigint")


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
