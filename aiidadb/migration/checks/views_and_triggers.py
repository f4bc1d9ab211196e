"""What others made in a database and would stop a migration: views, triggers and the like.

PostgreSQL does not remake or drop a column that a view shows, and a trigger was written for columns
as they are now. A step would fail at them half way along the chain; so they are looked for
beforehand, on what the headers of the steps say is dropped, retyped and remade. What a step itself
drops, such as a trigger that AiiDA made, is not in the way; the headers say that too.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final

from aiidadb.exceptions import StorageMigrationError
from aiidadb.migration.steps import STEPS
from aiidadb.sql import QUERIES
from aiidadb.version.schema_version import are_comparable

if TYPE_CHECKING:
    from collections.abc import Iterator

    import asyncpg

    from aiidadb.migration.plan import MigrationPlan
    from aiidadb.migration.step_file import OwnTrigger

__all__ = ["check_views_and_triggers"]

_NAMED_AT_MOST: Final = 5
_ADVICE: Final = {
    "dependent": "PostgreSQL does not change what others depend on: keep the definition of each "
    "(pg_dump --schema-only), drop it, migrate, and create it again for the new schema",
    "namesake": "a step drops what AiiDA made under this name, and this is not it: rename yours "
    "(ALTER TRIGGER … RENAME TO …, ALTER FUNCTION … RENAME TO …) and migrate again",
    "trigger": "triggers act on what a migration changes, and were written for the columns as they "
    "are now: ALTER TABLE … DISABLE TRIGGER, migrate, and enable those that still fit",
    "rule": "rules replace what a migration does: ALTER TABLE … DISABLE RULE, "
    "migrate, and enable those that still fit",
    "security": "rows that a policy hides would not be migrated: ALTER TABLE … NO FORCE ROW LEVEL "
    "SECURITY, migrate, and force it again",
}


async def check_views_and_triggers(connection: asyncpg.Connection, plan: MigrationPlan) -> None:
    """Refuse what others made and would stop a step of the plan. Only reads.

    Args:
        connection: To the database.
        plan: What will run.

    Raises:
        StorageMigrationError: There is something; the message, or its notes where there are
            several kinds, names it and says what to do.
    """
    remade = list(_remade(plan))
    own = list(_own_triggers(plan))
    found = await QUERIES["migration_obstacles"].fetch(
        connection,
        list(plan.tables),
        [table for table, _column, _retyped in remade],
        [column for _table, column, _retyped in remade],
        [retyped for _table, _column, retyped in remade],
        [column for planned in plan.steps for column in planned.step.drops_foreign_keys],
        [trigger.definition for trigger, _dropped in own],
        [trigger.function for trigger, _dropped in own],
        [trigger.source for trigger, _dropped in own],
        [dropped for _trigger, dropped in own],
    )
    if not found:
        return
    subjects: dict[tuple[str, str], list[str]] = defaultdict(list)
    for row in found:
        subjects[row["kind"], row["obstacle"]].append(row["subject"])
    named: dict[str, str] = {}
    for kind in _ADVICE:
        names = [
            f"{obstacle} (on {', '.join(on)})"
            for (of_kind, obstacle), on in subjects.items()
            if of_kind == kind
        ]
        if names:
            more = ", …" if len(names) > _NAMED_AT_MOST else ""
            named[kind] = f"{', '.join(names[:_NAMED_AT_MOST])}{more}"
    told = [f"{names}: {_ADVICE[kind]}" for kind, names in named.items()]
    error = StorageMigrationError(
        f"the migration to {plan.target} is prevented by "
        f"{told[0] if len(told) == 1 else '; '.join(named.values())}; nothing was changed"
    )
    for advice in told if len(told) > 1 else ():  # which is more than a message holds
        error.add_note(advice)
    raise error


def _remade(plan: MigrationPlan) -> Iterator[tuple[str, str, bool]]:
    """Table, column or nothing, and whether it gets another type: for all steps of a plan."""
    for planned in plan.steps:
        step = planned.step
        for name in (*step.drops, *step.remakes, *step.retypes):
            table, _, column = name.partition(".")
            yield table, column, name in step.retypes


def _own_triggers(plan: MigrationPlan) -> Iterator[tuple[OwnTrigger, bool]]:
    """AiiDA's own triggers that the database may have, and whether the plan drops them.

    They fit the database until the step that drops them, whether the plan goes that far or not.
    """
    for version, step in STEPS.items():
        is_of_line = are_comparable(version, plan.origin)
        if step.drops_trigger is not None and is_of_line and version > plan.origin:
            yield step.drops_trigger, version <= plan.target
