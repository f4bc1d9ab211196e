-- name: legacy_workflow
-- purpose: The legacy workflows, with columns named and ordered as the fields that AiiDA writes to
--     a file; read by a cursor
-- parameters: none
-- schema: django_0031, sqlalchemy_32_3d6190594e19
-- result: id int, uuid text, ctime text, mtime text, label varchar, description text,
--     nodeversion int, lastsyncedversion int, state varchar, report text, module text,
--     module_class text, script_path text, script_md5 varchar, user int; one row per workflow, by
--     id. Times in UTC, as text, for Python cannot hold all of them
select
    workflow.id,
    workflow.uuid::text as uuid,
    to_json(workflow.ctime at time zone 'UTC') #>> '{}' as ctime,
    to_json(workflow.mtime at time zone 'UTC') #>> '{}' as mtime,
    workflow.label,
    workflow.description,
    workflow.nodeversion,
    workflow.lastsyncedversion,
    workflow.state,
    workflow.report,
    workflow.module,
    workflow.module_class,
    workflow.script_path,
    workflow.script_md5,
    workflow.user_id as user
from db_dbworkflow as workflow
order by workflow.id
