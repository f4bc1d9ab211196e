"""What will run to bring a database from the version it has to the one that is wanted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, get_args

from aiidadb.exceptions import (
    IncompatibleStorageSchema,
    InvalidInputError,
    StorageMigrationError,
)
from aiidadb.messages import plural
from aiidadb.migration.connection import SESSION_SETTINGS
from aiidadb.migration.steps import HAND_OVERS, PRELUDE, REST_OF_0024, STEPS
from aiidadb.version.advice import USE_A_NEWER_AIIDADB
from aiidadb.version.aiida_releases import releases_for
from aiidadb.version.schema_version import MAIN_HEAD, Line, are_comparable

if TYPE_CHECKING:
    from aiidadb.migration.python_step import PythonStep
    from aiidadb.migration.step_file import MigrationStep
    from aiidadb.version.database_version import Bookkeeping
    from aiidadb.version.schema_version import SchemaVersion

__all__ = ["MigrationPlan", "PlannedStep", "find_origin", "make_plan", "route"]


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """A step that will run.

    Attributes:
        step: The step.
        rows: How many rows it will change, if :attr:`rows_are_exact`; else how many the tables
            that it touches have now, which is the most. None where that is not known before, as
            the tables come with a step in between, or where they were not counted.
        rows_are_exact: Whether it is the step's own count.
    """

    step: MigrationStep
    rows: int | None = None
    rows_are_exact: bool = False

    @property
    def name(self) -> str:
        """The step's name, such as ``0014_add_node_uuid_unique_constraint``."""
        return self.step.name

    @property
    def version(self) -> SchemaVersion:
        """The version after it."""
        return self.step.version

    @property
    def changes(self) -> str:
        """What it changes, in a sentence or three."""
        return self.step.changes

    @property
    def tables(self) -> tuple[str, ...]:
        """The tables that it touches."""
        return self.step.tables


@dataclass(frozen=True, slots=True)
class MigrationPlan:
    """What will run, in order.

    Attributes:
        origin: The version that the database has.
        target: The version that it will have.
        steps: The steps; empty where there is nothing to do.
        schema: The schema that holds AiiDA's tables.
        is_half_way: Whether aiida-core 2.x began to migrate the database and left it with both
            bookkeepings; the first step corrects that.
    """

    origin: SchemaVersion
    target: SchemaVersion
    steps: tuple[PlannedStep, ...]
    schema: str
    is_half_way: bool = False

    @property
    def form(self) -> SchemaVersion:
        """The version whose tables and columns the database has.

        It is the origin, except for what aiida-core 2.x left within 0024: logs have the columns of
        after it there.
        """
        if self.steps and self.steps[0].step is REST_OF_0024:
            return REST_OF_0024.version
        return self.origin

    @property
    def opened_by(self) -> str | None:
        """The releases of AiiDA that open the database now, such as ``1.4 to 1.6``; None: none."""
        return releases_for(self.origin)

    @property
    def will_be_opened_by(self) -> str | None:
        """The releases of AiiDA that open it afterwards; there is no way back."""
        return releases_for(self.target)

    @property
    def tables(self) -> tuple[str, ...]:
        """All tables that are touched, by name."""
        return tuple(sorted({table for planned in self.steps for table in planned.tables}))

    @property
    def python_steps(self) -> tuple[PythonStep, ...]:
        """The steps written in Python that will be called, in order."""
        return tuple(step for planned in self.steps for step in planned.step.python_steps)

    @property
    def calls(self) -> tuple[str, ...]:
        """The names of the steps written in Python that will be called, in order."""
        return tuple(step.name for step in self.python_steps)

    @property
    def settlement(self) -> str | None:
        """The statement that the first transaction starts with, if any."""
        if not self.is_half_way or not self.steps:
            return None
        taken = [
            f"'{step.name}'"
            for version, step in _steps_of("django").items()
            if version <= self.origin
        ]
        names = ", ".join(taken)
        return f"select pg_temp.aiidadb_settle_half_way(array[{names}], '{self.origin}');"

    def sql(self) -> str:
        """All that will be executed, as one script for ``psql``; calls are comments.

        A plan without calls can be carried out with it.
        """
        lines = [
            f"-- From {self.origin} to {self.target}: {plural(len(self.steps), 'step')}.",
            "-- Needs to be alone: nothing else may use the database meanwhile.",
            "",
            f"select set_config('search_path', quote_ident({_literal(self.schema)}), false);",
            *(_set(name, text) for name, text in SESSION_SETTINGS.items()),
            "",
            PRELUDE,
        ]
        for position, planned in enumerate(self.steps):
            step = planned.step
            lines += ["", "", f"-- {step.version.schema_name}: {step.name}", "begin;"]
            if position == 0 and self.settlement:
                lines += ["", self.settlement]
            for part in step.parts:
                lines += ["", part if isinstance(part, str) else f"-- call: {part.name}"]
            lines += ["", step.bookkeeping, "commit;"]
        return "\n".join(lines) + "\n"


def make_plan(bookkeeping: Bookkeeping, target: SchemaVersion) -> MigrationPlan:
    """Find what has to run.

    Args:
        bookkeeping: What the database says of itself. Only under the migration lock does it hold
            until the plan is carried out.
        target: The version that is wanted.

    Raises:
        SchemaError: There is no way to the target, as for :func:`find_origin`.
        InvalidInputError: As there.
    """
    origin = find_origin(bookkeeping, target)
    steps = route(origin, target)
    if bookkeeping.is_within_0024 and steps:
        steps[0] = REST_OF_0024
    return MigrationPlan(
        origin,
        target,
        tuple(PlannedStep(step) for step in steps),
        schema=bookkeeping.schema or "",
        is_half_way=bookkeeping.is_half_way,
    )


def find_origin(bookkeeping: Bookkeeping, target: SchemaVersion) -> SchemaVersion:
    """Find the version that a database has, from which there is a way to the target.

    Args:
        bookkeeping: What the database says of itself.
        target: The version that is wanted.

    Raises:
        InvalidInputError: There is no such version to go to.
        NotAnAiidaDatabase: It is empty, or not AiiDA's.
        IncompatibleStorageSchema: The version that it has is ahead, or is not of these lines.
        CorruptStorage: What it says contradicts itself.
        StorageMigrationError: The way to the target leads backwards.
    """
    if target not in STEPS:
        raise InvalidInputError(f"there is no way to {target}: the versions are {_known()}")
    origin = bookkeeping.version()
    if origin not in STEPS:
        raise IncompatibleStorageSchema(
            f"the database has schema version {origin}, which is ahead of the versions known "
            f"here ({_known()})",
            advice=USE_A_NEWER_AIIDADB,
        )
    if not are_comparable(target, origin):
        raise InvalidInputError(
            f"the database has schema version {origin}, of the {origin.line} line, and {target} is "
            f"of the {target.line} line: both lead to {MAIN_HEAD}, and neither to the other"
        )
    if target < origin:
        raise StorageMigrationError(
            f"the database has schema version {origin}, and there is no way back to {target}: "
            "restore a backup from before it was migrated"
        )
    _refuse_other_names(bookkeeping)
    return origin


def route(origin: SchemaVersion, target: SchemaVersion) -> list[MigrationStep]:
    """The steps from one version to another."""
    steps = [
        step
        for version, step in STEPS.items()
        if are_comparable(version, origin) and origin < version <= target
    ]
    hand_over = HAND_OVERS.get(next(reversed(_steps_of(origin.line))))
    return [hand_over if hand_over and step.origin is None else step for step in steps]


def _set(name: str, text: str) -> str:
    """A statement that ignores a setting that the server does not know."""
    known = f"from pg_settings where lower(name) = '{name}'"
    return f"select set_config(name, {_literal(text)}, false) {known};"


def _literal(text: str) -> str:
    quoted = text.replace("'", "''")
    return f"'{quoted}'"


def _steps_of(line: Line) -> dict[SchemaVersion, MigrationStep]:
    return {version: step for version, step in STEPS.items() if version.line == line}


def _known() -> str:
    """All versions, the first and the last of each line."""
    ends = [(min(_steps_of(line)), max(_steps_of(line))) for line in get_args(Line)]
    return ", ".join(f"{first} … {last}" for first, last in ends)


def _refuse_other_names(bookkeeping: Bookkeeping) -> None:
    known = {step.name for step in _steps_of("django").values()}
    others = [name for name in bookkeeping.django_steps or () if name not in known]
    if others:
        raise IncompatibleStorageSchema(
            f"django_migrations holds {others[0]!r} for AiiDA, which no release of AiiDA has: what "
            "that step did is not known, so it cannot be migrated"
        )
