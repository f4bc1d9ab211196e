"""Databases at ``django_0036``: made by aiida-core 2.9.4 itself, filled with rows as AiiDA 0.x has.

The nodes are those of campaigns of band structures: structures of 1 to 30 sites, jobs and their
input and output parameters, k-points, bands, single values, folders without a row. They come in
random order, with 14 to 15 rows each on average, of which one is an extra. The same number of rows
and the same seed make the same database.
"""

from __future__ import annotations

import datetime
import random
from dataclasses import astuple
from typing import TYPE_CHECKING, Final

from tests.migration.eav_writer import Value, rows_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    import asyncpg

__all__ = ["fill_with_rows"]

_COLUMNS: Final = "datatype, key, bval, ival, fval, tval, dval"
_WHEN: Final = datetime.datetime(2017, 3, 4, 5, 6, 7, 89000, tzinfo=datetime.UTC)


async def fill_with_rows(
    connection: asyncpg.Connection, rows: int, *, own_shapes: bool = False, seed: int = 0
) -> int:
    """Fill a database without nodes.

    Args:
        connection: To the database, as the owner of its tables.
        rows: How many rows ``db_dbattribute`` and ``db_dbextra`` have in all, roughly.
        own_shapes: Give every node with attributes one more, whose key no other node has.
        seed: Of the nodes' contents and order.

    Returns:
        The number of nodes.
    """
    draw = random.Random(seed)
    kinds = [rows_of(values) for values in _kinds(draw)]
    nodes = round(rows / (sum(len(kind) + 1 + own_shapes for kind in kinds) / len(kinds)))
    await connection.execute(
        f"""
        create temporary table template as
        select 0 as kind, 0 as position, {_COLUMNS} from db_dbattribute limit 0;
        create temporary table chosen (node integer, kind integer);
        insert into db_dbuser (email, first_name, last_name, institution)
        values ('ada@epfl.ch', '', '', '');
        """
    )
    await connection.copy_records_to_table(
        "template",
        records=[
            (number, position, row.datatype, row.key, *astuple(row)[2:])
            for number, kind in enumerate(kinds)
            for position, row in enumerate(kind)
        ],
    )
    await connection.copy_records_to_table(
        "chosen", records=[(node, draw.randrange(len(kinds))) for node in range(1, nodes + 1)]
    )
    async with connection.transaction():
        indexes = [row[0] for row in await connection.fetch(_DROP_INDEXES)]
        await connection.execute("; ".join(row.partition(";")[0] for row in indexes))
        await connection.execute(_FILL)
        if own_shapes:
            await connection.execute(_FILL_OWN)
        await connection.execute("set constraints all immediate")
        await connection.execute("; ".join(row.partition(";")[2] for row in indexes))
    await connection.execute("vacuum analyze", timeout=3600)
    await connection.execute("checkpoint", timeout=3600)
    return nodes


def _kinds(draw: random.Random) -> Iterator[dict[str, Value]]:
    """Contents of nodes: of each kind as many as there are of it in a hundred or so nodes."""
    for _ in range(12):
        yield _job(draw)
    for _ in range(15):
        yield {"remote_path": "/scratch/ada/aiida_run/4a/5b/6c7d-8e9f-0123-4567-89abcdef0123"}
        yield {}
    for _ in range(10):
        yield _input_parameters(draw)
        yield _output_parameters(draw)
    for sites in (1, 2, 2, 2, 3, 4, 5, 5, 8, 30):
        yield _structure(draw, sites)
    for _ in range(10):
        yield {"mesh": [draw.randint(1, 12) for _ in range(3)], "offset": [0.0, 0.0, 0.5]}
    for _ in range(22):
        yield {"_sealed": True, "function_name": draw.choice(["relax", "seekpath"])}
    for points in (30, 60, 90):
        yield _bands(draw, points)
    for value in (3, 2.5, "text", True, 1e-10, -0.0):
        yield {"value": value}
    for element in ("Ba", "Ti", "O"):
        yield {"element": element, "md5": f"{draw.getrandbits(128):032x}"}
    yield {"input_plugin": "quantumespresso.pw", "is_local": False, "prepend_text": ""}


def _vector(draw: random.Random) -> list[Value]:
    return [draw.uniform(-9, 9) for _ in range(3)]


def _structure(draw: random.Random, sites: int) -> dict[str, Value]:
    symbols = ["Ba", "Ti", "O", "Pb"][: min(sites, draw.randint(1, 4))]
    return {
        "cell": [_vector(draw) for _ in range(3)],
        "pbc1": True,
        "pbc2": True,
        "pbc3": False,
        "kinds": [
            {"name": symbol, "symbols": [symbol], "weights": [1.0], "mass": draw.uniform(1, 200)}
            for symbol in symbols
        ],
        "sites": [
            {"kind_name": draw.choice(symbols), "position": _vector(draw)} for _ in range(sites)
        ],
    }


def _job(draw: random.Random) -> dict[str, Value]:
    return {
        "jobresource_params": {"num_machines": draw.randint(1, 8), "tot_num_mpiprocs": 16},
        "parser": "quantumespresso.pw",
        "input_filename": "aiida.in",
        "output_filename": "aiida.out",
        "state": draw.choice(["FINISHED", "FAILED"]),
        "job_id": str(draw.randint(10**5, 10**6)),
        "retrieve_list": ["aiida.out", "./out/aiida.save/data-file.xml", "_scheduler-stdout.txt"],
        "retrieve_singlefile_list": [],
        "max_wallclock_seconds": 3600,
        "withmpi": True,
        "custom_environment_variables": {},
        "scheduler_lastchecktime": _WHEN + datetime.timedelta(seconds=draw.randint(0, 10**7)),
        "remote_workdir": "/scratch/ada/aiida_run/4a/5b/6c7d-8e9f-0123-4567-89abcdef0123",
        "last_jobinfo": '{"job_id": "123456", "detailedJobinfo": "JobID|State\\n1|COMPLETED"}',
    }


def _input_parameters(draw: random.Random) -> dict[str, Value]:
    control: dict[str, Value] = {"calculation": "scf", "restart_mode": "from_scratch"}
    for switch in ("wf_collect", "tprnfor", "tstress"):
        if draw.random() < 0.5:
            control[switch] = True
    system: dict[str, Value] = {"ecutwfc": 30.0, "ecutrho": 240.0}
    if draw.random() < 0.5:
        system |= {"occupations": "smearing", "degauss": 0.02}
    return {"CONTROL": control, "SYSTEM": system, "ELECTRONS": {"conv_thr": 1e-10}}


def _output_parameters(draw: random.Random) -> dict[str, Value]:
    return {
        "energy": draw.uniform(-(10**4), 0),
        "energy_units": "eV",
        "fermi_energy": draw.uniform(-9, 9),
        "wall_time_seconds": draw.uniform(1, 10**4),
        "number_of_atoms": draw.randint(1, 40),
        "warnings": [],
        "parser_warnings": ["a warning"] * draw.randint(0, 2),
        "creator_name": "pwscf",
        "lsda": False,
        "fft_grid": [48, 48, 48],
        "symmetries": [
            {"symmetry_number": number, "t_rev": "0"} for number in range(draw.choice([1, 4, 8]))
        ],
        "energy_accuracy": 2.3e-11,
        "spin_orbit_calculation": None,
    }


def _bands(draw: random.Random, points: int) -> dict[str, Value]:
    return {
        "array|kpoints": [points, 3],
        "array|bands": [points, 20],
        "units": "eV",
        "labels": ["GAMMA", "X", "M", "GAMMA"],
        "label_numbers": [0, points // 3, 2 * points // 3, points - 1],
        "cell": [_vector(draw) for _ in range(3)],
    }


# Numbers and some texts differ from node to node.
_FILL: Final = f"""
    insert into db_dbnode
        (id, uuid, node_type, label, description, ctime, mtime, user_id)
    select
        node,
        md5(node::text)::uuid,
        'data.parameter.' || kind || '.',
        'node ' || node,
        '',
        timestamptz '2016-01-01 00:00Z' + node * interval '1 minute',
        timestamptz '2016-02-01 00:00Z' + node * interval '1 minute',
        (select min(id) from db_dbuser)
    from chosen
    order by node;

    insert into db_dbattribute (dbnode_id, {_COLUMNS})
    select
        chosen.node,
        row.datatype,
        row.key,
        row.bval,
        row.ival,
        case when row.fval = 0 then row.fval else row.fval + chosen.node * 1e-7 end,
        case when row.key like 'remote%' then row.tval || chosen.node else row.tval end,
        row.dval
    from chosen
    join template as row on row.kind = chosen.kind
    order by chosen.node, row.position;

    insert into db_dbextra (dbnode_id, datatype, key, tval)
    select node, 'txt', '_aiida_hash', md5('hash' || node) || md5('hash')
    from chosen
    order by node;

    select setval('db_dbnode_id_seq', max(id)) from db_dbnode;
"""
_FILL_OWN: Final = """
    insert into db_dbattribute (dbnode_id, datatype, key, ival, tval)
    select node, 'int', 'own ' || node, node, ''
    from chosen
    where kind in (select kind from template)
"""

# Millions of rows are not put into indexes, nor held against foreign keys, one by one.
_DROP_INDEXES: Final = """
    select format(
        'alter table %1$s drop constraint %2$I;alter table %1$s add constraint %2$I %3$s',
        conrelid::regclass, conname, pg_get_constraintdef(oid)
    )
    from pg_constraint
    where conrelid in ('db_dbattribute'::regclass, 'db_dbextra'::regclass)
      and contype in ('f', 'p', 'u')
    union all
    select format('drop index %s;%s', indexrelid::regclass, pg_get_indexdef(indexrelid))
    from pg_index
    where indrelid in ('db_dbattribute'::regclass, 'db_dbextra'::regclass)
      and not exists (select from pg_constraint where conindid = indexrelid)
"""
