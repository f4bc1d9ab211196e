"""Which kinds of nodes there are, and how many of each."""

from __future__ import annotations

from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING

from aiidadb.pks import as_single_pk
from aiidadb.sql import QUERIES

if TYPE_CHECKING:
    from aiidadb.connecting.sessions.session import Session
    from aiidadb.pks import HasPk

__all__ = ["FullType", "get_full_types"]


@dataclass(frozen=True, slots=True)
class FullType:
    """A kind of nodes.

    Attributes:
        node_type: Their type, spelled as it is stored.
        process_type: Of processes, such as ``aiida.calculations:core.arithmetic.add``; empty for
            data, and where it is null or empty in the database, which AiiDA treats as the same.
        count: How many nodes there are of the kind.
    """

    node_type: str
    process_type: str
    count: int

    @property
    def full_type(self) -> str:
        """Both types in one text, as AiiDA's REST API has it: ``data.core.int.Int.|``."""
        return f"{self.node_type}|{self.process_type}"


async def get_full_types(session: Session, user_pk: int | HasPk | None) -> list[FullType]:
    """See :meth:`aiidadb.queries.manager.QueryManager.get_full_types`."""
    user = None if user_pk is None else as_single_pk(user_pk, "user_pk")
    async with session.lane():
        if user is None:
            rows = await QUERIES["full_types"].fetch(session)
        else:
            rows = await QUERIES["full_types_of_user"].fetch(session, user)
    # Not sorted by the server, whose order of texts depends on the database's locale.
    found = [FullType(*row) for row in rows]
    return sorted(found, key=attrgetter("node_type", "process_type"))
