"""Generators that set context variables, without setting them for whoever iterates over them.

An asynchronous generator runs in the context of its caller, so that what it sets, and takes back
only at its end, holds for the caller's own code between two items as well.
"""

from __future__ import annotations

import contextvars
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Generator

__all__ = ["in_own_context"]

T = TypeVar("T")


async def in_own_context(items: AsyncGenerator[T, None]) -> AsyncGenerator[T, None]:
    """What a generator gives, with the generator in a copy of the caller's context.

    It runs in the caller's task, so that it is cancelled as if it were iterated over directly. It
    is closed when this is.

    Args:
        items: The generator; nobody else iterates over it.
    """
    context = contextvars.copy_context()
    try:
        while True:
            try:
                item = await _Step(anext(items), context)
            except StopAsyncIteration:
                return
            yield item
    finally:
        await _Step(items.aclose(), context)


class _Step(Generic[T]):
    """Something to wait for, each piece of which runs in a context.

    Args:
        work: To wait for.
        context: The context.
    """

    __slots__ = ("_context", "_work")

    def __init__(self, work: Awaitable[T], context: contextvars.Context) -> None:
        self._work = work
        self._context = context

    def __await__(self) -> Generator[Any, Any, T]:
        pieces: Any = self._work.__await__()
        piece = partial(pieces.send, None)
        while True:
            try:
                awaited = self._context.run(piece)
            except StopIteration as end:
                outcome: T = end.value
                return outcome
            try:
                answer = yield awaited
            except BaseException as error:
                piece = partial(pieces.throw, error)
            else:
                piece = partial(pieces.send, answer)
