"""Chemical formulas, as AiiDA writes them, from the attributes of a structure.

A structure keeps its species in the attribute ``kinds`` and its atoms in ``sites``::

    kinds: [{"name": "Fe1", "symbols": ["Fe", "Co"], "weights": [0.5, 0.4], "mass": 55.8}, …]
    sites: [{"kind_name": "Fe1", "position": [0.0, 0.0, 0.0]}, …]

A formula needs the kinds and, in the order of the sites, the names of their kinds: positions and
masses can stay in the database. :func:`get_formula` takes the attributes as they are,
:func:`formula_of_kind_names` takes what a query that leaves the positions behind brings.

Source: aiida-core, ``aiida.orm.nodes.data.structure`` (``get_formula``, ``get_symbols_string``)
and ``aiida.orm.nodes.data.array.bands`` (``<<UNKNOWN>>``). The tests compare with it.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import groupby, pairwise
from math import gcd
from typing import TYPE_CHECKING, Literal, TypeAlias, TypeGuard, get_args

from aiidadb.exceptions import InvalidInputError, InvalidTypeError
from aiidadb.messages import quote

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "FORMULA_MODES",
    "UNKNOWN_FORMULA",
    "FormulaMode",
    "check_formula_mode",
    "formula_of_kind_names",
    "formula_of_symbols",
    "get_formula",
    "kind_symbol",
]

FormulaMode: TypeAlias = Literal[
    "hill", "hill_compact", "reduce", "group", "count", "count_compact"
]
"""How a formula is written, see :func:`formula_of_symbols`."""

FORMULA_MODES: tuple[FormulaMode, ...] = get_args(FormulaMode)

UNKNOWN_FORMULA = "<<UNKNOWN>>"
"""What stands for a formula where kinds or sites are missing, or a site names an unknown kind."""

VACANCY_THRESHOLD = 1.0e-6
"""A kind has vacancies where its weights lack at least this much of 1."""

# How many times a symbol, or a sequence of such parts, stands there: (3, "O") is O3, and
# (2, ((1, "Ba"), (3, "O"))) is (BaO3)2.
_Part: TypeAlias = tuple[int, "str | tuple[_Part, ...]"]


def get_formula(
    kinds: object, sites: object, *, mode: FormulaMode = "hill", separator: str = ""
) -> str:
    """Write the formula of a structure from its attributes.

    Args:
        kinds: The attribute ``kinds``: a list of objects with ``name``, ``symbols``, ``weights``.
        sites: The attribute ``sites``: a list of objects with ``kind_name``.
        mode: How to write it, see :func:`formula_of_symbols`.
        separator: What stands between the parts.

    Returns:
        The formula; ``''`` where there are no sites; ``'<<UNKNOWN>>'`` where an attribute is null
        or not of the shape above, or a site names no kind of the list.

    Raises:
        InvalidInputError: There is no such mode.
    """
    names: list[object] | None = None
    if _is_list(sites):
        names = [site.get("kind_name") if isinstance(site, Mapping) else None for site in sites]
    return formula_of_kind_names(kinds, names, mode=mode, separator=separator)


def formula_of_kind_names(
    kinds: object, kind_names: object, *, mode: FormulaMode = "hill", separator: str = ""
) -> str:
    """Write the formula of a structure from its kinds and the kind of each site.

    Args:
        kinds: The attribute ``kinds``: a list of objects with ``name``, ``symbols``, ``weights``.
            Of several kinds of one name the last counts, as in AiiDA.
        kind_names: One name per site, in the order of the sites; None where a site has no name. (In
            SQL the path ``$.sites[*].kind_name`` silently skips such a site.)
        mode: How to write it, see :func:`formula_of_symbols`.
        separator: What stands between the parts.

    Returns:
        As :func:`get_formula`.

    Raises:
        InvalidInputError: There is no such mode.
    """
    check_formula_mode(mode)
    if not isinstance(separator, str):
        raise InvalidTypeError(f"separator must be a string, not {quote(separator)}")
    if not _is_list(kinds) or not _is_list(kind_names):
        return UNKNOWN_FORMULA
    symbol_of: dict[str, str] = {}
    for kind in kinds:
        if isinstance(kind, Mapping) and isinstance(name := kind.get("name"), str):
            try:
                symbol_of[name] = kind_symbol(kind)
            except InvalidInputError:
                # Whether this matters depends on the sites: one that names it finds nothing.
                symbol_of.pop(name, None)
    symbols: list[str] = []
    for name in kind_names:
        symbol = symbol_of.get(name) if isinstance(name, str) else None
        if symbol is None:
            return UNKNOWN_FORMULA
        symbols.append(symbol)
    return formula_of_symbols(symbols, mode=mode, separator=separator)


def kind_symbol(kind: Mapping[str, object]) -> str:
    """Give the text that stands for a kind in formulas.

    Args:
        kind: One item of the attribute ``kinds``, of which ``symbols`` and ``weights`` are read.

    Returns:
        The bare symbol of a kind with one symbol of weight exactly 1, as ``O``. Else its symbols
        with their weights to two decimals, sorted, and ``X`` with what is vacant, in braces, as
        ``{Ti0.90X0.10}``. Rounding can make both look odd: ``{O1.00}``, ``{Co0.50Fe0.50X0.00}``.

    Raises:
        InvalidInputError: Symbols or weights are missing or not of their types.
    """
    symbols, weights = kind.get("symbols"), kind.get("weights")
    if (
        not _is_list(symbols)
        or not _is_list(weights)
        or not symbols
        or len(symbols) != len(weights)
        or not all(isinstance(symbol, str) for symbol in symbols)
    ):
        raise InvalidInputError(
            f"kind {quote(kind.get('name'))} has no symbols with a weight for each:"
            f" symbols {quote(symbols)}, weights {quote(weights)}"
        )
    numbers = [
        float(weight)
        for weight in weights
        if isinstance(weight, int | float) and abs(weight) <= sys.float_info.max
    ]
    if len(numbers) != len(weights):
        raise InvalidInputError(f"kind {quote(kind.get('name'))} has weights that are not numbers")
    if len(symbols) == 1 and numbers[0] == 1.0:
        return str(symbols[0])
    parts = [f"{symbol}{weight:.2f}" for symbol, weight in zip(symbols, numbers, strict=True)]
    vacant = 1.0 - sum(numbers)
    if vacant >= VACANCY_THRESHOLD:
        parts.append(f"X{vacant:.2f}")
    return "{" + "".join(sorted(parts)) + "}"


def formula_of_symbols(
    symbols: Iterable[str], *, mode: FormulaMode = "hill", separator: str = ""
) -> str:
    """Write a formula from the symbols of the sites.

    Args:
        symbols: One symbol per site, in the order of the sites, as :func:`kind_symbol` gives them.
        mode: How to write it. For the sites Ba Ti O O O Ba Ti O O O Ba Ti Ti O O O::

                hill           Ba3O9Ti4            carbon first, then hydrogen, if there is carbon;
                                                   the others by alphabet
                hill_compact   Ba3O9Ti4            the same, divided by the common divisor
                count          Ba3Ti4O9            in the order of first appearance
                count_compact  Ba3Ti4O9            the same, divided by the common divisor
                reduce         BaTiO3BaTiO3BaTi2O3 equal neighbours are counted
                group          (BaTiO3)2BaTi2O3    and repeated sequences as well
        separator: What stands between the parts.

    Returns:
        The formula; ``''`` where there are no symbols (in some modes aiida-core raises).

    Raises:
        InvalidInputError: There is no such mode.
    """
    check_formula_mode(mode)
    parts: list[_Part]
    if mode in ("reduce", "group"):
        parts = _merge_neighbours(symbols)
        if mode == "group":
            parts = _fold_repeats(parts)
    else:
        counts = Counter(symbols)  # keeps the order of first appearance
        order = list(counts)
        if mode.startswith("hill"):
            first = {"C": "0", "H": "1"} if "C" in counts else {}
            order.sort(key=lambda symbol: first.get(symbol, symbol))
        divisor = gcd(*counts.values()) if mode.endswith("_compact") else 1
        parts = [(counts[symbol] // divisor, symbol) for symbol in order]
    return _text(parts, separator)


def check_formula_mode(mode: object) -> None:
    """Refuse an unknown mode.

    Args:
        mode: What the caller gave.

    Raises:
        InvalidInputError: There is no such mode; the message names those that there are.
    """
    if not isinstance(mode, str) or mode not in FORMULA_MODES:
        raise (InvalidInputError if isinstance(mode, str) else InvalidTypeError)(
            f"there is no formula mode {quote(mode)}: use one of {', '.join(FORMULA_MODES)}"
        )


def _is_list(value: object) -> TypeGuard[Sequence[object]]:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def _text(parts: Iterable[_Part], separator: str) -> str:
    texts: list[str] = []
    for count, content in parts:
        times = "" if count == 1 else str(count)
        if isinstance(content, str):
            texts.append(f"{content}{times}")
        else:
            texts.append(f"({_text(content, separator)}){times}")
    return separator.join(texts)


def _merge_neighbours(symbols: Iterable[str]) -> list[_Part]:
    return [(sum(1 for _ in same), symbol) for symbol, same in groupby(symbols)]


# The mode group. AiiDA cuts the parts into chunks, for sizes from 2 to half of their number and
# for offsets below the size, stops at the first size and offset where neighbouring chunks are
# equal, counts these as one part, and starts again, until none are. Trying every size and offset
# is cubic. Here a size costs as many looks as it has multiples: of two equal chunks that are
# neighbours the first covers some multiple of their size, wherever it begins, and the part there
# is equal to the part one size on.


def _fold_repeats(parts: list[_Part]) -> list[_Part]:
    while found := _first_repeat(parts):
        parts = _fold(parts, *found)
    return parts


def _first_repeat(parts: list[_Part]) -> tuple[int, int] | None:
    """Find the least size, and for it the least offset, at which neighbouring chunks are equal."""
    # Parts before the offset are chunks of one part; earlier folds can have left equal ones.
    twins = next((place for place, pair in enumerate(pairwise(parts)) if pair[0] == pair[1]), None)
    for size in range(2, len(parts) // 2 + 1):
        offset = _first_offset(parts, size)
        if twins is not None:
            offset = min(offset, twins + 2)
        if offset < size:
            return size, offset
    return None


def _first_offset(parts: list[_Part], size: int) -> int:
    """Find the least offset at which neighbouring chunks of a size are equal, else the size."""
    first = size
    for place in range(0, len(parts) - size, size):
        if parts[place] != parts[place + size]:
            continue
        after = 1
        while (
            after < size
            and place + size + after < len(parts)
            and parts[place + after] == parts[place + size + after]
        ):
            after += 1
        if after == size:
            return 0
        before = 0
        while (
            before < min(size - 1, place)
            and parts[place - before - 1] == parts[place + size - before - 1]
        ):
            before += 1
        if before + after >= size:
            first = min(first, size - before)
    return first


def _fold(parts: list[_Part], size: int, offset: int) -> list[_Part]:
    chunks: list[tuple[_Part, ...]] = [(part,) for part in parts[:offset]]
    chunks += [tuple(parts[place : place + size]) for place in range(offset, len(parts), size)]
    folded: list[_Part] = []
    for chunk, equal in groupby(chunks):
        count = sum(1 for _ in equal)
        if count == 1:
            folded.extend(chunk)
        else:
            folded.append((count, chunk))
    return folded
