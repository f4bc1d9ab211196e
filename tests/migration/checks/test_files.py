"""Files that cannot be moved are all found before the first change."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

import pytest

import aiidadb
from tests.helpers.databases import connected
from tests.helpers.migrating import opened
from tests.helpers.old_nodes import add_files, add_node, node_folder
from tests.helpers.single_steps import database_at

if TYPE_CHECKING:
    from pathlib import Path

    from tests.helpers.databases import Databases

FOLDER = "data.folder.FolderData."
UUIDS = [f"{number:02x}111111-0000-4000-8000-000000000000" for number in range(8)]


async def test_all_that_cannot_be_moved_is_found_at_once(
    databases: Databases, tmp_path: Path
) -> None:
    dsn = await database_at(databases, 45)
    async with connected(dsn) as connection:
        for uuid in UUIDS:
            await add_node(connection, FOLDER, uuid)
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


async def test_files_of_others_that_may_not_be_read_are_found(
    databases: Databases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dsn = await database_at(databases, 45)
    async with connected(dsn) as connection:
        await add_node(connection, FOLDER, UUIDS[0])
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
    dsn = await database_at(databases, 45)
    async with connected(dsn) as connection:
        await add_node(connection, FOLDER, UUIDS[0])
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
