"""Runs single steps of the Django line, and makes databases at any of its versions.

For tests of what one step does: the fixture ``at`` gives a connection to a database at a version,
made by replaying the files from 0001 on, and ``run_step`` is what happens next, in one
transaction::

    connection = await at(13)
    await connection.execute("insert into db_dbnode …")
    await run_step(connection, 14)

The bookkeeping is that of the age. The runner has tests of its own; nothing of it is needed here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from aiidadb.migration.options import MigrationOptions
from aiidadb.migration.python_step import StepContext, StepOutcome
from tests.helpers.databases import Databases, connected

if TYPE_CHECKING:
    from collections.abc import Mapping

    import asyncpg

    from aiidadb.migration.python_step import PythonStep


__all__ = ["Step", "database_at", "django_steps", "prelude", "run_step"]

_DESCRIPTION: Final = "Database schema version"  # AiiDA's words
_MIGRATIONS: Final = Path(__file__).parents[2] / "sql" / "migrations"
_STEPS_BETWEEN_TEMPLATES: Final = 12
_COMMENTS = re.compile(r"^--.*$", re.MULTILINE)
_CALL = re.compile(r"^-- call: (\w+)$", re.MULTILINE)


@dataclass(frozen=True)
class Step:
    """One file of the chain."""

    number: int
    name: str
    text: str

    @property
    def version(self) -> str:
        return f"1.0.{self.number}"

    def header(self, key: str) -> str | None:
        """The value of a line ``-- key: value`` with its continuation lines, or None."""
        found = re.search(rf"^-- {key}: (.*(?:\n--   .*)*)", self.text, re.MULTILINE)
        return None if found is None else re.sub(r"\n--   ", "\n", found[1])


@cache
def prelude() -> str:
    """The functions that the steps use, to be sent once a session."""
    return (_MIGRATIONS / "common.sql").read_text(encoding="utf-8")


@cache
def django_steps() -> Mapping[int, Step]:
    """All files of the Django line, by number."""
    paths = sorted((_MIGRATIONS / "django").glob("[0-9][0-9][0-9][0-9]_*.sql"))
    steps = (Step(int(path.name[:4]), path.stem, path.read_text("utf-8")) for path in paths)
    return {step.number: step for step in steps}


async def run_step(
    connection: asyncpg.Connection,
    number: int,
    *,
    repository: Path | None = None,
    export_directory: Path | None = None,
    without_repository: bool = False,
    dry_run: bool = False,
) -> tuple[StepOutcome, ...]:
    """Run one step in a transaction of its own, with its bookkeeping.

    Args:
        connection: To a database at the version before, outside a transaction.
        number: The step's number; its file is ``NNNN_….sql``.
        repository: The file repository, for steps that need one.
        export_directory: Where files go; the current directory by default.
        without_repository: There is no repository to care for.
        dry_run: Roll back instead of committing.

    Returns:
        What the Python steps that the file calls gave back, in order.
    """
    step = django_steps()[number]
    options = MigrationOptions(
        repository=repository,
        export_directory=export_directory or Path.cwd(),
        without_repository=without_repository,
        dry_run=dry_run,
    )
    context = StepContext(connection, options, progress=lambda _what, _done, _total: None)
    outcomes = []
    await connection.execute(prelude())
    transaction = connection.transaction()
    await transaction.start()
    try:
        # Script, name of a call, script, …: the sub-pattern is part of what split() returns.
        for position, part in enumerate(_CALL.split(step.text)):
            if position % 2:
                outcomes.append(await _python_steps()[part].run(context))
            elif _COMMENTS.sub("", part).strip():  # asyncpg fails on a script of comments alone
                await connection.execute(part)
        await _write_bookkeeping(connection, step)
    except BaseException:
        await transaction.rollback()
        raise
    await (transaction.rollback() if dry_run else transaction.commit())
    if not dry_run:
        for outcome in outcomes:
            for clear_away in outcome.after_commit:
                clear_away()
    return tuple(outcomes)


def _python_steps() -> Mapping[str, PythonStep]:
    from aiidadb.migration.steps import PYTHON_STEPS  # steps that call nothing need none of it

    return {step.name: step for step in PYTHON_STEPS}


async def _write_bookkeeping(connection: asyncpg.Connection, step: Step) -> None:
    if step.number >= 50:
        return  # Django's bookkeeping is gone
    await connection.execute(
        "insert into django_migrations (app, name, applied) values ('db', $1::text, now())",
        step.name,
    )
    if step.number < 37:
        columns, values = "tval, datatype", "$1::text, 'txt'"
    else:
        columns, values = "val", "to_jsonb($1::text)"
    await connection.execute(
        f"""
        insert into db_dbsetting (key, description, time, {columns})
        values ('db|schemaversion', '{_DESCRIPTION}', now(), {values})
        on conflict (key) do update
        set {", ".join(f"{name} = excluded.{name}" for name in columns.split(", "))}, time = now()
        """,
        step.version,
    )


async def database_at(databases: Databases, version: int) -> str:
    """Make a database at a version of the Django line, empty but for its bookkeeping.

    Args:
        databases: Where it is made, and dropped at the end.
        version: The number of the last step that has run, from 1 on.

    Returns:
        Its DSN.
    """
    return await databases.create(await _template_at(databases, version))


async def _template_at(databases: Databases, version: int) -> str | None:
    if version == 0:
        return None
    # A few steps take as long as a copy of a database: not every version is worth one.
    nearest = (version - 1) // _STEPS_BETWEEN_TEMPLATES * _STEPS_BETWEEN_TEMPLATES

    async def build(dsn: str) -> None:
        async with connected(dsn) as connection:
            for number in range(nearest + 1, version + 1):
                await run_step(connection, number, without_repository=True)

    base = await _template_at(databases, nearest)
    return await databases.template(f"replayed_{version:04}", build, base=base)
