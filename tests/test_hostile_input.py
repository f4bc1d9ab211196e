"""Every public entry point with values that no caller should pass.

Whatever is given: what comes out is an answer, an error of ours, or what the caller's own object
raised; the server is sent our own statements alone; nothing in the database changes that was not
asked for; no message is long, and none shows a password.

The calls are found by their signatures (``helpers/hostile.py``). A run takes some values for each
parameter, a thorough run takes all.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import json
import traceback
import warnings
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

import pytest
import pytest_asyncio
from pypika import Query

import aiidadb
from aiidadb import nodes
from aiidadb.connecting.opening.connection import connect
from aiidadb.criteria.tables import TABLE_NAMES
from aiidadb.pks import as_pks
from tests.helpers.campaigns import make_campaign
from tests.helpers.hostile import CANARY, HOSTILE, OwnError, Way, ways
from tests.helpers.json_values import same

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    import asyncpg

    from tests.helpers.databases import Databases

MOST_CHARACTERS: Final = 500
LONGEST_CALL: Final = 60  # seconds; none takes two
SHARE: Final = 9  # a run takes one value in so many for each parameter

# Functions of the caller's: what they raise is the caller's own.
CALLBACKS: Final = frozenset({"connect", "init", "password", "progress", "reset", "setup"})

# Values that have a password in them.
SECRETIVE: Final = frozenset({"dsn", "broken dsn", "profile"})

WAYS: Final = [(name, list(some)) for name, some in groupby(ways(), lambda way: way.function)]


class _Undone(Exception):
    """Takes back what a call did."""


@dataclass
class World:
    """What the calls are made on.

    Attributes:
        profile: A small campaign.
        registry: Where its pools are.
        backend: It, opened.
        sent: The statements that the server was sent.
    """

    profile: aiidadb.Profile
    registry: aiidadb.PoolRegistry
    backend: aiidadb.Backend
    sent: list[str] = field(default_factory=list)

    def ordinary(self) -> dict[str, Any]:
        """What the parameters have that are not the one that is tried."""
        return {"profile": self.profile, "query": Query.from_(nodes).select(nodes.id)}

    async def content(self) -> list[str]:
        """What is in AiiDA's tables."""
        connection = await connect(self.profile)
        try:
            return [
                await connection.fetchval(
                    f"select md5(string_agg(t::text, '|' order by t::text)) from {name} as t"
                )
                for name in (*TABLE_NAMES, "alembic_version")
            ]
        finally:
            await connection.close()


@pytest_asyncio.fixture
async def world(databases: Databases) -> AsyncIterator[World]:
    """A small campaign, opened, with an eye on what the server is sent."""
    dsn = await make_campaign(databases, "main_0002")
    sent: list[str] = []

    async def listen(connection: asyncpg.Connection) -> None:
        connection.add_query_logger(lambda record: sent.append(record.query))

    profile = aiidadb.Profile.from_dsn(dsn)
    async with (
        aiidadb.PoolRegistry() as registry,
        aiidadb.open_backend(profile, registry=registry, init=listen) as backend,
    ):
        yield World(profile, registry, backend, sent)
    await aiidadb.reset_pools()
    await databases.drop(dsn)


def values_for(index: int, *, thorough: bool) -> Iterator[str]:
    """The values to try in one way: all, or others for each."""
    for number, name in enumerate(HOSTILE):
        if thorough or (number + index) % SHARE == 0:
            yield name


@pytest.mark.parametrize(("name", "tried"), WAYS, ids=[name for name, _ in WAYS])
async def test_a_call_answers_or_refuses(
    name: str, tried: list[Way], world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await try_all(tried, world, tmp_path, monkeypatch, thorough=False)


@pytest.mark.thorough
@pytest.mark.timeout(3000)
@pytest.mark.parametrize(("name", "tried"), WAYS, ids=[name for name, _ in WAYS])
async def test_a_call_answers_or_refuses_every_value(
    name: str, tried: list[Way], world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await try_all(tried, world, tmp_path, monkeypatch, thorough=True)


async def try_all(
    tried: list[Way],
    world: World,
    directory: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    thorough: bool,
) -> None:
    monkeypatch.chdir(directory)  # where files would be written to
    before = await world.content()
    wrong: list[str] = []
    for index, way in enumerate(tried):
        for value in values_for(index, thorough=thorough):
            world.sent.clear()
            if problem := await problem_of(way, value, world):
                wrong.append(f"{way.name} of {value}: {problem}")
    if await world.content() != before:
        wrong.append("the database is not as it was")
    assert not wrong, "\n".join([f"{len(wrong)} calls", *wrong[:40]])


async def problem_of(way: Way, name: str, world: World) -> str | None:
    """What is wrong with what a call does; None where nothing is."""
    value = HOSTILE[name]()
    try:
        async with asyncio.timeout(LONGEST_CALL):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # asyncpg's, of files with passwords
                answer = await call(way, value, world)
    except OwnError:
        return None
    except aiidadb.AiidaDbError as error:
        problem = problem_of_message(error, secretive=name in SECRETIVE)
        # A password in another argument's place is nothing that can be known.
        expected = name == "profile" or (name in SECRETIVE and _takes_a_password(way))
        return problem or (problem_of_frames(error) if expected else None)
    except Exception as error:
        if way.keyword in CALLBACKS and callable(value):
            return None
        shown = "".join(traceback.format_tb(error.__traceback__)[-2:])
        return f"{type(error).__name__}: {str(error)[:200]!r}\n{shown}"
    finally:
        foreign = [one[:200] for one in world.sent if CANARY in one]
    if foreign:
        return f"the server was sent {foreign}"
    return problem_of_answer(way, HOSTILE[name](), answer)


def _takes_a_password(way: Way) -> bool:
    return way.keyword in ("dsn", "password") or way.name == "open_backend(profile)"


def problem_of_message(error: aiidadb.AiidaDbError, *, secretive: bool) -> str | None:
    for message in (str(error), error.for_command_line()):
        if len(message) > MOST_CHARACTERS:
            return f"a message of {len(message)} characters: {message[:100]}"
        if any(ord(character) < 32 and character not in "\n\t" for character in message):
            return f"a message that no terminal should get: {message!r}"
        message.encode()
        if secretive and CANARY in message:
            return f"a password in a message: {message}"
    return None


def problem_of_frames(error: aiidadb.AiidaDbError) -> str | None:
    """Where a password stands in a variable of ours, which tools show that report errors."""
    told = traceback.TracebackException.from_exception(error, capture_locals=True)
    for frame in told.stack:
        if "/aiidadb/" in frame.filename and "/tests/" not in frame.filename:
            for local, shown in (frame.locals or {}).items():
                if CANARY in shown:
                    return f"a password in {local} of {frame.filename}:{frame.lineno}"
    return None


async def call(way: Way, value: Any, world: World) -> Any:
    """Make one call, and take back what it did."""
    if way.owner is None or way.owner in (aiidadb.Profile, aiidadb.SchemaVersion):
        target: Any = way.owner or aiidadb
        await aiidadb.reset_pools()  # what an earlier call gave is not a password of this one's
        return await outcome(way, getattr(target, way.callable), value, world)
    if way.owner is aiidadb.PoolRegistry:
        async with aiidadb.PoolRegistry() as registry:
            return await outcome(way, getattr(registry, way.callable), value, world)
    if way.owner is aiidadb.Backend and way.callable == "close":
        async with aiidadb.open_backend(world.profile, registry=world.registry) as backend:
            return await outcome(way, backend.close, value, world)
    managers = {
        aiidadb.Backend: world.backend,
        aiidadb.QueryBuilder: world.backend.query().append("", tag="n", project="id").limit(3),
        aiidadb.QueryManager: world.backend.queries,
        aiidadb.SchemaManager: world.backend.schema,
        aiidadb.SettingsManager: world.backend.settings,
    }
    method = getattr(managers[way.owner], way.callable)
    if way.callable in ("initialise", "migrate"):  # they commit by themselves
        return await outcome(way, method, value, world)
    answer = None
    with contextlib.suppress(_Undone):
        async with world.backend.transaction():
            answer = await outcome(way, method, value, world)
            raise _Undone
    return answer


async def outcome(way: Way, function: Any, value: Any, world: World) -> Any:
    """What a call gives, awaited, or entered and left."""
    answer = way.bind(function, value, world.ordinary())
    if isinstance(answer, contextlib.AbstractAsyncContextManager):
        async with answer as entered:
            return entered
    if isinstance(answer, aiidadb.QueryBuilder):
        answer = answer.limit(3).all()
    if isinstance(answer, AsyncGenerator):
        async with contextlib.aclosing(answer):
            return [one async for one in answer]
    answer = await answer if inspect.isawaitable(answer) else answer
    if way.callable == "set":
        key = value if way.keyword == "key" else "hostile"
        return await world.backend.settings.get(key)
    return answer


def problem_of_answer(way: Way, value: Any, answer: Any) -> str | None:
    """What is wrong with an answer that was given; None too where none is known to be right."""
    check = ANSWERS.get((way.function, way.keyword))
    return None if check is None or check(value, answer) else f"the answer {str(answer)[:200]!r}"


def _all_are_told(value: Any, report: aiidadb.DeletionReport) -> bool:
    return report.nodes + len(report.missing) == len(as_pks(value))


# When the answer to a value is right, by the call and the parameter that has the value.
ANSWERS: Final[dict[tuple[str, str], Callable[[Any, Any], bool]]] = {
    ("SettingsManager.set", "key"): lambda value, stored: stored.key == value,
    ("SettingsManager.set", "value"): (
        lambda value, stored: same(stored.value, json.loads(json.dumps(value)))
    ),
    ("SettingsManager.set", "description"): lambda text, stored: stored.description == (text or ""),
    ("Backend.delete_nodes_and_connections", "pks"): _all_are_told,
    ("Backend.preview_deletion", "pks"): lambda value, told: _all_are_told(value, told.counts),
    ("QueryManager.get_closest_parents", "pks"): (
        lambda value, parents: parents.keys() <= set(as_pks(value))
    ),
    ("QueryManager.get_all_parents", "return_values"): (
        lambda value, rows: all(len(row) == len(list(value)) for row in rows)
    ),
}
