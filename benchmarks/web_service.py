"""The web service of the documentation under load, beside the same by aiida-core.

Both run by uvicorn, in a process each, on the same database, and are sent the same requests, some
of them at once: pages of links with their numbers, pages of nodes, the queries of users that the
tests ask too (but for those that project whole nodes, and the two whose walks take aiida-core
seconds), active processes, and full types with counts. aiida-core's handlers are asynchronous, and
ask what those of aiida-restapi ask. Meanwhile ``GET /health``, which needs no database, is asked
again and again from a thread of its own; what counts is its worst answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import itertools
import json
import os
import random
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import quote

import asyncpg
from common import Report, Server, parser, profile_of, run
from process_list import ACTIVATE, ACTIVE, NUMBER
from querybuilder_examples import ENRICHED, EXAMPLES, placed, places
from reading_room import neighbours

import aiidadb
from tests.helpers.campaigns import write_config

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

DATABASE: Final = "AIIDADB_BENCHMARK_DSN"
"""The variable of the environment that names the peer's database."""

_OURS: Final = "aiidadb"
_THEIRS: Final = "aiida-core"
_APPLICATIONS: Final = {_OURS: "service:app", _THEIRS: "web_service_peer:app"}
_SLOW: Final = frozenset({"descendants_of_group", "gap_by_formula"})
_PARTS: Final = {"links": 60, "nodes": 50, "queries": 50, "processes": 36, "full types": 4}
"""Of 200 requests."""


_FINISH: Final = """
    update db_dbnode
    set attributes = attributes || '{"process_state": "finished"}'
    where node_type like 'process.%' and attributes ->> 'process_state' = 'running'
"""


class Asked(NamedTuple):
    """A request: to where, and the body of a ``POST``, else None."""

    part: str
    url: str
    body: bytes | None = None


async def requests(dsn: str, number: int) -> list[Asked]:
    """So many requests of the mix, in an order that is always the same."""
    connection = await asyncpg.connect(dsn)
    try:
        async with aiidadb.open_backend(profile_of(dsn)) as backend:
            found = await places(connection, backend)
            pks, _ = await neighbours(backend, 50)
            rows = (
                await backend.query().append("", filters={"id": {"in": pks}}, project="uuid").all()
            )
            types = [one.node_type for one in await backend.queries.get_full_types()]
    finally:
        await connection.close()
    states = "&".join(f"state={one}" for one in ACTIVE)
    newest = json.dumps({"ctime": "desc"})
    kinds = [json.dumps({"node_type": one}) for one in types]
    made: dict[str, list[Asked]] = {
        "links": [
            Asked("links", f"/nodes/{uuid}/links?direction={direction}&page_size=50")
            for (uuid,) in rows
            for direction in ("incoming", "outgoing")
        ],
        "nodes": [
            Asked("nodes", f"/nodes?filters={quote(kind)}&order_by={quote(newest)}&page_size=50")
            for kind in kinds
        ],
        "queries": [
            Asked("queries", "/querybuilder", json.dumps(query).encode()) for query in asked(found)
        ],
        "processes": [Asked("processes", f"/processes?{states}&limit=100")],
        "full types": [Asked("full types", "/nodes/full_types")],
    }
    mix = [
        one
        for part, share in _PARTS.items()
        for one in itertools.islice(itertools.cycle(made[part]), share * number // 200)
    ]
    random.Random(0).shuffle(mix)
    return mix


def asked(found: dict[Any, Any]) -> Iterator[dict[str, Any]]:
    """The queries of users that project columns, and no whole nodes."""
    for example in map(json.loads, EXAMPLES.splitlines()):
        query = placed(example["query"], found)
        has_columns = any(query["project"].values()) and '"*"' not in json.dumps(query["project"])
        if has_columns and example["name"] not in _SLOW:
            yield query


@contextlib.contextmanager
def servers(dsn: str, directory: Path) -> Iterator[dict[str, Path]]:
    """Both services, each behind a socket of its own."""
    page = (Path(aiidadb.__file__).parent / "docs" / "web_service.md").read_text(encoding="utf-8")
    program = page.partition("\n```python\n")[2].partition("\n```\n")[0]
    (directory / "service.py").write_text(program, encoding="utf-8")
    write_config(directory, dsn)
    here = Path(__file__).parent
    environment = {
        **os.environ,
        DATABASE: dsn,
        "AIIDA_PATH": str(directory),
        "PYTHONPATH": os.pathsep.join(map(str, (directory, here, here.parent))),
    }
    sockets = {name: directory / f"{name}.socket" for name in _APPLICATIONS}
    with contextlib.ExitStack() as stack:
        for name, application in _APPLICATIONS.items():
            options = ("--uds", sockets[name], "--log-level", "warning")
            started = subprocess.Popen(
                [sys.executable, "-W", "ignore", "-m", "uvicorn", application, *options],
                env=environment,
            )
            stack.callback(started.wait, 30)
            stack.callback(started.terminate)
        for path in sockets.values():
            wait_for(path)
        yield sockets


def wait_for(path: Path, seconds: float = 60) -> None:
    """Wait until a service answers."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(OSError):
            health(path)
            return
        time.sleep(0.1)
    sys.exit(f"nothing answers at {path}")


def health(path: Path) -> float:
    """Ask for a service's health; gives the seconds that the answer took."""
    begin = time.perf_counter()
    connection = http.client.HTTPConnection("localhost")
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(str(path))
    connection.request("GET", "/health")
    assert connection.getresponse().status == 200
    connection.close()
    return time.perf_counter() - begin


async def answer_all(
    path: Path, mix: list[Asked], at_once: int
) -> tuple[float, float, list[dict[str, Any]]]:
    """Seconds for all requests, the worst of ``/health`` meanwhile, and the answers."""
    worst = [0.0]
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.05):
            worst[0] = max(worst[0], health(path))

    waiting = iter(enumerate(mix))
    answers: dict[int, bytes] = {}

    async def work() -> None:
        reader, writer = await asyncio.open_unix_connection(str(path), limit=2**24)
        for number, one in waiting:
            writer.write(as_bytes(one))
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = int(head.partition(b"content-length:")[2].split()[0])
            answers[number] = await reader.readexactly(length)
            assert head.startswith(b"http/1.1 200"), (one, head, answers[number])
        writer.close()

    watching = asyncio.create_task(asyncio.to_thread(watch))
    begin = time.perf_counter()
    try:
        await asyncio.gather(*(work() for _ in range(at_once)))
        seconds = time.perf_counter() - begin
    finally:
        done.set()
        await watching
    return seconds, worst[0], [json.loads(answers[number]) for number in range(len(mix))]


def as_bytes(one: Asked) -> bytes:
    """A request as HTTP has it: a client of a library would take as long as a service."""
    body = one.body or b""
    head = (
        f"{'GET' if one.body is None else 'POST'} {one.url} HTTP/1.1\r\n"
        f"host: service\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def compare(mix: list[Asked], answers: dict[str, list[dict[str, Any]]]) -> None:
    """Both must have answered with as many rows and the same numbers."""
    for one, ours, theirs in zip(mix, answers[_OURS], answers[_THEIRS], strict=True):
        if one.part == "full types":
            assert ours == theirs
        else:
            assert size(ours) == size(theirs), one


def size(document: dict[str, Any]) -> tuple[int, int | None]:
    """How many rows there are in an answer, and in all."""
    data = document["data"]
    rows = data if isinstance(data, list) else data["attributes"]["results"]
    return len(rows), document["meta"].get("total")


async def main(arguments: argparse.Namespace, server: Server) -> None:
    campaign = await server.campaign(arguments.nodes, arguments.seed)
    report = Report(
        f"web_service_{arguments.nodes}",
        f"{arguments.requests} requests to a web service, {arguments.nodes:,} nodes",
        {
            "nodes": arguments.nodes,
            "seed": arguments.seed,
            "requests": arguments.requests,
            "at once": arguments.at_once,
        },
    )
    seconds: dict[str, list[float]] = {}
    worst: dict[str, list[float]] = {}
    async with server.clone(campaign) as dsn:
        connection = await asyncpg.connect(dsn)
        try:
            for statement in (*ENRICHED.split(";"), _FINISH):
                await connection.execute(statement, timeout=600)
            await connection.execute(ACTIVATE, NUMBER)
            await connection.execute("vacuum analyze", timeout=600)
        finally:
            await connection.close()
        mix = await requests(dsn, arguments.requests)
        with tempfile.TemporaryDirectory() as place, servers(dsn, Path(place)) as sockets:
            for turn in range(arguments.repeat + 1):
                answers = {}
                for name, path in sockets.items():
                    took, slowest, answers[name] = await answer_all(path, mix, arguments.at_once)
                    if turn:  # the first is the warm-up
                        seconds.setdefault(name, []).append(took)
                        worst.setdefault(name, []).append(slowest)
                compare(mix, answers)
    report.add("all requests", seconds)
    report.add("/health meanwhile, the worst answer", worst)
    report.goal(
        "throughput / aiida-core",
        report.median("all requests", _THEIRS) / report.median("all requests", _OURS),
        ">=",
        6.0,
    )
    shares = ", ".join(f"{part} {number}" for part, number in Counter(o.part for o in mix).items())
    report.note(f"Of each kind: {shares}; {NUMBER} processes are active.")
    await report.finish(campaign)


if __name__ == "__main__":
    options = parser(__doc__ or "", repeat=3)
    options.add_argument("--requests", type=int, default=200, help="requests in a run")
    options.add_argument("--at-once", type=int, default=20, help="of them under way at a time")
    run(main, options.parse_args())
