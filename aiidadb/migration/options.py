"""How a migration is to be run."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from aiidadb.migration.report import MigrationProgress

if TYPE_CHECKING:
    from aiidadb.migration.report import ProgressCallback

__all__ = ["OR_WITHOUT_FILES", "PATIENCE", "CallersError", "MigrationOptions"]

PATIENCE: Final = 600.0
"""For how many seconds a migration waits for others by default."""

OR_WITHOUT_FILES: Final = (
    "or, if there are no files to migrate, add --without-repository (in Python: "
    "without_repository=True)"
)
"""The end of the advice where files are missing."""


class CallersError(Exception):
    """Carries an error of the caller's own out of the migration unchanged.

    Attributes:
        error: The error.
    """

    def __init__(self, error: Exception) -> None:
        super().__init__(error)
        self.error = error


@dataclass(frozen=True, slots=True)
class MigrationOptions:
    """What the caller of a migration chose; it reaches every step unchanged.

    Attributes:
        repository: The directory of the profile's file repository (AiiDA's ``repository_uri``), in
            which AiiDA 0.x and 1.x have ``repository/node`` and AiiDA 2.x has ``container``; None
            where the profile has none.
        export_directory: Where files go that are written because rows leave the database.
        without_repository: There are no files to migrate but those that are found: a step skips
            what is missing, and says so, instead of refusing.
        repair: What a check finds and can be repaired without losing anything is repaired first.
        dry_run: All of it will be rolled back. Nothing outside the database may be changed or left
            behind.
        patience: For how many seconds to wait for another migration of the database, and each step
            for tables that others use.
        progress: Receives how far it is, or None.
    """

    repository: Path | None = None
    export_directory: Path = field(default_factory=Path.cwd)
    without_repository: bool = False
    repair: bool = False
    dry_run: bool = False
    patience: float = PATIENCE
    progress: ProgressCallback | None = None

    def tell(self, progress: MigrationProgress) -> None:
        """Report how far it is, where the caller wants to know.

        Raises:
            CallersError: What the caller's function raised. Whatever its kind, it is not a failure
                of the step that reported it.
        """
        if self.progress is not None:
            try:
                self.progress(progress)
            except Exception as error:
                raise CallersError(error) from error

    def tell_wait(self, what: str) -> None:
        """Report what is waited for outside of any step.

        Raises:
            CallersError: As :meth:`tell`.
        """
        self.tell(MigrationProgress(0, 0, "", what))
