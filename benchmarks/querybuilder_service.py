"""40 concurrent mixed queries, as an asynchronous web service answers them over a pool of five.

The service is an ASGI application that is called in this process, so that no client's time is in
the figures. Its handlers are asynchronous: they await aiidadb, or call aiida-core's QueryBuilder,
which blocks, or await ``pool.fetch`` of bare asyncpg with the very statements that aiidadb sends.
The queries are the 25 of users that the tests ask too, and fifteen of them once more. Rows are not
encoded as JSON, which would take all three the same time.

How long the loop was held is the longest of its steps in each run, in processor time, so that it
says nothing of other programs; for aiida-core it is the time of the clock, in which it waits.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import json
import statistics
import time
from typing import TYPE_CHECKING, Any, Final

import asyncpg
from common import Report, Server, aiida_storage, parser, profile_of, run
from querybuilder_examples import ENRICHED, EXAMPLES, placed, places

import aiidadb
from tests.querybuilder.oracle import oracle

if TYPE_CHECKING:
    import argparse
    from collections.abc import Awaitable, Callable, Iterator

    from aiida.storage.psql_dos.backend import PsqlDosBackend

_OURS: Final = "aiidadb"
_THEIRS: Final = "aiida-core"
_BARE: Final = "bare asyncpg"


class Service:
    """An ASGI application that answers ``POST /querybuilder`` with the number of rows.

    Args:
        answer: Gives the rows of a request.
    """

    def __init__(self, answer: Callable[[dict[str, Any]], Awaitable[object]]) -> None:
        self._answer = answer

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Answer a request, as ASGI has it."""
        assert (scope["method"], scope["path"]) == ("POST", "/querybuilder")
        message = await receive()
        rows = await self._answer(json.loads(message["body"]))
        body = str(len(rows) if isinstance(rows, list) else 1).encode()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})


async def request(service: Service, body: bytes) -> bytes:
    """Send a request to a service; gives the body of its response."""
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await service({"type": "http", "method": "POST", "path": "/querybuilder"}, receive, send)
    response: bytes = sent[-1]["body"]
    return response


def services(
    backend: aiidadb.Backend, storage: PsqlDosBackend, pool: asyncpg.Pool
) -> dict[str, Service]:
    """The service of each contestant, by name."""

    async def ours(asked: dict[str, Any]) -> object:
        return await getattr(backend.query(asked["query"]), asked["mode"])()

    async def theirs(asked: dict[str, Any]) -> object:
        return getattr(oracle(storage, asked["query"]), asked["mode"])()

    statements: dict[str, tuple[str, list[object]]] = {}

    async def bare(asked: dict[str, Any]) -> object:
        name = asked["name"]
        if name not in statements:
            statements[name] = statement_of(backend, asked)
        text, values = statements[name]
        rows = await pool.fetch(text, *values)
        return rows[0] if asked["mode"] in ("first", "count") else rows

    return {_OURS: Service(ours), _THEIRS: Service(theirs), _BARE: Service(bare)}


def statement_of(backend: aiidadb.Backend, asked: dict[str, Any]) -> tuple[str, list[object]]:
    """The statement that aiidadb sends for a request, and its values."""
    query = backend.query(asked["query"])
    if asked["mode"] == "first":
        query.limit(1)
    text, values = query.sql()
    return f"select count(*) from ({text}) as asked" if asked["mode"] == "count" else text, values


@contextlib.contextmanager
def longest_step(clock: Callable[[], float]) -> Iterator[list[float]]:
    """The longest step of the loop meanwhile, as the only item of a list at the end."""
    held = [0.0]
    run_step = asyncio.Handle._run  # noqa: SLF001 - there is no public one

    def run_and_time(self: asyncio.Handle) -> None:
        begin = clock()
        run_step(self)
        held[0] = max(held[0], clock() - begin)

    asyncio.Handle._run = run_and_time  # noqa: SLF001
    try:
        yield held
    finally:
        asyncio.Handle._run = run_step  # noqa: SLF001


async def main(arguments: argparse.Namespace, server: Server) -> None:
    campaign = await server.campaign(arguments.nodes, arguments.seed)
    report = Report(
        f"querybuilder_service_{arguments.nodes}",
        f"{arguments.calls} mixed queries at once in a web service, {arguments.nodes:,} nodes",
        {"nodes": arguments.nodes, "seed": arguments.seed, "calls": arguments.calls, "pool": 5},
    )
    async with (
        server.clone(campaign) as dsn,
        asyncpg.create_pool(dsn, min_size=5, max_size=5, server_settings={"jit": "off"}) as pool,
        aiidadb.open_backend(profile_of(dsn), min_size=5, max_size=5) as backend,
        aiida_storage(dsn) as storage,
    ):
        async with pool.acquire() as connection:
            for statement in ENRICHED.split(";"):
                await connection.execute(statement, timeout=600)
            found = await places(connection, backend)
        bodies = requests(arguments.calls, found)
        seconds: dict[str, list[float]] = {}
        held: dict[str, list[float]] = {}
        contestants = services(backend, storage, pool)
        for turn in range(arguments.repeat + 1):
            answers = []
            for name, service in contestants.items():
                clock = time.perf_counter if name == _THEIRS else time.thread_time
                gc.collect()
                with longest_step(clock) as longest:
                    begin = time.perf_counter()
                    answers.append(
                        await asyncio.gather(*(request(service, body) for body in bodies))
                    )
                    ended = time.perf_counter() - begin
                if turn:  # the first is the warm-up
                    seconds.setdefault(name, []).append(ended)
                    held.setdefault(name, []).append(longest[0] * 1000)
            assert answers[0] == answers[1] == answers[2]
            gc.collect()
            gc.freeze()  # what aiida-core keeps is not to be looked through in later turns
    add(report, seconds, held, sum(map(int, answers[0])))
    await report.finish(campaign)


def requests(number: int, found: dict[Any, Any]) -> list[bytes]:
    """The bodies of so many requests, from the examples in turn."""
    examples = [json.loads(line) for line in EXAMPLES.splitlines()]
    return [
        json.dumps(
            {"name": one["name"], "mode": one["mode"], "query": placed(one["query"], found)}
        ).encode()
        for one in itertools.islice(itertools.cycle(examples), number)
    ]


def add(
    report: Report, seconds: dict[str, list[float]], held: dict[str, list[float]], rows: int
) -> None:
    """Add the figures, and what they must reach."""
    report.add("all calls", seconds)
    report.add("the loop was held, longest", held, unit="ms")
    report.goal(
        "throughput / aiida-core",
        report.median("all calls", _THEIRS) / report.median("all calls", _OURS),
        ">=",
        6.0,
    )
    report.goal(
        "longest hold / bare asyncpg",
        statistics.median(held[_OURS]) / statistics.median(held[_BARE]),
        "<=",
        2.0,
    )
    report.note(f"{rows:,} rows in all.")


if __name__ == "__main__":
    options = parser(__doc__ or "", repeat=5)
    options.add_argument("--calls", type=int, default=40, help="requests at once")
    run(main, options.parse_args())
