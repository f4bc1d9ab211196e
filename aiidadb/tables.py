"""AiiDA's tables, for criteria and queries of your own that pypika builds.

=================  ======================  =====================================================
name               table                   columns
=================  ======================  =====================================================
``nodes``          ``db_dbnode``           ``id``, ``uuid``, ``node_type``, ``process_type``,
                                           ``label``, ``description``, ``ctime``, ``mtime``,
                                           ``user_id``, ``dbcomputer_id``, ``attributes``,
                                           ``extras``; from AiiDA 2.0 on ``repository_metadata``
``links``          ``db_dblink``           ``id``, ``input_id``, ``output_id``, ``label``,
                                           ``type``
``groups``         ``db_dbgroup``          ``id``, ``uuid``, ``label``, ``type_string``, ``time``,
                                           ``description``, ``extras``, ``user_id``
``group_nodes``    ``db_dbgroup_dbnodes``  ``id``, ``dbnode_id``, ``dbgroup_id``
``users``          ``db_dbuser``           ``id``, ``email``, ``first_name``, ``last_name``,
                                           ``institution``
``computers``      ``db_dbcomputer``       ``id``, ``uuid``, ``label`` (before AiiDA 2.0
                                           ``name``), ``hostname``, ``description``,
                                           ``scheduler_type``, ``transport_type``, ``metadata``
``authinfos``      ``db_dbauthinfo``       ``id``, ``aiidauser_id``, ``dbcomputer_id``,
                                           ``metadata``, ``auth_params``, ``enabled``
``comments``       ``db_dbcomment``        ``id``, ``uuid``, ``dbnode_id``, ``user_id``,
                                           ``ctime``, ``mtime``, ``content``
``logs``           ``db_dblog``            ``id``, ``uuid``, ``dbnode_id``, ``time``,
                                           ``loggername``, ``levelname``, ``message``,
                                           ``metadata``
``settings``       ``db_dbsetting``        ``id``, ``key``, ``val``, ``description``, ``time``
=================  ======================  =====================================================

They are the same in every version that is served, except as the table says::

    from aiidadb.tables import links, nodes

    created = Query.from_(links).select(links.output_id).where(links.type == "create")
    query = Query.from_(nodes).select(nodes.id, nodes.label).where(nodes.id.isin(created))
    rows = await backend.queries.fetch(query)
"""

from __future__ import annotations

from aiidadb.criteria.tables import (
    authinfos,
    comments,
    computers,
    group_nodes,
    groups,
    links,
    logs,
    nodes,
    settings,
    users,
)

__all__ = [
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
