"""Turns pypika criteria and queries into SQL text and parameters: no value stays in the text.

Node types are understood in either of AiiDA's spellings, ``data.structure.StructureData.`` (0.x and
1.x) and ``data.core.structure.StructureData.`` (2.x), whichever the database has.
"""

from __future__ import annotations

import copy
import datetime
import decimal
import enum
import re
import uuid
from typing import TYPE_CHECKING, Any

from pypika.terms import (
    JSON,
    BasicCriterion,
    ContainsCriterion,
    Field,
    Node,
    NullValue,
    Parameter,
    Tuple,
    ValueWrapper,
)

from aiidadb.exceptions import InvalidInputError
from aiidadb.jsonvalue import JsonValue, encode_json, require_text
from aiidadb.tables import NODE_COLUMNS, nodes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["all_of", "bind", "translate_node_type"]

# The entry points of `aiida.data` that got the prefix `core.` in 1.0.49: AiiDA's own, not plugins'.
_CORE_DATA = (
    "array|base|bool|cif|code|dict|float|folder|int|list|numeric|orbital|remote|singlefile|str"
    "|structure|upf"
)
_OLD_NODE_TYPE = re.compile(rf"data\.(?=(?:{_CORE_DATA})\.)")

_CASTS: Mapping[type, str] = {
    bool: "boolean",
    float: "float8",
    decimal.Decimal: "numeric",
    datetime.datetime: "timestamptz",
    datetime.date: "date",
    datetime.timedelta: "interval",
    uuid.UUID: "uuid",
}


def bind(
    term: Node, *, first: int = 1, core_prefix: bool | None = None
) -> tuple[str, list[object]]:
    """Render a criterion or query with every value as a parameter.

    Args:
        term: A pypika criterion, term or query builder; it is left as it was.
        first: The number of the first parameter.
        core_prefix: How the database spells AiiDA's own node types, True for ``data.core.…``;
            what is compared with ``node_type`` is spelled like that. None: leave it.

    Returns:
        SQL text with ``$n`` for the values, and the values.

    Raises:
        InvalidInputError: A value that PostgreSQL cannot hold, or of a type unknown here.
    """
    if not isinstance(term, Node):
        raise InvalidInputError(f"not a pypika criterion: {term!r}")
    binder = _Binder(first, core_prefix)
    bound = binder.bind(copy.deepcopy(term))
    return bound.get_sql(quote_char='"', with_namespace=True), binder.values


def all_of(criteria: Sequence[Node], lookups: Mapping[str, object]) -> list[Node]:
    """Criteria on nodes and equalities on their columns, as one list of criteria.

    Args:
        criteria: pypika criteria on :data:`aiidadb.tables.nodes`.
        lookups: Column name to the value that it must have; None asks for null. ``pk`` is ``id``.

    Raises:
        InvalidInputError: Not a criterion, or no column of nodes.
    """
    for criterion in criteria:
        if not isinstance(criterion, Node):
            raise InvalidInputError(
                f"{criterion!r} is no pypika criterion: write for instance "
                "nodes.node_type == 'data.core.structure.StructureData.'"
            )
    found = list(criteria)
    for name, value in lookups.items():
        column = "id" if name == "pk" else name
        if column not in NODE_COLUMNS:
            raise InvalidInputError(
                f"nodes have no column {name!r}: choose among {', '.join(sorted(NODE_COLUMNS))}"
            )
        field = nodes.field(column)
        found.append(field.isnull() if value is None else field == value)
    return found


def translate_node_type(node_type: str, *, core_prefix: bool) -> str:
    """Spell a node type, or a pattern of one, as a database of the other line does.

    Only AiiDA's own data types changed, in step 0049 of its migrations; a plugin's stay.
    """
    if core_prefix:
        return _OLD_NODE_TYPE.sub("data.core.", node_type)
    return node_type.replace("data.core.", "data.", 1)


class _Binder:
    """Replaces the values inside a pypika term by parameters, and remembers them."""

    def __init__(self, first: int, core_prefix: bool | None) -> None:
        self.values: list[object] = []
        self._first = first
        self._core_prefix = core_prefix
        self._seen: set[int] = set()

    def bind(self, part: Any) -> Any:
        """Bind a part in place where possible; what it returns takes the part's place."""
        if isinstance(part, list | tuple):
            return type(part)(self.bind(item) for item in part)
        if isinstance(part, dict):
            return {key: self.bind(item) for key, item in part.items()}
        if type(part) is ValueWrapper:
            return self._parameter(part.value)
        if type(part) is JSON:
            return self._json_parameter(part.value)
        if isinstance(part, Node) and id(part) not in self._seen:
            self._seen.add(id(part))
            self._bind_inside(part)
        return part

    def _bind_inside(self, part: Node) -> None:
        if isinstance(part, Field | NullValue):
            return
        if self._core_prefix is not None:
            self._spell_node_types(part)
        if isinstance(part, ContainsCriterion) and (among := _plain_values(part.container)):
            part.container = self._array_parameter(among)
        for name, child in list(vars(part).items()):
            if isinstance(child, Node | list | tuple | dict):
                setattr(part, name, self.bind(child))

    def _spell_node_types(self, part: Node) -> None:
        if isinstance(part, BasicCriterion):
            for one, other in ((part.left, part.right), (part.right, part.left)):
                if _is_node_type(one) and type(other) is ValueWrapper:
                    self._spell(other)
        elif isinstance(part, ContainsCriterion) and _is_node_type(part.term):
            for value in _plain_values(part.container):
                self._spell(value)

    def _spell(self, wrapper: ValueWrapper) -> None:
        if isinstance(wrapper.value, str):
            wrapper.value = translate_node_type(wrapper.value, core_prefix=bool(self._core_prefix))

    def _parameter(self, value: object) -> Node:
        value = value.value if isinstance(value, enum.Enum) else value
        if isinstance(value, Node):
            bound: Node = self.bind(value)
            return bound
        if value is None:
            return NullValue()
        cast = _cast_of(value)
        return self._placeholder(value, cast)

    def _json_parameter(self, value: JsonValue) -> Node:
        # As text first, because a jsonb parameter would be encoded a second time.
        return self._placeholder(encode_json(value), "text", "::jsonb")

    def _array_parameter(self, wrappers: list[ValueWrapper]) -> Parameter:
        """Many values are one parameter: a list of placeholders ends at 32,767."""
        values = [wrapper.value for wrapper in wrappers]
        kinds = {_cast_of(value) for value in values}
        if kinds == {"int", "bigint"}:
            kinds = {"bigint"}
        if len(kinds) != 1 or None in values:
            raise InvalidInputError("the values of an 'isin' must be of one type, and not None")
        kind = kinds.pop() or "text"
        self.values.append(values)
        # `in (select …)` keeps the meaning of `not in` too.
        return Parameter(f"(select unnest(${self._first + len(self.values) - 1}::{kind}[]))")

    def _placeholder(self, value: object, cast: str | None, more: str = "") -> Node:
        self.values.append(value)
        typed = f"::{cast}" if cast else ""
        return Parameter(f"${self._first + len(self.values) - 1}{typed}{more}")


def _cast_of(value: object) -> str | None:
    """PostgreSQL's type for a value; None for text, whose type the context gives.

    Raises:
        InvalidInputError: PostgreSQL cannot hold it, or its type is unknown here.
    """
    if isinstance(value, str):
        require_text(value, f"the text {value!r}")
        return None
    if isinstance(value, int) and not isinstance(value, bool):
        if not -(2**63) <= value < 2**63:
            raise InvalidInputError(f"{value} does not fit into 64 bits")
        return "int" if -(2**31) <= value < 2**31 else "bigint"
    if isinstance(value, datetime.datetime) and value.tzinfo is None:
        raise InvalidInputError(f"{value!r} has no time zone: give it one")
    for kind, cast in _CASTS.items():
        if isinstance(value, kind):
            return cast
    raise InvalidInputError(f"a value of type {type(value).__name__} cannot be a criterion")


def _plain_values(container: object) -> list[ValueWrapper]:
    """What an ``isin`` lists, where all of it are plain values."""
    values = container.values if isinstance(container, Tuple) else []
    plain = [value for value in values if isinstance(value, ValueWrapper)]
    return plain if len(plain) == len(values) else []


def _is_node_type(term: object) -> bool:
    return isinstance(term, Field) and term.name == "node_type"
