"""Databases with a small campaign, and AiiDA's configuration for them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, unquote, urlsplit

from aiidadb.connecting.opening.connection import connect
from aiidadb.connecting.profiles.profile import Profile
from aiidadb.demo.campaign import USERS, fill_with_campaign
from aiidadb.sql import SCHEMAS
from tests.helpers.databases import run_script

if TYPE_CHECKING:
    from pathlib import Path

    from tests.helpers.databases import Databases

NODES = 600


async def make_campaign(databases: Databases, schema: str) -> str:
    """A database with 600 nodes of band-structure workflows; gives its DSN."""

    async def build(dsn: str) -> None:
        await run_script(dsn, SCHEMAS[schema])
        connection = await connect(Profile.from_dsn(dsn))
        try:
            await fill_with_campaign(connection, nodes=NODES)
        finally:
            await connection.close()

    return await databases.create(await databases.template(f"campaign_{schema}", build))


def write_config(directory: Path, dsn: str, name: str = "main") -> Path:
    """Write an AiiDA ``config.json`` with one profile, the default; gives the file.

    ``AIIDA_PATH`` is the directory.
    """
    parts = urlsplit(dsn)
    storage = {
        "database_engine": "postgresql_psycopg",
        "database_hostname": parts.hostname or parse_qs(parts.query)["host"][0],
        "database_port": parts.port or 5432,
        "database_username": unquote(parts.username or "postgres"),
        "database_password": unquote(parts.password or ""),
        "database_name": parts.path[1:],
        "repository_uri": (directory / "repository").as_uri(),
    }
    profile = {
        "PROFILE_UUID": "0" * 32,
        "default_user_email": USERS[0],
        "storage": {"backend": "core.psql_dos", "config": storage},
        "process_control": {"backend": None, "config": {}},
    }
    path = directory / ".aiida" / "config.json"
    path.parent.mkdir()
    path.write_text(
        json.dumps(
            {
                "CONFIG_VERSION": {"CURRENT": 9, "OLDEST_COMPATIBLE": 9},
                "default_profile": name,
                "profiles": {name: profile},
            }
        )
    )
    return path
