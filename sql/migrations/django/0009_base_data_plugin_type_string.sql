-- migration: django_0009
-- from: 1.0.8
-- to: 1.0.9
-- also: 0aebbeab274d
-- changes: Nodes of type `data.base.X.` become `data.x.X.` for X of Bool, Float, Int, Str and List.
-- why: The classes moved in AiiDA's source, and the type of a node is where its class lives.
-- tables: db_dbnode
-- rows: select count(*) from db_dbnode
--     where type in (
--         'data.base.Bool.', 'data.base.Float.', 'data.base.Int.', 'data.base.Str.',
--         'data.base.List.'
--     )

update db_dbnode
set
    type = case type
        when 'data.base.Bool.' then 'data.bool.Bool.'
        when 'data.base.Float.' then 'data.float.Float.'
        when 'data.base.Int.' then 'data.int.Int.'
        when 'data.base.Str.' then 'data.str.Str.'
        when 'data.base.List.' then 'data.list.List.'
    end
where
    type in (
        'data.base.Bool.', 'data.base.Float.', 'data.base.Int.', 'data.base.Str.', 'data.base.List.'
    );
