"""Deletions in opposite order, and links that are put in beside deletions: round after round."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
from typing import TYPE_CHECKING, Final

import asyncpg
import pytest

import aiidadb

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ROUNDS: Final = [
    20,
    pytest.param(300, marks=[pytest.mark.thorough, pytest.mark.timeout(3000)]),
]
NODES: Final = 12
LIMIT: Final = 60  # seconds for one round; none takes one

_USER: Final = """
insert into db_dbuser (id, email, first_name, last_name, institution) values (1, 'u', '', '', '')
"""
_NODES: Final = """
insert into db_dbnode
    (id, uuid, node_type, label, description, ctime, mtime, user_id, {columns})
select n, gen_random_uuid(), 'data.Data.', '', '', now(), now(), 1, {values}
from unnest($1::int[]) n
"""
_LINK: Final = """
insert into db_dblink (input_id, output_id, label, type)
values ($1::int, $2::int, $3::text, 'create')
"""


class Rows:
    """Puts nodes and links into a database, by a connection of its own."""

    def __init__(self, connection: asyncpg.Connection, *, is_main: bool) -> None:
        self.connection = connection
        columns, values = "attributes, extras", "'{}', '{}'"
        if is_main:
            columns, values = f"{columns}, repository_metadata", f"{values}, '{{}}'"
        self._nodes = _NODES.format(columns=columns, values=values)

    async def nodes(self, start: int) -> list[int]:
        """A few new nodes, each linked to the next."""
        pks = list(range(start, start + NODES))
        await self.connection.execute(self._nodes, pks)
        await self.connection.executemany(
            _LINK, [(one, other, "l") for one, other in itertools.pairwise(pks)]
        )
        return pks

    async def link(self, one: int, other: int) -> bool:
        """Link two nodes, if they are there; whether they were."""
        try:
            await self.connection.execute(_LINK, one, other, "beside")
        except asyncpg.ForeignKeyViolationError:
            return False
        return True

    async def dangling(self) -> int:
        """How many links have an end that is not there."""
        return await self.connection.fetchval(
            """
            select count(*) from db_dblink l
            where not exists (select from db_dbnode n where n.id = l.input_id)
               or not exists (select from db_dbnode n where n.id = l.output_id)
            """
        )


@pytest.fixture
async def rows(head_dsn: str) -> AsyncIterator[Rows]:
    connection = await asyncpg.connect(head_dsn)
    is_main = await connection.fetchval("select to_regclass('alembic_version') is not null")
    await connection.execute(_USER)
    yield Rows(connection, is_main=is_main)
    await connection.close()


@pytest.mark.parametrize("rounds", ROUNDS)
async def test_deletions_in_opposite_order_both_end(rows: Rows, head_dsn: str, rounds: int) -> None:
    profile = aiidadb.Profile.from_dsn(head_dsn)
    async with aiidadb.open_backend(profile) as backend:
        for number in range(rounds):
            pks = await rows.nodes(1 + number * NODES)
            async with asyncio.timeout(LIMIT):
                one, other = await asyncio.gather(
                    backend.delete_nodes_and_connections(pks),
                    backend.delete_nodes_and_connections(pks[::-1]),
                )
            assert sorted([one.nodes, other.nodes]) == [0, NODES]
            assert sorted([one.links, other.links]) == [0, NODES - 1]
        assert await rows.dangling() == 0
        assert await rows.connection.fetchval("select count(*) from db_dbnode") == 0


@pytest.mark.parametrize("rounds", ROUNDS)
async def test_links_put_in_beside_deletions_never_dangle(
    rows: Rows, head_dsn: str, rounds: int
) -> None:
    generator = random.Random(7)
    profile = aiidadb.Profile.from_dsn(head_dsn)

    async def delete(backend: aiidadb.Backend, pks: list[int]) -> None:
        await asyncio.sleep(generator.random() / 500)
        # A link that came in between: said, and nothing was changed.
        with contextlib.suppress(aiidadb.IntegrityError, aiidadb.ConcurrencyError):
            await backend.delete_nodes_and_connections(pks)

    async with aiidadb.open_backend(profile) as backend:
        for number in range(rounds):
            pks = await rows.nodes(1 + number * NODES)
            doomed = generator.sample(pks, NODES // 2)
            spared = sorted(set(pks) - set(doomed))
            async with asyncio.timeout(LIMIT):
                _, was_linked = await asyncio.gather(
                    delete(backend, doomed), rows.link(generator.choice(doomed), spared[0])
                )
                await backend.delete_nodes_and_connections(doomed)
            assert await rows.dangling() == 0
            left = await rows.connection.fetch("select id from db_dbnode where id = any($1)", pks)
            assert sorted(row["id"] for row in left) == spared, was_linked
