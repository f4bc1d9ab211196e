"""What is read of a repository before the move of the files has its turn."""

from __future__ import annotations

import os
import threading
import uuid as uuids
from typing import TYPE_CHECKING

import pytest

from aiidadb.migration.options import MigrationOptions
from aiidadb.migration.repository import read_ahead
from aiidadb.migration.repository.container_objects import read_small
from aiidadb.migration.repository.node_folders import SHARDS, list_shard, nodes_path, read_tree
from aiidadb.migration.repository.read_ahead import ReadAhead, reading_ahead

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_UUID = "aa11bbbb-0000-4000-8000-000000000001"


def _folder(repository: Path, uuid: str) -> Path:
    return nodes_path(repository) / uuid[:2] / uuid[2:4] / uuid[4:]


def _make_old(directory: Path) -> None:
    """As if nothing of it had been written lately."""
    for path in (*directory.rglob("*"), directory):
        os.utime(path, (1_500_000_000, 1_500_000_000), follow_symlinks=False)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    content = _folder(tmp_path, _UUID) / "path"
    (content / "sub").mkdir(parents=True)
    (content / "file").write_bytes(b"what is in it")
    (content / "sub" / "other").write_bytes(b"more")
    (content / "large").write_bytes(b"x" * 300_000)
    _make_old(tmp_path)
    return tmp_path


@pytest.fixture
def _long_after(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read_ahead, "_FRESH", 0.0)


def _read(repository: Path) -> ReadAhead:
    ahead = ReadAhead(repository)
    ahead.run()
    return ahead


@pytest.mark.parametrize("fresh", [0.0, 60.0])
def test_what_is_as_it_was_need_not_be_read_again(
    repository: Path, monkeypatch: pytest.MonkeyPatch, fresh: float
) -> None:
    monkeypatch.setattr(read_ahead, "_FRESH", fresh)
    ahead = _read(repository)
    found = ahead.take("aa")
    assert found is not None
    assert found.shard == list_shard(nodes_path(repository), "aa")
    content = str(_folder(repository, _UUID) / "path")
    assert found.trees == {content: read_tree(content)}
    small = [f"{content}/file", f"{content}/sub/other"]
    assert found.files == {path: read_small(path) for path in small}
    empty = ahead.take("bb")
    assert empty is not None
    assert empty.shard.folders == {}


def _add_file(folder: Path) -> None:
    (folder / "path" / "sub" / "new").write_bytes(b"")


def _remove_file(folder: Path) -> None:
    (folder / "path" / "file").unlink()


def _change_file(folder: Path) -> None:
    (folder / "path" / "file").write_bytes(b"what was in it")


def _change_file_in_size_alone(folder: Path) -> None:
    path = folder / "path" / "file"
    status = path.stat()
    path.write_bytes(b"shorter")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def _add_raw_input(folder: Path) -> None:
    (folder / "raw_input").mkdir()


def _add_node(folder: Path) -> None:
    (folder.parent / _UUID[4:].replace("1", "2") / "path").mkdir(parents=True)


def _add_nodes_with_other_digits(folder: Path) -> None:
    (folder.parents[1] / "99" / _UUID[4:] / "path").mkdir(parents=True)


def _remove_all(folder: Path) -> None:
    folder.rename(folder.parents[4] / "elsewhere")


@pytest.mark.usefixtures("_long_after")
@pytest.mark.parametrize(
    "change",
    [
        _add_file,
        _remove_file,
        _change_file,
        _change_file_in_size_alone,
        _add_raw_input,
        _add_node,
        _add_nodes_with_other_digits,
        _remove_all,
    ],
)
def test_what_has_changed_is_read_again(repository: Path, change: Callable[[Path], None]) -> None:
    ahead = _read(repository)
    change(_folder(repository, _UUID))
    assert ahead.take("aa") is None
    assert ahead.take("bb") is not None


@pytest.mark.usefixtures("_long_after")
def test_a_shard_that_comes_later_is_read(repository: Path) -> None:
    ahead = _read(repository)
    (_folder(repository, f"bb{_UUID[2:]}") / "path").mkdir(parents=True)
    assert ahead.take("bb") is None


def test_what_was_written_just_now_is_left_for_later(repository: Path) -> None:
    path = _folder(repository, _UUID) / "path" / "file"
    os.utime(path)
    ahead = _read(repository)
    assert ahead.take("aa") is None
    assert ahead.take("bb") is not None


def test_what_cannot_be_read_is_left_for_later(repository: Path) -> None:
    (_folder(repository, _UUID) / "path" / "broken").symlink_to("nowhere")
    named = _folder(repository, f"bb{_UUID[2:]}") / "path"
    named.mkdir(parents=True)
    os.mkfifo(named / "pipe")
    _make_old(repository)
    ahead = _read(repository)
    assert [name for name in SHARDS if ahead.take(name) is None] == ["aa", "bb"]


@pytest.mark.parametrize(("name", "most", "whole"), [("_BYTES", 30, 1), ("_FOLDERS", 2, 1)])
def test_memory_is_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, most: int, whole: int
) -> None:
    for digits in ("00", "44", "88", "cc"):
        content = _folder(tmp_path, f"{digits}{str(uuids.uuid4())[2:]}") / "path"
        content.mkdir(parents=True)
        for number in range(5):
            (content / str(number)).write_bytes(b"four")
    _make_old(tmp_path)
    monkeypatch.setattr(read_ahead, name, most)
    ahead = _read(tmp_path)
    kept = [found for name in SHARDS if (found := ahead.take(name)) is not None]
    assert [found.shard.name for found in kept if found.trees] == ["00", "44"][:whole]


async def test_reading_ahead_ends_with_what_it_is_for(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, left = threading.Event(), threading.Event()

    def run(self: ReadAhead) -> None:
        begun.set()
        assert self._left_off.wait(20)
        left.set()

    monkeypatch.setattr(ReadAhead, "run", run)
    with pytest.raises(ZeroDivisionError):
        async with reading_ahead(MigrationOptions(repository=repository)) as ahead:
            assert ahead is not None
            raise ZeroDivisionError
    assert left.is_set() or not begun.is_set()


async def test_without_a_repository_nothing_is_read() -> None:
    async with reading_ahead(MigrationOptions()) as ahead:
        assert ahead is None
