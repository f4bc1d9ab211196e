"""The rest of the questions: all parents, UUIDs, and who may ask."""

import asyncio
import contextlib
import dataclasses
import secrets
import uuid

import asyncpg
import hypothesis.strategies as st
import pytest
from pypika import Query

import aiidadb
from aiidadb import nodes
from aiidadb.exceptions import (
    IntegrityError,
    InvalidInputError,
    InvalidTypeError,
    NotExistent,
    PermissionDenied,
    ReadOnlyDatabase,
)
from aiidadb.queries.uuids import UUID_TABLES
from aiidadb.sql import QUERIES
from tests.helpers.concurrent_change import change_after_first_question
from tests.helpers.graphs import (
    BANDS,
    INT,
    LINK_TYPES,
    STRUCTURE,
    Graph,
    Node,
    each_in_a_transaction,
    graphs,
    write_graph,
    write_groups,
    write_links,
    write_nodes,
    write_users,
)


async def write(backend, graph):
    await write_users(backend._session)
    await write_graph(backend._session, graph, line=backend.version.line)


# ---------------------------------------------------------------- all parents


@pytest.mark.hypothesis
async def test_all_parents_are_what_a_search_in_python_finds(backend):
    async def check(graph, starts, link_types):
        await write(backend, graph)
        found = await backend.queries.get_all_parents(starts, link_types=link_types)
        assert found == [(pk,) for pk in graph.ancestors(starts, link_types)]

    await each_in_a_transaction(
        backend,
        check,
        graphs(),
        st.lists(st.integers(-1, 16), max_size=4),
        st.none() | st.sets(st.sampled_from(LINK_TYPES)),
        count=15,
    )


async def test_by_default_all_parents_are_those_of_the_data_provenance(backend):
    types = dict.fromkeys(range(1, 8), INT)
    graph = Graph(types, tuple((pk, 7, kind) for pk, kind in enumerate(LINK_TYPES, start=1)))
    await write(backend, graph)
    ask = backend.queries.get_all_parents
    data = [pk for pk, kind in enumerate(LINK_TYPES, start=1) if kind in ("create", "input_calc")]
    assert await ask(7) == [(pk,) for pk in data]
    assert await ask([7], link_types=None) == [(pk,) for pk in range(1, 7)]


@pytest.mark.quick
async def test_all_parents_give_the_columns_asked_for(backend):
    session, line = backend._session, backend.version.line
    await write_users(session)
    made = [
        Node(1, STRUCTURE, label="silicon", attributes={"cell": [[1.5]], "a.b": {"c'": "x"}}),
        Node(2, INT, label="two", attributes=None),
        Node(3),
    ]
    await write_nodes(session, made, line=line)
    await write_links(session, [(1, 2, "input_calc"), (2, 3, "create"), (1, 3, "create")])
    ask = backend.queries.get_all_parents
    assert await ask(3) == await ask(3, ["pk"]) == [(1,), (2,)]
    assert await ask(3, ("label", "id")) == [("silicon", 1), ("two", 2)]
    assert await ask(3, ["attributes.cell", "attributes"]) == [
        ([[1.5]], {"cell": [[1.5]], "a.b": {"c'": "x"}}),
        (None, None),
    ]
    assert await ask(3, ["attributes.cell.0.0"]) == [(1.5,), (None,)]
    assert await ask([], ["label"]) == []
    (first, _) = await ask(3, ["uuid", "user_id"])
    assert str(first[0]) == "00000000-0000-4000-8000-000000000001"


@pytest.mark.quick
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"return_values": "id"}, "must be a collection"),
        ({"return_values": []}, "empty"),
        ({"return_values": ["colour"]}, "'colour'.*node_type"),
        ({"return_values": ["label.x"]}, "'label.x'"),
        ({"return_values": [1]}, "1 is not a column"),
        ({"return_values": ["attributes.\x00"]}, "NUL"),
        ({"link_types": ["made"]}, "made"),
        ({"node_pks": ["1"]}, "pk"),
    ],
    ids=repr,
)
async def test_what_all_parents_cannot_give_is_refused(bare_dsn, options, message):
    async with aiidadb.open_backend(aiidadb.Profile.from_dsn(bare_dsn)) as backend:
        with pytest.raises(InvalidInputError, match=message):
            await backend.queries.get_all_parents(**{"node_pks": [1], **options})


async def test_a_parent_deleted_between_the_questions_still_has_its_columns(backend, head_dsn):
    await write(backend, Graph({1: INT, 2: INT}, ((1, 2, "create"),)))
    delete = "delete from db_dblink; delete from db_dbnode where id = 1"
    async with change_after_first_question(head_dsn, delete):
        assert await backend.queries.get_all_parents(2, ["id", "label"]) == [(1, "")]
    assert await backend.queries.get_all_parents(2, ["id", "label"]) == []


async def test_all_parents_probe_the_index_of_links(head_dsn):
    connection = await asyncpg.connect(head_dsn)
    is_main = await connection.fetchval("select to_regclass('alembic_version') is not null")
    await write_users(connection)
    made = (Node(pk) for pk in range(1, 10_001))
    await write_nodes(connection, made, line="main" if is_main else "django")
    await write_links(connection, ((pk, pk + 1, "create") for pk in range(1, 10_000)))
    await connection.execute("vacuum analyze")
    statement = await connection.prepare(QUERIES["all_parents"].text)
    plan = str(await statement.explain("{10000}", ["create"]))
    assert "Seq Scan" not in plan
    assert "link.output_id = ancestor_1.node" in plan
    await connection.close()


# ---------------------------------------------------------------- UUIDs


def number(value):
    return uuid.UUID(int=value)


async def without_constraint(backend, table):
    """Take away what keeps UUIDs apart, as in databases of AiiDA 0.x."""
    (name,) = await backend._session.fetch(
        """
        select conname from pg_constraint
        where conrelid = $1::text::regclass and contype = 'u'
            and pg_get_constraintdef(oid) = 'UNIQUE (uuid)'
        """,
        table,
    )
    await backend._session.execute(f'alter table {table} drop constraint "{name[0]}"')


async def test_rows_that_share_a_uuid_are_told_and_can_be_given_new_ones(backend):
    await write(backend, Graph(dict.fromkeys(range(1, 8), INT), ()))
    ask = backend.queries
    assert await ask.get_duplicate_uuids("db_dbnode") == []
    await without_constraint(backend, "db_dbnode")
    await ask.apply_new_uuid_mapping(
        "db_dbnode", {5: number(9), 2: str(number(9)), 3: number(1), 1: number(1)}
    )
    found = await ask.get_duplicate_uuids("db_dbnode")
    assert found == [(1, number(1)), (3, number(1)), (2, number(9)), (5, number(9))]
    assert {type(value) for _, value in found} == {uuid.UUID}
    await ask.apply_new_uuid_mapping("db_dbnode", {3: number(33), 5: number(55)})
    assert await ask.get_duplicate_uuids("db_dbnode") == []
    rows = await ask.fetch(Query.from_(nodes).select(nodes.uuid).where(nodes.id.isin([3, 5])))
    assert {str(row["uuid"]) for row in rows} == {str(number(33)), str(number(55))}


async def test_every_table_of_aiidas_with_uuids_is_served_and_no_other(backend):
    assert QUERIES["duplicate_uuids"].tables == QUERIES["replace_uuids"].tables == UUID_TABLES
    for table in UUID_TABLES:
        assert await backend.queries.get_duplicate_uuids(table) == []
        await backend.queries.apply_new_uuid_mapping(table, {})
    columns = await backend._session.fetch(
        """
        select table_name::text from information_schema.columns
        where column_name = 'uuid' and table_schema = 'public'
        """
    )
    assert sorted(row["table_name"] for row in columns) == sorted(UUID_TABLES)
    for table in ("db_dbuser", "db_dbnode; drop table db_dbnode", 'db_dbnode"', "pg_class", None):
        with pytest.raises(InvalidInputError, match="db_dbcomment"):
            await backend.queries.get_duplicate_uuids(table)
        with pytest.raises(InvalidInputError, match="db_dbcomment"):
            await backend.queries.apply_new_uuid_mapping(table, {})


async def uuids(backend):
    rows = await backend.queries.fetch(Query.from_(nodes).select(nodes.id, nodes.uuid))
    return {row["id"]: str(row["uuid"]) for row in rows}


@pytest.mark.parametrize("key", [(), (1,), (1, 2), frozenset({1, 2}), range(1, 3)], ids=repr)
async def test_each_new_uuid_is_for_one_pk(backend, key):
    await write(backend, Graph(dict.fromkeys(range(1, 4), INT), ()))
    before = await uuids(backend)
    with pytest.raises(InvalidTypeError, match="is not a valid pk"):
        await backend.queries.apply_new_uuid_mapping("db_dbnode", {key: number(1001)})
    assert await uuids(backend) == before


@pytest.mark.quick
async def test_new_uuids_are_given_to_all_rows_or_to_none(backend):
    await write(backend, Graph(dict.fromkeys(range(1, 4), INT), ()))
    before = await uuids(backend)
    give = backend.queries.apply_new_uuid_mapping
    with pytest.raises(NotExistent, match=r"db_dbnode.* 98, 2147483648: nothing was changed"):
        await give("db_dbnode", {1: number(1001), 98: number(1002), 2**31: number(1003)})
    with pytest.raises(NotExistent, match=r"10, 11.*…"):
        await give("db_dbnode", {pk: number(pk) for pk in range(1, 40)} | {1: number(5)})
    with pytest.raises(IntegrityError):
        await give("db_dbnode", {1: number(1001), 2: before[3]})
    with pytest.raises(IntegrityError):
        await give("db_dbnode", {1: number(1001), 2: number(1001)})
    assert await uuids(backend) == before
    with pytest.raises(KeyError):
        async with backend.transaction():
            await give("db_dbnode", {1: number(1001)})
            # A refusal inside undoes only itself.
            with pytest.raises(NotExistent):
                await give("db_dbnode", {2: number(1002), 99: number(1003)})
            assert await uuids(backend) == {**before, 1: str(number(1001))}
            raise KeyError
    assert await uuids(backend) == before


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({1: "no uuid"}, "not a valid UUID"),
        ({1: None}, "not a valid UUID"),
        ({True: number(1)}, "pk"),
        ({"1": number(1)}, "pk"),
        ({2**63: number(1)}, "64 bits"),
        ([(1, number(1))], "mapping"),
    ],
    ids=repr,
)
async def test_what_is_no_mapping_of_pks_to_uuids_is_refused(bare_dsn, mapping, message):
    async with aiidadb.open_backend(aiidadb.Profile.from_dsn(bare_dsn)) as backend:
        with pytest.raises(InvalidInputError, match=message):
            await backend.queries.apply_new_uuid_mapping("db_dbnode", mapping)


# ---------------------------------------------------------------- who may ask


@pytest.fixture
async def reader(databases):
    """The name of a role that may do nothing yet; gone at the end, with all that it was granted."""
    name = f"aiidadb_reader_{secrets.token_hex(4)}"
    connection = await asyncpg.connect(databases.server_dsn)
    await connection.execute(f"create role {name}")
    yield name
    await connection.execute(f"drop role {name}")
    await connection.close()


async def _ask_everything(ask):
    assert (await ask.get_creation_statistics(timezone="Europe/Zurich"))["total"] == 3
    assert await ask.get_closest_parents([2, 3], node_type=STRUCTURE) == {2: 1, 3: 1}
    assert await ask.get_all_parents(3, ["label"]) == [("",), ("",)]
    assert await ask.get_descendants(1, ["pk", "depth"]) == [(2, 1), (3, 2)]
    assert [link.pk for link in (await ask.get_links(2, "incoming"))[2]] == [1]
    assert (await ask.get_link_counts(2))[2].outgoing == {"input_calc": 1}
    assert [node.pk for node in (await ask.get_provenance(2)).nodes] == [2, 1, 3]
    assert sum(one.count for one in await ask.get_full_types()) == 3
    (row,) = await ask.get_bands_and_parents_structure(group_name="some")
    assert row.formula == "Si"
    assert await ask.get_duplicate_uuids("db_dbnode") == []
    query = ask.query_group(Query.from_(nodes).select(nodes.id), group_pk=1)
    assert [row["id"] for row in await ask.fetch(ask.query_past_days(query, past_days=1e6))] == [2]
    with pytest.raises((ReadOnlyDatabase, PermissionDenied)):
        await ask.apply_new_uuid_mapping("db_dbnode", {1: number(1)})


async def test_a_role_that_may_only_select_can_ask_everything(backend, head_dsn, reader):
    session = backend._session
    await write_users(session)
    attributes = {
        "kinds": [{"name": "Si", "symbols": ["Si"], "weights": [1.0]}],
        "sites": [{"kind_name": "Si"}],
    }
    made = [Node(1, STRUCTURE, attributes=attributes), Node(2, BANDS), Node(3)]
    await write_nodes(session, made, line=backend.version.line)
    await write_links(session, [(1, 2, "create"), (2, 3, "input_calc")])
    await write_groups(session, {"some": [2]})
    await session.execute(f"grant select on all tables in schema public to {reader}")
    profile = aiidadb.Profile.from_dsn(head_dsn, default_user_email="ada@epfl.ch")
    settings = {"role": reader, "default_transaction_read_only": "on"}
    async with (
        aiidadb.PoolRegistry() as registry,
        aiidadb.open_backend(profile, registry=registry, server_settings=settings) as reading,
    ):
        for block in (contextlib.nullcontext(), reading.transaction()):
            async with block:
                await _ask_everything(reading.queries)
    await session.execute(f"drop owned by {reader}")


async def test_questions_can_be_asked_at_once_also_inside_a_transaction(backend):
    await write(backend, Graph({1: STRUCTURE, 2: BANDS}, ((1, 2, "create"),)))

    async def everything():
        ask = backend.queries
        return await asyncio.gather(
            ask.get_creation_statistics(),
            ask.get_closest_parents([2]),
            ask.get_all_parents([2]),
            ask.get_bands_and_parents_structure(all_users=True),
            ask.get_duplicate_uuids("db_dbnode"),
            ask.get_links([1, 2], "outgoing"),
            ask.get_link_counts([1, 2]),
            ask.get_descendants([1], ["pk", "label", "depth"]),
            ask.get_provenance([1], depth=2),
            ask.get_full_types(),
            ask.fetch(Query.from_(nodes).select(nodes.id).orderby(nodes.id)),
        )

    outside = await everything()
    async with backend.transaction():
        assert await everything() == outside
    assert outside[0]["total"] == 2
    assert outside[1] == {2: 1}


@pytest.mark.quick
async def test_two_keys_for_one_row_are_refused(main_dsn):
    @dataclasses.dataclass(frozen=True)
    class WithPk:
        pk: int

    async with aiidadb.open_backend(main_dsn) as backend:
        one = uuid.uuid4()
        with pytest.raises(InvalidInputError, match="more than one UUID for the row with pk 1"):
            await backend.queries.apply_new_uuid_mapping("db_dbnode", {1: one, WithPk(1): one})
