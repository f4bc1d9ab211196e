"""What is in a container of files."""

from __future__ import annotations

import contextlib
import sqlite3
from typing import TYPE_CHECKING

from aiidadb.migration.repository.container import container_path
from tests.helpers.old_nodes import size_of_all

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["dead_bytes", "objects"]


def objects(place: Path) -> dict[str, bytes]:
    """All that a container holds, checked."""
    from disk_objectstore import Container

    with Container(place) as container:
        assert not any(vars(container.validate()).values())
        keys = list(container.list_all_objects())
        assert len(set(keys)) == len(keys)
        return {key: container.get_object_content(key) for key in keys}


def dead_bytes(repository: Path) -> int:
    """How many bytes of a container's packs belong to no object."""
    place = container_path(repository)
    with contextlib.closing(sqlite3.connect(place / "packs.idx")) as index:
        ((live,),) = index.execute("select coalesce(sum(length), 0) from db_object")
    return size_of_all(place / "packs") - int(live)
