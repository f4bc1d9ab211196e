"""Frozen objects that are made without their class's own ``__init__``."""

from __future__ import annotations

import copy
import dataclasses
import pickle

import pytest

from aiidadb import GroupRow, Link, NodeLink, ProcessRow, ProvenanceNode
from aiidadb.frozen_records import maker_of

pytestmark = pytest.mark.quick


@pytest.mark.parametrize("kind", [GroupRow, Link, NodeLink, ProcessRow, ProvenanceNode])
def test_they_are_those_of_the_class(kind: type) -> None:
    names = [one.name for one in dataclasses.fields(kind)]
    values = tuple(f"value of {name}" for name in names)
    made, usual = maker_of(kind)(*values), kind(*values)
    assert type(made) is kind
    assert made == usual
    assert hash(made) == hash(usual)
    assert repr(made) == repr(usual)
    assert copy.copy(made) == pickle.loads(pickle.dumps(made)) == made
    assert dataclasses.astuple(made) == values
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(made, names[0], "other")


@pytest.mark.parametrize("number", [5, 7])
def test_they_need_all_their_values(number: int) -> None:
    with pytest.raises(TypeError):
        maker_of(NodeLink)(*range(number))
