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
-- As the step before.
select pg_temp.aiidadb_leave_room('db_dbnode');

-- both lines:
-- Where a quarter of the nodes change or more, the table is rewritten instead of updated: each of
-- them would leave a dead row behind and go into every index.
do $$
begin
    if (
        select count(*) filter (where type = 'data.parameter.ParameterData.') * 4 < count(*)
        from db_dbnode
    ) then
        update db_dbnode
        set type = 'data.dict.Dict.'
        where type = 'data.parameter.ParameterData.';
    else
        alter table db_dbnode
            alter column type type varchar(255) using case type
                when 'data.parameter.ParameterData.' then 'data.dict.Dict.'
                else type
            end;
    end if;
end
$$;

-- sqlalchemy alone:
select pg_temp.aiidadb_fill_up('db_dbnode');
