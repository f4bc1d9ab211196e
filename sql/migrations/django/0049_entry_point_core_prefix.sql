-- migration: django_0049
-- from: 1.0.48
-- to: 1.0.49
-- also: 34a831f4286d
-- changes: Entry points of aiida-core get the prefix `core.` where the database names them: types
--     of data nodes, types and parsers of processes, schedulers and transports of computers.
-- why: AiiDA 2.0 gave its own plugins that prefix so that no other package's can clash with them.
--     Types that come from elsewhere stay. AiiDA changes `parser_name` on any node, which alters
--     what a user stored in a Dict under that key; here on processes only, whose parser it names.
-- tables: db_dbnode, db_dbcomputer
-- rows: select (
--         select count(*) from db_dbnode
--         where node_type in (
--             'data.array.ArrayData.', 'data.array.bands.BandsData.',
--             'data.array.kpoints.KpointsData.', 'data.array.projection.ProjectionData.',
--             'data.array.trajectory.TrajectoryData.', 'data.array.xy.XyData.',
--             'data.base.BaseData.', 'data.bool.Bool.', 'data.cif.CifData.', 'data.code.Code.',
--             'data.dict.Dict.', 'data.float.Float.', 'data.folder.FolderData.', 'data.int.Int.',
--             'data.list.List.', 'data.numeric.NumericData.', 'data.orbital.OrbitalData.',
--             'data.remote.RemoteData.', 'data.remote.stash.RemoteStashData.',
--             'data.remote.stash.folder.RemoteStashFolderData.', 'data.singlefile.SinglefileData.',
--             'data.str.Str.', 'data.structure.StructureData.', 'data.upf.UpfData.'
--         )
--         or process_type in (
--             'aiida.calculations:arithmetic.add', 'aiida.calculations:templatereplacer',
--             'aiida.workflows:arithmetic.add_multiply', 'aiida.workflows:arithmetic.multiply_add'
--         )
--         or (
--             node_type like 'process.%'
--             and attributes ->> 'parser_name' in ('arithmetic.add', 'templatereplacer.doubler')
--         )
--     ) + (
--         select count(*) from db_dbcomputer
--         where scheduler_type in ('direct', 'lsf', 'pbspro', 'sge', 'slurm', 'torque')
--         or transport_type in ('local', 'ssh')
--     )

create or replace function pg_temp.aiidadb_core_type(node_type text) returns text
language sql immutable as $$
    select case
        when node_type in (
            'data.array.ArrayData.', 'data.array.bands.BandsData.',
            'data.array.kpoints.KpointsData.', 'data.array.projection.ProjectionData.',
            'data.array.trajectory.TrajectoryData.', 'data.array.xy.XyData.',
            'data.base.BaseData.', 'data.bool.Bool.', 'data.cif.CifData.', 'data.code.Code.',
            'data.dict.Dict.', 'data.float.Float.', 'data.folder.FolderData.', 'data.int.Int.',
            'data.list.List.', 'data.numeric.NumericData.', 'data.orbital.OrbitalData.',
            'data.remote.RemoteData.', 'data.remote.stash.RemoteStashData.',
            'data.remote.stash.folder.RemoteStashFolderData.', 'data.singlefile.SinglefileData.',
            'data.str.Str.', 'data.structure.StructureData.', 'data.upf.UpfData.'
        ) then 'data.core.' || substr(node_type, length('data.') + 1)
        else node_type
    end
$$;

create or replace function pg_temp.aiidadb_core_process_type(process_type text) returns text
language sql immutable as $$
    select case process_type
        when 'aiida.calculations:arithmetic.add' then 'aiida.calculations:core.arithmetic.add'
        when 'aiida.calculations:templatereplacer' then 'aiida.calculations:core.templatereplacer'
        when 'aiida.workflows:arithmetic.add_multiply'
            then 'aiida.workflows:core.arithmetic.add_multiply'
        when 'aiida.workflows:arithmetic.multiply_add'
            then 'aiida.workflows:core.arithmetic.multiply_add'
        else process_type
    end
$$;

-- Most nodes change. To rewrite the table takes half as long as an update, which puts each of
-- them into every index; but it copies what is stored out of line too, attributes of more than
-- 2 kB, which an update leaves where they are: with more of that than of the table itself, the
-- update wins.
do $$
begin
    if (
        select pg_relation_size(node.reltoastrelid) > pg_relation_size(node.oid)
        from pg_catalog.pg_class as node
        where node.oid = 'db_dbnode'::regclass
    ) then
        raise feature_not_supported;
    end if;
    alter table db_dbnode
        alter column node_type type varchar(255) using pg_temp.aiidadb_core_type(node_type),
        alter column process_type type varchar(255)
            using pg_temp.aiidadb_core_process_type(process_type);
exception
    -- Also where a view depends on a column, which is then no reason to fail.
    when feature_not_supported then
        update db_dbnode
        set
            node_type = pg_temp.aiidadb_core_type(node_type),
            process_type = pg_temp.aiidadb_core_process_type(process_type)
        where node_type <> pg_temp.aiidadb_core_type(node_type)
            or process_type <> pg_temp.aiidadb_core_process_type(process_type);
end
$$;

with renamed (old, new) as (
    values
        ('arithmetic.add', 'core.arithmetic.add'),
        ('templatereplacer.doubler', 'core.templatereplacer.doubler')
)

update db_dbnode as process
set attributes = process.attributes || jsonb_build_object('parser_name', renamed.new)
from renamed
where process.node_type like 'process.%'
    and process.attributes ->> 'parser_name' = renamed.old;

update db_dbcomputer
set
    scheduler_type = case
        when scheduler_type in ('direct', 'lsf', 'pbspro', 'sge', 'slurm', 'torque')
            then 'core.' || scheduler_type
        else scheduler_type
    end,
    transport_type = case
        when transport_type in ('local', 'ssh')
            then 'core.' || transport_type
        else transport_type
    end
where scheduler_type in ('direct', 'lsf', 'pbspro', 'sge', 'slurm', 'torque')
    or transport_type in ('local', 'ssh');
