"""The crystals of generated databases."""

import pytest

from aiidadb.demo.compounds import COMPOUNDS

pytestmark = pytest.mark.quick


def test_compounds_have_alloys_and_vacancies():
    weights = [[weight for _, weight in kind] for compound in COMPOUNDS for kind in compound.kinds]
    assert any(len(kind) > 1 and sum(kind) == 1 for kind in weights)
    assert any(sum(kind) < 1 for kind in weights)
    assert len({compound.name for compound in COMPOUNDS}) == len(COMPOUNDS) >= 30
