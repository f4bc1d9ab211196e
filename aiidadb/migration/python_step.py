"""What a step written in Python is given, and what it gives back."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from pathlib import Path

    import asyncpg

__all__ = ["PythonStep", "StepContext", "StepOutcome"]


@dataclass(frozen=True)
class StepContext:
    """What a step may work with.

    Attributes:
        connection: A connection inside the step's transaction. The step neither commits nor rolls
            back; it raises where it cannot go on, and the runner rolls back.
        repository: The directory of the profile's file repository (AiiDA's ``repository_uri``), in
            which AiiDA 0.x and 1.x have ``repository/node`` and AiiDA 2.x has ``container``; None
            where the profile has none.
        export_directory: Where files go that are written because rows leave the database.
        without_repository: There are no files to care for but those that are found: a step passes
            over what is missing, and says so, instead of refusing.
        dry_run: The transaction will be rolled back. Nothing outside the database may be changed
            or left behind.
        progress: Told what is worked on, how many rows are done, and how many there are in all
            (None where that is not known).
    """

    connection: asyncpg.Connection
    repository: Path | None
    export_directory: Path
    without_repository: bool
    dry_run: bool
    progress: Callable[[str, int, int | None], None]


@dataclass(frozen=True)
class StepOutcome:
    """What a step did.

    Attributes:
        rows: Rows of the database that were written, or written to a file.
        files: Files written; they are on the disk, flushed, before the transaction commits.
        notes: What the report must tell, a sentence or more each.
        after_commit: What to call once the transaction is committed, in a thread, never in a dry
            run: clearing away what was needed to go on after a crash. It may be lost in one, so
            nothing may depend on it.
    """

    rows: int = 0
    files: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()
    after_commit: tuple[Callable[[], None], ...] = ()


PythonStep: TypeAlias = Callable[[StepContext], Awaitable[StepOutcome]]
"""A step written in Python; raises an error of aiidadb where it cannot be done."""
