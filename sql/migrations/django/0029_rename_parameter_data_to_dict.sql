-- migration: django_0029
-- from: 1.0.28
-- to: 1.0.29
-- changes: Nodes of type `data.parameter.ParameterData.` become `data.dict.Dict.`.
-- why: The class was renamed.
-- tables: db_dbnode
-- rows: select count(*) from db_dbnode where type = 'data.parameter.ParameterData.'

update db_dbnode
set type = 'data.dict.Dict.'
where type = 'data.parameter.ParameterData.';
