"""AiiDA's tables as pypika sees them: what a server has, and what can be compared with what."""

from __future__ import annotations

import datetime
import decimal
import uuid

import pytest
from pypika import Query, Table

import aiidadb
from aiidadb import nodes, tables
from aiidadb.criteria.tables import COLUMN_KINDS, NODE_COLUMNS, TABLE_NAMES
from aiidadb.criteria.to_sql import bind
from aiidadb.exceptions import InvalidTypeError
from tests.helpers.databases import connected

NOW = datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC)
KINDS = {
    "boolean": "flag",
    "character varying": "text",
    "integer": "integer",
    "jsonb": "JSON",
    "text": "text",
    "timestamp with time zone": "time",
    "uuid": "UUID",
}


async def test_the_columns_are_those_of_each_line(head_dsn):
    async with connected(head_dsn) as connection:
        rows = await connection.fetch(
            """
            select table_name, column_name, data_type
            from information_schema.columns
            where table_schema = 'public' and table_name = any ($1::text[])
            """,
            list(TABLE_NAMES),
        )
    there: dict[str, dict[str, str]] = {}
    for row in rows:
        there.setdefault(row["table_name"], {})[row["column_name"]] = KINDS[row["data_type"]]
    async with aiidadb.open_backend(head_dsn) as backend:
        is_old = backend.version.line == "django"
    only_elsewhere = {"db_dbnode": {"repository_metadata"}, "db_dbcomputer": {"label"}}
    if not is_old:
        only_elsewhere = {"db_dbcomputer": {"name"}}
    assert there == {
        table: {
            name: kind
            for name, kind in columns.items()
            if name not in only_elsewhere.get(table, set())
        }
        for table, columns in COLUMN_KINDS.items()
    }
    assert there["db_dbnode"].keys() >= NODE_COLUMNS


@pytest.mark.quick
def test_each_table_is_public_and_old_imports_work():
    public = {getattr(tables, name) for name in tables.__all__}
    assert {table.get_table_name() for table in public} == set(TABLE_NAMES)
    assert tables.nodes is aiidadb.nodes
    for name in tables.__all__:
        assert f"``{name}``" in tables.__doc__
    for columns in COLUMN_KINDS.values():
        for column in columns:
            assert f"``{column}``" in tables.__doc__
    from aiidadb.criteria.tables import group_nodes, groups, links, users

    assert {group_nodes, groups, links, users} <= public


@pytest.mark.quick
@pytest.mark.parametrize(
    ("criterion", "message"),
    [
        (nodes.label == 5, r"db_dbnode\.label holds text.*5"),
        (nodes.label.like(5), "label holds text"),
        (nodes.label.isin([1, 2]), "label holds text"),
        (nodes.label > 1.5, "label holds text"),
        (nodes.node_type == uuid.UUID(int=1), "node_type holds text"),
        (nodes.as_("other").label == 5, "label holds text"),
        (nodes.id == "5", r"db_dbnode\.id holds integers.*'5'"),
        (nodes.id.isin(["5"]), "id holds integers"),
        (nodes.id.between("a", "b"), "id holds integers"),
        (nodes.user_id == True, "user_id holds integers"),  # noqa: E712
        (nodes.ctime == 5, "ctime holds times"),
        (nodes.ctime > datetime.timedelta(days=1), "ctime holds times"),
        (nodes.uuid == 5, "uuid holds UUIDs"),
        (tables.groups.label == 5, r"db_dbgroup\.label holds text"),
        (tables.authinfos.enabled == 1, "enabled holds True or False"),
        (
            nodes.id.isin(
                Query.from_(tables.links)
                .select(tables.links.output_id)
                .where(tables.links.type == 1)
            ),
            r"db_dblink\.type holds text",
        ),
    ],
    ids=str,
)
def test_what_a_column_cannot_be_compared_with_is_refused_here(criterion, message):
    with pytest.raises(InvalidTypeError, match=message):
        bind(criterion)


@pytest.mark.quick
@pytest.mark.parametrize(
    "criterion",
    [
        nodes.label == "5",
        nodes.label == nodes.node_type,
        nodes.label == None,  # noqa: E711
        nodes.id == 5,
        nodes.id < 5.5,
        nodes.id < decimal.Decimal("5.5"),
        nodes.ctime > NOW,
        nodes.ctime > NOW.date(),
        nodes.uuid == uuid.UUID(int=1),
        nodes.uuid == str(uuid.UUID(int=1)),
        nodes.attributes == 5,
        nodes.attributes.get_text_value("a") == "5",
        tables.authinfos.enabled == True,  # noqa: E712
        Table("invoices").label == 5,  # none of AiiDA's
    ],
    ids=str,
)
def test_what_it_can_be_compared_with_is_bound(criterion):
    text, _ = bind(criterion)
    assert text


async def test_a_wrong_type_does_not_spoil_a_transaction(backend):
    async with backend.transaction():
        for criterion in (nodes.label == 5, nodes.id == "5"):
            with pytest.raises(InvalidTypeError, match="cannot be compared with"):
                await backend.queries.get_closest_parents([1], criterion)
        with pytest.raises(InvalidTypeError, match="id holds integers"):
            await backend.queries.get_closest_parents([1], id="5")
        assert await backend.queries.get_closest_parents([1], nodes.label == "5") == {}


async def test_every_kind_of_comparison_that_is_bound_is_one_of_the_servers(backend):
    for criterion in (
        nodes.id < 5.5,
        nodes.id < decimal.Decimal("5.5"),
        nodes.ctime > NOW.date(),
        nodes.uuid == str(uuid.UUID(int=1)),
    ):
        assert await backend.queries.get_closest_parents([1], criterion) == {}
