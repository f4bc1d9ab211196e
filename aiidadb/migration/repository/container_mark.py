"""Whose container it is: the mark by which a migration that was stopped recognises its own.

A container and a database do not commit together. While a migration fills a container, the file
``container-unfinished.json`` beside it names both; it is removed after the commit. Where it names
this database, the container is this database's and was never committed with it: filling continues.
Any other container may be in use, and is refused.
"""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Final

from aiidadb.exceptions import StorageMigrationError
from aiidadb.migration.crash_safe_files import replace_file
from aiidadb.migration.repository.container import (
    container_path,
    create_container,
    read_container_id,
)

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["MARK", "check_place", "remove_mark", "take_place"]

MARK: Final = "container-unfinished.json"
"""The file beside a container that a migration is still filling."""


def check_place(repository: Path, owner: str) -> str | None:
    """Check whether a database may put a container in its place, or continue one. Blocks.

    Args:
        repository: The profile's repository.
        owner: What the database is known by.

    Returns:
        The id of the container that an earlier run began; None where there is none.

    Raises:
        RepositoryError: There is something in its place that is not a container.
        StorageMigrationError: There is another database's container, or its mark.
        OSError: The directory cannot be read.
    """
    place = container_path(repository)
    mark = _read_mark(repository)
    container_id = read_container_id(repository)
    if mark and mark.get("database") != owner:
        raise StorageMigrationError(
            f"{repository / MARK} says that another database's files are being moved to {place}: "
            "let that migration end first, or, if that database is gone, remove both and run again"
        )
    if container_id is not None and mark.get("container") != container_id:
        raise StorageMigrationError(
            f"{place} already exists, and no migration of this database created it: if it is left "
            "over from an attempt with aiida-core, remove it and run again; if a database uses it, "
            "name another repository"
        )
    return container_id


def take_place(repository: Path, owner: str) -> str:
    """Make a container and mark it, or take over the one that an earlier run began. Blocks.

    Call it while nothing else can write to the container.

    Args:
        repository: The profile's repository.
        owner: What the database is known by.

    Returns:
        The container's id.

    Raises:
        MissingExtraError: The package ``disk-objectstore`` is not installed.
        RepositoryError: It cannot be made.
        StorageMigrationError: As :func:`check_place`.
        OSError: The directory cannot be read.
    """
    container_id = check_place(repository, owner)
    if container_id is None:
        return create_container(repository, announce=partial(_write_mark, repository, owner))
    for lock in (container_path(repository) / "packs").glob("*.lock"):
        lock.unlink()  # a killed process left it, and while it exists no process can write
    return container_id


def remove_mark(repository: Path) -> None:
    """Say that the container is whole and its database committed. Blocks.

    Args:
        repository: The profile's repository.

    Raises:
        OSError: It cannot be removed.
    """
    (repository / MARK).unlink(missing_ok=True)


def _read_mark(repository: Path) -> dict[str, str]:
    try:
        mark = json.loads((repository / MARK).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError:
        mark = None
    if not isinstance(mark, dict):
        raise StorageMigrationError(
            f"{repository / MARK} does not say whose container is being filled: remove it and run "
            "again, and the container with it if no database uses that"
        )
    return mark


def _write_mark(repository: Path, owner: str, container_id: str) -> None:
    mark = {
        "container": container_id,
        "database": owner,
        "meaning": "aiidadb is moving the files of this repository into the container beside this "
        "file; run the migration again to finish it",
    }
    replace_file(repository / MARK, f"{json.dumps(mark, indent=1)}\n")
