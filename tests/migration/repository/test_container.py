"""Containers for new databases: as aiida-core makes them, whole or not at all."""

from __future__ import annotations

import errno
import json
import os
import signal
import sys
from typing import TYPE_CHECKING

import pytest

from aiidadb.exceptions import MissingExtraError, RepositoryError
from aiidadb.migration.repository.container import (
    CONTAINER_DEFAULTS,
    container_path,
    create_container,
    discard_container,
    read_container_id,
)
from tests.helpers.processes import finished

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.quick


def shape(directory: Path) -> set[str]:
    return {str(path.relative_to(directory)) for path in directory.rglob("*")}


def test_a_container_equals_the_one_that_aiida_core_makes(tmp_path: Path) -> None:
    from aiida.storage.psql_dos.backend import CONTAINER_DEFAULTS as THEIRS
    from disk_objectstore import Container

    assert THEIRS == CONTAINER_DEFAULTS
    with Container(tmp_path / "theirs") as theirs:
        theirs.init_container(clear=True, **THEIRS)
    uuid = create_container(tmp_path / "new" / "repository")
    place = container_path(tmp_path / "new" / "repository")
    assert place == tmp_path / "new" / "repository" / "container"
    assert shape(place) == shape(tmp_path / "theirs")
    ours = json.loads((place / "config.json").read_text())
    peers = json.loads((tmp_path / "theirs" / "config.json").read_text())
    assert ours.pop("container_id") == uuid
    assert len(peers.pop("container_id")) == len(uuid) == 32
    assert ours == peers


def test_a_container_takes_objects(tmp_path: Path) -> None:
    from disk_objectstore import Container

    uuid = create_container(tmp_path)
    with Container(container_path(tmp_path)) as container:
        assert container.container_id == uuid
        key = container.add_object(b"content")
        assert container.get_object_content(key) == b"content"


def test_nothing_but_the_container_is_left(tmp_path: Path) -> None:
    create_container(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["container"]


def test_an_empty_directory_in_its_place_is_taken(tmp_path: Path) -> None:
    container_path(tmp_path).mkdir()
    assert read_container_id(tmp_path) is None
    assert create_container(tmp_path) == read_container_id(tmp_path)


def test_a_container_that_is_there_is_refused_and_not_touched(tmp_path: Path) -> None:
    uuid = create_container(tmp_path)
    with pytest.raises(RepositoryError, match="already exists and is not empty"):
        create_container(tmp_path)
    assert read_container_id(tmp_path) == uuid


@pytest.mark.parametrize("kind", ["file", "directory"])
def test_anything_else_in_its_place_is_refused_and_not_touched(tmp_path: Path, kind: str) -> None:
    place = container_path(tmp_path)
    if kind == "file":
        place.write_text("mine")
    else:
        place.mkdir()
        (place / "mine").write_text("mine")
    with pytest.raises(RepositoryError, match="container"):
        create_container(tmp_path)
    with pytest.raises(RepositoryError, match="container"):
        read_container_id(tmp_path)
    assert (place if kind == "file" else place / "mine").read_text() == "mine"


def test_a_broken_configuration_is_named(tmp_path: Path) -> None:
    create_container(tmp_path)
    (container_path(tmp_path) / "config.json").write_text("{}")
    with pytest.raises(RepositoryError, match=r"config\.json"):
        read_container_id(tmp_path)


def test_where_it_cannot_be_written_the_error_says_why(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RepositoryError, match="Not a directory"):
        create_container(tmp_path / "file" / "repository")


def test_a_disk_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(RepositoryError, match="No space left on device"):
        create_container(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_half_made_is_made_anew(tmp_path: Path) -> None:
    script = """
import os, signal, sys
from pathlib import Path
from aiidadb.migration.repository.container import create_container
create_container(Path(sys.argv[1]), announce=lambda _: os.kill(os.getpid(), signal.SIGKILL))
"""
    killed = finished([sys.executable, "-c", script, str(tmp_path)])
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert read_container_id(tmp_path) is None
    uuid = create_container(tmp_path)
    assert read_container_id(tmp_path) == uuid
    assert [path.name for path in tmp_path.iterdir()] == ["container"]


def test_discarding_removes_the_empty_container_of_that_id_alone(tmp_path: Path) -> None:
    from disk_objectstore import Container

    uuid = create_container(tmp_path)
    discard_container(tmp_path, "0" * 32)
    assert read_container_id(tmp_path) == uuid
    discard_container(tmp_path, uuid)
    assert list(tmp_path.iterdir()) == []
    discard_container(tmp_path, uuid)

    uuid = create_container(tmp_path)
    with Container(container_path(tmp_path)) as container:
        container.add_object(b"content")
    discard_container(tmp_path, uuid)
    assert read_container_id(tmp_path) == uuid


def test_without_the_package_the_error_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "disk_objectstore", None)
    with pytest.raises(MissingExtraError, match=r"aiidadb\[repository\]"):
        create_container(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_importing_it_does_not_need_the_package() -> None:
    script = """
import sys
sys.modules["disk_objectstore"] = sys.modules["numpy"] = None
import aiidadb.migration.repository.container, aiidadb.migration.steps
"""
    assert finished([sys.executable, "-c", script]).returncode == 0
