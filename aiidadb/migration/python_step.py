"""A step written in Python: what it is, what it is given, and what it gives back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    import asyncpg

    from aiidadb.migration.options import MigrationOptions
    from aiidadb.version.schema_version import Line

__all__ = ["PythonStep", "StepContext", "StepOutcome"]


@dataclass(frozen=True, slots=True)
class StepContext:
    """What a step may work with.

    Attributes:
        connection: A connection inside the step's transaction. The step neither commits nor rolls
            back; it raises where it cannot continue, and the runner rolls back.
        options: How the migration is to be run.
        progress: Receives what is worked on, how many rows are done, and how many there are in all
            (None where that is not known).
        line: Whose step it is: what lies in rows of its own in the django line, before 1.0.37, lies
            in JSONB columns in the sqlalchemy line.
        ahead: What the step's :attr:`PythonStep.ahead` gave; None where it did not begin.
    """

    connection: asyncpg.Connection
    options: MigrationOptions
    progress: Callable[[str, int, int | None], None]
    line: Line = "django"
    ahead: object = None


@dataclass(frozen=True, slots=True)
class StepOutcome:
    """What a step did.

    Attributes:
        rows: Rows of the database that were written, or written to a file.
        files: Files written; they are on the disk, flushed, before the transaction commits.
        notes: What the report must say, a sentence or more each.
        after_commit: What to call once the transaction is committed, in a thread, never in a dry
            run: clearing away what was needed to continue after a crash. It may be lost in one, so
            nothing may depend on it.
    """

    rows: int = 0
    files: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()
    after_commit: tuple[Callable[[], None], ...] = ()


async def _find_nothing(_context: StepContext) -> None:
    """What a step checks that only its own rows can stop."""


@dataclass(frozen=True, slots=True)
class PythonStep:
    """What a step's SQL file calls by ``-- call: NAME``.

    Attributes:
        name: The name that files call it by.
        run: Does it, inside the step's transaction; raises an error of aiidadb where that cannot be
            done.
        check: Raises what ``run`` would raise, as far as that can be seen before the migration's
            first change: on a database of any version before the step. Only reads.
        ahead: What it does outside the database while the steps before it run, given the options
            and what the check has listed of the files of nodes: entered before the first of them,
            left at the end of the migration, whatever end that is. Only reads.
        finding: The code of the finding that its check's error is; empty where it has none of its
            own, and the step's name stands for it.
    """

    name: str
    run: Callable[[StepContext], Awaitable[StepOutcome]]
    check: Callable[[StepContext], Awaitable[object]] = _find_nothing
    ahead: Callable[[MigrationOptions, object], AbstractAsyncContextManager[object]] | None = None
    finding: str = ""
