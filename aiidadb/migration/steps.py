"""All steps: those written in Python, and those of the SQL files that make up the chain.

The files are named ``sql/migrations/<line>/NNNN_name.sql``, those of the sqlalchemy line
``NN_revision_name.sql``; each leads from where the one before it ends. Many of the django line are
steps of the sqlalchemy line as well, as their headers say. What is wrong with one is an error at
import.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, get_args

from aiidadb.exceptions import SqlFileError
from aiidadb.migration.repository.move_files import MOVE_REPOSITORY
from aiidadb.migration.step_file import read_steps
from aiidadb.migration.values.attributes import BUILD_JSON_FROM_EAV
from aiidadb.migration.values.exports import (
    DROP_DOUBLED_MEMBERSHIPS,
    EXPORT_LINKS,
    EXPORT_LOGS,
    EXPORT_WORKFLOWS,
)
from aiidadb.migration.values.orphans import EXPORT_LONG_LEVELS, EXPORT_ORPHANS, EXPORT_STRAYS
from aiidadb.migration.values.trajectories import MOVE_TRAJECTORY_SYMBOLS
from aiidadb.sql import sql_directory
from aiidadb.version.schema_version import Line, SchemaVersion

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from aiidadb.migration.python_step import PythonStep
    from aiidadb.migration.step_file import MigrationStep

__all__ = ["HAND_OVERS", "NOTES", "PRELUDE", "PYTHON_STEPS", "REST_OF_0024", "STEPS"]

PYTHON_STEPS: Final = (
    DROP_DOUBLED_MEMBERSHIPS,
    EXPORT_LINKS,
    EXPORT_LOGS,
    MOVE_TRAJECTORY_SYMBOLS,
    EXPORT_WORKFLOWS,
    EXPORT_STRAYS,
    BUILD_JSON_FROM_EAV,
    MOVE_REPOSITORY,
    EXPORT_LONG_LEVELS,
    EXPORT_ORPHANS,
)
"""The steps written in Python, in the order in which a database takes them."""

_PYTHON_STEPS: Final[Mapping[str, PythonStep]] = {step.name: step for step in PYTHON_STEPS}


def _read_lines(directory: Path) -> dict[SchemaVersion, MigrationStep]:
    """Read the files of all lines, which are its folders, and check that each chain is complete."""
    steps: dict[SchemaVersion, MigrationStep] = {}
    files = [path for line in get_args(Line) for path in sorted((directory / line).glob("*.sql"))]
    for path in files:
        for step in read_steps(path, _PYTHON_STEPS):
            line = path.parent.name
            if step.version.line == line and not f"{line}_{path.stem}".startswith(
                f"{step.version.schema_name}_"
            ):
                raise SqlFileError(f"{path}: its name does not say that it leads to {step.version}")
            if step.version in steps:
                raise SqlFileError(
                    f"{path}: it leads to {step.version}, and so does {steps[step.version].file}"
                )
            steps[step.version] = step
    return {
        version: step
        for line in get_args(Line)
        for version, step in _chain(line, steps.values()).items()
    }


def _chain(line: Line, steps: Iterable[MigrationStep]) -> dict[SchemaVersion, MigrationStep]:
    chain = sorted(
        (step for step in steps if step.version.line == line), key=lambda step: step.version
    )
    previous: SchemaVersion | None = None
    for step in chain:
        if step.origin != previous:
            raise SqlFileError(f"{step.file}: it starts from {step.origin}, not from {previous}")
        previous = step.version
    return {step.version: step for step in chain}


_DIRECTORY: Final = sql_directory() / "migrations"

NOTES: Final = (_DIRECTORY / "bookkeeping.sql").read_text(encoding="utf-8").strip()
"""The functions that record versions in the database, to be created in the session that does."""

PRELUDE: Final = f"{(_DIRECTORY / 'common.sql').read_text(encoding='utf-8').strip()}\n\n\n{NOTES}"
"""Those, and the functions that the steps use, to be created in each migrating session."""

STEPS: Final[Mapping[SchemaVersion, MigrationStep]] = _read_lines(_DIRECTORY)
"""All steps by the version that they lead to, line by line, in the order in which they run."""

HAND_OVERS: Final[Mapping[SchemaVersion, MigrationStep]] = {
    step.origin: step
    for step in read_steps(_DIRECTORY / "hand_over.sql", _PYTHON_STEPS)
    if step.origin is not None
}
"""How a database at the end of another line gets to ``main_0001``, in place of main's own first."""

(REST_OF_0024,) = read_steps(_DIRECTORY / "left_half_way" / "0024_dblog_update.sql", _PYTHON_STEPS)
"""What is left of that step where aiida-core 2.x did the first of its two revisions for it."""
