"""Long work of Python's own in steps, between which others on the event loop get their turn.

A step takes about a millisecond: a short call needs several turns, and at each of them waits for a
step of every long one. What is worked on belongs to the work alone: others may change anything of
theirs between two steps.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Generator, Iterable, Sequence, Set
from itertools import islice
from typing import Any, Final, TypeAlias, TypeVar

import anyio.lowlevel

__all__ = [
    "STEP",
    "Steps",
    "array_text",
    "grow",
    "in_turn",
    "made_of_rows",
    "sort_distinct",
    "text_array_text",
    "used_up",
    "without",
]

T = TypeVar("T")

Steps: TypeAlias = Generator[None, None, T]
"""Work that pauses at each ``yield``, and gives its outcome at the end."""

STEP: Final = 512
"""How many numbers are handled in one step."""

# Numbers on one page, as a power of two: few enough to sort them in one step.
_PAGE_BITS: Final = 14


async def in_turn(work: Steps[T]) -> T:
    """Do something long, and let others on the event loop have their turn between its steps."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            outcome: T = end.value
            return outcome
        await anyio.lowlevel.checkpoint()


def sort_distinct(numbers: Iterable[int]) -> Steps[list[int]]:
    """What ``sorted(set(numbers))`` is.

    Neither a set nor a sort of very many numbers can pause, so both are done page by page.
    """
    pages: defaultdict[int, list[int]] = defaultdict(list)
    for count, number in enumerate(numbers, start=1):
        pages[number >> _PAGE_BITS].append(number)
        if count % STEP == 0:
            yield
    found: list[int] = []
    step = 0
    for page in sorted(pages):
        found += sorted(set(pages.pop(page)))
        if len(found) >= step + STEP:
            step = len(found)
            yield
    return found


def grow(target: set[int], numbers: Iterable[int]) -> Steps[None]:
    """What ``target.update(numbers)`` does."""
    remaining = iter(numbers)
    while some := tuple(islice(remaining, STEP)):
        target.update(some)
        yield


def without(numbers: Sequence[int], others: Set[int]) -> Steps[list[int]]:
    """Those of some numbers, in their order, that are not among others."""
    found: list[int] = []
    for at in range(0, len(numbers), STEP):
        found += [number for number in numbers[at : at + STEP] if number not in others]
        yield
    return found


def used_up(rows: list[Any]) -> Generator[list[Any], None, None]:
    """Some rows for each step, in their order; the list no longer has what was given before.

    Rows and what is made of them would together be twice as many objects for Python to look
    through again and again, each time without a pause.
    """
    for at in range(0, len(rows), STEP):
        some = rows[at : at + STEP]
        rows[at : at + STEP] = [None] * len(some)
        yield some


def made_of_rows(make: Callable[..., T], rows: list[Any]) -> Steps[list[T]]:
    """What ``[make(*row) for row in rows]`` is; the rows are used up."""
    made: list[T] = []
    for some in used_up(rows):
        made += [make(*row) for row in some]
        yield
    return made


def array_text(numbers: Sequence[int]) -> Steps[str]:
    """An array as PostgreSQL reads it from text.

    asyncpg writes an array of 1.5 million numbers in 0.3 s, without a pause; a text in no time.
    """
    parts = []
    for at in range(0, len(numbers), STEP):
        parts.append(",".join(map(str, numbers[at : at + STEP])))
        yield
    return "{" + ",".join(parts) + "}"


def text_array_text(texts: Sequence[str]) -> Steps[str]:
    """:func:`array_text` of texts."""
    parts = []
    for at in range(0, len(texts), STEP):
        # Not by methods of a subclass, which may give something else.
        escaped = (
            str.replace(str.replace(text, "\\", "\\\\"), '"', '\\"')
            for text in texts[at : at + STEP]
        )
        parts.append(",".join(f'"{text}"' for text in escaped))
        yield
    return "{" + ",".join(parts) + "}"
