"""``aiidadb status``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import asyncpg
import click

from aiidadb.cli.exit_status import FAILED
from aiidadb.cli.options import DSN_VARIABLE, command_options
from aiidadb.cli.output.json_output import echo_json
from aiidadb.cli.output.tables import table
from aiidadb.connecting.uninterrupted import in_thread
from aiidadb.exceptions import IncompatibleStorageSchema, RepositoryError, SchemaError
from aiidadb.migration.process_state_index import ProcessStateIndex
from aiidadb.migration.repository.container import read_container_id
from aiidadb.sql import QUERIES
from aiidadb.text import find_problem
from aiidadb.version.aiida_releases import no_way_back, releases_for
from aiidadb.version.generation import GENERATION
from aiidadb.version.schema_version import (
    DJANGO_HEAD,
    MAIN_HEAD,
    SQLALCHEMY_HEAD,
    SchemaVersion,
    head_for,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from aiidadb.backend import Backend
    from aiidadb.cli.options import Database

__all__ = ["status"]

# How facts are called where they are read by people, if not as in JSON.
_LABELS: Final[Mapping[str, str]] = {"aiida": "state", "opened_by": "can be opened by"}

# Facts that only say, beside another one, that it does not hold.
_DOUBTS: Final[Mapping[str, tuple[str, str]]] = {
    "default_user": ("default_user_exists", "not in the database"),
    "repository": ("repository_exists", "does not exist"),
}

# What is known of the file container, without which AiiDA 2.x does not open the database.
_CONTAINERS: Final[Mapping[object, str]] = {
    "missing": "there is none",
    "unreadable": "what is in its place cannot be read, or is not one",
    "not checked": "not checked: no repository was named",
}

_INDEX: Final = "process_state_index"

_PATIENCE: Final = 2.0
"""Seconds that a look at the users may take, whose table a migration can keep locked."""


@click.command(short_help="Report which database this is.")
@click.option(
    "--detailed",
    is_flag=True,
    help="Also count nodes, links, groups and the like, and look for missing indexes and for the "
    "optional one on process states. This may take a while.",
)
@command_options
def status(database: Database, detailed: bool) -> None:
    """Report which database this is, its version, and which operations aiidadb supports on it.

    The exit status is 1 if it supports none: the database's version is newer than this
    aiidadb knows, its records of the version contradict each other, or it is not an
    AiiDA database.
    """

    async def look(backend: Backend) -> dict[str, object]:
        facts = {**_origin(database), **await _facts(backend)}
        return {**facts, **await _details(backend)} if detailed else facts

    facts = database.call(look, doing="Counting" if detailed else None, schema_check=False)
    if database.as_json:
        echo_json(facts)
    else:
        table(None, {"What": "left", "Value": "left"}, _lines(facts), headings=False)
    if facts["problem"] is not None:
        raise click.exceptions.Exit(FAILED)


def _lines(facts: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    """Name and value as they are shown."""
    silent = {"container", *(doubt for doubt, _ in _DOUBTS.values())}
    for fact, value in {**facts, **_without_container(facts), **_named_index(facts)}.items():
        if fact in silent:
            continue
        name = _LABELS.get(fact, fact).replace("_", " ")
        if isinstance(value, dict):
            yield from ((each, f"{number:,}") for each, number in value.items())
        elif isinstance(value, tuple | list):
            yield name, ", ".join(map(str, value)) or "none"
        elif value is not None:
            doubt, words = _DOUBTS.get(fact, ("", ""))
            yield name, f"{value} ({words})" if facts.get(doubt) is False else value


def _without_container(facts: Mapping[str, object]) -> dict[str, object]:
    """The facts that say too much for a database whose container is not there, or not known of."""
    words = _CONTAINERS.get(facts["container"])
    if words is None:
        return {}
    return {
        "opened_by": f"{facts['opened_by']}, with a file container",
        "aiida": f"{facts['aiida']}; AiiDA does not open it without a file container ({words})",
    }


def _named_index(facts: Mapping[str, object]) -> dict[str, object]:
    """The index on process states by its name, where it was looked for."""
    if _INDEX not in facts:
        return {}
    index = facts[_INDEX]
    return {_INDEX: index.name if isinstance(index, ProcessStateIndex) else "none"}


def _origin(database: Database) -> dict[str, object]:
    """What named the database."""
    is_of_environment = database.is_of_environment
    return {
        "profile": database.profile.name if database.dsn is None else None,
        "database_from": f"environment variable {DSN_VARIABLE}" if is_of_environment else None,
    }


async def _facts(backend: Backend) -> dict[str, object]:
    profile = backend.profile
    server = await backend.describe_server()
    facts: dict[str, object] = {
        "host": profile.host,
        "port": profile.port,
        "database": profile.database,
        "user": profile.user,
        "default_user": profile.default_user_email,
        "default_user_exists": None,
        "repository": profile.repository,
        "repository_exists": await in_thread(lambda: _exists(profile.repository)),
        "server": f"PostgreSQL {server.version}{', read-only' if server.read_only else ''}",
        "size": server.size,
        "schema_version": None,
        "opened_by": None,
        "aiida": None,
        "after_migrating": None,
        "container": None,
        "problem": None,
        "notes": profile.notes or None,
    }
    schema = backend.schema
    version: SchemaVersion | None = None
    try:
        version = await schema.get_schema_version_database()
        facts |= {
            "schema_version": str(version),
            "opened_by": _opened_by(version),
            "aiida": _aiida_of(version),
            "after_migrating": no_way_back(version, MAIN_HEAD) if version < MAIN_HEAD else None,
        }
        if version.line == "main" and version <= MAIN_HEAD:
            facts["container"] = await in_thread(_find_container, profile.repository)
        facts["default_user_exists"] = await _is_user(backend, profile.default_user_email)
        await schema.validate_schema()
    except IncompatibleStorageSchema as error:
        # Being behind is not a problem: the line before says what to do.
        is_behind = version is not None and version < head_for(version)
        if not is_behind or await schema.get_schema_generation_database() != GENERATION:
            facts["problem"] = error.for_command_line()
    except SchemaError as error:
        facts["problem"] = error.for_command_line()
    return facts


async def _is_user(backend: Backend, email: str | None) -> bool | None:
    """Whether the database has a user with this address; None where that is not known."""
    if email is None or find_problem(email):
        return None
    try:
        async with backend.connection() as connection:
            rows = await QUERIES["user_by_email"].fetch(connection, email, timeout=_PATIENCE)
    except (asyncpg.PostgresError, TimeoutError):  # the role may not read users, or a step runs
        return None
    return bool(rows)


def _exists(directory: Path | None) -> bool | None:
    """Whether there is such a directory; None where that is not known."""
    try:
        return None if directory is None else directory.is_dir()
    except OSError:
        return None


def _find_container(repository: Path | None) -> str:
    """Whether the container of AiiDA 2.x is in the repository: a key for what is said of it."""
    if repository is None:
        return "not checked"
    try:
        return "exists" if read_container_id(repository) else "missing"
    except RepositoryError:
        return "unreadable"


async def _details(backend: Backend) -> dict[str, object]:
    return {
        "counts": await backend.schema.count_rows(),
        "missing_indexes": await backend.schema.get_unindexed_references(),
        _INDEX: await backend.schema.get_process_state_index(),
    }


def _opened_by(version: SchemaVersion) -> str:
    releases = releases_for(version)
    return "no release of AiiDA" if releases is None else f"AiiDA {releases}"


def _aiida_of(version: SchemaVersion) -> str:
    if version > head_for(version):
        return "newer than this aiidadb supports"
    if version == MAIN_HEAD:
        return "2.x, up to date"
    if version.line == "main":
        return "2.x; `aiidadb migrate` brings it up to date"
    if version == DJANGO_HEAD:
        return "1.6, served as it is; `aiidadb migrate` brings it to 2.x"
    if version == SQLALCHEMY_HEAD:
        return "1.4 to 1.6 with SQLAlchemy, served as it is; `aiidadb migrate` brings it to 2.x"
    if head_for(version) == MAIN_HEAD:
        return "partly migrated from 1.x to 2.x; `aiidadb migrate` continues"
    if version.line == "sqlalchemy":
        return "0.x or 1.x with SQLAlchemy; `aiidadb migrate` brings it up to date"
    return "0.x or 1.x; `aiidadb migrate` brings it up to date"
