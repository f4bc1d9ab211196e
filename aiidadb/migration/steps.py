"""All steps: those written in Python, and those of the SQL files that make up the chain.

The files are named ``sql/migrations/<line>/NNNN_name.sql``; each leads from where the one before it
ends. What is wrong with one is an error at import.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from aiidadb.exceptions import SqlFileError
from aiidadb.migration.repository.move_files import MOVE_REPOSITORY
from aiidadb.migration.step_file import MigrationStep, read_step
from aiidadb.migration.values.attributes import BUILD_JSON_FROM_EAV
from aiidadb.migration.values.exports import EXPORT_LINKS, EXPORT_LOGS, EXPORT_WORKFLOWS
from aiidadb.migration.values.trajectories import MOVE_TRAJECTORY_SYMBOLS
from aiidadb.sql import sql_directory

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from aiidadb.migration.python_step import PythonStep
    from aiidadb.version.schema_version import SchemaVersion

__all__ = ["HAND_OVER", "NOTES", "PRELUDE", "PYTHON_STEPS", "REST_OF_0024", "STEPS"]

PYTHON_STEPS: Final = (
    EXPORT_LINKS,
    EXPORT_LOGS,
    MOVE_TRAJECTORY_SYMBOLS,
    EXPORT_WORKFLOWS,
    BUILD_JSON_FROM_EAV,
    MOVE_REPOSITORY,
)
"""The steps written in Python, in the order in which a database takes them."""

_PYTHON_STEPS: Final[Mapping[str, PythonStep]] = {step.name: step for step in PYTHON_STEPS}
_FILE_NAME = re.compile(r"(\d{4})_\w+")


def _read_line(directory: Path) -> dict[SchemaVersion, MigrationStep]:
    steps: dict[SchemaVersion, MigrationStep] = {}
    previous: SchemaVersion | None = None
    for path in sorted(directory.glob("*.sql")):
        step = read_step(path, _PYTHON_STEPS)
        named = _FILE_NAME.fullmatch(path.stem)
        if named is None or f"{directory.name}_{named[1]}" != step.version.schema_name:
            raise SqlFileError(f"{path}: its name does not say that it leads to {step.version}")
        if step.origin != previous:
            raise SqlFileError(f"{path}: it starts from {step.origin}, not from {previous}")
        steps[step.version] = step
        previous = step.version
    return steps


_DIRECTORY: Final = sql_directory() / "migrations"

NOTES: Final = (_DIRECTORY / "bookkeeping.sql").read_text(encoding="utf-8").strip()
"""The functions that note versions in the database, to be created in the session that does."""

PRELUDE: Final = f"{(_DIRECTORY / 'common.sql').read_text(encoding='utf-8').strip()}\n\n\n{NOTES}"
"""Those, and the functions that the steps use, to be created in each migrating session."""

STEPS: Final[Mapping[SchemaVersion, MigrationStep]] = {
    **_read_line(_DIRECTORY / "django"),
    **_read_line(_DIRECTORY / "main"),
}
"""All steps by the version that they lead to, in the order in which a database takes them."""

HAND_OVER: Final = read_step(_DIRECTORY / "hand_over.sql", _PYTHON_STEPS)
"""How a database of the django line gets to ``main_0001``, in place of that line's own first."""

REST_OF_0024: Final = read_step(
    _DIRECTORY / "left_half_way" / "0024_dblog_update.sql", _PYTHON_STEPS
)
"""What is left of that step where aiida-core 2.x did the first of its two revisions for it."""
