"""``aiidadb status``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from aiidadb.cli.options import command_options
from aiidadb.cli.output.console import echo, visible
from aiidadb.cli.output.json_output import echo_json
from aiidadb.exceptions import CorruptStorage, IncompatibleStorageSchema, SchemaError
from aiidadb.version.schema_version import DJANGO_HEAD, MAIN_HEAD, SchemaVersion, head_for

if TYPE_CHECKING:
    from aiidadb.backend import Backend
    from aiidadb.cli.options import Database

__all__ = ["status"]


@click.command(short_help="Tell what database it is.")
@command_options
def status(database: Database) -> None:
    """Tell which database it is, of which version, and what can be done with it."""
    facts = database.call(_facts, doing=None, schema_check=False)
    if database.as_json:
        echo_json(facts)
        return
    width = max(map(len, facts))
    for name, value in facts.items():
        if value is not None:
            shown = ", ".join(map(str, value)) if isinstance(value, tuple) else value
            echo(f"{name.replace('_', ' '):<{width}}  {visible(shown)}")


async def _facts(backend: Backend) -> dict[str, object]:
    profile = backend.profile
    server = await backend.describe_server()
    facts: dict[str, object] = {
        "profile": profile.name,
        "host": profile.host,
        "port": profile.port,
        "database": profile.database,
        "user": profile.user,
        "default_user": profile.default_user_email,
        "repository": profile.repository,
        "server": f"PostgreSQL {server.version}{', read-only' if server.read_only else ''}",
        "size": server.size,
        "schema_version": None,
        "aiida": None,
        "problem": None,
        "notes": profile.notes or None,
    }
    version: SchemaVersion | None = None
    try:
        version = await backend.schema.get_schema_version_database()
        facts |= {"schema_version": str(version), "aiida": _aiida_of(version)}
        await backend.schema.validate_schema()
    except IncompatibleStorageSchema as error:
        # Behind is no problem: the line before says what to do.
        if version is None or version > head_for(version):
            facts["problem"] = error.for_command_line()
    except (CorruptStorage, SchemaError) as error:
        facts["problem"] = error.for_command_line()
    return facts


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
