"""Generated campaigns: AiiDA's rules hold, AiiDA reads them, and a seed gives the same again."""

import collections
import dataclasses
import datetime
import warnings

import asyncpg
import pytest
import pytest_asyncio

from aiidadb.demo.campaign import GROUPS, USERS, fill_with_campaign
from aiidadb.exceptions import DatabaseNotEmpty, InvalidInputError, NotAnAiidaDatabase

NODES = 3000

# What a link's ends must be: the beginnings of their node types.
ENDS = {
    "create": ("process.calculation.", "data."),
    "return": ("process.workflow.", "data."),
    "input_calc": ("data.", "process.calculation."),
    "input_work": ("data.", "process.workflow."),
    "call_calc": ("process.workflow.", "process.calculation."),
    "call_work": ("process.workflow.", "process.workflow."),
}


@pytest_asyncio.fixture
async def connection(head_dsn):
    opened = await asyncpg.connect(head_dsn)
    yield opened
    await opened.close()


async def links_of(connection) -> list[asyncpg.Record]:
    return await connection.fetch(
        """
        select link.type, link.label, link.input_id, link.output_id,
            source.node_type as source, target.node_type as target
        from db_dblink as link
        join db_dbnode as source on source.id = link.input_id
        join db_dbnode as target on target.id = link.output_id
        order by link.id
        """
    )


async def test_links_obey_the_rules_of_aiida(connection):
    await fill_with_campaign(connection, nodes=NODES)
    links = await links_of(connection)
    assert {link["type"] for link in links} == set(ENDS)
    for link in links:
        source, target = ENDS[link["type"]]
        assert link["source"].startswith(source), dict(link)
        assert link["target"].startswith(target), dict(link)
        assert link["label"]

    def most(kinds: set[str], *columns: str) -> int:
        counted = collections.Counter(
            tuple(link[column] for column in columns) for link in links if link["type"] in kinds
        )
        return max(counted.values())

    # One creator, one caller, one input per label, one output per label.
    assert most({"create"}, "output_id") == 1
    assert most({"call_calc", "call_work"}, "output_id") == 1
    assert most({"input_calc", "input_work"}, "output_id", "label") == 1
    assert most({"create"}, "input_id", "label") == 1
    assert most({"return"}, "input_id", "label") == 1
    assert most({"call_calc", "call_work"}, "input_id", "output_id") == 1


async def test_data_provenance_has_no_cycle_but_workflows_make_some(connection):
    await fill_with_campaign(connection, nodes=NODES)
    links = await links_of(connection)
    # Nodes are numbered in the order of their making: data provenance goes upwards only.
    data = [link for link in links if link["type"] in {"create", "input_calc"}]
    assert all(link["input_id"] < link["output_id"] for link in data)
    returned = {(one["output_id"], one["input_id"]) for one in links if one["type"] == "return"}
    assert any(
        (link["input_id"], link["output_id"]) in returned
        for link in links
        if link["type"] == "input_work"
    )


async def test_every_number_of_nodes_is_met_and_told_truly(connection):
    campaign = await fill_with_campaign(connection, nodes=1234)
    counted = await connection.fetchrow(
        """
        select
            (select count(*) from db_dbnode) as nodes,
            (select count(*) from db_dblink) as links,
            (select count(*) from db_dbnode where node_type like '%.BandsData.') as bands,
            (select count(*) from db_dbnode where node_type like '%.StructureData.') as structures,
            (select count(*) from db_dbgroup_dbnodes) as members,
            (select count(*) from db_dbcomment) as comments,
            (select count(*) from db_dblog) as logs
        """
    )
    assert dict(counted) == dataclasses.asdict(campaign)
    assert campaign.nodes == 1234
    assert all(counted.values())
    # The next node gets the next pk.
    assert await connection.fetchval("select nextval('db_dbnode_id_seq')") == 1235


async def test_one_node_in_eighteen_is_bands(connection):
    campaign = await fill_with_campaign(connection, nodes=10_000)
    assert 17 < campaign.nodes / campaign.bands < 19
    assert 1.4 < campaign.links / campaign.nodes < 1.65


@pytest.mark.quick
async def test_a_seed_gives_the_same_again_and_another_seed_does_not(databases, django_dsn):
    async def content(seed: int) -> list[list[asyncpg.Record]]:
        connection = await asyncpg.connect(django_dsn)
        try:
            transaction = connection.transaction()
            await transaction.start()
            await fill_with_campaign(connection, nodes=800, seed=seed)
            nodes = await connection.fetch(
                "select id, uuid, node_type, label, ctime, mtime, attributes::text, extras::text "
                "from db_dbnode order by id"
            )
            links = await connection.fetch(
                "select input_id, output_id, type, label from db_dblink order by 1, 2, 3, 4"
            )
            await transaction.rollback()
        finally:
            await connection.close()
        return [nodes, links]

    first = await content(1)
    assert await content(1) == first
    assert await content(2) != first


async def test_bands_are_several_links_from_their_structure(connection):
    await fill_with_campaign(connection, nodes=NODES)
    inputs = collections.defaultdict(list)
    for link in await links_of(connection):
        inputs[link["output_id"]].append(link["input_id"])
    types = dict(await connection.fetch("select id, node_type from db_dbnode"))

    def distance(start: int) -> int | None:
        seen, level, number = {start}, [start], 0
        while level:
            level = [one for node in level for one in inputs[node] if one not in seen]
            seen.update(level)
            number += 1
            if any(types[node].endswith(".StructureData.") for node in level):
                return number
        return None

    bands = [pk for pk, node_type in types.items() if node_type.endswith(".BandsData.")]
    found = collections.Counter(distance(pk) for pk in bands)
    assert {2, 4, 6, 8, None} == set(found)
    assert sum(found[far] for far in (4, 6, 8)) > len(bands) / 2


async def test_nodes_spread_over_months_people_and_groups(connection):
    until = datetime.datetime(2024, 2, 29, tzinfo=datetime.UTC)
    await fill_with_campaign(connection, nodes=NODES, until=until)
    first, last, months = await connection.fetchrow(
        "select min(ctime), max(ctime), count(distinct date_trunc('month', ctime)) from db_dbnode"
    )
    assert until - datetime.timedelta(days=271) < first < last <= until
    assert months >= 8
    emails = await connection.fetch(
        "select email from db_dbuser as person join db_dbnode as node on node.user_id = person.id "
        "group by email order by count(*) desc"
    )
    assert emails[0]["email"] == USERS[0]
    assert {row["email"] for row in emails} == set(USERS)
    groups = await connection.fetch(
        "select label from db_dbgroup as one join db_dbgroup_dbnodes on dbgroup_id = one.id "
        "group by label"
    )
    assert {row["label"] for row in groups} == set(GROUPS)


async def test_a_database_with_nodes_or_without_a_schema_is_refused(connection, databases):
    await fill_with_campaign(connection, nodes=400)
    with pytest.raises(DatabaseNotEmpty):
        await fill_with_campaign(connection, nodes=400)
    empty = await databases.create()
    without = await asyncpg.connect(empty)
    try:
        with pytest.raises(NotAnAiidaDatabase):
            await fill_with_campaign(without, nodes=400)
    finally:
        await without.close()
        await databases.drop(empty)


@pytest.mark.parametrize(
    "arguments",
    [
        {"nodes": 10},
        {"nodes": 2**31},
        {"seed": -1},
        {"until": datetime.datetime(2024, 1, 1)},
    ],
)
async def test_what_cannot_be_made_is_refused(connection, arguments):
    with pytest.raises(InvalidInputError):
        await fill_with_campaign(connection, **{"nodes": 400, **arguments})
    assert await connection.fetchval("select count(*) from db_dbnode") == 0


async def test_progress_ends_with_all(connection):
    told = []
    await fill_with_campaign(connection, nodes=900, progress=lambda *numbers: told.append(numbers))
    assert told[-1] == (900, 900)
    assert [done for done, _ in told] == sorted(done for done, _ in told)


@pytest_asyncio.fixture
async def filled_aiida(aiida_dsn, aiida_backend):
    connection = await asyncpg.connect(aiida_dsn)
    await fill_with_campaign(connection, nodes=700)
    await connection.close()
    yield aiida_backend
    # aiida-core disposes of its engine first and would leave the session's connection open.
    aiida_backend.get_session().close()


async def test_aiida_reads_every_node_and_walks_along_the_links(filled_aiida):
    from aiida import orm

    with warnings.catch_warnings():
        # Entry points of plugins that are not installed here.
        warnings.simplefilter("ignore")
        query = orm.QueryBuilder(backend=filled_aiida).append(orm.Node)
        nodes = [row[0] for row in query.all()]
    assert len(nodes) == 700
    classes = collections.Counter(type(node).__name__ for node in nodes)
    assert {
        "BandsData", "CalcFunctionNode", "CalcJobNode", "Dict", "FolderData", "InstalledCode",
        "KpointsData", "RemoteData", "SinglefileData", "StructureData", "TrajectoryData", "UpfData",
        "WorkChainNode",
    } == set(classes)  # fmt: skip
    for node in nodes:
        assert node.is_stored
        assert node.user.email in USERS
        if isinstance(node, orm.StructureData):
            assert node.get_formula()
            assert node.get_cell_volume() > 0
            assert len(node.sites) >= 1
        if isinstance(node, orm.BandsData):
            assert node.units == "eV"
            assert node.creator is None or node.creator.is_finished_ok
        if isinstance(node, orm.RemoteData):
            assert node.creator.get_remote_workdir() == node.get_remote_path()
        if isinstance(node, orm.CalcJobNode):
            assert node.inputs.code.get_executable()
            assert node.caller is not None
            assert node.computer.get_transport_class() is not None


async def test_aiida_finds_the_structures_of_bands(filled_aiida):
    from aiida import orm

    query = orm.QueryBuilder(backend=filled_aiida)
    query.append(orm.StructureData, tag="structure")
    query.append(
        orm.BandsData, with_ancestors="structure", project="id", filters={"label": "model"}
    )
    assert query.distinct().count() > 0
