"""Dictionaries that hypothesis draws: aiida-core and aiidadb give the same rows."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

import aiidadb
from aiidadb.exceptions import AiidaDbError
from tests.helpers.examples import examples
from tests.helpers.query_dictionaries import SEEN, queries
from tests.querybuilder.oracle import oracle, plain


async def ours(dsn: str, drawn: list[dict[str, Any]]) -> list[Any]:
    async with aiidadb.open_backend(aiidadb.Profile.from_dsn(dsn)) as backend:
        found: list[Any] = []
        for query in drawn:
            try:
                rows = await backend.query(query).all()
                number = await backend.query(query).count()
                records = await backend.query(query).dict()
            except AiidaDbError as error:
                found.append(error)
            else:
                found.append((plain(rows), number, plain(records)))
        return found


def theirs(storage: Any, query: dict[str, Any]) -> Any:
    try:
        builder = oracle(storage, query)
        return plain(builder.all()), builder.count(), plain(builder.dict())
    except Exception as error:
        storage.get_session().rollback()
        return error


def in_one_order(answer: Any, *, is_ordered: bool) -> Any:
    if isinstance(answer, Exception):
        return "an error"
    rows, number, records = answer
    return sorted(map(repr, rows)), number, sorted(map(repr, records))


@pytest.mark.hypothesis
def test_a_drawn_query_is_answered_as_by_aiida(aiida_world, aiida_world_dsn):
    drawn: list[dict[str, Any]] = []

    @settings(max_examples=examples(100), suppress_health_check=list(HealthCheck))
    @given(queries())
    def draw(query: dict[str, Any]) -> None:
        drawn.append(query)

    draw()
    answers = asyncio.run(ours(aiida_world_dsn, drawn))
    with_rows = 0
    for query, answer in zip(drawn, answers, strict=True):
        expected = theirs(aiida_world, query)
        got = in_one_order(answer, is_ordered=bool(query["order_by"]))
        assert got == in_one_order(expected, is_ordered=bool(query["order_by"])), (
            query,
            answer,
            expected,
        )
        with_rows += not isinstance(answer, Exception) and bool(answer[0])
    print(f"{with_rows} of {len(drawn)} have rows", sorted(SEEN.items()))
