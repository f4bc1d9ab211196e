"""Files that cannot be moved are all found before the first change."""

from __future__ import annotations

import asyncio
import concurrent.futures
import json
import os
import signal
import sys
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final

import anyio
import pytest

import aiidadb
from aiidadb.connecting.uninterrupted import in_thread
from aiidadb.migration.checks import files
from aiidadb.migration.checks.files import _Walk
from aiidadb.migration.repository import move_files
from aiidadb.migration.repository.lister_processes import ListerProcesses
from aiidadb.migration.repository.node_folders import nodes_path
from aiidadb.migration.repository.read_ahead import ReadAhead
from tests.helpers.databases import connected
from tests.helpers.migrating import opened
from tests.helpers.old_nodes import add_files, add_node, node_folder
from tests.helpers.single_steps import database_at

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from tests.helpers.databases import Databases

_NOBODY: Final = 65534  # a user and group without rights, on every Unix
FOLDER = "data.folder.FolderData."
UUIDS = [f"{number:02x}111111-0000-4000-8000-000000000000" for number in range(8)]


async def _with_nodes(databases: Databases, uuids: Sequence[str]) -> str:
    """The DSN of a new database at 1.0.45 with a node of each uuid."""
    dsn = await database_at(databases, 45)
    async with connected(dsn) as connection:
        for uuid in uuids:
            await add_node(connection, FOLDER, uuid)
    return dsn


async def test_all_that_cannot_be_moved_is_found_at_once(
    databases: Databases, tmp_path: Path
) -> None:
    dsn = await _with_nodes(databases, UUIDS)
    places = [add_files(tmp_path, uuid, {"sub/a": b"a"}) for uuid in UUIDS]
    for name in ("b", "c"):
        (places[0] / name).symlink_to("nowhere")
    (places[1] / "loop").symlink_to("loop")
    os.mkfifo(places[1] / "pipe")
    (places[2] / os.fsdecode(b"\xff")).write_bytes(b"")
    for uuid in UUIDS[3:5]:
        add_files(tmp_path, uuid, {"in": b"in"}, content="raw_input")
    # Empty is empty.
    (node_folder(tmp_path, UUIDS[5]) / "raw_input" / "sub").mkdir(parents=True)
    (places[6] / "link").symlink_to("sub/a")

    async with opened(dsn, tmp_path) as backend:
        check = await backend.schema.check()
        found = {finding.code: finding for finding in check.findings}
        assert {code: finding.count for code, finding in found.items()} == {
            "broken_link": 3,
            "special_file": 1,
            "unstorable_file_name": 1,
            "two_contents": 2,
        }
        assert check.refused == check.findings
        assert str(node_folder(tmp_path, UUIDS[3])) in found["two_contents"].message
        assert "\\xff" in found["unstorable_file_name"].message
        with pytest.raises(aiidadb.StorageMigrationError, match="4 findings"):
            await backend.schema.migrate()
        assert str(await backend.schema.get_schema_version_database()) == "1.0.45"

        for uuid in UUIDS[3:5]:
            (node_folder(tmp_path, uuid) / "raw_input" / "in").unlink()
        for path in (
            places[0] / "b",
            places[0] / "c",
            places[1] / "loop",
            places[1] / "pipe",
            places[2] / os.fsdecode(b"\xff"),
        ):
            path.unlink()
        assert await backend.schema.check() == aiidadb.MigrationCheck()
        report = await backend.schema.migrate()
        assert str(report.version) == "main_0002"
    async with connected(dsn) as connection:
        query = "select count(*) from db_dbnode where repository_metadata #> '{o,sub,o,a}' is null"
        assert await connection.fetchval(query) == 0
    await databases.drop(dsn)


async def test_what_the_check_has_listed_the_move_lists_no_more(
    databases: Databases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dsn = await _with_nodes(databases, UUIDS)
    for uuid in UUIDS:
        add_files(tmp_path, uuid, {"sub/a": b"a"})
    for name in ("list_shard", "read_tree"):
        monkeypatch.delattr(move_files, name)
    async with opened(dsn, tmp_path) as backend:
        report = await backend.schema.migrate()
    assert report.steps[-1].version == report.version
    async with connected(dsn) as connection:
        query = "select count(*) from db_dbnode where repository_metadata #> '{o,sub,o,a}' is null"
        assert await connection.fetchval(query) == 0
    await databases.drop(dsn)


async def test_where_a_package_is_missing_the_remedy_is_to_install_it(
    databases: Databases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dsn = await database_at(databases, 45)
    nodes_path(tmp_path).mkdir(parents=True)
    monkeypatch.setitem(sys.modules, "disk_objectstore", None)
    async with opened(dsn, tmp_path) as backend:
        (finding,) = (await backend.schema.check()).findings
    assert "pip install 'aiidadb[repository]'" in finding.message
    assert finding.remedy == "install the missing package and run again"
    await databases.drop(dsn)


async def test_directories_nested_too_deeply_for_json_are_named(
    databases: Databases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dsn = await _with_nodes(databases, UUIDS[:1])
    place = add_files(tmp_path, UUIDS[0], {"sub/a": b"a"})

    def dumps(_metadata: object) -> str:  # how deep is too deep depends on the version of Python
        raise RecursionError

    monkeypatch.setattr(move_files, "json", SimpleNamespace(dumps=dumps))
    async with opened(dsn, tmp_path) as backend:
        with pytest.raises(aiidadb.StorageMigrationError, match="nested too deeply") as caught:
            await backend.schema.migrate()
        assert str(place) in str(caught.value)
        monkeypatch.undo()
        await backend.schema.migrate()
    await databases.drop(dsn)


def test_files_and_directories_that_may_not_be_read_are_found(tmp_path: Path) -> None:
    places = [add_files(tmp_path, uuid, {"sub/in": b"", "mine": b""}) for uuid in UUIDS[:4]]
    modes = {
        places[0] / "mine": 0,
        places[1] / "sub": 0,  # cannot be listed
        places[2] / "sub": 0o444,  # can be listed, and nothing in it be looked at
        places[3]: 0,
    }
    for path in (tmp_path, *tmp_path.rglob("*")):
        if os.geteuid() == 0:
            os.chown(path, _NOBODY, _NOBODY)
    for path, mode in modes.items():
        path.chmod(mode)
    try:
        assert as_nobody(_walk, nodes_path(tmp_path), below=tmp_path) == {"unreadable_file": 4}
    finally:
        for path in modes:
            path.chmod(0o700)


def _walk_of(nodes: Path, threads: int = 1) -> _Walk:
    return _Walk(nodes, ReadAhead(nodes.parents[1]), threads=threads)


async def _walk(nodes: str) -> dict[str, int]:
    walk = _walk_of(Path(nodes))
    for number in range(256):
        await in_thread(walk.look_at_shards, [f"{number:02x}"])
    return dict(walk.counts)


def as_nobody(
    look: Callable[[str], Awaitable[dict[str, int]]], nodes: Path, *, below: Path
) -> dict[str, int]:
    """What a process sees that is not the superuser's; it stands in a directory that it may enter.

    Where the tests are not root's, that is any process. Root's directories of tests are closed to
    others: the process goes there before it lays down its rights.
    """
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        # The child takes no lock that a thread of this process may hold.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        status = 1
        try:
            os.chdir(below)
            if os.geteuid() == 0:
                os.setgroups([])
                os.setgid(_NOBODY)
                os.setuid(_NOBODY)
            found = asyncio.run(look(str(nodes.relative_to(below))))
            os.write(writing, json.dumps(found).encode())
            status = 0
        finally:
            os._exit(status)
    os.close(writing)
    with os.fdopen(reading, encoding="utf-8") as pipe:
        written = pipe.read()
    assert os.waitpid(child, 0)[1] == 0
    return json.loads(written)


async def test_content_that_is_not_a_directory_is_found(
    databases: Databases, tmp_path: Path
) -> None:
    dsn = await database_at(databases, 45)
    places = []
    async with connected(dsn) as connection:
        for uuid, content in zip(UUIDS, ("path", "raw_input") * 2, strict=False):
            await add_node(connection, FOLDER, uuid)
            folder = node_folder(tmp_path, uuid)
            folder.mkdir(parents=True)
            places.append(folder / content)
    (places[1].parent / "path").mkdir()  # as AiiDA left it
    for link in places[:2]:
        link.symlink_to("nowhere")
    for file in places[2:]:
        file.write_bytes(b"")
    async with opened(dsn, tmp_path) as backend:
        check = await backend.schema.check()
        found = {finding.code: finding.count for finding in check.findings}
        assert found == {"broken_link": 2, "unreadable_file": 2}
        for place in places:
            place.unlink()
            place.mkdir()
        assert await backend.schema.check() == aiidadb.MigrationCheck()
        assert str((await backend.schema.migrate()).version) == "main_0002"
    await databases.drop(dsn)


async def test_files_of_others_that_may_not_be_read_are_found(
    databases: Databases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dsn = await _with_nodes(databases, UUIDS[:1])
    place = add_files(tmp_path, UUIDS[0], {"mine": b"", "all": b"", "group": b""})
    for name, mode in (("mine", 0o400), ("all", 0o004), ("group", 0o040)):
        (place / name).chmod(mode)
    async with opened(dsn, tmp_path) as backend:
        for user, group, unreadable in (
            (os.getuid(), os.getgid(), 2),
            (os.getuid() + 1, os.getgid(), 2),
            (os.getuid() + 1, os.getgid() + 1, 2),
        ):
            monkeypatch.setattr(os, "geteuid", lambda user=user: user or 4711)
            monkeypatch.setattr(os, "getegid", lambda group=group: group)
            monkeypatch.setattr(os, "getgroups", list)
            if user == 0:  # the superuser reads all
                monkeypatch.setattr(os, "geteuid", lambda: 0)
                unreadable = 0
            check = await backend.schema.check("1.0.47")
            found = [finding.count for finding in check.findings]
            assert found == ([unreadable] if unreadable else [])
    await databases.drop(dsn)


async def test_a_check_of_files_can_be_stopped(databases: Databases, tmp_path: Path) -> None:
    dsn = await _with_nodes(databases, UUIDS[:1])
    add_files(tmp_path, UUIDS[0], {"a": b""})
    looked = []

    async with opened(dsn, tmp_path) as backend:

        def stop(now: aiidadb.MigrationProgress) -> None:
            looked.append(now.what)
            if "files" in now.what:
                task.cancel()

        task = asyncio.ensure_future(backend.schema.check(progress=stop))
        with pytest.raises(asyncio.CancelledError):
            await task
        assert sum("files" in what for what in looked) < 256
        raised = RuntimeError("enough")

        def fail(_now: aiidadb.MigrationProgress) -> None:
            raise raised

        with pytest.raises(RuntimeError) as caught:
            await backend.schema.check(progress=fail)
        assert caught.value is raised
        assert await backend.schema.check() == aiidadb.MigrationCheck()
    await databases.drop(dsn)


def _with_faults(repository: Path, digits: str) -> None:
    """A node of a shard, with faults whose kinds and number depend on the shard."""
    place = add_files(repository, f"{digits}{UUIDS[0][2:]}", {"sub/a": b"a"})
    for number in range(int(digits, 16) % 5):
        (place / f"link {number}").symlink_to("nowhere")
    if int(digits, 16) % 3 == 0:
        os.mkfifo(place / "pipe")


async def test_several_threads_and_processes_find_what_one_thread_finds(tmp_path: Path) -> None:
    shards = [f"{number:02x}" for number in range(24)]
    for digits in shards:
        _with_faults(tmp_path, digits)
    one, several, processes = (_walk_of(nodes_path(tmp_path), number) for number in (1, 3, 2))
    processes.processes = ListerProcesses(processes.nodes, 2)
    for walk in (one, several, processes):
        await in_thread(walk.look_at_shards, shards)
        walk.end()
    assert one.counts == {"broken_link": 46, "special_file": 8}
    for walk in (several, processes):
        assert walk.counts == one.counts
        assert list(walk.found.items()) == list(one.found.items())
        kept = [walk.ahead.take(name) is not None for name in shards]
        assert kept == [one.ahead.take(name) is not None for name in shards]


async def test_where_the_listing_takes_long_processes_list(
    databases: Databases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dsn = await _with_nodes(databases, UUIDS)
    for uuid in UUIDS:
        add_files(tmp_path, uuid, {"sub/a": b"a"})
    begun = []
    real = files.ListerProcesses

    def begin(nodes: Path, number: int) -> ListerProcesses:
        begun.append(real(nodes, number))
        return begun[-1]

    monkeypatch.setattr(files, "_WORTH_PROCESSES", 0.0)
    monkeypatch.setattr(files, "_WAITING", 1e9)
    monkeypatch.setattr(files, "useful_number", lambda: 2)
    monkeypatch.setattr(files, "ListerProcesses", begin)
    scope = anyio.CancelScope()

    def cancel(now: aiidadb.MigrationProgress) -> None:
        if "files" in now.what and begun[2:]:
            scope.cancel()

    def fail(now: aiidadb.MigrationProgress) -> None:
        if "files" in now.what and begun[1:]:
            raise ZeroDivisionError

    async with opened(dsn, tmp_path) as backend:
        await backend.schema.migrate(dry_run=True)
        with pytest.raises(ZeroDivisionError):
            await backend.schema.check(progress=fail)
        with scope:
            await backend.schema.check(progress=cancel)
        assert scope.cancelled_caught
    assert len(begun) == 3
    for processes in begun:
        assert len(processes) == 2
        assert {process.returncode for process in processes._processes} == {-signal.SIGKILL}
    await databases.drop(dsn)


async def test_a_process_that_does_not_answer_is_ended_with_its_walk(tmp_path: Path) -> None:
    walk = _walk_of(nodes_path(tmp_path), 2)
    walk.processes = ListerProcesses(walk.nodes, 2)
    for process in walk.processes._processes:
        process.send_signal(signal.SIGSTOP)
    looking = asyncio.ensure_future(in_thread(walk.look_at_shards, ["aa", "bb", "cc", "dd"]))
    await asyncio.sleep(0.2)
    assert not looking.done()
    looking.cancel()
    async with asyncio.timeout(20):
        with pytest.raises(asyncio.CancelledError):
            await looking
    assert [walk.ahead.take(name) for name in ("aa", "bb", "cc", "dd")] == [None] * 4
    walk.end()


@pytest.mark.parametrize("number", [0, 1])
async def test_too_few_processes_are_done_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    begun = []

    def begin(nodes: Path, _wanted: int) -> ListerProcesses:
        begun.append(ListerProcesses(nodes, number))
        return begun[-1]

    monkeypatch.setattr(files, "_WORTH_PROCESSES", 0.0)
    monkeypatch.setattr(files, "_WAITING", 1e9)
    monkeypatch.setattr(files, "useful_number", lambda: 2)
    monkeypatch.setattr(files, "ListerProcesses", begin)
    _with_faults(tmp_path, "04")
    walk = _walk_of(nodes_path(tmp_path))
    for shards in (["00", "01"], ["02"], ["03", "04"]):
        await in_thread(walk.look_at_shards, shards)
    assert walk.threads == 1
    assert walk.counts == {"broken_link": 4}
    assert len(begun) == 1
    assert all(process.returncode is not None for process in begun[0]._processes)


@pytest.mark.parametrize("room", [0, 1])
async def test_without_room_for_another_thread_this_one_lists(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    class FewThreads(ThreadPoolExecutor):
        def submit(self, *arguments: Any, **options: Any) -> Any:
            if len(self._threads) == room:
                raise RuntimeError("can't start new thread")
            return super().submit(*arguments, **options)

    monkeypatch.setattr(files, "ThreadPoolExecutor", FewThreads)
    monkeypatch.setattr(files, "_WAITING", 1e9)
    _with_faults(tmp_path, "04")
    walk = _walk_of(nodes_path(tmp_path), 2)
    walk.processes = ListerProcesses(walk.nodes, 2)
    await in_thread(walk.look_at_shards, ["03", "04", "05"])
    assert walk.counts == {"broken_link": 4}
    assert [walk.ahead.take(name) is not None for name in ("03", "04", "05")] == [True, False, True]
    assert all(process.returncode is not None for process in walk.processes._processes)


async def test_where_the_disk_is_waited_for_several_threads_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    walk = _walk_of(nodes_path(tmp_path))
    monkeypatch.setattr(time, "thread_time", lambda: 0.0)
    await in_thread(walk.look_at_shards, ["00"])
    assert walk.threads > 1
    await in_thread(walk.look_at_shards, ["01"])
    assert not walk.found


async def test_threads_that_wait_can_be_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, given_up = threading.Event(), threading.Event()
    stopped = []

    def list_slowly(_nodes: Path, name: str, interrupted: Callable[[], None], _: object) -> None:
        begun.set()
        assert given_up.wait(20)
        with pytest.raises(concurrent.futures.CancelledError):
            interrupted()
        stopped.append(name)
        interrupted()

    monkeypatch.setattr(files, "Event", lambda: given_up)
    monkeypatch.setattr(files, "list_ahead", list_slowly)
    walk = _walk_of(nodes_path(tmp_path), 2)
    looking = asyncio.ensure_future(in_thread(walk.look_at_shards, ["aa", "bb", "cc", "dd"]))
    assert await asyncio.to_thread(begun.wait, 20)
    looking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await looking
    assert 1 <= len(stopped) <= 4
    assert [walk.ahead.take(name) for name in stopped] == [None] * len(stopped)
