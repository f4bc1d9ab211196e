"""What is in a database, as far as queries are drawn from it: rows, and what they are joined to."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import asyncpg

from aiidadb.querybuilder.entities import ENTITIES
from aiidadb.querybuilder.relations import Direct, Through, relation_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["Contents", "Row", "places_in", "read_contents", "value_at"]

Row = dict[str, Any]
"""Values by AiiDA's names of columns."""

_MEMBERSHIPS: Final = "db_dbgroup_dbnodes"
_OF_PROVENANCE: Final = ("create", "input_calc")


@dataclass
class Contents:
    """The rows of every table.

    Attributes:
        rows: By entity.
        memberships: Of nodes in groups.
    """

    rows: Mapping[str, list[Row]]
    memberships: list[Row]
    _walked: dict[tuple[int, str], list[int]] = field(default_factory=dict)

    def partners(self, entity: str, keyword: str, joined: str, row: Row) -> list[tuple[Row, Row]]:
        """The rows that a join leads to from one row, each with that of the edge."""
        relation = relation_of(entity, keyword, joined)
        rows = self.rows[entity]
        if isinstance(relation, Direct):
            at = row[relation.joined_column]
            return [(one, {}) for one in rows if one[relation.new_column] == at]
        by_pk = {one["id"]: one for one in rows}
        if isinstance(relation, Through):
            between = self.rows["link"] if relation.edge.name == "link" else self.memberships
            return [
                (by_pk[edge[relation.far]], edge)
                for edge in between
                if edge[relation.near] == row["id"]
            ]
        return [(by_pk[pk], {}) for pk in self._reached(row["id"], relation.near, relation.far)]

    def _reached(self, start: int, near: str, far: str) -> list[int]:
        found = self._walked.get((start, near))
        if found is None:
            reached: dict[int, None] = {}
            left = [start]
            while left:
                at = left.pop()
                for link in self.rows["link"]:
                    if link[near] == at and link["type"] in _OF_PROVENANCE:
                        if link[far] not in reached:
                            left.append(link[far])
                        reached[link[far]] = None
            found = self._walked[start, near] = list(reached)
        return found


async def read_contents(dsn: str) -> Contents:
    """Read all of a small database."""
    connection = await asyncpg.connect(dsn)
    try:
        for kind in ("json", "jsonb"):
            await connection.set_type_codec(
                kind, encoder=json.dumps, decoder=json.loads, schema="pg_catalog"
            )
        tables = {name: entity.table for name, entity in ENTITIES.items()}
        tables[_MEMBERSHIPS] = _MEMBERSHIPS
        rows: dict[str, list[Row]] = {}
        for name, table in tables.items():
            found = await connection.fetch(f"select * from {table} order by id")
            rows[name] = [dict(row) for row in found]
    finally:
        await connection.close()
    memberships = rows.pop(_MEMBERSHIPS)
    return Contents(rows, memberships)


def places_in(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Each place in a JSON value that a field can name, and what is there."""
    yield name, value
    if isinstance(value, dict):
        for key, one in value.items():
            if "." not in key:
                yield from places_in(f"{name}.{key}", one)
    elif isinstance(value, list):
        for place, one in enumerate(value):
            yield from places_in(f"{name}.{place}", one)


def value_at(row: Row, key: str, missing: object = None) -> Any:
    """What stands in a row under a field."""
    name, *steps = key.split(".")
    value: Any = row.get(name.removeprefix("_"), missing)
    for step in steps:
        if isinstance(value, dict) and step in value:
            value = value[step]
        elif isinstance(value, list) and step.isdecimal() and int(step) < len(value):
            value = value[int(step)]
        else:
            return missing
    return value
