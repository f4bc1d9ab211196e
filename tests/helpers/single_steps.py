"""Runs single steps of the lines of AiiDA 1.x, and makes databases at any of their versions.

For tests of what one step does: the fixture ``at`` gives a connection to a database at a version,
made by replaying the files from 0001 on, and ``run_step`` is what happens next, in one
transaction::

    connection = await at(13)
    await connection.execute("insert into db_dbnode …")
    await run_step(connection, 14)

That is the Django line; ``line="sqlalchemy"`` is the other one. The bookkeeping is that
of the age. The runner has tests of its own; nothing of it is needed here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from aiidadb.migration.options import MigrationOptions
from aiidadb.migration.python_step import StepContext, StepOutcome
from aiidadb.version.schema_version import SchemaVersion
from tests.helpers.databases import Databases, connected, run_script
from tests.helpers.real_databases import schema_script

if TYPE_CHECKING:
    from collections.abc import Mapping

    import asyncpg

    from aiidadb.migration.python_step import PythonStep
    from aiidadb.version.schema_version import Line

__all__ = ["Step", "database_at", "django_steps", "prelude", "run_step", "steps_of"]

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

    line: Line

    @property
    def version(self) -> str:
        return str(SchemaVersion(self.line, self.number))

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
    return steps_of("django")


@cache
def steps_of(line: Line) -> Mapping[int, Step]:
    """All files of a line, by number, each without the parts that are of another line alone."""
    from aiidadb.migration.step_file import _body_for
    from aiidadb.migration.steps import STEPS

    return {
        version.number: Step(version.number, step.name, _body_for(line, step.source), line)
        for version, step in STEPS.items()
        if version.line == line
    }


async def run_step(
    connection: asyncpg.Connection,
    number: int,
    *,
    repository: Path | None = None,
    export_directory: Path | None = None,
    without_repository: bool = False,
    dry_run: bool = False,
    line: Line = "django",
) -> tuple[StepOutcome, ...]:
    """Run one step in a transaction of its own, with its bookkeeping.

    Args:
        connection: To a database at the version before, outside a transaction.
        number: The step's number; its file is ``NNNN_….sql``.
        repository: The file repository, for steps that need one.
        export_directory: Where files go; the current directory by default.
        without_repository: There is no repository to care for.
        dry_run: Roll back instead of committing.
        line: Whose step it is.

    Returns:
        What the Python steps that the file calls gave back, in order.
    """
    step = steps_of(line)[number]
    options = MigrationOptions(
        repository=repository,
        export_directory=export_directory or Path.cwd(),
        without_repository=without_repository,
        dry_run=dry_run,
    )
    context = StepContext(connection, options, lambda _what, _done, _total: None, line)
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
    if step.line == "sqlalchemy":
        await connection.execute("update alembic_version set version_num = $1", step.version)
        return
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


async def database_at(databases: Databases, version: int, line: Line = "django") -> str:
    """Make a database at a version of a line, empty but for its bookkeeping.

    Args:
        databases: Where it is made, and dropped at the end.
        version: The number of the last step that has run, from 1 on.
        line: The line. That of SQLAlchemy has the schema that AiiDA itself gives it, the other one
            that of our own steps.

    Returns:
        Its DSN.
    """
    if line == "sqlalchemy":

        async def build(dsn: str) -> None:
            name = SchemaVersion(line, version)
            await run_script(dsn, schema_script(name.schema_name))
            await run_script(
                dsn,
                f"""
                create table alembic_version (
                    version_num varchar(32) constraint alembic_version_pkc primary key
                );
                insert into alembic_version values ('{name}')
                """,
            )

        return await databases.create(await databases.template(f"sqla_{version:02}", build))
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
