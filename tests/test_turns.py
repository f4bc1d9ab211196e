"""Long work in steps: what it gives, and that others on the event loop get their turn."""

import asyncio
import random
import weakref

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from aiidadb.exceptions import InvalidTypeError
from aiidadb.pks import as_many_pks, as_pks
from aiidadb.turns import STEP, array_text, grow, in_turn, made_of_rows, sort_distinct
from tests.helpers.examples import examples

MANY = 50_000


async def turns_during(work):
    """How often another task has its turn, and what comes out."""
    turns = 0

    async def take_turns():
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    other = asyncio.create_task(take_turns())
    try:
        outcome = await work
    finally:
        other.cancel()
    return turns, outcome


@settings(max_examples=examples(25))
@given(st.lists(st.integers(-(2**63), 2**63 - 1) | st.integers(0, 9)))
def test_distinct_numbers_come_in_order(numbers):
    assert asyncio.run(in_turn(sort_distinct(iter(numbers)))) == sorted(set(numbers))
    assert asyncio.run(as_many_pks(numbers)) == as_pks(numbers)


async def test_others_get_their_turn_during_every_kind_of_work():
    numbers = list(range(MANY))
    random.Random(0).shuffle(numbers)
    turns, pks = await turns_during(as_many_pks(numbers))
    assert turns >= 20
    assert pks == list(range(MANY))
    turns, text = await turns_during(in_turn(array_text(pks)))
    assert turns >= 20
    assert text == "{" + str(pks)[1:-1].replace(" ", "") + "}"
    pks_as_set = {-1}
    turns, _ = await turns_during(in_turn(grow(pks_as_set, iter(pks))))
    assert turns >= 20
    assert pks_as_set == {-1, *pks}
    turns, pairs = await turns_during(in_turn(made_of_rows(complex, [(pk, 1) for pk in pks])))
    assert turns >= 20
    assert pairs == [complex(pk, 1) for pk in pks]


@pytest.mark.quick
def test_rows_are_gone_as_soon_as_they_are_used():
    """With what is made of them they would be twice as many objects for Python to look through."""

    class Row:
        def __init__(self, number):
            self.number = number

        def __iter__(self):
            return iter((self.number, 1))

    alive = weakref.WeakSet()
    rows = [Row(number) for number in range(5 * STEP + 7)]
    alive.update(rows)
    left = []
    work = made_of_rows(complex, rows)
    with pytest.raises(StopIteration) as end:
        while True:
            next(work)
            left.append(len(alive))
    assert left == [number * STEP + 7 for number in (5, 4, 3, 2, 1, 0)]
    assert end.value.value == [complex(number, 1) for number in range(5 * STEP + 7)]


async def test_an_array_may_be_empty():
    assert await in_turn(array_text([])) == "{}"
    assert await as_many_pks([]) == []


@pytest.mark.parametrize("kind", [list, set, dict.fromkeys], ids=["list", "set", "dictionary"])
async def test_what_others_do_to_the_callers_pks_meanwhile_does_not_matter(kind):
    given_pks = kind(range(MANY))

    async def clear():
        given_pks.clear()

    asking = asyncio.create_task(as_many_pks(given_pks))
    await asyncio.sleep(0)
    await clear()
    assert await asking == list(range(MANY))


async def test_one_pk_and_what_is_none_are_told_apart():
    assert await as_many_pks(3) == [3]
    for wrong in ("3", b"3", 3.0, None, [True], ["3"]):
        with pytest.raises(InvalidTypeError):
            await as_many_pks(wrong)
