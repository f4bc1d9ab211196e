"""Which kinds of nodes there are, and how many."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from aiidadb import FullType
from aiidadb.criteria.node_types import translate_node_type
from aiidadb.exceptions import InvalidInputError, InvalidTypeError
from tests.helpers.graphs import CALCULATION, INT, STRUCTURE, Node, write_nodes, write_users

if TYPE_CHECKING:
    from aiida.storage.psql_dos.backend import PsqlDosBackend

    import aiidadb

JOB = "aiida.calculations:core.arithmetic.add"


async def test_full_types_are_those_of_aiida(
    aiida_world: PsqlDosBackend, world: aiidadb.Backend
) -> None:
    from aiida import orm
    from aiida.restapi.common.identifiers import construct_full_type

    users = orm.QueryBuilder(backend=aiida_world).append(orm.User, project="id").all(flat=True)
    for user in (None, *users):
        query = orm.QueryBuilder(backend=aiida_world)
        filters = {} if user is None else {"user_id": user}
        query.append(orm.Node, filters=filters, project=["node_type", "process_type"])
        theirs = Counter(construct_full_type(*row) for row in query.all())
        ours = await world.queries.get_full_types(user)
        assert {one.full_type: one.count for one in ours} == theirs
        assert len(ours) == len(theirs)


@pytest.mark.quick
async def test_each_kind_is_counted_once_in_one_order(backend: aiidadb.Backend) -> None:
    session, line = backend._session, backend.version.line  # type: ignore[union-attr]
    ask = backend.queries.get_full_types
    assert await ask() == []
    await write_users(session, "ada@epfl.ch", "emmy@example.org")
    made = [
        Node(1, INT),
        Node(2, INT, user=2, process_type=""),  # the same as null
        Node(3, CALCULATION, process_type=JOB),
        Node(4, CALCULATION),
        Node(5, STRUCTURE),
        Node(6, "Data.upper."),
    ]
    await write_nodes(session, made, line=line)

    def spelled(node_type: str) -> str:
        return translate_node_type(node_type, core_prefix=line == "main")

    assert await ask() == [
        FullType("Data.upper.", "", 1),
        FullType(spelled(INT), "", 2),
        FullType(spelled(STRUCTURE), "", 1),
        FullType(CALCULATION, "", 1),
        FullType(CALCULATION, JOB, 1),
    ]
    assert await ask(2) == [FullType(spelled(INT), "", 1)]
    assert await ask(99) == []
    assert FullType(CALCULATION, JOB, 1).full_type == f"{CALCULATION}|{JOB}"
    with pytest.raises(InvalidInputError, match="user_pk must be one pk"):
        await ask([1, 2])  # type: ignore[arg-type]
    for wrong in ("1", 1.5):
        with pytest.raises(InvalidTypeError, match="user_pk must be one pk"):
            await ask(wrong)  # type: ignore[arg-type]
