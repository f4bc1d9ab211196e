-- migration: django_0020
-- from: 1.0.19
-- to: 1.0.20
-- also: 239cea6d2452
-- changes: Calculations become process nodes: job, inline and work calculations get the types
--     `node.process.X`, and job calculations keep the plugin that they ran in process_type. Links
--     that calculations and workflows must not have are removed: `returnlink` and `calllink` that
--     leave a calculation, `createlink` that leaves a workflow. Of the others `createlink` becomes
--     `create`, `returnlink` becomes `return`, `inputlink` and `calllink` distinguish calculation
--     from workflow by their target: `input_calc`, `input_work`, `call_calc`, `call_work`.
-- why: AiiDA's provenance redesign: calculations create data, workflows call calculations and
--     return data. AiiDA looks for the plugin among the entry points of AiiDA's registry and of the
--     machine's Python; here among those of the registry and of AiiDA 1.6.9 itself. A job
--     calculation of another plugin gets `module.Class`, as AiiDA has it where the plugin is not
--     installed, unless it already has an entry point for its process type, which AiiDA overwrites.
--     The links that are removed are written to a file first.
-- tables: db_dblink, db_dbnode
-- remakes: db_dblink.type, db_dbnode.process_type, db_dbnode.type
-- rows: with process as (
--         select id
--         from db_dbnode
--         where type like 'calculation.job.%'
--            or type in (
--                'calculation.inline.InlineCalculation.', 'calculation.work.WorkCalculation.',
--                'calculation.function.FunctionCalculation.',
--                'calculation.process.ProcessCalculation.'
--            )
--     )
--     select (select count(*) from process)
--         + (select count(*) from db_dblink where type in ('createlink', 'returnlink'))
--         + (
--             select count(*)
--             from db_dblink as link
--             left join process as target on target.id = link.output_id
--             where (link.type = 'inputlink' and target.id is not null)
--                or (
--                    link.type = 'calllink'
--                    and (
--                        target.id is not null
--                        or exists (
--                            select
--                            from db_dbnode as source
--                            where source.id = link.input_id
--                              and (
--                                  source.type like 'calculation.job%'
--                                  or source.type like 'calculation.inline%'
--                              )
--                        )
--                    )
--                )
--         )

lock table db_dblink, db_dbnode in access exclusive mode;

create temporary table aiidadb_departing_links (
    link_id integer primary key,
    reason text not null
) on commit drop;

insert into aiidadb_departing_links (link_id, reason)
select
    link.id,
    case link.type
        when 'returnlink' then 'calculation_return'
        when 'calllink' then 'calculation_call'
        else 'workflow_create'
    end
from db_dblink as link
inner join db_dbnode as source on source.id = link.input_id
where
    (
        link.type in ('returnlink', 'calllink')
        and (source.type like 'calculation.job%' or source.type like 'calculation.inline%')
    )
    or (
        link.type = 'createlink'
        and (source.type like 'calculation.function%' or source.type like 'calculation.work%')
    );

-- call: export_links

delete from db_dblink as link
using aiidadb_departing_links as departing
where link.id = departing.link_id;

-- django alone:
-- Of the calculations of a workflow those that came from a decorated function have its name.
update db_dbnode as workflow
set type = 'node.process.workflow.workfunction.WorkFunctionNode.'
where
    workflow.type in (
        'calculation.work.WorkCalculation.', 'calculation.process.ProcessCalculation.'
    )
    and exists (
        select
        from db_dbattribute as attribute
        where attribute.dbnode_id = workflow.id
            and attribute.key = 'function_name'
    );

-- both lines:
-- `calculation.job.quantumespresso.pw.PwCalculation.` ran the plugin `quantumespresso.pw`. Where
-- that is not a known entry point, its class is put behind it.
create or replace function pg_temp.aiidadb_process_type(node_type text, current_type text)
returns text
language plpgsql immutable as $$
declare
    parts constant text[] := array_remove(
        string_to_array(substr(node_type, length('calculation.job.') + 1), '.'), ''
    );
    plugin constant text := array_to_string(parts[:cardinality(parts) - 1], '.');
begin
    return case
        when plugin in (
            'arithmetic.add', 'ase.ase', 'castep.bs', 'castep.castep', 'castep.pot1d',
            'castep.spec', 'castep.ts', 'codtools.cifcellcontents', 'codtools.cifcodcheck',
            'codtools.cifcoddeposit', 'codtools.cifcodnumbers', 'codtools.ciffilter',
            'codtools.cifsplitprimitive', 'core.transfer', 'cp2k', 'crystal17.basic',
            'crystal17.immigrant', 'crystal17.main', 'ddec', 'diff', 'dynaphopy', 'gollum.gollum',
            'gudhi.rdm', 'kkr.kkr', 'kkr.kkrimp', 'kkr.kkrimporter', 'kkr.voro', 'lammps.combinate',
            'lammps.force', 'lammps.md', 'lammps.optimize', 'nwchem.basic', 'nwchem.pymatgen',
            'phonopy.phono3py', 'phonopy.phonopy', 'phtools.dmatrix', 'phtools.surface', 'qeq.eqeq',
            'qeq.qeq', 'quantumespresso.cp', 'quantumespresso.dos', 'quantumespresso.hp',
            'quantumespresso.matdyn', 'quantumespresso.namelists', 'quantumespresso.neb',
            'quantumespresso.ph', 'quantumespresso.pp', 'quantumespresso.projwfc',
            'quantumespresso.pw', 'quantumespresso.pw2wannier90', 'quantumespresso.pwimmigrant',
            'quantumespresso.q2r', 'raspa', 'siesta.siesta', 'siesta.stm', 'templatereplacer',
            'vasp.vasp', 'vasp.vasp2w90', 'wannier90.wannier90', 'yambo.yambo', 'zeopp.network'
        ) then 'aiida.calculations:' || plugin
        when current_type like 'aiida.calculations:_%' then current_type
        when plugin <> '' then plugin || '.' || parts[cardinality(parts)]
        else ''
    end;
end
$$;

-- sqlalchemy alone:
-- The attributes of processes change in the next steps; with Django they are not here yet.
select pg_temp.aiidadb_leave_room('db_dbnode');

-- both lines:
-- The table is rewritten once instead of updated: a third of the nodes changes, and each would
-- leave a dead row behind and go into every index.
alter table db_dbnode
    alter column process_type type varchar(255) using case
        when type like 'calculation.job.%' then pg_temp.aiidadb_process_type(type, process_type)
        else process_type
    end,
    alter column type type varchar(255) using case
        when type like 'calculation.job.%'
            then 'node.process.calculation.calcjob.CalcJobNode.'
        when type = 'calculation.inline.InlineCalculation.'
            then 'node.process.calculation.calcfunction.CalcFunctionNode.'
        when type = 'calculation.function.FunctionCalculation.'
            then 'node.process.workflow.workfunction.WorkFunctionNode.'
-- sqlalchemy alone:
        -- As above: what came from a decorated function has its name.
        when type in (
            'calculation.work.WorkCalculation.', 'calculation.process.ProcessCalculation.'
        )
        and attributes ? 'function_name'
            then 'node.process.workflow.workfunction.WorkFunctionNode.'
-- both lines:
        when type in (
            'calculation.work.WorkCalculation.', 'calculation.process.ProcessCalculation.'
        )
            then 'node.process.workflow.workchain.WorkChainNode.'
        else type
    end;

-- sqlalchemy alone:
select pg_temp.aiidadb_fill_up('db_dbnode');

-- both lines:
-- The processes of a kind, in order. They are a constant of the statement below, for which a
-- function must call itself immutable: a subquery is not allowed there, and to look up the target
-- of each link takes twice as long.
create or replace function pg_temp.aiidadb_processes(kind text) returns integer[]
language sql immutable as $$
    select array_agg(node.id order by node.id)
    from db_dbnode as node
    where node.type like 'node.process.' || kind || '%'
$$;

create or replace function pg_temp.aiidadb_is_among(node_id integer, ordered integer[])
returns boolean
language sql immutable as $$
    select ordered[width_bucket(node_id, ordered)] = node_id
$$;

-- Every link changes.
alter table db_dblink
    alter column type type varchar(255) using case
        when type in ('createlink', 'returnlink') then replace(type, 'link', '')
        when type not in ('inputlink', 'calllink') then type
        when pg_temp.aiidadb_is_among(output_id, pg_temp.aiidadb_processes('calculation'))
            then case type when 'inputlink' then 'input_calc' else 'call_calc' end
        when pg_temp.aiidadb_is_among(output_id, pg_temp.aiidadb_processes('workflow'))
            then case type when 'inputlink' then 'input_work' else 'call_work' end
        else type
    end;
