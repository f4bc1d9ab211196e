-- name: structure_species
-- purpose: What the formula of a structure needs: its kinds, and the kind of each site
-- parameters: $1 structures bigint[]: pks of the structures
-- result: pk bigint, kinds text, kind_names text; one row per structure that exists: JSON lists, of
--     an object with name, symbols and weights per kind, and of a name per site; null where the
--     attribute is not a list, or a site has no kind. As text, so that a client can decode equal
--     ones once
select
    asked.pk,
    case
        when jsonb_typeof(attribute.kinds) = 'array' then (
            -- Without the mass.
            select
                coalesce(
                    json_agg(
                        json_build_object(
                            'name', kind.item -> 'name',
                            'symbols', kind.item -> 'symbols',
                            'weights', kind.item -> 'weights'
                        )
                    ),
                    '[]'
                )::text
            from jsonb_path_query(attribute.kinds, '$[*]') as kind (item)
        )
    end as kinds,
    case
        when jsonb_typeof(attribute.sites) = 'array'
            and jsonb_array_length(named.sites) = jsonb_array_length(attribute.sites)
            then named.sites::text
    end as kind_names
from unnest($1::bigint[]) as asked (pk)
inner join lateral (
    -- The fence keeps the attributes from being unpacked again for each time they are named.
    select
        db_dbnode.attributes -> 'kinds' as kinds,
        db_dbnode.attributes -> 'sites' as sites
    from db_dbnode
    where db_dbnode.id = asked.pk
    offset 0
) as attribute on true
inner join lateral (
    -- Without the positions. What is not a site has no name here, and the number of names shows it.
    select kind_name.sites
    from
        jsonb_path_query_array(
            attribute.sites, 'strict $[*].kind_name', '{}', true
        ) as kind_name (sites)
    offset 0
) as named on true
