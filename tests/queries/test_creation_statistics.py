"""Statistics of creation: as in AiiDA, in any time zone, without a scan where none is needed."""

import asyncio
import datetime
from collections import Counter
from datetime import UTC
from types import SimpleNamespace
from zoneinfo import ZoneInfo

import asyncpg
import hypothesis.strategies as st
import pytest

import aiidadb
from aiidadb.criteria.node_types import translate_node_type
from aiidadb.exceptions import InvalidInputError
from aiidadb.sql import QUERIES
from tests.helpers.graphs import (
    BANDS,
    INT,
    NODE_TYPES,
    SOME_TIME,
    STRUCTURE,
    Node,
    each_in_a_transaction,
    write_nodes,
    write_users,
)

# Zones whose clocks are unkind to midnights, or to hours, and when they were, in UTC.
TURNS = {
    "UTC": ["2024-05-17 00:00"],
    "Europe/Zurich": ["2024-03-31 01:00", "2024-10-27 01:00"],
    "America/Havana": ["2024-11-03 05:00", "2024-03-10 05:00"],  # back at 1:00: midnight twice
    "Atlantic/Azores": ["2024-10-27 01:00"],  # the same
    "America/Sao_Paulo": ["2018-11-04 03:00", "2018-02-18 02:00"],  # on at 0:00: no midnight
    "Asia/Beirut": ["2024-03-30 22:00", "2024-10-26 21:00"],
    "Pacific/Apia": ["2011-12-30 10:00"],  # a whole day left out
    "Australia/Lord_Howe": ["2024-04-06 15:00"],  # half an hour
    "America/St_Johns": ["2010-11-07 02:31"],  # one minute after midnight
    "Asia/Kathmandu": ["2024-05-16 18:15"],
}


def times_in(zone):
    turns = [datetime.datetime.fromisoformat(f"{turn}+00:00") for turn in TURNS[zone]]
    around = st.builds(
        lambda turn, minutes, rest: turn + datetime.timedelta(minutes=minutes, microseconds=rest),
        st.sampled_from(turns),
        st.integers(-3000, 3000) | st.sampled_from([-61, -60, -31, -30, -1, 0, 1, 30, 60]),
        st.sampled_from([0, -1, 1]),
    )
    ever = st.datetimes(
        datetime.datetime(1990, 1, 1), datetime.datetime(2037, 1, 1), timezones=st.just(UTC)
    )
    return around | ever


ZONES_AND_TIMES = st.sampled_from(list(TURNS)).flatmap(
    lambda zone: st.tuples(st.just(zone), st.lists(times_in(zone), max_size=12))
)


def expected(nodes, zone, *, core_prefix):
    days = Counter(node.ctime.astimezone(ZoneInfo(zone)).strftime("%Y-%m-%d") for node in nodes)
    types = Counter(translate_node_type(node.node_type, core_prefix=core_prefix) for node in nodes)
    return {"total": len(nodes), "types": types, "ctime_by_day": dict(sorted(days.items()))}


async def pretend_vacuumed(session, *, yes):
    """Make the planner, and so the query, believe that the pages of nodes are (not) all visible."""
    await session.execute(
        f"""
        update pg_class set relpages = 1, relallvisible = {int(yes)}
        where oid = 'db_dbnode'::regclass
        """
    )


@pytest.mark.hypothesis
async def test_it_is_what_python_counts_in_every_zone_by_index_and_by_scan(backend):
    core_prefix = backend.version.has_core_prefix

    async def check(zone_and_times, user, by_index):
        zone, times = zone_and_times
        await write_users(backend._session, "ada@epfl.ch", "emmy@example.org")
        nodes = [
            Node(pk, NODE_TYPES[pk % 3], user=1 + pk % 2, ctime=time)
            for pk, time in enumerate(times, start=1)
        ]
        await write_nodes(backend._session, nodes, line=backend.version.line)
        await pretend_vacuumed(backend._session, yes=by_index)
        found = await backend.queries.get_creation_statistics(user, timezone=zone)
        counted = [node for node in nodes if user in (None, node.user)]
        assert found == expected(counted, zone, core_prefix=core_prefix)
        assert list(found["ctime_by_day"]) == sorted(found["ctime_by_day"])

    await each_in_a_transaction(
        backend,
        check,
        ZONES_AND_TIMES,
        st.none() | st.integers(1, 2),
        st.booleans(),
        count=30,
    )


# From the first time to the last that PostgreSQL can hold.
ODD_TIMES = {
    "-infinity": "-infinity",
    "4714-11-24 00:00:00+00 BC": "4714-11-24 BC",
    "4714-11-24 23:59:59+00 BC": "4714-11-24 BC",
    "4713-01-01 12:00:00+00 BC": "4713-01-01 BC",
    "0044-03-15 12:00:00+00 BC": "0044-03-15 BC",
    "0001-12-31 23:59:59+00 BC": "0001-12-31 BC",
    "0001-01-01 00:00:00+00": "0001-01-01",
    "0044-03-15 12:00:00+00": "0044-03-15",
    "2024-05-17 00:00:00+00": "2024-05-17",
    "2024-05-17 23:59:59+00": "2024-05-17",
    "9999-12-31 23:59:59.999999+00": "9999-12-31",
    "10000-01-01 00:00:00+00": "10000-01-01",
    "12026-01-01 12:00:00+00": "12026-01-01",
    "294276-12-31 23:59:59.999999+00": "294276-12-31",
    "infinity": "infinity",
}


async def write_times(session, times, *, line):
    """Nodes that were created at times which Python need not be able to hold."""
    await write_users(session)
    await write_nodes(session, map(Node, range(1, len(times) + 1)), line=line)
    await session.execute(
        "update db_dbnode set ctime = given.time::timestamptz"
        " from unnest($1::text[]) with ordinality as given (time, pk) where id = given.pk",
        list(times),
    )


@pytest.mark.quick
@pytest.mark.parametrize("by_index", [True, False], ids=["by index", "by scan"])
async def test_days_that_python_cannot_hold_come_in_order(backend, by_index):
    async with backend.transaction() as connection:
        await write_times(backend._session, ODD_TIMES, line=backend.version.line)
        await pretend_vacuumed(backend._session, yes=by_index)
        await connection.execute("set local datestyle = 'German'")
        found = await backend.queries.get_creation_statistics(timezone="UTC")
        days = list(dict.fromkeys(ODD_TIMES.values()))
        assert list(found["ctime_by_day"]) == days
        assert found["ctime_by_day"] == Counter(ODD_TIMES.values())
        assert found["total"] == len(ODD_TIMES)
        of_user = await backend.queries.get_creation_statistics(1, timezone="UTC")
        assert list(of_user["ctime_by_day"].items()) == list(found["ctime_by_day"].items())
        for zone in TURNS:
            found = await backend.queries.get_creation_statistics(timezone=zone)
            assert sum(found["ctime_by_day"].values()) == len(ODD_TIMES)


# As text in UTC: infinite ones, and those of every age that have a day in every time zone.
EVER = (
    st.sampled_from([time for time in ODD_TIMES if not time.startswith(("4714", "294276"))])
    | st.builds(
        "{:04}-{:02}-{:02} {:02}:{:02}:00+00{}".format,
        st.integers(1, 4700),
        st.integers(1, 12),
        st.integers(1, 28),
        st.integers(0, 23),
        st.integers(0, 59),
        st.sampled_from(["", " BC"]),
    )
    | st.builds("{}-01-01 {:02}:30:00+00".format, st.integers(9999, 290_000), st.integers(0, 23))
)


@pytest.mark.hypothesis
async def test_times_of_every_age_are_what_the_server_counts_by_index_and_by_scan(backend):
    async def check(times, zone, by_index):
        session = backend._session
        await write_times(session, times, line=backend.version.line)
        await pretend_vacuumed(session, yes=by_index)
        found = await backend.queries.get_creation_statistics(timezone=zone)
        await session.execute("set local datestyle = 'ISO'")
        counted = await session.fetch(
            """
            select day::text as day, count(*) as nodes
            from (
                select (ctime at time zone $1::text)::date as day
                from db_dbnode
            ) as node
            group by node.day
            order by node.day
            """,
            zone,
        )
        assert list(found["ctime_by_day"].items()) == [tuple(row) for row in counted]

    await each_in_a_transaction(
        backend,
        check,
        st.lists(EVER, max_size=12),
        st.sampled_from(list(TURNS)),
        st.booleans(),
        count=30,
    )


@pytest.mark.parametrize("by_index", [True, False], ids=["by index", "by scan"])
async def test_every_moment_around_a_turn_of_the_clocks_is_in_its_day(main_dsn, by_index):
    async with aiidadb.open_backend(aiidadb.Profile.from_dsn(main_dsn)) as backend:
        session = backend._session
        await write_users(session)
        for zone, turns in TURNS.items():
            moments = [
                datetime.datetime.fromisoformat(f"{turn}+00:00")
                + datetime.timedelta(minutes=10 * step)
                for turn in turns
                for step in range(-300, 300)
            ]
            nodes = [Node(pk, ctime=moment) for pk, moment in enumerate(moments, start=1)]
            await session.execute("truncate db_dbnode cascade")
            await write_nodes(session, nodes, line="main")
            await pretend_vacuumed(session, yes=by_index)
            found = await backend.queries.get_creation_statistics(timezone=zone)
            assert found == expected(nodes, zone, core_prefix=True), zone


@pytest.mark.parametrize("by_index", [True, False], ids=["by index", "by scan"])
async def test_a_day_that_ends_and_comes_again_keeps_its_nodes_however_few(main_dsn, by_index):
    async with aiidadb.open_backend(aiidadb.Profile.from_dsn(main_dsn)) as backend:
        session = backend._session
        await write_users(session)
        for zone, turns in TURNS.items():
            for turn in turns:
                for gap in (1e-6, 1, 30, 61):
                    moments = [
                        datetime.datetime.fromisoformat(f"{turn}+00:00")
                        + datetime.timedelta(seconds=seconds)
                        for seconds in (-gap, 0, gap, 3600, 86_400)
                    ]
                    nodes = [Node(pk, ctime=moment) for pk, moment in enumerate(moments, start=1)]
                    await session.execute("truncate db_dbnode cascade")
                    await write_nodes(session, nodes, line="main")
                    await pretend_vacuumed(session, yes=by_index)
                    found = await backend.queries.get_creation_statistics(timezone=zone)
                    assert found == expected(nodes, zone, core_prefix=True), (zone, turn, gap)


@pytest.mark.quick
async def test_a_database_without_nodes_has_none(backend):
    nothing = {"total": 0, "types": {}, "ctime_by_day": {}}
    assert await backend.queries.get_creation_statistics() == nothing
    await backend._session.execute("vacuum db_dbnode")
    assert await backend.queries.get_creation_statistics(timezone="Asia/Tokyo") == nothing


async def test_a_user_is_given_by_pk_or_as_an_object_and_need_not_exist(backend):
    await write_users(backend._session, "ada@epfl.ch", "emmy@example.org")
    nodes = [Node(1), Node(2, STRUCTURE), Node(3, user=2)]
    await write_nodes(backend._session, nodes, line=backend.version.line)
    ask = backend.queries.get_creation_statistics
    assert (await ask())["total"] == 3
    assert (await ask(1))["total"] == (await ask(SimpleNamespace(pk=1)))["total"] == 2
    nothing = {"total": 0, "types": {}, "ctime_by_day": {}}
    for nobody in (0, 3, -1, 2**31, 2**63 - 1):
        assert await ask(nobody) == nothing


@pytest.mark.quick
@pytest.mark.parametrize("user", [True, 1.0, "1", [1, 2], [], 2**63, SimpleNamespace(pk=None)])
async def test_what_is_no_user_is_refused(bare_dsn, user):
    async with aiidadb.open_backend(aiidadb.Profile.from_dsn(bare_dsn)) as backend:
        with pytest.raises(InvalidInputError, match="pk"):
            await backend.queries.get_creation_statistics(user)


@pytest.mark.parametrize(
    ("zone", "message"),
    [
        ("Europe/Zürich", "did you mean Europe/Zurich"),
        ("Europe/Zuric", "did you mean Europe/Zurich"),
        ("FOO5", "the time zone 'FOO5'"),  # which the server would take for UTC-5
        ("", "'': give a name such as Europe/Zurich$"),
        ("UTC'; drop table db_dbnode; --", "the time zone"),
        ("UTC\x00", "the time zone"),
        (2, "name of a time zone"),
        (UTC, "name of a time zone"),
    ],
    ids=repr,
)
async def test_an_unknown_time_zone_is_refused_and_spoils_no_transaction(bare_dsn, zone, message):
    profile = aiidadb.Profile.from_dsn(bare_dsn)
    async with aiidadb.open_backend(profile) as backend, backend.transaction():
        with pytest.raises(InvalidInputError, match=message):
            await backend.queries.get_creation_statistics(timezone=zone)
        assert (await backend.queries.get_creation_statistics())["total"] == 0


async def test_time_zones_are_known_whatever_their_case(bare_dsn):
    async with aiidadb.open_backend(aiidadb.Profile.from_dsn(bare_dsn)) as backend:
        for zone in ("utc", "UTC", "europe/zurich", "EUROPE/ZURICH", "Etc/GMT+5", "EST5EDT"):
            await backend.queries.get_creation_statistics(timezone=zone)


@pytest.mark.quick
async def test_the_day_is_that_of_the_session_where_no_zone_is_given(backend, head_dsn):
    await write_users(backend._session)
    late = datetime.datetime(2024, 5, 17, 23, 30, tzinfo=UTC)
    await write_nodes(backend._session, [Node(1, ctime=late)], line=backend.version.line)
    profile = aiidadb.Profile.from_dsn(head_dsn)
    async with (
        aiidadb.PoolRegistry() as registry,
        aiidadb.open_backend(
            profile, registry=registry, server_settings={"timezone": "Asia/Tokyo"}
        ) as in_tokyo,
    ):
        ask = in_tokyo.queries.get_creation_statistics
        assert (await ask())["ctime_by_day"] == {"2024-05-18": 1}
        assert (await ask(timezone="UTC"))["ctime_by_day"] == {"2024-05-17": 1}


# ---------------------------------------------------------------- how the server runs it


async def _executed(connection, *arguments):
    """The kinds of plan nodes that ran, those that read nodes with a star."""
    statement = await connection.prepare(QUERIES["creation_statistics"].text)
    plan = await statement.explain(*arguments, analyze=True)

    def kinds(part):
        if part["Actual Loops"]:
            yield part["Node Type"] + "*" * (part.get("Relation Name") == "db_dbnode")
        for child in part.get("Plans", ()):
            yield from kinds(child)

    return set(kinds(plan[0]["Plan"]))


def _reads(kinds):
    return {kind for kind in kinds if kind.endswith("*")}


async def test_everybodys_nodes_are_counted_from_indexes_or_in_one_shared_scan(head_dsn):
    connection = await asyncpg.connect(head_dsn)
    is_main = await connection.fetchval("select to_regclass('alembic_version') is not null")
    await connection.execute("alter table db_dbnode set (autovacuum_enabled = off)")
    # A vacuum finds no page all visible before the commit that filled it is flushed.
    await connection.execute("set synchronous_commit = on")
    await write_users(connection)
    nodes = (
        Node(
            pk,
            NODE_TYPES[pk % 4],
            ctime=SOME_TIME + datetime.timedelta(minutes=pk),
            attributes={"text": "x" * 300},
        )
        for pk in range(1, 20_001)
    )
    await write_nodes(connection, nodes, line="main" if is_main else "django")
    basis = QUERIES["creation_statistics_basis"]
    assert not (await basis.fetchrow(connection))["by_index"]  # never looked at
    await connection.execute("analyze db_dbnode")
    assert not (await basis.fetchrow(connection))["by_index"]
    await connection.execute(
        """
        set parallel_setup_cost = 0;
        set parallel_tuple_cost = 0;
        set min_parallel_table_scan_size = 0
        """
    )
    for user in (None, 1):
        executed = await _executed(connection, user, "UTC", False)
        # (The second of them finds nothing.)
        assert _reads(executed) == {"Seq Scan*", "Index Scan*"}
        assert {"Gather", "Append"} <= executed
    await connection.execute("vacuum db_dbnode")
    assert (await basis.fetchrow(connection))["by_index"]
    assert _reads(await _executed(connection, None, "UTC", True)) == {
        "Index Only Scan*",
        "Index Scan*",
    }
    await connection.close()


# ---------------------------------------------------------------- against aiida-core


async def test_it_is_what_aiida_core_says(aiida_backend, aiida_dsn):
    from aiida import orm

    ada = orm.User.get_collection(aiida_backend).get_default()
    emmy = orm.User(email="emmy@example.org", backend=aiida_backend).store()
    for number in range(12):
        user = ada if number % 3 else emmy
        kind = (orm.Int, orm.Str, orm.Bool)[number % 3]
        node = kind(number, backend=aiida_backend, user=user)
        node.backend_entity.bare_model.ctime = SOME_TIME - datetime.timedelta(hours=13 * number)
        node.store()
    orm.CalculationNode(backend=aiida_backend, user=ada).store()
    peer = aiida_backend.query().get_creation_statistics
    async with aiidadb.open_backend(aiidadb.Profile.from_dsn(aiida_dsn)) as backend:
        for vacuum in (False, True):
            if vacuum:
                aiida_backend.get_session().commit()
                await backend._session.execute("vacuum analyze db_dbnode")
            for user in (None, ada.pk, emmy.pk, 99):
                found = await backend.queries.get_creation_statistics(user)
                assert found == peer(user_pk=user)
            assert found["total"] == 0


async def test_many_ask_at_once(backend):
    await write_users(backend._session)
    await write_nodes(backend._session, [Node(1, INT), Node(2, BANDS)], line=backend.version.line)
    found = await asyncio.gather(
        *(
            backend.queries.get_creation_statistics(timezone=zone)
            for zone in (None, *TURNS)
            for _ in range(3)
        )
    )
    assert {one["total"] for one in found} == {2}
