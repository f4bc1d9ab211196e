"""The container of AiiDA 2.x: the ``disk-objectstore`` beside a database, made new and empty.

aiida-core 2.x keeps the files of all nodes in ``<repository>/container`` and opens a database only
if the container's id is the value of its setting ``repository|uuid``.
"""

from __future__ import annotations

import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

from aiidadb.exceptions import MissingExtraError, RepositoryError
from aiidadb.migration.crash_safe_files import sync_directory

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import ModuleType

__all__ = [
    "CONTAINER_DEFAULTS",
    "container_path",
    "create_container",
    "discard_container",
    "import_disk_objectstore",
    "read_container_id",
]

CONTAINER_DEFAULTS: Final[dict[str, int | str]] = {
    "pack_size_target": 4 * 1024**3,
    "loose_prefix_len": 2,
    "hash_type": "sha256",
    "compression_algorithm": "zlib+1",
}
"""How aiida-core 2.0 to 2.9 makes a container; bytes and characters."""

# Made under this name and renamed when whole: a container is complete or does not exist.
_UNDER_WAY = ".container-being-made"
_FLUSHED_AT_ONCE: Final = 8


def import_disk_objectstore() -> ModuleType:
    """Import the package that containers are made with.

    Returns:
        The module ``disk_objectstore``.

    Raises:
        MissingExtraError: It is not installed.
    """
    try:
        import disk_objectstore
    except ImportError as error:
        raise MissingExtraError(
            "AiiDA's container of files needs the package disk-objectstore: "
            "pip install 'aiidadb[repository]'"
        ) from error
    return disk_objectstore


def container_path(repository: Path) -> Path:
    """Where aiida-core 2.x looks for the container of a profile.

    Args:
        repository: The directory that the profile's ``repository_uri`` names.
    """
    return repository / "container"


def read_container_id(repository: Path) -> str | None:
    """The id of the container that is there.

    Args:
        repository: The profile's repository.

    Returns:
        32 hexadecimal digits, or None where there is no container.

    Raises:
        RepositoryError: There is something in its place that is not a container.
    """
    place = container_path(repository)
    try:
        if _is_free(place):
            return None
        text = (place / "config.json").read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        raise RepositoryError(
            f"{place} exists and is not a container of AiiDA's (it has no config.json): "
            "move it away, or name another repository"
        ) from None
    except OSError as error:
        raise RepositoryError(f"{place} cannot be read: {error}") from error
    try:
        return str(json.loads(text)["container_id"])
    except (ValueError, KeyError, TypeError) as error:
        raise RepositoryError(
            f"{place / 'config.json'} is not the configuration of a container: "
            "restore it from a backup"
        ) from error


def create_container(repository: Path, *, announce: Callable[[str], None] | None = None) -> str:
    """Make a new, empty container, as aiida-core 2.9.4 does for a new profile.

    It is made aside and renamed when it is whole and on the disk, so a process that is killed
    leaves no incomplete one. The call blocks: run it in a thread.

    Args:
        repository: The profile's repository; made where it is missing.
        announce: Receives the id after the container is made and before it is in its place.

    Returns:
        The container's id, 32 hexadecimal digits: the value for the setting ``repository|uuid``.

    Raises:
        MissingExtraError: The package ``disk-objectstore`` is not installed.
        RepositoryError: There is a container already, or something else in its place, or the
            directory cannot be written.
    """
    disk_objectstore = import_disk_objectstore()
    place = container_path(repository)
    under_way = repository / _UNDER_WAY
    try:
        if not _is_free(place):
            raise RepositoryError(
                f"{place} already exists and is not empty; a container belongs to one database: "
                "name another repository, or move it away if no database needs it"
            )
        repository.mkdir(parents=True, exist_ok=True)
        if under_way.exists():  # of a process that was killed
            shutil.rmtree(under_way)
        with disk_objectstore.Container(under_way) as container:
            container.init_container(clear=False, **CONTAINER_DEFAULTS)
            container_id = str(container.container_id)
        _sync_tree(under_way)
        if announce is not None:
            announce(container_id)
        under_way.rename(place)  # fails where something came into its place meanwhile
        sync_directory(repository)
    except OSError as error:
        shutil.rmtree(under_way, ignore_errors=True)
        raise RepositoryError(
            f"no container could be created at {place}: {error.strerror or error}"
        ) from error
    return container_id


def discard_container(repository: Path, container_id: str) -> None:
    """Remove a container that was made just now, because what it was made for failed.

    Nothing happens where there is none of that id, or where it holds an object.

    Args:
        repository: The profile's repository.
        container_id: What :func:`create_container` returned.

    Raises:
        RepositoryError: It cannot be removed.
    """
    disk_objectstore = import_disk_objectstore()
    place = container_path(repository)
    try:
        if read_container_id(repository) != container_id:
            return
        with disk_objectstore.Container(place) as container:
            if any(True for _ in container.list_all_objects()):
                return
        shutil.rmtree(place)
        sync_directory(repository)
    except OSError as error:
        raise RepositoryError(f"{place} could not be removed: {error}") from error


def _sync_tree(directory: Path) -> None:
    """Flush all that is in a directory to the disk together, which takes fewer passes."""
    paths = [directory, *directory.rglob("*")]
    with ThreadPoolExecutor(_FLUSHED_AT_ONCE) as threads:
        for _ in threads.map(_sync, paths):
            pass


def _sync(path: Path) -> None:
    if path.is_dir():
        sync_directory(path)
        return
    with path.open("rb") as handle:
        os.fsync(handle.fileno())


def _is_free(place: Path) -> bool:
    try:
        return next(place.iterdir(), None) is None
    except FileNotFoundError:
        return True
    except NotADirectoryError:  # it, or what it would be in
        return not os.path.lexists(place)
