-- name: legacy_workflow_step
-- purpose: The steps of legacy workflows, with columns named and ordered as the fields that AiiDA
--     writes to a file, the pks of their calculations and workflows with them; read by a cursor
-- parameters: none
-- schema: django_0031, sqlalchemy_32_3d6190594e19
-- result: id int, name varchar, time text, nextcall varchar, state varchar, parent int,
--     user int, calculations int[], sub_workflows int[]; one row per step, by id.
--     The time in UTC, as text, for Python cannot hold all of them
select
    step.id,
    step.name,
    to_json(step.time at time zone 'UTC') #>> '{}' as time,
    step.nextcall,
    step.state,
    step.parent_id as parent,
    step.user_id as user,
    array(
        select calculation.dbnode_id
        from db_dbworkflowstep_calculations as calculation
        where calculation.dbworkflowstep_id = step.id
        order by calculation.id
    ) as calculations,
    array(
        select sub_workflow.dbworkflow_id
        from db_dbworkflowstep_sub_workflows as sub_workflow
        where sub_workflow.dbworkflowstep_id = step.id
        order by sub_workflow.id
    ) as sub_workflows
from db_dbworkflowstep as step
order by step.id
