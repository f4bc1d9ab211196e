"""Files that cannot be moved are all found before the first change."""

from __future__ import annotations

import asyncio
import concurrent.futures
import json
import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import anyio
import pytest

import aiidadb
from aiidadb.connecting.uninterrupted import in_thread
from aiidadb.migration.checks import files
from aiidadb.migration.checks.files import _Walk
from aiidadb.migration.repository import move_files
from aiidadb.migration.repository.lister import LEVELS_AT_MOST
from aiidadb.migration.repository.lister_processes import ListerProcesses
from aiidadb.migration.repository.node_folders import has_folder_of, nodes_path
from aiidadb.migration.repository.read_ahead import ReadAhead
from tests.helpers.databases import connected, run_script
from tests.helpers.migrating import opened
from tests.helpers.old_database import state_of
from tests.helpers.old_nodes import (
    add_file_in,
    add_files,
    add_node,
    nest_directories,
    node_folder,
)
from tests.helpers.roles import role_with
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
        assert {code: finding.pks for code, finding in found.items()} == {
            "broken_link": (1, 2),
            "special_file": (2,),
            "unstorable_file_name": (3,),
            "two_contents": (4, 5),
        }
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


@pytest.mark.parametrize("listing", ["one thread", "threads", "processes"])
@pytest.mark.usefixtures("in_a_directory_of_its_own")
async def test_directories_nested_too_deeply_for_json_are_found_before_the_first_change(
    databases: Databases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, listing: str
) -> None:
    if listing == "processes":
        monkeypatch.setattr(files, "_WORTH_PROCESSES", 0.0)
        monkeypatch.setattr(files, "useful_number", lambda: 2)
    monkeypatch.setattr(files, "_WAITING", -1 if listing == "threads" else 1e9)
    dsn = await _with_nodes(databases, UUIDS)  # the shards from 04 on are listed in that way
    deepest = {3: 0, 4: LEVELS_AT_MOST, 5: LEVELS_AT_MOST + 1, 6: 3 * LEVELS_AT_MOST}
    places = []
    for number, levels in deepest.items():
        places.append(add_files(tmp_path, UUIDS[number], {}))
        add_file_in(nest_directories(places[-1], levels), "a")
    before = await state_of(dsn), _all_below(tmp_path)

    async with opened(dsn, tmp_path) as backend:
        check = await backend.schema.check()
        with pytest.raises(aiidadb.StorageMigrationError, match="too_deep_directories") as caught:
            await backend.schema.migrate()
        assert (await state_of(dsn), _all_below(tmp_path)) == before
        (finding,) = check.findings
        assert (finding.code, finding.action) == ("too_deep_directories", "refused")
        assert (finding.pks, finding.count) == ((6, 7), 2)
        assert f"({places[2]}, {places[3]})" in finding.message
        assert "nested more than 450 levels deep" in finding.message
        assert finding.remedy in str(caught.value)

        for place in places[2:]:
            pack = ["tar", "-C", str(place), "-cf", str(place / "d.tar"), "d"]
            subprocess.run(pack, check=True)
            subprocess.run(["rm", "-r", place / "d"], check=True)  # nor does shutil go so deep
        assert await backend.schema.check() == aiidadb.MigrationCheck()
        await backend.schema.migrate()
    async with connected(dsn) as connection:
        query = "select repository_metadata::text from db_dbnode order by id"
        texts = [row[0] for row in await connection.fetch(query)]
    assert [text.count('"d"') for text in texts] == [0] * 4 + [LEVELS_AT_MOST] + [0] * 3
    assert [text.count('"d.tar"') for text in texts] == [0] * 5 + [1, 1, 0]
    assert json.loads(texts[4])
    subprocess.run(["rm", "-r", tmp_path / "repository"], check=True)
    await databases.drop(dsn)


def _all_below(directory: Path) -> dict[str, int]:
    """Every path in a directory, however deep, with the time of its last change."""
    found = {}
    waiting = [str(directory)]
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for entry in entries:
                found[entry.path] = entry.stat(follow_symlinks=False).st_mtime_ns
                if entry.is_dir():
                    waiting.append(entry.path)
    return found


@pytest.mark.parametrize("last", ["directory", "file"])
async def test_paths_longer_than_the_system_allows_are_found(tmp_path: Path, last: str) -> None:
    name = "n" * 200
    place = add_files(tmp_path, UUIDS[0], {})
    (place / "link").symlink_to("n" * 300)  # whose own path is short
    levels = (4096 - len(str(place))) // (len(name) + 1)
    if last == "directory":
        os.close(nest_directories(place, levels + 1, name))
    else:
        add_file_in(nest_directories(place, levels, name), name)
    try:
        walk = _walk_of(nodes_path(tmp_path))
        await in_thread(walk.look_at_shards, [UUIDS[0][:2]])
        walk.end()
        assert walk.counts == {"broken_link": 1, "too_deep_directories": 1}
    finally:
        subprocess.run(["rm", "-r", tmp_path / "repository"], check=True)


@pytest.mark.parametrize("number", [8, 45])
async def test_a_repository_of_another_database_is_found_before_the_first_change(
    databases: Databases, tmp_path: Path, number: int
) -> None:
    dsn = await database_at(databases, number)
    async with connected(dsn) as connection:
        for uuid in UUIDS:
            await add_node(connection, FOLDER, uuid)
        if number == 8:  # when uuids were texts
            await connection.execute("update db_dbnode set uuid = upper(uuid)")
    add_files(tmp_path, f"ff{UUIDS[0][2:]}", {"a": b"a"})
    before = await state_of(dsn)
    async with opened(dsn, tmp_path) as backend:
        (finding,) = (await backend.schema.check()).findings
        assert (finding.code, finding.action, finding.count) == ("repository", "refused", 1)
        assert "not one of the database's nodes (8) has a folder" in finding.message
        with pytest.raises(aiidadb.StorageMigrationError, match="another database's, or empty"):
            await backend.schema.migrate()
        assert await state_of(dsn) == before
        node_folder(tmp_path, UUIDS[0]).mkdir(parents=True)  # without content
        assert len((await backend.schema.check()).findings) == 1
        add_files(tmp_path, UUIDS[7], {}, content="raw_input")
        assert await backend.schema.check() == aiidadb.MigrationCheck()
    await databases.drop(dsn)


async def test_whether_a_repository_is_another_databases_all_nodes_are_asked_for(
    databases: Databases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(move_files, "_NODES_ASKED", 3)
    dsn = await _with_nodes(databases, UUIDS)
    add_files(tmp_path, UUIDS[7], {})
    async with opened(dsn, tmp_path) as backend:
        assert await backend.schema.check() == aiidadb.MigrationCheck()
    await databases.drop(dsn)


def test_folders_that_cannot_be_looked_at_are_not_taken_for_another_databases(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = [UUIDS[0].replace("-", "")]
    assert not has_folder_of(nodes_path(tmp_path), asked)

    def refuse(_path: str) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "lstat", refuse)
    assert has_folder_of(nodes_path(tmp_path), asked)


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


async def test_files_are_found_for_a_role_that_may_not_read_their_nodes_too(
    databases: Databases, tmp_path: Path
) -> None:
    dsn = await _with_nodes(databases, UUIDS[:1])
    (add_files(tmp_path, UUIDS[0], {}) / "link").symlink_to("nowhere")
    async with role_with(dsn, "create on schema public") as of_role:
        role = urlsplit(of_role).username
        await run_script(dsn, f"revoke select on db_dbnode from {role}")
        async with opened(of_role, tmp_path) as backend:
            found = {one.code: one.pks for one in (await backend.schema.check()).findings}
    assert found.keys() >= {"table_owner", "broken_link"}
    assert found["broken_link"] == ()
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
