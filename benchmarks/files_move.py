"""The files of nodes into a container (0047): aiidadb, aiida-core's own step, and the floor.

The repository is one as AiiDA 1.x leaves it, at 1.0.46: a folder for each node, with sizes that are
log-normal (half of the files are below 2 kB, some have megabytes), every tenth file empty and every
tenth one a copy of another. The floor lists it with :func:`os.walk`, reads each file once and
hashes it with SHA-256, in one thread, and writes nothing. aiida-core 2.9.4 runs its own
``migrate_repository``, aiidadb ``migrate("1.0.47")`` as a whole; each on a copy of the same
database, with the same files, which all of them find in the memory of the operating system.

What the client's memory grows by is measured with one file of ``--large`` bytes.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import io
import logging
import os
import random
import shutil
import sqlite3
import tempfile
import threading
import time
import uuid
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

import asyncpg
import psutil
from common import Report, Server, _aiida_profile, amount, parser, run
from old_database import make_old_schema

import aiidadb

if TYPE_CHECKING:
    import argparse
    from collections.abc import AsyncIterator

_GROUP: Final = "moving the files"
_FLOOR: Final = "floor: each file read and hashed once"
_OURS: Final = 'aiidadb, migrate("1.0.47")'
_PEER: Final = "aiida-core 2.9.4, migrate_repository"

_MEDIAN: Final = 7.6  # of the sizes' logarithms: 2 kB
_SPREAD: Final = 1.9
_LARGEST: Final = 64_000_000
# The names of the files of a node, as often as such nodes are.
_KINDS: Final = (
    ("raw_input", ("aiida.in", "_aiidasubmit.sh", ".aiida/calcinfo.json", ".aiida/job_tmpl.json")),
    ("path", ("aiida.out", "_scheduler-stdout.txt", "_scheduler-stderr.txt", "out/data.xml")),
    ("path", ("kpoints.npy", "bands.npy", "occupations.npy", "labels.npy")),
    ("path", ("structure.npy",)),
    ("path", ("pseudo.upf",)),
    ("path", ("source_file", "out/report.txt", "out/trajectory.npy")),
)
_NODES: Final = """
    insert into db_dbnode (
        uuid, node_type, label, description, ctime, mtime, user_id, attributes, extras,
        repository_metadata
    )
    select given.uuid, 'data.folder.FolderData.', '', '', now(), now(), owner.id, '{}', '{}', '{}'
    from unnest($1::uuid[]) as given (uuid)
    cross join (select min(id) as id from db_dbuser) as owner
"""
_USER: Final = """
    insert into db_dbuser (email, first_name, last_name, institution)
    values ('ada@epfl.ch', '', '', '')
"""


# ------------------------------------------------------------------ the files


def fill_repository(repository: Path, files: int, seed: int) -> tuple[list[uuid.UUID], int]:
    """Write a repository of AiiDA 1.x: the uuids of its nodes, and the bytes of all files."""
    chosen = random.Random(seed)
    nodes = []
    written = size_of_all = 0
    copied = [chosen.randbytes(_size(chosen)) for _ in range(100)]
    while written < files:
        node = uuid.UUID(int=chosen.getrandbits(128), version=4)
        nodes.append(node)
        kind, names = chosen.choice(_KINDS)
        directory = _folder(repository, node) / kind
        for name in names:
            content = _content(chosen, copied)
            path = directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            written += 1
            size_of_all += len(content)
    return nodes, size_of_all


def _folder(repository: Path, node: uuid.UUID) -> Path:
    name = str(node)
    return repository / "repository" / "node" / name[:2] / name[2:4] / name[4:]


def _size(chosen: random.Random) -> int:
    return min(int(chosen.lognormvariate(_MEDIAN, _SPREAD)), _LARGEST)


def _content(chosen: random.Random, copied: list[bytes]) -> bytes:
    drawn = chosen.random()
    if drawn < 0.1:
        return b""
    return chosen.choice(copied) if drawn < 0.2 else chosen.randbytes(_size(chosen))


@contextlib.asynccontextmanager
async def old_database(server: Server, nodes: list[uuid.UUID]) -> AsyncIterator[str]:
    """A database at 1.0.46 with these nodes, dropped at the end."""
    name = f"aiidadb_benchmark_files_{os.getpid()}_{time.monotonic_ns()}"
    await server.execute(f"create database \"{name}\" template template0 encoding 'UTF8'")
    try:
        connection = await asyncpg.connect(server.dsn_of(name))
        await make_old_schema(connection)
        await connection.close()
        await migrate(server.dsn_of(name), None, "1.0.46")
        connection = await asyncpg.connect(server.dsn_of(name))
        await connection.execute(_USER)
        await connection.execute(_NODES, nodes)
        await connection.execute("vacuum analyze")
        await connection.execute("checkpoint")
        await connection.close()
        yield server.dsn_of(name)
    finally:
        await server.execute(f'drop database if exists "{name}" with (force)')


# ------------------------------------------------------------------ the three


def floor(repository: Path) -> int:
    """Read and hash each file once; how many."""
    hashed = 0
    for directory, _, names in os.walk(repository / "repository"):
        for name in names:
            with open(os.path.join(directory, name), "rb", buffering=0) as handle:  # noqa: PTH118, PTH123 - the fastest
                hashlib.sha256(handle.read()).hexdigest()
            hashed += 1
    return hashed


async def migrate(dsn: str, repository: Path | None, target: str) -> None:
    """Have aiidadb migrate."""
    profile = aiidadb.Profile.from_dsn(dsn, repository=repository)
    with tempfile.TemporaryDirectory() as exports:
        async with aiidadb.open_backend(profile, schema_check=False) as backend:
            await backend.schema.migrate(
                target, without_repository=repository is None, export_directory=exports
            )


def migrate_by_aiida(dsn: str, repository: Path) -> None:
    """Have aiida-core 2.9.4 run its own step."""
    with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        from aiida.manage.configuration import Profile
        from aiida.storage.psql_dos.migrations.utils.migrate_repository import migrate_repository
        from aiida.storage.psql_dos.utils import create_sqlalchemy_engine

        profile = Profile("benchmark", _aiida_profile(dsn, repository))
        engine = create_sqlalchemy_engine(profile.storage_config)
        with engine.begin() as connection:
            migrate_repository(connection, profile)
        engine.dispose()


def dead_bytes(repository: Path) -> int:
    """Bytes in the packs that no object has."""
    container = repository / "container"
    packs = sum(path.stat().st_size for path in (container / "packs").iterdir())
    with contextlib.closing(sqlite3.connect(container / "packs.idx")) as index:
        ((live,),) = index.execute("select coalesce(sum(length), 0) from db_object")
    return int(packs - live)


class Memory:
    """By how much the memory of this process grows while it is entered."""

    def __enter__(self) -> Self:
        self.growth = 0
        self._process = psutil.Process()
        self._before = self._process.memory_info().rss
        self._end = threading.Event()
        self._watching = threading.Thread(target=self._watch)
        self._watching.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._watching.join()

    def _watch(self) -> None:
        while not self._end.wait(0.002):
            self.growth = max(self.growth, self._process.memory_info().rss - self._before)


# ------------------------------------------------------------------ the benchmark


async def main(arguments: argparse.Namespace, server: Server) -> None:
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory(dir=arguments.directory) as directory:
        os.environ["AIIDA_PATH"] = directory  # keeps it out of the user's own configuration
        repository = Path(directory) / "repository"
        nodes, size = fill_repository(repository, arguments.files, arguments.seed)
        files = floor(repository)
        report = Report(
            f"files_move_{arguments.files}",
            f"files into a container: {files:,} of {len(nodes):,} nodes, {size / 1e6:,.0f} MB",
            {"files": files, "nodes": len(nodes), "bytes": size, "seed": arguments.seed},
        )
        await warm_up(server, Path(directory) / "small")
        # First, while no memory is left over from other work.
        await memory(server, report, Path(directory) / "large", arguments.large)
        async with old_database(server, nodes) as dsn:
            await compare(arguments, server, report, dsn, repository)
        await report.finish(server.dsn)


async def warm_up(server: Server, repository: Path) -> None:
    """Import what is imported once."""
    nodes, _ = fill_repository(repository, 20, 1)
    async with old_database(server, nodes) as dsn:
        async with server.clone(dsn) as copy:
            await migrate(copy, repository, "1.0.47")
        shutil.rmtree(repository / "container")
        await asyncio.to_thread(migrate_by_aiida, dsn, repository)


async def compare(
    arguments: argparse.Namespace, server: Server, report: Report, dsn: str, repository: Path
) -> None:
    """All three in turn, in threads of their own as far as they block."""
    seconds: dict[str, list[float]] = {_FLOOR: [], _OURS: [], _PEER: []}
    dead = {}
    for _ in range(arguments.repeat):
        for who, its in seconds.items():
            async with server.clone(dsn) as copy:
                # What others have still to write is theirs.
                await asyncio.to_thread(os.sync)
                started = time.perf_counter()
                if who == _FLOOR:
                    await asyncio.to_thread(floor, repository)
                elif who == _OURS:
                    await migrate(copy, repository, "1.0.47")
                else:
                    await asyncio.to_thread(migrate_by_aiida, copy, repository)
                its.append(time.perf_counter() - started)
            if who != _FLOOR:
                dead[who] = dead_bytes(repository)
                shutil.rmtree(repository / "container")
    report.add(_GROUP, seconds)
    ours = report.median(_GROUP, _OURS)
    report.goal("aiidadb ÷ floor", ours / report.median(_GROUP, _FLOOR), "<=", 2)
    report.goal("aiida-core ÷ aiidadb", report.median(_GROUP, _PEER) / ours, ">=", 3)
    report.goal("bytes in the packs that no object has", dead[_OURS], "<=", 0)
    report.note(f"aiida-core leaves {dead[_PEER] / 1e6:,.1f} MB in the packs that no object has")


async def memory(server: Server, report: Report, repository: Path, size: int) -> None:
    """What memory one large file takes."""
    node = uuid.UUID(int=1)
    path = _folder(repository, node) / "path" / "large"
    path.parent.mkdir(parents=True)
    with path.open("wb") as handle:
        handle.truncate(size)
    async with old_database(server, [node]) as dsn:
        with Memory() as taken:
            await migrate(dsn, repository, "1.0.47")
    report.goal(f"MB of memory for one file of {size:,} bytes", taken.growth / 1e6, "<=", 64)
    report.note(f"one file of {size:,} bytes: {amount(taken.growth, 'B')} more memory")


if __name__ == "__main__":
    options = parser(__doc__ or "", repeat=3)
    options.add_argument("--files", type=int, default=100_000, help="files of nodes")
    options.add_argument("--large", type=int, default=1_000_000_000, help="bytes of the large file")
    options.add_argument("--directory", type=Path, help="where the files are written; None: /tmp")
    run(main, options.parse_args())
