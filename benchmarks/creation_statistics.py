"""Statistics of creation: aiidadb and aiida-core, on the same nodes.

``--nodes 1500000`` is the large one. The floor is one count of the nodes by type, which reads every
node once, with no days.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import asyncpg
from common import Report, Server, aiida_storage, measure, parser, profile_of, run

import aiidadb

if TYPE_CHECKING:
    import argparse

FLOOR = "select node_type, count(*) from db_dbnode group by node_type"


async def main(arguments: argparse.Namespace, server: Server) -> None:
    dsn = await server.campaign(arguments.nodes, arguments.seed)
    report = Report(
        f"creation_statistics_{arguments.nodes}",
        f"Statistics of creation, {arguments.nodes:,} nodes",
        {"nodes": arguments.nodes, "seed": arguments.seed},
    )
    connection = await asyncpg.connect(dsn, server_settings={"jit": "off"})
    try:
        async with (
            aiidadb.open_backend(profile_of(dsn)) as backend,
            aiida_storage(dsn) as storage,
        ):
            theirs = storage.query().get_creation_statistics()
            ours = await backend.queries.get_creation_statistics()
            assert ours["types"] == dict(theirs["types"])
            assert ours["total"] == theirs["total"]
            seconds = await measure(
                {
                    "aiidadb": backend.queries.get_creation_statistics,
                    "aiida-core": lambda: storage.query().get_creation_statistics(),
                    "floor: one count by type": lambda: connection.fetch(FLOOR),
                },
                repeat=arguments.repeat,
            )
    finally:
        await connection.close()
    report.add("statistics", seconds)
    report.goal(
        "aiida-core / aiidadb",
        report.median("statistics", "aiida-core") / report.median("statistics", "aiidadb"),
        ">=",
        3.0,
    )
    await report.finish(dsn)


if __name__ == "__main__":
    options = parser(__doc__.splitlines()[0])
    run(main, options.parse_args())
