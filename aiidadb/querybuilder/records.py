"""What ``*`` projects: one frozen record per entity, and the page of a paged query."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from aiidadb.frozen_records import maker_of

if TYPE_CHECKING:
    import datetime
    from collections.abc import Callable, Mapping

    from aiidadb.jsonvalue import JsonValue

__all__ = [
    "RECORDS",
    "AuthInfo",
    "Comment",
    "Computer",
    "Group",
    "Link",
    "Log",
    "Node",
    "Page",
    "Record",
    "User",
]


@dataclass(frozen=True, slots=True)
class Node:
    """A node, as the database has it.

    What is None is null in the database, not there in its version, or, for times and JSON, cannot
    be held by Python.

    Attributes:
        pk: Its primary key.
        uuid: Its UUID, as text.
        node_type: Such as ``data.core.structure.StructureData.``, spelled as it is stored.
        process_type: Of processes, such as ``aiida.calculations:core.arithmetic.add``.
        label: Its label.
        description: Its description.
        ctime: When it was made, in UTC.
        mtime: When it was changed last, in UTC.
        attributes: Its attributes.
        extras: Its extras.
        repository_metadata: Its files; AiiDA 2.x alone has them in the database.
        user_pk: Whose it is.
        computer_pk: Where it was made, if on a computer.
    """

    pk: int
    uuid: str
    node_type: str
    process_type: str | None
    label: str
    description: str
    ctime: datetime.datetime | None
    mtime: datetime.datetime | None
    attributes: JsonValue
    extras: JsonValue
    repository_metadata: JsonValue
    user_pk: int
    computer_pk: int | None


@dataclass(frozen=True, slots=True)
class Group:
    """A group.

    Attributes:
        pk: Its primary key.
        uuid: Its UUID, as text.
        label: Its label.
        type_string: Such as ``core`` or ``core.upf``.
        time: When it was made, in UTC.
        description: Its description.
        extras: Its extras.
        user_pk: Whose it is.
    """

    pk: int
    uuid: str
    label: str
    type_string: str
    time: datetime.datetime | None
    description: str | None
    extras: JsonValue
    user_pk: int


@dataclass(frozen=True, slots=True)
class Computer:
    """A computer.

    Attributes:
        pk: Its primary key.
        uuid: Its UUID, as text.
        label: Its label, which AiiDA 1.x calls its name.
        hostname: Its host's name.
        description: Its description.
        scheduler_type: Such as ``core.slurm``, spelled as it is stored.
        transport_type: Such as ``core.ssh``, spelled as it is stored.
        metadata: Its metadata.
    """

    pk: int
    uuid: str
    label: str
    hostname: str
    description: str | None
    scheduler_type: str
    transport_type: str
    metadata: JsonValue


@dataclass(frozen=True, slots=True)
class User:
    """A user.

    Attributes:
        pk: The primary key.
        email: The address, which is unique.
        first_name: The first name.
        last_name: The last name.
        institution: The institution.
    """

    pk: int
    email: str
    first_name: str
    last_name: str
    institution: str


@dataclass(frozen=True, slots=True)
class AuthInfo:
    """How a user reaches a computer.

    Attributes:
        pk: Its primary key.
        user_pk: The user.
        computer_pk: The computer.
        metadata: Its metadata.
        auth_params: How the user logs in.
        enabled: Whether the user uses the computer.
    """

    pk: int
    user_pk: int
    computer_pk: int
    metadata: JsonValue
    auth_params: JsonValue
    enabled: bool


@dataclass(frozen=True, slots=True)
class Comment:
    """A comment on a node.

    Attributes:
        pk: Its primary key.
        uuid: Its UUID, as text.
        node_pk: The node.
        ctime: When it was written, in UTC.
        mtime: When it was changed last, in UTC.
        user_pk: Who wrote it.
        content: Its text.
    """

    pk: int
    uuid: str
    node_pk: int
    ctime: datetime.datetime | None
    mtime: datetime.datetime | None
    user_pk: int
    content: str | None


@dataclass(frozen=True, slots=True)
class Log:
    """What a process logged.

    Attributes:
        pk: Its primary key.
        uuid: Its UUID, as text.
        time: When it was logged, in UTC.
        loggername: By which logger.
        levelname: Such as ``ERROR``.
        node_pk: The process.
        message: What was logged.
        metadata: What was logged beside the message.
    """

    pk: int
    uuid: str
    time: datetime.datetime | None
    loggername: str
    levelname: str
    node_pk: int
    message: str
    metadata: JsonValue


@dataclass(frozen=True, slots=True)
class Link:
    """A link between two nodes.

    Attributes:
        pk: Its primary key.
        input_id: The pk of the node where it begins.
        output_id: The pk of the node where it ends.
        type: Such as ``create``.
        label: Its label.
    """

    pk: int
    input_id: int
    output_id: int
    type: str
    label: str


@dataclass(frozen=True, slots=True)
class Page:
    """Some rows of a query that is read page by page.

    Attributes:
        rows: As ``all()`` gives them.
        next: What to give as ``after`` for the page behind this one; None where there is none.
        total: How many rows there are on all pages together, where that was asked for.
    """

    rows: list[list[Any]]
    next: str | None
    total: int | None = None


@dataclass(frozen=True, slots=True)
class Record:
    """How an entity's record is made.

    Attributes:
        kind: The class.
        make: Makes one, of the values of these columns.
        columns: The entity's columns in the order of its arguments, the primary key first.
    """

    kind: type
    make: Callable[..., object]
    columns: tuple[str, ...]


def _record(kind: type, columns: str) -> Record:
    return Record(kind, maker_of(kind), tuple(columns.split()))


RECORDS: Final[Mapping[str, Record]] = {
    "node": _record(
        Node,
        "id uuid node_type process_type label description ctime mtime attributes extras "
        "repository_metadata user_id dbcomputer_id",
    ),
    "group": _record(Group, "id uuid label type_string time description extras user_id"),
    "computer": _record(
        Computer, "id uuid label hostname description scheduler_type transport_type metadata"
    ),
    "user": _record(User, "id email first_name last_name institution"),
    "authinfo": _record(AuthInfo, "id aiidauser_id dbcomputer_id metadata auth_params enabled"),
    "comment": _record(Comment, "id uuid dbnode_id ctime mtime user_id content"),
    "log": _record(Log, "id uuid time loggername levelname dbnode_id message metadata"),
    "link": _record(Link, "id input_id output_id type label"),
}
"""By the name of the entity."""
