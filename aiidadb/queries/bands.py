"""Band structures, each with the formula of the structure that it belongs to."""

from __future__ import annotations

import datetime
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import anyio.lowlevel
from pypika import Query

from aiidadb.arguments import as_flag
from aiidadb.connecting.lanes import MOST_STARTS
from aiidadb.criteria.group_and_age import query_group, query_past_days
from aiidadb.criteria.held_times import held_time, odd_time, odd_time_of, problem_of_time
from aiidadb.criteria.selection import fetch_selection
from aiidadb.criteria.tables import nodes
from aiidadb.exceptions import InvalidTypeError, NotExistent
from aiidadb.jsonvalue import read_json
from aiidadb.messages import quote
from aiidadb.queries.formula import UNKNOWN_FORMULA, check_formula_mode, formula_of_kind_names
from aiidadb.queries.parents import (
    CHUNK_SIZE,
    DATA_PROVENANCE,
    as_link_types,
    get_closest_parents,
)
from aiidadb.sql import QUERIES
from aiidadb.text import require_text
from aiidadb.turns import STEP, in_turn, without

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    import asyncpg
    from pypika.queries import QueryBuilder

    from aiidadb.connecting.session import Session
    from aiidadb.pks import Pks
    from aiidadb.queries.formula import FormulaMode

__all__ = ["NO_STRUCTURE", "BandsRow", "get_bands_and_parents_structure"]

NO_STRUCTURE: Final = "<<NOT FOUND>>"
"""What stands for a formula where bands come from no structure."""

_BANDS: Final = "data.core.array.bands.BandsData."
_STRUCTURE: Final = "data.core.structure.StructureData."

_MONTHS: Final = (
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class BandsRow:
    """One band structure of the listing.

    Attributes:
        pk: Of the bands node.
        formula: Of the structure that the bands belong to; ``<<NOT FOUND>>`` where there is none,
            ``<<UNKNOWN>>`` where it does not tell its atoms.
        ctime: When the bands node was created, with time zone UTC; None where that is a time that
            Python cannot hold: before Christ, after 9999, or infinite.
        label: The label of the bands node.
        structure_pk: The pk of that structure; None where there is none.
        problem: What is odd: ``ctime`` and the time as PostgreSQL writes it, or why the formula
            cannot be told; None where nothing is.
    """

    pk: int
    formula: str
    ctime: datetime.datetime | None
    label: str
    structure_pk: int | None = None
    problem: str | None = None

    def as_strings(self) -> list[str]:
        """The four strings of AiiDA's listing: pk, formula, ``DD Mon YYYY`` in UTC, label.

        Months are in English whatever the locale is. Dates that Python cannot hold are such as
        ``15 Mar 0044 BC``, ``01 Jan 12026`` and ``infinity``.
        """
        if self.ctime is not None:
            time = self.ctime.astimezone(datetime.UTC)
            date = _date(time.day, time.month, f"{time.year:04}")
        else:
            date = odd_time_of(self.problem)
            if odd := _ODD_DAY.fullmatch(date):
                year, month, day, era = odd.groups(default="")
                date = _date(int(day), int(month), year + era)
        return [str(self.pk), self.formula, date, self.label]


_ODD_DAY: Final = re.compile(r"(\d+)-(\d\d)-(\d\d) [\d:.]+( BC)?")


def _date(day: int, month: int, year: str) -> str:
    return f"{day:02} {_MONTHS[month - 1]} {year}"


@dataclass(frozen=True, slots=True)
class _Species:
    """What a structure is made of.

    Attributes:
        formula: Its formula.
        elements: The first symbol of each of its kinds; None where it has no list of kinds.
        problem: Why its formula cannot be told, where that is a value that Python cannot hold.
    """

    formula: str
    elements: frozenset[str] | None
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class _Elements:
    """Which elements a structure must have; None where that is not asked."""

    any_of: frozenset[str] | None
    all_of: frozenset[str] | None

    def accept(self, species: _Species | None) -> bool:
        if self.any_of is None and self.all_of is None:
            return True
        if species is None or species.elements is None:
            return False
        if self.any_of is not None and self.any_of.isdisjoint(species.elements):
            return False
        return self.all_of is None or self.all_of <= species.elements


async def get_bands_and_parents_structure(
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
) -> list[BandsRow]:
    """See :meth:`aiidadb.queries.manager.QueryManager.get_bands_and_parents_structure`."""
    check_formula_mode(formulamode)
    all_users = as_flag(all_users, "all_users")
    types = as_link_types(link_types)
    wanted = _Elements(_as_symbols(element, "element"), _as_symbols(element_only, "element_only"))
    query = Query.from_(nodes).select(
        nodes.id, nodes.label, held_time(nodes.ctime), odd_time(nodes.ctime)
    )
    query = query.where(nodes.node_type.like(f"{_BANDS}%")).orderby(nodes.ctime, nodes.id)
    query = query_group(query, group_name=group_name, group_pk=group_pk)
    query = query_past_days(query, past_days=past_days)
    found = None
    if group_name is not None or group_pk is not None:
        found = await _find(
            session, query, formulamode, types, all_users=all_users, most=MOST_STARTS
        )
    if found is None:  # whether they are many is known only now, and a lane comes before the rest
        async with session.lane():
            found = await _find(session, query, formulamode, types, all_users=all_users)
        assert found is not None
    bands, structure_of, species_of = found
    rows: list[BandsRow] = []
    for number, (pk, label, ctime, odd) in enumerate(bands, start=1):
        structure = structure_of.get(pk)
        species = None if structure is None else species_of.get(structure)
        if wanted.accept(species):
            problem = None if odd is None else problem_of_time("ctime", odd)
            formula = NO_STRUCTURE
            if species is not None:
                formula = species.formula
                if species.problem is not None:
                    problem = "; ".join(filter(None, (problem, species.problem)))
            rows.append(BandsRow(pk, formula, ctime, label, structure, problem))
        if number % STEP == 0:
            await anyio.lowlevel.checkpoint()  # others on the loop get their turn
    return rows


async def _find(
    session: Session,
    query: QueryBuilder,
    mode: FormulaMode,
    link_types: list[str] | None,
    *,
    all_users: bool,
    most: int | None = None,
) -> tuple[list[asyncpg.Record], dict[int, int], dict[int, _Species]] | None:
    """The bands, their structures, and what those are made of; None for too many bands."""
    # In one snapshot: bands and structures that change between the questions would be mixed.
    async with session.snapshot():
        if not all_users:
            query = query.where(nodes.user_id == await _default_user(session))
        bands = await fetch_selection(session, query)
        if most is not None and len(bands) > most:
            return None
        structure_of = await _structures(session, [row["id"] for row in bands], link_types)
        return bands, structure_of, await _species(session, structure_of.values(), mode)


async def _structures(
    session: Session, bands: list[int], link_types: list[str] | None
) -> dict[int, int]:
    """Bands to the structure that each belongs to, where there is one."""

    async def closest(starts: list[int], types: Collection[str] | None) -> dict[int, int]:
        return await get_closest_parents(
            session, starts, (), {"node_type": _STRUCTURE}, link_types=types
        )

    if link_types is not None:
        return await closest(bands, link_types)
    # Workflows have links of their own to structures that the bands were not computed from, which
    # may be as near or nearer.
    structure_of = await closest(bands, DATA_PROVENANCE)
    if others := await in_turn(without(bands, structure_of.keys())):
        structure_of.update(await closest(others, None))
    return structure_of


async def _default_user(session: Session) -> int:
    email = session.profile.default_user_email
    advice = "pass all_users=True for everybody's bands"
    command_advice = "add --all-users for everybody's bands"
    if email is None:
        raise NotExistent(
            f"profile {quote(session.profile.name)} has no default user",
            advice=advice,
            command_advice=command_advice,
        )
    require_text(email, "the default user", quoted=True)
    pk: int | None = await QUERIES["user_by_email"].fetchval(session, email)
    if pk is None:
        raise NotExistent(
            f"the default user {quote(email)} of profile {quote(session.profile.name)} is not in "
            "the database",
            advice=advice,
            command_advice=command_advice,
        )
    return pk


async def _species(
    session: Session, structures: Collection[int], mode: FormulaMode
) -> dict[int, _Species]:
    """What structures are made of; those made of the same are decoded once."""
    known: dict[tuple[str | None, str | None], _Species] = {}
    species_of: dict[int, _Species] = {}
    distinct = sorted(set(structures))
    for at in range(0, len(distinct), CHUNK_SIZE):
        rows = await QUERIES["structure_species"].fetch(session, distinct[at : at + CHUNK_SIZE])
        for number, (pk, kinds, kind_names) in enumerate(rows, start=1):
            if number % STEP == 0:
                await anyio.lowlevel.checkpoint()
            key = (kinds, kind_names)
            if key not in known:
                known[key] = _read_species(kinds, kind_names, mode)
            species_of[pk] = known[key]
    return species_of


def _read_species(kinds: str | None, kind_names: str | None, mode: FormulaMode) -> _Species:
    items, problem = (None, None) if kinds is None else read_json(kinds)
    names, of_names = (None, None) if kind_names is None else read_json(kind_names)
    elements = None if items is None else frozenset(_first_symbols(items))
    formula = formula_of_kind_names(items, names, mode=mode)
    if formula != UNKNOWN_FORMULA:  # what cannot be read does not matter
        return _Species(formula, elements)
    if problem is not None or of_names is not None:
        problem = f"the structure has JSON that {problem or of_names}"
    return _Species(formula, elements, problem or _too_large_weight(items))


def _too_large_weight(kinds: list[dict[str, object]] | None) -> str | None:
    for kind in kinds or ():
        weights = kind["weights"]
        for weight in weights if isinstance(weights, list) else ():
            if isinstance(weight, int | float) and not abs(weight) <= sys.float_info.max:
                return "the structure has a weight that is too large for a float"
    return None


def _first_symbols(kinds: list[dict[str, object]]) -> Iterator[str]:
    for kind in kinds:
        symbols = kind["symbols"]
        if isinstance(symbols, list) and symbols and isinstance(symbols[0], str):
            yield symbols[0]


def _as_symbols(symbols: object, what: str) -> frozenset[str] | None:
    if symbols is None:
        return None
    if isinstance(symbols, str):
        return frozenset({symbols})
    if not isinstance(symbols, Iterable):
        raise InvalidTypeError(f"{what} must be one symbol or several, not {quote(symbols)}")
    found = list(symbols)
    for symbol in found:
        if not isinstance(symbol, str):
            raise InvalidTypeError(f"{quote(symbol)} is no symbol of an element, such as 'Si'")
    return frozenset(found)
