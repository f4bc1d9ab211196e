"""Questions as AiiDA's users ask them: aiidadb, aiida-core's QueryBuilder, and two by hand.

The 25 questions are those of the tests, whose pks, labels and types are replaced by some of a
campaign that got formulas, band gaps, failed and running processes, and errors in its log. For the
two whose walks take aiida-core long there is also SQL that a careful hand writes, by asyncpg.
Before anything is timed, all answers are compared.

What is reported is the time for which client and server had a processor, so that it depends little
on what else the machine does. No question is split between several processes of the server.
"""

from __future__ import annotations

import json
import statistics
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import asyncpg
from common import (
    Report,
    Server,
    aiida_storage,
    measure,
    parser,
    processor_time,
    profile_of,
    run,
    server_of,
    server_of_aiida,
)

import aiidadb
from aiidadb.demo.campaign import GROUPS, USERS
from aiidadb.messages import plural
from tests.querybuilder.oracle import oracle, plain

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Mapping

    from aiida.storage.psql_dos.backend import PsqlDosBackend

EXAMPLES: Final = (
    Path(__file__).parent.parent / "tests" / "querybuilder" / "examples.jsonl"
).read_text(encoding="utf-8")

ENRICHED: Final = """
    update db_dbnode
    set extras = extras || jsonb_build_object(
        'formula', split_part(label, ' ', 1),
        'optimade', jsonb_build_object(
            'elements', jsonb_path_query_array(attributes, '$.kinds[*].name'),
            'nelements', jsonb_array_length(attributes -> 'kinds')
        )
    )
    where node_type = 'data.core.structure.StructureData.';
    update db_dbnode
    set extras = extras || jsonb_build_object('band_gap', (id % 40) / 10.0)
    where node_type = 'data.core.array.bands.BandsData.';
    update db_dbnode
    set attributes = attributes || case
        when id % 200 < 2 then '{"process_state": "running", "exit_status": null}'::jsonb
        when id % 200 < 6 then '{"exit_status": 410}'::jsonb
        else '{"exit_status": 305}'::jsonb
    end
    where node_type like 'process.%' and id % 200 < 9;
    update db_dbnode
    set attributes = attributes || jsonb_build_object(
        'convergence_info',
        '{"scf_conv": {"convergence_achieved": false, "n_scf_steps": 80}}'::jsonb
    )
    where node_type = 'data.core.dict.Dict.' and attributes ? 'energy' and id % 50 = 0;
    update db_dblog set levelname = 'ERROR' where id % 3 = 0;
    insert into db_dbgroup_dbnodes (dbgroup_id, dbnode_id)
    select db_dbgroup.id, db_dbnode.id
    from db_dbgroup, db_dbnode
    where db_dbgroup.label = 'favourites' and db_dbnode.node_type = 'data.core.upf.UpfData.';
    insert into db_dbgroup (uuid, label, type_string, time, description, user_id, extras)
    select gen_random_uuid(), 'structures/screening/batch1', 'core', now(), '', min(id), '{}'
    from db_dbuser;
    insert into db_dbgroup_dbnodes (dbgroup_id, dbnode_id)
    select db_dbgroup.id, db_dbnode.id
    from db_dbgroup, db_dbnode
    where
        db_dbgroup.label = 'structures/screening/batch1'
        and db_dbnode.node_type = 'data.core.structure.StructureData.'
        and db_dbnode.id % 32 = 0;
    vacuum analyze
"""

_BELOW: Final = """
    with recursive starts (id) as materialized ({starts}),
    below (start_id, node_id) as (
        select starts.id, link.output_id
        from starts
        cross join lateral (
            select output_id
            from db_dblink
            where input_id = starts.id and type in ('create', 'input_calc')
            offset 0
        ) as link
        union
        select below.start_id, link.output_id
        from below
        cross join lateral (
            select output_id
            from db_dblink
            where input_id = below.node_id and type in ('create', 'input_calc')
            offset 0
        ) as link
    )
"""
_BY_HAND: Final[Mapping[str, str]] = {
    "descendants_of_group": _BELOW.format(
        starts="""
        select node.id
        from db_dbgroup as grp
        join db_dbgroup_dbnodes as member on member.dbgroup_id = grp.id
        join db_dbnode as node on node.id = member.dbnode_id
        where grp.label = $1::text and node.node_type like 'data.core.structure.%'
        """
    )
    + """
    select below.start_id, bands.id
    from below
    join db_dbnode as bands on bands.id = below.node_id
    where bands.node_type like 'data.core.array.bands.%'
    """,
    "gap_by_formula": _BELOW.format(
        starts="""
        select id
        from db_dbnode
        where
            node_type like 'data.core.structure.%'
            and extras @> jsonb_build_object('formula', $1::text)
        """
    )
    + """
    select below.start_id, bands.id, bands.extras -> 'band_gap'
    from below
    join db_dbnode as bands on bands.id = below.node_id
    where
        bands.node_type like 'data.core.array.bands.%'
        and jsonb_typeof(bands.extras -> 'band_gap') = 'number'
        and (bands.extras ->> 'band_gap')::float8 < 1.0
    """,
}
BY_HAND: Final = "floor: SQL by hand"
_AGAINST_AIIDA: Final = "aiida-core ÷ aiidadb, "
_GIVEN: Final = {"descendants_of_group": "structures/screening/batch1", "gap_by_formula": "Si2"}
_MUST: Final = {"descendants_of_group": 30, "gap_by_formula": 20}


_ONE: Final = """
    select bands.id as bands, calculation.id as calculation, calculation.uuid::text as uuid
    from db_dbnode as bands
    join db_dblink as made on made.output_id = bands.id and made.type = 'create'
    join db_dbnode as calculation on calculation.id = made.input_id
    join db_dblink as used on used.output_id = calculation.id and used.type = 'input_calc'
    join db_dbnode as structure on structure.id = used.input_id
    join db_dblink as made_before on made_before.output_id = structure.id
    where
        bands.node_type = 'data.core.array.bands.BandsData.'
        and calculation.node_type = 'process.calculation.calcjob.CalcJobNode.'
        and structure.node_type = 'data.core.structure.StructureData.'
        and made_before.type = 'create'
    order by bands.id desc
    limit 1
"""


async def places(connection: asyncpg.Connection, backend: aiidadb.Backend) -> dict[Any, Any]:
    """What stands in a campaign for the pks, uuids and names of the examples."""
    one = await connection.fetchrow(_ONE)
    query = backend.query().append("", tag="bands", filters={"id": one["bands"]})
    query.append("data.core.structure.StructureData.", tag="s", with_descendants="bands")
    query.append("group.core", with_node="s").add_projection("s", "id").order_by({"s": "id"})
    structure = await query.first(flat=True)
    group, other = await connection.fetch(
        "select id from db_dbgroup where label = any($1::text[]) order by id", [*GROUPS[:2]]
    )
    return {
        140618: one["calculation"],
        140623: one["bands"],
        26: structure,
        "b6f216b8-a42a-4ba1-b15e-526a61d3a59c": one["uuid"],
        "a@b.c": USERS[0],
        9: group["id"],
        10: other["id"],
        "%relax\\_%": "%a%",
        "structures/%": "o%",
        "campaign%": "metals",
        "bands 1%": "electrons",
        "output%": "%",
        "Si": "Si2",
        ("Si",): ["Ba"],
        "aiida.calculations:qe.pw": "aiida.calculations:quantumespresso.pw",
        "aiida.workflows:qe.bands": "aiida.workflows:quantumespresso.pw.bands",
    }


def placed(part: Any, found: Mapping[Any, Any]) -> Any:
    """A part of an example with what stands in the campaign."""
    if isinstance(part, dict):
        return {key: placed(one, found) for key, one in part.items()}
    if isinstance(part, list):
        if all(isinstance(one, str) for one in part):  # elements, whose names are not formulas
            return found.get(tuple(part), part)
        return [placed(one, found) for one in part]
    return found.get(part, part) if isinstance(part, str | int) else part


def contestants_of(
    example: dict[str, Any],
    query: dict[str, Any],
    backend: aiidadb.Backend,
    storage: PsqlDosBackend,
    connection: asyncpg.Connection,
) -> dict[str, Callable[[], Any]]:
    """By name, what asks one question."""
    name, mode = example["name"], example["mode"]
    contestants: dict[str, Callable[[], Any]] = {
        "aiidadb": lambda: getattr(backend.query(query), mode)(),
        "aiida-core": lambda: getattr(oracle(storage, query), mode)(),
    }
    if name in _BY_HAND:
        contestants[BY_HAND] = lambda: connection.fetch(_BY_HAND[name], _GIVEN[name])
    return contestants


async def number_of_rows(contestants: Mapping[str, Callable[[], Any]], *, is_ordered: bool) -> int:
    """How many rows there are, once all answers are found to be the same."""
    theirs, ours = plain(contestants["aiida-core"]()), plain(await contestants["aiidadb"]())
    if isinstance(theirs, list) and not is_ordered:
        theirs, ours = sorted(map(repr, theirs)), sorted(map(repr, ours))
    assert theirs == ours
    number = len(ours) if isinstance(ours, list) else 1
    if BY_HAND in contestants:
        assert len(await contestants[BY_HAND]()) == number
    return number


def add(report: Report, name: str, seconds: Mapping[str, list[float]]) -> None:
    """Add the figures of one question, and what they must reach."""
    report.add(name, seconds)
    mine = report.median(name, "aiidadb")
    ratio = report.median(name, "aiida-core") / mine
    report.goal(f"{_AGAINST_AIIDA}{name}", ratio, ">=", _MUST.get(name, 0.9))
    if BY_HAND in seconds:
        report.goal(f"aiidadb ÷ SQL by hand, {name}", mine / report.median(name, BY_HAND), "<=", 2)


async def main(arguments: argparse.Namespace, server: Server) -> None:
    campaign = await server.campaign(arguments.nodes, arguments.seed)
    report = Report(
        "querybuilder_examples",
        f"25 questions of users, {arguments.nodes:,} nodes: processor time",
        {"nodes": arguments.nodes, "seed": arguments.seed},
    )
    examples = [json.loads(line) for line in EXAMPLES.splitlines()]
    async with server.clone(campaign) as dsn:
        connection = await asyncpg.connect(dsn, server_settings={"jit": "off"})
        name = urlsplit(dsn).path[1:]
        await server.execute(f'alter database "{name}" set max_parallel_workers_per_gather = 0')
        for statement in ENRICHED.split(";"):
            await connection.execute(statement, timeout=600)
        async with (
            aiidadb.open_backend(profile_of(dsn), max_size=1) as backend,
            aiida_storage(dsn) as storage,
        ):
            found = await places(connection, backend)
            servers = (await server_of(backend), server_of_aiida(storage))
            clock = partial(processor_time, *servers, connection.get_server_pid())
            for example in examples:
                query = placed(example["query"], found)
                contestants = contestants_of(example, query, backend, storage, connection)
                number = await number_of_rows(contestants, is_ordered=example["ordered"])
                report.note(f"{example['name']}: {plural(number, 'row')}")
                seconds = await measure(
                    contestants, repeat=arguments.repeat, in_a_row={"aiidadb": 3}, clock=clock
                )
                add(report, example["name"], seconds)
        await connection.close()
        ratios = [one.value for one in report.goals if one.what.startswith(_AGAINST_AIIDA)]
        report.goal("median of aiida-core ÷ aiidadb", statistics.median(ratios), ">=", 5)
        await report.finish(dsn)


if __name__ == "__main__":
    run(main, parser(__doc__ or "", repeat=5).parse_args())
