-- migration: sqlalchemy_06_7a6587e16f4c
-- from: 35d4ee9a1b0e
-- to: 7a6587e16f4c
-- changes: A node is in a group once: db_dbgroup_dbnodes is unique by dbnode_id and dbgroup_id. Of
--     memberships that are there more than once the first stays; the others are written to a file
--     and removed.
-- why: AiiDA to 0.12.2 could put a node into a group twice. AiiDA's own step fails where one is.
-- tables: db_dbgroup_dbnodes

-- Nothing can come in between what is written and what is removed.
lock table db_dbgroup_dbnodes in access exclusive mode;

-- call: drop_doubled_memberships

select pg_temp.aiidadb_ensure_unique(
    'db_dbgroup_dbnodes', array['dbnode_id', 'dbgroup_id'], 'uix_dbnode_id_dbgroup_id'
);
