-- migration: django_0028
-- from: 1.0.27
-- to: 1.0.28
-- also: 61fc0913fae9
-- changes: Node types `node.data.X` become `data.X`, and `node.process.X` become `process.X`.
-- why: All classes of nodes live in one module now, so that its name adds nothing.
-- tables: db_dbnode
-- remakes: db_dbnode.type
-- rows: select count(*) from db_dbnode where type like 'node.data.%' or type like 'node.process.%'

-- sqlalchemy alone:
-- Attributes change and files are moved in the next steps; with Django 0037 comes before.
select pg_temp.aiidadb_leave_room('db_dbnode');

-- both lines:
-- The table is rewritten once instead of updated: all nodes change, and each would leave a dead
-- row behind and go into every index.
alter table db_dbnode
    alter column type type varchar(255) using case
        when type like 'node.data.%' or type like 'node.process.%'
            then substr(type, length('node.') + 1)
        else type
    end;

-- sqlalchemy alone:
select pg_temp.aiidadb_fill_up('db_dbnode');
