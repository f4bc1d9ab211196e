"""Answers as JSON, for scripts."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import json
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from aiidadb.messages import escape_odd
from aiidadb.version.schema_version import SchemaVersion

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["deep_calls", "echo_json"]

_DEEPEST: Final = 50_000


def echo_json(value: object) -> None:
    """Print a value as JSON: data classes as objects, times in ISO 8601, paths as strings.

    What a terminal does not simply show is escaped as JSON has it, and is read back equal.
    """
    is_utf8 = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    with deep_calls():
        text = json.dumps(_plain(value), indent=2, ensure_ascii=not is_utf8)
    # Such characters are inside strings alone, but for the ends of lines.
    click.echo("\n".join(escape_odd(line, by=_escape) for line in text.split("\n")))


@contextlib.contextmanager
def deep_calls() -> Iterator[None]:
    """Let calls go deep enough to write whatever JSON Python can read, which takes fewer."""
    usual = sys.getrecursionlimit()
    sys.setrecursionlimit(max(usual, _DEEPEST))
    try:
        yield
    finally:
        sys.setrecursionlimit(usual)


def _escape(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))


def _plain(value: Any) -> object:
    if isinstance(value, SchemaVersion | Path):
        return str(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)
        }
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    if isinstance(value, dt.datetime):
        return value.isoformat()
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)  # JSON has none; JSONB holds 1e400, which Python reads as one
    if value is None or isinstance(value, str | int | float):
        return value
    return str(value)
