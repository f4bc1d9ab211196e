-- migration: django_0029
-- from: 1.0.28
-- to: 1.0.29
-- also: d254fdfed416
-- changes: Nodes of type `data.parameter.ParameterData.` become `data.dict.Dict.`.
-- why: The class was renamed.
-- tables: db_dbnode
-- remakes: db_dbnode.type
-- rows: select count(*) from db_dbnode where type = 'data.parameter.ParameterData.'

-- sqlalchemy alone:
-- Attributes change and files are moved in the next steps; with Django 0037 comes before.
select pg_temp.aiidadb_leave_room('db_dbnode');

-- both lines:
-- The table is rewritten once instead of updated: each calculation has several of them, and each
-- would leave a dead row behind and go into every index.
alter table db_dbnode
    alter column type type varchar(255) using case type
        when 'data.parameter.ParameterData.' then 'data.dict.Dict.'
        else type
    end;

-- sqlalchemy alone:
select pg_temp.aiidadb_fill_up('db_dbnode');
