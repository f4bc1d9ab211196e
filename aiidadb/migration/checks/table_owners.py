"""Whether the role may alter the tables that a migration alters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aiidadb.exceptions import PermissionDenied
from aiidadb.sql import QUERIES

if TYPE_CHECKING:
    import asyncpg

    from aiidadb.migration.plan import MigrationPlan

__all__ = ["check_table_owners"]

_NOTED_IN: Final = ("alembic_version", "db_dbsetting", "django_migrations")
_NAMED_AT_MOST: Final = 3


async def check_table_owners(connection: asyncpg.Connection, plan: MigrationPlan) -> None:
    """Refuse a role that is not a member of the tables' owner. Only reads.

    Args:
        connection: Of the role that will migrate.
        plan: What will run.

    Raises:
        PermissionDenied: Tables belong to a role that this one is not a member of.
    """
    tables = sorted({*plan.tables, *_NOTED_IN})
    others = await QUERIES["migration_foreign_tables"].fetch(connection, tables)
    if not others:
        return
    owner = others[0]["owner"]
    more = ", …" if len(others) > _NAMED_AT_MOST else ""
    names = ", ".join(row["name"] for row in others[:_NAMED_AT_MOST]) + more
    raise PermissionDenied(
        f"tables that have to be altered belong to the role {owner} ({names}): migrate as that "
        "role, or as one that is a member of it; nothing was changed",
        sqlstate="42501",
    )
