"""The demo: shows what it says, and leaves nothing, however it ends."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from aiidadb.cli import aiidadb as command_line
from aiidadb.cli.demo import tour
from aiidadb.demo import server_programs
from tests.helpers.command_line import one_line
from tests.helpers.processes import LIMIT, ignoring, started
from tests.helpers.terminal import COMMAND, on_terminal, piped

if TYPE_CHECKING:
    from collections.abc import Iterator

SMALL = ("demo", "--nodes", "1000")
LARGE = ("demo", "--nodes", "100000")  # takes long enough to be stopped in the middle


@pytest.fixture
def place() -> Iterator[Path]:
    """The directory for the temporary files of the demo."""
    # Not tmp_path: pytest closes that to other users, and the server is one where we are root.
    path = Path(tempfile.mkdtemp(prefix="aiidadb-test-", dir="/tmp"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


def processes_of(place: Path) -> list[str]:
    """What runs in a directory; nothing where the system does not say."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").readlink().is_relative_to(place):
                found.append((process / "cmdline").read_text())
        except OSError:  # it ended
            continue
    return found


def assert_nothing_left(place: Path, seconds: float = 0) -> None:
    end = time.monotonic() + seconds
    while (list(place.iterdir()) or processes_of(place)) and time.monotonic() < end:
        time.sleep(0.05)
    assert list(place.iterdir()) == []
    assert processes_of(place) == []


def test_it_shows_figures_and_answers_and_leaves_nothing(place):
    with on_terminal(*SMALL, environment={"TMPDIR": str(place)}) as terminal:
        assert terminal.finish() == 0
    for expected in (
        "start a private PostgreSQL",
        "1,000 nodes, ",
        "Nodes by day",
        "all answers are equal",
        "none failed",
        "raises NotExistent",
        "delete_nodes_and_connections",
        "steps from 1.0.45 to main_0002",
        "All of it in ",
    ):
        assert expected in terminal.text
    for line in terminal.text.splitlines():
        assert len(line.rpartition("\r")[2]) <= 80, line
    assert_nothing_left(place)


def test_piped_it_is_plain_text(place):
    done = piped(*SMALL, environment={"TMPDIR": str(place), "FORCE_COLOR": ""})
    assert (done.returncode, done.stderr) == (0, "")
    assert "\x1b" not in done.stdout
    assert re.search(r"^ +[0-9.]+ m?s  start a private PostgreSQL$", done.stdout, re.MULTILINE)
    _, begin, ending = done.stdout.partition("\nWhat you can do next:\n")
    assert begin
    assert "  next time, keep the database, and query it yourself\n" in ending
    for name, option in re.findall(r"^  aiidadb (?:(\w+) )?(--\w+)? ", ending, re.MULTILINE):
        command = command_line.commands[name] if name else command_line
        known = {one for parameter in command.params for one in parameter.opts} | {"--help"}
        assert not option or option in known
    assert max(map(len, ending.splitlines())) <= 80
    assert_nothing_left(place)


@pytest.mark.parametrize(
    ("number", "status", "seconds", "ignored"),
    [
        pytest.param(signal.SIGINT, 130, 0, (), marks=pytest.mark.thorough),
        pytest.param(signal.SIGTERM, 143, 0, (), marks=pytest.mark.thorough),
        (signal.SIGTERM, 143, 0, ("INT",)),  # as in the background of a script
        pytest.param(signal.SIGHUP, 129, 0, (), marks=pytest.mark.thorough),
        # Nothing is left to wait for the server's end.
        (signal.SIGKILL, -signal.SIGKILL, LIMIT, ()),
    ],
)
def test_stopped_in_the_middle_it_leaves_nothing(place, number, status, seconds, ignored):
    words = [*ignoring(*ignored), *COMMAND, *LARGE]
    with started(words, environment={"TMPDIR": str(place)}) as demo:
        for line in demo.stdout:
            if "schema.initialise('main_0002')" in line:
                break
        time.sleep(0.3)  # it fills the database now
        assert list(place.iterdir())
        demo.send_signal(number)
        assert demo.wait() == status
        assert "Traceback" not in demo.stderr.read()
    assert_nothing_left(place, seconds)


def test_ctrl_c_ends_it_with_one_line(place):
    with on_terminal(*LARGE, environment={"TMPDIR": str(place)}) as terminal:
        terminal.wait_for("Filling the database")
        terminal.send("\x03")
        assert terminal.finish() == 130
    assert "Interrupted." in terminal.text
    assert "Traceback" not in terminal.text
    assert terminal.raw.rindex("\x1b[?25h") > terminal.raw.rindex("\x1b[?25l")  # the cursor is back
    assert_nothing_left(place)


def test_an_error_in_the_middle_leaves_nothing(place):
    with started([*COMMAND, *LARGE], environment={"TMPDIR": str(place)}) as demo:
        for line in demo.stdout:
            if "schema.initialise('main_0002')" in line:
                break
        (pid_file,) = place.glob("*/data/postmaster.pid")
        os.kill(int(pid_file.read_text().split()[0]), signal.SIGQUIT)
        assert demo.wait() == 1
        assert re.fullmatch(r"Error: .*\n", demo.stderr.read())
    assert_nothing_left(place)


def test_a_connection_that_is_lost_while_it_fills_is_an_error_of_one_line(run, place, monkeypatch):
    async def fill(connection, **_):
        async with connection.transaction():
            await connection.execute("select pg_terminate_backend(pg_backend_pid())")

    monkeypatch.setattr(tour, "fill_with_campaign", fill)
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    told = run(*SMALL)
    assert told.status == 1
    assert re.fullmatch("Error: .*connection.*\n", told.err)
    assert_nothing_left(place)


def test_kept_it_says_how_to_reach_and_stop_it(place):
    done = piped(*SMALL, "--keep", environment={"TMPDIR": str(place)})
    assert done.returncode == 0
    commands = [line.strip() for line in done.stdout.splitlines() if line.startswith("  ")]
    (ask,) = [line for line in commands if line.startswith("aiidadb stats")]
    stop = [line for line in commands if line.startswith(("kill", "while"))]
    (dsn,) = re.findall(r"--dsn '?([^']+)'?$", ask)
    asked = piped("stats", "--dsn", dsn, "--json")
    assert json.loads(asked.stdout)["total"] > 900
    # Both lines at once, as they are pasted.
    subprocess.run("\n".join(stop), shell=True, check=True, timeout=LIMIT)
    assert_nothing_left(place, LIMIT)


def test_its_json_is_one_object(place):
    done = piped(*SMALL, "--json", environment={"TMPDIR": str(place)})
    assert (done.returncode, done.stderr) == (0, "")
    answer = json.loads(done.stdout)
    assert answer["kept"] is None
    assert {"what", "seconds", "answers"} == set(answer["stops"][0])
    assert_nothing_left(place)


def test_too_small_a_campaign_is_wrong_usage(place):
    done = piped("demo", "--nodes", "10", environment={"TMPDIR": str(place)})
    assert done.returncode == 2
    assert re.fullmatch(r"Error: .*--nodes.*\n", done.stderr)


def test_the_demo_without_its_extra_says_which(run, monkeypatch):
    monkeypatch.setattr(server_programs, "_PACKAGE", "no_such_package")
    assert "aiidadb[embedded]" in one_line(run("demo"), 1)
