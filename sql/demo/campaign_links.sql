-- name: campaign_links
-- purpose: The links of a generated campaign: a template of links, repeated block by block
-- parameters: $1 links text: JSON, a list of the template's links
--     $2 compounds text: JSON, a list of the compounds with the pks of their shared nodes
--     $3 first_block int: the first block to make
--     $4 last_block int: the last one
--     $5 block_size int: how many slots a block has
--     $6 first_pk int: the pk of slot 0 of block 0
--     $7 seed int: the one that the nodes were made with
--     $8 cycle int: after how many blocks the materials come again
--     $9 generations int: how often a material is reused before it starts again
-- result: input_id int, output_id int, label text, type text; one row per link, by output
with template as materialized (
    select
        listed.origin,
        listed.output,
        listed.input,
        listed.material,
        listed.type,
        listed.label
    from
        jsonb_to_recordset($1::text::jsonb) as listed (
            origin text, output int, input int, material int, type text, label text
        )
),

compound as materialized (
    select
        listed.number,
        listed.structure,
        listed.pseudos
    from jsonb_to_recordset($2::text::jsonb) as listed (number int, structure int, pseudos jsonb)
),

compounds as materialized (
    select count(*)::int as number
    from compound
),

placed as (
    select
        template.*,
        block.number as block,
        $6::int + block.number * $5::int as first_pk,
        -- The same rule as for the nodes.
        (((block.number % $8::int) * 4 + template.material) * 7 + $7::int)
        % compounds.number as compound
    from generate_series($3::int, $4::int) as block (number)
    cross join compounds
    cross join template
)

select
    link.input_id,
    link.output_id,
    link.label,
    link.type
from (
    select
        case placed.origin
            when 'shared' then placed.input
            -- A material is taken up again where its block of a cycle ago left it, or it starts
            -- from the shared structure of its compound.
            when 'earlier'
                then case
                    when placed.block / $8::int % $9::int = 0 then compound.structure
                    else placed.first_pk - $8::int * $5::int + placed.input
                end
            else placed.first_pk + placed.input
        end as input_id,
        placed.first_pk + placed.output as output_id,
        placed.label,
        placed.type
    from placed
    inner join compound on compound.number = placed.compound
    where placed.origin <> 'pseudos'

    union all

    -- One pseudopotential per element.
    select
        pseudo.pk::int,
        placed.first_pk + placed.output,
        placed.label || pseudo.element,
        placed.type
    from placed
    inner join compound on compound.number = placed.compound
    cross join jsonb_each_text(compound.pseudos) as pseudo (element, pk)
    where placed.origin = 'pseudos'
) as link
order by link.output_id, link.input_id, link.label
