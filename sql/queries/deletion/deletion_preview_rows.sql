-- name: deletion_preview_rows
-- purpose: How much depends on nodes that may be deleted
-- parameters: $1 pks bigint[]: the nodes, each once
-- result: links bigint, links_cut bigint, group_memberships bigint, comments bigint, logs bigint;
--     one row; of the links, those are cut that have an end at a node that stays
with
-- A link between two of the nodes is found from both ends, and counts once.
touched as (
    select count(*) as ends
    from (
        select link.id
        from unnest($1::bigint[]) as asked (pk)
        inner join db_dblink as link on link.input_id = asked.pk

        union all

        select link.id
        from unnest($1::bigint[]) as asked (pk)
        inner join db_dblink as link on link.output_id = asked.pk
    ) as found
    group by found.id
)

select
    (select count(*) from touched) as links,
    (
        select count(*)
        from touched
        where touched.ends = 1
    ) as links_cut,
    (
        select count(*)
        from unnest($1::bigint[]) as asked (pk)
        inner join db_dbgroup_dbnodes as membership on membership.dbnode_id = asked.pk
    ) as group_memberships,
    (
        select count(*)
        from unnest($1::bigint[]) as asked (pk)
        inner join db_dbcomment as comment on comment.dbnode_id = asked.pk
    ) as comments,
    (
        select count(*)
        from unnest($1::bigint[]) as asked (pk)
        inner join db_dblog as log on log.dbnode_id = asked.pk
    ) as logs
