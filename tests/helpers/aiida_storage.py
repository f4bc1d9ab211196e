"""A database as a storage of aiida-core, in this process."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, unquote, urlsplit

if TYPE_CHECKING:
    from pathlib import Path

    from aiida.storage.psql_dos.backend import PsqlDosBackend

__all__ = ["aiida_profile_dictionary", "aiida_storage"]


def aiida_storage(dsn: str, repository: Path) -> PsqlDosBackend:
    """aiida-core's storage of a database, initialised already."""
    from aiida.manage.configuration import Profile
    from aiida.storage.psql_dos.backend import PsqlDosBackend

    return PsqlDosBackend(Profile("test", aiida_profile_dictionary(dsn, repository)))


def aiida_profile_dictionary(dsn: str, repository: Path) -> dict[str, object]:
    """A profile as aiida-core's ``config.json`` has it."""
    parts = urlsplit(dsn)
    name = parts.path[1:]
    if socket := parse_qs(parts.query).get("host"):
        # aiida-core puts its settings into a URL unquoted, where a path cannot be a host.
        name = f"{name}?host={socket[0]}"
    return {
        "PROFILE_UUID": str(uuid.uuid4()),
        "default_user_email": "ada@epfl.ch",
        "storage": {
            "backend": "core.psql_dos",
            "config": {
                "database_engine": "postgresql_psycopg",
                "database_hostname": parts.hostname,
                "database_port": parts.port or 5432,
                "database_username": unquote(parts.username or "postgres"),
                "database_password": unquote(parts.password or ""),
                "database_name": name,
                "repository_uri": repository.as_uri(),
            },
        },
        "process_control": {"backend": None, "config": {}},
        "test_profile": True,
    }
