"""What others made in a database and a migration could not get past: views, triggers and the like.

PostgreSQL does not remake or drop a column that a view shows, and a trigger was written for columns
as they are now. A step would fail at them half way along the chain; so they are looked for before.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final

from aiidadb.exceptions import StorageMigrationError
from aiidadb.sql import QUERIES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import asyncpg

    from aiidadb.migration.plan import MigrationPlan

__all__ = ["DROPPED", "REMADE", "RETYPED", "check_obstacles"]

DROPPED: Final[Mapping[int, tuple[str, ...]]] = {
    6: ("db_dbpath",),
    11: ("kombu_message", "kombu_queue"),
    12: ("db_dblock",),
    17: ("db_dbcalcstate",),
    32: (
        "db_dbworkflow",
        "db_dbworkflowdata",
        "db_dbworkflowstep",
        "db_dbworkflowstep_calculations",
        "db_dbworkflowstep_sub_workflows",
    ),
    35: ("db_dbuser_groups", "db_dbuser_user_permissions"),
    37: ("db_dbattribute", "db_dbextra"),
    50: (
        "auth_group",
        "auth_group_permissions",
        "auth_permission",
        "django_content_type",
        "django_migrations",
    ),
}
"""The tables that a step of the Django line drops, by its number."""

RETYPED: Final[Mapping[int, tuple[str, ...]]] = {
    18: (
        "db_dbcomment.uuid",
        "db_dbcomputer.uuid",
        "db_dbgroup.uuid",
        "db_dbnode.uuid",
        "db_dbworkflow.uuid",
    ),
    33: (
        "db_dbauthinfo.auth_params",
        "db_dbauthinfo.metadata",
        "db_dbcomputer.metadata",
        "db_dbcomputer.transport_params",
        "db_dblog.metadata",
    ),
}
"""The columns that get another type."""

REMADE: Final[Mapping[int, tuple[str, ...]]] = {
    13: ("db_dbuser.email",),
    20: ("db_dblink.type", "db_dbnode.process_type", "db_dbnode.type"),
    24: ("db_dblog.metadata", "db_dblog.objname"),
    25: ("db_dbnode.type",),
    28: ("db_dbnode.type",),
    29: ("db_dbnode.type",),
    31: ("db_dbcomputer.enabled",),
    34: ("db_dbnode.nodeversion", "db_dbnode.public"),
    35: (
        "db_dbuser.date_joined",
        "db_dbuser.is_active",
        "db_dbuser.is_staff",
        "db_dbuser.is_superuser",
        "db_dbuser.last_login",
        "db_dbuser.password",
    ),
    36: ("db_dbcomputer.transport_params",),
    37: (
        "db_dbsetting.bval",
        "db_dbsetting.datatype",
        "db_dbsetting.dval",
        "db_dbsetting.fval",
        "db_dbsetting.ival",
        "db_dbsetting.tval",
    ),
    45: ("auth_group.name", "auth_permission.name", "django_content_type.name"),
}
"""The columns that are written anew or dropped. None of them has been renamed before its step."""

_NAMED_AT_MOST: Final = 5
_ADVICE: Final = {
    "dependent": "PostgreSQL does not change what others depend on: keep the definition of each "
    "(pg_dump --schema-only), drop it, migrate, and make it anew for the new schema",
    "trigger": "triggers act on what a migration changes, and were written for columns as they are "
    "now: ALTER TABLE … DISABLE TRIGGER, migrate, and enable those that still fit",
    "rule": "rules act in the place of what a migration changes: ALTER TABLE … DISABLE RULE, "
    "migrate, and enable those that still fit",
    "security": "rows that a policy hides would not be migrated: ALTER TABLE … NO FORCE ROW LEVEL "
    "SECURITY, migrate, and force it again",
}


async def check_obstacles(connection: asyncpg.Connection, plan: MigrationPlan) -> None:
    """Refuse what others made and a step of the plan could not get past. Only reads.

    Args:
        connection: To the database.
        plan: What will run.

    Raises:
        StorageMigrationError: There is something; the message names it and tells what to do.
    """
    remade = list(_remade(plan))
    found = await QUERIES["migration_obstacles"].fetch(
        connection,
        list(plan.tables),
        [table for table, _column, _retyped in remade],
        [column for _table, column, _retyped in remade],
        [retyped for _table, _column, retyped in remade],
    )
    if not found:
        return
    subjects: dict[tuple[str, str], list[str]] = defaultdict(list)
    for row in found:
        subjects[row["kind"], row["obstacle"]].append(row["subject"])
    sentences = []
    for kind, advice in _ADVICE.items():
        named = [
            f"{obstacle} (on {', '.join(on)})"
            for (of_kind, obstacle), on in subjects.items()
            if of_kind == kind
        ]
        if named:
            more = ", …" if len(named) > _NAMED_AT_MOST else ""
            sentences.append(f"{', '.join(named[:_NAMED_AT_MOST])}{more}: {advice}")
    raise StorageMigrationError(
        f"in the way of the migration to {plan.target} stand{'s' if len(subjects) == 1 else ''} "
        f"{'; and '.join(sentences)}; nothing was changed"
    )


def _remade(plan: MigrationPlan) -> Iterator[tuple[str, str, bool]]:
    """Table, column or nothing, and whether it gets another type: for all steps of a plan."""
    for planned in plan.steps:
        if planned.version.line != "django":
            continue
        number = planned.version.number
        for name in (*DROPPED.get(number, ()), *REMADE.get(number, ()), *RETYPED.get(number, ())):
            table, _, column = name.partition(".")
            yield table, column, name in RETYPED.get(number, ())
