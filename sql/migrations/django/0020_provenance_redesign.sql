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
--         + count(*) filter (where link.type in ('createlink', 'returnlink'))
--         + count(*) filter (
--             where link.type = 'inputlink' and link.output_id in (select id from process)
--         )
--         + count(*) filter (
--             where link.type = 'calllink'
--               and (
--                   link.output_id in (select id from process)
--                   or source.type like 'calculation.job%'
--                   or source.type like 'calculation.inline%'
--               )
--         )
--     from db_dblink as link
--     join db_dbnode as source on source.id = link.input_id

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

-- Of the calculations of a workflow those that came from a decorated function have its name.

-- django alone:
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

-- sqlalchemy alone:
update db_dbnode as workflow
set type = 'node.process.workflow.workfunction.WorkFunctionNode.'
where
    workflow.type in (
        'calculation.work.WorkCalculation.', 'calculation.process.ProcessCalculation.'
    )
    and workflow.attributes ? 'function_name';

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
        when type in (
            'calculation.work.WorkCalculation.', 'calculation.process.ProcessCalculation.'
        )
            then 'node.process.workflow.workchain.WorkChainNode.'
        else type
    end;

create or replace function pg_temp.aiidadb_link_type(link_type text, target_id integer) returns text
language plpgsql stable as $$
declare
    target_type text;
begin
    if link_type in ('createlink', 'returnlink') then
        return replace(link_type, 'link', '');
    end if;
    if link_type in ('inputlink', 'calllink') then
        select node.type into target_type from db_dbnode as node where node.id = target_id;
        if target_type like 'node.process.calculation%' then
            return case link_type when 'inputlink' then 'input_calc' else 'call_calc' end;
        elsif target_type like 'node.process.workflow%' then
            return case link_type when 'inputlink' then 'input_work' else 'call_work' end;
        end if;
    end if;
    return link_type;
end
$$;

-- Every link changes.
alter table db_dblink
    alter column type type varchar(255) using pg_temp.aiidadb_link_type(type, output_id);
