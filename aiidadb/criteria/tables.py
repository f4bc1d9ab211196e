"""AiiDA's tables as pypika sees them.

Use :data:`nodes` in criteria for closest parents and in queries of your own::

    nodes.node_type.like("data.core.array.%")
    (nodes.label == "silicon") & (nodes.ctime > some_datetime)
"""

from __future__ import annotations

from typing import Final

from pypika import Table

__all__ = [
    "NODE_COLUMNS",
    "NODE_JSON_COLUMNS",
    "TABLE_NAMES",
    "group_nodes",
    "groups",
    "links",
    "nodes",
    "users",
]

nodes: Final = Table("db_dbnode")
"""The nodes, for criteria; the columns that every version served has are in ``NODE_COLUMNS``."""

links: Final = Table("db_dblink")
groups: Final = Table("db_dbgroup")
group_nodes: Final = Table("db_dbgroup_dbnodes")
users: Final = Table("db_dbuser")

NODE_COLUMNS: Final = frozenset(
    {
        "id", "uuid", "node_type", "process_type", "label", "description", "ctime", "mtime",
        "user_id", "dbcomputer_id", "attributes", "extras",
    }
)  # fmt: skip
"""The columns of a node that every version served has."""

NODE_JSON_COLUMNS: Final = frozenset({"attributes", "extras"})
"""Those of them that hold JSON objects, of which the keys can be asked for."""

TABLE_NAMES: Final = (
    "db_dbauthinfo",
    "db_dbcomment",
    "db_dbcomputer",
    "db_dbgroup",
    "db_dbgroup_dbnodes",
    "db_dblink",
    "db_dblog",
    "db_dbnode",
    "db_dbsetting",
    "db_dbuser",
)
"""AiiDA's own tables, the same in every version served."""
