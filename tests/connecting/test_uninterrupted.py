"""Work that is not to be cut, under each kind of cancellation that asyncio and anyio have."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import time
from typing import TYPE_CHECKING

import anyio
import pytest
from anyio import from_thread

from aiidadb.connecting.uninterrupted import clean_up_after, in_thread, uninterrupted
from aiidadb.exceptions import UnknownOutcome
from tests.helpers.cancelling import EACH_WAY, by_cancel, outcome_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.helpers.cancelling import Way

LIMIT = 10  # seconds, far beyond what any of these takes

each_way = pytest.mark.parametrize("way", EACH_WAY)


class Work:
    """Takes a moment, and says whether it came to its end."""

    def __init__(self, *, seconds: float = 0.3, error: Exception | None = None) -> None:
        self.seconds = seconds
        self.error = error
        self.is_done = False
        self.was_cut = False

    async def run(self) -> str:
        try:
            await asyncio.sleep(self.seconds)
        except asyncio.CancelledError:
            self.was_cut = True
            raise
        self.is_done = True
        if self.error is not None:
            raise self.error
        return "answer"


@pytest.fixture(autouse=True)
async def _nothing_is_left() -> AsyncIterator[None]:
    """Each test leaves no task behind, and nothing that asyncio would complain of."""
    complaints: list[dict[str, object]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _loop, context: complaints.append(context))
    before = asyncio.all_tasks()
    yield
    gc.collect()
    await asyncio.sleep(0)
    assert complaints == []
    assert asyncio.all_tasks() - before <= {asyncio.current_task()}


async def test_uncancelled_it_is_an_ordinary_call() -> None:
    assert await uninterrupted(Work().run(), within=1) == "answer"
    with pytest.raises(KeyError):
        await uninterrupted(Work(error=KeyError()).run(), within=1)


@each_way
async def test_cancelled_the_work_is_done_first(way: Way) -> None:
    work = Work()
    async with asyncio.timeout(LIMIT):
        said = await outcome_of(uninterrupted(work.run(), within=5, note="it was done"), way)
    assert work.is_done
    assert isinstance(said, asyncio.CancelledError)
    assert said.__notes__ == ["it was done"]


@each_way
async def test_an_error_of_the_work_takes_the_place_of_the_cancellation(way: Way) -> None:
    cause, error = ValueError("cause"), KeyError("error")
    error.__cause__ = cause
    async with asyncio.timeout(LIMIT):
        said = await outcome_of(uninterrupted(Work(error=error).run(), within=5), way)
    assert said is error
    assert said.__cause__ is cause


@each_way
async def test_without_an_answer_in_time_the_work_is_given_up(way: Way) -> None:
    work = Work(seconds=60)
    given_up: list[str] = []
    call = uninterrupted(
        work.run(),
        within=0.2,
        give_up=lambda: given_up.append("given up"),
        unanswered=lambda: UnknownOutcome("no answer"),
    )
    async with asyncio.timeout(LIMIT):
        said = await outcome_of(call, way)
    assert isinstance(said, UnknownOutcome)
    assert given_up == ["given up"]
    assert work.was_cut


async def test_work_that_no_error_is_named_for_is_given_up_with_the_cancellation() -> None:
    work = Work(seconds=60)
    said = await outcome_of(uninterrupted(work.run(), within=0.1), by_cancel)
    assert isinstance(said, asyncio.CancelledError)
    assert work.was_cut


async def test_the_bound_begins_with_the_cancellation() -> None:
    work = Work(seconds=0.4)
    assert await uninterrupted(work.run(), within=0.01) == "answer"


async def test_work_that_will_not_end_is_not_waited_for_forever() -> None:
    go_on = asyncio.Event()

    async def stubborn() -> None:
        while not go_on.is_set():
            try:
                await go_on.wait()
            except asyncio.CancelledError:
                continue
        raise KeyError("whom nobody asks")

    async with asyncio.timeout(LIMIT):
        said = await outcome_of(uninterrupted(stubborn(), within=0.1), by_cancel)
    assert isinstance(said, asyncio.CancelledError)
    go_on.set()
    await asyncio.sleep(0.05)


async def test_nested_limits_each_take_back_their_own_cancellation() -> None:
    work = Work(seconds=0.4)
    async with asyncio.timeout(LIMIT):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                async with asyncio.timeout(0.05):
                    await uninterrupted(work.run(), within=5)
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    assert work.is_done


async def test_a_scope_inside_a_limit_takes_its_own_cancellation() -> None:
    async with asyncio.timeout(LIMIT):
        with anyio.move_on_after(0.05) as scope:
            await uninterrupted(Work().run(), within=5)
        assert scope.cancelled_caught
        await asyncio.sleep(0)


async def test_the_work_sees_the_callers_context() -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable")
    variable.set("here")

    async def look() -> str:
        return variable.get()

    assert await uninterrupted(look(), within=1) == "here"


def test_a_loop_that_ends_while_work_is_under_way_says_that_nothing_is_known() -> None:
    """What Ctrl-C given twice does: all tasks are cancelled, the work's own too."""
    said: list[BaseException] = []

    async def call() -> None:
        try:
            await uninterrupted(
                Work(seconds=60).run(), within=5, unanswered=lambda: UnknownOutcome("no answer")
            )
        except UnknownOutcome as error:
            said.append(error)

    async def main() -> None:
        main.task = asyncio.create_task(call())  # type: ignore[attr-defined]
        await asyncio.sleep(0.05)

    asyncio.run(main())
    assert [type(error) for error in said] == [UnknownOutcome]


@each_way
@pytest.mark.parametrize("kind", [UnknownOutcome, asyncio.CancelledError])
async def test_cleaning_up_leaves_what_the_caller_is_to_hear(
    way: Way, kind: type[BaseException]
) -> None:
    work = Work()

    async def call() -> None:
        try:
            raise kind("first")
        except BaseException as error:
            await clean_up_after(error, work.run(), within=5)
            raise

    said = await outcome_of(call(), way)
    assert type(said) is kind
    assert said.args == ("first",)
    assert work.is_done


@each_way
async def test_cancelled_while_it_cleans_up_after_another_error(way: Way) -> None:
    work = Work()

    async def call() -> None:
        try:
            raise KeyError("first")
        except BaseException as error:
            await clean_up_after(error, work.run(), within=5)
            raise

    said = await outcome_of(call(), way)
    assert isinstance(said, asyncio.CancelledError)
    assert work.is_done


@each_way
async def test_a_thread_is_waited_for(way: Way) -> None:
    has_ended = False

    def work() -> None:
        nonlocal has_ended
        time.sleep(0.3)
        has_ended = True

    async def call() -> None:
        await in_thread(work)

    said = await outcome_of(call(), way)
    assert isinstance(said, asyncio.CancelledError)
    assert has_ended


@each_way
async def test_a_thread_that_asks_is_told_to_end(way: Way) -> None:
    steps = 0

    def work() -> None:
        nonlocal steps
        for _ in range(1000):
            from_thread.check_cancelled()
            time.sleep(0.01)
            steps += 1

    async with asyncio.timeout(LIMIT):
        said = await outcome_of(in_thread(work), way)
    assert isinstance(said, asyncio.CancelledError)
    assert steps < 1000


async def test_a_thread_gives_its_result_or_its_error() -> None:
    assert await in_thread(max, 1, 2) == 2
    with pytest.raises(ZeroDivisionError):
        await in_thread(lambda: 1 / 0)
