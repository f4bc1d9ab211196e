"""Formulas are aiida-core's, in every mode, and do not take its time."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiidadb.exceptions import InvalidInputError
from aiidadb.queries.formula import (
    FORMULA_MODES,
    UNKNOWN_FORMULA,
    FormulaMode,
    formula_of_kind_names,
    formula_of_symbols,
    get_formula,
    kind_symbol,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from aiida.storage.psql_dos.backend import PsqlDosBackend

PEROVSKITES = ["Ba", "Ti", "O", "O", "O"] * 2 + ["Ba", "Ti", "Ti", "O", "O", "O"]


def kind(name: str, *symbols: str, weights: Sequence[float] = (1.0,)) -> dict[str, object]:
    return {"name": name, "symbols": list(symbols), "weights": list(weights), "mass": 1.0}


def sites(*names: str) -> list[dict[str, object]]:
    return [{"kind_name": name, "position": [0.0, 0.0, 0.0]} for name in names]


def aiidas_formula(symbols: Sequence[str], mode: str, separator: str = "") -> str:
    from aiida.orm.nodes.data.structure import get_formula as peer

    return str(peer(list(symbols), mode=mode, separator=separator))


@pytest.mark.quick
@pytest.mark.parametrize(
    ("mode", "formula"),
    [
        ("hill", "Ba3O9Ti4"),
        ("hill_compact", "Ba3O9Ti4"),
        ("count", "Ba3Ti4O9"),
        ("count_compact", "Ba3Ti4O9"),
        ("reduce", "BaTiO3BaTiO3BaTi2O3"),
        ("group", "(BaTiO3)2BaTi2O3"),
    ],
)
def test_each_mode_writes_the_formula_in_its_way(mode: FormulaMode, formula: str) -> None:
    assert formula_of_symbols(PEROVSKITES, mode=mode) == formula


@pytest.mark.parametrize(
    ("symbols", "mode", "formula"),
    [
        ("H C H H H", "hill", "CH4"),
        ("S O O H O H O", "hill", "H2O4S"),
        ("N H H H", "hill", "H3N"),  # no carbon: hydrogen has no place of its own
        ("O C O", "hill", "CO2"),
        ("{C0.50Si0.50} H O", "hill", "HO{C0.50Si0.50}"),  # an alloy of carbon is no carbon
        ("Ba Ti O O O Ba Ti O O O", "hill_compact", "BaO3Ti"),
        ("Ba Ti O O O Ba Ti O O O", "count_compact", "BaTiO3"),
        ("A B A B C A B A B C", "group", "((AB)2C)2"),
        # Folds leave two equal parts side by side, which then count as one.
        (
            " ".join("CDCDABABCABABCABABCABABCDABCD"),
            "group",
            "(CD)2(((AB)2C)2)2DABCD",
        ),
    ],
)
def test_formulas_known_by_heart(
    symbols: str, mode: FormulaMode, formula: str, aiida_home: Path
) -> None:
    assert formula_of_symbols(symbols.split(), mode=mode) == formula
    assert aiidas_formula(symbols.split(), mode) == formula


@pytest.mark.quick
@pytest.mark.parametrize("mode", FORMULA_MODES)
def test_no_sites_give_an_empty_formula(mode: FormulaMode) -> None:
    assert get_formula([kind("O", "O")], [], mode=mode) == ""
    assert get_formula([], [], mode=mode) == ""


@pytest.mark.parametrize(
    ("symbols", "weights", "symbol"),
    [
        (["O"], [1.0], "O"),
        (["O"], [1], "O"),
        (["O"], [0.9999999], "{O1.00}"),
        (["Ti"], [0.9], "{Ti0.90X0.10}"),
        (["Fe", "Co"], [0.5, 0.5], "{Co0.50Fe0.50}"),
        (["Fe", "Co"], [0.5, 0.499995], "{Co0.50Fe0.50X0.00}"),
        (["Fe", "Co"], [0.5, 0.4999995], "{Co0.50Fe0.50}"),
        (["Y"], [0.25], "{X0.75Y0.25}"),
        (["Ba", "Ca"], [0.0, 1.0], "{Ba0.00Ca1.00}"),
        (["O"], [0.0], "{O0.00X1.00}"),
    ],
)
def test_symbol_of_a_kind(
    symbols: list[str], weights: list[float], symbol: str, aiida_home: Path
) -> None:
    from aiida.orm.nodes.data.structure import get_symbols_string

    assert kind_symbol(kind("K", *symbols, weights=weights)) == symbol
    assert get_symbols_string(symbols, weights) == symbol


@pytest.mark.parametrize(
    "broken",
    [
        {},
        {"symbols": ["O"]},
        {"symbols": None, "weights": None},
        {"symbols": [], "weights": []},
        {"symbols": "O", "weights": [1.0]},
        {"symbols": ["O"], "weights": ["1.0"]},
        {"symbols": ["O"], "weights": [0.5, 0.5]},
        {"symbols": [8], "weights": [1.0]},
    ],
)
def test_a_kind_without_symbols_and_weights_is_refused(broken: dict[str, object]) -> None:
    with pytest.raises(InvalidInputError, match="kind 'K'"):
        kind_symbol({"name": "K", **broken})
    assert get_formula([{"name": "K", **broken}], sites("K")) == UNKNOWN_FORMULA


@pytest.mark.quick
@pytest.mark.parametrize(
    ("kinds", "where"),
    [
        (None, sites("O")),
        ([kind("O", "O")], None),
        (None, None),
        ([kind("O", "O")], sites("O", "N")),
        ([], sites("O")),
        ([kind("O", "O")], [{"position": [0, 0, 0]}]),
        ([kind("O", "O")], [{"kind_name": None}]),
        ([kind("O", "O")], [None]),
        ({"name": "O"}, sites("O")),
        ([kind("O", "O")], "O"),
        ([None], sites("O")),
    ],
)
def test_what_cannot_be_known_is_unknown(kinds: object, where: object) -> None:
    assert get_formula(kinds, where) == UNKNOWN_FORMULA


def test_a_broken_kind_that_no_site_names_does_not_matter() -> None:
    assert get_formula([kind("O", "O"), {"name": "K"}, None], sites("O", "O")) == "O2"


def test_the_last_of_two_kinds_of_one_name_counts() -> None:
    assert get_formula([kind("M", "Fe"), kind("M", "Co")], sites("M")) == "Co"


def test_names_of_kinds_are_all_that_a_formula_needs_of_sites() -> None:
    kinds = [kind("Fe1", "Fe"), kind("Fe2", "Fe", weights=[0.5]), kind("O", "O")]
    names = ["Fe1", "Fe2", "O", "O"]
    assert formula_of_kind_names(kinds, names) == get_formula(kinds, sites(*names))
    assert formula_of_kind_names(kinds, names) == "FeO2{Fe0.50X0.50}"
    assert formula_of_kind_names(kinds, [*names, None]) == UNKNOWN_FORMULA


@pytest.mark.parametrize("mode", ["Hill", "", None, "hill,count", 3])
def test_a_wrong_mode_is_refused_and_the_right_ones_are_named(mode: FormulaMode) -> None:
    with pytest.raises(InvalidInputError, match="hill, hill_compact, reduce, group, count, count_"):
        get_formula(None, None, mode=mode)


def test_modes_are_all_of_the_type() -> None:
    assert get_args(FormulaMode) == FORMULA_MODES


# Sequences with repeats inside repeats, where the folding of the mode group has something to do.
SEQUENCES = st.recursive(
    st.lists(st.sampled_from(["C", "H", "O", "Ba", "{C0.50X0.50}"]), min_size=1, max_size=3),
    lambda inner: st.lists(
        st.tuples(inner, st.integers(1, 3)).map(lambda part: part[0] * part[1]),
        min_size=1,
        max_size=3,
    ).map(lambda parts: [symbol for part in parts for symbol in part]),
    max_leaves=6,
).map(lambda symbols: symbols[:60])


@given(symbols=SEQUENCES, separator=st.sampled_from(["", "-"]))
def test_every_mode_equals_aiida_core(aiida_home: Path, symbols: list[str], separator: str) -> None:
    for mode in FORMULA_MODES:
        formula = formula_of_symbols(symbols, mode=mode, separator=separator)
        assert formula == aiidas_formula(symbols, mode, separator), mode


WEIGHTS = st.one_of(
    st.floats(0, 1),
    st.sampled_from([0.0, 0.5, 1.0, 1 - 1e-6, 1 - 9e-7, 1 - 1.1e-6, 0.005, 0.015, 0.995]),
)


@given(
    parts=st.lists(
        st.tuples(st.sampled_from(["Fe", "Co", "C", "Y", "Zn", "X"]), WEIGHTS),
        min_size=1,
        max_size=4,
    )
)
def test_symbols_of_alloys_and_vacancies_equal_aiida_core(
    aiida_home: Path, parts: list[tuple[str, float]]
) -> None:
    from aiida.orm.nodes.data.structure import get_symbols_string

    symbols, weights = [part[0] for part in parts], [part[1] for part in parts]
    assert kind_symbol(kind("K", *symbols, weights=weights)) == get_symbols_string(symbols, weights)


async def test_a_structure_that_aiida_core_stored_has_its_formula(
    aiida_backend: PsqlDosBackend,
) -> None:
    from aiida import orm

    structure = orm.StructureData(
        cell=[[4, 0, 0], [0, 4, 0], [0, 0, 4]],
        backend=aiida_backend,
        user=aiida_backend.default_user,
    )
    for place, (symbols, weights) in enumerate(
        [(["Ba"], [1.0]), (["Ti"], [0.9]), (["Fe", "Co"], [0.5, 0.3]), (["O"], [1.0]), ("C", None)]
        * 2
    ):
        structure.append_atom(position=(place, 0, 0), symbols=symbols, weights=weights)
    attributes = structure.store().base.attributes
    for mode in FORMULA_MODES:
        formula = get_formula(attributes.get("kinds"), attributes.get("sites"), mode=mode)
        assert formula == structure.get_formula(mode), mode
    aiida_backend.get_session().close()  # which the backend leaves to the garbage collector


def _without_repeats(length: int) -> list[str]:
    """A sequence over three letters in which nothing stands twice in a row, by Thue."""
    word = "a"
    while len(word) < length:
        word = "".join({"a": "abc", "b": "ac", "c": "b"}[letter] for letter in word)
    return list(word[:length])


@pytest.mark.quick
@pytest.mark.parametrize(
    ("symbols", "formula"),
    [
        pytest.param(_without_repeats(10_000), "".join(_without_repeats(10_000)), id="no repeat"),
        pytest.param(
            [str(place) for place in range(5_000)] * 2,
            f"({''.join(map(str, range(5_000)))})2",
            id="one large repeat",
        ),
        pytest.param(
            [*(PEROVSKITES * 700)[:9_999], "C"],
            "((BaTiO3)2BaTi2O3)624(BaTiO3)2BaTi2O2C",
            id="supercell with a defect",
        ),
    ],
)
def test_groups_of_ten_thousand_sites_are_found(symbols: list[str], formula: str) -> None:
    # What takes the cube of the number of sites would run into the time limit of all tests.
    assert formula_of_symbols(symbols, mode="group") == formula
