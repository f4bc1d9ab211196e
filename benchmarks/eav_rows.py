"""Databases from before ``django_0037``, filled with rows as AiiDA 0.x has them.

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

from tests.helpers.attribute_rows import Value, rows_of

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
        connection: To the database, at any version from 1.0.8 to 1.0.36, as the owner of its
            tables.
        rows: How many rows ``db_dbattribute`` and ``db_dbextra`` have in all, roughly.
        own_shapes: Give every node with attributes one more, whose key no other node has.
        seed: Of the nodes' contents and order.

    Returns:
        The number of nodes.
    """
    draw = random.Random(seed)
    types, contents = zip(*_kinds(draw), strict=True)
    kinds = [rows_of(values) for values in contents]
    is_old = await connection.fetchval(_HAS_OLD_COLUMNS)
    nodes = round(rows / (sum(len(kind) + 1 + own_shapes for kind in kinds) / len(kinds)))
    await connection.execute(
        f"""
        create temporary table template as
        select 0 as kind, 0 as position, {_COLUMNS} from db_dbattribute limit 0;
        create temporary table kind (number integer, type text);
        create temporary table chosen (node integer, kind integer);
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
    await connection.copy_records_to_table("kind", records=list(enumerate(types)))
    await connection.copy_records_to_table(
        "chosen", records=[(node, draw.randrange(len(kinds))) for node in range(1, nodes + 1)]
    )
    async with connection.transaction():
        indexes = [row[0] for row in await connection.fetch(_DROP_INDEXES)]
        await connection.execute("; ".join(row.partition(";")[0] for row in indexes))
        await connection.execute(_NODES_THEN if is_old else _NODES_NOW)
        await connection.execute(_ROWS)
        if own_shapes:
            await connection.execute(_FILL_OWN)
        await connection.execute("set constraints all immediate")
        await connection.execute("; ".join(row.partition(";")[2] for row in indexes))
    await connection.execute("vacuum analyze", timeout=3600)
    await connection.execute("checkpoint", timeout=3600)
    return nodes


def _kinds(draw: random.Random) -> Iterator[tuple[str, dict[str, Value]]]:
    """Types and contents: of each kind as many as there are of it in a hundred or so nodes."""
    place = "/scratch/ada/aiida_run/4a/5b/6c7d-8e9f-0123-4567-89abcdef0123"
    for _ in range(12):
        yield "calculation.job.quantumespresso.pw.PwCalculation.", _job(draw)
    for _ in range(15):
        yield "data.remote.RemoteData.", {"remote_path": place}
        yield "data.folder.FolderData.", {}
    for _ in range(10):
        yield "data.parameter.ParameterData.", _input_parameters(draw)
        yield "data.parameter.ParameterData.", _output_parameters(draw)
    for sites in (1, 2, 2, 2, 3, 4, 5, 5, 8, 30):
        yield "data.structure.StructureData.", _structure(draw, sites)
    for _ in range(10):
        mesh: list[Value] = [draw.randint(1, 12) for _ in range(3)]
        yield "data.array.kpoints.KpointsData.", {"mesh": mesh, "offset": [0.0, 0.0, 0.5]}
    for number in range(22):
        function = draw.choice(["relax", "seekpath"])
        kind = "inline.Inline" if number % 2 else "work.Work"
        yield f"calculation.{kind}Calculation.", {"_sealed": True, "function_name": function}
    for points in (30, 60, 90):
        yield "data.array.bands.BandsData.", _bands(draw, points)
    for value in (3, 2.5, "text", True, 1e-10, -0.0):
        yield f"data.base.{type(value).__name__.capitalize()}.", {"value": value}
    for element in ("Ba", "Ti", "O"):
        md5 = f"{draw.getrandbits(128):032x}"
        yield "data.upf.UpfData.", {"element": element, "md5": md5}
    code: dict[str, Value] = {"input_plugin": "quantumespresso.pw", "is_local": False}
    yield "code.Code.", {**code, "prepend_text": ""}


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


# Users and nodes had more columns at first.
_HAS_OLD_COLUMNS: Final = """
    select exists (
        select
        from pg_attribute
        where attrelid = 'db_dbnode'::regclass and attname = 'type' and not attisdropped
    )
"""
_NODES: Final = """
    insert into db_dbuser (email, first_name, last_name, institution{more_of_user})
    values ('ada@epfl.ch', '', '', ''{values_of_user});

    insert into db_dbnode
        (id, uuid, {type}, label, description, ctime, mtime, user_id{more_of_node})
    select
        chosen.node,
        md5(chosen.node::text)::uuid,
        kind.type,
        'node ' || chosen.node,
        '',
        timestamptz '2016-01-01 00:00Z' + chosen.node * interval '1 minute',
        timestamptz '2016-02-01 00:00Z' + chosen.node * interval '1 minute',
        (select min(id) from db_dbuser)
        {values_of_node}
    from chosen
    join kind on kind.number = chosen.kind
    order by chosen.node;
"""
_NODES_NOW: Final = _NODES.format(
    type="node_type", more_of_user="", values_of_user="", more_of_node="", values_of_node=""
)
_NODES_THEN: Final = _NODES.format(
    type="type",
    more_of_user=", password, is_superuser, is_staff, is_active, last_login, date_joined",
    values_of_user=", '', false, false, true, '2016-01-01 00:00Z', '2016-01-01 00:00Z'",
    more_of_node=", nodeversion, public",
    values_of_node=", 1, false",
)

# Numbers and some texts differ from node to node.
_ROWS: Final = f"""
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
