-- name: legacy_workflow_counts
-- purpose: How many rows the tables of legacy workflows have, which step 0032 drops
-- parameters: none
-- schema: django_0031, sqlalchemy_32_3d6190594e19
-- result: workflow bigint, workflow_data bigint, workflow_step bigint; one row: how many there are
--     of each
select
    (select count(*) from db_dbworkflow) as workflow,
    (select count(*) from db_dbworkflowdata) as workflow_data,
    (select count(*) from db_dbworkflowstep) as workflow_step
