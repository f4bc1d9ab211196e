"""aiida-core's own QueryBuilder, and values of either side in a form that can be compared."""

from __future__ import annotations

import copy
import datetime
from typing import TYPE_CHECKING, Any

from aiidadb.querybuilder.records import RECORDS

if TYPE_CHECKING:
    from aiida.storage.psql_dos.backend import PsqlDosBackend

__all__ = ["oracle", "plain"]


def plain(value: Any) -> Any:
    """A value of either side in a form that can be compared, an entity by its kind and pk."""
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
