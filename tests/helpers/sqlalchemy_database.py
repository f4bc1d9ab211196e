"""A small database of the sqlalchemy line's first revision, with something in it for every step.

It is as AiiDA 0.7 left it: no table of Alembic's, two constraints on links that later releases have
not, its trigger on links; in it nodes of the kinds that are renamed, with attributes, extras and
files, links, groups, comments, logs and workflows that leave the database, users and computers, and
some of what AiiDA's own steps stop at.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from tests.helpers.databases import run_script
from tests.helpers.old_database import OldDatabase
from tests.helpers.old_nodes import add_files
from tests.helpers.real_databases import schema_script

if TYPE_CHECKING:
    from pathlib import Path

    from tests.helpers.databases import Databases

__all__ = ["make_first_database"]

_NODES: Final = {
    1: ("data.structure.StructureData.", '{"cell": [1, 2]}', "{}"),
    2: ("data.parameter.ParameterData.", '{"ecut": 30.0}', "null"),
    3: (
        "data.array.trajectory.TrajectoryData.",
        '{"array|symbols": [3], "array|a": [2]}',
        "{}",
    ),
    4: ("data.folder.FolderData.", "{}", "{}"),
    5: ("code.Code.", '{"hidden": true, "input_plugin": "quantumespresso.pw"}', '{"hidden": 1}'),
    6: (
        "calculation.job.quantumespresso.pw.PwCalculation.",
        '{"jobresource_params": {"a": 1}, "parser": "quantumespresso.pw", "state": "FINISHED"}',
        '{"_aiida_hash": "abc"}',
    ),
    7: (
        "calculation.job.simpleplugins.arithmetic.add.ArithmeticAddCalculation.",
        '{"state": "NEW"}',
        "{}",
    ),
    8: ("calculation.inline.InlineCalculation.", "null", "{}"),
    9: ("calculation.work.WorkCalculation.", '{"_sealed": true}', "{}"),
    10: ("data.array.bands.BandsData.", "{}", "{}"),
    11: (
        "calculation.work.WorkCalculation.",
        '{"function_name": "f", "_process_label": "f"}',
        "{}",
    ),
    12: ("code.Code.", '{"hidden": false, "input_plugin": "simpleplugins.arithmetic.add"}', "{}"),
}
"""The nodes by their ids: type, attributes, extras."""

_OTHERS: Final = """
    insert into db_dblink (input_id, output_id, label, type)
    values
        (1, 6, 'structure', 'inputlink'),
        (2, 6, 'parameters', null),
        (5, 6, 'code', ''),
        (6, 4, 'retrieved', 'createlink'),
        (6, 3, 'output_trajectory', 'createlink'),
        (6, 10, 'returned', 'returnlink'),
        (9, 6, 'CALL', null),
        (9, 10, 'bands', null),
        (3, 8, 'trajectory', 'inputlink'),
        (8, 10, 'bands_of_trajectory', 'returnlink'),
        (11, 1, '_return', 'returnlink');
    insert into db_dbgroup (id, uuid, name, type, time, user_id)
    values
        (1, '10000000-0000-4000-8000-000000000000', 'campaign', '', '2017-01-02Z', 1),
        (2, '20000000-0000-4000-8000-000000000000', 'pbe', 'data.upf.family', '2017-01-02Z', 1);
    insert into db_dbgroup_dbnodes (dbgroup_id, dbnode_id) values (1, 1), (1, 10), (1, 1), (2, 10);
    insert into db_dbcomment (uuid, dbnode_id, user_id, content, ctime, mtime)
    values (
        '30000000-0000-4000-8000-000000000000', 6, 1, 'look at this', '2017-01-02Z', '2017-01-02Z'
    );
    insert into db_dbcalcstate (dbnode_id, state) values (6, 'FINISHED');
    insert into db_dblog (time, objname, objpk, metadata)
    values
        ('2017-01-02Z', 'node.calculation.job.quantumespresso.pw.PwCalculation.', 6,
         '{"objname": "node.", "objpk": 6, "msg": "hello"}'),
        ('2017-01-02Z', 'node.', 9999, '{}'),
        ('2017-01-02Z', 'aiida.workflows.user.mine', 1, '{}'),
        ('2017-01-02Z', 'somebody', 1, 'null'),
        ('2017-01-02Z', null, 6, 'null'),
        ('2017-01-02Z', null, null, null);
    insert into db_dbworkflow (id, uuid, label, user_id) values (1, gen_random_uuid(), 'relax', 1);
    insert into db_dbworkflowstep (id, parent_id, name, user_id) values (1, 1, 'start', 1);
    insert into db_dbworkflowstep_calculations (dbworkflowstep_id, dbnode_id) values (1, 6);
    insert into db_dbsetting (key, val, description)
    values
        ('daemon|user', '"ada"', ''),
        ('db|backend', '"sqlalchemy"', ''),
        ('db|schemaversion', '0.1', '');
    insert into db_dbauthinfo (aiidauser_id, dbcomputer_id, auth_params) values (1, 1, '{}');
    create sequence message_id_sequence;
    create table kombu_queue (id integer primary key);
    create table kombu_message (id integer primary key, queue_id integer references kombu_queue)
"""


async def make_first_database(databases: Databases, directory: Path) -> OldDatabase:
    """Make a copy of it.

    Args:
        databases: Where it is made, and dropped at the end.
        directory: Where its repository is made.
    """

    async def build(dsn: str) -> None:
        await run_script(dsn, schema_script("sqlalchemy_01_e15ef2630a1b"))
        await run_script(
            dsn,
            "alter table db_dblink add unique (input_id, output_id), add unique (output_id, label);"
            "insert into db_dbuser (id, email, is_superuser) values (1, 'ada@epfl.ch', false);"
            "insert into db_dbcomputer (id, uuid, name, transport_type, scheduler_type)"
            "values (1, '40000000-0000-4000-8000-000000000000', 'daint', 'ssh', 'slurm');"
            + "".join(
                "insert into db_dbnode"
                " (id, uuid, type, ctime, mtime, user_id, attributes, extras) values"
                f" ({pk}, '{_uuid(pk)}', '{kind}', '2017-01-02Z', '2017-01-03Z', 1,"
                f" '{attributes}', '{extras}');"
                for pk, (kind, attributes, extras) in _NODES.items()
            )
            + _OTHERS,
        )

    add_files(directory, _uuid(4), {"aiida.out": b"JOB DONE", "deep/er.txt": b""})
    add_files(directory, _uuid(6), {"aiida.in": b"&control /"}, content="raw_input")
    folder = add_files(directory, _uuid(3), {"steps.npy": b"not looked at"})
    np.save(folder / "symbols.npy", np.array(["Ba", "Ti", "O"]))
    return OldDatabase(await databases.create(await databases.template("first", build)), directory)


def _uuid(pk: int) -> str:
    return f"{pk:02x}000000-0000-4000-8000-000000000000"
