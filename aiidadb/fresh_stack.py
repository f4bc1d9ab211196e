"""Calls that go as deep as the values they are given, whatever the depth of the caller's stack."""

from __future__ import annotations

import contextvars
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["on_fresh_stack"]

P = ParamSpec("P")
T = TypeVar("T")


def on_fresh_stack(function: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
    """Call a function, and once more where the stack is not deep enough for it here.

    Python's limit counts the frames of each thread, so that a thread of its own has all of them.

    Args:
        function: Something that may be called twice.
        arguments: What to call it with.
        named: What to call it with, by name.

    Raises:
        RecursionError: A whole stack is not deep enough.
        Exception: What the function raises.
    """
    try:
        return function(*arguments, **named)
    except RecursionError:
        pass  # out of the handler, so that a second error does not carry a thousand frames along
    context = contextvars.copy_context()

    def call() -> T:
        return context.run(function, *arguments, **named)

    with ThreadPoolExecutor(max_workers=1) as threads:
        return threads.submit(call).result()
