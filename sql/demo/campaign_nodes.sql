-- name: campaign_nodes
-- purpose: The nodes of a generated campaign: a template of slots, repeated block by block
-- parameters: $1 slots text: JSON, a list of the template's slots
--     $2 structures text: JSON, a list of attributes of structures by compound and phase
--     $3 first_block int: the first block to make
--     $4 last_block int: the last one
--     $5 block_size int: how many slots a block has
--     $6 first_pk int: the pk of slot 0 of block 0
--     $7 seed int: other seeds, other uuids and figures
--     $8 users int[]: pks of the users
--     $9 computers int[]: pks of the computers
--     $10 until timestamptz: when the last node was made
--     $11 total int: how many nodes the database will have
--     $12 cycle int: after how many blocks the materials come again
-- result: id int, uuid uuid, node_type text, label text, description text, ctime timestamptz,
--     mtime timestamptz, dbcomputer_id int, user_id int, process_type text, attributes jsonb,
--     extras jsonb, repository_metadata jsonb; one row per node
with slot as materialized (
    select
        template.number,
        template.role,
        template.owner,
        template.material,
        template.phase,
        template.minutes,
        template.computer,
        template.node_type,
        template.process_type,
        template.label,
        template.attributes
    from
        jsonb_to_recordset($1::text::jsonb) as template (
            number int,
            role text,
            owner int,
            material int,
            phase int,
            minutes float8,
            computer bool,
            node_type text,
            process_type text,
            label text,
            attributes jsonb
        )
),

-- Attributes of structures are worked out once per compound and phase, not once per node.
structure as materialized (
    select
        listed.compound,
        listed.phase,
        listed.name,
        listed.attributes
    from
        jsonb_to_recordset($2::text::jsonb) as listed (
            compound int, phase int, name text, attributes jsonb
        )
),

compounds as materialized (
    select (max(structure.compound) + 1) as number
    from structure
),

-- Every figure that looks random comes out of one hash, so it is the same on every server.
node as (
    select
        block.number as block,
        slot.*,
        made.pk,
        md5($7::int || ':' || made.pk) as hash,
        md5($7::int || ':' || ($6::int + block.number * $5::int + slot.owner)) as owner_hash,
        case
            -- Shared structures say which compound they are; others have it by their material.
            when slot.material < 0 then -1 - slot.material
            else ((block.number % $12::int) * 4 + slot.material) * 7 + $7::int
        end % compounds.number as compound
    from generate_series($3::int, $4::int) as block (number)
    cross join compounds
    cross join slot
    inner join lateral (select $6::int + block.number * $5::int + slot.number as pk) as made on true
),

timed as (
    select
        node.*,
        get_byte(decode(node.hash, 'hex'), 0) as byte_0,
        get_byte(decode(node.hash, 'hex'), 1) as byte_1,
        -- Nine months, with three waves of work.
        $10::timestamptz - interval '270 days' * (
            1 - done.part - 0.8 * sin(6 * pi() * done.part) / (6 * pi())
        ) - interval '1 second' * get_byte(decode(node.hash, 'hex'), 2) as made_at
    from node
    inner join lateral (select node.pk::float8 / $11::int as part) as done on true
)

select
    timed.pk as id,
    -- Version 4 as RFC 9562 marks it.
    overlay(overlay(timed.hash placing '4' from 13 for 1) placing '8' from 17 for 1)::uuid as uuid,
    timed.node_type,
    case timed.role
        when 'structure' then structure.name || timed.label
        else timed.label
    end as label,
    '' as description,
    timed.made_at as ctime,
    timed.made_at + interval '1 minute' * timed.minutes * (1 + timed.byte_0 / 256.0) as mtime,
    case
        when timed.computer then ($9::int[])[1 + timed.material % cardinality($9::int[])]
    end as dbcomputer_id,
    -- A block is one person's work; the first does the most.
    ($8::int[])[1 + timed.block % 7 % cardinality($8::int[])] as user_id,
    timed.process_type,
    case timed.role
        when 'structure' then structure.attributes
        when 'remote' then jsonb_build_object('remote_path', place.path)
        when 'results'
            then timed.attributes || jsonb_build_object(
                'energy', -100 - 3 * timed.byte_0 - round(timed.byte_1 / 256.0, 6),
                'number_of_iterations', 4 + timed.byte_1 % 9
            )
        when 'calcjob'
            then timed.attributes || jsonb_build_object(
                'remote_workdir', place.path,
                'job_id', (100000 + timed.pk)::text
            )
        else timed.attributes
    end as attributes,
    case
        when timed.role = 'workchain' then '{}'::jsonb
        else jsonb_build_object('_aiida_hash', timed.hash || timed.owner_hash)
    end as extras,
    '{}'::jsonb as repository_metadata
from timed
inner join lateral (
    select concat_ws(
        '/',
        '/scratch/aiida',
        left(timed.owner_hash, 2),
        substr(timed.owner_hash, 3, 2),
        substr(timed.owner_hash, 5)
    ) as path
) as place on true
left join structure
    on timed.role = 'structure'
    and structure.compound = timed.compound
    and structure.phase = timed.phase
