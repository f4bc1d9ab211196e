"""Values that callers should not give, and every way to give one: found by signatures, not listed.

A public callable or a parameter that is new is covered by being there. Where a parameter without a
default has no ordinary value in :data:`ORDINARY`, making the list of calls fails and says so.
"""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import inspect
import math
import uuid
from collections.abc import Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import asyncpg
from pypika import Query, Table
from pypika.terms import JSON, LiteralValue, Parameter

import aiidadb
from aiidadb import nodes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["CANARY", "HOSTILE", "OPTIONS", "Array", "Hollow", "OwnError", "Way", "ways"]

CANARY: Final = "c4n4ry"
"""Stands in every text of the corpus: in a statement it may never stand."""

_DROP: Final = f"drop table db_dbnode -- {CANARY}"


class OwnError(Exception):
    """What an object of the caller's raises when it is asked: the caller's own."""


class _Angry:
    """An object none of whose methods works."""

    def _fail(self, *_: object) -> Any:
        raise OwnError(CANARY)

    __repr__ = __str__ = __iter__ = __len__ = __bool__ = __fspath__ = _fail
    __eq__ = _fail
    __hash__ = object.__hash__

    @property
    def pk(self) -> int:
        raise OwnError(CANARY)


@dataclass(frozen=True)
class _WithPk:
    pk: Any


class Array:
    """What arrays of numpy do: a comparison gives another, and one is neither true nor false."""

    def __eq__(self, other: object) -> Any:
        return Array()

    __ne__ = __lt__ = __gt__ = __le__ = __ge__ = __eq__
    __hash__ = None  # type: ignore[assignment]

    def __bool__(self) -> bool:
        raise ValueError("the truth value of an array is ambiguous")

    def __repr__(self) -> str:
        return "Array()"


class _Sly(str):
    """A text that does not say what is in it."""

    def __contains__(self, part: object) -> bool:
        return False

    def encode(self, *_: object) -> bytes:
        return b""


class Hollow(dict[Any, Any]):
    """A dictionary whose values cannot be had."""

    def values(self) -> Any:
        return 5


class _Text(str):
    def __repr__(self) -> str:
        raise OwnError(CANARY)


class _Number(int):
    """A number that is written otherwise, as are members of an enumeration."""

    def __repr__(self) -> str:
        return CANARY


class _Choice(enum.Enum):
    ONE = 1


def _nested(depth: int, kind: type) -> Any:
    value: Any = kind()
    for _ in range(depth):
        value = [value] if kind is list else {"a": value}
    return value


def _endless() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


def _many(count: int) -> Any:
    criterion = nodes.id == 0
    for number in range(1, count):
        criterion |= nodes.id == number
    return criterion


# Created for each call: a call may use one up, or change it.
HOSTILE: Final[dict[str, Callable[[], Any]]] = {
    "none": lambda: None,
    "true": lambda: True,
    "zero": lambda: 0,
    "one": lambda: 1,
    "minus one": lambda: -1,
    "number of a subclass": lambda: _Number(1),
    "more than 32 bits": lambda: 2**31,
    "more than 64 bits": lambda: 2**63,
    "401 digits": lambda: 10**400,
    "-401 digits": lambda: -(10**400),
    "5001 digits": lambda: 10**5000,
    "half": lambda: 0.5,
    "1e308": lambda: 1e308,
    "nan": lambda: math.nan,
    "infinity": lambda: math.inf,
    "-infinity": lambda: -math.inf,
    "decimal": lambda: decimal.Decimal("1.5"),
    "decimal nan": lambda: decimal.Decimal("NaN"),
    "complex": lambda: 1j,
    "empty text": lambda: "",
    "text": lambda: CANARY,
    "quote": lambda: f"'; {_DROP}",
    "double quote": lambda: f'"; {_DROP}',
    "dollar quote": lambda: f"$$; {_DROP}",
    "comment": lambda: f"/* {CANARY}",
    "backslash": lambda: f"\\'; {_DROP}",
    "placeholder": lambda: f"$1 %s {{0}} :a {CANARY}",
    "nul": lambda: f"{CANARY}\0",
    "surrogate": lambda: f"{CANARY}\ud800",
    "byte that is not text": lambda: f"{CANARY}\udc80",  # as a system hands it over
    "control": lambda: f"{CANARY}\x1b[31m\r\n\t",
    "a megabyte": lambda: CANARY + "x" * 2**20,
    "a megabyte of quotes": lambda: CANARY + "'" * 2**20,
    "text of a subclass": lambda: _Text(CANARY),
    "text that hides a nul": lambda: _Sly(f"{CANARY}\0"),
    "json": lambda: '{"a": 1}',
    "dsn": lambda: f"postgresql://ada:{CANARY}@127.0.0.1:1/db",
    "broken dsn": lambda: f"postgresql://ada:{CANARY}@@127.0.0.1:x/db",
    "bytes": lambda: CANARY.encode(),
    "a megabyte of bytes": lambda: b"\xff" * 2**20,
    "empty list": list,
    "list of none": lambda: [None],
    "list of texts": lambda: [CANARY, f"'; {_DROP}"],
    "list of all sorts": lambda: [1, CANARY, None, 2.5, [1]],
    "long list": lambda: list(range(100_000)),
    "list in itself": _endless,
    "list 250 deep": lambda: _nested(250, list),
    "list 5000 deep": lambda: _nested(5000, list),
    "empty dict": dict,
    "dict without values": lambda: Hollow(a=1),
    "dict": lambda: {CANARY: f"'; {_DROP}"},
    "dict with a number for a key": lambda: {1: 2},
    "dict 250 deep": lambda: _nested(250, dict),
    "dict 5000 deep": lambda: _nested(5000, dict),
    "set": lambda: {1, 2},
    "tuple": lambda: (1, CANARY),
    "range": lambda: range(3),
    "generator": lambda: (number for number in range(3)),
    "object": object,
    "array": Array,
    "list of arrays": lambda: [Array()],
    "angry object": _Angry,
    "object with a text for a pk": lambda: _WithPk(CANARY),
    "object without a pk yet": lambda: _WithPk(None),
    "class": lambda: dict,
    "function": lambda: len,
    "function of anything": lambda: lambda *_, **__: None,
    "exception": lambda: ValueError(CANARY),
    "enumeration": lambda: _Choice.ONE,
    "date": lambda: datetime.date(2024, 1, 1),
    "time without a zone": lambda: datetime.datetime(2024, 1, 1),
    "uuid": lambda: uuid.UUID(int=1),
    "path": lambda: Path(f"/{CANARY}/nowhere"),
    "long path": lambda: "/" + "y/" * 5000,
    "device": lambda: "/dev/zero",
    "criterion": lambda: nodes.label == f"'; {_DROP}",
    "criterion on nul": lambda: nodes.field("a\0b") == 1,
    "criterion on another table": lambda: Table("pg_authid").field("rolname") == CANARY,
    "criterion 5000 deep": lambda: _many(5000),
    "literal": lambda: LiteralValue("1 = 1; select 1"),
    "parameter": lambda: Parameter("$1"),
    "json term": lambda: JSON({CANARY: object()}),
    "query": lambda: Query.from_(nodes).select(nodes.id).where(nodes.label == CANARY),
    "query that deletes": lambda: Query.from_(nodes).delete(),
    "query of nothing": lambda: Query.from_(nodes),
    "query of no table": lambda: Query.from_(CANARY).select("id"),
    "table": lambda: nodes,
    "profile": lambda: aiidadb.Profile("main", host="127.0.0.1", port=1, password=CANARY),
}
"""By name, what makes one."""


@dataclass(frozen=True)
class Way:
    """One way to give a value: a parameter of a public callable.

    Attributes:
        name: Such as ``Backend.preview_deletion(pks)``.
        owner: The class that the callable is a method of; None for a function.
        callable: Its name.
        parameter: The parameter's name; of one that takes any name, the name it is given.
        arguments: What the parameters have that must be given something.
    """

    name: str
    owner: type | None
    callable: str
    parameter: inspect.Parameter
    keyword: str
    arguments: dict[str, Any]

    @property
    def function(self) -> str:
        """What is called, as ``Backend.preview_deletion``."""
        return f"{self.owner.__name__}.{self.callable}" if self.owner else self.callable

    def bind(self, function: Callable[..., Any], value: Any, ordinary: dict[str, Any]) -> Any:
        """Call it with the value."""
        named = {**{name: ordinary.get(name, one) for name, one in self.arguments.items()}}
        if self.parameter.kind is inspect.Parameter.VAR_POSITIONAL:
            return function(*named.values(), value)
        if self.parameter.kind is inspect.Parameter.POSITIONAL_ONLY:
            return function(value, **named)
        return function(**{**named, self.keyword: value})


OPTIONS: Final = sorted(
    {
        name
        for call in (asyncpg.create_pool, asyncpg.connect)
        for name in inspect.signature(call).parameters
    }
    - {"connect_kwargs"}
    | {"max_long", "no_such_option", "a'b", "x" * 2**20}
)
"""What may stand for ``**options``."""

_LOOKUPS: Final = ("id", "uuid", "label", "ctime", "attributes", "user_id", "a'b", "x" * 2**20)

# An ordinary value of each parameter that must be given one.
ORDINARY: Final[dict[str, Any]] = {
    "dictionary": None,
    "direction": "incoming",
    "dsn": "postgresql:///db",
    "filters": {},
    "group": "hostile",
    "key": "hostile",
    "kinds": [],
    "limit": 1,
    "line": "main",
    "mapping": {},
    "name": "main",
    "node_pks": [1],
    "number": 2,
    "offset": 1,
    "order": {"n": "id"},
    "pks": [1],
    "profile": None,  # the test's own
    "projections": "id",
    "query": None,  # made by the test
    "schema_generation_code": "1",
    "sites": [],
    "table": "db_dbnode",
    "tag": "n",
    "term": nodes.id == 1,
    "text": "main_0002",
    "value": 1,
    "version": "main_0002",
}

# What callers get from open_backend() alone, and from its calls.
_NOT_MADE_BY_CALLERS: Final = frozenset(
    {
        "Backend",
        "BackendOpening",
        "BandsListing",
        "QueryBuilder",
        "QueryManager",
        "SchemaManager",
        "SettingsManager",
    }
)


def _callables() -> Iterator[tuple[type | None, str, Callable[..., Any]]]:
    for name in aiidadb.__all__:
        public = getattr(aiidadb, name)
        if inspect.isfunction(public):
            yield None, name, public
        elif inspect.isclass(public) and not issubclass(public, BaseException | dict):
            if _is_made_by_callers(name, public):
                yield None, name, public
            for attribute in sorted(vars(public)):
                member = inspect.getattr_static(public, attribute)
                bare = getattr(member, "__func__", member)
                if issubclass(public, Coroutine) and hasattr(Coroutine, attribute):
                    continue  # that is for event loops to call
                if not attribute.startswith("_") and inspect.isfunction(bare):
                    yield public, attribute, getattr(public, attribute)


def _is_made_by_callers(name: str, public: type) -> bool:
    if name in _NOT_MADE_BY_CALLERS or getattr(public, "_is_protocol", False):
        return False
    # Answers are data classes that nothing else makes.
    other_ways = any(isinstance(one, classmethod) for one in vars(public).values())
    return other_ways or not dataclasses.is_dataclass(public)


def _ordinary(function: str, parameter: str) -> Any:
    if parameter not in ORDINARY:
        raise AssertionError(f"give ORDINARY a value for {parameter}, as {function}() needs one")
    return ORDINARY[parameter]


def ways() -> list[Way]:
    """Every parameter of every public callable."""
    found: list[Way] = []
    for owner, name, function in _callables():
        parameters = [
            one for one in inspect.signature(function).parameters.values() if one.name != "self"
        ]
        required = {
            one.name: one
            for one in parameters
            if one.default is one.empty and one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)
        }
        for parameter in parameters:
            keywords: tuple[str, ...] = (parameter.name,)
            if parameter.kind is parameter.VAR_KEYWORD:
                keywords = tuple(OPTIONS) if parameter.name == "options" else _LOOKUPS
            for keyword in keywords:
                where = f"{owner.__name__}." if owner else ""
                others = {one: _ordinary(name, one) for one in required if one != parameter.name}
                found.append(
                    Way(f"{where}{name}({keyword[:40]})", owner, name, parameter, keyword, others)
                )
    return found
