"""aiida-core 2.9.4 in a process of its own, on a copy of a database."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import asyncpg

from tests.helpers.aiida_storage import aiida_profile_dictionary

if TYPE_CHECKING:
    from tests.helpers.databases import Databases

__all__ = ["copy_of", "migrate_by_aiida", "run_aiida"]

_MIGRATE: Final = """
import json, sys
from aiida.manage.configuration.profile import Profile
from aiida.storage.psql_dos.migrations.utils import provenance_redesign
from aiida.storage.psql_dos.migrator import PsqlDosMigrator

# Where its django_0020 has something to report, it fails in this function.
provenance_redesign.write_database_integrity_violation = lambda *_: None

with PsqlDosMigrator(Profile("test", json.loads(sys.argv[1]))) as migrator:
    if len(sys.argv) > 2:
        migrator.migrate_up(sys.argv[2])
    else:
        migrator.migrate()
"""


async def run_aiida(script: str, home: Path, *arguments: str) -> str:
    """Run a script with aiida-core in a process of its own; gives what it prints."""

    def run() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-W", "ignore", "-c", script, *arguments],
            env={"AIIDA_PATH": str(home), "PATH": str(Path(sys.executable).parent)},
            cwd=home,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    done = await asyncio.to_thread(run)
    assert done.returncode == 0, done.stderr
    return done.stdout


async def migrate_by_aiida(dsn: str, home: Path, revision: str | None = None) -> None:
    """Have aiida-core migrate a database.

    Args:
        dsn: The database.
        home: Where aiida-core keeps what is its own, and where the file repository is.
        revision: Where to, such as ``django_0036``; the database must have its ``alembic_version``
            then. Without one to the newest.
    """
    (home / "repository" / "node").mkdir(parents=True, exist_ok=True)
    profile = json.dumps(aiida_profile_dictionary(dsn, home))
    await run_aiida(_MIGRATE, home, profile, *([revision] if revision else []))


async def copy_of(databases: Databases, name: str) -> str:
    """Copy a database without connections; returns the DSN of the copy."""
    connection = await asyncpg.connect(databases.server_dsn)
    try:
        await connection.execute(f'create database "{name}_copy" template "{name}"')
    finally:
        await connection.close()
    return databases.dsn(f"{name}_copy")
