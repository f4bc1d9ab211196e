"""What a migration reports: while it runs, and when it is done."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from pathlib import Path

    from aiidadb.migration.findings import Finding
    from aiidadb.version.schema_version import SchemaVersion

__all__ = ["MigrationProgress", "MigrationReport", "ProgressCallback", "StepReport"]


@dataclass(frozen=True, slots=True)
class MigrationProgress:
    """Where a migration is.

    Attributes:
        step: Which step is under way, from 1; 0 before the first.
        steps: How many there are; 0 before that is known.
        name: The step's name, such as ``0014_add_node_uuid_unique_constraint``; empty before the
            first.
        what: What is being done, such as ``files of nodes moved to the container``.
        rows: How many rows are done.
        rows_total: How many there are in all; None where that is not known.
    """

    step: int
    steps: int
    name: str
    what: str
    rows: int = 0
    rows_total: int | None = None


ProgressCallback: TypeAlias = Callable[[MigrationProgress], None]
"""Called in the event loop, between statements; what it raises stops the migration."""


@dataclass(frozen=True, slots=True)
class StepReport:
    """What one step did.

    What was repaired before the first step is reported as a step named ``repair``, from and to the
    version that the database had.

    Attributes:
        name: The step's name.
        origin: The version before it.
        version: The version after it.
        seconds: How long it took, waiting for locks included.
        rows: How many rows it changed, by the step's own count; 0 where it changes no rows or does
            not count them.
        files: The files that it wrote, absolute.
        notes: What should be known about it, a sentence or more each.
    """

    name: str
    origin: SchemaVersion | None
    version: SchemaVersion
    seconds: float
    rows: int = 0
    files: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MigrationReport:
    """What a migration did.

    Attributes:
        origin: The version that the database had.
        version: The version that it has now; in a dry run, that it would have.
        steps: One report per step, in order; empty where there was nothing to do.
        seconds: How long all of it took, from taking the lock to the last commit.
        dry_run: Whether all of it was rolled back.
        findings: What the check before the first change found: repaired or written to files since.
    """

    origin: SchemaVersion
    version: SchemaVersion
    steps: tuple[StepReport, ...]
    seconds: float
    dry_run: bool = False
    findings: tuple[Finding, ...] = ()

    @property
    def rows(self) -> int:
        """How many rows all steps changed; one that several changed counts as often."""
        return sum(step.rows for step in self.steps)

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that the steps wrote."""
        return tuple(path for step in self.steps for path in step.files)

    @property
    def notes(self) -> tuple[str, ...]:
        """What the steps have to say."""
        return tuple(note for step in self.steps for note in step.notes)
