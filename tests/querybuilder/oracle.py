"""aiida-core's own QueryBuilder, and values of either side in a form that can be compared."""

from __future__ import annotations

import copy
import datetime
import re
from typing import TYPE_CHECKING, Any

from aiidadb.querybuilder.records import RECORDS, Link

if TYPE_CHECKING:
    from aiida.storage.psql_dos.backend import PsqlDosBackend

__all__ = ["oracle", "plain", "with_quoted_steps"]

_BARE_STEP = re.compile(r"\w+", re.ASCII)


def plain(value: Any) -> Any:
    """A value of either side in a form that can be compared, an entity by its kind and pk."""
    if isinstance(value, Link):
        return [value.input_id, value.output_id, value.type, value.label]
    if type(value) in {record.kind for record in RECORDS.values()}:
        return type(value).__name__, value.pk
    if type(value).__module__.startswith("aiida.orm"):
        for base in type(value).__mro__:
            if base.__name__ in {record.kind.__name__ for record in RECORDS.values()}:
                return base.__name__, value.pk
    if isinstance(value, datetime.datetime):
        return value.timestamp()
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    return value


def oracle(storage: PsqlDosBackend, query: dict[str, Any]) -> Any:
    """aiida-core's QueryBuilder of a dictionary, also where its constructor does not take it."""
    from aiida import orm

    builder = orm.QueryBuilder(backend=storage)
    for key, value in copy.deepcopy(query).items():
        setattr(builder, {"project": "_projections"}.get(key, f"_{key}"), value)
    return builder


def with_quoted_steps(part: Any) -> Any:
    """Part of a dictionary, or of an answer to it, with each odd key in a path quoted.

    aiida-core puts keys between the braces of an array as they are. Quoted as PostgreSQL reads
    them there, they mean to it what they mean to aiidadb.
    """
    if isinstance(part, list):
        return [with_quoted_steps(one) for one in part]
    if not isinstance(part, dict):
        return part
    return {_quoted(key): with_quoted_steps(one) for key, one in part.items()}


def _quoted(key: str) -> str:
    name, *steps = key.split(".")
    if name not in ("attributes", "extras", "repository_metadata", "metadata", "_metadata"):
        return key
    return ".".join([name, *map(_quoted_step, steps)])


def _quoted_step(step: str) -> str:
    if _BARE_STEP.fullmatch(step) and step != "NULL":
        return step
    return '"' + step.replace("\\", "\\\\").replace('"', '\\"') + '"'
