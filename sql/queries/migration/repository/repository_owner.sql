-- name: repository_owner
-- purpose: How many nodes a database has whose files step 0047 moves, and by what it is recognised,
--     also after it was dumped and restored: its first node that has a uuid
-- parameters: none
-- schema: django_0046
-- result: nodes bigint, owner text; one row
select
    (select count(*) from db_dbnode) as nodes,
    coalesce(
        (
            select node.uuid::text
            from db_dbnode as node
            where node.uuid is not null
            order by node.id
            limit 1
        ),
        current_database()::text
    ) as owner
