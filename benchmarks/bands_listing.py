"""The listing of band structures with their formulas, beside closest parents for the same bands."""

from __future__ import annotations

from typing import TYPE_CHECKING

import asyncpg
from common import STRUCTURE, Report, Server, bands_of, measure, parser, profile_of, run

import aiidadb

if TYPE_CHECKING:
    import argparse

GROUP = "a thousand bands"


async def main(arguments: argparse.Namespace, server: Server) -> None:
    campaign = await server.campaign(arguments.nodes, arguments.seed)
    report = Report(
        f"bands_listing_{arguments.nodes}",
        f"Listing of {arguments.bands:,} bands of {arguments.nodes:,} nodes",
        {"nodes": arguments.nodes, "seed": arguments.seed, "bands": arguments.bands},
    )
    async with server.clone(campaign) as dsn:
        pks = await put_into_a_group(dsn, arguments.bands)
        async with aiidadb.open_backend(profile_of(dsn)) as backend:
            queries = backend.queries
            rows = await queries.get_bands_and_parents_structure(all_users=True, group_name=[GROUP])
            assert sorted(row.pk for row in rows) == pks
            seconds = await measure(
                {
                    "listing": lambda: queries.get_bands_and_parents_structure(
                        all_users=True, group_name=[GROUP]
                    ),
                    "listing, one after the other": lambda: read(
                        queries.get_bands_and_parents_structure(all_users=True, group_name=[GROUP])
                    ),
                    "listing over data and calculations alone": (
                        lambda: queries.get_bands_and_parents_structure(
                            all_users=True, group_name=[GROUP], link_types=("create", "input_calc")
                        )
                    ),
                    "closest parents alone": lambda: queries.get_closest_parents(
                        pks, node_type=STRUCTURE
                    ),
                },
                repeat=arguments.repeat,
            )
        report.add("bands", seconds)
        report.goal(
            "listing / closest parents",
            report.median("bands", "listing") / report.median("bands", "closest parents alone"),
            "<=",
            2.5,
        )
        await report.finish(dsn)


async def read(listing: aiidadb.BandsListing) -> int:
    """Read the rows one after the other; gives how many there are."""
    return sum([1 async for _ in listing])


async def put_into_a_group(dsn: str, number: int) -> list[int]:
    """Put bands into a group of their own, by which they are listed; gives their pks."""
    connection = await asyncpg.connect(dsn)
    try:
        pks = await bands_of(connection, number)
        await connection.execute(
            """
            with added as (
                insert into db_dbgroup
                    (uuid, label, type_string, time, description, user_id, extras)
                select gen_random_uuid(), $1::text, 'core', now(), '', min(id), '{}'
                from db_dbuser
                returning id
            )
            insert into db_dbgroup_dbnodes (dbgroup_id, dbnode_id)
            select added.id, asked.pk
            from added, unnest($2::int[]) as asked (pk)
            """,
            GROUP,
            pks,
        )
        await connection.execute("analyze")
    finally:
        await connection.close()
    return sorted(pks)


if __name__ == "__main__":
    options = parser(__doc__.splitlines()[0])
    options.add_argument("--bands", type=int, default=1_000, help="bands to list")
    run(main, options.parse_args())
