"""A pool on loan: what a backend has borrowed from its registry, until it gives that back."""

from __future__ import annotations

import os
import warnings
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AsyncExitStack

__all__ = ["Loan"]


class Loan:
    """Gives a pool back, once.

    A session holds it, so that the pool stays open as long as anything can use it. If it is never
    closed, Python gives it back: the registry lends through an asynchronous generator, which the
    event loop closes once nothing refers to it, and ``asyncio.run`` at its end. That is a
    ``ResourceWarning``.

    Args:
        stack: Gives the pool back when it is closed.
        name: What the profile is, for the warning.
    """

    def __init__(self, stack: AsyncExitStack, name: str) -> None:
        self._stack: AsyncExitStack | None = stack
        self._name: Final = name
        self._pid: Final = os.getpid()

    @property
    def has_ended(self) -> bool:
        """Whether the pool was given back."""
        return self._stack is None

    async def end(self) -> None:
        """Give the pool back; nothing if that was done before."""
        stack, self._stack = self._stack, None
        if stack is not None:
            await stack.aclose()

    def __del__(
        self,
        # Where the interpreter ends, the modules may be gone before this.
        warn: Callable[..., None] = warnings.warn,
        getpid: Callable[[], int] = os.getpid,
    ) -> None:
        if self._stack is not None and self._pid == getpid():
            warn(
                f"the backend of {self._name} was never closed: enter open_backend() with "
                "`async with`, or await backend.close()",
                ResourceWarning,
                source=self,
            )
