"""Pages of the query builder: one that is 60,000 rows deep beside the first, and aiida-core's.

All nodes, fifty to a page, by pk and by time of creation, in both directions. Times are those of
the processor, client and server together; buffers are what the server says that it looked at.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from common import (
    Report,
    Server,
    aiida_storage,
    measure,
    parser,
    processor_time,
    profile_of,
    run,
    server_of,
    server_of_aiida,
)
from concurrency import recorded

import aiidadb

if TYPE_CHECKING:
    import argparse

    from aiida.storage.psql_dos.backend import PsqlDosBackend

ROWS = 50
FIELDS = ["id", "uuid", "node_type", "label", "ctime", "mtime"]


async def buffers(backend: aiidadb.Backend, query: aiidadb.QueryBuilder, after: str | None) -> int:
    """How many buffers a page looks at."""
    ((sent, values),) = await recorded([lambda: query.page(ROWS, after=after)])
    async with backend.connection() as connection:
        (found,) = await connection.fetchval(
            f"explain (analyze, buffers, format json) {sent}", *values
        )
    return int(found["Plan"]["Shared Hit Blocks"]) + int(found["Plan"]["Shared Read Blocks"])


def page_of_aiida(storage: PsqlDosBackend, field: str, order: str, offset: int) -> list[Any]:
    """A page as aiida-core gives it: by counting rows."""
    from aiida import orm

    query = orm.QueryBuilder(backend=storage).append(orm.Node, tag="node", project=FIELDS)
    fields = dict.fromkeys((field, "id"), order)
    query.order_by({"node": [{name: how} for name, how in fields.items()]})
    return query.limit(ROWS).offset(offset).all()


async def main(arguments: argparse.Namespace, server: Server) -> None:
    dsn = await server.campaign(arguments.nodes, arguments.seed)
    deep = arguments.deep
    report = Report(
        f"querybuilder_pages_{arguments.nodes}",
        f"pages of {ROWS} rows, {deep:,} rows deep, {arguments.nodes:,} nodes: processor time",
        {"nodes": arguments.nodes, "seed": arguments.seed, "deep": deep, "rows": ROWS},
    )
    async with (
        aiidadb.open_backend(profile_of(dsn), max_size=1) as backend,
        aiida_storage(dsn) as storage,
    ):
        servers = (await server_of(backend), server_of_aiida(storage))
        clock = partial(processor_time, *servers)
        for field in ("id", "ctime"):
            for order in ("asc", "desc"):
                query = backend.query().append("", tag="node", project=FIELDS)
                query.order_by({"node": {field: order}})
                after = (await query.page(deep)).next
                assert after is not None
                rows = (await query.page(ROWS, after=after)).rows
                assert rows == page_of_aiida(storage, field, order, deep)
                group = f"by {field}, {order}"
                seconds = await measure(
                    {
                        "aiidadb, first": partial(query.page, ROWS),
                        "aiidadb, deep": partial(query.page, ROWS, after=after),
                        "aiida-core, deep": partial(page_of_aiida, storage, field, order, deep),
                    },
                    repeat=arguments.repeat,
                    in_a_row={"aiidadb, first": 20, "aiidadb, deep": 20},
                    clock=clock,
                )
                report.add(group, seconds)
                first, mine = (report.median(group, f"aiidadb, {at}") for at in ("first", "deep"))
                report.goal(f"{group}: deep ÷ first", mine / first, "<=", 1.5)
                more = await buffers(backend, query, after) - await buffers(backend, query, None)
                report.goal(f"{group}: buffers of deep - those of first", more, "<=", 20)
                other = report.median(group, "aiida-core, deep") / mine
                report.goal(f"{group}: aiida-core ÷ aiidadb, deep", other, ">=", 5)
    await report.finish(dsn)


if __name__ == "__main__":
    options = parser(__doc__ or "", nodes=1_500_000, repeat=5)
    options.add_argument("--deep", type=int, default=60_000, help="rows before the deep page")
    run(main, options.parse_args())
