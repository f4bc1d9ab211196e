"""Text of metadata that will be JSONB (0033): what is not valid JSON, or does not fit JSONB."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from aiidadb.connecting.uninterrupted import in_thread
from aiidadb.migration.checks.catalogue import KINDS
from aiidadb.migration.checks.rows import query_for, read_if_fine
from aiidadb.migration.row_batches import read_in_batches
from aiidadb.sql import QUERIES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    import asyncpg

    from aiidadb.migration.findings import Finding
    from aiidadb.migration.plan import MigrationPlan

__all__ = ["find_json_text", "judge", "mend_json_text", "storable"]

Verdict: TypeAlias = Literal["fine", "unstorable", "malformed"]

_ALL: Final = ("json_text", "json_text_before_0024")
_EACH: Final = ("json_text_rows", "json_text_rows_before_0024")
_ROWS_AT_ONCE: Final = 2_000
_EXPONENT_AT_MOST: Final = 131_071  # of numeric, which is what JSONB keeps numbers as

# An escape, or the half of a pair of escapes that stand for one character beyond 65,535.
_ESCAPE: Final = re.compile(
    r"\\(?:u(?:[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    r"|(?P<unstorable>0000|[dD][89a-fA-F][0-9a-fA-F]{2})|[0-9a-fA-F]{4})|.)",
    re.DOTALL,
)
_UNSTORABLE: Final = re.compile(r"\\u(?:0000|[dD][89a-fA-F])")


def judge(written: str) -> Verdict:
    """What the server would make of a text, with NaN and infinities taken for texts, as 0033 does.

    Args:
        written: The text.

    Returns:
        ``fine``; ``unstorable`` where it is JSON with escapes that JSONB cannot hold; ``malformed``
        where it is not valid JSON.
    """
    try:
        # Numbers are the server's to read: Python bounds the digits of integers, and has no 1e400.
        json.loads(written, parse_int=_check_number, parse_float=_check_number)
    except (ValueError, RecursionError):
        return "malformed"
    if _UNSTORABLE.search(written) and storable(written) != written:
        return "unstorable"
    return "fine"


def storable(written: str) -> str:
    r"""JSON with each escape that JSONB cannot hold as the text of it: ``\\u0000``."""
    return _ESCAPE.sub(
        lambda found: rf"\{found[0]}" if found["unstorable"] else found[0],
        written,
    )


def _check_number(digits: str) -> str:
    _, _, exponent = digits.lower().partition("e")
    if exponent and (len(exponent) > 8 or abs(int(exponent)) > _EXPONENT_AT_MOST):
        raise ValueError(digits)
    return digits


async def find_json_text(connection: asyncpg.Connection, plan: MigrationPlan) -> list[Finding]:
    """Find what 0033 would stop at. Only reads.

    Args:
        connection: In a transaction, to the database at the plan's origin.
        plan: What will run.

    Returns:
        A finding for each kind and column.
    """
    step = KINDS["malformed_json"].step_of(plan)
    query = query_for(_ALL, plan.form)
    if step is None or query is None:
        return []
    if await read_if_fine(connection, query) is not None:
        return []
    found: dict[tuple[str, str], list[int]] = defaultdict(list)
    async for verdict, subject, pk, _ in _odd_texts(connection, plan):
        code = "unstorable_json" if verdict == "unstorable" else "malformed_json"
        found[code, subject].append(pk)
    return [
        KINDS[code].found(step, subject, len(pks), pks) for (code, subject), pks in found.items()
    ]


async def mend_json_text(connection: asyncpg.Connection, plan: MigrationPlan) -> int:
    """Put text in place of the escapes that JSONB cannot hold.

    Args:
        connection: In a transaction.
        plan: What will run; nothing is repaired where none of its steps needs it.

    Returns:
        How many rows were changed.
    """
    if KINDS["unstorable_json"].step_of(plan) is None or query_for(_EACH, plan.form) is None:
        return 0
    mended: dict[str, list[tuple[int, str]]] = defaultdict(list)
    async for verdict, subject, pk, written in _odd_texts(connection, plan):
        if verdict == "unstorable":
            mended[subject].append((pk, storable(written)))
    for subject, rows in mended.items():
        name = f"mend_{subject.replace('.', '_')}"
        pks, texts = zip(*rows, strict=True)
        await QUERIES[name].execute(connection, pks, texts)
    return sum(map(len, mended.values()))


async def _odd_texts(
    connection: asyncpg.Connection, plan: MigrationPlan
) -> AsyncIterator[tuple[Verdict, str, int, str]]:
    query = query_for(_EACH, plan.form)
    assert query is not None
    async for rows in read_in_batches(connection, query.name, size=_ROWS_AT_ONCE):
        verdicts = await in_thread(_judge_all, (row["written"] for row in rows))
        for row, verdict in zip(rows, verdicts, strict=True):
            if verdict != "fine":
                yield verdict, row["subject"], row["pk"], row["written"]


def _judge_all(texts: Iterable[str]) -> list[Verdict]:
    return [judge(text) for text in texts]
