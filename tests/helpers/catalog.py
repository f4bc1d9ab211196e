"""A schema as PostgreSQL's catalogs describe it, to compare two databases."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import asyncpg

__all__ = ["describe"]

_COLUMNS: Final = """
    select
        owner.relname as table_name,
        format(
            'column %s %s%s default %s', field.attname,
            format_type(field.atttypid, field.atttypmod),
            case when field.attnotnull then ' not null' end,
            coalesce(pg_get_expr(fallback.adbin, fallback.adrelid), 'none')
        ) as fact
    from pg_class as owner
    join pg_attribute as field
        on field.attrelid = owner.oid and field.attnum > 0 and not field.attisdropped
    left join pg_attrdef as fallback
        on fallback.adrelid = owner.oid and fallback.adnum = field.attnum
    where owner.relnamespace = 'public'::regnamespace
      and owner.relkind = 'r'
"""
# PostgreSQL 18 also lists what is not null, which the columns say already.
_CONSTRAINTS: Final = """
    select
        owner.relname as table_name,
        found.conname as name,
        pg_get_constraintdef(found.oid) as fact
    from pg_constraint as found
    join pg_class as owner on owner.oid = found.conrelid
    where owner.relnamespace = 'public'::regnamespace
      and found.contype <> 'n'
"""
_INDEXES: Final = """
    select owner.relname as table_name, class.relname as name, pg_get_indexdef(class.oid) as fact
    from pg_index as found
    join pg_class as class on class.oid = found.indexrelid
    join pg_class as owner on owner.oid = found.indrelid
    where owner.relnamespace = 'public'::regnamespace
      and not exists (select from pg_constraint as behind where behind.conindid = found.indexrelid)
"""


async def describe(connection: asyncpg.Connection, *, names: bool = True) -> dict[str, list[str]]:
    """The tables of the schema ``public``, each with its columns, constraints and indexes.

    Columns are in no particular order, as a database that has come a long way has them in another
    than a new one. What is there twice is listed twice.

    Args:
        connection: To the database.
        names: Whether constraints and indexes are listed with their names, or only by definition.
    """
    tables: dict[str, list[str]] = {}
    for row in await connection.fetch(_COLUMNS):
        tables.setdefault(row["table_name"], []).append(row["fact"])
    for row in await connection.fetch(_CONSTRAINTS):
        name = f" {row['name']}" if names else ""
        tables[row["table_name"]].append(f"constraint{name} {row['fact']}")
    for row in await connection.fetch(_INDEXES):
        # The definition holds the name.
        fact = row["fact"] if names else re.sub(r"INDEX \S+ ON", "INDEX ON", row["fact"])
        tables[row["table_name"]].append(f"index {fact}")
    return {table: sorted(facts) for table, facts in sorted(tables.items())}
