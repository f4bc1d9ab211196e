"""A real PostgreSQL for every test: ``AIIDADB_TEST_DSN``, else the embedded server."""

from __future__ import annotations

import asyncio
import os
import tempfile
import uuid
import warnings
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
import pytest_asyncio

import aiidadb
from aiidadb.demo.embedded_server import embedded_server
from aiidadb.sql import SCHEMAS
from tests.helpers.databases import Databases, run_script

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from aiida.storage.psql_dos.backend import PsqlDosBackend

# What the peer itself does is warned of by what it stands on, which is none of our business.
PEER_WARNINGS = (
    "ignore::sqlalchemy.exc.SAWarning",
    "ignore::aiida.common.warnings.AiidaDeprecationWarning",
)


def pytest_configure(config: pytest.Config) -> None:
    """Keep aiida-core's configuration out of the user's home, from its first import on."""
    home = tempfile.TemporaryDirectory(prefix="aiidadb-test-")
    config.add_cleanup(home.cleanup)
    Path(home.name, ".aiida").mkdir()  # aiida-core warns where it makes it
    os.environ["AIIDA_PATH"] = home.name


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Warnings are errors, but for those that aiida-core causes where a test runs it."""
    for item in items:
        if any(name.startswith("aiida_") for name in getattr(item, "fixturenames", ())):
            for warning in PEER_WARNINGS:
                item.add_marker(pytest.mark.filterwarnings(warning))


@pytest.fixture(scope="session")
def server_dsn() -> Iterator[str]:
    """The server that the tests run on."""
    if dsn := os.environ.get("AIIDADB_TEST_DSN"):
        yield dsn
        return
    with embedded_server(durable=False) as server:
        yield server.dsn


@pytest.fixture(scope="session")
def databases(server_dsn: str) -> Iterator[Databases]:
    """Makes databases; drops at the end what is left."""
    made = Databases(server_dsn)
    yield made
    asyncio.run(made.drop_all())


@pytest_asyncio.fixture
async def empty_dsn(databases: Databases) -> AsyncIterator[str]:
    """An empty database."""
    dsn = await databases.create()
    yield dsn
    await databases.drop(dsn)


async def clone_of_schema(databases: Databases, name: str) -> str:
    async def build(dsn: str) -> None:
        await run_script(dsn, SCHEMAS[name])

    return await databases.create(await databases.template(name, build))


@pytest.fixture(scope="session")
def bare_dsn(databases: Databases) -> Iterator[str]:
    """A database of the main line's head that nobody fills: for what is refused before that."""
    dsn = asyncio.run(clone_of_schema(databases, "main_0002"))
    yield dsn
    asyncio.run(databases.drop(dsn))


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


def aiida_storage(dsn: str, repository: Path) -> PsqlDosBackend:
    """aiida-core's storage of a database, initialised already."""
    from aiida.manage.configuration import Profile
    from aiida.storage.psql_dos.backend import PsqlDosBackend

    return PsqlDosBackend(Profile("test", aiida_profile_dictionary(dsn, repository)))


def aiida_profile_dictionary(dsn: str, repository: Path) -> dict[str, object]:
    """A profile as aiida-core's ``config.json`` has it."""
    parts = urlsplit(dsn)
    name = parts.path[1:]
    if socket := parse_qs(parts.query).get("host"):
        # aiida-core puts its settings into a URL unquoted, where a path can be no host.
        name = f"{name}?host={socket[0]}"
    return {
        "PROFILE_UUID": str(uuid.uuid4()),
        "default_user_email": "ada@epfl.ch",
        "storage": {
            "backend": "core.psql_dos",
            "config": {
                "database_engine": "postgresql_psycopg",
                "database_hostname": parts.hostname,
                "database_port": parts.port or 5432,
                "database_username": unquote(parts.username or "postgres"),
                "database_password": unquote(parts.password or ""),
                "database_name": name,
                "repository_uri": repository.as_uri(),
            },
        },
        "process_control": {"backend": None, "config": {}},
        "test_profile": True,
    }


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
async def aiida_dsn(databases: Databases, aiida_home: Path) -> AsyncIterator[str]:
    """A database that aiida-core 2.9.4 made new; its repository is ``aiida_repository``."""

    async def build(dsn: str) -> None:
        from aiida.manage.configuration import Profile
        from aiida.storage.psql_dos.backend import PsqlDosBackend

        profile = Profile("test", aiida_profile_dictionary(dsn, _repository(aiida_home)))
        await asyncio.to_thread(PsqlDosBackend.initialise, profile)

    dsn = await databases.create(await databases.template("aiida", build))
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
