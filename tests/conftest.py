"""A real PostgreSQL for every test: ``AIIDADB_TEST_DSN``, else the embedded server.

Tests run in several processes, the workers of pytest-xdist. They share one server, which the
process that hands out the tests starts and stops; see README.md in this folder.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import warnings
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

import pytest
import pytest_asyncio
from hypothesis import settings

import aiidadb
from aiidadb.demo.embedded_server import embedded_server
from tests.helpers.aiida_storage import aiida_profile_dictionary, aiida_storage
from tests.helpers.databases import Databases, clone_of_schema, drop_all_of, new_run
from tests.helpers.examples import QUICK
from tests.helpers.query_world import fill_world

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiida.storage.psql_dos.backend import PsqlDosBackend
    from xdist.workermanage import WorkerController

# What the peer itself does is warned of by what it stands on, which is none of our business.
PEER_WARNINGS = (
    "ignore::sqlalchemy.exc.SAWarning",
    "ignore::aiida.common.warnings.AiidaDeprecationWarning",
)


# Drawn by hypothesis: a few examples each time, the same ones in every run, or very many new ones.
settings.register_profile("quick", max_examples=QUICK, derandomize=True, deadline=None)
settings.register_profile("thorough", max_examples=20 * QUICK, deadline=None)


def pytest_configure(config: pytest.Config) -> None:
    """Choose the hypothesis profile, and keep out of the user's home and database."""
    if config.getoption("--hypothesis-profile") is None:
        settings.load_profile("thorough" if _is_thorough(config) else "quick")
    home = tempfile.TemporaryDirectory(prefix="aiidadb-test-")
    config.add_cleanup(home.cleanup)
    Path(home.name, ".aiida").mkdir()  # aiida-core warns where it makes it
    os.environ["AIIDA_PATH"] = home.name
    os.environ.pop("AIIDADB_DSN", None)  # the user's own database is not for tests


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Warnings are errors, but for those that aiida-core causes where a test runs it.

    What draws examples belongs to a thorough run too, where it draws many.
    """
    for item in items:
        if any(name.startswith("aiida_") for name in getattr(item, "fixturenames", ())):
            for warning in PEER_WARNINGS:
                item.add_marker(pytest.mark.filterwarnings(warning))
        if _is_thorough(config) and item.get_closest_marker("hypothesis"):
            item.add_marker(pytest.mark.thorough)


def _is_thorough(config: pytest.Config) -> bool:
    expression = config.getoption("markexpr")
    return "thorough" in expression and "not thorough" not in expression


# ---------------------------------------------------------------- the server and its databases


class Run(TypedDict):
    """What the processes of one run share."""

    name: str
    server_dsn: str


_RUN = pytest.StashKey[Run]()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int | None:
    """Two workers for each core, as a test waits for the server half of its time."""
    if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ:
        return None  # then it is for xdist to read
    return 2 * len(os.sched_getaffinity(0))


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: WorkerController) -> None:
    """Give a worker of pytest-xdist, before it starts, the server of the run."""
    node.workerinput["aiidadb_run"] = _begin_run(node.config)


def _begin_run(config: pytest.Config) -> Run:
    """Start the server of the run, if nothing has yet; it stops when this process is done."""
    if _RUN not in config.stash:
        name = new_run()
        ending = ExitStack()
        config.add_cleanup(ending.close)
        if dsn := os.environ.get("AIIDADB_TEST_DSN"):
            ending.callback(lambda: asyncio.run(drop_all_of(name, dsn)))
        else:
            # An autovacuum would take locks and change plans whenever it comes.
            server_settings = {"max_wal_size": "1GB", "autovacuum": "off"}
            with pytest.MonkeyPatch.context() as patched:
                patched.setattr(tempfile, "tempdir", _place_of_the_server())
                dsn = ending.enter_context(
                    embedded_server(durable=False, settings=server_settings)
                ).dsn
        config.stash[_RUN] = Run(name=name, server_dsn=dsn)
    return config.stash[_RUN]


def _place_of_the_server() -> str:
    """In memory, if there is room: a database has 300 files, and most tests make a new one."""
    memory = "/dev/shm"
    if os.access(memory, os.W_OK):
        found = os.statvfs(memory)
        # The programs may have to be copied there, to where the server's user can run them.
        runs_programs = not found.f_flag & os.ST_NOEXEC
        if runs_programs and found.f_bavail * found.f_frsize > 4 * 1024**3:
            return memory
    return tempfile.gettempdir()


@pytest.fixture(scope="session")
def run_of_tests(request: pytest.FixtureRequest) -> Run:
    """What this process shares with the others of the run."""
    given: Run | None = getattr(request.config, "workerinput", {}).get("aiidadb_run")
    return given or _begin_run(request.config)


@pytest.fixture(scope="session")
def server_dsn(run_of_tests: Run) -> str:
    """The server that the tests run on."""
    return run_of_tests["server_dsn"]


@pytest.fixture(scope="session")
def process_name() -> str:
    """What distinguishes this process from the others of the run."""
    return os.environ.get("PYTEST_XDIST_WORKER", "main")


@pytest.fixture(scope="session")
def databases(run_of_tests: Run, process_name: str) -> Databases:
    """Makes databases; what is left of them is dropped at the end of the run."""
    return Databases(run_of_tests["server_dsn"], run=run_of_tests["name"], process=process_name)


@pytest_asyncio.fixture
async def empty_dsn(databases: Databases) -> AsyncIterator[str]:
    """An empty database."""
    dsn = await databases.create()
    yield dsn
    await databases.drop(dsn)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def bare_dsn(databases: Databases) -> str:
    """A database of the main line's head that is never filled: for what is refused before that."""
    return await clone_of_schema(databases, "main_0002")


@pytest_asyncio.fixture
async def django_dsn(databases: Databases) -> AsyncIterator[str]:
    """A new database of the django line's head, without a node."""
    dsn = await clone_of_schema(databases, "django_0045")
    yield dsn
    await databases.drop(dsn)


@pytest_asyncio.fixture
async def main_dsn(databases: Databases) -> AsyncIterator[str]:
    """A new database of the main line's head, without a node."""
    dsn = await clone_of_schema(databases, "main_0002")
    yield dsn
    await databases.drop(dsn)


@pytest_asyncio.fixture(params=["django_0045", "main_0002"])
async def head_dsn(request: pytest.FixtureRequest, databases: Databases) -> AsyncIterator[str]:
    """A new database without a node, once of each line's head."""
    dsn = await clone_of_schema(databases, request.param)
    yield dsn
    await databases.drop(dsn)


@pytest_asyncio.fixture
async def backend(head_dsn: str) -> AsyncIterator[aiidadb.Backend]:
    """An open backend on a database without a node, once of each line's head."""
    async with aiidadb.open_backend(aiidadb.Profile.from_dsn(head_dsn)) as opened:
        yield opened


# ---------------------------------------------------------------- the peer, aiida-core itself


@pytest.fixture(scope="session")
def aiida_home() -> Path:
    """The ``AIIDA_PATH`` of this run, with aiida-core imported."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import aiida.orm
        import aiida.storage.psql_dos.backend
        import aiida.tools  # noqa: F401
    return Path(os.environ["AIIDA_PATH"])


@pytest_asyncio.fixture
async def aiida_dsn(
    databases: Databases, process_name: str, aiida_home: Path
) -> AsyncIterator[str]:
    """A database that aiida-core 2.9.4 made new; its repository is ``aiida_repository``."""

    async def build(dsn: str) -> None:
        from aiida.manage.configuration import Profile
        from aiida.storage.psql_dos.backend import PsqlDosBackend

        profile = Profile("test", aiida_profile_dictionary(dsn, _repository(aiida_home)))
        await asyncio.to_thread(PsqlDosBackend.initialise, profile)

    # One per process, as it goes with a file repository.
    dsn = await databases.create(await databases.template(f"aiida_{process_name}", build))
    yield dsn
    await databases.drop(dsn)


def _repository(aiida_home: Path) -> Path:
    path = aiida_home / "repository"
    path.mkdir(exist_ok=True)
    return path


@pytest.fixture
def aiida_repository(aiida_home: Path) -> Path:
    """The file repository that all databases cloned for ``aiida_dsn`` share."""
    return _repository(aiida_home)


@pytest_asyncio.fixture
async def aiida_backend(aiida_dsn: str, aiida_repository: Path) -> AsyncIterator[PsqlDosBackend]:
    """aiida-core's own storage backend on ``aiida_dsn``, with the user ada@epfl.ch.

    Give it to aiida-core's classes: ``orm.Int(1, backend=aiida_backend, user=…)``,
    ``QueryBuilder(backend=aiida_backend)``.
    """
    from aiida import orm

    storage = aiida_storage(aiida_dsn, aiida_repository)
    orm.User(email="ada@epfl.ch", backend=storage).store()
    storage.reset_default_user()
    yield storage
    storage.get_session().close()  # the peer's own close() leaves its connection open
    storage.close()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def aiida_world_dsn(databases: Databases, process_name: str, aiida_home: Path) -> str:
    """A database of every entity that aiida-core filled; nothing in it is changed."""
    repository = aiida_home / "query_world"
    repository.mkdir(exist_ok=True)

    async def build(dsn: str) -> None:
        from aiida.manage.configuration import Profile
        from aiida.storage.psql_dos.backend import PsqlDosBackend

        profile = Profile("test", aiida_profile_dictionary(dsn, repository))
        await asyncio.to_thread(PsqlDosBackend.initialise, profile)
        storage = aiida_storage(dsn, repository)
        fill_world(storage)
        storage.get_session().close()
        storage.close()

    return await databases.create(await databases.template(f"world_{process_name}", build))


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def aiida_world(aiida_world_dsn: str, aiida_home: Path) -> AsyncIterator[PsqlDosBackend]:
    """aiida-core's own storage of ``aiida_world_dsn``."""
    storage = aiida_storage(aiida_world_dsn, aiida_home / "query_world")
    yield storage
    storage.get_session().close()
    storage.close()


@pytest_asyncio.fixture
async def world(aiida_world_dsn: str) -> AsyncIterator[aiidadb.Backend]:
    """``aiida_world_dsn``, opened by aiidadb."""
    async with aiidadb.open_backend(aiidadb.Profile.from_dsn(aiida_world_dsn)) as backend:
        yield backend
