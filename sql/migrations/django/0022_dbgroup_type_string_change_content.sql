-- migration: django_0022
-- from: 1.0.21
-- to: 1.0.22
-- also: e72ad251bcdb
-- changes: The type strings of groups are renamed: empty to `user`, `data.upf.family` to
--     `data.upf`, `aiida.import` to `auto.import`, `autogroup.run` to `auto.run`.
-- why: A type string says who made the group. Where two groups would get one label and
--     one type string, the step is refused, as AiiDA's own fails.
-- tables: db_dbgroup
-- rows: select count(*) from db_dbgroup
--     where type_string in ('', 'data.upf.family', 'aiida.import', 'autogroup.run')

create temporary table aiidadb_type_string (old text primary key, new text not null) on commit drop;

insert into aiidadb_type_string (old, new)
values
    ('', 'user'),
    ('data.upf.family', 'data.upf'),
    ('aiida.import', 'auto.import'),
    ('autogroup.run', 'auto.run');

select
    pg_temp.aiidadb_refuse(
        'db_dbgroup',
        count(*),
        format('whose label is taken under the new type string, such as "%s"', min(renamed.label)),
        'Give one of the two groups another label, then migrate again.'
    )
from db_dbgroup as renamed
inner join aiidadb_type_string as type_string on type_string.old = renamed.type_string
inner join db_dbgroup as taken
    on taken.label = renamed.label
    and taken.type_string = type_string.new;

update db_dbgroup as renamed
set type_string = type_string.new
from aiidadb_type_string as type_string
where type_string.old = renamed.type_string;
