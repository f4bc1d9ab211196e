"""The listing of band structures: which there are, and the structure that each belongs to."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterable, Coroutine
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from pypika import Query

from aiidadb.arguments import as_count, as_flag
from aiidadb.connecting.own_task import InOwnTask
from aiidadb.connecting.pools.lanes import MOST_STARTS
from aiidadb.connecting.profiles.profile import (
    how_to_give_default_user,
    name_of,
    without_default_user,
)
from aiidadb.connecting.sessions.served import WITH_JSON_COLUMNS, served
from aiidadb.criteria.group_and_age import query_group, query_past_days
from aiidadb.criteria.held_times import held_time, odd_time, problem_of_time
from aiidadb.criteria.selection import SelectionCursor, fetch_selection
from aiidadb.criteria.tables import nodes
from aiidadb.exceptions import NotExistent
from aiidadb.messages import quote
from aiidadb.queries.bands import NO_STRUCTURE, BandsRow
from aiidadb.queries.formula import check_formula_mode
from aiidadb.queries.link_types import DATA_PROVENANCE, as_link_types
from aiidadb.queries.parents import get_closest_parents
from aiidadb.queries.species import Elements, SpeciesReader
from aiidadb.sql import QUERIES
from aiidadb.text import require_text
from aiidadb.turns import STEP, in_turn, without

if TYPE_CHECKING:
    from collections.abc import (
        AsyncGenerator,
        Collection,
        Generator,
        Iterable,
        Iterator,
        Mapping,
    )

    import asyncpg
    from pypika.queries import QueryBuilder

    from aiidadb.connecting.sessions.session import Session
    from aiidadb.pks import Pks
    from aiidadb.queries.formula import FormulaMode
    from aiidadb.queries.species import Species
    from aiidadb.turns import Steps

__all__ = ["BandsListing", "get_bands_and_parents_structure"]

_BANDS: Final = "data.core.array.bands.BandsData."
_STRUCTURE: Final = "data.core.structure.StructureData."

_FIRST_BATCH: Final = 100
"""Bands that are looked up before the first row is there."""

_LARGEST_BATCH: Final = 1_600
"""Bands that are looked up together, at most: it bounds the memory."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """What a listing is to hold.

    Attributes:
        query: Selects bands, in order: pk, label, time of creation, and that if it is odd.
        has_group: Whether those of a group are selected.
        all_users: Whether those of all users are.
        elements: What their structures must have.
        mode: How formulas are written.
        link_types: The links that are followed to structures; None: in two stages.
        limit: How many rows there are at most.
    """

    query: QueryBuilder
    has_group: bool
    all_users: bool
    elements: Elements
    mode: FormulaMode
    link_types: list[str] | None
    limit: int | None


def get_bands_and_parents_structure(
    session: Session,
    *,
    all_users: bool,
    past_days: float | None,
    group_name: str | Iterable[str] | None,
    group_pk: Pks | None,
    element: str | Iterable[str] | None,
    element_only: str | Iterable[str] | None,
    formulamode: FormulaMode,
    link_types: Collection[str] | None,
    limit: int | None,
) -> BandsListing:
    """See :meth:`aiidadb.queries.manager.QueryManager.get_bands_and_parents_structure`."""
    check_formula_mode(formulamode)
    query = Query.from_(nodes).select(
        nodes.id, nodes.label, held_time(nodes.ctime), odd_time(nodes.ctime)
    )
    query = query.where(nodes.node_type.like(f"{_BANDS}%")).orderby(nodes.ctime, nodes.id)
    query = query_group(query, group_name=group_name, group_pk=group_pk)
    return BandsListing(
        session,
        _Asked(
            query=query_past_days(query, past_days=past_days),
            has_group=group_name is not None or group_pk is not None,
            all_users=as_flag(all_users, "all_users"),
            elements=Elements(element, element_only),
            mode=formulamode,
            link_types=as_link_types(link_types),
            limit=None if limit is None else as_count(limit, "limit"),
        ),
    )


class BandsListing(Coroutine[Any, Any, list[BandsRow]], AsyncIterable[BandsRow]):
    """Band structures that were asked for: a list, or one after the other.

    What :meth:`aiidadb.QueryManager.get_bands_and_parents_structure` gives. Nothing is sent before
    it is awaited, which gives a list of :class:`BandsRow`, or iterated over with ``async for``,
    which gives the same rows in the same order. Each time the database is queried again. Wherever
    asyncio takes a coroutine, as in ``asyncio.create_task``, it is one; anyio's ``start_soon``
    accepted only those of ``async def`` before its later releases.
    """

    __slots__ = ("_asked", "_coroutine", "_session")

    def __init__(self, session: Session, asked: _Asked) -> None:
        self._session = session
        self._asked = asked
        self._coroutine: Coroutine[Any, Any, list[BandsRow]] | None = None

    def __await__(self) -> Generator[Any, Any, list[BandsRow]]:
        """The rows as a list."""
        return self._list().__await__()

    def __aiter__(self) -> AsyncGenerator[BandsRow, None]:
        """The rows one after the other."""
        return self._each()

    def __repr__(self) -> str:
        return "<aiidadb.BandsListing: await it, or iterate over it with async for>"

    def send(self, value: Any) -> Any:
        """What :class:`asyncio.Task` does with a coroutine."""
        with self._begun_anew_after_end():
            return self._as_coroutine().send(value)

    def throw(self, *error: Any) -> Any:
        """What :class:`asyncio.Task` does with a coroutine."""
        with self._begun_anew_after_end():
            return self._as_coroutine().throw(*error)

    def close(self) -> None:
        """End what was begun as a coroutine."""
        if self._coroutine is not None:
            self._coroutine.close()
            self._coroutine = None

    @contextlib.contextmanager
    def _begun_anew_after_end(self) -> Iterator[None]:
        try:
            yield
        except BaseException:  # StopIteration, which is its answer, or its error
            self._coroutine = None
            raise

    def _as_coroutine(self) -> Coroutine[Any, Any, list[BandsRow]]:
        if self._coroutine is None:
            self._coroutine = self._list()
        return self._coroutine

    async def _list(self) -> list[BandsRow]:
        if self._asked.limit is not None:
            async with contextlib.aclosing(self._batches()) as batches:
                return [row async for batch in batches for row in batch]
        run = _Run(self._session, self._asked)
        found = None
        with served(self._session, since=WITH_JSON_COLUMNS):
            if self._asked.has_group:
                found = await run.find_all(most=MOST_STARTS)
            if found is None:  # that they are many is known only now, and a lane comes first
                async with self._session.lane():
                    found = await run.find_all()
        assert found is not None
        return await in_turn(run.rows(found))

    async def _each(self) -> AsyncGenerator[BandsRow, None]:
        # In the caller's own task, what the caller asks between two rows would be part of the
        # listing's snapshot.
        async with InOwnTask(self._batches(asyncio.current_task())) as batches:
            async for batch in batches:
                for row in batch:
                    yield row

    async def _batches(
        self, holder: asyncio.Task[Any] | None = None
    ) -> AsyncGenerator[list[BandsRow], None]:
        """The rows in batches; before the last one the connection and the lane are given back.

        Args:
            holder: The task whose lane it is, if not the current one.
        """
        run = _Run(self._session, self._asked)
        number = _FIRST_BATCH
        with served(self._session, since=WITH_JSON_COLUMNS):
            if self._asked.has_group:
                async with self._session.snapshot(), await run.cursor() as cursor:
                    rows = await run.next_rows(cursor, MOST_STARTS + 1)
                if run.is_done:
                    yield rows
                    return
                run = _Run(self._session, self._asked)  # they are many, which need a lane
            async with (
                self._session.lane(holder=holder),
                self._session.snapshot(),
                await run.cursor() as cursor,
            ):
                rows = await run.next_rows(cursor, number)
                while not run.is_done:
                    yield rows
                    number = min(2 * number, _LARGEST_BATCH)
                    rows = await run.next_rows(cursor, number)
        yield rows


class _Found(NamedTuple):
    """Bands and what belongs to them.

    Attributes:
        bands: What the query selected.
        structure_of: Bands to structure, where there is one.
        species_of: Structure to what it is made of, where it exists.
    """

    bands: list[asyncpg.Record]
    structure_of: Mapping[int, int]
    species_of: Mapping[int, Species]


class _Run:
    """One run of a listing.

    Attributes:
        is_done: Whether the rows given last were the last ones.
    """

    def __init__(self, session: Session, asked: _Asked) -> None:
        self._session = session
        self._asked = asked
        self._species = SpeciesReader(session, asked.mode)
        self._left = asked.limit
        self.is_done = False

    async def find_all(self, most: int | None = None) -> _Found | None:
        """All bands and their structures; None for more bands than that."""
        # In one snapshot: bands and structures that change between the questions would be mixed.
        async with self._session.snapshot():
            bands = await fetch_selection(self._session, await self._query(), is_held=True)
            return None if most is not None and len(bands) > most else await self._look_up(bands)

    async def cursor(self) -> SelectionCursor:
        """A cursor over the bands, for :meth:`next_rows`."""
        return SelectionCursor(self._session, await self._query())

    async def next_rows(self, cursor: SelectionCursor, number: int) -> list[BandsRow]:
        """The rows of the next bands, as many as given; fewer rows where elements are asked for."""
        if self._left is not None and not self._asked.elements.are_asked:
            number = min(number, self._left)
        bands = await cursor.fetch(number)
        rows = await in_turn(self.rows(await self._look_up(bands)))
        self.is_done = len(bands) < number
        if self._left is not None:
            del rows[self._left :]
            self._left -= len(rows)
            self.is_done = self.is_done or not self._left
        return rows

    def rows(self, found: _Found) -> Steps[list[BandsRow]]:
        """The rows of bands whose structures have the elements that were asked for."""
        rows: list[BandsRow] = []
        for number, (pk, label, ctime, odd) in enumerate(found.bands, start=1):
            structure = found.structure_of.get(pk)
            species = None if structure is None else found.species_of.get(structure)
            if self._asked.elements.accept(species):
                problem = None if odd is None else problem_of_time("ctime", odd)
                formula = NO_STRUCTURE
                if species is not None:
                    formula = species.formula
                    if species.problem is not None:
                        problem = "; ".join(filter(None, (problem, species.problem)))
                # In the sqlalchemy line a label may be missing.
                rows.append(BandsRow(pk, formula, ctime, label or "", structure, problem))
            if number % STEP == 0:
                yield
        return rows

    async def _query(self) -> QueryBuilder:
        if self._asked.all_users:
            return self._asked.query
        return self._asked.query.where(nodes.user_id == await _default_user(self._session))

    async def _look_up(self, bands: list[asyncpg.Record]) -> _Found:
        structure_of = await self._structures([row["id"] for row in bands])
        return _Found(bands, structure_of, await self._species.read(structure_of.values()))

    async def _structures(self, bands: list[int]) -> dict[int, int]:
        link_types = self._asked.link_types
        if link_types is not None:
            return await self._closest(bands, link_types)
        # Workflows have links of their own to structures that the bands were not computed from,
        # which may be as near or nearer.
        structure_of = await self._closest(bands, DATA_PROVENANCE)
        if others := await in_turn(without(bands, structure_of.keys())):
            structure_of.update(await self._closest(others, None))
        return structure_of

    async def _closest(
        self, bands: list[int], link_types: Collection[str] | None
    ) -> dict[int, int]:
        return await get_closest_parents(
            self._session,
            bands,
            (),
            {"node_type": _STRUCTURE},
            link_types=link_types,
            doubts=False,
        )


async def _default_user(session: Session) -> int:
    email = session.profile.default_user_email
    command_advice = "add --user-email EMAIL, or --all-users"
    if email is None:
        raise NotExistent(
            without_default_user(session.profile),
            advice=f"pass all_users=True, or {how_to_give_default_user(session.profile)}",
            command_advice=command_advice,
        )
    require_text(email, "the default user", quoted=True)
    pk: int | None = await QUERIES["user_by_email"].fetchval(session, email)
    if pk is None:
        raise NotExistent(
            f"the default user {quote(email)} of {name_of(session.profile)} is not in the database",
            advice="pass all_users=True, or give the profile another default_user_email",
            command_advice=command_advice,
        )
    return pk
