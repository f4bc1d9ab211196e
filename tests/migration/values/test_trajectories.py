"""The symbols of trajectories become attributes; the old repository stays as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from aiidadb.exceptions import MissingExtraError, StorageMigrationError
from aiidadb.migration.options import MigrationOptions
from aiidadb.migration.python_step import StepContext
from aiidadb.migration.values import trajectories
from aiidadb.migration.values.trajectories import MOVE_TRAJECTORY_SYMBOLS
from tests.helpers.old_nodes import (
    TRAJECTORY,
    add_attribute_list,
    add_files,
    add_node,
    node_folder,
    snapshot,
)
from tests.helpers.single_steps import run_step

if TYPE_CHECKING:
    from pathlib import Path

    import asyncpg

    from tests.migration.conftest import At


async def add_trajectory(
    connection: asyncpg.Connection, repository: Path, symbols: object = None
) -> tuple[int, str]:
    """A trajectory with an array of symbols; its file is written where symbols are given."""
    node, uuid = await add_node(connection, TRAJECTORY)
    await add_attribute_list(connection, node, "array|symbols", [2])
    await add_attribute_list(connection, node, "array|steps", [1])
    if symbols is not None:
        directory = add_files(repository, uuid, {"steps.npy": b"not looked at"})
        np.save(directory / "symbols.npy", symbols)
    return node, uuid


async def attributes(connection: asyncpg.Connection, node: int) -> list[tuple[object, ...]]:
    rows = await connection.fetch(
        """
        select key, datatype, ival, tval, fval, bval, dval
        from db_dbattribute
        where dbnode_id = $1::int
        order by key
        """,
        node,
    )
    return [tuple(row) for row in rows]


def as_rows(key: str, values: list[int] | list[str]) -> list[tuple[object, ...]]:
    """The rows of a list of integers or texts."""
    return [
        (key, "list", len(values), "", None, None, None),
        *(
            (f"{key}.{position}", "int", value, "", None, None, None)
            if isinstance(value, int)
            else (f"{key}.{position}", "txt", None, value, None, None, None)
            for position, value in enumerate(values)
        ),
    ]


@pytest.mark.parametrize(
    ("array", "symbols"),
    [
        (np.array(["Fe", "O"]), ["Fe", "O"]),
        (np.array([b"Fe", b"O"]), ["Fe", "O"]),  # as Python 2 wrote it
        (np.array(["Fe", "O"], dtype=">U8"), ["Fe", "O"]),
        (np.array(['a "b" \\ ü €', "😀", "null"]), ['a "b" \\ ü €', "😀", "null"]),
        (np.array([], dtype="<U2"), []),
    ],
)
async def test_symbols_become_the_rows_that_aiida_keeps_of_a_list(
    at: At, tmp_path: Path, array: np.ndarray, symbols: list[str]
) -> None:
    connection = await at(25)
    node, _ = await add_trajectory(connection, tmp_path, array)
    (outcome,) = await run_step(connection, 26, repository=tmp_path)
    assert await attributes(connection, node) == [
        *as_rows("array|steps", [1]),
        *as_rows("array|symbols", [2]),
        *as_rows("symbols", symbols),
    ]
    assert outcome.rows == 1 + len(symbols)
    assert "symbols are an attribute now: 1" in outcome.notes[0]

    await run_step(connection, 27)
    assert await attributes(connection, node) == [
        *as_rows("array|steps", [1]),
        *as_rows("symbols", symbols),
    ]


@pytest.mark.quick
async def test_an_attribute_symbols_that_is_there_is_replaced_as_a_whole(
    at: At, tmp_path: Path
) -> None:
    connection = await at(25)
    node, _ = await add_trajectory(connection, tmp_path, np.array(["Fe"]))
    await add_attribute_list(connection, node, "symbols", ["A", "B", "C"])
    await add_attribute_list(connection, node, "symbolsX", ["kept"])
    await run_step(connection, 26, repository=tmp_path)
    assert await attributes(connection, node) == [
        *as_rows("array|steps", [1]),
        *as_rows("array|symbols", [2]),
        *as_rows("symbols", ["Fe"]),
        *as_rows("symbolsX", ["kept"]),
    ]


async def test_other_nodes_and_times_of_change_are_left_alone(at: At, tmp_path: Path) -> None:
    connection = await at(25)
    node, _ = await add_trajectory(connection, tmp_path, np.array(["Fe", "O"]))
    other, uuid = await add_node(connection, "node.data.array.ArrayData.")
    await add_attribute_list(connection, other, "array|symbols", [2])
    np.save(add_files(tmp_path, uuid, {}) / "symbols.npy", np.array(["H"]))
    nodes = "select id, uuid, type, ctime, mtime, nodeversion from db_dbnode order by id"
    before = await connection.fetch(nodes)
    await run_step(connection, 26, repository=tmp_path)
    await run_step(connection, 27)
    assert await connection.fetch(nodes) == before
    assert await attributes(connection, other) == as_rows("array|symbols", [2])
    assert len(await attributes(connection, node)) == 2 + 3


async def test_the_old_repository_is_not_changed(at: At, tmp_path: Path) -> None:
    connection = await at(25)
    for _ in range(3):
        await add_trajectory(connection, tmp_path, np.array(["Fe", "O"]))
    before = snapshot(tmp_path)
    await run_step(connection, 26, repository=tmp_path)
    await run_step(connection, 27, repository=tmp_path)
    assert snapshot(tmp_path) == before


async def test_many_trajectories_are_moved_in_batches(at: At, tmp_path: Path) -> None:
    connection = await at(25)
    nodes = [
        (await add_trajectory(connection, tmp_path, np.array([f"X{number}"])))[0]
        for number in range(205)
    ]
    (outcome,) = await run_step(connection, 26, repository=tmp_path)
    assert outcome.rows == 2 * 205
    moved = await connection.fetch(
        "select dbnode_id, tval from db_dbattribute where key = 'symbols.0' order by dbnode_id"
    )
    assert [tuple(row) for row in moved] == [
        (node, f"X{number}") for number, node in enumerate(nodes)
    ]


async def test_a_missing_file_is_refused_before_anything_is_written(at: At, tmp_path: Path) -> None:
    connection = await at(25)
    there, _ = await add_trajectory(connection, tmp_path, np.array(["Fe"]))
    missing = [(await add_trajectory(connection, tmp_path))[1] for _ in range(7)]
    with pytest.raises(StorageMigrationError, match=r"is missing in .*: 7") as caught:
        await run_step(connection, 26, repository=tmp_path)
    assert missing[0] in str(caught.value)
    assert "without_repository" in str(caught.value)
    assert not [row for row in await attributes(connection, there) if row[0] == "symbols"]


async def test_a_trajectory_that_never_had_symbols_is_noted_and_left(
    at: At, tmp_path: Path
) -> None:
    connection = await at(25)
    node, uuid = await add_node(connection, TRAJECTORY)
    (outcome,) = await run_step(connection, 26, repository=tmp_path)
    assert await attributes(connection, node) == []
    assert uuid in outcome.notes[0]


@pytest.mark.parametrize("repository", [None, "elsewhere"])
async def test_without_a_repository_it_is_refused_where_symbols_are_in_files(
    at: At, tmp_path: Path, repository: str | None
) -> None:
    connection = await at(25)
    await add_trajectory(connection, tmp_path, np.array(["Fe"]))
    with pytest.raises(
        StorageMigrationError, match=r"the symbols of 1 trajectory .*without_repository"
    ):
        await run_step(
            connection, 26, repository=None if repository is None else tmp_path / repository
        )


@pytest.mark.parametrize(("version", "prefix"), [(14, ""), (25, "node.")])
async def test_that_a_repository_will_be_needed_is_known_before_the_first_step(
    at: At, tmp_path: Path, version: int, prefix: str
) -> None:
    connection = await at(version)

    def context(repository: Path | None, without: bool = False) -> StepContext:
        options = MigrationOptions(
            repository=repository, export_directory=tmp_path, without_repository=without
        )
        return StepContext(connection, options, lambda *_: None)

    node, _ = await add_node(connection, f"{prefix}data.array.ArrayData.")
    await add_attribute_list(connection, node, "array|symbols", [2])
    await MOVE_TRAJECTORY_SYMBOLS.check(context(None))
    node, _ = await add_node(connection, f"{prefix}data.array.trajectory.TrajectoryData.")
    await MOVE_TRAJECTORY_SYMBOLS.check(context(None))
    await add_attribute_list(connection, node, "array|symbols", [2])
    for repository in (None, tmp_path / "elsewhere"):
        with pytest.raises(StorageMigrationError, match=r"the symbols of 1 trajectory"):
            await MOVE_TRAJECTORY_SYMBOLS.check(context(repository))
        await MOVE_TRAJECTORY_SYMBOLS.check(context(repository, without=True))
    await MOVE_TRAJECTORY_SYMBOLS.check(context(tmp_path))


async def test_without_a_repository_databases_pass_that_have_no_symbols_in_files(
    at: At,
) -> None:
    connection = await at(25)
    await add_node(connection, "node.data.Data.")
    await add_node(connection, TRAJECTORY)
    (outcome,) = await run_step(connection, 26)
    assert outcome.rows == 0


async def test_told_to_do_without_a_repository_a_trajectory_keeps_what_it_has(
    at: At, tmp_path: Path
) -> None:
    connection = await at(25)
    node, _ = await add_trajectory(connection, tmp_path)
    before = await attributes(connection, node)
    (outcome,) = await run_step(connection, 26, without_repository=True)
    await run_step(connection, 27, without_repository=True)
    assert await attributes(connection, node) == before
    assert "get no attribute symbols" in outcome.notes[0]


async def test_told_that_files_may_be_missing_it_moves_those_that_are_there(
    at: At, tmp_path: Path
) -> None:
    connection = await at(25)
    missing, uuid = await add_trajectory(connection, tmp_path)
    there, _ = await add_trajectory(connection, tmp_path, np.array(["Fe"]))
    before = await attributes(connection, missing)
    (outcome,) = await run_step(connection, 26, repository=tmp_path, without_repository=True)
    await run_step(connection, 27, without_repository=True)
    assert await attributes(connection, missing) == before
    assert as_rows("symbols", ["Fe"])[1] in await attributes(connection, there)
    assert any(uuid in note for note in outcome.notes)


async def test_a_dry_run_changes_neither_database_nor_files(at: At, tmp_path: Path) -> None:
    connection = await at(25)
    node, _ = await add_trajectory(connection, tmp_path, np.array(["Fe", "O"]))
    rows, files = await attributes(connection, node), snapshot(tmp_path)
    (outcome,) = await run_step(connection, 26, repository=tmp_path, dry_run=True)
    assert outcome.rows == 3
    assert await attributes(connection, node) == rows
    assert snapshot(tmp_path) == files


class Trap:
    """Unpickled, it would make a file."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return open, (self.path, "w")


@pytest.mark.parametrize(
    "symbols",
    [np.array([1.0, 2.0]), np.array([["Fe", "O"]]), np.array(["a\0b"])],
    ids=["numbers", "a table", "NUL"],
)
async def test_an_array_that_is_no_list_of_symbols_is_refused_by_its_path(
    at: At, tmp_path: Path, symbols: np.ndarray
) -> None:
    connection = await at(25)
    _, uuid = await add_trajectory(connection, tmp_path, symbols)
    with pytest.raises(StorageMigrationError) as caught:
        await run_step(connection, 26, repository=tmp_path)
    assert str(node_folder(tmp_path, uuid)) in str(caught.value)


@pytest.mark.quick
async def test_a_pickle_is_refused_and_not_run(at: At, tmp_path: Path) -> None:
    connection = await at(25)
    ran = tmp_path / "ran"
    await add_trajectory(connection, tmp_path, np.array([Trap(str(ran))], dtype=object))
    with pytest.raises(StorageMigrationError, match=r"symbols\.npy cannot be read"):
        await run_step(connection, 26, repository=tmp_path)
    assert not ran.exists()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x93NUMPY\x01\x00",
        b"text",
        b"PK\x03\x04",  # read as an archive
        b"\x93NUMPY\x01\x00\x06\x00{'a':(",  # a header that cannot be parsed
        # What follows the header is not a character.
        b"\x93NUMPY\x01\x00\x34\x00{'descr':'<U1', 'fortran_order':False, 'shape':(1,)}"
        + b"\xff" * 4,
    ],
)
async def test_a_broken_file_is_refused_by_its_path(at: At, tmp_path: Path, data: bytes) -> None:
    connection = await at(25)
    _, uuid = await add_trajectory(connection, tmp_path)
    add_files(tmp_path, uuid, {"symbols.npy": data})
    with pytest.raises(StorageMigrationError, match=r"symbols\.npy cannot be read"):
        await run_step(connection, 26, repository=tmp_path)


async def test_symbols_of_large_files_are_not_kept(at: At, tmp_path: Path) -> None:
    connection = await at(25)
    trajectories._read_array_once.cache_clear()
    small, large = ["Si", "O"], ["Si", "O"] * 2000
    for symbols in (small, large, large, small):
        await add_trajectory(connection, tmp_path, np.array(symbols))
    await run_step(connection, 26, repository=tmp_path)
    kept = trajectories._read_array_once.cache_info()
    assert (kept.currsize, kept.hits) == (1, 1)
    query = "select count(*) from db_dbattribute where key like 'symbols.%'"
    assert await connection.fetchval(query) == 2 * len(small) + 2 * len(large)


async def test_without_numpy_the_error_names_the_extra(
    at: At, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = await at(25)
    await add_trajectory(connection, tmp_path, np.array(["Fe"]))
    monkeypatch.setitem(__import__("sys").modules, "numpy", None)
    with pytest.raises(MissingExtraError, match=r"aiidadb\[repository\]"):
        await run_step(connection, 26, repository=tmp_path)


async def test_genuine_trajectories_get_their_symbols(
    legacy: asyncpg.Connection, legacy_repository: Path, tmp_path: Path
) -> None:
    before = snapshot(legacy_repository)
    for number in range(9, 28):
        await run_step(
            legacy, number, repository=legacy_repository, export_directory=tmp_path / "exports"
        )
    trajectories = [
        row["id"]
        for row in await legacy.fetch("select id from db_dbnode where type = $1::text", TRAJECTORY)
    ]
    assert len(trajectories) == 6
    for node in trajectories:
        found = await attributes(legacy, node)
        assert [row for row in found if "symbols" in str(row[0])] == as_rows("symbols", ["Fe", "O"])
    assert snapshot(legacy_repository) == before
