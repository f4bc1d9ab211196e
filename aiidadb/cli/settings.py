"""``aiidadb settings``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from aiidadb.cli.groups import Group
from aiidadb.cli.options import command_options, group_options
from aiidadb.cli.output.console import echo, visible
from aiidadb.cli.output.json_output import deep_calls, echo_json
from aiidadb.cli.output.tables import table
from aiidadb.criteria.held_times import odd_time_of
from aiidadb.messages import cut, plural

if TYPE_CHECKING:
    from aiidadb.backend import Backend
    from aiidadb.cli.options import Database
    from aiidadb.settings import Setting

__all__ = ["settings"]


@click.group(cls=Group, short_help="Read and write settings.")
@group_options
def settings() -> None:
    """Read and write the settings that AiiDA keeps in the database.

    They are the rows of the table db_dbsetting, such as 'repository|uuid', and not the
    options of verdi config. AiiDA needs those that it wrote itself.
    """


@settings.command("list")
@command_options
def list_settings(database: Database) -> None:
    """List all settings."""
    found = database.call(lambda backend: backend.settings.get_all(), doing=None)
    if database.as_json:
        echo_json(found)
        return
    table(
        plural(len(found), "setting"),
        {"Key": "left", "Value": "left", "Description": "left", "Written, UTC": "right"},
        ((one.key, _value(one), one.description, _time(one)) for one in found),
        whole={"Key"},
        empty="No settings.",
    )


@settings.command("get", short_help="Print the value of a setting, as JSON.")
@click.argument("key")
@command_options
def get_setting(database: Database, key: str) -> None:
    """Print the value of the setting KEY, as JSON.

    With --json, print the whole setting: its key, value, description and time.
    """
    setting = database.call(lambda backend: backend.settings.get(key), doing=None)
    echo_json(setting if database.as_json else setting.value)


@settings.command(
    "set",
    short_help="Set KEY to VALUE, which is JSON.",
    context_settings={"ignore_unknown_options": True},  # -3 is a value
)
@click.argument("key")
@click.argument("value")
@click.option(
    "--description", help="What the setting is for. If omitted, an existing description is kept."
)
@command_options
def set_setting(database: Database, key: str, value: str, description: str | None) -> None:
    """Set KEY to VALUE, which is JSON: 3, true, '"text"', '{"a": [1]}'.

    A value that the setting already has is replaced, without asking for confirmation.
    """
    try:
        parsed = json.loads(value)
    except (ValueError, RecursionError) as error:
        raise click.UsageError(
            f"VALUE is not valid JSON ({error}); text needs quotes of its own: "
            f"'{json.dumps(value[:30], ensure_ascii=False)}'"
        ) from None

    async def write(backend: Backend) -> Setting:
        await backend.settings.set(key, parsed, description)
        return await backend.settings.get(key)

    setting = database.call(write, doing=None)
    if database.as_json:
        echo_json(setting)
    else:
        echo(f"{visible(setting.key)} = {_value(setting)}")


@settings.command("delete", short_help="Delete the setting KEY.")
@click.argument("key")
@command_options
def delete_setting(database: Database, key: str) -> None:
    """Delete the setting KEY, without asking for confirmation.

    A deleted setting cannot be restored: settings get --json prints it beforehand.
    """
    database.call(lambda backend: backend.settings.delete(key), doing=None)
    if database.as_json:
        echo_json({"deleted": key})
    else:
        echo(f"Deleted {visible(key)}.")


def _time(setting: Setting) -> str:
    if setting.time is None:
        return odd_time_of(setting.problem)
    return f"{setting.time:%Y-%m-%d %H:%M}"


def _value(setting: Setting, most: int = 60) -> str:
    """The value as short JSON, or in words what keeps Python from holding it."""
    if setting.value is None and setting.problem is not None and "value" in setting.problem:
        return f"({setting.problem.partition(';')[0]})"
    with deep_calls():
        text = visible(json.dumps(setting.value, ensure_ascii=False))
    return cut(text, most)
