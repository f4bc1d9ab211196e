"""Databases at 1.0.8, as AiiDA 0.12.5 leaves them: made, and filled with all that a chain migrates.

Nodes and their rows are those of :mod:`eav_rows`. Here come their links, logs, comments, states of
jobs, groups, a computer and legacy workflows. The same number of rows makes the same database.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from eav_rows import fill_with_rows

from aiidadb.migration.steps import PRELUDE, STEPS
from aiidadb.version.schema_version import SchemaVersion

if TYPE_CHECKING:
    import asyncpg

__all__ = ["OLD_VERSION", "fill_old_database", "make_old_schema"]

OLD_VERSION: Final = SchemaVersion.parse("1.0.8")


async def make_old_schema(connection: asyncpg.Connection) -> None:
    """Make the schema of 1.0.8 in an empty database, by the first steps of the chain."""
    await connection.execute(PRELUDE)
    for step in [
        step
        for version, step in STEPS.items()
        if version.line == "django" and version <= OLD_VERSION
    ]:
        async with connection.transaction():
            for part in step.parts:
                assert isinstance(part, str), "the first steps call nothing"
                await connection.execute(part)
            await connection.execute(step.bookkeeping)


async def fill_old_database(connection: asyncpg.Connection, rows: int, seed: int = 0) -> int:
    """Fill a database at 1.0.8 that has no nodes.

    Args:
        connection: To the database, whatever made its schema.
        rows: How many attributes and extras it gets, roughly.
        seed: Of the nodes' contents and order.

    Returns:
        The number of nodes.
    """
    nodes = await fill_with_rows(connection, rows, seed=seed)
    async with connection.transaction():
        await connection.execute(_RANKED)
        for statement in (_COMPUTER, _LINKS, _STATES, _LOGS, _COMMENTS, _GROUPS, _WORKFLOWS):
            await connection.execute(statement)
    await connection.execute("vacuum analyze", timeout=3600)
    await connection.execute("checkpoint", timeout=3600)
    return nodes


# Nodes by kind and number within their kind, so that those of two kinds can be put together.
_RANKED: Final = """
    create temporary table ranked on commit drop as
    select
        node.id,
        kind.name as kind,
        row_number() over (partition by kind.name order by node.id) - 1 as number,
        count(*) over (partition by kind.name) as of_kind
    from db_dbnode as node
    join (
        values
            ('job', 'calculation.job.%'),
            ('inline', 'calculation.inline.%'),
            ('work', 'calculation.work.%'),
            ('structure', 'data.structure.%'),
            ('parameters', 'data.parameter.%'),
            ('kpoints', 'data.array.kpoints.%'),
            ('bands', 'data.array.bands.%'),
            ('remote', 'data.remote.%'),
            ('folder', 'data.folder.%'),
            ('upf', 'data.upf.%'),
            ('code', 'code.%')
    ) as kind (name, pattern) on node.type like kind.pattern;
    create index on ranked (kind, number);
    analyze ranked
"""
_COMPUTER: Final = """
    insert into db_dbcomputer (
        uuid, name, hostname, description, enabled, transport_type, scheduler_type,
        transport_params, metadata
    )
    values (
        md5('computer')::uuid, 'daint', 'daint.cscs.ch', '', true, 'ssh', 'slurm', '{}',
        '{"workdir": "/scratch/{username}/aiida_run", "prepend_text": ""}'
    );
    insert into db_dbauthinfo (auth_params, metadata, enabled, aiidauser_id, dbcomputer_id)
    select '{"port": 22, "timeout": 60}', '{}', true, owner.id, computer.id
    from db_dbuser as owner, db_dbcomputer as computer;
    update db_dbnode
    set dbcomputer_id = (select min(id) from db_dbcomputer)
    where id in (select id from ranked where kind in ('job', 'remote'))
"""
# One link to each node of the kind in the second place, from one of the kind in the first.
_LINKS: Final = """
    insert into db_dblink (input_id, output_id, label, type)
    select other.id, each.id, wanted.label, wanted.type
    from (
        values
            ('structure', 'job', 'structure', 'inputlink'),
            ('parameters', 'job', 'parameters', 'inputlink'),
            ('kpoints', 'job', 'kpoints', 'inputlink'),
            ('code', 'job', 'code', 'inputlink'),
            ('upf', 'job', 'pseudo_O', 'inputlink'),
            ('job', 'remote', 'remote_folder', 'createlink'),
            ('job', 'folder', 'retrieved', 'createlink'),
            ('job', 'bands', 'output_band', 'createlink'),
            ('structure', 'inline', 'structure', 'inputlink'),
            ('inline', 'kpoints', 'output_kpoints', 'createlink'),
            ('structure', 'work', 'structure', 'inputlink'),
            ('work', 'job', 'CALL', 'calllink'),
            ('work', 'inline', 'CALL', 'calllink'),
            ('work', 'bands', 'bands', 'returnlink'),
            -- What 0020 removes: a workflow that creates.
            ('work', 'upf', 'pseudo', 'createlink')
    ) as wanted (other_kind, each_kind, label, type)
    join ranked as each on each.kind = wanted.each_kind
    join (
        -- each kind counted once, not once per link
        select kind, max(of_kind) as nodes from ranked group by kind
    ) as counted on counted.kind = wanted.other_kind
    join ranked as other
        on other.kind = wanted.other_kind
        and other.number = each.number % counted.nodes
    order by each.id, wanted.label
"""
_STATES: Final = """
    insert into db_dbcalcstate (state, time, dbnode_id)
    select state, timestamptz '2016-01-01 00:00Z', job.id
    from ranked as job
    cross join unnest(array['TOSUBMIT', 'WITHSCHEDULER', 'FINISHED']) as state
    where job.kind = 'job'
"""
# Most belong to a node; some to one that is gone, and some to a legacy workflow.
_LOGS: Final = """
    insert into db_dblog (time, loggername, levelname, objname, objpk, message, metadata)
    select
        timestamptz '2016-01-01 00:00Z' + job.id * interval '1 minute',
        'aiida.quantumespresso.pw',
        'WARNING',
        source.objname,
        source.objpk,
        'The calculation took longer than was thought',
        format('{"objname": "%s", "objpk": %s, "msg": "took long"}', source.objname, source.objpk)
    from ranked as job
    cross join lateral (
        select
            case job.number % 40
                when 0 then 'aiida.workflows.user.relax'
                else 'node.calculation.job.quantumespresso.pw.PwCalculation.'
            end as objname,
            case job.number % 40 when 4 then job.id + 100000000 else job.id end as objpk
    ) as source
    where job.kind = 'job' and job.number % 4 = 0
"""
_COMMENTS: Final = """
    insert into db_dbcomment (uuid, ctime, mtime, content, dbnode_id, user_id)
    select
        md5('comment' || job.id)::uuid,
        '2016-03-01 00:00Z',
        '2016-03-01 00:00Z',
        'to be looked at',
        job.id,
        (select min(id) from db_dbuser)
    from ranked as job
    where job.kind = 'job' and job.number % 5 = 0
"""
_GROUPS: Final = """
    insert into db_dbgroup (uuid, name, type, time, description, user_id)
    select
        md5(named.name)::uuid, named.name, named.type, '2016-03-01 00:00Z', '',
        (select min(id) from db_dbuser)
    from (
        values ('campaign', ''), ('SSSP', 'data.upf.family'), ('20160301', 'aiida.import')
    ) as named (name, type);
    insert into db_dbgroup_dbnodes (dbgroup_id, dbnode_id)
    select "group".id, member.id
    from (
        values ('campaign', 'structure'), ('campaign', 'bands'), ('SSSP', 'upf')
    ) as listed (name, kind)
    join db_dbgroup as "group" on "group".name = listed.name
    join ranked as member on member.kind = listed.kind
"""
_WORKFLOWS: Final = """
    insert into db_dbworkflow (
        uuid, ctime, mtime, label, description, nodeversion, lastsyncedversion, state, report,
        module, module_class, script_path, script_md5, user_id
    )
    select
        md5('workflow' || number)::uuid, '2016-01-01 00:00Z', '2016-01-01 00:00Z', 'relax', '', 1,
        0, 'FINISHED', repeat('step done. ', 50), 'aiida.workflows.user.relax', 'Relax',
        '/home/ada/relax.py', md5('script'), (select min(id) from db_dbuser)
    from generate_series(1, 20) as number;
    insert into db_dbworkflowstep (name, time, nextcall, state, parent_id, user_id)
    select 'start', '2016-01-01 00:00Z', 'end', 'FINISHED', workflow.id, workflow.user_id
    from db_dbworkflow as workflow
"""
