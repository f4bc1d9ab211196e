"""What needs root, or packages of Debian: ``python -m pytest -m system``.

Where one of them is missing, that is an error: who asks for these tests wants them run.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from aiidadb.demo.embedded_server import EmbeddedServer, embedded_server
from tests.helpers.processes import LIMIT

Mount = Callable[[str], Path]
"""Mounts a disk of a size such as ``8m``; gives its directory."""


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that the server's user can enter, which ``tmp_path`` is not for root."""
    with tempfile.TemporaryDirectory(prefix="aiidadb-test-", dir="/tmp") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedServer]:
    """A server of these tests' own, whose user is known."""
    with embedded_server() as started:
        yield started


@pytest.fixture
def mount(place: Path) -> Iterator[Mount]:
    """Mounts small disks, in memory; they go at the end."""
    if os.geteuid() != 0:
        pytest.fail("only root can mount disks")
    with ExitStack() as mounted:
        yield lambda size: mounted.enter_context(_mounted(place, size))


@contextmanager
def _mounted(place: Path, size: str) -> Iterator[Path]:
    directory = place / f"disk_of_{size}"
    directory.mkdir()
    _run("mount", "-t", "tmpfs", "-o", f"size={size},mode=777", "tmpfs", str(directory))
    try:
        yield directory
    finally:
        _run("umount", "--lazy", str(directory))


def _run(*command: str) -> None:
    subprocess.run(command, check=True, timeout=LIMIT)
