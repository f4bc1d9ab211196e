"""aiida-core 2.9.4's QueryBuilder is the oracle: the same dictionaries, the same answers."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from aiidadb.querybuilder.records import RECORDS

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiida.storage.psql_dos.backend import PsqlDosBackend

    import aiidadb

EXAMPLES = [
    json.loads(line) for line in Path(__file__).with_name("examples.jsonl").read_text().splitlines()
]


def plain(value: Any) -> Any:
    """A value of either side in a form that can be compared, an entity by its kind and pk."""
    if type(value) in {record.make for record in RECORDS.values()}:
        return type(value).__name__, value.pk
    if type(value).__module__.startswith("aiida.orm"):
        for base in type(value).__mro__:
            if base.__name__ in {record.make.__name__ for record in RECORDS.values()}:
                return base.__name__, value.pk
    if isinstance(value, datetime.datetime):
        return value.timestamp()
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    return value


def sorted_rows(rows: list[Any]) -> list[str]:
    return sorted(repr(row) for row in rows)


async def answers(
    storage: PsqlDosBackend, backend: aiidadb.Backend, query: dict[str, Any], mode: str
) -> tuple[Any, Any]:
    from aiida import orm

    theirs = getattr(orm.QueryBuilder(backend=storage, **query), mode)()
    ours = await getattr(backend.query(query), mode)()
    return plain(theirs), plain(ours)


@pytest.mark.parametrize("example", [pytest.param(one, id=one["name"]) for one in EXAMPLES])
async def test_a_question_of_a_user_is_answered_as_by_aiida(aiida_world, world, example):
    theirs, ours = await answers(aiida_world, world, example["query"], example["mode"])
    if isinstance(theirs, list) and not example["ordered"]:
        theirs, ours = sorted_rows(theirs), sorted_rows(ours)
    assert ours == theirs


def given(name: str) -> dict[str, Any]:
    return next(one["query"] for one in EXAMPLES if one["name"] == name)


def as_it_is(query: dict[str, Any]) -> dict[str, Any]:
    return query


@pytest.mark.parametrize("name", [one["name"] for one in EXAMPLES])
async def test_a_dictionary_comes_back_as_it_was(world, name, change: Callable[..., Any] = as_it_is):
    query = given(name)
    assert world.query(change(query)).as_dict() == query
