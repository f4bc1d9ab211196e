"""Opening a database: what is served, what is refused and with which advice."""

import asyncio
import contextlib
import gc
import secrets
import sys
import threading
import uuid

import asyncpg
import pytest
from pypika import Query

import aiidadb
from aiidadb import backend as backend_module
from aiidadb import nodes
from aiidadb.connecting.pools.pool import PoolRegistry
from aiidadb.exceptions import (
    ClosedError,
    ConfigurationError,
    CorruptStorage,
    IncompatibleStorageSchema,
    InvalidInputError,
    InvalidTypeError,
    MissingConfigurationError,
    NotAnAiidaDatabase,
    PoolError,
    PoolOptionsError,
    ProfileConfigurationError,
)
from tests.helpers.campaigns import write_config
from tests.helpers.databases import connected, run_script
from tests.helpers.hostile import Array, Hollow
from tests.helpers.processes import finished
from tests.helpers.single_steps import database_at
from tests.helpers.table_rows import insert


async def opened_version(dsn: str, **options: object) -> str:
    async with aiidadb.open_backend(aiidadb.Profile.from_dsn(dsn), **options) as backend:
        return str(backend.version)


@pytest.mark.quick
async def test_the_head_of_each_line_is_served(django_dsn, main_dsn):
    assert await opened_version(django_dsn) == "1.0.45"
    assert await opened_version(main_dsn) == "main_0002"


async def test_main_0001_is_served(main_dsn):
    await run_script(main_dsn, "update alembic_version set version_num = 'main_0001'")
    assert await opened_version(main_dsn) == "main_0001"


async def test_a_database_that_aiida_core_made_is_served(aiida_dsn):
    assert await opened_version(aiida_dsn) == "main_0002"


@pytest.mark.parametrize(
    "option", ["acquire_timeout", "command_timeout", "commit_timeout", "connect_timeout"]
)
async def test_an_array_is_no_time(main_dsn, option):
    with pytest.raises(PoolOptionsError, match=f"{option} must be a number of seconds"):
        await opened_version(main_dsn, **{option: Array()})


async def test_an_array_is_no_switch_and_no_value_of_a_criterion(main_dsn):
    with pytest.raises(InvalidTypeError, match="schema_check must be True or False"):
        await opened_version(main_dsn, schema_check=Array())
    async with aiidadb.open_backend(aiidadb.Profile.from_dsn(main_dsn)) as backend:
        ask = backend.queries
        for call, switch in (
            (backend.delete_nodes_and_connections, "strict"),
            (backend.preview_deletion, "strict"),
            (backend.get_nodes_to_delete, "create_forward"),
            (backend.get_nodes_to_delete, "call_calc_forward"),
            (backend.get_nodes_to_delete, "call_work_forward"),
            (lambda _, **switches: ask.get_bands_and_parents_structure(**switches), "all_users"),
        ):
            with pytest.raises(InvalidTypeError, match=f"{switch} must be True or False"):
                await call(1, **{switch: Array()})
        for criterion in (nodes.label.isin([Array()]), nodes.label == Array()):
            with pytest.raises(InvalidTypeError, match="Array cannot be a criterion"):
                await ask.get_closest_parents(1, criterion)
        with pytest.raises(InvalidInputError):
            await ask.get_closest_parents(1, nodes.label == Hollow(a=1))


@pytest.mark.quick
async def test_an_empty_database_is_refused_with_advice_and_opens_unchecked(empty_dsn):
    with pytest.raises(NotAnAiidaDatabase, match=r"empty.*backend.schema.initialise"):
        await opened_version(empty_dsn)
    assert await opened_version(empty_dsn, schema_check=False) == "None"


@pytest.mark.parametrize("column", ["description", "label", "node_type", "process_type"])
@pytest.mark.parametrize("value", [5, 1.5, True], ids=repr)
async def test_a_number_is_no_text_to_look_up(main_dsn, column, value):
    async with aiidadb.open_backend(aiidadb.Profile.from_dsn(main_dsn)) as backend:
        with pytest.raises(InvalidTypeError, match=f"{column} is looked up by a text, not"):
            await backend.queries.get_closest_parents(1, **{column: value})


def test_without_await_it_says_what_is_missing():
    opening = aiidadb.open_backend("postgresql://ada@localhost/aiida")
    with pytest.raises(AttributeError, match=r"'queries' until it is open.*await open_backend"):
        opening.queries  # noqa: B018
    assert not hasattr(opening, "close")


async def test_a_database_of_others_is_refused(empty_dsn):
    await run_script(empty_dsn, "create table invoices (id int)")
    with pytest.raises(NotAnAiidaDatabase, match=r"not an AiiDA database.*check the name"):
        await opened_version(empty_dsn)
    await run_script(empty_dsn, "create table alembic_version (version_num varchar(32))")
    with pytest.raises(NotAnAiidaDatabase):
        await opened_version(empty_dsn)


@pytest.mark.quick
@pytest.mark.parametrize(
    ("version", "error", "message"),
    [
        ("main_0003", IncompatibleStorageSchema, "main_0003.*newer"),
        ("1830c8430131", IncompatibleStorageSchema, "1830c8430131; supported are .*0edcdd5a30f0"),
        ("something", IncompatibleStorageSchema, "'something'"),
        ("django_0050", IncompatibleStorageSchema, r"1\.0\.50.*migrate"),
    ],
)
async def test_a_version_that_cannot_be_served_is_named(main_dsn, version, error, message):
    await run_script(main_dsn, f"update alembic_version set version_num = '{version}'")
    with pytest.raises(error, match=message):
        await opened_version(main_dsn)
    await opened_version(main_dsn, schema_check=False)


async def test_an_older_database_is_to_be_migrated(django_dsn):
    await run_script(
        django_dsn,
        """
        delete from django_migrations where app = 'db' and name > '0010';
        update db_dbsetting set val = '"1.0.9"' where key = 'db|schemaversion'
        """,
    )
    with pytest.raises(
        IncompatibleStorageSchema,
        match=r"1\.0\.9;.*: bring it up to date with `aiidadb migrate`, or open it with "
        r"schema_check=False and call backend\.schema\.migrate\(\)$",
    ):
        await opened_version(django_dsn)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("update db_dbsetting set val = '\"1.0.44\"' where key = 'db|schemaversion'", "1.0.44"),
        ("delete from django_migrations where name like '0020%'", "lacks 0020"),
        (
            """
            create table alembic_version (version_num varchar(32));
            insert into alembic_version values ('django_0013')
            """,
            "has gone on to 0045",
        ),
        (
            """
            create table alembic_version (version_num varchar(32));
            insert into alembic_version values ('main_0001'), ('main_0002')
            """,
            "holds 2 revisions",
        ),
    ],
)
async def test_bookkeeping_that_contradicts_itself_is_refused(django_dsn, change, message):
    await run_script(django_dsn, change)
    with pytest.raises(CorruptStorage, match=message):
        await opened_version(django_dsn)


@pytest.mark.parametrize("number", [1, 8, 24, 30, 37, 44, 46, 49])
async def test_each_call_answers_at_any_age_or_says_that_it_cannot(databases, number):
    dsn = await database_at(databases, number)
    async with connected(dsn) as connection:
        pk = await insert(connection, "db_dbnode")
    profile = aiidadb.Profile.from_dsn(dsn)
    async with aiidadb.open_backend(profile, schema_check=False) as backend:
        queries, settings, schema = backend.queries, backend.settings, backend.schema
        selection = Query.from_(nodes).select(nodes.id)
        calls = {
            "fetch": lambda: queries.fetch(selection),
            "fetch by type": lambda: queries.fetch(selection.where(nodes.node_type == "a")),
            "fetch group": lambda: queries.fetch(queries.query_group(selection, group_name="a")),
            "fetch days": lambda: queries.fetch(queries.query_past_days(selection, past_days=1)),
            "statistics": queries.get_creation_statistics,
            "statistics of a user": lambda: queries.get_creation_statistics(1, timezone="UTC"),
            "closest": lambda: queries.get_closest_parents([pk]),
            "closest by type": lambda: queries.get_closest_parents([pk], node_type="a"),
            "all": lambda: queries.get_all_parents([pk]),
            "all with columns": lambda: queries.get_all_parents([pk], ("id", "attributes.a")),
            "bands": lambda: queries.get_bands_and_parents_structure(all_users=True),
            "duplicates": lambda: queries.get_duplicate_uuids("db_dbnode"),
            "uuids": lambda: queries.apply_new_uuid_mapping("db_dbnode", {pk: uuid.uuid4()}),
            "table": settings.validate_table_existence,
            "get": lambda: settings.get("db|schemaversion"),
            "get all": settings.get_all,
            "set": lambda: settings.set("a", {"b": 1}),
            "unset": lambda: settings.set("a", None),
            "delete setting": lambda: settings.delete("a"),
            "nodes to delete": lambda: backend.get_nodes_to_delete([pk]),
            "preview": lambda: backend.preview_deletion([pk]),
            "delete no node": lambda: backend.delete_nodes_and_connections([pk + 1]),
            "delete": lambda: backend.delete_nodes_and_connections([pk]),
            "server": backend.describe_server,
            "version": schema.get_schema_version_database,
            "head": schema.get_schema_version_code,
            "ahead": schema.is_database_schema_ahead,
            "generation": schema.get_schema_generation_database,
            "validate": schema.validate_schema,
            "plan": schema.plan,
        }
        refused = {}
        for name, call in calls.items():
            for inside in (True, False):
                try:
                    async with backend.transaction() if inside else contextlib.nullcontext():
                        await call()
                        if inside:
                            raise ZeroDivisionError  # so that it can be asked again
                except ZeroDivisionError:
                    pass
                except IncompatibleStorageSchema as error:
                    refused[name] = str(error)
    assert {"delete no node", "server", "version", "plan"}.isdisjoint(refused)
    if number >= 8:  # links have types
        assert "closest" not in refused
    # Links have the types that are asked for: under others none would be found.
    assert ("nodes to delete" in refused) == ("all" in refused) == (number < 20)
    assert all(f"schema version 1.0.{number}" in message for message in refused.values())
    assert "validate" in refused
    assert ("get" in refused) == (number < 37)
    await databases.drop(dsn)


async def test_what_an_old_database_lacks_does_not_spoil_a_transaction(databases):
    dsn = await database_at(databases, 8)
    profile = aiidadb.Profile.from_dsn(dsn)
    async with (
        aiidadb.open_backend(profile, schema_check=False) as backend,
        backend.transaction() as connection,
    ):
        for call in (
            backend.settings.get_all,
            lambda: backend.settings.set("a", 1),
            backend.queries.get_creation_statistics,
            backend.queries.get_bands_and_parents_structure,
            lambda: backend.preview_deletion([1]),
            backend.queries.get_groups,
            lambda: backend.queries.add_to_group("a", [1]),
            lambda: backend.queries.remove_from_group("a", [1]),
            lambda: backend.get_nodes_to_delete([1]),
            lambda: backend.queries.get_all_parents([1]),
            lambda: backend.queries.get_descendants([1]),
            lambda: backend.queries.get_closest_parents([1], link_types=("create",)),
        ):
            with pytest.raises(
                IncompatibleStorageSchema, match=r"1\.0\.8; supported are .*migrate"
            ):
                await call()
        assert await connection.fetchval("select 1") == 1
        # Links of every type are found, whatever they are called.
        assert await backend.queries.get_all_parents([1], link_types=None) == []
        assert await backend.queries.get_descendants([1], link_types=None) == []
    await databases.drop(dsn)


async def test_without_a_schema_the_managers_say_so(empty_dsn):
    profile = aiidadb.Profile.from_dsn(empty_dsn)
    async with aiidadb.open_backend(profile, schema_check=False) as backend:
        for call in (
            backend.queries.get_creation_statistics,
            lambda: backend.queries.get_all_parents([1]),
            lambda: backend.get_nodes_to_delete([1]),
            lambda: backend.preview_deletion([1]),
            lambda: backend.delete_nodes_and_connections([1]),
        ):
            with pytest.raises(IncompatibleStorageSchema, match="no AiiDA schema"):
                await call()


async def test_backends_of_one_profile_share_a_pool_and_the_last_one_closes_it(main_dsn):
    profile = aiidadb.Profile.from_dsn(main_dsn)
    async with PoolRegistry() as registry:
        async with aiidadb.open_backend(profile, registry=registry, max_size=3) as one:
            with pytest.raises(PoolOptionsError):
                async with aiidadb.open_backend(profile, registry=registry, max_size=4):
                    pass
            async with aiidadb.open_backend(profile, registry=registry) as two:
                assert one._session.pool is two._session.pool
            assert await one.settings.get_all() == []
        assert one._session.pool.is_closing()


async def test_a_role_that_may_only_read_can_open_and_read(head_dsn, databases):
    reader = f"aiidadb_reader_{secrets.token_hex(4)}"  # roles are the server's
    connection = await asyncpg.connect(head_dsn)
    try:
        await connection.execute(
            f"""
            create role {reader} login password 'only reading';
            grant select on all tables in schema public to {reader}
            """
        )
        profile = aiidadb.Profile.from_dsn(head_dsn)
        async with aiidadb.open_backend(profile, server_settings={"role": reader}) as backend:
            assert await backend.queries.get_closest_parents([1]) == {}
            assert isinstance(await backend.settings.get_all(), list)
            with pytest.raises(aiidadb.AiidaDbError, match="permission denied"):
                await backend.settings.set("a", 1)
    finally:
        await connection.execute(f"drop owned by {reader}; drop role {reader}")
        await connection.close()


# ---------------------------------------------------------------- the door


async def until_closing(pool: asyncpg.Pool) -> None:
    async with asyncio.timeout(20):
        while not pool.is_closing():
            await asyncio.sleep(0.01)


@pytest.mark.quick
async def test_awaited_it_is_a_backend_that_gives_its_pool_back_when_closed(main_dsn):
    async with PoolRegistry() as registry:
        backend = await aiidadb.open_backend(main_dsn, registry=registry)
        pool = backend._session.pool
        assert await backend.settings.get_all() == []
        await asyncio.gather(backend.close(), backend.close())
        assert pool.is_closing()
        assert not registry._entries
        await backend.close()
        with pytest.raises(ClosedError, match=r"closed, by close\(\) or at the end of its `async"):
            await backend.settings.get_all()
        with pytest.raises(ClosedError, match="backend was closed"):
            await backend.__aenter__()


async def test_an_awaited_backend_can_be_entered_and_closed_inside(main_dsn):
    async with await aiidadb.open_backend(main_dsn) as backend:
        assert await backend.settings.get_all() == []
        pool = backend._session.pool
    assert pool.is_closing()
    async with aiidadb.open_backend(main_dsn) as backend:
        await backend.close()
        assert backend._session.pool.is_closing()


async def test_of_two_backends_the_one_that_stays_keeps_the_pool(main_dsn):
    one, two = await aiidadb.open_backend(main_dsn), await aiidadb.open_backend(main_dsn)
    await one.close()
    await one.close()
    assert await two.settings.get_all() == []
    await two.close()
    assert two._session.pool.is_closing()


async def test_closed_inside_its_transaction_the_pool_goes_back_after_it(main_dsn):
    backend = await aiidadb.open_backend(main_dsn)
    pool = backend._session.pool
    async with backend.transaction():
        await backend.settings.set("a", 1)
        await backend.close()
        await backend.close()
        assert not pool.is_closing()
    await until_closing(pool)
    async with aiidadb.open_backend(main_dsn) as again:
        assert (await again.settings.get("a")).value == 1


async def test_one_object_opens_once(main_dsn):
    opening = aiidadb.open_backend(main_dsn)
    async with opening:
        with pytest.raises(PoolError, match=r"opens only once.*call open_backend"):
            await opening
        with pytest.raises(PoolError, match="opens only once"):
            async with opening:
                pass
    with pytest.raises(PoolError, match="opens only once"):
        async with opening:
            pass


@pytest.fixture
def configuration(main_dsn, tmp_path, monkeypatch):
    """AiiDA's configuration, with a default profile ``main`` on the database."""
    monkeypatch.setenv("AIIDA_PATH", str(tmp_path))
    return write_config(tmp_path, main_dsn)


@pytest.mark.quick
async def test_a_profile_is_given_by_name_or_not_at_all(configuration):
    for given in ((), (None,), ("main",)):
        async with aiidadb.open_backend(*given) as backend:
            assert backend.profile == aiidadb.load_profile("main")
            assert type(backend.profile.name) is str
    with pytest.raises(
        ProfileConfigurationError, match="no profile 'other'; its profiles are main"
    ):
        await aiidadb.open_backend("other")


async def test_a_configuration_that_is_not_there_is_an_error_of_ours(tmp_path, monkeypatch):
    monkeypatch.setenv("AIIDA_PATH", str(tmp_path))
    for given in ((), ("main",)):
        with pytest.raises(MissingConfigurationError):
            await aiidadb.open_backend(*given)


async def test_the_configuration_is_read_in_a_thread(configuration, monkeypatch):
    threads = []

    def load(name):
        threads.append(threading.get_ident())
        return aiidadb.load_profile(name)

    monkeypatch.setattr(backend_module, "load_profile", load)
    await (await aiidadb.open_backend("main")).close()
    assert threads
    assert threading.get_ident() not in threads


@pytest.mark.parametrize(
    "given", [5, b"main", ["main"], object()], ids=["number", "bytes", "list", "object"]
)
async def test_what_is_no_profile_is_refused_before_it_is_opened(given):
    with pytest.raises(InvalidTypeError, match="not a profile"):
        aiidadb.open_backend(given)


async def test_a_dsn_that_cannot_be_used_is_refused_without_its_password():
    opening = aiidadb.open_backend("mysql://ada:s3cret@localhost/db")
    assert "s3cret" not in repr(opening)
    with pytest.raises(ConfigurationError) as raised:
        await opening
    assert "s3cret" not in str(raised.value)


async def test_cancelled_half_way_it_gives_the_pool_back(main_dsn, monkeypatch):
    reading = asyncio.Event()

    async def read(connection):
        reading.set()
        await asyncio.sleep(60)

    monkeypatch.setattr(backend_module, "read_bookkeeping", read)
    async with PoolRegistry() as registry:
        opening = aiidadb.open_backend(main_dsn, registry=registry)

        async def open_it():
            await opening

        task = asyncio.create_task(open_it())
        async with asyncio.timeout(20):
            await reading.wait()
        (entry,) = registry._entries.values()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert entry.pool.is_closing()
        assert not registry._entries
        assert repr(opening).endswith("not open>")


async def test_a_refused_database_leaves_no_pool_behind(empty_dsn):
    async with PoolRegistry() as registry:
        with pytest.raises(NotAnAiidaDatabase):
            await aiidadb.open_backend(empty_dsn, registry=registry)
        assert not registry._entries


@pytest.mark.quick
async def test_it_shows_what_it_is_and_no_password(main_dsn, empty_dsn, monkeypatch):
    monkeypatch.setenv("PGPASSWORD", "s3cret")
    assert (
        repr(aiidadb.open_backend()) == "<aiidadb.BackendOpening of the default profile, not open>"
    )
    assert "profile 'main', not open" in repr(aiidadb.open_backend("main"))
    secret = "postgresql://ada:s3cret@localhost/db"
    for given in (secret, aiidadb.Profile.from_dsn(secret)):
        shown = repr(aiidadb.open_backend(given))
        assert "s3cret" not in shown
        assert "db" in shown
    profile = aiidadb.Profile.from_dsn(main_dsn, name="mine")
    opening = aiidadb.open_backend(profile)
    async with opening as backend:
        assert repr(backend) == "<aiidadb.Backend of profile 'mine', main_0002, open>"
        assert repr(opening) == f"<aiidadb.BackendOpening of {backend!r}>"
    assert repr(backend) == "<aiidadb.Backend of profile 'mine', main_0002, closed>"
    async with aiidadb.open_backend(empty_dsn, schema_check=False) as backend:
        assert "no known schema, open" in repr(backend)


@pytest.mark.quick
@pytest.mark.parametrize(
    ("option", "meant"),
    [
        ("maxsize", "did you mean 'max_size'"),
        ("aquire_timeout", "did you mean 'acquire_timeout'"),
        ("schemacheck", "did you mean 'schema_check'"),
        ("poolsize", "did you mean 'max_size'"),
        ("max_connections", "did you mean 'max_size'"),
        ("minconn", "did you mean 'min_size'"),
        ("query_timeout", "did you mean 'command_timeout'"),
        ("pool_timeout", "did you mean 'acquire_timeout'"),
        ("dbname", "did you mean 'database'"),
        ("max_rows", r"it is an argument of Backend.query\(\)$"),
        ("repository", r"it is an argument of Profile.from_dsn\(\)$"),
        ("timeout", "give connect_timeout for .*, command_timeout for .*, or acquire_timeout for"),
        ("config", r"it is an argument of load_profile\(\)$"),
        ("dsn", "give the DSN in place of the profile$"),  # asyncpg would ignore it
        ("service", "write what the service file says into a DSN$"),
        ("application_name", "write server_settings="),
        ("foo", r"options are those of open_backend\(\) and of asyncpg.create_pool\(\)$"),
    ],
)
async def test_an_option_that_there_is_not_is_named_with_the_one_that_may_be_meant(option, meant):
    with pytest.raises(PoolOptionsError, match=f"no option '{option}': {meant}"):
        aiidadb.open_backend("main", **{option: 1})


async def test_one_that_nobody_closed_is_closed_with_a_warning_when_it_is_gone(main_dsn):
    backend = await aiidadb.open_backend(aiidadb.Profile.from_dsn(main_dsn, name="mine"))
    pool, settings = backend._session.pool, backend.settings
    del backend
    gc.collect()
    assert await settings.get_all() == []  # as long as a manager is there, it is open
    holders = [settings]
    del settings
    with pytest.warns(ResourceWarning, match="backend of profile 'mine' was never closed"):
        holders.clear()
    await until_closing(pool)


FORGETFUL = """
import asyncio, sys, aiidadb

async def main():
    global backend
    backend = await aiidadb.open_backend(sys.argv[1])
    await backend.settings.get_all()

asyncio.run(main())
"""


async def test_one_that_nobody_closed_ends_a_program_with_that_warning_alone(main_dsn):
    command = [sys.executable, "-X", "dev", "-W", "error", "-c", FORGETFUL, main_dsn]
    ended = await asyncio.to_thread(finished, command)
    assert ended.returncode == 0
    assert ended.stderr.count("ResourceWarning") == 1
    assert "was never closed" in ended.stderr
    assert ended.stderr.count("Exception ignored") == 1


FORKED = """
import asyncio, os, sys, aiidadb

async def main():
    backend = await aiidadb.open_backend(sys.argv[1])
    await backend.settings.set("a", 1)
    child = os.fork()
    if not child:
        try:
            backend.close().send(None)
        except StopIteration:
            del backend
            os._exit(0)
        os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    print((await backend.settings.get("a")).value, backend)
    await backend.close()

asyncio.run(main())
"""


async def test_closed_in_a_forked_process_it_stays_open_in_the_first(main_dsn):
    ended = await asyncio.to_thread(finished, [sys.executable, "-c", FORKED, main_dsn])
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.startswith("1 <aiidadb.Backend of database ")
    assert "open>" in ended.stdout


LATE = """
import asyncio, sys, aiidadb

async def opened():
    backend = await aiidadb.open_backend(sys.argv[1])
    await backend.settings.get_all()
    return backend

backend = asyncio.run(opened())
asyncio.run(backend.close())
print(backend)
"""


async def test_it_can_be_closed_after_the_end_of_its_loop(main_dsn):
    command = [sys.executable, "-X", "dev", "-W", "error", "-c", LATE, main_dsn]
    ended = await asyncio.to_thread(finished, command)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.rstrip().endswith("closed>")


async def test_bind_spells_node_types_as_the_database_does(head_dsn):
    async with aiidadb.open_backend(head_dsn) as backend:
        is_old = str(backend.version) == "1.0.45"
        here = "data.structure.StructureData." if is_old else "data.core.structure.StructureData."
        for given in ("data.structure.StructureData.", "data.core.structure.StructureData."):
            text, values = backend.bind(nodes.node_type == given, first=3)
            assert values == [here]
            assert "$3" in text
        async with backend.connection() as connection:
            await insert(connection, "db_dbnode", node_type=here)
            text, values = backend.bind(nodes.node_type.like("data.core.structure.%"))
            found = await connection.fetch(f"select id from db_dbnode where {text}", *values)
            assert len(found) == 1
        with pytest.raises(InvalidTypeError, match="not a pypika criterion"):
            backend.bind("label = 'x'")
