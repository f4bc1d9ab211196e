"""All checks of a plan before its first change, in one report.

A step refuses what it cannot do, and the database stays at the version before it. But AiiDA opens
only the versions that it was made for: it is better not to start than to be stopped on the way.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

import asyncpg

from aiidadb.connecting.uninterrupted import clean_up_after
from aiidadb.exceptions import (
    AiidaDbError,
    MissingExtraError,
    PermissionDenied,
    StorageMigrationError,
)
from aiidadb.messages import cut
from aiidadb.migration.checks.attributes import find_attributes
from aiidadb.migration.checks.catalogue import KINDS
from aiidadb.migration.checks.files import FoundFiles, find_files, find_missing_symbols, name_nodes
from aiidadb.migration.checks.json_text import find_json_text
from aiidadb.migration.checks.rows import find_rows
from aiidadb.migration.checks.settings import find_settings
from aiidadb.migration.checks.table_owners import check_table_owners
from aiidadb.migration.checks.uuids import UUID_KINDS, find_uuids
from aiidadb.migration.checks.views_and_triggers import check_views_and_triggers
from aiidadb.migration.findings import Finding, MigrationCheck
from aiidadb.migration.python_step import StepContext

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aiidadb.migration.options import MigrationOptions
    from aiidadb.migration.plan import MigrationPlan
    from aiidadb.migration.repository.read_ahead import ReadAhead

__all__ = ["Looked", "check_database", "refuse"]

_NAMED_AT_MOST: Final = 3
_REMEDY_AT_MOST: Final = 110  # characters


@dataclass(frozen=True, slots=True)
class Looked:
    """What a look at a database before a migration gives.

    Attributes:
        check: What was found.
        errors: The errors that say more of some findings.
        listed: What was listed of the files of nodes, so that the move need not list it again; None
            where none are moved.
    """

    check: MigrationCheck
    errors: dict[Finding, AiidaDbError]
    listed: ReadAhead | None


async def check_database(
    connection: asyncpg.Connection,
    plan: MigrationPlan,
    options: MigrationOptions,
    progress: Callable[[str, int, int | None], None],
) -> Looked:
    """Find all that would stop a plan, or be lost in it. Only reads.

    Args:
        connection: To the database at the plan's origin, in a transaction; its ``search_path``
            leads to the plan's schema alone.
        plan: What will run.
        options: How.
        progress: Receives what is looked at.

    Returns:
        What was found.
    """
    finder = _Finder(connection, plan, StepContext(connection, options, progress, plan.origin.line))
    await finder.look()
    order = {planned.name: position for position, planned in enumerate(plan.steps)}
    found = sorted(finder.found, key=lambda finding: order.get(finding.step, -1))
    return Looked(MigrationCheck(tuple(found)), finder.errors, finder.listed)


class _Finder:
    """Collects what is found; what cannot be looked at is a finding too."""

    def __init__(
        self, connection: asyncpg.Connection, plan: MigrationPlan, context: StepContext
    ) -> None:
        self.found: list[Finding] = []
        self.errors: dict[Finding, AiidaDbError] = {}
        self.listed: ReadAhead | None = None
        self._connection = connection
        self._plan = plan
        self._context = context

    async def look(self) -> None:
        """Look for everything."""
        if not self._plan.steps:
            return
        # Files are looked at in a thread, while the server looks at rows.
        files = asyncio.ensure_future(find_files(self._context, self._plan))
        try:
            await self._look_at_rows()
            found, self.listed = await files
            self.found += await name_nodes(self._connection, found)
        except BaseException as error:
            await clean_up_after(error, _end(files), within=None)
            raise

    async def _look_at_rows(self) -> None:
        plan, connection = self._plan, self._connection
        await self._refusal("table_owner", "", partial(check_table_owners, connection, plan))
        await self._refusal("obstacle", "", partial(check_views_and_triggers, connection, plan))
        for planned in plan.steps:
            for step in planned.step.python_steps:
                code = step.finding or step.name
                await self._refusal(code, planned.name, partial(step.check, self._context))
        self._context.progress("looking for rows that would stop a step", 0, None)
        await self._findings(partial(find_uuids, connection, plan))
        for kind in KINDS.values():
            if kind.queries and kind.code not in UUID_KINDS:
                await self._findings(partial(find_rows, connection, plan, kind))
        await self._findings(partial(find_json_text, connection, plan))
        await self._findings(partial(find_attributes, connection, plan))
        await self._findings(partial(find_settings, connection, plan))
        self.found += await find_missing_symbols(self._context, plan)

    async def _refusal(self, code: str, step: str, look: Callable[[], Awaitable[object]]) -> None:
        """Turn the error of a check into a finding; the same error of several steps into one."""
        savepoint = self._connection.transaction()
        await savepoint.start()
        try:
            await look()
        except asyncpg.InsufficientPrivilegeError as error:
            self._note_unreadable(error)
        except (StorageMigrationError, PermissionDenied, MissingExtraError) as error:
            if any(str(error) == str(known) for known in self.errors.values()):
                return
            kind = KINDS.get(code)
            remedy = kind.remedy if kind else ""
            if isinstance(error, MissingExtraError):  # whose message has the command
                remedy = "install the missing package and run again"
            finding = Finding(
                code=code,
                step=step,
                message=str(error),
                pks=(),
                count=1,
                action="refused",
                remedy=remedy,
            )
            self.found.append(finding)
            self.errors[finding] = error
        finally:
            await savepoint.rollback()  # nothing was written

    async def _findings(self, look: Callable[[], Awaitable[list[Finding]]]) -> None:
        savepoint = self._connection.transaction()
        await savepoint.start()
        try:
            self.found += await look()
        except asyncpg.InsufficientPrivilegeError as error:
            self._note_unreadable(error)
        finally:
            await savepoint.rollback()

    def _note_unreadable(self, error: asyncpg.PostgresError) -> None:
        # What keeps the role out of the tables, where that is known, says it better.
        known = {finding.code for finding in self.found}
        if not known & {"table_owner", "obstacle", "unreadable_table"}:
            found = KINDS["unreadable_table"].found("", "database", 1, example=str(error))
            self.found.append(found)


async def _end(task: asyncio.Future[tuple[list[FoundFiles], ReadAhead | None]]) -> None:
    """Stop a task, and wait for it."""
    task.cancel()
    await asyncio.wait((task,))
    if not task.cancelled():
        task.exception()  # asyncio logs errors that were not looked at


def refuse(
    plan: MigrationPlan,
    check: MigrationCheck,
    errors: dict[Finding, AiidaDbError],
    *,
    repair: bool,
) -> None:
    """Refuse a migration whose check has found an obstacle.

    Args:
        plan: What would run.
        check: What was found.
        errors: The errors that say more of some findings.
        repair: Whether what is repairable will be repaired.

    Raises:
        AiidaDbError: There is something: its own error where it is one thing that has one.
        StorageMigrationError: There is something else; what it is and what to do is in the message,
            or, where there are several, in its notes.
    """
    standing = [*check.refused, *(() if repair else check.repairable)]
    if not standing:
        return
    if len(standing) == 1:
        (finding,) = standing
        if finding in errors:
            raise errors[finding]
        raise StorageMigrationError(
            f"the migration to {plan.target} would be stopped by {finding.code}: "
            f"{finding.message} Nothing was changed: {finding.remedy}"
        )
    more = "; …" if len(standing) > _NAMED_AT_MOST else ""
    named = "; ".join(
        f"{finding.code} ({finding.count}): {cut(finding.remedy, _REMEDY_AT_MOST)}"
        for finding in standing[:_NAMED_AT_MOST]
    )
    error = StorageMigrationError(
        f"the migration to {plan.target} would be stopped by {len(standing)} findings, and nothing "
        f"was changed: {named}{more}"
    )
    for finding in standing:
        pks = f" (ids {', '.join(map(str, finding.pks))})" if finding.pks else ""
        error.add_note(f"{finding.code}: {finding.message}{pks} To do: {finding.remedy}")
    raise error
