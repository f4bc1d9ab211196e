"""Primary keys as callers give them."""

from __future__ import annotations

import asyncio
from enum import Enum
from types import SimpleNamespace

import pytest

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
