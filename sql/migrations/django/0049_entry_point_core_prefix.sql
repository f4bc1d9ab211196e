-- migration: django_0049
-- from: 1.0.48
-- to: 1.0.49
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

-- An update, though most nodes change, and not a new table as in the steps from before attributes
-- lay in this one: with 4 kB of attributes a node that took five times as long, with 10 kB fifteen.
with renamed (old, new) as (
    values
        ('data.array.ArrayData.', 'data.core.array.ArrayData.'),
        ('data.array.bands.BandsData.', 'data.core.array.bands.BandsData.'),
        ('data.array.kpoints.KpointsData.', 'data.core.array.kpoints.KpointsData.'),
        ('data.array.projection.ProjectionData.', 'data.core.array.projection.ProjectionData.'),
        ('data.array.trajectory.TrajectoryData.', 'data.core.array.trajectory.TrajectoryData.'),
        ('data.array.xy.XyData.', 'data.core.array.xy.XyData.'),
        ('data.base.BaseData.', 'data.core.base.BaseData.'),
        ('data.bool.Bool.', 'data.core.bool.Bool.'),
        ('data.cif.CifData.', 'data.core.cif.CifData.'),
        ('data.code.Code.', 'data.core.code.Code.'),
        ('data.dict.Dict.', 'data.core.dict.Dict.'),
        ('data.float.Float.', 'data.core.float.Float.'),
        ('data.folder.FolderData.', 'data.core.folder.FolderData.'),
        ('data.int.Int.', 'data.core.int.Int.'),
        ('data.list.List.', 'data.core.list.List.'),
        ('data.numeric.NumericData.', 'data.core.numeric.NumericData.'),
        ('data.orbital.OrbitalData.', 'data.core.orbital.OrbitalData.'),
        ('data.remote.RemoteData.', 'data.core.remote.RemoteData.'),
        ('data.remote.stash.RemoteStashData.', 'data.core.remote.stash.RemoteStashData.'),
        (
            'data.remote.stash.folder.RemoteStashFolderData.',
            'data.core.remote.stash.folder.RemoteStashFolderData.'
        ),
        ('data.singlefile.SinglefileData.', 'data.core.singlefile.SinglefileData.'),
        ('data.str.Str.', 'data.core.str.Str.'),
        ('data.structure.StructureData.', 'data.core.structure.StructureData.'),
        ('data.upf.UpfData.', 'data.core.upf.UpfData.')
)
update db_dbnode as node
set node_type = renamed.new
from renamed
where node.node_type = renamed.old;

with renamed (old, new) as (
    values
        ('aiida.calculations:arithmetic.add', 'aiida.calculations:core.arithmetic.add'),
        ('aiida.calculations:templatereplacer', 'aiida.calculations:core.templatereplacer'),
        ('aiida.workflows:arithmetic.add_multiply', 'aiida.workflows:core.arithmetic.add_multiply'),
        ('aiida.workflows:arithmetic.multiply_add', 'aiida.workflows:core.arithmetic.multiply_add')
)
update db_dbnode as process
set process_type = renamed.new
from renamed
where process.process_type = renamed.old;

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
