"""What structures are made of: their formulas, and the elements that they are selected by."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import anyio.lowlevel

from aiidadb.exceptions import InvalidTypeError
from aiidadb.jsonvalue import read_json
from aiidadb.messages import quote
from aiidadb.queries.formula import UNKNOWN_FORMULA, formula_of_kind_names
from aiidadb.queries.parents import CHUNK_SIZE
from aiidadb.sql import QUERIES
from aiidadb.turns import STEP

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from aiidadb.connecting.sessions.session import Session
    from aiidadb.queries.formula import FormulaMode

__all__ = ["Elements", "Species", "SpeciesReader"]

_REMEMBERED: Final = 5_000
"""Structures that are remembered from one query to the next, at most."""


@dataclass(frozen=True, slots=True)
class Species:
    """What a structure is made of.

    Attributes:
        formula: Its formula.
        elements: The first symbol of each of its kinds; None where it has no list of kinds.
        problem: Why its formula cannot be given, where that is a value that Python cannot hold.
    """

    formula: str
    elements: frozenset[str] | None
    problem: str | None = None


class Elements:
    """Which elements a structure must have.

    Args:
        element: A symbol or several, of which it must have one or more; None: no condition.
        element_only: A symbol or several, all of which it must have; None: no condition.

    Attributes:
        are_asked: Whether structures are selected at all.

    Raises:
        InvalidTypeError: Not a symbol, nor several.
    """

    __slots__ = ("_all_of", "_any_of", "are_asked")

    def __init__(
        self, element: str | Iterable[str] | None, element_only: str | Iterable[str] | None
    ) -> None:
        self._any_of = _as_symbols(element, "element")
        self._all_of = _as_symbols(element_only, "element_only")
        self.are_asked = self._any_of is not None or self._all_of is not None

    def accept(self, species: Species | None) -> bool:
        """Whether a structure, or that there is none, is what was asked for."""
        if not self.are_asked:
            return True
        if species is None or species.elements is None:
            return False
        if self._any_of is not None and self._any_of.isdisjoint(species.elements):
            return False
        return self._all_of is None or self._all_of <= species.elements


class SpeciesReader:
    """Reads what structures are made of, and remembers it for a while.

    Args:
        session: Where to ask.
        mode: How formulas are written.
    """

    def __init__(self, session: Session, mode: FormulaMode) -> None:
        self._session = session
        self._mode = mode
        self._known: dict[int, Species] = {}

    async def read(self, structures: Iterable[int]) -> Mapping[int, Species]:
        """Pk to what the structure is made of, for those of some structures that exist.

        Others may be in it too. It holds until the next call.
        """
        if len(self._known) > _REMEMBERED:
            self._known.clear()
        asked = sorted(set(structures) - self._known.keys())
        for at in range(0, len(asked), CHUNK_SIZE):
            await self._ask(asked[at : at + CHUNK_SIZE])
        return self._known

    async def _ask(self, structures: list[int]) -> None:
        # Those made of the same are decoded once.
        alike: dict[tuple[str | None, str | None], Species] = {}
        rows = await QUERIES["structure_species"].fetch(self._session, structures)
        for number, (pk, kinds, kind_names) in enumerate(rows, start=1):
            if number % STEP == 0:
                await anyio.lowlevel.checkpoint()  # others on the loop get their turn
            key = (kinds, kind_names)
            if key not in alike:
                alike[key] = _read_species(kinds, kind_names, self._mode)
            self._known[pk] = alike[key]


def _read_species(kinds: str | None, kind_names: str | None, mode: FormulaMode) -> Species:
    items, problem = (None, None) if kinds is None else read_json(kinds)
    names, of_names = (None, None) if kind_names is None else read_json(kind_names)
    elements = None if items is None else frozenset(_first_symbols(items))
    formula = formula_of_kind_names(items, names, mode=mode)
    if formula != UNKNOWN_FORMULA:  # what cannot be read does not matter
        return Species(formula, elements)
    if problem is not None or of_names is not None:
        problem = f"the structure has JSON that {problem or of_names}"
    return Species(formula, elements, problem or _too_large_weight(items))


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
            raise InvalidTypeError(f"{quote(symbol)} is not the symbol of an element, such as 'Si'")
    return frozenset(found)
