"""Eight small queries of the query builder: the client's CPU of each, from dictionary to rows.

The peer is aiida-core's QueryBuilder on the same dictionary. The floor is ``pool.fetch`` of bare
asyncpg with the SQL that stands here by hand, from a pool whose ``reset`` sends nothing; it gives
records as they come, JSON among them as text.

All take turns in blocks of calls, one after the other, and the figures are medians of the ratios of
neighbouring blocks. CPU is ``time.process_time`` of this process, so the server's is not in it.
"""

from __future__ import annotations

import asyncio
import gc
import statistics
import time
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import asyncpg
from common import Report, Server, aiida_storage, parser, profile_of, run

import aiidadb
from aiidadb.connecting.opening.connection import COMMAND_TIMEOUT
from aiidadb.messages import plural

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

_THEIRS: Final = "aiida-core"
_OURS: Final = "aiidadb"
_BARE: Final = "bare asyncpg"

_COLUMNS: Final = (
    "id, uuid, node_type, process_type, label, description, ctime, mtime, attributes, extras, "
    "repository_metadata, user_id, dbcomputer_id"
)
_OTHERS: Final = ", ".join(f"other.{name}" for name in _COLUMNS.split(", "))


@dataclass(frozen=True)
class Small:
    """A small query: what it asks, its dictionary, and the same as SQL with its values."""

    what: str
    query: dict[str, Any]
    sql: str
    values: tuple[object, ...] = ()


def _query(
    path: list[dict[str, Any]],
    filters: dict[str, Any],
    project: dict[str, list[dict[str, Any]]],
    **options: Any,
) -> dict[str, Any]:
    """A dictionary as AiiDA's ``as_dict()`` gives it."""
    nothing = {"project_map": {}, "order_by": [], "limit": None, "offset": None, "distinct": False}
    return {"path": path, "filters": filters, "project": project, **nothing, **options}


def _vertex(
    entity_type: str,
    orm_base: str,
    tag: str,
    keyword: str | None = None,
    joined: str | None = None,
) -> dict[str, Any]:
    return {
        "entity_type": entity_type,
        "orm_base": orm_base,
        "tag": tag,
        "joining_keyword": keyword,
        "joining_value": joined,
        "edge_tag": None if joined is None else f"{joined}--{tag}",
        "outerjoin": False,
    }


def _fields(*names: str) -> list[dict[str, Any]]:
    return [{name: {}} for name in names]


async def small_queries(connection: asyncpg.Connection) -> list[Small]:
    """The eight queries, about what the database has."""
    chain, chain_uuid = await connection.fetchrow(
        "select id, uuid::text from db_dbnode where process_type like '%.pw.bands' "
        "order by id limit 1"
    )
    member = await connection.fetchval(
        "select dbnode_id from db_dbgroup_dbnodes group by dbnode_id order by count(*) desc, "
        "dbnode_id limit 1"
    )
    any_node = {"node_type": {"like": "%"}}
    one = [_vertex("", "node", "node")]
    page = _fields(
        *("id", "uuid", "node_type", "process_type", "label", "description", "ctime", "mtime"),
        *("user_id", "dbcomputer_id"),
    )
    state = ("attributes.process_label", "attributes.process_state", "attributes.exit_status")
    return [
        Small(
            "node by pk",
            _query(one, {"node": {**any_node, "id": chain}}, {"node": _fields("*")}),
            f"select {_COLUMNS} from db_dbnode where id = $1::int",
            (chain,),
        ),
        Small(
            "node by uuid",
            _query(one, {"node": {**any_node, "uuid": chain_uuid}}, {"node": _fields("*")}),
            f"select {_COLUMNS} from db_dbnode where uuid = $1::uuid",
            (chain_uuid,),
        ),
        Small(
            "links of a node",
            _query(
                [*one, _vertex("", "node", "other", "with_outgoing", "node")],
                {"node": {**any_node, "id": chain}, "other": any_node, "node--other": {}},
                {
                    "node": [],
                    "other": _fields("id", "node_type"),
                    "node--other": _fields("type", "label"),
                },
            ),
            "select other.id, other.node_type, link.type, link.label from db_dblink as link "
            "join db_dbnode as other on other.id = link.input_id where link.output_id = $1::int",
            (chain,),
        ),
        Small(
            "groups of a node",
            _query(
                [*one, _vertex("group.core", "group", "group", "with_node", "node")],
                {
                    "node": {**any_node, "id": {"==": member}},
                    "group": {"type_string": {"like": "%"}},
                    "node--group": {},
                },
                {
                    "node": [],
                    "group": _fields("id", "label", "type_string"),
                    "node--group": [],
                },
            ),
            "select held.id, held.label, held.type_string from db_dbgroup_dbnodes as member "
            "join db_dbgroup as held on held.id = member.dbgroup_id "
            "where member.dbnode_id = $1::int",
            (member,),
        ),
        Small(
            "a page of nodes",
            _query(
                one,
                {"node": any_node},
                {"node": page},
                order_by=[{"node": [{"id": {"order": "desc"}}]}],
                limit=20,
                offset=400,
            ),
            "select id, uuid, node_type, process_type, label, description, ctime, mtime, user_id, "
            "dbcomputer_id from db_dbnode order by id desc limit $1::int offset $2::int",
            (20, 400),
        ),
        Small(
            "attributes",
            _query(
                one,
                {"node": {**any_node, "id": {"in": [chain, chain + 1, chain + 2]}}},
                {"node": _fields("id", *state)},
            ),
            "select id, attributes -> 'process_label', attributes -> 'process_state', "
            "attributes -> 'exit_status' from db_dbnode where id = any($1::int[])",
            ([chain, chain + 1, chain + 2],),
        ),
        Small(
            "children of a work chain",
            _query(
                [
                    _vertex("process.workflow.workchain.WorkChainNode.", "node", "chain"),
                    _vertex("process.ProcessNode.", "node", "child", "with_incoming", "chain"),
                ],
                {
                    "chain": {
                        "node_type": {"like": "process.workflow.workchain.%"},
                        "uuid": chain_uuid,
                    },
                    "child": {"node_type": {"like": "process.%"}},
                    "chain--child": {"type": {"in": ["call_calc", "call_work"]}},
                },
                {
                    "chain": [],
                    "child": _fields("id", "process_type", state[1]),
                    "chain--child": _fields("label"),
                },
            ),
            "select child.id, child.process_type, child.attributes -> 'process_state', link.label "
            "from db_dbnode as chain join db_dblink as link on link.input_id = chain.id "
            "join db_dbnode as child on child.id = link.output_id where chain.uuid = $1::uuid "
            "and link.type in ('call_calc', 'call_work') and child.node_type like 'process.%'",
            (chain_uuid,),
        ),
        Small(
            "labels of groups",
            _query(
                [_vertex("group.core", "group", "group")],
                {"group": {"type_string": {"like": "%"}}},
                {"group": _fields("label")},
                order_by=[{"group": [{"label": {"order": "asc"}}]}],
            ),
            "select label from db_dbgroup order by label",
        ),
    ]


async def main(arguments: argparse.Namespace, server: Server) -> None:
    dsn = await server.campaign(arguments.nodes, arguments.seed)
    connection = await asyncpg.connect(dsn)
    try:
        queries = await small_queries(connection)
    finally:
        await connection.close()
    report = Report(
        f"querybuilder_small_{arguments.nodes}",
        "Eight small queries from dictionary to rows: the client's CPU",
        {"nodes": arguments.nodes, "calls": arguments.calls, "blocks": arguments.repeat},
    )
    sums: dict[str, list[float]] = {name: [0.0] * arguments.repeat for name in _NAMES}
    async with (
        aiida_storage(dsn) as storage,
        aiidadb.open_backend(profile_of(dsn)) as backend,
        asyncpg.create_pool(
            dsn,
            min_size=1,
            command_timeout=COMMAND_TIMEOUT,
            reset=_send_nothing,
            server_settings={"jit": "off"},
        ) as pool,
    ):
        theirs = _peer(storage)
        for small in queries:
            rows = await _same_number_of_rows(small, theirs, backend, pool)
            taken = await _blocks(small, theirs, backend, pool, arguments)
            report.add(
                f"{small.what}, {plural(rows, 'row')}",
                {name: [1e6 * one for one in times] for name, times in taken.items()},
                unit="µs",
            )
            report.goal(f"{small.what}: aiida-core / aiidadb", _ratio(taken, _THEIRS), ">=", 6)
            report.goal(f"{small.what}: aiidadb / bare", 1 / _ratio(taken, _BARE), "<=", 1.5)
            for name, times in taken.items():
                sums[name] = [one + more for one, more in zip(sums[name], times, strict=True)]
    report.goal("all eight: aiida-core / aiidadb", _ratio(sums, _THEIRS), ">=", 12)
    report.goal("all eight: aiidadb / bare", 1 / _ratio(sums, _BARE), "<=", 1.5)
    report.note(f"A block of aiida-core has a tenth of the {arguments.calls} calls.")
    await report.finish(dsn)


_NAMES: Final = (_THEIRS, _OURS, _BARE)


async def _send_nothing(connection: asyncpg.Connection) -> None:
    """What a pool does to a connection that is given back."""


def _peer(storage: Any) -> Callable[[dict[str, Any]], list[list[Any]]]:
    """aiida-core's QueryBuilder, from a dictionary to rows."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from aiida.orm import QueryBuilder

    return lambda query: QueryBuilder(storage, **query).all()


async def _same_number_of_rows(
    small: Small,
    theirs: Callable[[dict[str, Any]], list[list[Any]]],
    backend: aiidadb.Backend,
    pool: asyncpg.Pool,
) -> int:
    rows = len(await backend.query(small.query).all())
    assert rows == len(theirs(small.query)) == len(await pool.fetch(small.sql, *small.values)) > 0
    return rows


async def _blocks(
    small: Small,
    theirs: Callable[[dict[str, Any]], list[list[Any]]],
    backend: aiidadb.Backend,
    pool: asyncpg.Pool,
    arguments: argparse.Namespace,
) -> dict[str, list[float]]:
    """Seconds of this process's CPU per call, block by block."""
    query, sql, values = small.query, small.sql, small.values

    async def by_aiida(calls: int) -> None:
        for _ in range(calls):
            theirs(query)

    async def by_aiidadb(calls: int) -> None:
        for _ in range(calls):
            await backend.query(query).all()

    async def by_asyncpg(calls: int) -> None:
        for _ in range(calls):
            await pool.fetch(sql, *values)

    contestants = {
        _THEIRS: (by_aiida, max(1, arguments.calls // 10)),
        _OURS: (by_aiidadb, arguments.calls),
        _BARE: (by_asyncpg, arguments.calls),
    }
    taken: dict[str, list[float]] = {name: [] for name in contestants}
    for turn in range(-1, arguments.repeat):
        for name, (work, calls) in contestants.items():
            gc.collect()
            await asyncio.sleep(0)
            begin = time.process_time()
            await work(calls)
            if turn >= 0:  # the first is the warm-up
                taken[name].append((time.process_time() - begin) / calls)
    return taken


def _ratio(taken: dict[str, list[float]], other: str) -> float:
    """The median of another's by ours, each pair measured one right after the other."""
    pairs = zip(taken[other], taken[_OURS], strict=True)
    return statistics.median(theirs / ours for theirs, ours in pairs)


if __name__ == "__main__":
    options = parser(__doc__.splitlines()[0], repeat=41)
    options.add_argument("--calls", type=int, default=50, help="calls in each block")
    run(main, options.parse_args())
