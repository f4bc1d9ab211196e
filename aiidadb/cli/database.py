"""``aiidadb status``, ``init`` and ``migrate``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from aiidadb.cli.options import command_options
from aiidadb.cli.show import console, echo_json, progress_bar, table
from aiidadb.exceptions import AiidaDbError, InvalidInputError
from aiidadb.version import DJANGO_HEAD, MAIN_HEAD, SchemaVersion

if TYPE_CHECKING:
    from aiidadb.cli.options import Database
    from aiidadb.migration.plan import MigrationPlan
    from aiidadb.migration.report import MigrationProgress, MigrationReport

__all__ = ["init", "migrate", "status"]


@click.command()
@command_options
async def status(database: Database) -> None:
    """Tell which database it is, of which version, and what can be done with it."""
    profile = database.profile
    facts: dict[str, object] = {
        "profile": profile.name,
        "host": profile.host,
        "port": profile.port,
        "database": profile.database,
        "user": profile.user,
        "default_user": profile.default_user_email,
        "repository": profile.repository,
    }
    async with database.open(schema_check=False) as backend:
        server = await backend.describe_server()
        facts |= {"server": f"PostgreSQL {server.version}", "size": server.size}
        if server.read_only:
            facts["server"] = f"{facts['server']}, read-only"
        try:
            version = await backend.schema.get_schema_version_database()
            facts |= {"schema_version": str(version), "aiida": _aiida_of(version)}
            facts["problem"] = None
        except AiidaDbError as error:
            facts |= {"schema_version": None, "aiida": None, "problem": str(error)}
    if database.as_json:
        echo_json(facts)
        return
    problem = facts.pop("problem")
    width = max(map(len, facts))
    for name, value in facts.items():
        if value is not None:
            click.echo(f"{name.replace('_', ' '):<{width}}  {value}")
    if problem:
        click.echo(f"{'problem':<{width}}  {problem}")


def _aiida_of(version: SchemaVersion) -> str:
    if version > MAIN_HEAD:
        return "newer than this aiidadb knows"
    if version == MAIN_HEAD:
        return "2.x, up to date"
    if version.line == "main":
        return "2.x; `aiidadb migrate` brings it up to date"
    if version == DJANGO_HEAD:
        return "1.6, served as it is; `aiidadb migrate` brings it to 2.x"
    if version > DJANGO_HEAD:
        return "on the way from 1.x to 2.x; `aiidadb migrate` goes on"
    return "0.x or 1.x; `aiidadb migrate` brings it up to date"


@click.command()
@click.option(
    "--to",
    "version",
    type=click.Choice([str(DJANGO_HEAD), str(MAIN_HEAD)]),
    default=str(MAIN_HEAD),
    show_default=True,
    help="For AiiDA 1.6, or for 2.x.",
)
@command_options
async def init(database: Database, version: str) -> None:
    """Make AiiDA's schema in a new, empty database."""
    async with database.open(schema_check=False) as backend:
        await backend.schema.initialise(version)
    if database.as_json:
        echo_json({"schema_version": version, "repository": database.profile.repository})
        return
    click.echo(f"Made the schema {version} in {database.profile.database}.")
    if database.profile.repository is None and version == str(MAIN_HEAD):
        click.echo(
            "No file repository was made: AiiDA itself needs one, give --repository or a profile."
        )


@click.command()
@click.option("--to", "target", metavar="VERSION", help="1.0.45 or main_0002.  [default: newest]")
@click.option("--plan", "plan_only", is_flag=True, help="Show what would run, and stop.")
@click.option("--sql", "sql_only", is_flag=True, help="Print what would be executed, and stop.")
@click.option("--dry-run", is_flag=True, help="Do it all, roll it back, tell the times.")
@click.option("--without-repository", is_flag=True, help="There are no files to care for.")
@click.option(
    "--export-directory",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where logs and workflows that leave the database go.  [default: here]",
)
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@command_options
async def migrate(
    database: Database,
    target: str | None,
    plan_only: bool,
    sql_only: bool,
    dry_run: bool,
    without_repository: bool,
    export_directory: Path | None,
    yes: bool,
) -> None:
    """Bring a database of AiiDA 0.x, 1.x or 2.x up to date."""
    if database.as_json and not (yes or plan_only or sql_only or dry_run):
        raise InvalidInputError("with --json nobody is asked: add --yes, --plan or --dry-run")
    async with database.open(schema_check=False) as backend:
        plan = await backend.schema.plan(target)
        if sql_only:
            click.echo(plan.sql())
            return
        if not database.as_json:
            _show_plan(plan)
        if plan_only or not plan.steps:
            if database.as_json:
                echo_json(_plan_facts(plan))
            return
        if not dry_run and not yes and not _agreed(database, plan):
            click.echo("Nothing was changed.")
            return
        with progress_bar(shown=not database.as_json) as bars:
            task = bars.add_task("Preparing", total=len(plan.steps))

            def tell(now: MigrationProgress) -> None:
                rows = f" ({now.rows:,}{_of(now.rows_total)} {now.what})" if now.rows else ""
                bars.update(
                    task,
                    completed=max(0, now.step - 1),
                    total=now.steps,
                    description=f"{now.name[:32]}{rows}",
                )

            report = await backend.schema.migrate(
                target,
                progress=tell,
                dry_run=dry_run,
                without_repository=without_repository,
                export_directory=export_directory,
            )
    if database.as_json:
        echo_json(report)
    else:
        _show_report(report)


def _agreed(database: Database, plan: MigrationPlan) -> bool:
    profile = database.profile
    click.echo(
        f"\nThis alters the tables {', '.join(plan.tables)}\n"
        f"of the database {profile.database}, and there is no way back but a backup:\n"
        f"  pg_dump --format=custom --file={profile.database}.dump {profile.database}"
    )
    if profile.repository is not None:
        click.echo(f"and a copy of {profile.repository}.")
    return click.confirm("Go on?", default=False)


def _plan_facts(plan: MigrationPlan) -> dict[str, object]:
    return {
        "from": str(plan.origin),
        "to": str(plan.target),
        "steps": [
            {
                "name": step.name,
                "version": str(step.version),
                "changes": step.changes,
                "tables": step.tables,
                "rows": step.rows,
                "rows_are_exact": step.rows_are_exact,
            }
            for step in plan.steps
        ],
    }


def _show_plan(plan: MigrationPlan) -> None:
    if not plan.steps:
        click.echo(f"The database is at {plan.origin}: nothing to do.")
        return
    table(
        f"From {plan.origin} to {plan.target}: {len(plan.steps)} steps",
        {"To": "left", "What changes": "left", "Rows": "right"},
        (
            (
                step.version,
                " ".join(step.changes.split()),
                "" if step.rows is None else f"{'' if step.rows_are_exact else '≤ '}{step.rows:,}",
            )
            for step in plan.steps
        ),
    )


def _show_report(report: MigrationReport) -> None:
    table(
        "Rolled back, as asked" if report.dry_run else f"Now at {report.version}",
        {"Step": "left", "Seconds": "right", "Rows": "right"},
        ((step.name, f"{step.seconds:.3f}", f"{step.rows:,}") for step in report.steps),
    )
    out = console()
    out.print(f"{len(report.steps)} steps in {report.seconds:.2f} s.")
    for path in report.files:
        click.echo(f"Wrote {path}")
    for note in report.notes:
        click.echo(f"Note: {note}")


def _of(total: int | None) -> str:
    return "" if total is None else f" of {total:,}"
