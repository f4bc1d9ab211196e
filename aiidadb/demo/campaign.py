"""Fills a database with campaigns of band-structure workflows, in the shape AiiDA gives them.

For demos and benchmarks: any number of nodes, the same for the same seed on every server, both
schema lines. What a block of a campaign is made of is :mod:`aiidadb.demo.template`'s subject; here
blocks are put in, one after the other. Later ones take the relaxed structures of earlier ones up
again. Files are not made.
"""

from __future__ import annotations

import datetime
import json
from dataclasses import asdict, dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Final

from aiidadb.connecting.sessions.session import NO_TIME_LIMIT
from aiidadb.demo.compounds import COMPOUNDS
from aiidadb.demo.template import WORKCHAIN, Template, one_block, shared_nodes
from aiidadb.exceptions import DatabaseNotEmpty, InvalidInputError
from aiidadb.sql import load_queries, sql_directory
from aiidadb.version.database_version import read_bookkeeping

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import asyncpg

__all__ = ["GROUPS", "UNTIL", "USERS", "Campaign", "fill_with_campaign"]

_QUERIES: Final = load_queries(sql_directory() / "demo")

USERS: Final = ("ada@epfl.ch", "emmy.noether@example.org", "kathleen.lonsdale@example.org")
"""The emails of the users; the first has the most nodes."""

GROUPS: Final = (
    "semiconductors", "oxides", "metals", "perovskites", "layered", "alloys", "phonons-2024",
    "review", "teaching", "high-pressure", "database-v2", "favourites",
)  # fmt: skip
"""The labels of the groups; the last holds some of what is in the others."""

UNTIL: Final = datetime.datetime(2025, 6, 30, 12, tzinfo=datetime.UTC)
"""When the last node was made, where nothing else is asked for."""

_COMPUTERS: Final = ("alps", "jura", "leman")
_STRAINS: Final = (0.0, 0.02, 0.004, 0.004)  # as found, rescaled, relaxed, primitive
_CYCLE: Final = 32  # blocks until the materials come again
_GENERATIONS: Final = 4  # how often in a row they start from what was relaxed before
_CHUNK: Final = 50_000  # nodes in one statement
_COMMENT_EVERY: Final = 211  # one comment on so many nodes
_LOG_EVERY: Final = 3  # one log on so many workflows, more or less


@dataclass(frozen=True, slots=True)
class Campaign:
    """What was put into a database.

    Attributes:
        nodes: Number of nodes.
        links: Number of links.
        bands: Number of ``BandsData`` nodes.
        structures: Number of ``StructureData`` nodes.
        members: Number of memberships in groups.
        comments: Number of comments.
        logs: Number of logs.
    """

    nodes: int
    links: int
    bands: int
    structures: int
    members: int
    comments: int
    logs: int


async def fill_with_campaign(
    connection: asyncpg.Connection,
    *,
    nodes: int = 140_000,
    seed: int = 0,
    until: datetime.datetime = UNTIL,
    progress: Callable[[int, int], object] | None = None,
) -> Campaign:
    """Fill a database that has AiiDA's schema and no node yet, in one transaction.

    Args:
        connection: To the database, of the django line's head or of the main line's.
        nodes: How many; about one in 18 will be bands, and there are about 1.56 times as many
            links. At least 400.
        seed: From 0 on; the same seed gives the same nodes, other than seven others.
        until: When the last node is made; the first is made nine months before.
        progress: Called now and then with the nodes made and those in all.

    Returns:
        How much of what was made.

    Raises:
        DatabaseNotEmpty: There are nodes already.
        InvalidInputError: The number of nodes or the seed cannot be used.
        SchemaError: There is no AiiDA schema.
    """
    least = len(shared_nodes()[0].slots) + len(one_block().slots)
    if not least <= nodes < 2**31:
        raise InvalidInputError(f"a campaign has at least {least} nodes, not {nodes}")
    if not 0 <= seed < 2**30:
        raise InvalidInputError(f"the seed must lie between 0 and {2**30 - 1}, not {seed}")
    if until.tzinfo is None:
        raise InvalidInputError(f"{until!r} has no time zone: give it one")
    version = (await read_bookkeeping(connection)).version()
    async with connection.transaction():
        if not await _QUERIES["campaign_is_empty"].fetchval(connection):
            raise DatabaseNotEmpty("a campaign needs a database without nodes: use a new one")
        filler = _Filler(connection, version.has_core_prefix, nodes, seed, until, progress)
        campaign = await filler.fill()
    if progress is not None:
        progress(nodes, nodes)
    return campaign


@dataclass
class _Filler:
    """One database being filled."""

    connection: asyncpg.Connection
    core_prefix: bool
    nodes: int
    seed: int
    until: datetime.datetime
    progress: Callable[[int, int], object] | None
    users: list[int] = field(default_factory=list)
    computers: list[int] = field(default_factory=list)

    async def fill(self) -> Campaign:
        shared, block, loose = shared_nodes()[0], one_block(), Template()
        first_pk = 1 + len(shared.slots)
        number, rest = divmod(self.nodes - len(shared.slots), len(block.slots))
        await self._people_and_machines()
        await self._nodes(shared, range(1), 1)
        links = members = 0
        grouped = [slot.number for slot in block.slots if slot.role in {"bands", "structure"}]
        step = max(1, _CHUNK // len(block.slots))
        for start in range(0, number, step):
            blocks = range(start, min(start + step, number))
            await self._nodes(block, blocks, first_pk)
            links += await self._links(block, blocks, first_pk)
            place = blocks.start, blocks.stop - 1, len(block.slots), first_pk
            members += await self._insert("campaign_members", [*GROUPS], grouped, *place)
            if self.progress is not None:
                self.progress(first_pk - 1 + blocks.stop * len(block.slots), self.nodes)
        # Structures that have not been used yet make the number of nodes what was asked for.
        loose.structure("found")
        await self._nodes(loose, range(rest), self.nodes - rest + 1)
        await _QUERIES["campaign_sequence"].fetch(self.connection, self.nodes)
        comments = await self._insert("campaign_comments", _COMMENT_EVERY, self.seed)
        logs = await self._insert("campaign_logs", WORKCHAIN, _LOG_EVERY, self.seed)
        for table in ("db_dbnode", "db_dblink", "db_dbgroup_dbnodes"):
            await self.connection.execute(f"analyze {table}")
        structures = shared.count("structure") + number * block.count("structure") + rest
        return Campaign(
            self.nodes, links, number * block.count("bands"), structures, members, comments, logs
        )

    async def _people_and_machines(self) -> None:
        await self._insert("campaign_users", [*USERS])
        prefix = "core." if self.core_prefix else ""
        await self._insert("campaign_computers", [*_COMPUTERS], prefix, self.seed)
        rows = await _QUERIES["campaign_user_pks"].fetch(self.connection, [*USERS])
        self.users = [row["pk"] for row in rows]
        rows = await _QUERIES["campaign_computer_pks"].fetch(
            self.connection, [*_COMPUTERS], self.seed
        )
        self.computers = [row["pk"] for row in rows]
        await self._insert("campaign_groups", [*GROUPS], self.seed, self.users[0], self.until)

    async def _nodes(self, template: Template, blocks: range, first_pk: int) -> None:
        await self._insert(
            "campaign_nodes",
            template.slots_json(core_prefix=self.core_prefix),
            _structures_json(),
            blocks.start,
            blocks.stop - 1,
            len(template.slots),
            first_pk,
            self.seed,
            self.users,
            self.computers,
            self.until,
            self.nodes,
            _CYCLE,
        )

    async def _links(self, template: Template, blocks: range, first_pk: int) -> int:
        return await self._insert(
            "campaign_links",
            json.dumps([asdict(link) for link in template.links]),
            _compounds_json(),
            blocks.start,
            blocks.stop - 1,
            len(template.slots),
            first_pk,
            self.seed,
            _CYCLE,
            _GENERATIONS,
        )

    async def _insert(self, query: str, *arguments: object) -> int:
        """Put the rows that a query returns into its table; returns their number."""
        table, columns = _TABLES[query]
        # The queries name columns as the main line does.
        targets = {column: column for column in columns.split()}
        if not self.core_prefix:
            targets.pop("repository_metadata", None)
            if table == "db_dbcomputer":
                targets["label"] = "name"
        status: str = await self.connection.execute(
            f"insert into {table} ({', '.join(targets.values())}) "  # noqa: S608 - names from here
            f"select {', '.join(targets)} from ({_QUERIES[query].text}) as made",
            *arguments,
            timeout=NO_TIME_LIMIT,
        )
        return int(status.rpartition(" ")[2])


_TABLES: Final[Mapping[str, tuple[str, str]]] = {
    "campaign_users": ("db_dbuser", "email first_name last_name institution"),
    "campaign_computers": (
        "db_dbcomputer",
        "uuid label hostname description transport_type scheduler_type metadata",
    ),
    "campaign_groups": ("db_dbgroup", "uuid label type_string time description user_id extras"),
    "campaign_nodes": (
        "db_dbnode",
        """
        id uuid node_type label description ctime mtime dbcomputer_id user_id process_type
        attributes extras repository_metadata
        """,
    ),
    "campaign_links": ("db_dblink", "input_id output_id label type"),
    "campaign_members": ("db_dbgroup_dbnodes", "dbnode_id dbgroup_id"),
    "campaign_comments": ("db_dbcomment", "uuid dbnode_id ctime mtime user_id content"),
    "campaign_logs": ("db_dblog", "time loggername levelname message metadata dbnode_id uuid"),
}


@cache
def _structures_json() -> str:
    return json.dumps(
        [
            {
                "compound": number,
                "phase": phase,
                "name": compound.name,
                "attributes": compound.attributes(strain),
            }
            for number, compound in enumerate(COMPOUNDS)
            for phase, strain in enumerate(_STRAINS)
        ]
    )


@cache
def _compounds_json() -> str:
    pks = shared_nodes()[1]
    return json.dumps(
        [
            {
                "number": number,
                "structure": pks[f"structure {number}"],
                "pseudos": {element: pks[f"pseudo {element}"] for element in compound.elements},
            }
            for number, compound in enumerate(COMPOUNDS)
        ]
    )
