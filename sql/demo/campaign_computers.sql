-- name: campaign_computers
-- purpose: The computers of a generated campaign
-- parameters: $1 labels text[]: their names
--     $2 prefix text: core. where AiiDA's plugins have that prefix, else empty
--     $3 seed int: other seeds, other uuids
-- result: uuid uuid, label text, hostname text, description text, transport_type text,
--     scheduler_type text, metadata jsonb; one row per computer
select
    md5($3::int || ':computer:' || computer.label)::uuid as uuid,
    computer.label,
    computer.label || '.example.org' as hostname,
    '' as description,
    $2::text || 'ssh' as transport_type,
    $2::text || 'slurm' as scheduler_type,
    jsonb_build_object(
        'workdir', '/scratch/{username}/aiida',
        'mpirun_command', array['srun', '-n', '{tot_num_mpiprocs}'],
        'default_mpiprocs_per_machine', 36
    ) as metadata
from unnest($1::text[]) with ordinality as computer (label, rank)
order by computer.rank
