"""Queries as services, commands and notebooks send them, on genuine databases of every version.

The same nodes are in databases of both old lines and in those that became of them. What aiida-core
2.9.4 answers on the new ones is what is expected on all, in whichever form a dictionary comes.
"""

from __future__ import annotations

import asyncio
import copy
import dataclasses
import datetime
import json
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
import pytest_asyncio

import aiidadb
from aiidadb.criteria.node_types import spelling_of, translate_node_type
from aiidadb.querybuilder.entities import ENTITIES
from aiidadb.querybuilder.records import RECORDS
from aiidadb.version.schema_version import MAIN_HEAD
from tests.helpers.aiida_storage import aiida_storage
from tests.helpers.databases import connected, run_script
from tests.helpers.real_databases import dump_script
from tests.querybuilder.oracle import oracle, plain

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from aiida.storage.psql_dos.backend import PsqlDosBackend

    from tests.helpers.databases import Databases

QUERIES = [
    json.loads(line)
    for line in Path(__file__).with_name("real_queries.jsonl").read_text().splitlines()
]
WHO = list(dict.fromkeys(one["who"] for one in QUERIES))

# What aiida-core's own constructor does not take from a dictionary, or takes for something else.
NOT_TAKEN_BACK = {"'authinfo'", "'comment'", "'log'", "'group.core.upf'"}

# What is in databases of the old lines, and what aiida-core made of them.
OLD_AND_NEW = {
    "django": ("legacy/2_after_aiida-1.6.9_django_0045", "legacy/3_after_aiida-2.9.4_main_0002"),
    "sqlalchemy": (
        "legacy_sqla/1_aiida-1.6.9_0edcdd5a30f0",
        "legacy_sqla/2_after_aiida-2.1.2_main_0001",
    ),
}


class Line(NamedTuple):
    """The databases of a line, oldest first; all have the same in them."""

    dsns: tuple[str, ...]
    storage: PsqlDosBackend


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def aiida_lines(
    databases: Databases, process_name: str, aiida_home: Path
) -> AsyncIterator[list[Line]]:
    """The databases of each line, and aiida-core on the newest."""
    lines = []
    for line, dumps in OLD_AND_NEW.items():
        dsns = []
        for dump in dumps:

            async def build(dsn: str, dump: str = dump) -> None:
                await run_script(dsn, dump_script(dump))

            dsns.append(await databases.create(await databases.template(Path(dump).name, build)))
        if line == "sqlalchemy":
            newest = await databases.create(Path(dumps[-1]).name)
            profile = aiidadb.Profile.from_dsn(newest)
            async with aiidadb.open_backend(profile, schema_check=False) as backend:
                await backend.schema.migrate("main_0002", without_repository=True)
            dsns.append(newest)
        repository = aiida_home / f"{line}_{process_name}"
        await _give_files(dsns[-1], repository)
        lines.append(Line(tuple(dsns), aiida_storage(dsns[-1], repository)))
    yield lines
    for one in lines:
        one.storage.get_session().close()
        one.storage.close()


async def _give_files(dsn: str, repository: Path) -> None:
    """Make an empty file repository that goes with a database, which aiida-core asks for."""
    from disk_objectstore import Container

    container = Container(repository / "container")
    await asyncio.to_thread(container.init_container)
    async with connected(dsn) as connection:
        await connection.execute(
            """
            insert into db_dbsetting (key, val, description, time)
            values ('repository|uuid', $1::text::jsonb, '', now())
            on conflict (key) do update set val = excluded.val
            """,
            json.dumps(container.container_id),
        )


# ---------------------------------------------------------------- forms of a dictionary


def with_marks(part: Any, time: Callable[[str], Any], pk: Callable[[int], Any]) -> Any:
    """A query of the file, with times and pks as some client has them."""
    if isinstance(part, list):
        return [with_marks(one, time, pk) for one in part]
    if not isinstance(part, dict):
        return part
    if "$time" in part:
        return time(part["$time"])
    if "$pk" in part:
        return pk(part["$pk"])
    return {key: with_marks(one, time, pk) for key, one in part.items()}


def as_1_x(query: dict[str, Any]) -> dict[str, Any]:
    """A dictionary as ``queryhelp`` of AiiDA 1.x has it."""
    old = copy.deepcopy(query)
    for key in ("project_map", "distinct"):
        del old[key]
    for vertex in old["path"]:
        del vertex["orm_base"]
    old["order_by"] = old["order_by"] or {}
    old["path"], old["filters"] = spelled_as_1_x([old["path"], old["filters"]])
    return old


def spelled_as_1_x(part: Any) -> Any:
    if isinstance(part, str):
        return translate_node_type(part, core_prefix=False) if part.startswith("data.") else part
    if isinstance(part, list):
        return [spelled_as_1_x(one) for one in part]
    if isinstance(part, dict):
        return {key: spelled_as_1_x(one) for key, one in part.items()}
    return part


def forms_of(
    backend: aiidadb.Backend, query: dict[str, Any], canonical: dict[str, Any]
) -> dict[str, Any]:
    forms = {
        "loose": with_marks(query, datetime.datetime.fromisoformat, int),
        "2.x": canonical,
        "JSON": json.loads(json.dumps(with_marks(query, str, str))),
    }
    forms["JSON of 2.x"] = backend.query(forms["JSON"]).as_dict()
    json.dumps(forms["JSON of 2.x"])
    if not canonical["distinct"]:
        forms["1.x"] = as_1_x(canonical)
    return forms


# ---------------------------------------------------------------- answers


def spelled_as_2_x(part: Any) -> Any:
    """An answer as it is in a database of 2.x, whichever it is from."""
    if isinstance(part, str):
        for spell in spelling_of(MAIN_HEAD).texts.values():
            part = spell(part)
        return part
    if isinstance(part, list):
        return [spelled_as_2_x(one) for one in part]
    if isinstance(part, dict):
        return {key: spelled_as_2_x(one) for key, one in part.items()}
    return part


def comparable(answer: Any, query: dict[str, Any]) -> Any:
    found = spelled_as_2_x(plain(answer))
    if query["order_by"] or not isinstance(found, list):
        return repr(found)
    return sorted(map(repr, found))


def without_files(answer: Any, version: aiidadb.SchemaVersion) -> Any:
    """An answer of ``**`` as AiiDA 1.x can give it, which has no metadata of files."""
    if version.line == "main" or not isinstance(answer, list):
        return answer
    for row in answer:
        for fields in row.values() if isinstance(row, dict) else ():
            if "repository_metadata" in fields:
                assert fields["repository_metadata"] is None
                fields["repository_metadata"] = {}
    return answer


@pytest.mark.parametrize("who", WHO)
async def test_a_query_is_answered_in_the_same_way_on_every_line(aiida_lines, who):
    from aiida import orm

    asked = [one for one in QUERIES if one["who"] == who]
    with_rows: set[str] = set()
    wrong: list[tuple[Any, ...]] = []
    for line in aiida_lines:
        async with AsyncExitStack() as stack:
            backends = [
                await stack.enter_async_context(aiidadb.open_backend(aiidadb.Profile.from_dsn(dsn)))
                for dsn in line.dsns
            ]
            for one in asked:
                mode = one["mode"]
                loose = with_marks(one["query"], datetime.datetime.fromisoformat, int)
                canonical: Any = backends[-1].query(loose).as_dict()
                if not NOT_TAKEN_BACK & {repr(one["entity_type"]) for one in canonical["path"]}:
                    theirs = orm.QueryBuilder(backend=line.storage, **copy.deepcopy(loose))
                    assert canonical == theirs.as_dict()
                expected = getattr(oracle(line.storage, canonical), mode)()
                if expected:
                    with_rows.add(one["what"])
                for backend in backends:
                    for form, query in forms_of(backend, one["query"], canonical).items():
                        answer = await getattr(backend.query(query), mode)()
                        answer = without_files(answer, backend.version)
                        if comparable(answer, canonical) != comparable(expected, canonical):
                            wrong.append(
                                (one["what"], str(backend.version), form, answer, expected)
                            )
    assert wrong == []
    assert with_rows >= {one["what"] for one in asked} - {"first of nothing"}


async def test_what_a_line_does_not_have_is_none_in_filters_and_orders(aiida_lines):
    for line in aiida_lines:
        for dsn in line.dsns:
            async with aiidadb.open_backend(aiidadb.Profile.from_dsn(dsn)) as backend:
                nodes = await backend.query().append("").count()
                has_files = backend.version.line == "main"
                for filters, number in (
                    ({"repository_metadata": {"==": None}}, 0 if has_files else nodes),
                    ({"repository_metadata": {"!==": None}}, nodes if has_files else 0),
                    ({"repository_metadata": {"==": {"o": 1}}}, 0),
                    ({"repository_metadata.o": {"of_type": "null"}}, None),
                    ({"repository_metadata": {"has_key": "o"}}, None),
                    ({"repository_metadata.o.x": {"contains": [1]}}, 0),
                    ({"repository_metadata.o": {"longer": 1}}, 0),
                    ({"repository_metadata": {"in": [{}]}}, None),
                    ({"repository_metadata": {"like": "%"}}, None),
                    ({"or": [{"repository_metadata.o": "x"}, {"id": 3}]}, 1),
                ):
                    try:
                        query = backend.query().append("", tag="n", filters=filters)
                        found = await query.count()
                    except aiidadb.InvalidInputError:
                        continue
                    assert number is None or found == number, filters
                query = backend.query().append("", tag="n", project=["id", "repository_metadata"])
                for order in (
                    {"n": "repository_metadata"},
                    {"n": [{"repository_metadata.o": {"cast": "t"}}]},
                ):
                    rows = await query.order_by(order).all()
                    assert len(rows) == nodes
                    page = await query.page(nodes - 2)
                    rest = await query.page(nodes, after=page.next)
                    assert sorted(map(repr, page.rows + rest.rows)) == sorted(map(repr, rows))
                assert len(await query.distinct().order_by({"n": "id"}).all()) == nodes
                page = await query.page(nodes - 2)
                assert len((await query.page(nodes, after=page.next)).rows) == 2
                top = backend.query().append("", project={"repository_metadata": {"func": "count"}})
                assert await top.all() == [[nodes if has_files else 0]]
                for name in ("name", "label"):
                    query = backend.query().append("computer", tag="c", project=["id", name])
                    query.order_by({"c": {name: "desc"}}).add_filter("c", {name: {"ilike": "%"}})
                    rows = await query.all()
                    assert rows == sorted(rows, key=lambda row: row[1], reverse=True) != []
                    assert await query.distinct().all() == rows


KINDS: dict[Any, Any] = {
    "int": int,
    "int | None": int | None,
    "str": str,
    "str | None": str | None,
    "bool": bool,
    "datetime.datetime | None": datetime.datetime | None,
    "JsonValue": object,
}


async def test_records_hold_values_of_their_types_on_every_line(aiida_lines):
    seen = Counter[str]()
    for line in aiida_lines:
        for dsn in line.dsns:
            async with aiidadb.open_backend(aiidadb.Profile.from_dsn(dsn)) as backend:
                for entity, record in RECORDS.items():
                    given = {"node": "", "group": "group.core"}.get(entity, entity)
                    for (one,) in await backend.query().append(given, project="*").all():
                        assert type(one) is record.kind
                        assert not hasattr(one, "__dict__")
                        with pytest.raises(dataclasses.FrozenInstanceError):
                            one.pk = 0
                        for field in dataclasses.fields(one):
                            value = getattr(one, field.name)
                            assert isinstance(value, KINDS[field.type]), (entity, field.name)
                        seen[entity] += 1
                    rows = await backend.query().append(given, tag="one", project="**").dict()
                    names = list(ENTITIES[entity].columns)
                    assert all(list(row["one"]) == names for row in rows)
                    assert len(rows) == await backend.query().append(given).count()
    assert seen.keys() == RECORDS.keys()
