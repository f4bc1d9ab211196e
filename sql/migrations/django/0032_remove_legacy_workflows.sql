-- migration: django_0032
-- from: 1.0.31
-- to: 1.0.32
-- also: 1b8ed3425af9
-- changes: Writes the legacy workflows, with their data and steps, to a file, and drops their
--     tables.
-- why: Workflows have been nodes since 0.7; nothing reads the old ones any more.
-- tables: db_dbworkflow, db_dbworkflowdata, db_dbworkflowstep, db_dbworkflowstep_calculations,
--     db_dbworkflowstep_sub_workflows
-- drops: db_dbworkflow, db_dbworkflowdata, db_dbworkflowstep, db_dbworkflowstep_calculations,
--     db_dbworkflowstep_sub_workflows
-- rows: select (select count(*) from db_dbworkflow) + (select count(*) from db_dbworkflowdata)
--     + (select count(*) from db_dbworkflowstep)
--     + (select count(*) from db_dbworkflowstep_calculations)
--     + (select count(*) from db_dbworkflowstep_sub_workflows)

-- Nothing can come in between what is written and what is removed.
lock table
    db_dbworkflow,
    db_dbworkflowdata,
    db_dbworkflowstep,
    db_dbworkflowstep_calculations,
    db_dbworkflowstep_sub_workflows
in access exclusive mode;

-- call: export_workflows

drop table db_dbworkflowstep_sub_workflows;
drop table db_dbworkflowstep_calculations;
drop table db_dbworkflowstep;
drop table db_dbworkflowdata;
drop table db_dbworkflow;
