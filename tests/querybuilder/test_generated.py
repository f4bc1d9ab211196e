"""Dictionaries that hypothesis draws: aiida-core and aiidadb give the same rows."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

import aiidadb
from aiidadb.exceptions import AiidaDbError
from tests.helpers.examples import examples
from tests.helpers.query_contents import Contents, read_contents
from tests.helpers.query_dictionaries import EVERYTHING, features_of, queries
from tests.querybuilder.oracle import oracle, plain, with_quoted_steps

QUICK = 100


async def ours(dsn: str, drawn: list[dict[str, Any]]) -> list[Any]:
    """What aiidadb answers: rows, their number, and dictionaries; or an error of its own."""
    async with aiidadb.open_backend(aiidadb.Profile.from_dsn(dsn)) as backend:
        found: list[Any] = []
        for query in drawn:
            try:
                rows = await backend.query(query).all()
                number = await backend.query(query).count()
                records = await backend.query(query).dict()
                some, in_all = await backend.query(query).all_and_count()
                without_limit = await backend.query({**query, "limit": None}).count()
            except AiidaDbError as error:
                found.append(error)
            else:
                assert in_all == without_limit, query
                assert in_order(plain(some), query) == in_order(plain(rows), query), query
                found.append((plain(rows), number, with_quoted_keys(plain(records))))
        return found


def theirs(storage: Any, query: dict[str, Any]) -> Any:
    """What aiida-core answers, or an error of whatever kind."""
    quoted = {
        **query,
        "filters": with_quoted_steps(query["filters"]),
        "project": with_quoted_steps(query["project"]),
        "order_by": with_quoted_steps(query["order_by"]),
    }
    try:
        builder = oracle(storage, quoted)
        return plain(builder.all()), builder.count(), plain(builder.dict())
    except Exception as error:
        storage.get_session().rollback()
        return error


def with_quoted_keys(records: list[dict[str, dict[str, Any]]]) -> list[Any]:
    """Dictionaries whose fields are spelled as aiida-core was asked for them."""
    return [
        {
            tag: {
                next(iter(with_quoted_steps({field: None}))): value
                for field, value in fields.items()
            }
            for tag, fields in record.items()
        }
        for record in records
    ]


def in_one_order(answer: Any, query: dict[str, Any]) -> Any:
    """An answer that can be compared with another one to the query.

    Rows that are ordered by all pks are in the one order that there is, but for what edges add.
    """
    if isinstance(answer, Exception):
        return "an error"
    rows, number, records = answer
    return in_order(rows, query), number, in_order(records, query)


def in_order(rows: list[Any], query: dict[str, Any]) -> list[str]:
    """Rows as texts; those that are not ordered in one order."""
    found = map(repr, rows)
    return list(found) if query["order_by"] else sorted(found)


@pytest.mark.hypothesis
@pytest.mark.timeout(1200)
def test_a_drawn_query_is_answered_as_by_aiida(aiida_world, aiida_world_dsn):
    contents: Contents = asyncio.run(read_contents(aiida_world_dsn))
    drawn: list[dict[str, Any]] = []

    @settings(max_examples=examples(QUICK), suppress_health_check=list(HealthCheck))
    @given(queries(contents))
    def draw(query: dict[str, Any]) -> None:
        drawn.append(query)

    draw()
    answers = asyncio.run(ours(aiida_world_dsn, drawn))
    features: Counter[str] = Counter()
    with_rows = 0
    for query, answer in zip(drawn, answers, strict=True):
        expected = theirs(aiida_world, query)
        assert in_one_order(answer, query) == in_one_order(expected, query), (
            query,
            answer,
            expected,
        )
        if not isinstance(answer, Exception):
            features += features_of(query)
            with_rows += bool(answer[0])
    print(f"\n{with_rows} of {len(drawn)} queries have rows. In all that are answered there are:")
    for name in sorted(EVERYTHING):
        print(f"{features[name]:6} {name}")
    assert with_rows >= 0.6 * len(drawn)
    if len(drawn) > QUICK:
        assert [name for name in EVERYTHING if features[name] < 20] == []
