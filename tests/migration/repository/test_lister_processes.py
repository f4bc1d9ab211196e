"""Processes that list shards give what a thread does, and leave it to one where they cannot."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from aiidadb.migration.repository import lister, lister_processes
from aiidadb.migration.repository.lister import LEVELS_AT_MOST
from aiidadb.migration.repository.lister_processes import ListerProcesses, useful_number
from aiidadb.migration.repository.node_folders import nodes_path
from aiidadb.migration.repository.read_ahead import list_ahead
from tests.helpers.old_nodes import add_file_in, add_files, nest_directories

_REST = "111111-0000-4000-8000-000000000000"


@pytest.fixture
def nodes(tmp_path: Path) -> Path:
    repository = tmp_path / "a directory\nof \udcff"
    add_files(repository, f"aa{_REST}", {"file": b"", "sub/ä": b"", "sub/sub/\n": b""})
    add_files(repository, f"ab{_REST}", {"in": b""}, content="raw_input")
    add_files(repository, f"ac{_REST}", {})
    (add_files(repository, f"ad{_REST}", {}) / "linked").symlink_to("/")
    (add_files(repository, f"ae{_REST}", {}) / "broken").symlink_to("nowhere")
    return nodes_path(repository)


def _run_first(command: str, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a shell run a command before each Python that is started."""
    program = directory / "python3"
    program.write_text(f'#!/bin/sh\n{command}\nexec {sys.executable} "$@"\n')
    program.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(program))


def test_a_process_lists_what_this_one_lists(nodes: Path) -> None:
    processes = ListerProcesses(nodes, 1)
    for name in ("aa", "ab", "ac", "ad", "af"):
        listed = processes.list(name)
        assert listed is not None
        expected = list_ahead(nodes, name, lister.go_on)
        assert (listed.shard, listed.trees) == (expected.shard, expected.trees)
        for tree in listed.trees.values():
            for _, entry in tree.files:
                entry["k"] = "hash"  # the entry is the one in the metadata
            assert str(tree.metadata).count("hash") == len(tree.files)
    assert processes.list("ae") is None
    processes.close()
    assert processes.list("aa") is None
    processes.close()


def test_one_that_was_killed_leaves_its_shards_to_the_caller(nodes: Path) -> None:
    processes = ListerProcesses(nodes, 2)
    processes.kill()
    assert [processes.list("aa") for _ in range(3)] == [None] * 3
    processes.close()


def test_where_none_can_be_started_the_caller_lists(
    nodes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", str(nodes / "python"))
    processes = ListerProcesses(nodes, 2)
    assert len(processes) == 0
    assert processes.list("aa") is None
    processes.close()


def test_one_that_writes_something_else_leaves_its_shards_to_the_caller(
    nodes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _run_first('echo "hello and welcome"', nodes, monkeypatch)
    processes = ListerProcesses(nodes, 1)
    assert [processes.list(name) for name in ("aa", "ab")] == [None, None]
    processes.close()


def test_directories_nested_too_deeply_are_left_to_the_caller(tmp_path: Path) -> None:
    for digits, levels in (("aa", 1100), ("ab", LEVELS_AT_MOST + 1), ("ac", LEVELS_AT_MOST)):
        deepest = nest_directories(add_files(tmp_path, f"{digits}{_REST}", {}), levels)
        add_file_in(deepest, "f")
    processes = ListerProcesses(nodes_path(tmp_path), 1)
    assert processes.list("aa") is None
    assert processes.list("ab") is None
    listed = processes.list("ac")
    assert listed is not None
    ((path, _),) = listed.trees[listed.shard.folders[f"ac{_REST}"]].files
    assert path.endswith("/d" * LEVELS_AT_MOST + "/f")
    processes.close()
    subprocess.run(["rm", "-rf", tmp_path / "repository"], check=True)  # nor does shutil


def test_names_are_read_as_this_process_reads_them(
    nodes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Unless told otherwise, Python reads names as ASCII here. Isolated (-I) it would need a locale
    # with another encoding than UTF-8, which not every machine has.
    _run_first("shift", nodes, monkeypatch)
    for name, value in (("LC_ALL", "POSIX"), ("PYTHONCOERCECLOCALE", "0"), ("PYTHONUTF8", "0")):
        monkeypatch.setenv(name, value)
    processes = ListerProcesses(nodes, 1)
    listed = processes.list("aa")
    processes.close()
    assert listed is not None
    assert listed.trees == list_ahead(nodes, "aa", lister.go_on).trees


def test_where_names_are_not_utf_8_none_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "getfilesystemencoding", lambda: "iso8859-1")
    assert useful_number() == 0


def test_a_shard_is_as_old_as_the_begin_of_its_listing(
    nodes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, answered = lister_processes._ask, []

    def ask(process: subprocess.Popen[bytes], name: str) -> lister.Listed | None:
        listed = real(process, name)
        answered.append(time.monotonic())
        return listed

    monkeypatch.setattr(lister_processes, "_ask", ask)
    processes = ListerProcesses(nodes, 1)
    listed = processes.list("aa")
    processes.close()
    assert listed is not None
    assert listed.listed_at < answered[0]


def test_a_directory_that_is_removed_meanwhile_is_not_taken_for_empty(tmp_path: Path) -> None:
    raw_input = add_files(tmp_path, f"aa11{_REST[2:]}", {"in": b""}, content="raw_input")
    add_files(tmp_path, f"aa22{_REST[2:]}", {"f": b""})

    def remove(path: str) -> None:
        if path.endswith("/f"):
            shutil.rmtree(raw_input)

    with pytest.raises(FileNotFoundError):
        lister.list_with_files(str(nodes_path(tmp_path)), "aa", lister.go_on, remove)


@pytest.mark.parametrize(
    "executable", [None, "", "/usr/bin/uwsgi", "/opt/application", "/opt/python-editor"]
)
def test_what_is_not_python_is_not_started(
    monkeypatch: pytest.MonkeyPatch, executable: str | None
) -> None:
    assert 1 <= useful_number() <= lister_processes._AT_MOST
    monkeypatch.setattr(sys, "executable", executable)
    assert useful_number() == 0


def test_the_program_imports_only_what_python_has_loaded_at_its_start() -> None:
    program = ast.parse(Path(lister.__file__).read_text())
    imported = {
        alias.name
        for statement in program.body
        if isinstance(statement, ast.Import)
        for alias in statement.names
    }
    asked = [sys.executable, "-I", "-c", "import sys; print(*sys.modules)"]
    loaded = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.split()
    assert imported <= set(loaded)
