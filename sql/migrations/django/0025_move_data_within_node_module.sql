-- migration: django_0025
-- from: 1.0.24
-- to: 1.0.25
-- also: 6a5c2ea1439d
-- changes: Node types `data.X` become `node.data.X`.
-- why: The classes moved to a module of that name in AiiDA's source, for as long as it took to
--     write 0028.
-- tables: db_dbnode
-- remakes: db_dbnode.type
-- rows: select count(*) from db_dbnode where type like 'data.%'

-- The table is rewritten once instead of updated: most nodes are data, and each would leave a
-- dead row behind and go into every index.
alter table db_dbnode
    alter column type type varchar(255) using case
        when type like 'data.%' then 'node.' || type
        else type
    end;
