-- migration: django_0039
-- from: 1.0.38
-- to: 1.0.39
-- also: 5d4d844852b6, e797afa09270
-- changes: The extra `_aiida_hash` is removed from every node that has it.
-- why: AiiDA 1.0 computes the hash of a node, by which its cache finds equal ones, in another way.
--     `verdi rehash` recomputes them. AiiDA rewrites every node; here the others are left alone.
-- tables: db_dbnode
-- rows: select count(*) from db_dbnode where extras ? '_aiida_hash'

-- Where most nodes have it, to rewrite the table takes a quarter of the time of an update, which
-- puts each of them into every index; but it copies what is stored out of line too, attributes of
-- more than 2 kB, which an update leaves where they are.
do $$
begin
    if (
        select
            pg_relation_size(node.reltoastrelid) > pg_relation_size(node.oid)
            or (
                select count(*) filter (where extras ? '_aiida_hash') * 2 < count(*)
                from db_dbnode
            )
        from pg_catalog.pg_class as node
        where node.oid = 'db_dbnode'::regclass
    ) then
        raise feature_not_supported;
    end if;
    alter table db_dbnode
        alter column extras type jsonb using case
            when extras ? '_aiida_hash' then extras - '_aiida_hash'
            else extras
        end;
exception
    -- Also where a view depends on the column, which is then no reason to fail.
    when feature_not_supported then
        update db_dbnode
        set extras = extras - '_aiida_hash'
        where extras ? '_aiida_hash';
end
$$;
