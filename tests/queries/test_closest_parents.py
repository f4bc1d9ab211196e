"""The closest parent, against plain searches in Python and against aiida-core."""

import asyncio
import contextlib
import random
import re
from types import SimpleNamespace

import asyncpg
import hypothesis.strategies as st
import pytest
from pypika import Criterion, Query
from pypika import functions as fn

import aiidadb
from aiidadb import nodes
from aiidadb.criteria.tables import links
from aiidadb.exceptions import ClosedError, InvalidInputError
from aiidadb.queries import nearest_matches, parent_search
from aiidadb.sql import QUERIES
from aiidadb.turns import in_turn
from tests.helpers.concurrent_change import change_after_first_question
from tests.helpers.graphs import (
    BANDS,
    DATA_LINKS,
    INT,
    LINK_TYPES,
    NODE_TYPES,
    STRUCTURE,
    Graph,
    Node,
    each_in_a_transaction,
    graphs,
    write_graph,
    write_links,
    write_nodes,
    write_users,
)

NEVER = nodes.label == "no node has this label"


async def write(backend, graph):
    await write_users(backend._session)
    await write_graph(backend._session, graph, line=backend.version.line)


def chain(*node_types, kind="create"):
    """Nodes 1, 2, … each the parent of the next."""
    types = dict(enumerate(node_types, start=1))
    return Graph(types, tuple((pk, pk + 1, kind) for pk in list(types)[:-1]))


# ---------------------------------------------------------------- right on every graph


@pytest.fixture(params=["walks", "by levels", "closure"])
def way(request, monkeypatch):
    """Each of the ways to the answer, where small graphs would only ever be walked."""
    if request.param != "walks":
        monkeypatch.setattr(parent_search, "_PAIRS_OF_A_START", 0)
        monkeypatch.setattr(parent_search, "_LEAST_ALLOWANCE", 1)
        monkeypatch.setattr(
            parent_search, "_LEAST_LEVEL", 1 if request.param == "by levels" else 10_000
        )
        monkeypatch.setattr(parent_search, "_SLICE", 3)
        monkeypatch.setattr(nearest_matches, "STEP", 2)


@pytest.mark.hypothesis
async def test_it_is_what_a_breadth_first_search_finds(backend, way):
    async def check(graph, missing, link_types, chunk_size):
        await write(backend, graph)
        starts = [*graph.types, *missing]
        found = await backend.queries.get_closest_parents(
            starts, node_type=STRUCTURE, link_types=link_types, chunk_size=chunk_size
        )
        assert found == graph.closest(starts, lambda pk: graph.types[pk] == STRUCTURE, link_types)

    await each_in_a_transaction(
        backend,
        check,
        graphs(),
        st.lists(st.integers(-3, 2**63 - 1).filter(lambda pk: not 0 < pk < 20), max_size=3),
        st.none() | st.sets(st.sampled_from(LINK_TYPES)),
        st.none() | st.integers(1, 5),
        count=25,
    )


@pytest.mark.hypothesis
async def test_without_criteria_it_is_the_direct_parent_with_the_highest_pk(backend):
    async def check(graph):
        await write(backend, graph)
        found = await backend.queries.get_closest_parents(graph.types)
        assert found == graph.closest(graph.types, lambda _: True)

    await each_in_a_transaction(backend, check, graphs(), count=10)


async def test_children_that_share_a_parent_all_get_it(backend):
    # djsite kept one child of each parent.
    graph = Graph(
        {1: STRUCTURE, **dict.fromkeys(range(2, 500), BANDS)},
        tuple((1, pk, "create") for pk in range(2, 500)),
    )
    await write(backend, graph)
    found = await backend.queries.get_closest_parents(range(2, 500), node_type=STRUCTURE)
    assert found == dict.fromkeys(range(2, 500), 1)


async def test_a_node_is_not_its_own_parent_also_on_cycles(backend, way):
    graph = Graph(
        {1: STRUCTURE, 2: STRUCTURE, 3: INT},
        ((1, 1, "return"), (1, 3, "input_work"), (3, 1, "return"), (2, 3, "create")),
    )
    await write(backend, graph)
    assert await backend.queries.get_closest_parents([1, 2, 3], node_type=STRUCTURE) == {1: 2, 3: 2}


async def test_a_start_that_matches_on_a_cycle_gets_the_second_nearest_match(backend, way):
    # Above 3 the nearest match is the start 4 itself: what 4 must get lies hidden behind it, over
    # 2, whose nearest is another, and over 5, whose nearest is 4 as well; as far over either.
    types = dict.fromkeys(range(1, 12), INT) | dict.fromkeys((1, 4, 7, 8, 11), STRUCTURE)
    cycle = ((4, 5, "input_work"), (5, 3, "input_work"), (3, 4, "return"))
    over_2 = ((2, 3, "create"), (6, 2, "create"), (1, 6, "create"), (7, 6, "create"))
    over_5 = ((10, 5, "create"), (11, 10, "create"))
    further = ((9, 6, "create"), (8, 9, "create"))
    for ways, closest in ((over_2 + over_5, 11), (over_2, 7), (over_5, 11)):
        graph = Graph(types, (*cycle, *ways, *further))
        with contextlib.suppress(KeyError):
            async with backend.transaction():
                await write(backend, graph)
                found = await backend.queries.get_closest_parents(types, node_type=STRUCTURE)
                assert found[3] == 4
                assert found[4] == closest
                assert found == graph.closest(types, lambda pk: types[pk] == STRUCTURE)
                raise KeyError


async def test_a_cycle_without_a_match_ends(backend, way):
    # A workflow that returned one of its inputs: djsite never came back.
    await write(backend, Graph({1: INT, 2: INT}, ((1, 2, "input_work"), (2, 1, "return"))))
    assert await backend.queries.get_closest_parents([1, 2], node_type=STRUCTURE) == {}


@pytest.mark.quick
async def test_of_several_at_the_same_distance_it_is_the_highest_pk(backend):
    links_down = [(pk, 1, "create") for pk in (9, 4, 7)]
    graph = Graph(
        {1: INT, 4: STRUCTURE, 7: STRUCTURE, 9: STRUCTURE, 2: STRUCTURE},
        (*links_down, (2, 4, "create")),
    )
    await write(backend, graph)
    assert await backend.queries.get_closest_parents(1, node_type=STRUCTURE) == {1: 9}


async def test_starts_on_one_path_do_not_disturb_each_other(backend, way):
    graph = chain(STRUCTURE, INT, INT, STRUCTURE, INT)
    await write(backend, graph)
    for size in range(1, 6):
        found = await backend.queries.get_closest_parents(
            [1, 2, 3, 4, 5], node_type=STRUCTURE, chunk_size=size
        )
        assert found == {2: 1, 3: 1, 4: 1, 5: 4}


@pytest.mark.quick
async def test_only_the_link_types_asked_for_are_followed(backend):
    types = dict.fromkeys(range(1, 8), INT)
    graph = Graph(types, tuple((pk, 7, kind) for pk, kind in enumerate(LINK_TYPES, start=1)))
    await write(backend, graph)
    for pk, kind in enumerate(LINK_TYPES, start=1):
        assert await backend.queries.get_closest_parents(7, link_types=[kind]) == {7: pk}
    assert await backend.queries.get_closest_parents(7, link_types={"call_work", "return"}) == {
        7: 6
    }
    assert await backend.queries.get_closest_parents(7, link_types=()) == {}


async def test_ladders_of_diamonds_and_long_chains_end_soon(backend):
    # A query that carries depths or paths is quadratic here, or exponential, and meets the time
    # limit.
    session, line = backend._session, backend.version.line
    await write_users(session)
    await write_nodes(session, (Node(pk) for pk in range(1, 3001)), line=line)
    await write_links(session, ((pk, pk + 1, "create") for pk in range(1, 3000)))
    await write_links(session, ((pk, pk + 2, "create") for pk in range(1, 2999)))
    assert await backend.queries.get_closest_parents(3000, NEVER) == {}
    assert await backend.queries.get_closest_parents(3000, id=1) == {3000: 1}


@pytest.mark.quick
async def test_all_nodes_of_a_long_chain_are_not_walked_one_by_one(main_dsn, monkeypatch):
    monkeypatch.setattr(parent_search.ParentSearch, "walk", None)
    async with aiidadb.open_backend(aiidadb.Profile.from_dsn(main_dsn)) as backend:
        await write(backend, chain(STRUCTURE, *[INT] * 1_999, STRUCTURE, *[INT] * 1_000))
        ask, told = backend.queries.get_closest_parents, []
        found = await ask(
            range(1, 3_002),
            node_type=STRUCTURE,
            chunk_size=1_500,
            progress=lambda *of: told.append(of),
        )
    assert found == {pk: 1 if pk < 2_002 else 2_001 for pk in range(2, 3_002)}
    assert told == [(1_500, 3_001), (3_000, 3_001), (3_001, 3_001)]


@pytest.mark.quick
async def test_many_starts_with_near_parents_are_walked_from(main_dsn, monkeypatch):
    monkeypatch.setattr(parent_search.ParentSearch, "through_closure", None)
    async with aiidadb.open_backend(aiidadb.Profile.from_dsn(main_dsn)) as backend:
        await write(backend, chain(*[STRUCTURE, INT, INT] * 2_000))
        found = await backend.queries.get_closest_parents(range(3, 6_000, 9), node_type=STRUCTURE)
    assert found == {pk: pk - 2 for pk in range(3, 6_000, 9)}


async def test_where_near_and_far_mix_the_walk_is_given_up_in_the_middle(backend, monkeypatch):
    # Those that are asked first have near parents, all others have far to go.
    monkeypatch.setattr(parent_search, "_LEAST_ALLOWANCE", 1)
    monkeypatch.setattr(parent_search, "_BYTES_OF_A_LINK", 1)  # as in a large database
    near, far = 64 * 10, 1_500
    types = {pk: STRUCTURE if pk % 2 else INT for pk in range(1, 2 * near + 1)}
    types |= dict.fromkeys(range(2 * near + 1, 2 * near + far + 1), INT)
    links_up = [(pk, pk + 1, "create") for pk in range(1, 2 * near, 2)]
    links_up += [(pk, pk + 1, "create") for pk in range(2 * near, 2 * near + far)]
    await write(backend, Graph(types, tuple(links_up)))
    told = []
    found = await backend.queries.get_closest_parents(
        types, node_type=STRUCTURE, chunk_size=100, progress=lambda *of: told.append(of)
    )
    assert found == Graph(types, tuple(links_up)).closest(types, lambda pk: types[pk] == STRUCTURE)
    assert told == sorted(told)
    assert told[-1] == (len(types), len(types))


# ---------------------------------------------------------------- how pks are given


async def test_pks_come_in_any_form(backend):
    await write(backend, chain(STRUCTURE, INT, INT))
    node = SimpleNamespace(pk=3)
    generator = (pk for pk in (3, 3))
    forms = [3, [3], (3, 3), {3}, iter([3]), generator, range(3, 4), {3: ""}, node, [node, 3]]
    for pks in forms:
        assert await backend.queries.get_closest_parents(pks, node_type=STRUCTURE) == {3: 1}


async def test_starts_that_do_not_exist_are_not_in_the_answer(backend):
    await write(backend, chain(STRUCTURE, INT))
    pks = [-(2**63), -1, 0, 2, 99, 2**31 - 1, 2**31, 2**63 - 1]
    assert await backend.queries.get_closest_parents(pks, node_type=STRUCTURE) == {2: 1}
    assert await backend.queries.get_closest_parents([]) == {}


@pytest.mark.quick
@pytest.mark.parametrize(
    "pks",
    [True, 1.0, "1", None, b"1", 2**63, -(2**63) - 1, [True], [1, 2.0], ["1"], [None], [[1]],
     SimpleNamespace(pk=None), SimpleNamespace(pk="1"), object],
    ids=repr,
)  # fmt: skip
async def test_what_is_no_pk_is_refused(bare_dsn, pks):
    async with aiidadb.open_backend(aiidadb.Profile.from_dsn(bare_dsn)) as backend:
        with pytest.raises(InvalidInputError, match="pk"):
            await backend.queries.get_closest_parents(pks)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"chunk_size": 0}, "chunk_size"),
        ({"chunk_size": -1}, "chunk_size"),
        ({"chunk_size": True}, "chunk_size"),
        ({"chunk_size": 1.5}, "chunk_size"),
        ({"link_types": "create"}, "must be a collection"),
        ({"link_types": ["create", "made_by"]}, "made_by.*call_calc"),
        ({"colour": "red"}, "no column 'colour'.*node_type"),
        ({"link_type": "create"}, "has no argument 'link_type'.*did you mean 'link_types'?"),
        ({"print_progress": True}, "no argument 'print_progress'.*did you mean 'progress'?"),
        ({"chunksize": 5}, "did you mean 'chunk_size'?"),
        ({"lable": "x"}, "no column 'lable': did you mean 'label'?"),
        ({"label": "x", "type": "y"}, "no argument 'type'.*did you mean 'node_type'?"),
        ({"label__startswith": "x"}, "no argument 'label__startswith'.*nodes.label.like"),
        ({"x" * 2**20: 1}, "no argument 'xxx.*choose among attributes"),
        ({"label": ["a", "b"]}, "nodes.label.isin"),
        ({"label": "a\x00"}, "NUL"),
        ({"label": "\ud800"}, "surrogate"),
        ({"user_id": 2**64}, "64 bits"),
        ({"uuid": "abc"}, "not a valid UUID"),
        ({"ctime": "2024-01-01"}, "datetime"),
    ],
    ids=repr,
)
async def test_what_cannot_be_asked_is_said_before_the_server_sees_it(bare_dsn, options, message):
    profile = aiidadb.Profile.from_dsn(bare_dsn)
    async with aiidadb.open_backend(profile) as backend, backend.transaction():
        with pytest.raises(InvalidInputError, match=message):
            await backend.queries.get_closest_parents([1], **options)
        # The transaction is none the worse.
        assert await backend.queries.get_closest_parents([1]) == {}


# ---------------------------------------------------------------- what is looked for


async def test_lookups_are_equality_on_columns(backend):
    session, line = backend._session, backend.version.line
    await write_users(session)
    made = [
        Node(1, STRUCTURE, label="silicon", attributes={"pbc1": True, "cell": [[1.5]]}),
        Node(2, INT, process_type="aiida.calculations:x"),
        Node(3, INT, label="silicon"),
        Node(4),
    ]
    await write_nodes(session, made, line=line)
    await write_links(session, [(1, 2, "input_calc"), (2, 3, "create"), (3, 4, "input_calc")])
    ask = backend.queries.get_closest_parents
    assert await ask(4, label="silicon") == {4: 3}
    assert await ask(4, node_type=STRUCTURE, label="silicon") == {4: 1}
    assert await ask(4, process_type="aiida.calculations:x") == {4: 2}
    assert await ask(4, process_type=None, node_type=STRUCTURE) == {4: 1}
    assert await ask(4, pk=2) == await ask(4, id=2) == {4: 2}
    assert await ask(4, uuid="00000000-0000-4000-8000-000000000001") == {4: 1}
    assert await ask(4, attributes={"cell": [[1.5]], "pbc1": True}) == {4: 1}
    assert await ask(4, user_id=1, label="no such") == {}


async def test_criteria_and_lookups_must_all_hold(backend):
    await write(backend, chain(STRUCTURE, BANDS, INT, INT))
    ask = backend.queries.get_closest_parents
    assert await ask(4, nodes.node_type.like("data.core.%"), nodes.id < 3) == {4: 2}
    assert await ask(4, nodes.node_type == STRUCTURE, id=2) == {}
    assert await ask(4, (nodes.id == 1) | (nodes.id == 2), node_type=STRUCTURE) == {4: 1}
    # An "or" beside another criterion stays in its brackets.
    assert await ask(4, (nodes.id == 1) | (nodes.id == 2), nodes.id == 1) == {4: 1}


async def test_a_criterion_can_ask_other_tables_in_a_query_of_its_own(backend):
    await write(backend, chain(STRUCTURE, BANDS, INT, INT))
    has_parent = nodes.id.isin(Query.from_(links).select(links.output_id))
    ask = backend.queries.get_closest_parents
    assert await ask(4, ~has_parent) == {4: 1}
    assert await ask(4, has_parent) == {4: 3}
    last = nodes.id == Query.from_(links).select(fn.Max(links.output_id) - 2)
    assert await ask(4, last) == {4: 2}


@pytest.mark.parametrize("node_type", NODE_TYPES)
async def test_node_types_are_understood_in_either_spelling_on_either_line(backend, node_type):
    await write(backend, chain(node_type, "data.core.folder.FolderData.", INT))
    old = node_type.replace("data.core.", "data.")
    ask = backend.queries.get_closest_parents
    for spelling in (node_type, old):
        assert await ask(3, node_type=spelling, label="") == {3: 1}
        assert await ask(3, nodes.node_type == spelling) == {3: 1}
        assert await ask(3, nodes.node_type.like(f"{spelling[:-4]}%")) == {3: 1}
        assert await ask(3, nodes.node_type.isin([spelling, "x"])) == {3: 1}
        assert await ask(3, nodes.node_type != spelling) == {3: 2}
        assert await ask(3, nodes.node_type.notin([spelling])) == {3: 2}


async def test_a_plugins_node_types_are_left_alone(backend):
    await write(backend, chain("data.quantumespresso.force_constants.ForceConstantsData.", INT))
    ask = backend.queries.get_closest_parents
    assert await ask(2, nodes.node_type.like("data.quantumespresso.%")) == {2: 1}


@pytest.mark.parametrize(
    ("criterion", "message"),
    [
        ("label = 'x'", "nodes.node_type =="),
        (None, "nodes.node_type =="),
        (nodes.label, "nodes.node_type =="),
        (nodes.id + 1, "nodes.node_type =="),
        (nodes.attributes.get_text_value("a"), "nodes.node_type =="),
        (Query.from_(nodes).select(nodes.id), "nodes.node_type =="),
        (links.type == "create", "db_dblink.type.*aiidadb.nodes"),
        (nodes.as_("n").label == "x", "n.label.*without an alias"),
        ((nodes.id == 1) & ~(links.id.isnull()), "db_dblink.id"),
        (nodes.lable == "x", "no column 'lable': did you mean 'label'?"),
        (nodes.colour == "x", "no column 'colour': choose among attributes, ctime"),
        (nodes.pk == 1, "nodes.id"),
        (nodes.id.isin(Query.from_(links).select(nodes.lable)), "lable"),
        (nodes.label.glob("*"), "no GLOB"),
        (nodes.label == b"x", "bytes"),
        (nodes.id.isin([1, "a"]), "several types"),
        (nodes.id.isin([1, None]), "isnull"),
    ],
    ids=str,
)
async def test_criteria_that_cannot_be_meant_get_a_clear_error(bare_dsn, criterion, message):
    async with aiidadb.open_backend(aiidadb.Profile.from_dsn(bare_dsn)) as backend:
        with pytest.raises(InvalidInputError, match=message):
            await backend.queries.get_closest_parents([1], criterion)


async def test_an_empty_criterion_asks_for_nothing(backend):
    await write(backend, chain(STRUCTURE, INT))
    assert await backend.queries.get_closest_parents(2, Criterion.all([])) == {2: 1}


# ---------------------------------------------------------------- batches


async def test_progress_is_told_batch_by_batch(backend, way):
    await write(backend, chain(*[INT] * 10))
    told = []
    await backend.queries.get_closest_parents(
        range(1, 11), chunk_size=4, progress=lambda done, total: told.append((done, total))
    )
    assert told == [(4, 10), (8, 10), (10, 10)]
    told.clear()
    await backend.queries.get_closest_parents([], progress=lambda *of: told.append(of))
    assert told == []


async def test_what_progress_raises_stops_it(backend):
    await write(backend, chain(INT, INT, INT))

    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await backend.queries.get_closest_parents([1, 2, 3], chunk_size=1, progress=stop)
    assert await backend.queries.get_closest_parents(2) == {2: 1}


async def test_a_change_between_two_batches_is_in_neither(backend, head_dsn, way):
    await write(
        backend, Graph({1: STRUCTURE, 2: INT, 3: INT}, ((1, 2, "create"), (1, 3, "create")))
    )
    ask = backend.queries.get_closest_parents
    async with change_after_first_question(head_dsn, "delete from db_dblink"):
        assert await ask([2, 3], chunk_size=1) == {2: 1, 3: 1}
    assert await ask([2, 3], chunk_size=1) == {}


async def test_more_starts_than_a_statement_has_parameters(backend):
    await write(backend, chain(STRUCTURE, INT))
    found = await backend.queries.get_closest_parents(range(70_000), node_type=STRUCTURE)
    assert found == {2: 1}


# ---------------------------------------------------------------- where it runs


async def test_it_sees_what_its_transaction_wrote_and_nobody_else_does(backend):
    await write(backend, chain(STRUCTURE, INT))
    with pytest.raises(KeyError):
        async with backend.transaction():
            await write_nodes(backend._session, [Node(3)], line=backend.version.line)
            await write_links(backend._session, [(2, 3, "create")])
            assert await backend.queries.get_closest_parents(3, node_type=STRUCTURE) == {3: 1}
            raise KeyError
    assert await backend.queries.get_closest_parents(3, node_type=STRUCTURE) == {}


async def test_without_session_settings_it_works_as_well(main_dsn):
    # As behind PgBouncer.
    profile = aiidadb.Profile.from_dsn(main_dsn)
    async with aiidadb.open_backend(profile, statement_cache_size=0) as backend:
        await write(backend, chain(STRUCTURE, INT, INT))
        assert await backend.queries.get_closest_parents([2, 3], node_type=STRUCTURE) == {
            2: 1,
            3: 1,
        }


async def test_it_needs_no_more_than_to_read(backend, way):
    # As on a standby.
    await write(backend, chain(STRUCTURE, *[INT] * 20))
    async with backend.transaction() as connection:
        await connection.execute("set transaction read only")
        found = await backend.queries.get_closest_parents(range(1, 22), node_type=STRUCTURE)
    assert found == dict.fromkeys(range(2, 22), 1)


async def test_others_on_the_event_loop_get_their_turn(main_dsn):
    async with aiidadb.open_backend(aiidadb.Profile.from_dsn(main_dsn)) as backend:
        await write(backend, chain(STRUCTURE, *[INT] * 50_000))
        turns, asking = 0, True

        async def take_turns():
            nonlocal turns
            while asking:
                turns += 1
                await asyncio.sleep(0)

        other = asyncio.create_task(take_turns())
        nearest, above = nearest_matches.NearestMatches(list(range(1, 50_002)), {1}), {}
        for work in (
            nearest.add_links(range(1, 50_001), range(2, 50_002)),
            nearest.settle(),
            nearest.write_above(range(1, 50_002), above),
        ):
            before = turns
            await in_turn(work)
            assert turns - before >= 5
        found = await backend.queries.get_closest_parents(range(1, 50_002), node_type=STRUCTURE)
        asking = False
        await other
    assert found == above == dict.fromkeys(range(2, 50_002), 1)


async def test_many_at_once(backend):
    await write(backend, chain(*[STRUCTURE, INT] * 20))
    answers = await asyncio.gather(
        *(backend.queries.get_closest_parents(pk, node_type=STRUCTURE) for pk in range(2, 41))
    )
    assert answers == [{pk: pk - 1 if pk % 2 == 0 else pk - 2} for pk in range(2, 41)]


async def test_a_closed_backend_says_so(bare_dsn):
    async with aiidadb.open_backend(aiidadb.Profile.from_dsn(bare_dsn)) as backend:
        pass
    with pytest.raises(ClosedError):
        await backend.queries.get_closest_parents([1])


# ---------------------------------------------------------------- how the server runs it


async def fill_for_plans(dsn, *, analyse):
    connection = await asyncpg.connect(dsn)
    is_main = await connection.fetchval("select to_regclass('alembic_version') is not null")
    await connection.execute("set synchronous_commit = off")
    if not analyse:
        for table in ("db_dbnode", "db_dblink"):
            await connection.execute(f"alter table {table} set (autovacuum_enabled = off)")
    await write_users(connection)
    chosen = random.Random(0)
    await write_nodes(
        connection,
        (Node(pk, STRUCTURE if pk % 50 == 1 else INT) for pk in range(1, 20_001)),
        line="main" if is_main else "django",
    )
    down = ((chosen.randrange(max(1, pk - 60), pk), pk, "create") for pk in range(2, 20_001))
    await write_links(connection, (link for link in down for _ in (1, 2)))
    if analyse:
        await connection.execute("vacuum analyze")
    return connection


@pytest.mark.parametrize("analyse", [True, False], ids=["analysed", "never analysed"])
async def test_it_probes_indexes_and_reads_no_table_whole(head_dsn, analyse):
    connection = await fill_for_plans(head_dsn, analyse=analyse)
    structure = await connection.fetchval("select node_type from db_dbnode where id = 1")
    query = QUERIES["closest_parents"].fill(match="db_dbnode.node_type = $4::text")
    one_by_one = "(db_dbnode.id = db_dblink.input_id)"
    once = "(db_dbnode.node_type)::text = "
    for mode in ("force_custom_plan", "force_generic_plan"):
        await connection.execute(f"set plan_cache_mode = {mode}")
        for starts in ([20_000], list(range(18_000, 20_000))):
            statement = await connection.prepare(query.text)
            plan = await statement.explain(starts, None, None, structure)
            scans = dict(_scans(plan[0]["Plan"]))
            assert scans.keys() == {"db_dblink", "db_dbnode"}
            assert "output_id = " in scans["db_dblink"]
            assert one_by_one in scans["db_dbnode"] or once in scans["db_dbnode"]
            if analyse and mode == "force_custom_plan":
                # Few nodes are probed one by one; for many, all that match are read once.
                assert (once if len(starts) > 1 else one_by_one) in scans["db_dbnode"]
    await connection.close()


@pytest.mark.parametrize("analyse", [True, False], ids=["analysed", "never analysed"])
async def test_the_closure_probes_indexes_and_reads_no_table_whole(head_dsn, analyse):
    connection = await fill_for_plans(head_dsn, analyse=analyse)
    structure = await connection.fetchval("select node_type from db_dbnode where id = 1")
    criterion = "db_dbnode.node_type = ${}::text"
    few, many = list(range(19_000, 20_000, 200)), list(range(19_000, 20_000))
    links_of = "output_id = "

    async def plan(name, *arguments):
        query = QUERIES[name]
        if query.slots:
            query = query.fill(match=criterion.format(len(query.parameters) + 1))
            arguments = (*arguments, structure)
        statement = await connection.prepare(query.text)
        return dict(_scans((await statement.explain(*arguments))[0]["Plan"]))

    for mode in ("force_custom_plan", "force_generic_plan"):
        await connection.execute(f"set plan_cache_mode = {mode}")
        for pks in (few, many):
            assert links_of in (await plan("closure_nodes", pks, None))["db_dblink"]
            assert links_of in (await plan("links_above", pks, None))["db_dblink"]
            assert re.search(
                r"db_dbnode\.id = |node_type\)::text = ",
                (await plan("matches_among", "{" + ",".join(map(str, pks)) + "}"))["db_dbnode"],
            )
    await connection.close()


async def test_many_starts_are_planned_for_and_answered_as_few_are(head_dsn):
    connection = await fill_for_plans(head_dsn, analyse=True)
    starts = list(range(18_000, 20_001))
    async with aiidadb.open_backend(aiidadb.Profile.from_dsn(head_dsn), max_size=1) as backend:
        few = await backend.queries.get_closest_parents(starts, chunk_size=50, node_type=STRUCTURE)
        many = [
            await backend.queries.get_closest_parents(starts, node_type=STRUCTURE)
            for _ in range(8)  # after a few the server would plan once and for all
        ]
        async with backend.transaction():
            inside = await backend.queries.get_closest_parents(starts, node_type=STRUCTURE)
    assert len(few) > 1000
    assert [one == few for one in many] == [True] * 8
    assert inside == few
    await connection.close()


def _scans(plan):
    """The tables that a plan reads, with the condition by which their index is probed."""
    children = plan.get("Plans", [])
    if "Relation Name" in plan:
        bitmap = children[0].get("Index Cond", "") if children else ""
        yield plan["Relation Name"], plan.get("Index Cond", bitmap)
        return
    for child in children:
        yield from _scans(child)


# ---------------------------------------------------------------- against aiida-core


async def test_it_is_the_closest_of_aiida_cores_ancestors(aiida_backend, aiida_dsn):
    made = _aiida_graph(aiida_backend)
    ancestors = _aiida_ancestors(aiida_backend)
    async with aiidadb.open_backend(aiidadb.Profile.from_dsn(aiida_dsn)) as backend:
        found = await backend.queries.get_closest_parents(
            made.types, node_type=INT, link_types=DATA_LINKS
        )
        everything = {
            pk: {parent for (parent,) in await backend.queries.get_all_parents(pk)}
            for pk in made.types
        }
    assert {pk: parents for pk, parents in everything.items() if parents} == ancestors
    assert found == made.closest(made.types, lambda pk: made.types[pk] == INT, DATA_LINKS)
    assert len(found) > 20
    for start, parent in found.items():
        assert parent in ancestors[start]


def _aiida_graph(storage):
    """Calculations and workflows on integers, made through aiida-core's own classes."""
    from aiida import orm
    from aiida.common.links import LinkType

    chosen = random.Random(7)
    user = orm.User.get_collection(storage).get_default()
    data = [orm.Int(number, backend=storage, user=user).store() for number in range(4)]
    nodes, joined = list(data), []

    def link(parent, child, kind, label):
        child.base.links.add_incoming(parent, kind, label)
        joined.append((parent, child, kind.value))

    for number in range(30):
        calculation = orm.CalculationNode(backend=storage, user=user)
        for which, parent in enumerate(chosen.sample(data, 2)):
            link(parent, calculation, LinkType.INPUT_CALC, f"in_{which}")
        calculation.store()
        # Not all of them integers, so that the closest one is not always one step up.
        made = (orm.Int if number % 3 == 0 else orm.Float)(number, backend=storage, user=user)
        link(calculation, made, LinkType.CREATE, "made")
        made.store()
        workflow = orm.WorkflowNode(backend=storage, user=user)
        link(data[0], workflow, LinkType.INPUT_WORK, "given")
        workflow.store()
        link(workflow, made, LinkType.RETURN, "returned")
        data.append(made)
        nodes += [calculation, made, workflow]
    return Graph(
        {node.pk: node.node_type for node in nodes},
        tuple((parent.pk, child.pk, kind) for parent, child, kind in joined),
    )


def _aiida_ancestors(storage):
    from aiida import orm

    query = orm.QueryBuilder(backend=storage)
    query.append(orm.Node, tag="start", project="id")
    query.append(orm.Node, with_descendants="start", project="id")
    found: dict[int, set[int]] = {}
    for start, ancestor in query.all():
        found.setdefault(start, set()).add(ancestor)
    return found
