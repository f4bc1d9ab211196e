"""Objects of frozen dataclasses made quickly, for answers of many thousands of rows."""

from __future__ import annotations

from dataclasses import fields, make_dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["maker_of"]

T = TypeVar("T")


def maker_of(kind: type[T]) -> Callable[..., T]:
    """A function that makes objects of a class in a third of the time that the class takes.

    A frozen class sets each attribute by a call of ``object.__setattr__``. A class with the same
    slots that is not frozen sets them directly, and its objects can become those of the other.

    Args:
        kind: A frozen dataclass with slots, without a ``__post_init__``, which is not called.

    Returns:
        Takes the values of all fields, in their order.
    """
    return _maker_of(kind)  # type: ignore[arg-type]  # which takes no type for hashable


@cache
def _maker_of(kind: type[Any]) -> Callable[..., Any]:
    open_kind: Any = make_dataclass(
        kind.__name__, [(one.name, object) for one in fields(kind)], slots=True
    )

    def make(*values: object) -> Any:
        made = open_kind(*values)
        made.__class__ = kind
        return made

    return make
