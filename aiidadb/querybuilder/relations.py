"""How a new vertex is joined to an existing one, as data: by AiiDA's keywords."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from aiidadb.exceptions import InvalidInputError, InvalidTypeError
from aiidadb.messages import quote
from aiidadb.querybuilder.entities import LINK, MEMBERSHIP, WALK, Entity

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Direct", "Relation", "Through", "Walk", "keywords_of", "relation_of"]


@dataclass(frozen=True, slots=True)
class Direct:
    """One of both refers to the other.

    Attributes:
        joined: What is joined to.
        new_column: A column of what is joined.
        joined_column: The column of ``joined`` that it equals.
    """

    joined: str
    new_column: str
    joined_column: str

    @property
    def edge(self) -> Entity | None:
        """What the edge's tag stands for: nothing."""
        return None


@dataclass(frozen=True, slots=True)
class Through:
    """A table stands between both.

    Attributes:
        joined: What is joined to.
        edge: The table between.
        near: Its column for what is joined to.
        far: Its column for what is joined.
        keeps_unmatched: Whether an outer join keeps what has no row in the table between.
    """

    joined: str
    edge: Entity
    near: str
    far: str
    keeps_unmatched: bool = False


@dataclass(frozen=True, slots=True)
class Walk:
    """Any number of links lead from one to the other.

    Attributes:
        joined: What is joined to, where the walk starts.
        near: The column of links for where a step begins.
        far: The column of links for where it ends.
    """

    joined: str
    near: str
    far: str

    @property
    def edge(self) -> Entity:
        """What the edge's tag stands for: the way."""
        return WALK

    @property
    def is_downwards(self) -> bool:
        """Whether it leads from ancestors to descendants."""
        return self.near == "input_id"


Relation = Direct | Through | Walk

_RELATIONS: Final[Mapping[str, Mapping[str, Relation]]] = {
    "node": {
        "with_incoming": Through("node", LINK, "input_id", "output_id", keeps_unmatched=True),
        "with_outgoing": Through("node", LINK, "output_id", "input_id"),
        "with_ancestors": Walk("node", "input_id", "output_id"),
        "with_descendants": Walk("node", "output_id", "input_id"),
        "with_group": Through("group", MEMBERSHIP, "dbgroup_id", "dbnode_id"),
        "with_computer": Direct("computer", "dbcomputer_id", "id"),
        "with_user": Direct("user", "user_id", "id"),
        "with_comment": Direct("comment", "id", "dbnode_id"),
        "with_log": Direct("log", "id", "dbnode_id"),
    },
    "group": {
        "with_node": Through("node", MEMBERSHIP, "dbnode_id", "dbgroup_id"),
        "with_user": Direct("user", "user_id", "id"),
    },
    "computer": {"with_node": Direct("node", "id", "dbcomputer_id")},
    "user": {
        "with_node": Direct("node", "id", "user_id"),
        "with_group": Direct("group", "id", "user_id"),
        "with_comment": Direct("comment", "id", "user_id"),
        "with_authinfo": Direct("authinfo", "id", "aiidauser_id"),
    },
    "authinfo": {
        "with_user": Direct("user", "aiidauser_id", "id"),
        "with_computer": Direct("computer", "dbcomputer_id", "id"),
    },
    "comment": {
        "with_node": Direct("node", "dbnode_id", "id"),
        "with_user": Direct("user", "user_id", "id"),
    },
    "log": {"with_node": Direct("node", "dbnode_id", "id")},
    "link": {},
}


def keywords_of(entity: str) -> Mapping[str, Relation]:
    """The keywords with which a vertex of an entity can be joined, and what they mean."""
    return _RELATIONS[entity]


def relation_of(entity: str, keyword: str, joined: str) -> Relation:
    """What a keyword of a new vertex means.

    Args:
        entity: What is joined.
        keyword: How.
        joined: What it is joined to.

    Raises:
        InvalidInputError: The entity has no such keyword.
        InvalidTypeError: The keyword joins to something else.
    """
    known = _RELATIONS[entity]
    relation = known.get(keyword)
    if relation is None:
        raise InvalidInputError(
            f"{quote(keyword)} does not join a {entity}: use one of {', '.join(known) or 'none'}"
        )
    if relation.joined != joined:
        raise InvalidTypeError(
            f"{keyword} joins a {entity} to a {relation.joined}, not to a {joined}"
        )
    return relation
