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
from aiidadb.migration.repository.read_ahead import ReadAhead, list_ahead, reading_ahead

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_UUID = "aa11bbbb-0000-4000-8000-000000000001"


def _folder(repository: Path, uuid: str) -> Path:
    return nodes_path(repository) / uuid[:2] / uuid[2:4] / uuid[4:]


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    content = _folder(tmp_path, _UUID) / "path"
    (content / "sub").mkdir(parents=True)
    (content / "file").write_bytes(b"what is in it")
    (content / "sub" / "other").write_bytes(b"more")
    (content / "large").write_bytes(b"x" * 300_000)
    return tmp_path


def _read(repository: Path) -> ReadAhead:
    ahead = ReadAhead(repository)
    ahead.run()
    return ahead


def _handed_over(repository: Path) -> ReadAhead:
    """As the check before a migration leaves it: all is listed, and nothing read."""
    ahead = ReadAhead(repository)
    for name in SHARDS:
        ahead.keep(list_ahead(nodes_path(repository), name, lambda: None))
    return ahead


@pytest.mark.parametrize("begun", [ReadAhead, _handed_over])
def test_what_was_listed_lately_is_taken(
    repository: Path, begun: Callable[[Path], ReadAhead]
) -> None:
    ahead = begun(repository)
    ahead.run()
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


def test_what_was_handed_over_is_not_listed_again(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ahead = _handed_over(repository)
    monkeypatch.delattr(read_ahead, "list_ahead")
    ahead.run()
    found = ahead.take("aa")
    assert found is not None
    assert len(found.files) == 2


def test_what_was_listed_long_ago_is_listed_by_the_move(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ahead = _read(repository)
    assert ahead.take("aa") is not None
    monkeypatch.setattr(read_ahead, "_FRESH", 0.0)
    assert ahead.take("aa") is None


@pytest.mark.parametrize(
    "contents",
    [
        {},
        {"path": {}},
        {"path": {}, "raw_input": {"in": b"in"}},
        {"path": {".gitignore": b""}, "raw_input": {"in": b"in"}},
        {"path": {"out": b"out"}, "raw_input": {}},
        {"raw_input": {"in": b"in"}},
        {"raw_input": {}},
    ],
)
def test_a_shard_is_listed_with_its_files_as_without_them(
    tmp_path: Path, contents: dict[str, dict[str, bytes]]
) -> None:
    folder = _folder(tmp_path, _UUID)
    folder.mkdir(parents=True)
    for name, files in contents.items():
        (folder / name).mkdir()
        for file, written in files.items():
            (folder / name / file).write_bytes(written)
    listed = list_ahead(nodes_path(tmp_path), "aa", lambda: None)
    assert listed.shard == list_shard(nodes_path(tmp_path), "aa")
    folders = listed.shard.folders.values()
    assert listed.trees == {content: read_tree(content) for content in folders}


def test_content_that_is_a_link_to_nowhere_is_not_taken_for_none(tmp_path: Path) -> None:
    folder = _folder(tmp_path, _UUID)
    folder.mkdir(parents=True)
    (folder / "path").symlink_to("nowhere")
    with pytest.raises(FileNotFoundError):
        list_ahead(nodes_path(tmp_path), "aa", lambda: None)


def test_files_that_cannot_be_read_are_left_for_later(repository: Path) -> None:
    content = _folder(repository, _UUID) / "path"
    (content / "broken").symlink_to("nowhere")
    os.mkfifo(content / "pipe")
    found = _read(repository).take("aa")
    assert found is not None
    assert {path for path, _ in found.trees[str(content)].files} > found.files.keys()
    assert not found.files.keys() & {f"{content}/broken", f"{content}/pipe"}


def test_what_cannot_be_listed_is_left_for_later(repository: Path) -> None:
    folder = _folder(repository, f"bb{_UUID[2:]}")
    for name in ("path", "raw_input"):
        (folder / name).mkdir(parents=True)
        (folder / name / "file").write_bytes(b"")
    ahead = _read(repository)
    assert [name for name in SHARDS if ahead.take(name) is None] == ["bb"]


def _repository_of_four(directory: Path) -> None:
    for digits in ("00", "44", "88", "cc"):
        content = _folder(directory, f"{digits}{str(uuids.uuid4())[2:]}") / "path"
        content.mkdir(parents=True)
        for number in range(5):
            (content / str(number)).write_bytes(b"four")


@pytest.mark.parametrize("begun", [ReadAhead, _handed_over])
def test_folders_in_memory_are_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, begun: Callable[[Path], ReadAhead]
) -> None:
    _repository_of_four(tmp_path)
    monkeypatch.setattr(read_ahead, "_FOLDERS", 2)
    ahead = begun(tmp_path)
    ahead.run()
    kept = [found for name in SHARDS if (found := ahead.take(name)) is not None]
    assert [found.shard.name for found in kept if found.trees] == ["00", "44"]
    assert [len(found.files) for found in kept if found.trees] == [5, 5]


@pytest.mark.parametrize("begun", [ReadAhead, _handed_over])
def test_contents_in_memory_are_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, begun: Callable[[Path], ReadAhead]
) -> None:
    _repository_of_four(tmp_path)
    monkeypatch.setattr(read_ahead, "_BYTES", 26)
    ahead = begun(tmp_path)
    ahead.run()
    kept = [found for name in SHARDS if (found := ahead.take(name)) is not None]
    assert sum(len(found.files) for found in kept) == 7


def test_names_of_files_in_memory_are_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _repository_of_four(tmp_path)
    monkeypatch.setattr(read_ahead, "_FILES", 12)
    ahead = _handed_over(tmp_path)
    kept = [found for name in SHARDS if (found := ahead.take(name)) is not None]
    assert 0 < sum(len(tree.files) for found in kept for tree in found.trees.values()) <= 12


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
