"""Small provenance graphs: random ones, written fast, and searched in plain Python."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import itertools
import json
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import hypothesis
import hypothesis.strategies as st

from aiidadb.criteria.node_types import translate_node_type
from tests.helpers.examples import examples

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping

    import aiidadb

LINK_TYPES = ("create", "return", "input_calc", "input_work", "call_calc", "call_work")
DATA_LINKS = frozenset({"create", "input_calc"})

STRUCTURE = "data.core.structure.StructureData."
BANDS = "data.core.array.bands.BandsData."
INT = "data.core.int.Int."
CALCULATION = "process.calculation.calcfunction.CalcFunctionNode."
WORKFLOW = "process.workflow.workchain.WorkChainNode."
NODE_TYPES = (STRUCTURE, BANDS, INT, CALCULATION)

SOME_TIME = datetime.datetime(2024, 5, 17, 9, 30, tzinfo=datetime.UTC)


@dataclass(frozen=True)
class Node:
    """A row of nodes; the type as AiiDA 2.x spells it, whatever the database's line is."""

    pk: int
    node_type: str = INT
    label: str = ""
    user: int = 1
    ctime: datetime.datetime = SOME_TIME
    process_type: str | None = None
    attributes: Mapping[str, object] | None = field(default_factory=dict)


Link = tuple[int, int, str]
"""Input, output, type."""


@dataclass(frozen=True)
class Graph:
    types: Mapping[int, str]
    links: tuple[Link, ...]

    def parents_of(self, link_types: Collection[str] | None) -> dict[int, set[int]]:
        found: dict[int, set[int]] = {pk: set() for pk in self.types}
        for parent, child, kind in self.links:
            if link_types is None or kind in link_types:
                found[child].add(parent)
        return found

    def closest(
        self,
        starts: Iterable[int],
        matches: Callable[[int], bool],
        link_types: Collection[str] | None = None,
    ) -> dict[int, int]:
        """The closest match above each start, by a breadth-first search for each."""
        parents_of = self.parents_of(link_types)
        found = {}
        for start in starts:
            level = {start} if start in parents_of else set()
            seen = set(level)
            while level:
                level = {parent for pk in level for parent in parents_of[pk]} - seen
                seen |= level
                if hits := [pk for pk in level if matches(pk)]:
                    found[start] = max(hits)
                    break
        return found

    def ancestors(
        self, starts: Iterable[int], link_types: Collection[str] | None = DATA_LINKS
    ) -> list[int]:
        """Whatever links lead to from any of the starts."""
        parents_of = self.parents_of(link_types)
        waiting = deque(pk for pk in starts if pk in parents_of)
        found: set[int] = set()
        while waiting:
            new = parents_of[waiting.popleft()] - found
            found |= new
            waiting += new
        return sorted(found)


@st.composite
def graphs(draw: st.DrawFn, max_nodes: int = 14) -> Graph:
    """Graphs with cycles, self links, double links, diamonds, and links of every type."""
    size = draw(st.integers(1, max_nodes))
    pks = draw(st.permutations(range(1, size + 1)))
    # Few matches, so that the walk goes far.
    kinds = draw(
        st.lists(
            st.sampled_from((STRUCTURE, *(INT,) * 3, CALCULATION)), min_size=size, max_size=size
        )
    )
    ends = st.sampled_from(pks)
    link = st.tuples(ends, ends, st.sampled_from(LINK_TYPES))
    links = draw(st.lists(link, max_size=3 * size))
    chain = itertools.pairwise(pks) if draw(st.booleans()) else ()
    along = [(parent, child, draw(st.sampled_from(LINK_TYPES))) for parent, child in chain]
    return Graph(dict(zip(pks, kinds, strict=True)), (*links, *along))


class Target(Protocol):
    """What can execute: a connection, or a backend's session inside a transaction."""

    def execute(self, query: str, *arguments: object) -> Awaitable[str]: ...


async def write_users(target: Target, *emails: str) -> None:
    """Users with the pks 1, 2, … and these emails; by default one, ada@epfl.ch."""
    await target.execute(
        """
        insert into db_dbuser (id, email, first_name, last_name, institution)
        select n, email, '', '', ''
        from unnest($1::text[]) with ordinality as given (email, n)
        """,
        list(emails or ("ada@epfl.ch",)),
    )


async def write_nodes(target: Target, nodes: Iterable[Node], *, line: str) -> None:
    rows = list(nodes)
    main = line == "main"
    await target.execute(
        f"""
        insert into db_dbnode (
            id, uuid, node_type, label, description, ctime, mtime, user_id, process_type,
            attributes, extras {", repository_metadata" if main else ""}
        )
        select
            id, ('00000000-0000-4000-8000-' || lpad(to_hex(id), 12, '0'))::uuid, node_type, label,
            '', ctime, ctime, user_id, process_type, attributes::jsonb, '{{}}'
            {", '{}'" if main else ""}
        from unnest(
            $1::int[], $2::text[], $3::text[], $4::timestamptz[], $5::int[], $6::text[], $7::text[]
        ) as given (id, node_type, label, ctime, user_id, process_type, attributes)
        """,
        [node.pk for node in rows],
        [translate_node_type(node.node_type, core_prefix=main) for node in rows],
        [node.label for node in rows],
        [node.ctime for node in rows],
        [node.user for node in rows],
        [node.process_type for node in rows],
        [None if node.attributes is None else json.dumps(node.attributes) for node in rows],
    )


async def write_links(target: Target, links: Iterable[Link]) -> None:
    rows = list(links)
    await target.execute(
        """
        insert into db_dblink (input_id, output_id, type, label)
        select input, output, type, 'link' from unnest($1::int[], $2::int[], $3::text[])
            as given (input, output, type)
        """,
        *(list(column) for column in (zip(*rows, strict=True) if rows else ((), (), ()))),
    )


async def write_groups(target: Target, groups: Mapping[str, Iterable[int]]) -> dict[str, int]:
    """Groups with these labels and nodes; gives the pk of each."""
    for number, (label, pks) in enumerate(groups.items(), start=1):
        await target.execute(
            """
            insert into db_dbgroup
                (id, uuid, label, type_string, time, description, user_id, extras)
            values ($1::int, gen_random_uuid(), $2::text, 'core', now(), '', 1, '{}')
            """,
            number,
            label,
        )
        await target.execute(
            """
            insert into db_dbgroup_dbnodes (dbgroup_id, dbnode_id)
            select $1::int, pk from unnest($2::int[]) as given (pk)
            """,
            number,
            list(pks),
        )
    return {label: number for number, label in enumerate(groups, start=1)}


async def write_graph(target: Target, graph: Graph, *, line: str) -> None:
    nodes = (Node(pk, node_type) for pk, node_type in graph.types.items())
    await write_nodes(target, nodes, line=line)
    await write_links(target, graph.links)


class _Undo(Exception):
    """Ends a transaction without an error."""


async def each_in_a_transaction(
    backend: aiidadb.Backend,
    body: Callable[..., Awaitable[None]],
    *strategies: st.SearchStrategy[object],
    count: int,
) -> None:
    """Run a property test whose examples fill the database, each undone after it.

    Args:
        backend: On a database.
        body: Fills the database with an example and looks at it, all in one transaction.
        strategies: One for each argument of the body.
        count: How many examples, where hypothesis draws few.
    """
    loop = asyncio.get_running_loop()

    async def once(*example: object) -> None:
        with contextlib.suppress(_Undo):
            async with backend.transaction():
                await body(*example)
                raise _Undo

    @hypothesis.settings(max_examples=examples(count), deadline=None)
    @hypothesis.given(st.tuples(*strategies))
    def check(example: tuple[object, ...]) -> None:
        asyncio.run_coroutine_threadsafe(once(*example), loop).result(60)

    await asyncio.to_thread(check)
