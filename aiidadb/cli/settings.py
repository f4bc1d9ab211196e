"""``aiidadb settings``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from aiidadb.cli.options import command_options
from aiidadb.cli.show import echo_json, table
from aiidadb.exceptions import InvalidInputError

if TYPE_CHECKING:
    from aiidadb.cli.options import Database

__all__ = ["settings"]


@click.group()
def settings() -> None:
    """Read and write the settings that AiiDA keeps in the database."""


@settings.command("list")
@command_options
async def list_settings(database: Database) -> None:
    """List all settings."""
    async with database.open() as backend:
        found = await backend.settings.get_all()
    if database.as_json:
        echo_json(found)
        return
    table(
        f"{len(found)} settings",
        {"Key": "left", "Value": "left", "Description": "left", "Written": "left"},
        (
            (one.key, _short(one.value), one.description, f"{one.time:%Y-%m-%d %H:%M}")
            for one in found
        ),
    )


@settings.command("get")
@click.argument("key")
@command_options
async def get_setting(database: Database, key: str) -> None:
    """Print the value of the setting KEY, as JSON."""
    async with database.open() as backend:
        setting = await backend.settings.get(key)
    echo_json(setting if database.as_json else setting.value)


@settings.command("set")
@click.argument("key")
@click.argument("value")
@click.option("--description", help="What it is for; without it the old one stays.")
@command_options
async def set_setting(database: Database, key: str, value: str, description: str | None) -> None:
    """Set KEY to VALUE, which is JSON: 3, true, '"text"', '{"a": [1]}'."""
    try:
        parsed = json.loads(value)
    except ValueError as error:
        raise InvalidInputError(
            f"{value!r} is no JSON ({error}): a text needs quotes of its own, '\"{value}\"'"
        ) from error
    async with database.open() as backend:
        await backend.settings.set(key, parsed, description)
        setting = await backend.settings.get(key)
    if database.as_json:
        echo_json(setting)
    else:
        click.echo(f"{setting.key} = {_short(setting.value)}")


@settings.command("delete")
@click.argument("key")
@command_options
async def delete_setting(database: Database, key: str) -> None:
    """Delete the setting KEY."""
    async with database.open() as backend:
        await backend.settings.delete(key)
    if database.as_json:
        echo_json({"deleted": key})
    else:
        click.echo(f"Deleted {key}.")


def _short(value: object, most: int = 60) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= most else f"{text[: most - 1]}…"
