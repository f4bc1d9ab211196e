"""What the tests of the command line share: a way to run it, and small campaigns."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from aiidadb.cli import aiidadb
from tests.helpers.campaigns import make_campaign
from tests.helpers.command_line import Result, Run

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.helpers.databases import Databases


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command in this process, piped."""

    def run(*arguments: object) -> Result:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            aiidadb([str(one) for one in arguments], prog_name="aiidadb")
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        assert "\x1b" not in captured.out + captured.err
        return Result(int(ended.value.code or 0), captured.out, captured.err)

    return run


@pytest_asyncio.fixture(params=["django_0045", "main_0002"])
async def dsn(request: pytest.FixtureRequest, databases: Databases) -> AsyncIterator[str]:
    """A small campaign, once in each line."""
    made = await make_campaign(databases, request.param)
    yield made
    await databases.drop(made)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def shared_campaign(databases: Databases) -> str:
    """One of the main line that is never changed."""
    return await make_campaign(databases, "main_0002")


@pytest_asyncio.fixture
async def main_campaign(databases: Databases) -> AsyncIterator[str]:
    made = await make_campaign(databases, "main_0002")
    yield made
    await databases.drop(made)


@pytest_asyncio.fixture
async def old_campaign(databases: Databases) -> AsyncIterator[str]:
    """One of AiiDA 1.6, to be migrated."""
    made = await make_campaign(databases, "django_0045")
    yield made
    await databases.drop(made)
