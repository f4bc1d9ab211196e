"""Ctrl-C while the server's answer to a COMMIT is under way."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from typing import TYPE_CHECKING

import pytest

from aiidadb.migration.repository.container import container_path, read_container_id
from tests.cli.test_exit_status import COMMAND
from tests.helpers.databases import fetchval
from tests.helpers.faults import proxy
from tests.helpers.processes import LIMIT, started

if TYPE_CHECKING:
    import subprocess
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.helpers.faults import Proxy


@contextlib.asynccontextmanager
async def interrupted(
    dsn: str, what: bytes, *arguments: object
) -> AsyncIterator[tuple[subprocess.Popen[str], Proxy]]:
    """A command that is waiting for the answer to something, and got SIGINT."""
    async with proxy(dsn) as between:
        between.holds_answers_to = what
        words = [*COMMAND, *map(str, arguments), "--dsn", between.dsn]
        with started(words) as command:
            async with asyncio.timeout(LIMIT):
                await between.is_holding.wait()
            await asyncio.sleep(0.3)  # until the server has done it
            command.send_signal(signal.SIGINT)
            yield command, between


async def end_of(command: subprocess.Popen[str]) -> tuple[int, str]:
    _, told = await asyncio.to_thread(command.communicate, timeout=LIMIT)
    return command.returncode, told


async def test_a_change_that_was_made_all_the_same_is_told(main_dsn: str) -> None:
    words = ("settings", "set", "a", "1")
    async with interrupted(main_dsn, b"db_dbsetting", *words) as (command, between):
        await asyncio.sleep(0.3)
        between.holds_answers_to = b""
        between.is_holding.clear()
        status, told = await end_of(command)
    stored = await fetchval(main_dsn, "select count(*) from db_dbsetting")
    assert status == 130
    assert ("it is in the database" in told) == bool(stored)


@pytest.mark.parametrize("times", [1, 2])
async def test_init_that_is_interrupted_during_commit_keeps_its_container(
    empty_dsn: str, tmp_path: Path, times: int
) -> None:
    words = ("init", "--repository", tmp_path)
    async with interrupted(empty_dsn, b"COMMIT;", *words) as (command, between):
        if times == 1:
            await asyncio.sleep(0.3)
            between.holds_answers_to = b""
            between.is_holding.clear()
        else:  # and again by a user who does not want to wait, once the first has surely come
            await asyncio.sleep(3)
            command.send_signal(signal.SIGINT)
        status, told = await end_of(command)
    assert status == 130
    assert told.startswith("Interrupted")
    assert ("committed all the same" if times == 1 else "check whether it does") in told
    assert told.count("\n") == 1
    uuid = await fetchval(empty_dsn, "select val #>> '{}' from db_dbsetting")
    assert uuid == read_container_id(tmp_path) is not None


@pytest.mark.thorough
async def test_init_without_an_answer_to_commit_says_that_its_outcome_is_unknown(
    empty_dsn: str, tmp_path: Path
) -> None:
    words = ("init", "--repository", tmp_path)
    async with interrupted(empty_dsn, b"COMMIT;", *words) as (command, _):
        status, told = await end_of(command)
    assert status == 1
    assert "the server had not answered" in told
    assert f"if it is empty, remove {container_path(tmp_path)}" in told
    uuid = await fetchval(empty_dsn, "select val #>> '{}' from db_dbsetting")
    assert uuid == read_container_id(tmp_path) is not None
