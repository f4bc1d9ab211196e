"""How far a walk has to go, by the filters on its depth.

Without a bound, a walk would follow all ways to their ends, and the filter would then remove most
of them. What the filters say of the greatest depth is therefore also a condition inside the walk.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aiidadb.querybuilder.compiling.filters import ColumnField
from aiidadb.querybuilder.entities import WALK
from aiidadb.querybuilder.filter_tree import COMBINATIONS, NESTED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from aiidadb.querybuilder.compiling.parameters import Parameters
    from aiidadb.querybuilder.filter_tree import Operator, Tree

__all__ = ["bound_of_depth"]

_DEPTH: Final = "depth"

_BOUNDS: Final[Mapping[str, str]] = {"==": "<=", "<=": "<=", "<": "<", "!>": "<=", "!>=": "<"}
"""By operator, the comparison that a depth must pass for the walk to go on from there.

A way at that depth, or a longer one that begins with it, may then still pass the filter. Operators
that set no upper bound, such as ``>``, are absent. ``!>`` is a negated ``>``.
"""


def bound_of_depth(tree: Tree, depth: str, parameters: Parameters) -> str:
    """A condition that holds for every depth up to the greatest one that can pass the filters.

    It need not be exact, because the filters are applied to each row of the walk as well: where a
    filter is not plainly an upper bound, it is left out here.

    Args:
        tree: The filters of the way between ancestor and descendant.
        depth: SQL for a depth.
        parameters: Those of the statement.

    Returns:
        SQL; empty where there is no bound.

    Raises:
        InvalidInputError: The depth is compared with what it cannot be.
        InvalidTypeError: It is compared with a value of another type.
    """
    if not tree:
        return ""
    field = ColumnField(parameters, depth, WALK.column(_DEPTH), {})
    return _bound_of_filters(tree, field) or ""


def _bound_of_filters(tree: Tree, field: ColumnField) -> str | None:
    found = []
    for key, parts in tree:
        if key == _DEPTH:
            found.append(_bound_of_operators(parts, field))
        elif key in COMBINATIONS:
            found.append(_combined(key, parts, lambda one: _bound_of_filters(one, field)))
    return _every(found)


def _bound_of_operators(operators: Sequence[Operator], field: ColumnField) -> str | None:
    found = []
    for operator, kind, place in operators:
        given = "==" if operator is None else operator
        if kind is NESTED:
            found.append(_combined(given, place, lambda one: _bound_of_operators(one, field)))
        elif given == "in":
            found.append(field.any_of("<=", kind, place))
        elif sign := _BOUNDS.get(given.replace("~", "!")):
            found.append(field.condition(sign, kind, place, True))
    return _every(found)


def _combined(how: str, parts: Iterable[object], bound: Callable[..., str | None]) -> str | None:
    each = [bound(one) for one in parts if one]
    if how == "and":
        return _every(each)
    # With "or", one alternative without a bound lets the walk go on without end; a negated
    # combination is not plainly a bound.
    if how != "or" or not each or None in each:
        return None
    alternatives = [one for one in each if one]
    return alternatives[0] if len(each) == 1 else f"({' or '.join(alternatives)})"


def _every(conditions: Iterable[str | None]) -> str | None:
    return " and ".join(one for one in conditions if one) or None
