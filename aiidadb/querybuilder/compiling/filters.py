"""Filters as SQL conditions: the operators of AiiDA, on columns and inside JSON."""

from __future__ import annotations

import datetime
import decimal
import numbers
import uuid
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, Final

from aiidadb.criteria.node_types import spelling_of
from aiidadb.exceptions import InvalidInputError, InvalidTypeError
from aiidadb.messages import did_you_mean, quote
from aiidadb.querybuilder.compiling.parameters import (
    JSON_TYPES,
    as_double,
    as_integer,
    as_integers,
    as_json,
    as_json_list,
    as_json_type,
    as_moment,
    as_pattern,
    as_spelled,
    as_text,
    as_time,
    as_uuid,
    each_of,
    first_uuid,
    integers_of_json,
    last_uuid,
    text_as_json,
    wrapped,
)
from aiidadb.querybuilder.filter_tree import (
    COMBINATIONS,
    MIXED,
    NAIVE_TIME,
    NESTED,
    Each,
    of_filter,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from aiidadb.querybuilder.compiling.parameters import Convert, Parameters
    from aiidadb.querybuilder.compiling.sources import Source
    from aiidadb.querybuilder.entities import Column
    from aiidadb.querybuilder.filter_tree import Kind, Operator, Tree
    from aiidadb.version.schema_version import SchemaVersion

__all__ = ["ColumnField", "FilterWriter"]

_COMPARISONS: Final[Mapping[str, str]] = {"==": "=", ">": ">", "<": "<", ">=": ">=", "<=": "<="}
_JSON_COMPARISONS: Final[Mapping[str, str]] = {**_COMPARISONS, "=>": ">=", "=<": "<="}
_PATTERNS: Final = frozenset({"like", "ilike"})
_LENGTHS: Final[Mapping[str, str]] = {"of_length": "=", "longer": ">", "shorter": "<"}
_COLUMN_OPERATORS: Final = (*_COMPARISONS, *sorted(_PATTERNS), "in", "and", "or")
_JSON_OPERATORS: Final = (
    *_JSON_COMPARISONS, *_LENGTHS, *sorted(_PATTERNS), "in", "of_type", "contains", "has_key",
    "and", "or",
)  # fmt: skip

_SPOKEN: Final[Mapping[str, str]] = {
    "flag": "True or False", "integer": "an integer", "JSON": "JSON", "text": "a text",
    "time": "a time", "UUID": "a UUID", "integers": "a list of integers",
}  # fmt: skip
_TEXTS: Final[Mapping[str, tuple[str, Convert]]] = {
    "UUID": ("uuid", as_uuid),
    "integer": ("bigint", as_integer),
    "time": ("text::timestamptz", as_time),
}
"""By kind of column, what a text is compared as: JSON, as clients send it, has no other types."""

_NEVER: Final = "null::boolean"
_TRUTH_OF: Final[Mapping[str, str]] = {"and": " and ", "or": " or "}


class FilterWriter:
    """Writes the filters of one statement.

    Args:
        parameters: Those of the statement.
        version: Of the database.
        joins_all: Whether several vertices are joined, and all rows of that are wanted.
    """

    def __init__(self, parameters: Parameters, version: SchemaVersion, *, joins_all: bool) -> None:
        self._parameters = parameters
        self._joins_all = joins_all
        self._texts = spelling_of(version).texts

    def conditions(self, tree: Tree, source: Source, *, plainly: bool = True) -> list[str]:
        """The conditions of a vertex's or an edge's filters, all of which must hold.

        Args:
            tree: The filters.
            source: What they are on.
            plainly: Whether null is as good as false, because nothing negates it.

        Raises:
            InvalidInputError: A column or an operator is not there, or cannot have such a value.
            InvalidTypeError: An operator cannot have a value of this type.
        """
        found: list[str] = []
        for key, parts in tree:
            if key in COMBINATIONS:
                found += self._combination(key, parts, source, plainly=plainly)
            else:
                found += self._field(key, parts, source, plainly=plainly)
        return found

    def _combination(
        self, key: str, trees: Sequence[Tree], source: Source, *, plainly: bool
    ) -> list[str]:
        bare = key.lstrip("!~")
        plainly = plainly and bare == key
        each = [self.conditions(tree, source, plainly=plainly) for tree in trees]
        joined = [_joined(conditions, "and") for conditions in each if conditions]
        if not joined:
            return []
        return [_negated(_joined(joined, bare), is_negated=bare != key)]

    def _field(
        self, key: str, operators: Sequence[Operator], source: Source, *, plainly: bool
    ) -> list[str]:
        name, *steps = key.split(".")
        column = source.entity.column(name)
        if steps and column.kind != "JSON":
            raise InvalidInputError(
                f"{name} of {source.entity.spoken} is not JSON, so that there is nothing at "
                f"{quote(key)}: use {quote(name)}"
            )
        write: Callable[[str, Kind, int, bool], str]
        if steps or column.is_keyed:
            write = _JsonField(
                self._parameters,
                source.sql(column),
                tuple(steps),
                key,
                joins_all=self._joins_all,
            ).condition
        else:
            write = ColumnField(self._parameters, source.sql(column), column, self._texts).condition
        self._parameters.subject = key
        try:
            return self._operators(operators, write, plainly=plainly)
        except InvalidInputError as error:
            raise of_filter(key, error) from None

    def _operators(
        self,
        operators: Sequence[Operator],
        write: Callable[[str, Kind, int, bool], str],
        *,
        plainly: bool,
    ) -> list[str]:
        found = []
        for operator, kind, place in operators:
            given = "==" if operator is None else operator
            sign = given[:1]
            bare = given.lstrip(sign) if sign in ("~", "!") else given
            is_plain = plainly and bare == given
            if kind is NESTED:
                if bare not in _TRUTH_OF:
                    raise _unknown(given, tuple(_TRUTH_OF), "for lists of operators")
                inner = [
                    condition
                    for one in place
                    for condition in self._operators(one, write, plainly=is_plain)
                ]
                if not inner:
                    continue
                condition = _joined(inner, bare)
            else:
                condition = write(bare, kind, place, is_plain)
            found.append(condition if bare == given else f"not ({condition})")
        return found


def _joined(conditions: Sequence[str], how: str) -> str:
    if len(conditions) == 1:
        return conditions[0]
    return f"({_TRUTH_OF[how].join(conditions)})"


def _negated(condition: str, *, is_negated: bool) -> str:
    return f"not ({condition})" if is_negated else condition


def _unknown(operator: str, known: Sequence[str], where: str) -> InvalidInputError:
    hint = did_you_mean(operator, known) or f"there are {', '.join(known)}"
    return InvalidInputError(f"there is no operator {quote(operator)} {where}: {hint}")


def _not_a_length(operator: str, kind: Kind) -> InvalidTypeError:
    return InvalidTypeError(f"{quote(operator)} takes an integer, not {_named(kind)}")


def _is(kind: object, *types: type) -> bool:
    return kind in types or (isinstance(kind, type) and issubclass(kind, types))


def _named(kind: Kind) -> str:
    if isinstance(kind, Each):
        return "an empty list" if kind.kind is None else f"a list of {_named_in_a_list(kind.kind)}"
    return f"a value of type {kind.__name__}" if isinstance(kind, type) else str(kind)


def _named_in_a_list(kind: object) -> str:
    return f"values of type {kind.__name__}" if isinstance(kind, type) else str(kind)


def _refuse_order_of_flags(kind: Kind, operator: str) -> None:
    if kind is bool and operator != "==":
        raise InvalidInputError(
            f"True and False have no order, which {quote(operator)} asks for: use '=='"
        )


def _kind_of_items(kind: Kind) -> Any:
    """The kind of the items for ``in``.

    Raises:
        InvalidInputError: There are no items, or they are of several types.
    """
    assert isinstance(kind, Each)
    if kind.kind is None:
        raise InvalidInputError("the list of 'in' is empty: give at least one value")
    if kind.kind is MIXED:
        raise InvalidInputError(
            "the list of 'in' has values of several types: give values of one type, or combine "
            "several with 'or'"
        )
    return kind.kind


_UNSPELLED: Final[tuple[Convert, Convert]] = (as_text, as_pattern)


@lru_cache(maxsize=64)
def _spelled(spell: Callable[[str], str]) -> tuple[Convert, Convert]:
    """What makes parameters of texts, and of patterns, as the database spells them."""
    return partial(as_spelled, spell=spell), partial(as_spelled, spell=spell, read=as_pattern)


class ColumnField:
    """A column, and the conditions on it."""

    def __init__(
        self,
        parameters: Parameters,
        sql: str,
        column: Column,
        texts: Mapping[str, Callable[[str], str]],
    ) -> None:
        self._parameters = parameters
        self._sql = sql
        self._column = column
        spell = texts.get(column.name)
        self._as_text, self._as_pattern = _UNSPELLED if spell is None else _spelled(spell)

    def condition(self, operator: str, kind: Kind, place: int, _plainly: bool) -> str:
        """SQL for one operator with one value."""
        if operator in _PATTERNS:
            return self._pattern(operator, kind, place)
        if operator == "in":
            return self.any_of("=", kind, place)
        sign = _COMPARISONS.get(operator)
        if sign is None:
            if operator in _LENGTHS and not _is(kind, int):
                raise _not_a_length(operator, kind)
            raise _unknown(operator, _COLUMN_OPERATORS, "for a column that is not JSON")
        if kind is type(None):
            return f"{self._sql} is null" if operator == "==" else _NEVER
        _refuse_order_of_flags(kind, operator)
        cast, convert = self._as_parameter(kind)
        return f"{self._sql} {sign} {self._parameters.value(place, cast, convert)}"

    def any_of(self, sign: str, kind: Kind, place: int) -> str:
        """SQL for a comparison that must hold with one of several values."""
        items = _kind_of_items(kind)
        if items is type(None) and self._column.kind != "JSON":
            return _NEVER
        cast, convert = self._as_parameter(items)
        if convert is as_integer:
            array = self._parameters.value(place, "int[]", as_integers)
        else:
            arrays = partial(each_of, convert=convert)
            array = self._parameters.value(place, _array_cast(cast), arrays)
        return f"{self._sql} {sign} any({array})"

    def _pattern(self, operator: str, kind: Kind, place: int) -> str:
        if not _is(kind, str):
            raise InvalidTypeError(f"{quote(operator)} takes a text, not {_named(kind)}")
        pattern = self._parameters.value(place, "text", self._as_pattern)
        column = self._column
        if column.name == "node_type" and operator == "like":
            # Nearly every vertex has such a pattern, and for a vertex of any node it is `%`, which
            # all nodes match. A plan that is made once for all patterns cannot know that: the
            # planner assumes that `like` with an unknown pattern keeps one row in two hundred, and
            # joins in an order that is bad if all are kept. Of a `case` it assumes that half of the
            # rows are kept, which does no harm in either case. In a plan that is made for one
            # pattern the `case` is decided beforehand, and an index can be used.
            return (
                f"case when {pattern} = '%' then {self._sql} is not null "
                f"else {self._sql} like {pattern} end"
            )
        if column.kind == "text":
            return f"{self._sql} {operator} {pattern}"
        if operator == "ilike":
            raise InvalidInputError(
                f"'ilike' needs a column of texts, which {column.name} is not: use 'like'"
            )
        alike = f"{self._sql}::text like {pattern}"
        if column.kind != "UUID":
            return alike
        # The index on UUIDs cannot be searched for a pattern, but for a range: the one of all UUIDs
        # that begin as the pattern does.
        first = self._parameters.value(place, "uuid", first_uuid)
        last = self._parameters.value(place, "uuid", last_uuid)
        return f"({self._sql} between {first} and {last} and {alike})"

    def _as_parameter(self, kind: Kind) -> tuple[str, Convert]:
        """As what a value of a kind is compared with the column."""
        column = self._column.kind
        if column == "JSON":
            return "text::jsonb", None if kind in (dict, list) else as_json
        if column == "integers" and kind is list:
            return "int[]", integers_of_json
        found: tuple[str, Convert] | None = None
        if kind is str:  # first, as it is by far the commonest
            found = self._text_parameter()
        elif kind is NAIVE_TIME or _is(kind, datetime.date):
            found = _time_parameter(kind) if column == "time" else None
        elif _is(kind, bool):
            found = ("boolean", None) if column == "flag" else None
        elif _is(kind, numbers.Number):
            found = _number_parameter(kind) if column == "integer" else None
        elif _is(kind, uuid.UUID):
            found = ("uuid", None) if column == "UUID" else None
        elif _is(kind, str):
            found = self._text_parameter()
        if found is None:
            raise InvalidTypeError(
                f"{self._column.name} is {_SPOKEN[self._column.kind]}, which cannot be compared "
                f"with {_named(kind)}"
            )
        return found

    def _text_parameter(self) -> tuple[str, Convert] | None:
        column = self._column.kind
        return ("text", self._as_text) if column == "text" else _TEXTS.get(column)


def _number_parameter(kind: Kind) -> tuple[str, Convert] | None:
    if _is(kind, numbers.Integral):
        return "bigint", as_integer
    if _is(kind, float):
        return "float8", None
    return ("numeric", None) if _is(kind, decimal.Decimal) else None


def _time_parameter(kind: Kind) -> tuple[str, Convert]:
    if kind is NAIVE_TIME:
        return "timestamp", None
    return ("timestamptz", as_moment) if _is(kind, datetime.datetime) else ("date", None)


def _array_cast(cast: str) -> str:
    return "[]::".join(cast.split("::")) + "[]"


class _JsonField:
    """A place in a JSON column, and the conditions on it."""

    def __init__(
        self,
        parameters: Parameters,
        column: str,
        steps: tuple[str, ...],
        key: str,
        *,
        joins_all: bool,
    ) -> None:
        self._parameters = parameters
        self._column = column
        self._steps = steps
        self._key = key
        self._path: str | None = None
        self._joins_all = joins_all

    @property
    def _json(self) -> str:
        return self._at("#>") if self._steps else self._column

    @property
    def _text(self) -> str:
        return self._at("#>>")

    def _at(self, arrow: str) -> str:
        if self._path is None:
            self._path = self._parameters.path(self._steps)
        return f"({self._column} {arrow} {self._path})"

    def condition(self, operator: str, kind: Kind, place: int, plainly: bool) -> str:
        """SQL for one operator with one value."""
        if operator == "of_type":
            return self._of_type(kind, place)
        if operator == "contains":
            if kind not in (dict, list, tuple):
                raise InvalidTypeError(
                    f"'contains' takes a list or a dictionary, not {_named(kind)}"
                )
            convert = as_json_list if kind is tuple else None
            return f"{self._json} @> {self._parameters.value(place, 'text::jsonb', convert)}"
        if operator == "has_key":
            if not _is(kind, str):
                raise InvalidTypeError(f"'has_key' takes a text, not {_named(kind)}")
            return f"{self._json} ? {self._parameters.value(place, 'text', as_text)}"
        if operator in _LENGTHS:
            return self._length(operator, kind, place)
        if operator == "in":
            return self._in(kind, place, plainly=plainly)
        return self._comparison(operator, kind, place, plainly=plainly)

    def _of_type(self, kind: Kind, place: int) -> str:
        if not _is(kind, str):
            raise InvalidInputError(
                f"'of_type' takes one of {', '.join(JSON_TYPES)}, not {_named(kind)}"
            )
        asked = self._parameters.value(place, "text", as_json_type)
        found = f"jsonb_typeof({self._json})"
        # As in AiiDA, a key that does not exist is of the type null.
        return f"({found} = {asked} or ({asked} = 'null' and {found} is null))"

    def _length(self, operator: str, kind: Kind, place: int) -> str:
        if not _is(kind, int):
            raise _not_a_length(operator, kind)
        if _is(kind, bool):
            raise InvalidInputError(f"{quote(operator)} takes an integer, not True or False")
        length = self._parameters.value(place, "bigint", as_integer)
        return self._where(
            "array", f"jsonb_array_length({self._json}) {_LENGTHS[operator]} {length}"
        )

    def _in(self, kind: Kind, place: int, *, plainly: bool) -> str:
        items = _kind_of_items(kind)
        if items is type(None):
            return self._where("object", _NEVER)
        json_type, cell, cast, convert = self._typed(items)
        arrays = partial(each_of, convert=convert)
        array = self._parameters.value(place, _array_cast(cast), arrays)
        if plainly and self._joins_all:
            # If the whole condition is a `case`, the planner assumes that it keeps half of the
            # rows, and may begin with other tables, and join all of these to it. If a `case` is
            # compared, it assumes that one row in two hundred has each item, which is nearer to
            # what a list selects.
            #
            # It is the other way round if only the first rows in some order are wanted. Expecting
            # many rows, the planner reads in that order and stops early.
            found = f"case when jsonb_typeof({self._json}) = '{json_type}' then {cell} end"
            return f"{found} = any({array})"
        return self._where(json_type, f"{cell} = any({array})")

    def _comparison(self, operator: str, kind: Kind, place: int, *, plainly: bool) -> str:
        is_pattern = operator in _PATTERNS
        sign = operator if is_pattern else _JSON_COMPARISONS.get(operator)
        if sign is None:
            raise _unknown(operator, _JSON_OPERATORS, "for JSON")
        if is_pattern and not _is(kind, str):
            raise InvalidTypeError(f"{quote(operator)} takes a text, not {_named(kind)}")
        if kind is type(None):
            return "false" if operator == "==" else self._where("object", _NEVER)
        if operator == "==" and _is(kind, str, bool) and self._has_names_only():
            # `column @> {"step": {"step": value}}` says the same as the comparison of the value at
            # that path, costs less, and can be served by a GIN index.
            before = "".join([f"{{{text_as_json(step)}:" for step in self._steps])
            around = partial(wrapped, before=before, after="}" * len(self._steps))
            holder = self._parameters.value(place, "text::jsonb", around)
            holds = f"{self._column} @> {holder}"
            return holds if plainly else f"coalesce({holds}, false)"
        _refuse_order_of_flags(kind, operator)
        json_type, cell, cast, convert = self._typed(kind)
        value = self._parameters.value(place, cast, as_pattern if is_pattern else convert)
        return self._where(json_type, f"{cell} {sign} {value}")

    def _has_names_only(self) -> bool:
        """Whether all steps are keys of dictionaries, and none can be an index into a list.

        In ``attributes.a.0`` the step ``0`` may be either, which ``@>`` cannot express.
        """
        return bool(self._steps) and all(
            step[:1].isascii() and (step[:1].isalpha() or step[:1] == "_") for step in self._steps
        )

    def _typed(self, kind: Kind) -> tuple[str, str, str, Convert]:
        """For a kind of value: the type in JSON, the cell to compare, and the parameter."""
        if _is(kind, str):
            return "string", self._text, "text", as_text
        if _is(kind, bool):
            return "boolean", f"{self._text}::boolean", "boolean", None
        if _is(kind, int, float):
            return "number", f"{self._text}::float8", "float8", as_double
        if kind is dict:
            return "object", self._json, "text::jsonb", None
        if kind is list:
            return "array", self._json, "text::jsonb", None
        raise InvalidTypeError(f"{quote(self._key)} is JSON, which cannot hold {_named(kind)}")

    def _where(self, json_type: str, condition: str) -> str:
        """A condition on values of one JSON type, which is false for all others.

        The ``case`` makes sure that the type is looked at first. PostgreSQL may evaluate the sides
        of an ``and`` in any order, and a cast of a value of another type would be an error. A text
        needs no cast: it is compared first, and only the type of values that match is looked at.
        """
        if json_type == "string":
            return (
                f"case when {condition} then jsonb_typeof({self._json}) = 'string' else false end"
            )
        return (
            f"case when jsonb_typeof({self._json}) = '{json_type}' then {condition} else false end"
        )
