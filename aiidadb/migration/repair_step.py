"""The repair before a migration's first step, where the check finds what can be repaired."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from aiidadb.migration.checks.json_text import mend_json_text
from aiidadb.migration.python_step import PythonStep, StepOutcome

if TYPE_CHECKING:
    from aiidadb.migration.plan import MigrationPlan
    from aiidadb.migration.python_step import StepContext
    from aiidadb.version.schema_version import SchemaVersion

__all__ = ["RepairStep"]


@dataclass(frozen=True, slots=True)
class RepairStep:
    """The repair of what a check has found to be repairable: run as a step that keeps the version.

    Args:
        plan: What runs afterwards.
    """

    plan: MigrationPlan

    name: ClassVar[str] = "repair"
    row_count: ClassVar[None] = None
    bookkeeping: ClassVar[None] = None

    @property
    def origin(self) -> SchemaVersion:
        """The version that the database has, and keeps."""
        return self.plan.origin

    @property
    def version(self) -> SchemaVersion:
        """The version that the database has, and keeps."""
        return self.plan.origin

    @property
    def tables(self) -> tuple[str, ...]:
        """The tables of the plan, among which are those that are repaired."""
        return self.plan.tables

    @property
    def parts(self) -> tuple[PythonStep, ...]:
        """The one part: a step written in Python."""
        return (PythonStep(self.name, self._mend),)

    async def _mend(self, context: StepContext) -> StepOutcome:
        rows = await mend_json_text(context.connection, self.plan)
        note = f"rows whose JSON was rewritten so that JSONB can hold it: {rows}"
        return StepOutcome(rows=rows, notes=(note,))
