"""What values may stand in criteria, and as which of PostgreSQL's types they travel."""

from __future__ import annotations

import datetime
import decimal
import enum
import uuid
from typing import TYPE_CHECKING, Final

from pypika import Table
from pypika.enums import JSONOperators
from pypika.terms import (
    JSON,
    BasicCriterion,
    Bracket,
    Field,
    Interval,
    NullValue,
    Tuple,
    ValueWrapper,
)

from aiidadb.criteria.pypika_internals import table_name
from aiidadb.criteria.tables import COLUMN_KINDS
from aiidadb.exceptions import InvalidInputError, InvalidTypeError
from aiidadb.messages import quote
from aiidadb.text import require_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from aiidadb.criteria.tables import Kind

__all__ = [
    "as_array",
    "as_parameter",
    "count_of",
    "interval_text",
    "is_json",
    "no_json_text",
    "plain_value",
    "without_enum",
]

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

# What a column of a kind can be compared with.
_COMPARABLE: Final[Mapping[Kind, tuple[type, ...]]] = {
    "flag": (bool,),
    "integer": (int, float, decimal.Decimal),
    "text": (str,),
    "time": (datetime.date,),  # which a datetime is too
    "UUID": (uuid.UUID,),  # of texts there is one left
}
_IN_WORDS: Final[Mapping[Kind, str]] = {
    "flag": "True or False",
    "integer": "integers",
    "text": "text",
    "time": "times",
    "UUID": "UUIDs",
}

# Columns of AiiDA's tables whose values are easily given in another type than the column's.
_JSON_COLUMNS: Final = frozenset(
    {"attributes", "extras", "metadata", "auth_params", "repository_metadata", "val"}
)
_TIME_COLUMNS: Final = frozenset({"ctime", "mtime", "time"})
_JSON_RESULTS: Final[frozenset[object]] = frozenset(
    {JSONOperators.GET_JSON_VALUE, JSONOperators.GET_PATH_JSON_VALUE}
)

_INTERVAL_UNITS: Final = (
    "years", "quarters", "months", "weeks", "days", "hours", "minutes", "seconds", "microseconds",
)  # fmt: skip


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
    raise LookupError(f"not a value: {quote(term)}")


def as_parameter(value: object, field: object = None) -> tuple[object, str]:
    """A value as it is sent, and PostgreSQL's type for it.

    Args:
        value: Neither None nor a member of an enumeration.
        field: The column or other term that it is compared with.

    Raises:
        InvalidInputError: PostgreSQL cannot hold it, or its type is unknown here.
    """
    fitting = _fitting(value, field)
    cast = _cast_of(fitting)
    _require_comparable((fitting,), field)
    return fitting, cast


def as_array(values: list[object], field: object = None) -> tuple[list[object], str]:
    """Many values as the one that is sent, and PostgreSQL's type for it.

    (One parameter for each would end at 32,767 of them.) Takes and raises what
    :func:`as_parameter` does.
    """
    fitting = [_fitting(without_enum(value), field) for value in values]
    kinds = {_cast_of(value) for value in fitting}
    if kinds == {"int", "bigint"}:
        kinds = {"bigint"}
    if len(kinds) > 1:
        raise InvalidInputError(f"values of several types in one list: {', '.join(sorted(kinds))}")
    _require_comparable(fitting, field)
    return fitting, f"{kinds.pop() if kinds else 'text'}[]"


def without_enum(value: object) -> object:
    """The value of an enumeration's member; anything else as it is."""
    return value.value if isinstance(value, enum.Enum) else value


def _fitting(value: object, field: object) -> object:
    """A value in the type of the column that it is compared with."""
    if not isinstance(field, Field) or not isinstance(value, str):
        return value
    if field.name == "uuid":
        try:
            return uuid.UUID(value)
        except ValueError:
            raise InvalidInputError(
                f"{quote(value)} is not a valid UUID, which the column uuid holds"
            ) from None
    if field.name in _TIME_COLUMNS:
        raise InvalidInputError(
            f"{field.name} is a time: compare it with a datetime that has a time zone, "
            f"not with the text {quote(value)}"
        )
    return value


def _require_comparable(values: Iterable[object], field: object) -> None:
    """Refuse what the server would refuse to compare with a column of AiiDA's.

    An error of the server's would spoil a transaction.
    """
    if not isinstance(field, Field) or not isinstance(field.table, Table):
        return
    table = table_name(field.table)
    kind = COLUMN_KINDS.get(table, {}).get(field.name)
    if kind is None or kind == "JSON":
        return
    for value in values:
        is_flag = isinstance(value, bool)
        if is_flag != (kind == "flag") or not isinstance(value, _COMPARABLE[kind]):
            raise InvalidTypeError(
                f"{table}.{field.name} holds {_IN_WORDS[kind]}, which cannot be compared with "
                f"{quote(value)}"
            )


def _cast_of(value: object) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        if not -(2**63) <= value < 2**63:
            raise InvalidInputError(f"{quote(value)} does not fit into 64 bits")
        return "int" if -(2**31) <= value < 2**31 else "bigint"
    if isinstance(value, str):
        require_text(value, "the text", quoted=True)
    if isinstance(value, datetime.datetime) and value.tzinfo is None:
        raise InvalidInputError(f"{quote(value)} has no time zone: give it one")
    for kind, cast in _CASTS.items():
        if isinstance(value, kind):
            return cast
    raise InvalidTypeError(f"a value of type {type(value).__name__} cannot be a criterion")


def is_json(term: object) -> bool:
    """Whether a term is JSON, so that what is compared with it must be JSON too."""
    if isinstance(term, BasicCriterion):
        return term.comparator in _JSON_RESULTS
    return type(term) is JSON or (isinstance(term, Field) and term.name in _JSON_COLUMNS)


def no_json_text(value: object) -> object:
    """Refuse a string that looks like JSON where JSON is expected; give back anything else."""
    if isinstance(value, str) and value.lstrip()[:1] in ("{", "["):
        raise InvalidInputError(
            f"{quote(value)} looks like the text of a JSON value: give the dict or list itself, or "
            "JSON(…) of it if this string is meant"
        )
    return value


def count_of(number: object, what: str) -> int:
    """A number of rows, checked."""
    if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number < 2**63:
        raise InvalidInputError(f"{what} must be a number of rows, not {quote(number)}")
    return number


def interval_text(interval: Interval) -> str:
    """A length of time as PostgreSQL reads it."""
    sign = "-" if interval.is_negative else ""
    parts = [(unit, getattr(interval, unit, 0)) for unit in _INTERVAL_UNITS]
    # PostgreSQL's intervals have no quarters.
    texts = [
        f"{sign}{number * 3} months" if unit == "quarters" else f"{sign}{number} {unit}"
        for unit, number in parts
        if number
    ]
    return " ".join(texts) or "0"
