"""The parts of a query in the forms that AiiDA takes: filters, projections, orders, numbers."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, Final

from aiidadb.exceptions import InvalidInputError, InvalidTypeError
from aiidadb.messages import quote
from aiidadb.querybuilder.shape import DEEPEST

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "as_text",
    "is_number_of_rows",
    "optional_text",
    "read_filters",
    "read_number_of_rows",
    "read_orders",
    "read_projections",
]

_IMMUTABLE: Final = frozenset({str, int, float, bool, type(None)})


def read_filters(given: object) -> dict[str, Any]:
    """Filters as a dictionary, with what aiida-core's own objects stand for put in their place.

    Raises:
        InvalidInputError: They are nested deeper than any caller can allow.
        InvalidTypeError: They are not filters, or hold what cannot be copied.
    """
    if not isinstance(given, dict):
        as_filter = getattr(given, "as_filter", None)
        if callable(as_filter):  # a boolean field of aiida-core's
            given = as_filter()
        items = getattr(given, "items", None)
        if not callable(items) or isinstance(given, type):
            raise InvalidTypeError(f"filters must be a dictionary, not {quote(given)}")
        given = dict(items())
    found: dict[str, Any] = {}
    for key, value in given.items():
        name = getattr(key, "backend_key", key)
        if not isinstance(name, str):
            raise InvalidTypeError(f"a filter is on the name of a field, not on {quote(key)}")
        name = str.__str__(name)
        if _is_entity(value):
            found[f"{name}_id"] = value.pk
        else:
            found[name] = _copied(value)
    return found


def _copied(value: Any, depth: int = 0) -> Any:
    """A value that does not change with what the caller does to it later."""
    kind = type(value)
    if kind in _IMMUTABLE:
        return value
    if depth > DEEPEST:
        raise InvalidInputError(f"a filter is nested deeper than {DEEPEST} levels")
    if isinstance(value, dict):
        return {_plain(key): _copied(one, depth + 1) for key, one in value.items()}
    if isinstance(value, list):
        return [one if type(one) in _IMMUTABLE else _copied(one, depth + 1) for one in value]
    try:
        return copy.deepcopy(value)
    except Exception:  # whatever the object's own methods raise
        raise InvalidTypeError(f"{quote(value)} cannot be the value of a filter") from None


def _plain(key: Any) -> Any:
    """A key, as a plain text where it is one of a class of its own."""
    return str.__str__(key) if isinstance(key, str) else key


def _is_entity(value: object) -> bool:
    kind = type(value)
    return kind.__module__.startswith("aiida.") and any(
        base.__name__ == "Entity" for base in kind.__mro__
    )


def read_projections(given: object) -> tuple[list[dict[str, dict[str, str]]], dict[str, str]]:
    """Projections in AiiDA's form, and what fields are called in ``dict()`` instead.

    Raises:
        InvalidInputError: Something is not a projection.
        InvalidTypeError: Something in one is not a text.
    """
    names: dict[str, str] = {}
    found = []
    for one in given if isinstance(given, list | tuple) else [given]:
        if isinstance(one, dict):
            items: Iterable[tuple[object, object]] = one.items()
        elif isinstance(one, str) or hasattr(one, "backend_key"):
            items = [(one, {})]
        elif type(one).__name__ == "QbFields":
            fields: Any = one
            items = [(fields[name], {}) for name in fields]
        else:
            raise InvalidInputError(f"{quote(one)} is not the name of a field, or a dictionary")
        found.append({_field(field, names): _options(spec) for field, spec in items})
    return found, names


def _field(given: object, names: dict[str, str]) -> str:
    field = getattr(given, "backend_key", given)
    if not isinstance(field, str):
        raise InvalidTypeError(f"a field is named by a text, not by {quote(given)}")
    field = str.__str__(field)
    name = getattr(given, "key", field)
    if isinstance(name, str) and name != field:
        names[field] = name
    return field


def _options(spec: object) -> dict[str, str]:
    if not isinstance(spec, dict):
        raise InvalidTypeError(
            f"the options of a projection are a dictionary, such as {{'cast': 'f'}}, not "
            f"{quote(spec)}"
        )
    for key, value in spec.items():
        if key not in ("func", "cast"):
            raise InvalidInputError(f"a projection takes 'cast' and 'func', not {quote(key)}")
        as_text(value, f"{key} of a projection")
    return {str.__str__(key): str.__str__(value) for key, value in spec.items()}


def read_orders(fields: object) -> list[dict[str, dict[str, str]]]:
    """What the rows of one vertex are ordered by, in AiiDA's form.

    Raises:
        InvalidInputError: Something is not a field or an order.
        InvalidTypeError: Something in one is not a text.
    """
    found = []
    for one in fields if isinstance(fields, list | tuple) else [fields]:
        field = getattr(one, "backend_key", one)
        if isinstance(field, str):
            found.append({str.__str__(field): {"order": "asc"}})
        elif isinstance(one, dict):
            found.append({_field(name, {}): _order(spec) for name, spec in one.items()})
        else:
            raise InvalidInputError(f"rows cannot be ordered by {quote(one)}: name a field")
    return found


def _order(spec: object) -> dict[str, str]:
    if isinstance(spec, str):
        spec = {"order": spec}
    if not isinstance(spec, dict):
        raise InvalidTypeError(f"an order is 'asc' or 'desc', or a dictionary, not {quote(spec)}")
    for key, value in spec.items():
        if key not in ("order", "cast"):
            raise InvalidInputError(f"an order takes 'order' and 'cast', not {quote(key)}")
        if key != "cast" or value is not None:
            as_text(value, f"{key} of an order")
    found = {_plain(key): _plain(value) for key, value in spec.items()}
    found.setdefault("order", "asc")
    if found["order"] not in ("asc", "desc"):
        raise InvalidInputError(f"an order is 'asc' or 'desc', not {quote(found['order'])}")
    return found


def read_number_of_rows(number: object, what: str) -> int | None:
    """A limit or an offset.

    Args:
        number: It; None: there is none.
        what: What it is called in messages.

    Raises:
        InvalidInputError: It is negative, or beyond 64 bits.
        InvalidTypeError: It is not an integer.
    """
    if number is not None and not isinstance(number, int):
        raise InvalidTypeError(f"{what} must be a number of rows, or None, not {quote(number)}")
    if not is_number_of_rows(number):
        raise InvalidInputError(f"{what} must be a number of rows, not {quote(number)}")
    return number


def is_number_of_rows(number: object) -> bool:
    """Whether it is a limit or an offset."""
    return number is None or (isinstance(number, int) and 0 <= number < 2**63)


def as_text(value: object, what: str) -> str:
    """A text, as a plain one.

    Raises:
        InvalidTypeError: It is not a text.
    """
    if not isinstance(value, str):
        raise InvalidTypeError(f"{what} must be a text, not {quote(value)}")
    return str.__str__(value)


def optional_text(value: object, what: str) -> str | None:
    """The same, or None; takes and raises what :func:`as_text` does."""
    return None if value is None else as_text(value, what)
