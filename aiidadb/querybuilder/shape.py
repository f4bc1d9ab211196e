"""What two queries share that differ in the values of their filters alone.

A statement is compiled once per shape. That of a query is found in one pass over its filters, with
the rest of the dictionary written out by ``marshal``, which is faster than inspecting it.
"""

from __future__ import annotations

import copy
import datetime
import marshal
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from aiidadb.exceptions import InvalidInputError, InvalidTypeError
from aiidadb.jsonvalue import decode_json, encode_json, with_lists
from aiidadb.messages import quote
from aiidadb.querybuilder.filter_tree import (
    COMBINATIONS,
    MIXED,
    NAIVE_TIME,
    NESTED,
    Each,
    Mark,
    of_filter,
)

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Mapping

    from aiidadb.querybuilder.dictionary import QueryDict
    from aiidadb.querybuilder.filter_tree import Kind, Operator, Tree

__all__ = [
    "DEEPEST",
    "MAX_BYTES",
    "MAX_DEPTH",
    "Shape",
    "shape_of",
]

MAX_DEPTH: Final = 64
MAX_BYTES: Final = 1_048_576
"""How deep a dictionary may be nested, and how large it may be, where the caller does not say."""

DEEPEST: Final = 300
"""How deep a caller may allow it to be."""

_OF_TYPES: Final = frozenset({"node_type", "process_type", "type_string"})
_UNCHANGED: Final = frozenset({str, int, float, bool, type(None)})
_IMMUTABLE: Final = frozenset({datetime.datetime, datetime.date})
_JSON: Final = frozenset({dict, list})
_COLLECTIONS: Final = (list, tuple, set, frozenset, dict, str)


class Shape(NamedTuple):
    """A query, taken apart.

    Attributes:
        rest: The dictionary without filters, limit and offset, as ``marshal`` writes it.
        filters: The filters by tag, without values.
        bounds: Whether there is a limit, and an offset.
        values: The values of the filters, equal ones once; behind them limit and offset.
        is_exact: Whether :meth:`dictionary` gives what was taken apart, and not lists in place
            of tuples and the like.
    """

    rest: bytes
    filters: tuple[tuple[str, Tree], ...]
    bounds: tuple[bool, bool]
    values: list[Any]
    is_exact: bool = True

    @property
    def key(self) -> Hashable:
        """What all queries of this shape have in common, and no others."""
        return self[:3]

    def dictionary(self) -> QueryDict:
        """The query in one piece again, as a copy."""
        query = self.without_filters()
        query["filters"] = {tag: _filters(tree, self.values) for tag, tree in self.filters}
        return query

    def without_filters(self) -> QueryDict:
        """The query as far as all of its shape have it in common, as a copy."""
        path, project, project_map, order_by, distinct = marshal.loads(self.rest)  # noqa: S302 - shape_of() wrote it
        return {
            "path": path,
            "filters": {},
            "project": project,
            "project_map": project_map,
            "order_by": order_by,
            "limit": self.values[-2],
            "offset": self.values[-1],
            "distinct": distinct,
        }


def shape_of(query: QueryDict, *, max_depth: int = MAX_DEPTH, max_bytes: int = MAX_BYTES) -> Shape:
    """Take a query apart.

    Args:
        query: In AiiDA 2.x's form, as far as its keys and its path go.
        max_depth: How deep it may be nested.
        max_bytes: How large it may be, about as JSON text.

    Returns:
        Its shape, which holds nothing of the dictionary that can change.

    Raises:
        InvalidInputError: It is too deep or too large, or a value is not JSON where it must be.
        InvalidTypeError: It holds something that cannot be in a query.
    """
    parts = (
        query["path"],
        query["project"],
        query["project_map"],
        query["order_by"],
        query["distinct"],
    )
    try:
        # Of version 2: newer ones write a text that was written before as a reference to it.
        rest = marshal.dumps(parts, 2)
    except ValueError:
        raise InvalidTypeError(
            "the query holds something that is neither a text, a number, nor made of these"
        ) from None
    walk = _Walk(max_depth)
    filters = query["filters"]
    if type(filters) is not dict:
        raise InvalidTypeError(f"filters must be a dictionary of tags, not {quote(filters)}")
    trees = tuple([(tag, walk.tree(own, 2)) for tag, own in filters.items()])
    if len(rest) + walk.size > max_bytes:
        raise InvalidInputError(
            f"the query is larger than {max_bytes} bytes: give max_bytes if that is intended"
        )
    limit, offset = query["limit"], query["offset"]
    values = walk.values
    values += (limit, offset)
    return Shape(rest, trees, (limit is not None, offset is not None), values, walk.is_exact)


class _Walk:
    """Goes through filters, and takes out the values."""

    __slots__ = (
        "_collections",
        "_is_of_types",
        "_key",
        "_max_depth",
        "_places",
        "is_exact",
        "size",
        "values",
    )

    def __init__(self, max_depth: int) -> None:
        self._max_depth = max_depth
        self._places: dict[tuple[object, object, bool], int] = {}
        # By type, kind and length: the place of the only one, or the places by what is in them.
        self._collections: dict[object, int | dict[object, int]] = {}
        # What AiiDA itself asks of types is not one with an equal value of the caller's: a
        # statement that depends on whether the caller's pattern is AiiDA's `%` would not belong to
        # one shape.
        self._is_of_types = False
        self._key = ""
        self.values: list[Any] = []
        self.size = 0
        self.is_exact = True

    def tree(self, filters: Mapping[str, Any], depth: int) -> Tree:
        if not isinstance(filters, dict):
            raise InvalidTypeError(f"filters must be a dictionary, not {quote(filters)}")
        if depth > self._max_depth:
            raise self._too_deep()
        found: list[tuple[str, tuple[Any, ...]]] = []
        for key, what in filters.items():
            if type(key) is not str:
                raise InvalidTypeError(f"a filter is on the name of a field, not on {quote(key)}")
            self.size += len(key) + 8
            self._key = key
            self._is_of_types = key in _OF_TYPES
            if key in COMBINATIONS:
                each = self._listed(key, what)
                found.append((key, tuple([self.tree(one, depth + 2) for one in each])))
            elif isinstance(what, dict):
                found.append((key, self._operators(what, depth + 1)))
            else:
                found.append((key, (self._leaf(None, what, depth),)))
        return tuple(found)

    def _operators(self, operators: Mapping[str, Any], depth: int) -> tuple[Operator, ...]:
        if depth > self._max_depth:
            raise self._too_deep()
        found: list[Operator] = []
        for operator, value in operators.items():
            if type(operator) is not str:
                raise InvalidTypeError(f"an operator is a text such as '==', not {quote(operator)}")
            self.size += len(operator) + 8
            if operator.lstrip("!~") in ("and", "or"):
                each = self._listed(operator, value)
                further = tuple([self._nested(one, depth + 2) for one in each])
                found.append((operator, NESTED, further))
            else:
                found.append(self._leaf(operator, value, depth))
        return tuple(found)

    def _nested(self, operators: object, depth: int) -> tuple[Operator, ...]:
        if not isinstance(operators, dict):
            raise InvalidTypeError(f"operators are a dictionary, not {quote(operators)}")
        return self._operators(operators, depth)

    def _leaf(self, operator: str | None, value: Any, depth: int) -> Operator:
        kind: Kind = type(value)
        self.size += len(value) if kind is str else 8
        if operator is not None and operator.lstrip("!~") == "in":
            return operator, *self._collection(value)
        if kind in _JSON:
            self._measure(value, depth + 1)
            return operator, kind, self._place(kind, self._encoded(value))
        if isinstance(value, dict | list):  # of a class of its own
            return self._leaf(operator, _as_plain(value), depth)
        if kind is tuple:
            self._measure(value, depth + 1)
        if kind not in _UNCHANGED:
            if isinstance(value, datetime.datetime) and value.tzinfo is None:
                kind = NAIVE_TIME
            elif kind not in _IMMUTABLE:
                value = _copy_of(value)
        return operator, kind, self._place(kind, value)

    def _collection(self, value: Any) -> tuple[Kind, int]:
        if type(value) is str:
            return Each(str), self._place(Each, value)
        if not isinstance(value, _COLLECTIONS):
            value = self._listed("in", value)
        kinds = set(map(type, value))
        one = next(iter(kinds)) if len(kinds) == 1 else MIXED if kinds else None
        self.size += sum(map(len, value)) if one is str else 8 * len(value)
        if one in _JSON:
            self.is_exact = self.is_exact and type(value) is list
            self._measure(list(value), 3)
            value = [self._encoded(item) for item in value]
        elif type(value) is list:
            value = value.copy()
        else:
            value = _copy_of(value)
        if one is datetime.datetime and any(time.tzinfo is None for time in value):
            one = NAIVE_TIME if all(time.tzinfo is None for time in value) else MIXED
        place = len(self.values) if isinstance(one, Mark) else self._place_among_alike(one, value)
        if place == len(self.values):
            self.values.append(value)
        return Each(one), place

    def _place_among_alike(self, kind: type | None, value: Any) -> int:
        """The place of an equal collection, or the next one.

        As there may be very many items, no collection is hashed before there is another of its
        type and length; as there may be very many collections, they are not compared one by one.
        """
        place = len(self.values)
        alike = type(value), kind, len(value)
        known = self._collections.setdefault(alike, place)
        try:
            if isinstance(known, int):
                if known == place:
                    return place
                known = self._collections[alike] = {_content(self.values[known]): known}
            return known.setdefault(_content(value), place)
        except TypeError:  # an item has no hash
            return place

    def _listed(self, operator: str, given: Any) -> Iterable[Any]:
        """The items of what :meth:`Shape.dictionary` gives as a list."""
        if type(given) is not list:
            self.is_exact = False
        return _as_list(operator, given)

    def _encoded(self, value: Any) -> str:
        try:
            return encode_json(value if self.is_exact else with_lists(value))
        except InvalidInputError as error:
            raise of_filter(self._key, error) from None

    def _place(self, kind: object, value: Any) -> int:
        values = self.values
        try:
            place = self._places.setdefault((kind, value, self._is_of_types), len(values))
        except TypeError:  # it has no hash
            place = len(values)
        if place == len(values):
            values.append(value)
        return place

    def _measure(self, value: Any, depth: int) -> None:
        """Refuse a JSON value that is nested too deep, and count its size."""
        level = [value]
        while level:
            if depth > self._max_depth:
                raise self._too_deep()
            self.size += 4 * len(level)
            further: list[Any] = []
            for one in level:
                if isinstance(one, dict):
                    further += one.values()
                    self.size += sum(len(key) for key in one if isinstance(key, str))
                elif isinstance(one, list | tuple):
                    further += one
                    if type(one) is tuple:
                        self.is_exact = False
                elif isinstance(one, str):
                    self.size += len(one)
            level = further
            depth += 1

    def _too_deep(self) -> InvalidInputError:
        return InvalidInputError(
            f"the query is nested deeper than {self._max_depth} levels: give max_depth if that "
            "is intended"
        )


def _as_list(operator: str, given: Any) -> Iterable[Any]:
    if isinstance(given, list | tuple):
        return given
    is_iterator = hasattr(given, "__next__")  # which can be gone through only once
    is_iterable = hasattr(given, "__iter__") and not isinstance(given, type)
    if operator == "in" and is_iterable and not is_iterator:
        return list(given)
    raise InvalidTypeError(f"the value of {quote(operator)} must be a list, not {quote(given)}")


def _as_plain(value: Any) -> Any:
    return dict(value) if isinstance(value, dict) else list(value)


def _content(value: Any) -> Hashable:
    """What is in a collection, as it can be looked up."""
    if isinstance(value, set | frozenset):
        return frozenset(value)
    return tuple(value.items() if isinstance(value, dict) else value)


def _copy_of(value: Any) -> Any:
    try:
        return copy.deepcopy(value)
    except Exception:  # whatever the object's own methods raise
        raise InvalidTypeError(f"{quote(value)} cannot be the value of a filter") from None


def _filters(tree: Tree, values: list[Any]) -> dict[str, Any]:
    """The filters of a tree, with their values."""
    found: dict[str, Any] = {}
    for key, parts in tree:
        if key in COMBINATIONS:
            found[key] = [_filters(one, values) for one in parts]
        elif parts and parts[0][0] is None:
            found[key] = _value(parts[0], values)
        else:
            found[key] = _operators(parts, values)
    return found


def _operators(operators: Iterable[Operator], values: list[Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for operator in operators:
        name, kind, place = operator
        assert name is not None
        if kind is NESTED:
            found[name] = [_operators(one, values) for one in place]
        else:
            found[name] = _value(operator, values)
    return found


def _value(operator: Operator, values: list[Any]) -> Any:
    _, kind, place = operator
    value = values[place]
    if isinstance(kind, Each):
        return [decode_json(one) for one in value] if kind.kind in _JSON else copy.copy(value)
    return decode_json(value) if kind in _JSON else value
