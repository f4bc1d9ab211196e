"""Edits of many nodes, each in one statement: all that was asked for, or nothing."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, TypeVar

from aiidadb.connecting.uninterrupted import in_thread
from aiidadb.exceptions import (
    CorruptStorage,
    InvalidInputError,
    InvalidTypeError,
    MultipleObjectsError,
    NotExistent,
)
from aiidadb.jsonvalue import encode_json, is_small
from aiidadb.messages import list_first, quote
from aiidadb.pks import as_many_pks, as_pk
from aiidadb.queries.processes import ProcessRow
from aiidadb.querybuilder.records import RECORDS, Group
from aiidadb.sql import QUERIES
from aiidadb.text import require_text
from aiidadb.turns import STEP, array_text, in_turn, text_array_text

if TYPE_CHECKING:
    from collections.abc import Callable

    import asyncpg

    from aiidadb.connecting.sessions.session import Session
    from aiidadb.jsonvalue import JsonValue
    from aiidadb.pks import HasPk, Pks
    from aiidadb.sql import Query
    from aiidadb.turns import Steps

__all__ = [
    "add_to_group",
    "remove_from_group",
    "set_descriptions",
    "set_labels",
    "update_extras",
]

S = TypeVar("S")
T = TypeVar("T")

_LONGEST_LABEL: Final = 255
_NOT_GROUPS: Final = frozenset(
    {*(record.kind.__name__ for record in RECORDS.values()), ProcessRow.__name__}
) - {Group.__name__}
"""What is called so, in AiiDA or here, has a pk that says nothing of groups."""
_ENCODED_IN_ONE_STEP: Final = 32


async def set_labels(session: Session, mapping: Mapping[int, str]) -> int:
    """See :meth:`aiidadb.queries.manager.QueryManager.set_labels`."""
    given = await in_turn(_read(mapping, "labels", _as_label))
    return await _set(session, QUERIES["set_node_texts"], given, True)


async def set_descriptions(session: Session, mapping: Mapping[int, str]) -> int:
    """See :meth:`aiidadb.queries.manager.QueryManager.set_descriptions`."""
    given = await in_turn(_read(mapping, "descriptions", _as_description))
    return await _set(session, QUERIES["set_node_texts"], given, False)


async def update_extras(session: Session, mapping: Mapping[int, Mapping[str, JsonValue]]) -> int:
    """See :meth:`aiidadb.queries.manager.QueryManager.update_extras`."""
    given = await in_turn(_read(mapping, "extras", _as_extras))
    texts, large = await in_turn(_encode_small(given))
    for pk in large:  # in a thread, others on the event loop get their turn
        texts[pk] = await in_thread(_encoded, pk, given[pk])
    return await _set(session, QUERIES["update_node_extras"], texts)


def _encode_small(
    given: Mapping[int, dict[str, JsonValue]],
) -> Steps[tuple[dict[int, str], list[int]]]:
    """The JSON text of what does not take long to encode, in the order given; and the others.

    These have an empty text until they are encoded.
    """
    texts: dict[int, str] = {}
    large: list[int] = []
    for count, (pk, extras) in enumerate(given.items(), start=1):
        is_large = not is_small(extras)
        texts[pk] = "" if is_large else _encoded(pk, extras)
        if is_large:
            large.append(pk)
        if count % _ENCODED_IN_ONE_STEP == 0:
            yield
    return texts, large


def _encoded(pk: int, extras: dict[str, JsonValue]) -> str:
    try:
        return encode_json(extras)
    except InvalidInputError as error:
        raise type(error)(f"the extras of the node {pk}: {error}") from None


async def add_to_group(session: Session, group: int | HasPk | uuid.UUID | str, pks: Pks) -> int:
    """See :meth:`aiidadb.queries.manager.QueryManager.add_to_group`."""
    return await _change_members(session, QUERIES["add_to_group"], group, pks)


async def remove_from_group(
    session: Session, group: int | HasPk | uuid.UUID | str, pks: Pks
) -> int:
    """See :meth:`aiidadb.queries.manager.QueryManager.remove_from_group`."""
    return await _change_members(session, QUERIES["remove_from_group"], group, pks)


async def _set(session: Session, query: Query, given: Mapping[int, str], *further: object) -> int:
    """Give each node its text; ``further`` are more parameters of the query."""
    session.require_version()
    if not given:
        return 0
    pks = await in_turn(array_text(list(given)))
    texts = await in_turn(text_array_text(list(given.values())))
    async with session.lane(starts=len(given)):
        (row,) = await session.write(query, pks, texts, *further)
    _require_all_nodes(row)
    if row.get("odd"):
        raise CorruptStorage(
            f"the extras of the nodes {list_first(row['first_odd'], row['odd'])} are not a JSON "
            "object: nothing was changed"
        )
    return len(given)


async def _change_members(
    session: Session, query: Query, group: int | HasPk | uuid.UUID | str, pks: Pks
) -> int:
    meant = _as_group(group)
    asked = await as_many_pks(pks)
    text = await in_turn(array_text(asked))
    session.require_version()
    async with session.lane(starts=len(asked)):
        (row,) = await session.write(query, *meant, text)
    if row["groups"] == 0:
        raise NotExistent(
            f"there is no group {quote(group)}: nothing was changed",
            advice="give a UUID as uuid.UUID: a text is a label" if _is_uuid(group) else None,
        )
    if row["groups"] > 1:
        raise MultipleObjectsError(
            f"{row['groups']} groups of different types have the label {quote(group)}: nothing was "
            "changed",
            advice="give the pk or the UUID of the group",
        )
    _require_all_nodes(row)
    changed: int = row["changed"]
    return changed


def _require_all_nodes(row: asyncpg.Record) -> None:
    if row["missing"]:
        there = "is no node" if row["missing"] == 1 else "are no nodes"
        raise NotExistent(
            f"nothing was changed: there {there} {list_first(row['first_missing'], row['missing'])}"
        )


def _as_group(
    group: int | HasPk | uuid.UUID | str,
) -> tuple[int | None, uuid.UUID | None, str | None]:
    """A group by its pk, its UUID or its label; the others are None."""
    if isinstance(group, uuid.UUID):
        return None, group, None
    if isinstance(group, str):
        return None, None, require_text(group, "the group's label", quoted=True)
    if _NOT_GROUPS.intersection(base.__name__ for base in type(group).__mro__):
        raise InvalidTypeError(f"{quote(group)} is not a group")
    return as_pk(group), None, None


def _is_uuid(group: object) -> bool:
    if not isinstance(group, str):
        return False
    try:
        uuid.UUID(group)
    except ValueError:
        return False
    return True


def _read(mapping: Mapping[int, S], what: str, check: Callable[[int, S], T]) -> Steps[dict[int, T]]:
    """What a mapping gives each node, checked."""
    if not isinstance(mapping, Mapping):
        raise InvalidTypeError(f"mapping must map pks to {what}, not {quote(mapping)}")
    given: dict[int, T] = {}
    for count, (key, value) in enumerate(tuple(mapping.items()), start=1):
        pk = as_pk(key)
        if pk in given:
            raise InvalidInputError(f"mapping has more than one value for the node {pk}")
        given[pk] = check(pk, value)
        if count % STEP == 0:
            yield
    return given


def _as_label(pk: int, value: str) -> str:
    label = _as_text(value, f"the label of the node {pk}")
    if len(label) > _LONGEST_LABEL:
        raise InvalidInputError(
            f"the label of the node {pk} has {len(label):,} characters: labels have at most "
            f"{_LONGEST_LABEL}"
        )
    return label


def _as_description(pk: int, value: str) -> str:
    return _as_text(value, f"the description of the node {pk}")


def _as_text(value: object, what: str) -> str:
    if not isinstance(value, str):
        raise InvalidTypeError(f"{what} must be a string, not {quote(value)}")
    return require_text(value, what)


def _as_extras(pk: int, value: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    if not isinstance(value, Mapping):
        raise InvalidTypeError(
            f"the extras of the node {pk} must be a dictionary, not {quote(value)}"
        )
    extras = dict(value)
    for key in extras:
        # AiiDA's rule. What else a key may not be is found when it is encoded.
        if isinstance(key, str) and (not key or "." in key):
            raise InvalidInputError(
                f"{quote(key)} cannot be a key of extras of the node {pk}: AiiDA refuses the empty "
                "one, and those with a '.'"
            )
    return extras
