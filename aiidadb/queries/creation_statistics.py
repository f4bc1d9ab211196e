"""When nodes were created, and of which types they are."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, TypedDict

from aiidadb.exceptions import InvalidInputError, InvalidTypeError
from aiidadb.messages import quote
from aiidadb.pks import as_single_pk
from aiidadb.sql import QUERIES

if TYPE_CHECKING:
    from aiidadb.connecting.sessions.session import Session
    from aiidadb.pks import HasPk

__all__ = ["CreationStatistics", "StatisticsReader"]


class CreationStatistics(TypedDict):
    """Numbers of nodes.

    Attributes:
        total: All of them.
        types: By node type.
        ctime_by_day: By the day of creation as ``YYYY-MM-DD``, ascending; days without a node are
            absent. Times that Python cannot hold have days as well: ``-infinity``,
            ``0044-03-15 BC``, ``12026-01-01``, ``infinity``.
    """

    total: int
    types: dict[str, int]
    ctime_by_day: dict[str, int]


class StatisticsReader:
    """Reads the statistics of one database, and remembers which time zones its server knows."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._zones: dict[str, str] = {}

    async def get_creation_statistics(
        self, user_pk: int | HasPk | None, timezone: str | None
    ) -> CreationStatistics:
        """See :meth:`aiidadb.queries.manager.QueryManager.get_creation_statistics`."""
        user = None if user_pk is None else as_single_pk(user_pk, "user_pk")
        zone = None if timezone is None else await self._zone(timezone)
        async with self._session.lane():
            basis = await QUERIES["creation_statistics_basis"].fetchrow(self._session)
            assert basis is not None
            row = await QUERIES["creation_statistics"].fetchrow(
                self._session,
                user,
                zone or basis["timezone"],
                user is None and basis["by_index"],
            )
        assert row is not None
        return CreationStatistics(
            total=row["total"], types=row["types"], ctime_by_day=row["ctime_by_day"]
        )

    async def _zone(self, name: str) -> str:
        """The server's own spelling of a time zone.

        Looked up instead of tried, because an error would spoil a transaction, and because the
        server accepts almost any letters and number as a zone of an invented name.
        """
        if not isinstance(name, str):
            raise InvalidTypeError(f"timezone must be the name of a time zone, not {quote(name)}")
        if name == "UTC":
            return name
        if not self._zones:
            rows = await QUERIES["time_zones"].fetch(self._session)
            self._zones = {row["name"].lower(): row["name"] for row in rows}
        if (known := self._zones.get(name.lower())) is not None:
            return known
        similar = difflib.get_close_matches(name, self._zones.values(), n=3)
        advice = (
            f"did you mean {' or '.join(similar)}?"
            if similar
            else "give a name such as Europe/Zurich"
        )
        raise InvalidInputError(f"the server does not know the time zone {quote(name)}: {advice}")
