"""Signals end every command, whatever it does; those that were ignored at its start stay so."""

from __future__ import annotations

import contextlib
import signal
import sys
import time
from typing import TYPE_CHECKING

import pytest

from tests.helpers.command_line import fetch, locked
from tests.helpers.processes import finished, ignoring, started
from tests.helpers.terminal import COMMAND

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

WAITING = (
    "select pid from pg_stat_activity where datname = current_database() "
    "and application_name like 'aiidadb%' and wait_event_type = 'Lock'"
)

BOTH = pytest.mark.parametrize(
    "ignored",
    [
        pytest.param((), id="nothing ignored", marks=pytest.mark.thorough),
        pytest.param(("INT",), id="SIGINT ignored"),  # as in the background of a script
    ],
)

# A command that works in a thread, until its input ends, and says once a signal has cancelled it,
# and once a second one is no longer a part of the first. The signals that it is told come to that
# thread.
IN_THREAD = """
import asyncio, os, signal, sys, threading
import click
from aiidadb.cli.exit_status import Commands
from aiidadb.cli.signals import run_until_signal
from aiidadb.connecting.uninterrupted import in_thread

def block():
    print("begun", flush=True)
    for name in sys.argv[1:]:
        signal.pthread_kill(threading.get_ident(), getattr(signal, name))
    os.read(0, 1)
    print("done", flush=True)

async def notice():
    try:
        await asyncio.sleep(3600)
    finally:
        print("cancelled", flush=True)
        await asyncio.sleep(0.5)
        print("waiting", flush=True)

async def both():
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(in_thread(block))
        tasks.create_task(notice())

@click.group(cls=Commands)
def top(): pass

@top.command()
def work():
    run_until_signal(both)

top(["work"])
"""


@contextlib.contextmanager
def waiting(dsn: str, *words: str, before: list[str]) -> Iterator[subprocess.Popen[str]]:
    """A command that waits for a lock on the server."""
    with started([*before, *COMMAND, *words, "--dsn", dsn]) as command:
        while not fetch(dsn, WAITING):
            assert command.poll() is None, command.stderr.read()  # killed where it takes too long
            time.sleep(0.05)
        yield command


@BOTH
def test_sigterm_cancels_on_the_server(main_dsn, ignored):
    with (
        locked(main_dsn, "db_dbnode"),
        waiting(main_dsn, "stats", before=ignoring(*ignored)) as command,
    ):
        command.send_signal(signal.SIGTERM)
        assert command.wait() == 143
        assert (command.stderr.read(), command.stdout.read()) == ("Interrupted.\n", "")
        assert not fetch(main_dsn, WAITING)


@BOTH
def test_sigterm_ends_a_migration_that_waits(django_dsn, ignored):
    words = ("migrate", "--yes", "--without-repository")
    with (
        locked(django_dsn, "db_dblink", "access share"),
        waiting(django_dsn, *words, before=ignoring(*ignored)) as command,
    ):
        command.send_signal(signal.SIGTERM)
        assert command.wait() == 143
        assert command.stderr.read().startswith("Interrupted: each step is applied completely")
        assert not fetch(django_dsn, WAITING)


@BOTH
def test_sigterm_ends_a_question(django_dsn, ignored):
    words = ["migrate", "--without-repository", "--dsn", django_dsn]
    with started([*ignoring(*ignored), *COMMAND, *words]) as command:
        while command.stderr.read(1) not in {"?", ""}:
            pass
        command.send_signal(signal.SIGTERM)
        assert command.wait() == 143
        assert command.stderr.read().endswith("Interrupted.\n")


@pytest.mark.parametrize("name", ["INT", "TERM", pytest.param("HUP", marks=pytest.mark.thorough)])
def test_what_was_ignored_at_the_start_stays_ignored(main_dsn, name):
    with contextlib.ExitStack() as stack:
        holder = stack.enter_context(contextlib.ExitStack())
        holder.enter_context(locked(main_dsn, "db_dbnode"))
        command = stack.enter_context(waiting(main_dsn, "stats", before=ignoring(name)))
        command.send_signal(getattr(signal, f"SIG{name}"))
        time.sleep(0.3)
        assert command.poll() is None
        holder.close()
        assert command.wait() == 0
        assert command.stdout.read() == "No nodes.\n"


@BOTH
def test_work_in_a_thread_is_waited_for_after_one_sigterm_and_not_after_two(ignored):
    words = [*ignoring(*ignored), sys.executable, "-c", IN_THREAD]
    for times in (1, 2):
        with started(words) as command:
            assert command.stdout.readline() == "begun\n"
            command.send_signal(signal.SIGTERM)
            assert command.stdout.readline() == "cancelled\n"
            assert command.stdout.readline() == "waiting\n"
            assert command.poll() is None
            if times == 1:
                command.stdin.close()
            else:
                command.send_signal(signal.SIGTERM)
            assert command.wait() == 143
            assert command.stdout.read() == ("done\n" if times == 1 else "")
            assert command.stderr.read() == "Interrupted.\n"


# timeout(1) sends its signal twice. Between the two, the process may have to wait for a processor.
AT_ONCE = """
import asyncio, signal, sys, time
import click
from aiidadb.cli import signals
from aiidadb.cli.exit_status import Commands

signals._LONGEST_PAUSE = float(sys.argv[1])

async def wait():
    signal.raise_signal(signal.SIGTERM)
    time.sleep(0.5)
    signal.raise_signal(signal.SIGTERM)
    try:
        await asyncio.sleep(3600)
    finally:
        await asyncio.sleep(0)
        print("undone")

@click.group(cls=Commands)
def top(): pass

@top.command()
def work():
    signals.run_until_signal(wait)

top(["work"])
"""


@pytest.mark.parametrize(("longest_pause", "printed"), [(60, "undone\n"), (0.1, "")])
def test_two_signals_are_one_while_the_event_loop_does_nothing(longest_pause, printed):
    command = finished([sys.executable, "-c", AT_ONCE, str(longest_pause)])
    assert (command.returncode, command.stdout) == (143, printed)
    assert command.stderr == "Interrupted.\n"


AFTER_THE_LOOP = """
import asyncio, signal, time
import click
from aiidadb.cli.exit_status import Commands
from aiidadb.cli.signals import run_until_signal

async def wait():
    signal.raise_signal(signal.SIGTERM)
    await asyncio.sleep(3600)

@click.group(cls=Commands)
def top(): pass

@top.command()
def work():
    try:
        run_until_signal(wait)
    finally:
        time.sleep(0.5)
        signal.raise_signal(signal.SIGTERM)
        print("undone")

top(["work"])
"""


def test_once_the_event_loop_has_ended_a_second_signal_is_one_by_itself():
    command = finished([sys.executable, "-c", AFTER_THE_LOOP])
    assert (command.returncode, command.stdout) == (143, "")
    assert command.stderr == "Interrupted.\n"


# This one comes to another thread. One that comes to the main thread just before it begins to wait
# does not interrupt it either: one in forty of those sent as a command begins to work in a thread.
def test_a_signal_that_does_not_interrupt_the_main_thread_wakes_the_event_loop():
    with started([sys.executable, "-c", IN_THREAD, "SIGTERM"], limit=20) as command:
        assert command.stdout.readline() == "begun\n"
        assert command.stdout.readline() == "cancelled\n"


FAILING = """
import os, signal, sys
import click
from aiidadb.cli import exit_status
from aiidadb.exceptions import AiidaDbError

def tell(error):
    os.kill(os.getpid(), signal.SIGTERM)

exit_status.tell_error = tell

@click.group(cls=exit_status.Commands)
def top(): pass

@top.command()
def fail():
    raise AiidaDbError("It failed.")

top(["fail"])
"""


def test_sigterm_while_an_error_is_told_gives_its_own_exit_status():
    command = finished([sys.executable, "-c", FAILING])
    assert (command.returncode, command.stderr) == (143, "Interrupted.\n")


ASKING = """
import signal, threading, time
import click
from aiidadb.cli.exit_status import Commands
from aiidadb.cli.output import questions

asked = threading.Event()
show = questions.echo

def echo(*arguments, **options):
    show(*arguments, **options)
    asked.set()

questions.echo = echo

def send():
    asked.wait()
    time.sleep(0.5)  # by then the question waits for its answer
    signal.pthread_kill(threading.get_ident(), signal.SIGTERM)

@click.group(cls=Commands)
def top(): pass

@top.command()
def ask():
    threading.Thread(target=send).start()
    questions.agreed("Really?")

top(["ask"])
"""


def test_a_signal_that_does_not_interrupt_the_main_thread_ends_a_question():
    with started([sys.executable, "-c", ASKING], limit=20) as command:
        assert command.wait() == 143
        assert command.stderr.read() == "Really? [y/N] Interrupted.\n"


TELLING = """
import signal, time
import click
from aiidadb.cli import exit_status

def tell(interrupt):
    time.sleep(0.3)  # so that the next one is a second one
    signal.raise_signal(signal.SIGTERM)

exit_status._tell_interrupt = tell

@click.group(cls=exit_status.Commands)
def top(): pass

@top.command()
def work():
    signal.raise_signal(signal.SIGTERM)

top(["work"])
"""


def test_a_second_sigterm_while_the_first_is_told_gives_its_exit_status():
    assert finished([sys.executable, "-c", TELLING]).returncode == 143


ENDING = """
import signal
from aiidadb.cli.signals import Signals

with Signals() as signals:
    signals.handle()
    handler = signal.getsignal(signal.SIGTERM)
handler(signal.SIGTERM, None)  # it came before the handlers were as before
"""


def test_a_signal_at_the_very_end_changes_nothing():
    command = finished([sys.executable, "-c", ENDING])
    assert (command.returncode, command.stderr) == (0, "")


LEAVING = """
import atexit, signal, sys
from aiidadb.__main__ import main

atexit.register(signal.raise_signal, signal.SIGINT)
sys.argv = ["aiidadb", "--version"]
main()
"""


def test_ctrl_c_when_all_is_done_shows_no_traceback():
    command = finished([sys.executable, "-c", LEAVING])
    assert (command.returncode, command.stderr) == (-signal.SIGINT, "")
