-- migration: django_0022
-- from: 1.0.21
-- to: 1.0.22
-- changes: The type strings of groups are renamed: empty to `user`, `data.upf.family` to
--     `data.upf`, `aiida.import` to `auto.import`, `autogroup.run` to `auto.run`.
-- why: A type string tells who made the group.
-- tables: db_dbgroup
-- rows: select count(*) from db_dbgroup
--     where type_string in ('', 'data.upf.family', 'aiida.import', 'autogroup.run')

do $$
begin
    update db_dbgroup
    set type_string = case type_string
        when '' then 'user'
        when 'data.upf.family' then 'data.upf'
        when 'aiida.import' then 'auto.import'
        when 'autogroup.run' then 'auto.run'
    end
    where type_string in ('', 'data.upf.family', 'aiida.import', 'autogroup.run');
exception
    when unique_violation then
        perform pg_temp.aiidadb_refuse(
            'db_dbgroup',
            1,
            'whose label is taken under its new type string: ' || sqlerrm,
            'Give one of the two groups another label, then migrate again.'
        );
end
$$;
