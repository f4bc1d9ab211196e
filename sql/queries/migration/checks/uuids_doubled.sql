-- name: uuids_doubled
-- purpose: Whether there may be a uuid twice in a table, in whatever spelling. The server fails at
--     the first text that is not a uuid; repeated_node_uuid, repeated_uuid and malformed_uuid then
--     take a closer look
-- parameters: none
-- schema: django_0001, django_0017,
--     sqlalchemy_01_e15ef2630a1b, sqlalchemy_11_59edaf8a8b79
-- result: doubled bool; one row
select
    exists (
        select from db_dbnode
        where uuid is not null
        group by uuid::uuid
        having count(*) > 1
    )
    or exists (
        select from db_dbcomment
        where uuid is not null
        group by uuid::uuid
        having count(*) > 1
    )
    or exists (
        select from db_dbcomputer
        where uuid is not null
        group by uuid::uuid
        having count(*) > 1
    )
    or exists (
        select from db_dbgroup
        where uuid is not null
        group by uuid::uuid
        having count(*) > 1
    )
    or exists (
        select from db_dbworkflow
        where uuid is not null
        group by uuid::uuid
        having count(*) > 1
    ) as doubled
