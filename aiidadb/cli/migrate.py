"""``aiidadb migrate``."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from aiidadb.cli.exit_status import FAILED, REFUSED
from aiidadb.cli.options import command_options
from aiidadb.cli.output.console import as_text, echo, paragraph, say, visible
from aiidadb.cli.output.json_output import echo_json
from aiidadb.cli.output.progress import progress_bar
from aiidadb.cli.output.questions import agreed
from aiidadb.cli.output.tables import table
from aiidadb.messages import cut, plural
from aiidadb.migration.findings import MigrationCheck
from aiidadb.migration.repository.move_files import MOVE_REPOSITORY
from aiidadb.version.aiida_releases import no_way_back
from aiidadb.version.schema_version import DJANGO_HEAD, MAIN_HEAD, SQLALCHEMY_HEAD

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.progress import Progress

    from aiidadb.cli.options import Database
    from aiidadb.connecting.profiles.profile import Profile
    from aiidadb.migration.findings import Finding
    from aiidadb.migration.plan import MigrationPlan
    from aiidadb.migration.report import MigrationProgress, MigrationReport

__all__ = ["migrate"]

_INDENT: Final = 2  # of what stands below a heading

_AIIDA_OF: Final = {
    DJANGO_HEAD: "AiiDA 1.6",
    SQLALCHEMY_HEAD: "AiiDA 1.6",
    MAIN_HEAD: "AiiDA 2.x",
}


@click.command()
@click.option(
    "--to",
    "target",
    metavar="VERSION",
    help=f"The schema version to migrate to: {MAIN_HEAD} for AiiDA 2.4 to 2.9, {DJANGO_HEAD} for "
    f"AiiDA 1.4 to 1.6 ({SQLALCHEMY_HEAD} with its SQLAlchemy backend), or any version in "
    f"between.  [default: {MAIN_HEAD}]",
)
@click.option("--plan", "plan_only", is_flag=True, help="Show the steps that would run, and stop.")
@click.option(
    "--check",
    "check_only",
    is_flag=True,
    help="Report what would prevent the migration or be lost in it, and stop. The exit status is 3 "
    "if the migration would be refused.",
)
@click.option(
    "--sql", "sql_only", is_flag=True, help="Print the SQL that would be executed, and stop."
)
@click.option(
    "--dry-run", is_flag=True, help="Run all steps, roll them back, and report the times."
)
@click.option(
    "--repair",
    is_flag=True,
    help="First repair, without loss, what --check reports as repairable.",
)
@click.option(
    "--without-repository",
    is_flag=True,
    help="Do not refuse if the file repository, or files in it, are missing. Files that are found "
    "are still migrated. AiiDA 2.x does not open the result without a file container: to have an "
    "empty one created, add --repository with an empty directory.",
)
@click.option(
    "--export-directory",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where to write JSON files with what the migration removes from the database: legacy "
    "workflows of AiiDA 0.x, logs and other rows of nodes that no longer exist, duplicates, and "
    "what cannot be read. --check lists them.  [default: the current directory]",
)
@click.option("--yes", "-y", is_flag=True, help="Do not ask for confirmation.")
@command_options
def migrate(
    database: Database,
    target: str | None,
    plan_only: bool,
    check_only: bool,
    sql_only: bool,
    dry_run: bool,
    repair: bool,
    without_repository: bool,
    export_directory: Path | None,
    yes: bool,
) -> None:
    """Bring a database of AiiDA 0.x, 1.x or 2.x up to date.

    Beforehand, stop the daemon (verdi daemon stop) and whatever else uses the
    database, and make a backup of both the database (pg_dump) and the file
    repository. What would prevent the migration, and the steps that will run, are
    shown before you are asked to confirm.

    Afterwards, install AiiDA 2.x (or 1.6, with --to 1.0.45) with compatible
    versions of your plugins, check that verdi status reports no problem, and
    start the daemon again.
    """
    if database.as_json and not (yes or plan_only or check_only or sql_only or dry_run):
        raise click.UsageError(
            "--json cannot ask for confirmation: add --yes, --plan, --check, --sql or --dry-run"
        )
    plan = database.call(
        lambda backend: backend.schema.plan(target),
        doing="Planning the migration",
        schema_check=False,
    )
    if sql_only:
        _print_sql(database, plan)
    elif check_only or plan_only or not plan.steps:
        check = MigrationCheck()
        if plan.steps:
            check = database.call(
                lambda backend: backend.schema.check(
                    target,
                    without_repository=without_repository,
                    export_directory=export_directory,
                ),
                doing="Looking for obstacles",
                schema_check=False,
            )
        if check_only:
            _tell_check(database, plan, check, repair=repair)
        else:
            _tell_plan(database, plan, check, repair=repair)
    else:
        how: dict[str, Any] = {
            "target": target,
            "repair": repair,
            "without_repository": without_repository,
            "export_directory": export_directory,
        }
        asks = not (yes or dry_run)
        if asks:  # else the migration itself looks, before its first change
            database.call(
                lambda backend: backend.schema.require_migratable(**how),
                doing="Checking whether it can run",
                schema_check=False,
            )
        if not database.as_json:
            _show_plan(plan)
        if asks:
            _ask(database, plan)
        report = _run(database, plan, dry_run=dry_run, **how)
        if database.as_json:
            echo_json(report)
        else:
            _show_report(report)


def _print_sql(database: Database, plan: MigrationPlan) -> None:
    text = plan.sql() if plan.steps else ""
    if database.as_json:
        echo_json({"sql": text})
    elif text:
        echo(text, end="")
    else:
        echo(_nothing_to_do(plan), stderr=True)


def _ask(database: Database, plan: MigrationPlan) -> None:
    """Say what will be altered, and how to make a backup; end here unless the answer is yes."""
    profile = database.profile
    echo()
    paragraph(f"This alters {database.described}: its tables {', '.join(plan.tables)}.")
    echo("Stop the daemon (verdi daemon stop) and whatever else uses the database.")
    echo(f"The only way back is a backup:\n  {_pg_dump(profile)}")
    if profile.repository is not None and plan.calls:
        echo(f"and a copy of the files in {profile.repository}.")
    if profile.repository is None and MOVE_REPOSITORY.name in plan.calls:
        paragraph(
            "No file container will be created, because no file repository was named, and AiiDA "
            "2.x does not open the database without one; aiidadb cannot add it later. To have an "
            "empty one created, add --repository with an empty directory."
        )
    if not agreed(f"Migrate {database.described} to {plan.target}?"):
        echo("Nothing was changed.")
        raise click.exceptions.Exit(FAILED)


def _run(
    database: Database, plan: MigrationPlan, *, dry_run: bool, **options: Any
) -> MigrationReport:
    with progress_bar(shown=not database.as_json) as bars:
        tracker = _Progress(bars, len(plan.steps))
        try:
            return database.call(
                lambda backend: backend.schema.migrate(
                    progress=tracker.tell, dry_run=dry_run, **options
                ),
                doing=None,
                schema_check=False,
            )
        except KeyboardInterrupt as interrupt:
            interrupt.add_note(
                "nothing was changed"
                if dry_run
                else "each step is applied completely or not at all; run it again to continue"
            )
            raise


class _Progress:
    """Two bars: the steps, and the rows of the step that runs."""

    def __init__(self, bars: Progress, steps: int) -> None:
        self._bars = bars
        self._all = bars.add_task("Migrating", total=steps, count=f"0 of {steps}")
        self._one = bars.add_task("", total=None, count="", visible=False)
        self._waited_for: set[str] = set()

    def tell(self, now: MigrationProgress) -> None:
        """Show where the migration is."""
        if now.what.startswith("waiting") and now.what not in self._waited_for:
            # Too long for a bar, and worth keeping: it names what is in the way.
            self._waited_for.add(now.what)
            self._bars.console.print(as_text(f"{now.name} {now.what}".strip()))
        if now.steps:
            self._bars.update(
                self._all,
                completed=max(0, now.step - 1),
                total=now.steps,
                description=_cut(visible(now.name)),
                count=f"{now.step} of {now.steps}",
            )
        self._bars.update(
            self._one,
            completed=now.rows,
            total=now.rows_total,
            description=_cut(visible(f"  {now.what}")),
            count=_rows(now),
            visible=True,
        )


def _cut(text: str, most: int = 32) -> str:
    return cut(text, most).ljust(most)


def _rows(now: MigrationProgress) -> str:
    if not now.rows:
        return ""
    return f"{now.rows:,}" if now.rows_total is None else f"{now.rows:,} of {now.rows_total:,}"


def _pg_dump(profile: Profile) -> str:
    """The command that makes a backup, on one server; a password it takes from the environment."""
    name = profile.database or profile.user or "aiida"
    words = ["pg_dump", "-Fc", "-f", f"{name}.dump"]
    host = profile.host[0] if isinstance(profile.host, tuple) else profile.host
    port = profile.port[0] if isinstance(profile.port, tuple) else profile.port
    for option, value in (("-h", host), ("-p", port), ("-U", profile.user)):
        if value is not None:
            words += [option, str(value)]
    return shlex.join([*words, name])


def _plan_facts(plan: MigrationPlan) -> dict[str, object]:
    return {
        "from": str(plan.origin),
        "to": str(plan.target),
        "opened_by": plan.opened_by,
        "will_be_opened_by": plan.will_be_opened_by,
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


def _tell_plan(
    database: Database, plan: MigrationPlan, check: MigrationCheck, *, repair: bool
) -> None:
    if database.as_json:
        echo_json({**_plan_facts(plan), "findings": check.findings})
    elif plan.steps:
        _show_plan(plan)
        _show_findings(check.findings, repair=repair)
        _say_that_repair_is_needed(check, repair=repair)
    else:
        echo(_nothing_to_do(plan))


def _tell_check(
    database: Database, plan: MigrationPlan, check: MigrationCheck, *, repair: bool
) -> None:
    """Show all that was found; ends here with a status of its own where something is refused."""
    if database.as_json:
        echo_json({"from": str(plan.origin), "to": str(plan.target), "findings": check.findings})
    elif check.findings:
        found = plural(len(check.findings), "finding")
        echo(f"From {plan.origin} to {plan.target}: {found}")
        _show_findings(check.findings, repair=repair)
        _say_that_repair_is_needed(check, repair=repair)
    else:
        echo(
            f"Nothing prevents the migration from {plan.origin} to {plan.target}, and nothing is "
            "lost."
            if plan.steps
            else _nothing_to_do(plan)
        )
    if check.refused:
        raise click.exceptions.Exit(REFUSED)


def _say_that_repair_is_needed(check: MigrationCheck, *, repair: bool) -> None:
    if check.repairable and not repair:
        echo()
        paragraph(
            "aiidadb migrate refuses repairable findings unless asked to repair them: add --repair."
        )


def _show_findings(findings: Sequence[Finding], *, repair: bool) -> None:
    """What was found, each with what becomes of it, and what to do, behind an empty line."""
    for finding in findings:
        outcome = (
            "repaired first, in a separate step"
            if repair and finding.action == "repairable"
            else finding.action
        )
        at = f" at {finding.step}" if finding.step else ""
        echo()
        say(f"{finding.code}{at}: {outcome}", "bold")
        paragraph(finding.message, indent=_INDENT)
        if finding.pks:
            more = ", …" if finding.count > len(finding.pks) else ""
            paragraph(f"Ids: {', '.join(map(str, finding.pks))}{more}", indent=_INDENT)
        if finding.remedy and finding.action != "exported":
            paragraph(f"To do: {finding.remedy}", indent=_INDENT)


def _nothing_to_do(plan: MigrationPlan) -> str:
    return f"The database is at {plan.origin}: nothing to do."


def _show_plan(plan: MigrationPlan) -> None:
    table(
        f"From {plan.origin} to {plan.target}: {plural(len(plan.steps), 'step')}",
        {"To": "left", "Rows": "right", "What changes": "left"},
        (
            (
                step.version,
                "" if step.rows is None else f"{'' if step.rows_are_exact else '≤ '}{step.rows:,}",
                " ".join(step.changes.split()),
            )
            for step in plan.steps
        ),
    )
    paragraph(no_way_back(plan.origin, plan.target))


def _show_report(report: MigrationReport) -> None:
    if report.dry_run and report.findings:  # what is to be thought of before it is done in earnest
        _show_findings(report.findings, repair=True)
        echo()
    table(
        "Rolled back, as requested" if report.dry_run else f"Now at {report.version}",
        {"Step": "left", "Seconds": "right", "Rows": "right"},
        ((step.name, f"{step.seconds:.3f}", f"{step.rows:,}") for step in report.steps),
    )
    echo(f"{plural(len(report.steps), 'step')} in {report.seconds:.2f} s.")
    if not report.dry_run and report.findings:
        _show_findings(report.findings, repair=True)
        echo()
    for path in report.files:
        echo(f"Wrote {path}")
    for note in report.notes:
        paragraph(f"Note: {' '.join(note.split())}")
    if not report.dry_run and report.version in _AIIDA_OF:
        paragraph(
            f"Next: install {_AIIDA_OF[report.version]} with versions of your plugins that are "
            "made for it, check that `verdi status` reports no problem, and start the daemon "
            "(verdi daemon start). Keep the backup until you have seen your data."
        )
