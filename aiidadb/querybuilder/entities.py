"""What can be asked for: entities of AiiDA and edges between them, with their tables and columns.

Every identifier that a compiled statement holds comes from here or from ``relations``, none from a
caller.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Final, Literal

from aiidadb.criteria.node_types import spelling_of
from aiidadb.criteria.tables import COLUMN_KINDS
from aiidadb.exceptions import InvalidInputError
from aiidadb.messages import did_you_mean, quote

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiidadb.criteria.tables import Kind
    from aiidadb.version.schema_version import SchemaVersion

__all__ = [
    "ENTITIES",
    "LINK",
    "MEMBERSHIP",
    "WALK",
    "Column",
    "ColumnKind",
    "Entity",
    "EntityName",
    "columns_of",
]

EntityName = Literal["node", "group", "computer", "user", "authinfo", "comment", "log", "link"]
"""What AiiDA calls ``orm_base``."""

ColumnKind = Literal["flag", "integer", "JSON", "text", "time", "UUID", "integers"]
"""What a column holds; ``integers`` is an array."""

_KEYED: Final = frozenset({"attributes", "extras"})
"""JSON columns that AiiDA treats as JSON even where no key in them is named."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of an entity.

    Attributes:
        name: As AiiDA's dictionaries have it.
        kind: What it holds.
    """

    name: str
    kind: ColumnKind

    @property
    def is_keyed(self) -> bool:
        """Whether it is compared as JSON even where no key in it is named."""
        return self.name in _KEYED


@dataclass(frozen=True)
class Entity:
    """A kind of vertex or edge.

    Attributes:
        name: What it is called in messages; that of a vertex is its ``orm_base``.
        table: Its table; of recursions, which have none, it is empty.
        columns: By AiiDA's name, in the order of ``**``.
        synonyms: Further names of columns.
        hidden: Columns that can be asked for by name, but do not belong to ``**``.
    """

    name: str
    table: str
    columns: Mapping[str, Column]
    synonyms: Mapping[str, str] = field(default_factory=dict)
    hidden: Mapping[str, Column] = field(default_factory=dict)

    def column(self, name: str) -> Column:
        """The column of a name or synonym.

        Raises:
            InvalidInputError: There is none.
        """
        real = self.synonyms.get(name, name)
        found = self.columns.get(real) or self.hidden.get(real)
        if found is None:
            names = [*self.columns, *self.synonyms]
            hint = did_you_mean(name, names) or f"there are {', '.join(names)}"
            raise InvalidInputError(f"{self.spoken} has no column {quote(name)}: {hint}")
        return found

    @property
    def spoken(self) -> str:
        """What it is called in the middle of a sentence."""
        if " " in self.name:
            return self.name
        return f"an {self.name}" if self.name == "authinfo" else f"a {self.name}"


@lru_cache(maxsize=64)
def columns_of(table: str, version: SchemaVersion) -> Mapping[str, str | None]:
    """What the columns of a table are called in databases of a version; None: there is none.

    Args:
        table: One of AiiDA's.
        version: Of the database.
    """
    spelled = spelling_of(version).columns
    names: dict[str, str | None] = {
        name: spelled.get((table, name), name) for name in COLUMN_KINDS[table]
    }
    if version.line != "main" and "repository_metadata" in names:
        names["repository_metadata"] = None
    return names


def _entity(name: str, table: str, columns: str, **synonyms: str) -> Entity:
    kinds: Mapping[str, Kind] = COLUMN_KINDS[table]
    return Entity(
        name,
        table,
        {one: Column(one, kinds[one]) for one in columns.split()},
        synonyms,
        {"name": Column("name", "text")} if name == "computer" else {},
    )


LINK: Final = _entity("link", "db_dblink", "id input_id output_id label type")

MEMBERSHIP: Final = _entity(
    "the membership of a group", "db_dbgroup_dbnodes", "id dbnode_id dbgroup_id"
)

WALK: Final = Entity(
    "the way between ancestor and descendant",
    "",
    {
        "ancestor_id": Column("ancestor_id", "integer"),
        "descendant_id": Column("descendant_id", "integer"),
        "depth": Column("depth", "integer"),
    },
    hidden={"path": Column("path", "integers")},
)

ENTITIES: Final[Mapping[str, Entity]] = {
    "node": _entity(
        "node",
        "db_dbnode",
        "id uuid node_type process_type label description ctime mtime attributes extras "
        "repository_metadata dbcomputer_id user_id",
        pk="id",
        computer="dbcomputer_id",
        user="user_id",
    ),
    "group": _entity(
        "group",
        "db_dbgroup",
        "id uuid label type_string time description extras user_id",
        pk="id",
        user="user_id",
    ),
    "computer": _entity(
        "computer",
        "db_dbcomputer",
        "id uuid label hostname description scheduler_type transport_type metadata",
        pk="id",
        _metadata="metadata",
    ),
    "user": _entity("user", "db_dbuser", "id email first_name last_name institution", pk="id"),
    "authinfo": _entity(
        "authinfo",
        "db_dbauthinfo",
        "id aiidauser_id dbcomputer_id metadata auth_params enabled",
        pk="id",
        user="aiidauser_id",
        computer="dbcomputer_id",
        _metadata="metadata",
    ),
    "comment": _entity(
        "comment",
        "db_dbcomment",
        "id uuid dbnode_id ctime mtime user_id content",
        pk="id",
        user="user_id",
        node="dbnode_id",
    ),
    "log": _entity(
        "log",
        "db_dblog",
        "id uuid time loggername levelname dbnode_id message metadata",
        pk="id",
        node="dbnode_id",
        _metadata="metadata",
    ),
    "link": LINK,
}
"""By ``orm_base``."""
