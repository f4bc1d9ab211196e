-- migration: sqlalchemy_11_59edaf8a8b79
-- from: a514d673c163
-- to: 59edaf8a8b79
-- changes: Adds an index on each column of db_dbgroup_dbnodes, and has its unique constraint begin
--     with the group. Of memberships that are there more than once the first stays; the others are
--     written to a file and removed.
-- why: The nodes of a group are queried more often than the groups of a node. In a database of
--     AiiDA 1.0.0a1, which came before 7a6587e16f4c, there is no such constraint so far, and
--     AiiDA's own step fails where a node is in a group twice.
-- tables: db_dbgroup_dbnodes

-- Nothing can come in between what is written and what is removed.
lock table db_dbgroup_dbnodes in access exclusive mode;

-- call: drop_doubled_memberships

select pg_temp.aiidadb_drop_unique('db_dbgroup_dbnodes', array['dbnode_id', 'dbgroup_id']);
select pg_temp.aiidadb_ensure_index(
    'db_dbgroup_dbnodes', array['dbnode_id'], 'db_dbgroup_dbnodes_dbnode_id_idx'
);
select pg_temp.aiidadb_ensure_index(
    'db_dbgroup_dbnodes', array['dbgroup_id'], 'db_dbgroup_dbnodes_dbgroup_id_idx'
);
select pg_temp.aiidadb_ensure_unique(
    'db_dbgroup_dbnodes',
    array['dbgroup_id', 'dbnode_id'],
    'db_dbgroup_dbnodes_dbgroup_id_dbnode_id_key'
);
