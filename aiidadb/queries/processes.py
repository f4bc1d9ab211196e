"""Processes: which there are, in which states, and which have changed since a time."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from aiidadb.arguments import as_limit
from aiidadb.exceptions import InvalidInputError, InvalidTypeError
from aiidadb.frozen_records import maker_of
from aiidadb.messages import did_you_mean, quote
from aiidadb.migration.process_state_index import find_index
from aiidadb.queries.pk_bytes import pks_of_bytes
from aiidadb.sql import QUERIES
from aiidadb.turns import array_text, in_turn, made_of_rows

if TYPE_CHECKING:
    from collections.abc import Awaitable, Collection

    import asyncpg

    from aiidadb.connecting.sessions.session import Session

__all__ = ["PROCESS_STATES", "ProcessReader", "ProcessRow"]

PROCESS_STATES: Final = ("created", "running", "waiting", "finished", "excepted", "killed")
"""The states of AiiDA's processes: those of active ones, then those of terminated ones."""

_ACTIVE: Final = frozenset(PROCESS_STATES[:3])

_TRUSTED: Final = 900.0
"""Seconds for which a look at all processes is enough: it bounds how long a change can be missed
that is against AiiDA's rules, such as one that leaves ``mtime`` as it was."""

_LONGEST_OPEN: Final = datetime.timedelta(days=1)
"""For how long changes are looked for that a transaction may have made which is still open."""

_MOST_REMEMBERED: Final = 20_000
"""Active processes; of more, a look at each costs what a look at all does."""


@dataclass(frozen=True, slots=True)
class ProcessRow:
    """A process, as its node describes it.

    What AiiDA has not written yet is None; so is what is not of the type that AiiDA gives it, such
    as a state that is a number, and a time that Python cannot hold.

    Attributes:
        pk: The primary key of its node.
        uuid: The UUID of its node, as text; empty where it is null in the database.
        process_label: What it is called, such as ``PwCalculation``.
        process_type: Such as ``aiida.calculations:core.arithmetic.add``, spelled as it is stored.
        state: ``created``, ``running``, ``waiting``, ``finished``, ``excepted`` or ``killed``.
        status: What it is doing or waiting for, in words.
        exit_status: 0 where it finished well, another number where it did not.
        paused: Whether it is paused.
        sealed: Whether nothing of it can change any more.
        ctime: When its node was made, with time zone UTC.
        mtime: When its node was changed last, with time zone UTC.
    """

    pk: int
    uuid: str
    process_label: str | None
    process_type: str | None
    state: str | None
    status: str | None
    exit_status: int | None
    paused: bool
    sealed: bool
    ctime: datetime.datetime | None
    mtime: datetime.datetime | None


@dataclass(frozen=True, slots=True)
class _Mark:
    """When a look was.

    Attributes:
        highest: The highest pk that there was.
        changed_since: A time before it.
        oldest_open: The number of the oldest transaction that was open.
        next_to_begin: The number of the first one that began after it.
    """

    highest: int
    changed_since: datetime.datetime
    oldest_open: int
    next_to_begin: int


@dataclass(frozen=True, slots=True)
class _Look:
    """What a look at the active processes found, for the next one.

    Attributes:
        pks: Those that were active, as the text of an array.
        unseen_from: The mark from which on changes may not have been seen: that of a look before
            all transactions that were open at this one.
        waiting: The mark to take next, once the transactions that were open at it have ended.
        until: By the clock of the event loop, when all processes are looked at again.
    """

    pks: str
    unseen_from: _Mark
    waiting: _Mark
    until: float


def _marks_after(last: _Look | None, here: _Mark) -> tuple[_Mark, _Mark]:
    """The marks of a look: from which on changes may not have been seen, and the waiting one."""
    if last is None or here.oldest_open >= here.next_to_begin:
        return here, here
    if here.oldest_open >= last.waiting.next_to_begin:
        return last.waiting, here
    if here.changed_since - last.unseen_from.changed_since > _LONGEST_OPEN:
        return here, here
    return last.unseen_from, last.waiting


class ProcessReader:
    """Reads the processes of one database, and remembers which were active at the last look."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._last: _Look | None = None
        self._is_indexed = False
        self._index_known_until = 0.0  # by the clock of the event loop

    async def get_processes(
        self,
        *,
        states: Collection[str] | None = None,
        since: datetime.datetime | str | None = None,
        changed_after: datetime.datetime | str | None = None,
        limit: int | None = None,
    ) -> list[ProcessRow]:
        """See :meth:`aiidadb.queries.manager.QueryManager.get_processes`."""
        wanted = None if states is None else _as_states(states)
        earliest = None if since is None else _as_time(since, "since")
        after = None if changed_after is None else _as_time(changed_after, "changed_after")
        most = as_limit(limit)
        self._session.require_version()
        are_active = wanted is not None and _ACTIVE.issuperset(wanted)
        if after is not None:
            rows = await self._ask("changed_processes", wanted, earliest, after, most)
        elif are_active and await self._has_index():
            rows = await self._ask("processes", wanted, earliest, most, None)
        elif are_active and self._can_remember:
            rows = await self._ask("processes", wanted, earliest, most, await self._active())
        else:
            async with self._session.lane():  # all processes may have to be looked at
                rows = await self._ask("processes", wanted, earliest, most, None)
        return await in_turn(made_of_rows(maker_of(ProcessRow), rows))

    def _ask(self, name: str, *arguments: object) -> Awaitable[list[asyncpg.Record]]:
        # Each plan depends on which of the values are null, and on how far back the times are.
        return self._session.fetch_traversal(QUERIES[name], *arguments, replan=True)

    async def _has_index(self) -> bool:
        """Whether states are in an index, so that there is nothing to remember."""
        now = asyncio.get_running_loop().time()
        if now >= self._index_known_until:
            self._is_indexed = await find_index(self._session) is not None
            self._index_known_until = now + _TRUSTED
        return self._is_indexed

    @property
    def _can_remember(self) -> bool:
        """Whether what is seen is in the database for good, and changes are found by an index."""
        session = self._session
        return not session.in_transaction and session.require_version().line != "sqlalchemy"

    async def _active(self) -> str:
        """The active processes, as the text of an array."""
        now = asyncio.get_running_loop().time()
        last = self._last
        if last is not None and now < last.until:
            mark = last.unseen_from
            rows = await self._ask("active_processes", last.pks, mark.highest, mark.changed_since)
            until = last.until
        else:
            async with self._session.lane():
                rows = await self._ask("active_processes", None, None, None)
            until = now + _TRUSTED
        ((found, *mark_of_this),) = rows
        pks = pks_of_bytes(found)
        text = await in_turn(array_text(pks))
        if len(pks) <= _MOST_REMEMBERED:
            self._last = _Look(text, *_marks_after(last, _Mark(*mark_of_this)), until)
        else:
            self._last = None
        return text


def _as_states(states: Collection[str]) -> list[str]:
    if isinstance(states, str):
        raise InvalidTypeError(f"states must be a collection, such as ({quote(states)},)")
    if not isinstance(states, Iterable):
        raise InvalidTypeError(f"states must be a collection of states, not {quote(states)}")
    names = list(states)
    for name in names:
        if not isinstance(name, str):
            raise InvalidTypeError(f"{quote(name)} is not a state of processes: give its name")
        if name not in PROCESS_STATES:
            raise InvalidInputError(
                f"processes have no state {quote(name)}",
                advice=did_you_mean(name, PROCESS_STATES)
                or f"choose among {', '.join(PROCESS_STATES)}",
            )
    return sorted(set(names))


def _as_time(value: object, what: str) -> datetime.datetime:
    if isinstance(value, str):
        try:
            time = datetime.datetime.fromisoformat(value)
        except ValueError:
            raise InvalidInputError(f"{what} {quote(value)} is not a time in ISO 8601") from None
    elif isinstance(value, datetime.datetime):
        time = value
    else:
        raise InvalidTypeError(f"{what} must be a time with a time zone, not {quote(value)}")
    if time.utcoffset() is None:
        raise InvalidInputError(f"{what} {quote(value)} has no time zone: give it one")
    try:
        return time.astimezone(datetime.UTC)
    except OverflowError:  # in UTC it is in the year 0 or 10000
        end = datetime.datetime.min if time.year == 1 else datetime.datetime.max
        return end.replace(tzinfo=datetime.UTC)
