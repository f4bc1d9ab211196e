"""Groups: which there are, and how many nodes each has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from aiidadb.arguments import as_limit
from aiidadb.exceptions import InvalidTypeError
from aiidadb.frozen_records import maker_of
from aiidadb.messages import quote
from aiidadb.sql import QUERIES
from aiidadb.text import require_text
from aiidadb.turns import in_turn, made_of_rows

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiidadb.connecting.sessions.session import Session

__all__ = ["GroupRow", "get_groups"]

# What steps 0022 and 0044 of AiiDA's migrations renamed, old to new.
_RENAMED: Final[Mapping[str, str]] = {
    "user": "core",
    "data.upf.family": "core.upf",
    "data.upf": "core.upf",
    "aiida.import": "core.import",
    "auto.import": "core.import",
    "autogroup.run": "core.auto",
    "auto.run": "core.auto",
}


@dataclass(frozen=True, slots=True)
class GroupRow:
    """A group, and how large it is.

    What is null in the database is an empty text, but for the user.

    Attributes:
        pk: Its primary key.
        uuid: Its UUID, as text.
        label: Its label.
        type_string: Such as ``core`` or ``core.upf``.
        user_pk: Whose it is. In the sqlalchemy line it may be missing.
        size: How many nodes are in it.
    """

    pk: int
    uuid: str
    label: str
    type_string: str
    user_pk: int | None
    size: int


async def get_groups(
    session: Session,
    *,
    type_string: str | None = None,
    label_contains: str | None = None,
    limit: int | None = None,
) -> list[GroupRow]:
    """See :meth:`aiidadb.queries.manager.QueryManager.get_groups`."""
    types = None if type_string is None else _spellings(_as_text(type_string, "type_string"))
    part = None if label_contains is None else _as_text(label_contains, "label_contains")
    most = as_limit(limit)
    session.require_version()
    async with session.lane():  # members are counted one by one
        rows = await QUERIES["groups"].fetch(session, types, part, most)
    return await in_turn(made_of_rows(maker_of(GroupRow), rows))


def _spellings(type_string: str) -> list[str]:
    """A type as it was given, and as databases have it that went through AiiDA's migrations."""
    return sorted({type_string, _RENAMED.get(type_string, type_string)})


def _as_text(value: object, what: str) -> str:
    if not isinstance(value, str):
        raise InvalidTypeError(f"{what} must be a string, not {quote(value)}")
    return require_text(value, what, quoted=True)
