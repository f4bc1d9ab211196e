"""Deletion: everything that depends on a node goes with it, and what AiiDA's rules require."""

import asyncio
import itertools
import random

import asyncpg
import pytest

import aiidadb
from aiidadb.exceptions import IntegrityError, InvalidInputError, NotExistent
from aiidadb.sql import QUERIES
from tests.helpers.choices import some_of
from tests.helpers.concurrent_change import change_after_first_question

WHAT = ("links", "group_memberships", "comments", "logs")
SWITCHES = ("create_forward", "call_calc_forward", "call_work_forward")

FILL = """
insert into db_dbuser (id, email, first_name, last_name, institution) values (1, 'u', '', '', '');
insert into db_dbnode (id, uuid, node_type, label, description, ctime, mtime, user_id, {columns})
select n, gen_random_uuid(), 'data.Data.', '', '', now(), now(), 1, {values}
from generate_series(1, 40) n;
insert into db_dblink (input_id, output_id, label, type)
select n, n + 1, 'l', 'create' from generate_series(1, 39) n;
insert into db_dblink (input_id, output_id, label, type) values
    (5, 5, 'self', 'create'), (5, 6, 'again', 'return');
insert into db_dbgroup (id, uuid, label, type_string, time, description, user_id, extras)
values (1, gen_random_uuid(), 'a', 'core', now(), '', 1, '{{}}'),
       (2, gen_random_uuid(), 'b', 'core', now(), '', 1, '{{}}');
insert into db_dbgroup_dbnodes (dbgroup_id, dbnode_id)
select g, n from generate_series(1, 2) g, generate_series(4, 6) n;
insert into db_dbcomment (uuid, ctime, mtime, content, dbnode_id, user_id)
select gen_random_uuid(), now(), now(), 'c', n, 1 from generate_series(5, 7) n;
insert into db_dblog (uuid, time, loggername, levelname, message, metadata, dbnode_id)
select gen_random_uuid(), now(), 'l', 'INFO', 'm', '{{}}', n
from generate_series(5, 6) n, generate_series(1, 3);
"""


@pytest.fixture
async def connection(head_dsn):
    """A connection to a database of 40 nodes in a row, with everything on some of them."""
    opened = await asyncpg.connect(head_dsn)
    is_main = await opened.fetchval("select to_regclass('alembic_version') is not null")
    columns, values = "attributes, extras", "'{}', '{}'"
    if is_main:
        columns, values = f"{columns}, repository_metadata", f"{values}, '{{}}'"
    await opened.execute(FILL.format(columns=columns, values=values))
    yield opened
    await opened.close()


async def dangling(connection: asyncpg.Connection) -> int:
    return await connection.fetchval(
        """
        select count(*) from db_dblink l
        where not exists (select from db_dbnode n where n.id = l.input_id)
           or not exists (select from db_dbnode n where n.id = l.output_id)
        """
    )


async def test_a_preview_counts_what_was_there_at_one_moment(connection, backend, head_dsn):
    before = await backend.preview_deletion([5, 6])
    assert before.counts.comments == 2
    cut = "select count(*) from db_dblink where (input_id in (5, 6)) <> (output_id in (5, 6))"
    assert before.links_cut == await connection.fetchval(cut) < before.counts.links
    async with change_after_first_question(head_dsn, "delete from db_dbcomment"):
        assert await backend.preview_deletion([5, 6]) == before


@pytest.mark.quick
async def test_all_that_hangs_on_the_nodes_goes_and_nothing_else(connection, backend):
    report = await backend.delete_nodes_and_connections([5, 6, 99, -1, 2**40])
    assert report == aiidadb.DeletionReport(
        nodes=2, links=5, group_memberships=4, comments=2, logs=6, missing=(-1, 99, 2**40)
    )
    counts = await connection.fetchrow(
        """
        select (select count(*) from db_dbnode) as nodes, (select count(*) from db_dblink) as links,
               (select count(*) from db_dbgroup) as groups,
               (select array_agg(dbnode_id) from db_dbgroup_dbnodes) as members,
               (select array_agg(dbnode_id) from db_dbcomment) as comments,
               (select count(*) from db_dblog) as logs
        """
    )
    assert tuple(counts) == (38, 36, 2, [4, 4], [7], 0)
    assert await dangling(connection) == 0


@pytest.mark.parametrize(
    "form",
    [
        lambda: 7,
        lambda: [7],
        lambda: (7, 7),
        lambda: {7},
        lambda: iter([7]),
        lambda: (pk for pk in [7]),
        lambda: type("Node", (), {"pk": 7})(),
        lambda: [type("Node", (), {"pk": 7})()],
    ],
)
async def test_pks_come_in_any_form(connection, backend, form):
    assert (await backend.delete_nodes_and_connections(form())).nodes == 1


@pytest.mark.quick
async def test_no_pks_delete_nothing(connection, backend):
    assert await backend.delete_nodes_and_connections([]) == aiidadb.DeletionReport()


@pytest.mark.parametrize("pks", ["7", [True], [1.0], None, [None], [2**63], object()])
async def test_what_is_no_pk_is_refused(connection, backend, pks):
    with pytest.raises(InvalidInputError):
        await backend.delete_nodes_and_connections(pks)
    assert await connection.fetchval("select count(*) from db_dbnode") == 40


@pytest.mark.quick
async def test_strict_deletes_nothing_where_a_node_is_missing(connection, backend):
    with pytest.raises(NotExistent, match="98, 99"):
        await backend.delete_nodes_and_connections([5, 98, 99], strict=True)
    with pytest.raises(NotExistent, match="and 10 more"):
        await backend.delete_nodes_and_connections(range(101, 121), strict=True)
    assert await connection.fetchval("select count(*) from db_dbnode") == 40
    assert (await backend.delete_nodes_and_connections([5], strict=True)).nodes == 1


async def test_a_reference_that_is_not_aiidas_stops_it_before_anything_is_gone(connection, backend):
    await connection.execute(
        """
        create table plugin (node_id int references db_dbnode deferrable initially deferred);
        insert into plugin values (6)
        """
    )
    with pytest.raises(IntegrityError, match="plugin"):
        await backend.delete_nodes_and_connections([5, 6])
    assert await connection.fetchval("select count(*) from db_dbnode") == 40
    assert await connection.fetchval("select count(*) from db_dbcomment") == 3


async def test_a_reference_without_an_index_is_warned_of(connection, backend, caplog):
    assert await QUERIES["unindexed_references"].fetch(backend._session, "db_dbnode") == []
    await connection.execute("create table plugin (node_id int references db_dbnode)")
    await backend.delete_nodes_and_connections([5])
    assert "plugin.node_id" in caplog.text


async def test_it_takes_part_in_a_transaction(connection, backend):
    with pytest.raises(KeyError):
        async with backend.transaction():
            await backend.delete_nodes_and_connections(range(1, 41))
            await backend.settings.set("a", 1)
            raise KeyError
    assert await connection.fetchval("select count(*) from db_dbnode") == 40


async def test_many_deletions_at_once_do_not_deadlock(connection, head_dsn):
    generator = random.Random(7)
    profile = aiidadb.Profile.from_dsn(head_dsn)
    async with aiidadb.open_backend(profile, max_size=12) as backend:
        for _ in range(6):
            present = [row["id"] for row in await connection.fetch("select id from db_dbnode")]
            sets = [generator.sample(present, min(6, len(present))) for _ in range(12)]
            reports = await asyncio.gather(
                *(backend.delete_nodes_and_connections(some) for some in sets)
            )
            asked = set(itertools.chain.from_iterable(sets))
            assert sum(report.nodes for report in reports) == len(asked)
            left = {row["id"] for row in await connection.fetch("select id from db_dbnode")}
            assert left == set(present) - asked
            assert await dangling(connection) == 0


@pytest.mark.parametrize("who_is_first", ["link", "deletion"])
async def test_a_link_added_meanwhile_never_dangles(connection, backend, head_dsn, who_is_first):
    other = await asyncpg.connect(head_dsn)
    try:
        adding = other.transaction()
        await adding.start()
        insert = (
            "insert into db_dblink (input_id, output_id, label, type) "
            "values (30, 20, 'x', 'create')"
        )
        if who_is_first == "link":
            await other.execute(insert)
            await other.execute("set constraints all immediate")  # takes its lock on the nodes
            deletion = asyncio.create_task(backend.delete_nodes_and_connections([20]))
            await asyncio.sleep(0.3)
            assert not deletion.done()
            await adding.commit()
            assert (await deletion).links == 3
        else:
            async with backend.transaction():
                assert (await backend.delete_nodes_and_connections([20])).links == 2
                await other.execute(insert)
                commit = asyncio.create_task(adding.commit())
                await asyncio.sleep(0.3)
                assert not commit.done()
            with pytest.raises(asyncpg.ForeignKeyViolationError):
                await commit
        assert await dangling(connection) == 0
    finally:
        await other.close()


async def plan_of(connection: asyncpg.Connection, name: str, *arguments: object) -> str:
    rows = await connection.fetch(f"explain {QUERIES[name].text}", *arguments)
    return "\n".join(row[0] for row in rows)


async def test_deletes_and_traversals_use_the_indexes_for_few_and_for_many(connection):
    await connection.execute(
        """
        alter table db_dbnode disable trigger user;
        insert into db_dbnode
        select (jsonb_populate_record(n, jsonb_build_object(
            'id', 100 + s, 'uuid', gen_random_uuid()))).*
        from db_dbnode n, generate_series(1, 5000) s where n.id = 1;
        insert into db_dblink (input_id, output_id, label, type)
        select 100 + s, 101 + s, 'l', 'create' from generate_series(1, 4999) s;
        insert into db_dbgroup_dbnodes (dbgroup_id, dbnode_id)
        select 1, 100 + s from generate_series(1, 5000) s;
        insert into db_dbcomment (uuid, ctime, mtime, content, dbnode_id, user_id)
        select gen_random_uuid(), now(), now(), 'c', 100 + s, 1 from generate_series(1, 5000) s;
        insert into db_dblog (uuid, time, loggername, levelname, message, metadata, dbnode_id)
        select gen_random_uuid(), now(), 'l', 'INFO', 'm', '{}', 100 + s
        from generate_series(1, 5000) s;
        analyze
        """
    )
    modes = ("force_custom_plan", "force_generic_plan")
    for mode, last in itertools.product(modes, (510, 4_500)):
        await connection.execute(f"set plan_cache_mode = {mode}")
        pks = list(range(500, last))
        text = f"{{{','.join(map(str, pks))}}}"
        plans = {
            name: await plan_of(connection, name, text)
            for name in ("lock_nodes_to_delete", *(f"delete_{what}" for what in WHAT))
        }
        plans["delete_nodes"] = await plan_of(connection, "delete_nodes", pks)
        plans["rules"] = await plan_of(connection, "nodes_to_delete", text, ["create"], ["create"])
        assert [name for name, plan in plans.items() if "Seq Scan on" in plan] == []
        assert "input_id" in plans["delete_links"]
        assert "output_id" in plans["delete_links"]


# ------------------------------------------------------------- held against aiida-core's own


def build_graph(storage, seed: int) -> list[int]:
    """A random provenance graph made through aiida-core's own classes; gives all pks."""
    from aiida import orm
    from aiida.common.links import LinkType

    generator = random.Random(seed)
    user = storage.default_user
    computer = orm.Computer(
        label=f"computer{seed}", hostname="localhost", transport_type="core.local",
        scheduler_type="core.direct", backend=storage,
    ).store()  # fmt: skip
    common = {"backend": storage, "user": user}
    data = [orm.Data(**common).store() for _ in range(4)]
    workflows: list[orm.WorkflowNode] = []
    pks = []

    def label() -> str:
        return f"l{generator.getrandbits(40)}"

    for _ in range(generator.randint(6, 10)):
        caller = generator.choice(workflows) if workflows and generator.random() < 0.7 else None
        inputs = generator.sample(data, generator.randint(0, 3))
        if generator.random() < 0.5:
            calculation = orm.CalcJobNode(computer=computer, **common)
            calculation.base.attributes.set("resources", {"num_machines": 1})
            for one in inputs:
                calculation.base.links.add_incoming(one, LinkType.INPUT_CALC, label())
            if caller:
                calculation.base.links.add_incoming(caller, LinkType.CALL_CALC, label())
            calculation.store()
            for _ in range(generator.randint(0, 2)):
                output = orm.Data(**common)
                output.base.links.add_incoming(calculation, LinkType.CREATE, label())
                data.append(output.store())
            pks.append(calculation.pk)
        else:
            workflow = orm.WorkChainNode(**common)
            for one in inputs:
                workflow.base.links.add_incoming(one, LinkType.INPUT_WORK, label())
            if caller:
                workflow.base.links.add_incoming(caller, LinkType.CALL_WORK, label())
            workflow.store()
            for one in generator.sample(data, generator.randint(0, 2)):
                one.base.links.add_incoming(workflow, LinkType.RETURN, label())
            workflows.append(workflow)
            pks.append(workflow.pk)
    return pks + [one.pk for one in data]


@pytest.mark.parametrize("seed", some_of(range(4), [0]))
async def test_the_rules_give_what_aiida_cores_delete_nodes_gives(aiida_dsn, aiida_backend, seed):
    from aiida.tools import delete_nodes

    pks = build_graph(aiida_backend, seed)
    generator = random.Random(seed)
    async with aiidadb.open_backend(aiidadb.Profile.from_dsn(aiida_dsn)) as backend:
        for values in itertools.product([True, False], repeat=3):
            switches = dict(zip(SWITCHES, values, strict=True))
            for _ in range(4):
                some = generator.sample(pks, generator.randint(1, 3))
                theirs, _ = delete_nodes(some, dry_run=True, backend=aiida_backend, **switches)
                assert await backend.get_nodes_to_delete(some, **switches) == theirs, switches
        assert await backend.get_nodes_to_delete([10**9]) == set()


async def test_what_we_delete_is_gone_for_aiida_core_and_it_finds_nothing_dangling(
    aiida_dsn, aiida_backend
):
    from aiida import orm
    from aiida.tools import delete_nodes

    pks = build_graph(aiida_backend, 11)
    user = aiida_backend.default_user
    node = orm.QueryBuilder(backend=aiida_backend).append(
        orm.Node, filters={"id": pks[-1]}
    ).one()[0]  # fmt: skip
    group = orm.Group("campaign", user=user, backend=aiida_backend).store()
    group.add_nodes([node])
    orm.Comment(node, user, "hello", backend=aiida_backend).store()
    theirs, _ = delete_nodes([pks[-1]], dry_run=True, backend=aiida_backend)
    async with aiidadb.open_backend(aiidadb.Profile.from_dsn(aiida_dsn)) as backend:
        ours = await backend.get_nodes_to_delete(pks[-1])
        assert ours == theirs
        report = await backend.delete_nodes_and_connections(ours)
    assert (report.nodes, report.comments, report.group_memberships) == (len(ours), 1, 1)
    left = {pk for (pk,) in orm.QueryBuilder(backend=aiida_backend).append(
        orm.Node, project="id").iterall()}  # fmt: skip
    assert left == set(pks) - ours
    assert group.count() == 0
