"""The files of all nodes get into a container, as aiida-core has them, whatever stops the way."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
import tracemalloc
import uuid as uuids
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import asyncpg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiidadb.exceptions import MissingExtraError, StorageMigrationError
from aiidadb.migration import export_file
from aiidadb.migration.options import MigrationOptions
from aiidadb.migration.python_step import StepContext
from aiidadb.migration.repository import container, container_objects, pack_writer
from aiidadb.migration.repository import move_files as step
from aiidadb.migration.repository.container import (
    container_path,
    create_container,
    read_container_id,
)
from aiidadb.migration.repository.container_mark import MARK
from aiidadb.migration.repository.container_objects import ObjectWriter, SmallFile
from aiidadb.migration.repository.directory_lock import lock_directory
from aiidadb.migration.repository.lister import LEVELS_AT_MOST
from aiidadb.migration.repository.node_folders import list_shard, read_tree
from aiidadb.migration.repository.read_ahead import ReadAhead
from tests.helpers.aiida_storage import aiida_profile_dictionary
from tests.helpers.cancelling import cancel_when
from tests.helpers.choices import some_of
from tests.helpers.containers import dead_bytes, objects
from tests.helpers.examples import examples
from tests.helpers.old_nodes import (
    add_file_in,
    add_files,
    add_node,
    entries,
    nest_directories,
    node_folder,
    object_of,
    size_of_all,
    snapshot,
)
from tests.helpers.processes import LIMIT, finished
from tests.helpers.real_databases import load_dump, unpack
from tests.helpers.single_steps import run_step

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from aiidadb.migration.python_step import StepOutcome
    from tests.helpers.cancelling import How
    from tests.helpers.databases import Databases
    from tests.migration.conftest import At

LARGE = bytes(range(256)) * 1200  # above the size up to which a file is kept in memory


async def move(
    connection: asyncpg.Connection, repository: Path | None, **options: bool
) -> StepOutcome:
    exports = (repository or Path.cwd()).parent / "exports"
    (outcome,) = await run_step(
        connection, 47, repository=repository, export_directory=exports, **options
    )
    return outcome


async def metadata(connection: asyncpg.Connection) -> dict[str, object]:
    """``repository_metadata`` by the uuid of its node."""
    rows = await connection.fetch(
        "select uuid::text, repository_metadata::text as metadata from db_dbnode"
    )
    return {row["uuid"]: json.loads(row["metadata"]) for row in rows}


async def container_of(connection: asyncpg.Connection) -> str | None:
    """The value of the setting that ties a container to its database."""
    return await connection.fetchval(
        "select val #>> '{}' from db_dbsetting where key = 'repository|uuid'"
    )


async def dsn_of(databases: Databases, connection: asyncpg.Connection) -> str:
    return databases.dsn(await connection.fetchval("select current_database()"))


def read(place: Path, tree: dict[str, object], name: str) -> bytes:
    """A file of a node, found by its metadata as aiida-core does."""
    from disk_objectstore import Container

    for part in name.split("/"):
        tree = tree["o"][part]  # type: ignore[index]
    with Container(place) as container:
        return container.get_object_content(tree["k"])


async def add_some(connection: asyncpg.Connection, repository: Path, number: int = 20) -> list[str]:
    """Nodes with one file of their own each."""
    nodes = []
    for position in range(number):
        _, uuid = await add_node(connection, "data.Data.")
        add_files(repository, uuid, {"own": f"content {position}".encode()})
        nodes.append(uuid)
    return nodes


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    path = tmp_path / "repository of the profile"
    path.mkdir()
    return path


# ---------------------------------------------------------------- what is moved


@pytest.mark.quick
async def test_files_are_objects_and_the_metadata_finds_them(
    at: At, repository: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "aiidadb")
    connection = await at(46)
    _, data = await add_node(connection, "data.Data.")
    _, job = await add_node(connection, "process.calculation.calcjob.CalcJobNode.")
    _, bare = await add_node(connection, "data.Data.")
    files = {"a": b"A", "dir/below/b": b"B", "dir/ünicode 😀 \"'": b"", "large": LARGE}
    directory = add_files(repository, data, files)
    (directory / "empty" / "also").mkdir(parents=True)
    add_files(repository, job, {"aiida.in": b"A", "_large": LARGE}, content="raw_input")
    add_files(repository, bare, {})

    outcome = await move(connection, repository)

    found = await metadata(connection)
    assert found == {
        data: {
            "o": {
                "a": object_of(b"A"),
                "dir": {
                    "o": {
                        "below": {"o": {"b": object_of(b"B")}},
                        "ünicode 😀 \"'": object_of(b""),
                    }
                },
                "empty": {"o": {"also": {}}},
                "large": object_of(LARGE),
            }
        },
        job: {"o": {"aiida.in": object_of(b"A"), "_large": object_of(LARGE)}},
        bare: {},
    }
    place = container_path(repository)
    for name, content in files.items():
        assert read(place, found[data], name) == content  # type: ignore[arg-type]
    assert sorted(objects(place).values()) == sorted([b"A", b"B", b"", LARGE])
    assert outcome.rows == 2
    assert outcome.files == ()
    assert "can be" not in outcome.notes[0]
    assert "was not changed" in outcome.notes[0]
    begun, done = (record.getMessage() for record in caplog.records)
    assert "begins" in begun
    assert done.startswith("moved the files of 2 nodes in ")


async def test_each_content_is_in_the_packs_once(at: At, repository: Path) -> None:
    connection = await at(46)
    for _ in range(30):
        _, uuid = await add_node(connection, "data.Data.")
        add_files(repository, uuid, {"same": b"same " * 50, "twice": b"same " * 50})
    await move(connection, repository)
    assert list(objects(container_path(repository)).values()) == [b"same " * 50]
    assert size_of_all(container_path(repository) / "packs") == 250


@pytest.mark.parametrize("large", [False, True], ids=["small", "large"])
async def test_no_byte_of_a_copy_is_in_the_packs(at: At, repository: Path, large: bool) -> None:
    connection = await at(46)
    contents = [bytes([number]) * (400_000 if large else 300) for number in range(3)]
    for _ in range(4):
        _, uuid = await add_node(connection, "data.Data.")
        add_files(repository, uuid, {str(place): one for place, one in enumerate(contents)})
    await move(connection, repository)
    assert sorted(objects(container_path(repository)).values()) == contents
    assert dead_bytes(repository) == 0


async def test_a_pack_that_is_full_is_followed_by_another(
    at: At, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(container.CONTAINER_DEFAULTS, "pack_size_target", 500_000)
    connection = await at(46)
    _, uuid = await add_node(connection, "data.Data.")
    seed = random.Random(0)
    files = {str(number): seed.randbytes(60_000 + number % 3 * 200_000) for number in range(25)}
    add_files(repository, uuid, files)
    await move(connection, repository)
    packs = sorted(entries(container_path(repository) / "packs"), key=lambda path: int(path.name))
    assert [path.name for path in packs] == [str(number) for number in range(len(packs))]
    assert len(packs) > 5
    # As the container itself does it: whatever goes beyond the size does not begin there.
    assert all(500_000 <= path.stat().st_size < 1_000_000 for path in packs[:-1])
    assert sorted(objects(container_path(repository)).values()) == sorted(files.values())
    assert dead_bytes(repository) == 0


async def test_the_container_is_the_databases(at: At, repository: Path) -> None:
    connection = await at(46)
    await add_some(connection, repository, 1)
    await move(connection, repository)
    assert await container_of(connection) == read_container_id(repository)
    assert not (repository / MARK).exists()
    setting = await connection.fetchrow(
        "select description, time from db_dbsetting where key = 'repository|uuid'"
    )
    assert setting["description"] == "Repository UUID"


async def test_neither_the_old_repository_nor_times_of_change_are_touched(
    at: At, repository: Path
) -> None:
    connection = await at(46)
    await add_some(connection, repository)
    nodes = (
        "select id, uuid, node_type, ctime, mtime, attributes, extras from db_dbnode order by id"
    )
    rows, files = await connection.fetch(nodes), snapshot(repository / "repository")
    await move(connection, repository)
    assert await connection.fetch(nodes) == rows
    assert snapshot(repository / "repository") == files


async def test_symbols_that_are_attributes_are_left_out(at: At, repository: Path) -> None:
    connection = await at(46)
    trajectory = "data.array.trajectory.TrajectoryData."
    expected = {}
    for node_type, attributes, left_out in (
        (trajectory, '{"symbols": ["H"]}', True),
        (trajectory, '{"symbols": ["H"], "array|symbols": [1]}', False),
        (trajectory, "{}", False),
        ("data.array.ArrayData.", '{"symbols": ["H"]}', False),
    ):
        node, uuid = await add_node(connection, node_type)
        await connection.execute(
            "update db_dbnode set attributes = $2::text::jsonb where id = $1", node, attributes
        )
        add_files(repository, uuid, {"symbols.npy": b"S", "dir/symbols.npy": b"D"})
        kept: dict[str, object] = {"dir": {"o": {"symbols.npy": object_of(b"D")}}}
        expected[uuid] = {"o": kept if left_out else {**kept, "symbols.npy": object_of(b"S")}}
    outcome = await move(connection, repository)
    assert await metadata(connection) == expected
    assert any("symbols.npy that were left out" in note for note in outcome.notes)


async def test_a_new_database_gets_an_empty_container(at: At, repository: Path) -> None:
    connection = await at(46)
    outcome = await move(connection, repository / "new")
    assert objects(container_path(repository / "new")) == {}
    assert await container_of(connection) == read_container_id(repository / "new")
    assert "an empty container" in outcome.notes[0]


async def test_batches_of_any_size_give_the_same(
    at: At, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(step, "_NODES_AT_ONCE", 7)
    monkeypatch.setattr(step, "_FILES_AT_ONCE", 5)
    connection = await at(46)
    nodes = await add_some(connection, repository, 40)
    _, many = await add_node(connection, "data.Data.")
    add_files(repository, many, {f"{number}": b"%d" % number for number in range(23)})
    outcome = await move(connection, repository)
    found = await metadata(connection)
    assert outcome.rows == 41
    assert found[many] == {"o": {f"{number}": object_of(b"%d" % number) for number in range(23)}}
    for position, uuid in enumerate(nodes):
        assert found[uuid] == {"o": {"own": object_of(f"content {position}".encode())}}


# ---------------------------------------------------------------- beside aiida-core


def by_aiida_core(dsn: str, repository: Path) -> None:
    """Run aiida-core 2.9.4's own step on a database and its repository."""
    from aiida.manage.configuration import Profile
    from aiida.storage.psql_dos.migrations.utils.migrate_repository import migrate_repository
    from aiida.storage.psql_dos.utils import create_sqlalchemy_engine

    profile = Profile("test", aiida_profile_dictionary(dsn, repository))
    engine = create_sqlalchemy_engine(profile.storage_config)
    with engine.begin() as connection:
        migrate_repository(connection, profile)
    engine.dispose()


def random_files(seed: random.Random) -> dict[str, bytes]:
    names = ["a", "b.txt", "ü", ".hidden", "with space", "-", "o", "k"]
    contents = [b"", b"x", b"same", seed.randbytes(20), LARGE]
    return {
        "/".join(
            [*seed.choices(names, k=seed.randint(0, 3)), f"{number}.{seed.choice(names)}"]
        ): seed.choice(contents)
        for number in range(seed.choice([0, 0, 1, 1, 2, 8]))
    }


async def test_random_repositories_become_what_aiida_core_makes_of_them(
    at: At, databases: Databases, repository: Path, aiida_home: Path
) -> None:
    seed = random.Random(1)
    connection, peer = await at(46), await at(46)
    peer_dsn = await dsn_of(databases, peer)
    for number in range(120):
        _, uuid = await add_node(connection, "data.Data.")
        await add_node(peer, "data.Data.", uuid)
        content = seed.choice(["path", "path", "raw_input"])
        directory = add_files(repository, uuid, random_files(seed), content=content)
        if number % 9 == 0:
            (directory / "empty" / "below").mkdir(parents=True)
            (directory / "link to a file").symlink_to(repository / "outside")
            (directory / "link to a directory").symlink_to(repository)
        if content == "raw_input" and number % 2:
            (directory.parent / "path").mkdir()
            if number % 4 == 1:
                (directory.parent / "path" / ".gitignore").write_bytes(b"*")
    (repository / "outside").write_bytes(b"content of the target")
    add_files(repository, str(uuids.uuid4()), {"orphan": b"of a node that was deleted"})
    await add_node(connection, "data.Data.", folderless := str(uuids.uuid4()))
    await add_node(peer, "data.Data.", folderless)
    shutil.copytree(repository / "repository", repository / "peer/repository", symlinks=True)

    await asyncio.to_thread(by_aiida_core, peer_dsn, repository / "peer")
    await move(connection, repository)

    assert await metadata(connection) == await metadata(peer)
    place, theirs = container_path(repository), container_path(repository / "peer")
    assert objects(place) == objects(theirs)
    ours_config, their_config = (
        {**json.loads((path / "config.json").read_text()), "container_id": None}
        for path in (place, theirs)
    )
    assert ours_config == their_config
    described = "select key, description from db_dbsetting order by key"
    assert {row["key"]: row["description"] for row in await connection.fetch(described)}[
        "repository|uuid"
    ] == {row["key"]: row["description"] for row in await peer.fetch(described)}["repository|uuid"]


NAMES = st.text(
    st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=12
).filter(lambda name: name not in {".", ".."} and len(name.encode()) < 200)
TREES = st.recursive(
    st.binary(max_size=20), lambda inner: st.dictionaries(NAMES, inner, max_size=4), max_leaves=12
)


def write(tree: dict[str, object], directory: Path) -> None:
    for name, value in tree.items():
        if isinstance(value, bytes):
            (directory / name).write_bytes(value)
        else:
            (directory / name).mkdir()
            write(value, directory / name)  # type: ignore[arg-type]


def expected_of(tree: object) -> dict[str, object]:
    if isinstance(tree, bytes):
        return object_of(tree)  # type: ignore[return-value]
    assert isinstance(tree, dict)
    return {"o": {name: expected_of(value) for name, value in tree.items()}} if tree else {}


@pytest.mark.quick
@settings(max_examples=examples(20))
@given(tree=st.dictionaries(NAMES, TREES, max_size=4))
def test_any_tree_of_files_has_the_metadata_of_its_names_and_contents(
    tmp_path_factory: pytest.TempPathFactory, tree: dict[str, object]
) -> None:
    directory = tmp_path_factory.mktemp("tree")
    write(tree, directory)
    found = read_tree(directory)
    keys = ObjectWriter(None, lambda: None).store([path for path, _ in found.files])
    for (_, entry), key in zip(found.files, keys, strict=True):
        entry["k"] = key
    assert found.metadata == expected_of(tree)


@pytest.mark.parametrize("archive", ["repository_aiida-0.12.5", "repository_after_aiida-1.6.9"])
async def test_the_genuine_repository_becomes_what_aiida_made_of_it(
    databases: Databases, repository: Path, archive: str
) -> None:
    ours = await load_dump(databases, "legacy/2_after_aiida-1.6.9_django_0045")
    theirs = await load_dump(databases, "legacy/3_after_aiida-2.9.4_main_0002")
    unpack(f"legacy/{archive}", repository)
    unpack("legacy/container_after_aiida-2.9.4", repository / "x")
    connection, peer = await asyncpg.connect(ours), await asyncpg.connect(theirs)
    await run_step(connection, 46)
    outcome = await move(connection, repository)
    assert await metadata(connection) == await metadata(peer)
    assert objects(container_path(repository)) == objects(container_path(repository / "x"))
    assert outcome.files == ()
    for opened in (connection, peer):
        await opened.close()
    for made in (ours, theirs):
        await databases.drop(made)


# ---------------------------------------------------------------- what does not match


async def test_what_has_no_counterpart_is_noted_and_listed(at: At, repository: Path) -> None:
    connection = await at(46)
    (matching,) = await add_some(connection, repository, 1)
    folderless = sorted([(await add_node(connection, "data.Data."))[1] for _ in range(5)])
    _, contentless = await add_node(connection, "data.Data.")
    node_folder(repository, contentless).mkdir(parents=True)
    orphan = add_files(repository, str(uuids.uuid4()), {"orphan": b"orphan"})
    stray = node_folder(repository, matching).parent / "stray"
    stray.write_text("")
    link = node_folder(repository, matching) / "path" / "link"
    link.symlink_to(repository, target_is_directory=True)

    outcome = await move(connection, repository)

    (listed,) = outcome.files
    assert listed.parent == repository.parent / "exports"
    lines = json.loads(listed.read_text())
    assert sorted(lines, key=str) == sorted(
        [
            *({"node_without_folder": uuid} for uuid in folderless),
            {"folder_without_content": str(node_folder(repository, contentless))},
            {"folder_without_node": str(orphan)},
            {"no_folder_of_a_node": str(stray)},
            {"linked_directory": str(link)},
        ],
        key=str,
    )
    notes = "\n".join(outcome.notes)
    assert "therefore no files: 5" in notes
    assert folderless[0] in notes
    assert str(listed) in notes
    for place in (orphan, stray, link, node_folder(repository, contentless)):
        assert str(place) in notes
    assert set(objects(container_path(repository)).values()) == {b"content 0", b"orphan"}


async def test_a_repository_of_another_database_is_refused_and_no_container_made(
    at: At, repository: Path
) -> None:
    connection = await at(46)
    await add_node(connection, "data.Data.")
    add_files(repository, str(uuids.uuid4()), {"a": b"a"})
    with pytest.raises(StorageMigrationError, match="another database's"):
        await move(connection, repository)
    assert entries(repository) == [repository / "repository"]


async def test_a_folder_with_both_kinds_of_content_is_refused_by_its_path(
    at: At, repository: Path
) -> None:
    connection = await at(46)
    _, uuid = await add_node(connection, "data.Data.")
    add_files(repository, uuid, {"a": b"a"})
    add_files(repository, uuid, {"b": b"b"}, content="raw_input")
    with pytest.raises(StorageMigrationError) as caught:
        await move(connection, repository)
    assert str(node_folder(repository, uuid)) in str(caught.value)


async def test_directories_nested_too_deeply_are_refused_by_their_path(
    at: At, repository: Path
) -> None:
    connection = await at(46)
    _, uuid = await add_node(connection, "data.Data.")
    place = add_files(repository, uuid, {})
    add_file_in(nest_directories(place, LEVELS_AT_MOST + 1), "a")
    with pytest.raises(StorageMigrationError, match=r"nested more than 450 .* too deep") as caught:
        await move(connection, repository)
    assert str(place) in str(caught.value)
    assert await metadata(connection) == {uuid: {}}
    subprocess.run(["rm", "-r", place / "d"], check=True)  # shutil does not go so deep
    add_file_in(nest_directories(place, LEVELS_AT_MOST), "a")
    await move(connection, repository)
    assert str(await metadata(connection)).count("'d'") == LEVELS_AT_MOST
    subprocess.run(["rm", "-r", place / "d"], check=True)


def test_only_folders_named_as_aiida_names_them_are_nodes(tmp_path: Path) -> None:
    good = "aabbccdd-0000-4000-8000-000000000000"
    for name in (
        good[4:],
        good[4:].upper(),
        good[4:].replace("-", ""),
        good[4:] + "0",
        "-" * 32,
        good[4:][::-1],
    ):
        (tmp_path / "aa" / "bb" / name / "path").mkdir(parents=True, exist_ok=True)
    (tmp_path / "aa" / "XX").mkdir()
    (tmp_path / "aa" / "file").write_text("")
    shard = list_shard(tmp_path, "aa")
    assert list(shard.folders) == [good]
    assert len(shard.strange) == 7
    assert list_shard(tmp_path, "bb") == type(shard)("bb", {}, [], [])


# ---------------------------------------------------------------- what is refused


async def test_a_database_with_nodes_and_no_repository_is_refused(at: At, repository: Path) -> None:
    connection = await at(46)
    await add_node(connection, "data.Data.")
    with pytest.raises(
        StorageMigrationError, match=r"none was named: name it in.*without_repository"
    ):
        await move(connection, None)
    with pytest.raises(StorageMigrationError, match=r"does not exist.*without_repository"):
        await move(connection, repository)
    (repository / "repository" / "node").mkdir(parents=True)
    with pytest.raises(StorageMigrationError, match=r"empty.*without_repository"):
        await move(connection, repository)
    assert entries(repository) == [repository / "repository"]


@pytest.mark.parametrize("place", ["repository", "container", "exports"])
async def test_a_place_that_may_not_be_written_is_refused_before_anything_is_done(
    at: At, repository: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    connection = await at(46)
    await add_some(connection, repository, 1)
    path = {
        "repository": repository,
        "container": container_path(repository),
        "exports": repository.parent / "exports",
    }[place]
    # Not by the file system's rights, which mean nothing to root.
    for module in (step, export_file):
        monkeypatch.setattr(module, "may_be_written", lambda asked: asked != path)
    before = snapshot(repository)
    with pytest.raises(StorageMigrationError, match=f"{path} cannot be written"):
        await move(connection, repository)
    assert snapshot(repository) == before
    await move(connection, repository, dry_run=True)


@pytest.mark.parametrize("kind", ["missing", "another's"])
async def test_told_that_there_are_no_files_it_makes_an_empty_container(
    at: At, repository: Path, kind: str
) -> None:
    connection = await at(46)
    _, uuid = await add_node(connection, "data.Data.")
    if kind == "another's":
        add_files(repository, str(uuids.uuid4()), {"a": b"a"})
    outcome = await move(connection, repository, without_repository=True)
    assert objects(container_path(repository)) == {}
    assert await container_of(connection) == read_container_id(repository)
    assert await metadata(connection) == {uuid: {}}
    assert any("left alone" in note for note in outcome.notes) == (kind == "another's")


async def test_told_that_there_are_no_files_it_still_takes_those_that_are_there(
    at: At, repository: Path
) -> None:
    connection = await at(46)
    nodes = await add_some(connection, repository)
    await move(connection, repository, without_repository=True)
    await check_whole(connection, repository, nodes)


async def test_where_the_profile_names_no_repository_the_note_says_what_is_missing(at: At) -> None:
    connection = await at(46)
    await add_node(connection, "data.Data.")
    outcome = await move(connection, None, without_repository=True)
    assert "repository|uuid" in outcome.notes[0]
    assert await container_of(connection) is None


async def test_a_container_that_is_there_is_refused_and_not_touched(
    at: At, repository: Path
) -> None:
    connection = await at(46)
    await add_some(connection, repository, 1)
    create_container(repository)
    before = snapshot(repository)
    for dry_run in (True, False):
        with pytest.raises(StorageMigrationError, match="already exists"):
            await move(connection, repository, dry_run=dry_run)
    assert snapshot(repository) == before


async def test_the_container_that_another_database_is_filling_is_refused(
    at: At, repository: Path
) -> None:
    connection = await at(46)
    await add_some(connection, repository, 1)
    uuid = create_container(repository)
    (repository / MARK).write_text(json.dumps({"container": uuid, "database": "another"}))
    before = snapshot(repository)
    with pytest.raises(StorageMigrationError, match="another database's files"):
        await move(connection, repository)
    (repository / MARK).write_text("no JSON")
    with pytest.raises(StorageMigrationError, match="does not say whose"):
        await move(connection, repository)
    (repository / MARK).unlink()
    del before[MARK]
    assert snapshot(repository) == before


def make_pipe(directory: Path) -> None:
    os.mkfifo(directory / "pipe")


def make_dangling_link(directory: Path) -> None:
    (directory / "link").symlink_to("nowhere")


def make_name_that_is_no_text(directory: Path) -> None:
    Path(os.fsdecode(os.fsencode(directory) + b"/\xff\xfe")).write_bytes(b"")


@pytest.mark.parametrize("make", [make_pipe, make_dangling_link, make_name_that_is_no_text])
async def test_what_has_no_content_or_no_name_is_refused_by_its_path(
    at: At, repository: Path, make: object
) -> None:
    connection = await at(46)
    (uuid,) = await add_some(connection, repository, 1)
    make(node_folder(repository, uuid) / "path")  # type: ignore[operator]
    with pytest.raises(StorageMigrationError) as caught:
        await asyncio.wait_for(move(connection, repository), 20)
    assert str(node_folder(repository, uuid)) in str(caught.value)
    assert await container_of(connection) is None


async def test_without_the_package_the_error_names_the_extra(
    at: At, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = await at(46)
    await add_some(connection, repository, 1)
    monkeypatch.setitem(sys.modules, "disk_objectstore", None)
    with pytest.raises(MissingExtraError, match=r"aiidadb\[repository\]"):
        await move(connection, repository)
    assert entries(repository) == [repository / "repository"]


async def test_a_setting_of_another_container_is_replaced_and_noted(
    at: At, repository: Path
) -> None:
    connection = await at(46)
    await connection.execute(
        """
        insert into db_dbsetting (key, val, description, time)
        values ('repository|uuid', '"old"', 'mine', now())
        """
    )
    outcome = await move(connection, repository)
    assert await container_of(connection) == read_container_id(repository)
    assert any("was old" in note for note in outcome.notes)


# ---------------------------------------------------------------- dry runs, threads, memory


@pytest.mark.quick
async def test_a_dry_run_reads_all_and_leaves_nothing(at: At, repository: Path) -> None:
    connection = await at(46)
    await add_some(connection, repository)
    await add_node(connection, "data.Data.")
    before = snapshot(repository.parent)
    outcome = await move(connection, repository, dry_run=True)
    assert snapshot(repository.parent) == before
    assert outcome.rows == 20
    assert outcome.files == outcome.after_commit == ()
    assert "would be created" in outcome.notes[0]
    assert await container_of(connection) is None
    assert set(map(str, (await metadata(connection)).values())) == {"{}"}


async def test_files_are_never_worked_on_in_the_event_loops_thread(
    at: At, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = await at(46)
    await add_some(connection, repository)
    threads: dict[str, set[bool]] = {}
    for name in ("list_shard", "read_tree", "take_place", "sync_directory"):

        def watched(
            *values: object, name: str = name, real: object = getattr(step, name)
        ) -> object:
            here = threading.current_thread() is threading.main_thread()
            threads.setdefault(name, set()).add(here)
            return real(*values)  # type: ignore[operator]

        monkeypatch.setattr(step, name, watched)
    store = ObjectWriter.store

    def watched_store(
        self: ObjectWriter, files: list[str], known: dict[str, SmallFile]
    ) -> list[str]:
        threads.setdefault("store", set()).add(
            threading.current_thread() is threading.main_thread()
        )
        return store(self, files, known)

    monkeypatch.setattr(ObjectWriter, "store", watched_store)
    await move(connection, repository)
    assert threads == {
        name: {False}
        for name in ("list_shard", "read_tree", "take_place", "sync_directory", "store")
    }


async def test_memory_does_not_grow_with_the_files(at: At, repository: Path) -> None:
    connection = await at(46)
    _, uuid = await add_node(connection, "data.Data.")
    directory = add_files(repository, uuid, {})
    with (directory / "large").open("wb") as handle:
        handle.truncate(150_000_000)
    for number in range(400):
        (directory / f"{number}").write_bytes(number.to_bytes(4, "big") * 50_000)
    tracemalloc.start()
    try:
        await move(connection, repository)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert size_of_all(container_path(repository) / "packs") == 150_000_000 + 400 * 200_000
    assert dead_bytes(repository) == 0
    assert peak < 60_000_000


async def test_progress_counts_the_nodes_of_the_database(
    at: At, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(step, "_NODES_AT_ONCE", 8)
    connection = await at(46)
    await add_some(connection, repository, 30)
    add_files(repository, str(uuids.uuid4()), {"orphan": b""})
    told: list[tuple[str, int, int | None]] = []
    context = StepContext(
        connection,
        MigrationOptions(repository=repository, export_directory=repository),
        lambda *what: told.append(what),
    )
    async with connection.transaction():
        await step.MOVE_REPOSITORY.run(context)
    done = [number for _, number, _ in told]
    assert done == sorted(done)
    assert len(done) >= 4
    assert told[-1][1:] == (30, 30)


async def test_folders_that_were_seen_ahead_to_be_empty_count(
    at: At, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(step, "_NODES_AT_ONCE", 4)
    connection = await at(46)
    nodes = await add_some(connection, repository, 5)
    for _ in range(20):
        _, uuid = await add_node(connection, "data.Data.")
        add_files(repository, uuid, {})
    orphan = add_files(repository, str(uuids.uuid4()), {})
    for path in (*repository.rglob("*"), repository):
        os.utime(path, (1_500_000_000, 1_500_000_000))
    ahead = ReadAhead(repository)
    ahead.run()
    told: list[tuple[str, int, int | None]] = []
    context = StepContext(
        connection,
        MigrationOptions(repository=repository, export_directory=repository),
        lambda *what: told.append(what),
        ahead=ahead,
    )
    async with connection.transaction():
        outcome = await step.MOVE_REPOSITORY.run(context)
    assert told[-1][1:] == (25, 25)
    assert outcome.rows == 5
    assert any(str(orphan) in note for note in outcome.notes)
    found = await metadata(connection)
    assert {uuid for uuid, what in found.items() if what} == set(nodes)


# ---------------------------------------------------------------- faults


@contextmanager
def files_no_longer_than(size: int) -> Iterator[None]:
    """As on a full disk, no file of this process grows beyond a size."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def check_whole(connection: asyncpg.Connection, repository: Path, nodes: list[str]) -> None:
    """The database and its container are what an undisturbed run produces from ``add_some``."""
    contents = [f"content {position}".encode() for position in range(len(nodes))]
    assert await metadata(connection) == {
        uuid: {"o": {"own": object_of(content)}}
        for uuid, content in zip(nodes, contents, strict=True)
    }
    assert sorted(objects(container_path(repository)).values()) == sorted(contents)
    assert dead_bytes(repository) == 0
    assert await container_of(connection) == read_container_id(repository)
    assert [path.name for path in entries(repository)] == ["container", "repository"]


async def test_after_a_full_disk_the_next_run_goes_on_with_the_same_container(
    at: At, repository: Path
) -> None:
    connection = await at(46)
    nodes = await add_some(connection, repository)
    large = b"L" * 400_000
    add_files(repository, orphan := str(uuids.uuid4()), {"large": large})
    with (
        files_no_longer_than(200_000),
        pytest.raises(
            StorageMigrationError, match=r"File too large.*free some space and run again"
        ),
    ):
        await move(connection, repository)
    assert await container_of(connection) is None
    begun = read_container_id(repository)
    assert begun
    shutil.rmtree(node_folder(repository, orphan))
    await move(connection, repository)
    assert read_container_id(repository) == begun
    await check_whole(connection, repository, nodes)


KILLED = """
import asyncio, os, signal, sys
from pathlib import Path
import asyncpg
from aiidadb.migration.repository import move_files as step
from aiidadb.migration.options import MigrationOptions
from aiidadb.migration.python_step import StepContext
from aiidadb.migration.repository.container_objects import ObjectWriter

dsn, path, when = sys.argv[1:]
step._NODES_AT_ONCE = 4

def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

def die_late(what, done, total):
    if done >= 12:
        die()

if when == "within a pack":
    import disk_objectstore.utils
    disk_objectstore.utils.safe_flush_to_disk = die
elif when == "before the index":
    import disk_objectstore.utils
    flush = disk_objectstore.utils.safe_flush_to_disk
    def flush_and_die(*values, **named):
        flush(*values, **named)
        die()
    disk_objectstore.utils.safe_flush_to_disk = flush_and_die
elif when == "mark alone":
    import aiidadb.migration.repository.container
    aiidadb.migration.repository.container.sync_directory = lambda path: None
    rename = Path.rename
    Path.rename = lambda self, target: die() if target.name == "container" else rename(self, target)

async def main():
    connection = await asyncpg.connect(dsn)
    async with connection.transaction():
        await step.MOVE_REPOSITORY.run(StepContext(
            connection,
            MigrationOptions(repository=Path(path), export_directory=Path(path)),
            die_late if when == "between batches" else lambda *_: None,
        ))
        if when == "before the commit":
            die()
    if when == "after the commit":
        die()

asyncio.run(main())
"""


async def killed(dsn: str, repository: Path, when: str) -> None:
    """Run the step in a process that kills itself."""
    process = finished([sys.executable, "-c", KILLED, dsn, str(repository), when])
    assert process.returncode == -signal.SIGKILL, process.stderr


@pytest.mark.parametrize(
    "when",
    some_of(
        ["mark alone", "within a pack", "before the index", "between batches", "before the commit"],
        chosen=["within a pack", "before the commit"],
    ),
)
async def test_killed_anywhere_before_the_commit_the_next_run_finishes(
    at: At, databases: Databases, repository: Path, when: str
) -> None:
    connection = await at(46)
    nodes = await add_some(connection, repository)
    before = snapshot(repository / "repository")
    for _ in range(2):  # and killed again
        await killed(await dsn_of(databases, connection), repository, when)
        assert (repository / MARK).exists()
        assert await container_of(connection) is None
        assert set(map(str, (await metadata(connection)).values())) == {"{}"}
    begun = read_container_id(repository)
    await move(connection, repository)
    assert begun in (None, read_container_id(repository))
    assert snapshot(repository / "repository") == before
    await check_whole(connection, repository, nodes)


async def test_killed_after_the_commit_all_is_there(
    at: At, databases: Databases, repository: Path
) -> None:
    connection = await at(46)
    nodes = await add_some(connection, repository)
    await killed(await dsn_of(databases, connection), repository, "after the commit")
    (repository / MARK).unlink()
    await check_whole(connection, repository, nodes)


async def test_what_a_killed_run_has_written_is_not_written_again(
    at: At, databases: Databases, repository: Path
) -> None:
    connection = await at(46)
    nodes = await add_some(connection, repository)
    await killed(await dsn_of(databases, connection), repository, "before the commit")
    packs = snapshot(container_path(repository) / "packs")
    await move(connection, repository)
    assert snapshot(container_path(repository) / "packs") == packs
    await check_whole(connection, repository, nodes)


async def test_what_a_killed_run_has_left_half_written_is_cut_off(
    at: At, databases: Databases, repository: Path
) -> None:
    connection = await at(46)
    nodes = await add_some(connection, repository)
    await killed(await dsn_of(databases, connection), repository, "before the commit")
    with (container_path(repository) / "packs" / "0").open("ab") as pack:
        pack.write(b"of an object that the index does not know")
    (container_path(repository) / "packs" / "1").write_bytes(b"of another pack")
    await move(connection, repository)
    await check_whole(connection, repository, nodes)


async def test_an_index_that_cannot_be_written_is_told_and_nothing_is_left(
    at: At, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = await at(46)
    nodes = await add_some(connection, repository)
    with monkeypatch.context() as patched:
        patched.setattr(pack_writer, "_ADD", "insert into nowhere values (?, ?, ?, ?, ?)")
        with pytest.raises(StorageMigrationError, match=r"the container's index.*no such table"):
            await move(connection, repository)
    assert dead_bytes(repository) == 0
    await move(connection, repository)
    await check_whole(connection, repository, nodes)


@pytest.mark.parametrize("how", ["Task.cancel", "asyncio.timeout"])
async def test_cancelled_it_ends_and_the_next_run_finishes(
    at: At, repository: Path, monkeypatch: pytest.MonkeyPatch, how: How
) -> None:
    connection = await at(46)
    nodes = await add_some(connection, repository)
    started = threading.Event()
    read_small, read = container_objects.read_small, []

    def slowly(path: str) -> SmallFile | None:
        read.append(path)
        started.set()
        threading.Event().wait(0.2)
        return read_small(path)

    with monkeypatch.context() as patched:
        patched.setattr(container_objects, "read_small", slowly)
        await cancel_when(started, move(connection, repository), how)
    assert len(read) < len(nodes)
    await move(connection, repository)
    await check_whole(connection, repository, nodes)


async def test_cancelled_within_a_large_file_nothing_of_it_is_left(
    at: At, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = await at(46)
    nodes = await add_some(connection, repository)
    add_files(repository, orphan := str(uuids.uuid4()), {"large": b"large" * 1_000_000})
    started = threading.Event()
    pieces_of, written = pack_writer.pieces_of, []

    def slowly(source: BinaryIO, interrupted: Callable[[], None]) -> Iterator[memoryview]:
        for piece in pieces_of(source, interrupted):
            written.append(len(piece))
            started.set()
            deadline = time.monotonic() + LIMIT
            while time.monotonic() < deadline:
                interrupted()
                time.sleep(0.01)
            yield piece

    with monkeypatch.context() as patched:
        patched.setattr(pack_writer, "pieces_of", slowly)
        await cancel_when(started, move(connection, repository), "Task.cancel")
    assert sum(written) < 5_000_000
    assert dead_bytes(repository) == 0
    shutil.rmtree(node_folder(repository, orphan))
    await move(connection, repository)
    await check_whole(connection, repository, nodes)


async def test_two_processes_never_fill_one_container_at_once(at: At, repository: Path) -> None:
    connection = await at(46)
    nodes = await add_some(connection, repository)
    with lock_directory(repository) as held:
        assert held
        with pytest.raises(StorageMigrationError, match="another process"):
            await move(connection, repository)
    await move(connection, repository)
    await check_whole(connection, repository, nodes)


async def test_a_file_that_changes_while_it_is_read_is_refused(
    at: At, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = await at(46)
    _, uuid = await add_node(connection, "data.Data.")
    directory = add_files(repository, uuid, {"large": LARGE})
    pieces_of = pack_writer.pieces_of

    def meanwhile(source: BinaryIO, interrupted: Callable[[], None]) -> Iterator[memoryview]:
        yield from pieces_of(source, interrupted)
        (directory / "large").write_bytes(LARGE + b"more")

    with monkeypatch.context() as patched:
        patched.setattr(pack_writer, "pieces_of", meanwhile)
        with pytest.raises(StorageMigrationError, match=r"large changed while it was read"):
            await move(connection, repository)
    await move(connection, repository)
    assert await metadata(connection) == {uuid: {"o": {"large": object_of(LARGE + b"more")}}}
    assert dead_bytes(repository) == 0


async def test_a_small_file_that_changes_while_it_is_read_is_refused(
    at: At, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = await at(46)
    nodes = await add_some(connection, repository, 1)
    path = node_folder(repository, nodes[0]) / "path" / "own"
    fstat = os.fstat

    def meanwhile(descriptor: int) -> os.stat_result:
        status = fstat(descriptor)
        with path.open("ab") as handle:
            handle.write(b"more")
        return status

    with monkeypatch.context() as patched:
        patched.setattr(container_objects.os, "fstat", meanwhile)
        with pytest.raises(StorageMigrationError, match=r"own changed while it was read"):
            await move(connection, repository)
    path.write_bytes(b"content 0")
    await move(connection, repository)
    await check_whole(connection, repository, nodes)
