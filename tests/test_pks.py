"""Primary keys as callers give them."""

from __future__ import annotations

import asyncio
from enum import Enum
from types import SimpleNamespace

import numpy as np
import pytest

from aiidadb.exceptions import InvalidInputError, InvalidTypeError
from aiidadb.pks import as_many_pks, as_node_pks, as_pk, as_pks, as_single_pk
from aiidadb.turns import array_text, in_turn

pytestmark = pytest.mark.quick


class Shared(int, Enum):
    """Nodes that a script names; as texts, they are these names."""

    PW = 12
    FAMILY = 7


def test_members_of_an_enumeration_are_their_numbers():
    async def texts() -> list[str]:
        given = [*Shared], Shared.PW, SimpleNamespace(pk=Shared.PW), (one for one in Shared)
        read = [pks for some in given[:3] for pks in (await as_many_pks(some), as_pks(some))]
        read += [await as_node_pks(given[3]), [as_pk(Shared.PW)], [as_single_pk(Shared.PW, "user")]]
        return [await in_turn(array_text(pks)) for pks in read]

    one, both = "{12}", "{7,12}"
    assert asyncio.run(texts()) == [both, both, one, one, one, one, both, one, one]


@pytest.mark.parametrize(
    ("given", "pks"),
    [
        (np.int64(5), [5]),
        (np.array([7, 5, 7]), [5, 7]),
        ([np.int32(7), np.uint8(5), 6], [5, 6, 7]),
        (SimpleNamespace(pk=5), [5]),
    ],
    ids=repr,
)
def test_integers_of_numpy_are_pks(given, pks):
    assert as_pks(given) == pks
    assert asyncio.run(as_many_pks(given)) == pks
    assert all(type(pk) is int for pk in as_pks(given))
    if len(pks) == 1:
        assert as_single_pk(given, "user") == 5


@pytest.mark.parametrize(
    "given",
    [
        np.float64(5),
        np.bool_(True),
        np.array([5.0]),
        np.array([[5], [6]]),
        np.array(["5"]),
        np.array(5),
        True,
    ],
    ids=repr,
)
def test_what_else_numpy_has_is_not(given):
    with pytest.raises(InvalidTypeError):
        as_pks(given)
    with pytest.raises(InvalidInputError, match="64 bits"):
        as_pks(np.uint64(2**63))
