-- name: legacy_workflow_data
-- purpose: The data of legacy workflows, with columns named and ordered as the fields that AiiDA
--     writes to a file; read by a cursor
-- parameters: none
-- schema: django_0031, sqlalchemy_32_3d6190594e19
-- result: id int, name varchar, time text, data_type varchar, value_type varchar, json_value text,
--     aiida_obj int, parent int; one row per datum, by id; the time is in UTC, and text, as Python
--     cannot hold every time
select
    data.id,
    data.name,
    to_json(data.time at time zone 'UTC') #>> '{}' as time,
    data.data_type,
    data.value_type,
    data.json_value,
    data.aiida_obj_id as aiida_obj,
    data.parent_id as parent
from db_dbworkflowdata as data
order by data.id
