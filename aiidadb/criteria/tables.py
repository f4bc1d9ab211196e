"""AiiDA's tables as pypika sees them, and what kind of values each column holds.

Use :data:`nodes` in criteria for closest parents and in queries of your own::

    nodes.node_type.like("data.core.array.%")
    (nodes.label == "silicon") & (nodes.ctime > some_datetime)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from pypika import Table

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "COLUMN_KINDS",
    "NODE_COLUMNS",
    "NODE_JSON_COLUMNS",
    "TABLE_NAMES",
    "Kind",
    "authinfos",
    "comments",
    "computers",
    "group_nodes",
    "groups",
    "links",
    "logs",
    "nodes",
    "settings",
    "users",
]

nodes: Final = Table("db_dbnode")
"""The nodes, for criteria; the columns that every version served has are in ``NODE_COLUMNS``."""

links: Final = Table("db_dblink")
"""The links, from node ``input_id`` to node ``output_id``; ``type`` is such as ``create``."""

groups: Final = Table("db_dbgroup")
"""The groups; what kind one is, is in ``type_string``."""

group_nodes: Final = Table("db_dbgroup_dbnodes")
"""Which node ``dbnode_id`` is in which group ``dbgroup_id``."""

users: Final = Table("db_dbuser")
"""The users, by ``email``."""

computers: Final = Table("db_dbcomputer")
"""The computers; what is ``label`` from AiiDA 2.0 on is ``name`` before."""

authinfos: Final = Table("db_dbauthinfo")
"""How a user, ``aiidauser_id``, reaches a computer, ``dbcomputer_id``."""

comments: Final = Table("db_dbcomment")
"""What users, ``user_id``, wrote about nodes, ``dbnode_id``."""

logs: Final = Table("db_dblog")
"""What processes, ``dbnode_id``, logged."""

settings: Final = Table("db_dbsetting")
"""AiiDA's settings, by ``key``; the value is ``val``."""

Kind = Literal["flag", "integer", "JSON", "text", "time", "UUID"]
"""What kind of values a column holds."""

COLUMN_KINDS: Final[Mapping[str, Mapping[str, Kind]]] = {
    "db_dbauthinfo": {
        "id": "integer", "aiidauser_id": "integer", "dbcomputer_id": "integer",
        "metadata": "JSON", "auth_params": "JSON", "enabled": "flag",
    },
    "db_dbcomment": {
        "id": "integer", "uuid": "UUID", "dbnode_id": "integer", "user_id": "integer",
        "ctime": "time", "mtime": "time", "content": "text",
    },
    "db_dbcomputer": {
        "id": "integer", "uuid": "UUID", "name": "text", "label": "text", "hostname": "text",
        "description": "text", "scheduler_type": "text", "transport_type": "text",
        "metadata": "JSON",
    },
    "db_dbgroup": {
        "id": "integer", "uuid": "UUID", "label": "text", "type_string": "text", "time": "time",
        "description": "text", "extras": "JSON", "user_id": "integer",
    },
    "db_dbgroup_dbnodes": {"id": "integer", "dbnode_id": "integer", "dbgroup_id": "integer"},
    "db_dblink": {
        "id": "integer", "input_id": "integer", "output_id": "integer", "label": "text",
        "type": "text",
    },
    "db_dblog": {
        "id": "integer", "uuid": "UUID", "dbnode_id": "integer", "time": "time",
        "loggername": "text", "levelname": "text", "message": "text", "metadata": "JSON",
    },
    "db_dbnode": {
        "id": "integer", "uuid": "UUID", "node_type": "text", "process_type": "text",
        "label": "text", "description": "text", "ctime": "time", "mtime": "time",
        "user_id": "integer", "dbcomputer_id": "integer", "attributes": "JSON", "extras": "JSON",
        "repository_metadata": "JSON",
    },
    "db_dbsetting": {
        "id": "integer", "key": "text", "val": "JSON", "description": "text", "time": "time",
    },
    "db_dbuser": {
        "id": "integer", "email": "text", "first_name": "text", "last_name": "text",
        "institution": "text",
    },
}  # fmt: skip
"""The columns of AiiDA's own tables in the versions served; two of them only some versions have.

``repository_metadata`` of nodes is there from AiiDA 2.0 on, and then computers have a ``label`` in
place of a ``name``.
"""

NODE_COLUMNS: Final = frozenset(COLUMN_KINDS["db_dbnode"]) - {"repository_metadata"}
"""The columns of a node that every version served has."""

NODE_JSON_COLUMNS: Final = frozenset({"attributes", "extras"})
"""Those of them that hold JSON objects, of which the keys can be asked for."""

TABLE_NAMES: Final = tuple(sorted(COLUMN_KINDS))
"""AiiDA's own tables, the same in every version served."""
