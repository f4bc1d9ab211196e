"""aiida-core 2.9.4 opens a migrated database by its own means, and reads every node and file."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Final

from tests.helpers.aiida_storage import aiida_profile_dictionary

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

__all__ = ["READ_IT_ALL", "files_before", "give_aiida_a_profile"]

READ_IT_ALL: Final = """
import hashlib, json
from aiida import load_profile, orm
from aiida.manage import get_manager
from disk_objectstore import Container

load_profile()
def files_of(node):
    repository = node.base.repository
    for root, _, names in repository.walk():
        for path in (str(root / name) for name in names):
            content = repository.get_object_content(path, "rb")
            yield path, hashlib.sha256(content).hexdigest()


told = {}
for node in orm.QueryBuilder().append(orm.Node).all(flat=True):
    told[node.uuid] = [
        type(node).__name__, node.base.attributes.all, node.base.extras.all, dict(files_of(node))
    ]
logs = orm.QueryBuilder().append(orm.Log).count()
storage = get_manager().get_profile_storage()
# Every object that a node names is there, and no other is; all are what their keys say.
unreferenced = storage.get_unreferenced_keyset(check_consistency=True)
with Container(storage.profile.repository_path / "container") as container:
    valid = container.validate().is_valid()
    objects = container.count_objects()
total = objects.packed + objects.loose
print(json.dumps([told, logs, sorted(unreferenced), valid, total], default=str))
"""
"""Prints, as JSON, all nodes with their files, and what the container holds."""


def give_aiida_a_profile(home: Path, dsn: str, repository: Path) -> None:
    """Write aiida-core's configuration, with the database as the default profile."""
    folder = home / ".aiida"
    folder.mkdir(parents=True)
    profile = {**aiida_profile_dictionary(dsn, repository), "test_profile": False}
    configuration = {
        "CONFIG_VERSION": {"CURRENT": 9, "OLDEST_COMPATIBLE": 9},
        "profiles": {"test": profile},
        "default_profile": "test",
    }
    (folder / "config.json").write_text(json.dumps(configuration), "utf-8")


def files_before(
    repository: Path, *, spent: Collection[str] = ("symbols.npy",)
) -> dict[str, dict[str, str]]:
    """The files of the old repository by their nodes' uuids, each with the hash of its content.

    Those that are spent, such as the symbols of trajectories since step 0027, are left out.
    """
    found: dict[str, dict[str, str]] = {}
    for folder in repository.glob("repository/node/*/*/*/*"):
        first, second, rest = folder.parts[-4:-1]
        found.setdefault(f"{first}{second}{rest}", {}).update(
            (str(path.relative_to(folder)), hashlib.sha256(path.read_bytes()).hexdigest())
            for path in folder.rglob("*")
            # AiiDA left such files in empty directories.
            if path.is_file() and path.name not in (*spent, ".gitignore")
        )
    return found
