"""What a statement reads from: vertices and edges, with SQL for each of their columns.

Names in the text are those of the fixed tables of ``entities`` and ``relations``, and aliases that
are made here: ``v0``, ``v1``, … for vertices, ``e1``, ``e2``, … for the edges that lead to them.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

from aiidadb.connecting.rows.held_rows import FIRST_TIME, LAST_TIME
from aiidadb.querybuilder.entities import (
    ENTITIES,
    MEMBERSHIP,
    WALK,
    Column,
    Entity,
    columns_of,
)
from aiidadb.querybuilder.records import RECORDS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aiidadb.version.schema_version import SchemaVersion

__all__ = ["SQL_TYPES", "Expression", "Selected", "Source", "edge_of_walk", "source_of_table"]

SQL_TYPES: Final[Mapping[str, str]] = {
    "flag": "boolean", "integer": "bigint", "JSON": "jsonb", "text": "text",
    "time": "timestamptz", "UUID": "uuid", "integers": "int[]",
}  # fmt: skip
"""By kind of column."""

_WITH_TABLES: Final[Mapping[str, Entity]] = {**ENTITIES, MEMBERSHIP.name: MEMBERSHIP}
_SENT_AS: Final[Mapping[str, str]] = {
    "uuid": "{0}::text",
    "timestamptz": f"case when {{0}} between {FIRST_TIME} and {LAST_TIME} then {{0}} end",
    "timestamp": "case when {0} between '0001-01-01'::timestamp "
    "and '9999-12-31 23:59:59.999999'::timestamp then {0} end",
}
"""By type, SQL for what Python can hold of a value, where that is not the value itself."""


class Expression(NamedTuple):
    """A piece of SQL that is of one source.

    Attributes:
        sql: The piece.
        stage: Where it can stand.
    """

    sql: str
    stage: int


class Selected(NamedTuple):
    """A column of the rows.

    Attributes:
        value: What is in it.
        kind: The type that it has in PostgreSQL.
        function: A function of all rows, if there is one, which the last stage calls.
    """

    value: Expression
    kind: str
    function: str = ""

    @classmethod
    def of(cls, sql: str, kind: str, stage: int) -> Selected:
        """A value in the form that Python can hold."""
        return cls(Expression(_as_sent(sql, kind), stage), "text" if kind == "uuid" else kind)

    def called(self, value: str) -> str:
        """SQL for the column, with SQL for its value as the last stage has it."""
        if not self.function:
            return value
        called = f"{self.function}({value})"
        return called if self.function == "count" else _as_sent(called, self.kind)


def _as_sent(sql: str, kind: str) -> str:
    """SQL for a value that Python can hold, in the form that it has there."""
    form = _SENT_AS.get(kind)
    return sql if form is None else form.format(sql)


class Source(NamedTuple):
    """A vertex or edge, as it stands in the statement.

    Attributes:
        entity: What it is.
        alias: Its alias.
        stage: The stage that it is in.
        columns: SQL of the columns.
        plain: By name or synonym, how what is no place in JSON is projected.
        record: The same of each column of its record, if there is one.
    """

    entity: Entity
    alias: str
    stage: int
    columns: Mapping[str, str]
    plain: Mapping[str, Selected]
    record: Sequence[Selected]

    def sql(self, column: Column) -> str:
        """SQL for a column."""
        return self.columns[column.name]


# Nearly all queries have the same few: to assemble them again would take as long as the rest of
# a short query.
@lru_cache(maxsize=256)
def source_of_table(name: str, alias: str, version: SchemaVersion, stage: int) -> Source:
    """A vertex or edge that has a table.

    Args:
        name: Of the entity, or of what else the edge is.
        alias: What it is called in the statement.
        version: Of the database.
        stage: The stage that it is in.
    """
    entity = _WITH_TABLES[name]
    columns = {
        column: "null::jsonb" if spelled is None else f"{alias}.{spelled}"
        for column, spelled in columns_of(entity.table, version).items()
    }
    return _source(entity, alias, stage, columns)


@lru_cache(maxsize=64)
def edge_of_walk(alias: str, stage: int, is_downwards: bool) -> Source:
    """The way that a walk goes, from ancestors to descendants or from these upwards."""
    ends = (f"{alias}.start_id", f"{alias}.node_id")
    ancestor, descendant = ends if is_downwards else ends[::-1]
    columns = {
        "ancestor_id": ancestor,
        "descendant_id": descendant,
        "depth": f"{alias}.depth",
        "path": f"{alias}.path",
    }
    return _source(WALK, alias, stage, columns)


def _source(entity: Entity, alias: str, stage: int, columns: Mapping[str, str]) -> Source:
    sent = {
        column.name: Selected.of(columns[column.name], SQL_TYPES[column.kind], stage)
        for column in (*entity.columns.values(), *entity.hidden.values())
    }
    record = RECORDS.get(entity.name)
    names = {**{name: name for name in sent}, **entity.synonyms}
    return Source(
        entity,
        alias,
        stage,
        columns,
        plain={
            name: sent[real] for name, real in names.items() if not entity.column(real).is_keyed
        },
        record=[] if record is None else [sent[name] for name in record.columns],
    )
