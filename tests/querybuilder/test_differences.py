"""The closed table of what is answered otherwise than by aiida-core 2.9.4, line by line."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import aiidadb
from aiidadb.exceptions import InvalidInputError, InvalidTypeError

STRUCTURE = "data.core.structure.StructureData."
BANDS = "data.core.array.bands.BandsData."

if TYPE_CHECKING:
    from collections.abc import Callable

DOCUMENT = Path(aiidadb.__file__).parent / "docs" / "querybuilder.md"
SHOWN: set[str] = set()
"""The lines of the table, by their first cell, that a test here shows."""


def shows(line: str) -> Callable[[Any], Any]:
    """Mark a test as that of a line of the table, which begins so."""
    SHOWN.add(line)
    return lambda test: test


def test_each_line_of_the_table_has_a_test():
    table = DOCUMENT.read_text().partition("## What is answered otherwise")[2]
    lines = re.findall(r"^\| (.*?) \|", table, re.MULTILINE)[1:]
    assert len(lines) == len(SHOWN)
    assert [one for one in lines if not any(one.startswith(line) for line in SHOWN)] == []


@shows("`func: min`")
async def test_min_is_the_minimum(world):
    ids = await world.query().append("", project="id").all(flat=True)
    query = world.query().append("", project={"id": {"func": "min"}})
    assert await query.all() == [[min(ids)]]


@shows("`append(AbstractCode)`")
async def test_abstract_code_means_codes_alone(world):
    query = world.query().append("data.core.code.abstract.AbstractCode.", project="label")
    assert query.as_dict()["filters"]["AbstractCode_1"]["node_type"] == {"like": "data.core.code.%"}
    assert await query.all() == [["pw"]]


@shows("`append` of a process class")
async def test_subclasses_of_a_process_of_an_entry_point_are_meant(world):
    from aiidadb.querybuilder.entity_types import EntityType, type_filters

    one = EntityType("node", "process.calculation.calcjob.CalcJobNode.", "aiida.calculations:a_b")
    assert type_filters([one], subclassing=True)["process_type"] == {
        "or": [{"==": "aiida.calculations:a_b"}, {"like": "aiida.calculations:a\\_b.%"}]
    }


@shows("a comma, brace")
@pytest.mark.parametrize("key", ["odd,key", 'quote"{'])
async def test_a_step_of_a_path_is_one_key_whatever_is_in_it(world, key):
    query = world.query().append(
        STRUCTURE, filters={f"extras.{key}": {"of_type": "null"}}, project="id"
    )
    assert await query.all() == []
    query.add_projection("StructureData_1", f"extras.{key}")
    query.add_filter("StructureData_1", {f"extras.{key}": {"!of_type": "null"}})
    assert len(await world.query().append(STRUCTURE, project=f"extras.{key}").all()) == 4


@shows("times as ISO texts")
async def test_times_and_pks_may_be_texts(world):
    pk, ctime = (await world.query().append(STRUCTURE, project=["id", "ctime"]).first()) or (0, 0)
    query = world.query().append("", filters={"id": str(pk)}, project="id")
    assert await query.all() == [[pk]]
    query = world.query().append("", filters={"id": {"in": [str(pk)]}}, project="id")
    assert await query.all() == [[pk]]
    for text in (ctime.isoformat(), ctime.isoformat().replace("+00:00", "Z")):
        query = world.query().append("", filters={"ctime": {"==": text}}, project="id")
        assert await query.all() == [[pk]]


@shows("edges of ancestors")
async def test_depth_and_path_of_ancestors_can_be_asked_for(world):
    query = world.query().append(STRUCTURE, tag="s", filters={"label": "structure 1"}, project="id")
    query.append(BANDS, tag="b", with_ancestors="s", project="id", edge_tag="e")
    query.add_projection("e", ["depth", "path", "ancestor_id", "descendant_id"])
    rows = await query.order_by({"e": {"depth": "asc"}}).all()
    assert len(rows) == 4  # two diamonds, one after the other
    for start, end, depth, path, ancestor, descendant in rows:
        assert (path[0], path[-1], len(path)) == (start, end, depth + 2)
        assert (ancestor, descendant) == (start, end)
    upwards = world.query().append(BANDS, tag="b", filters={"id": rows[0][1]}, project="id")
    upwards.append(STRUCTURE, tag="s", with_descendants="b", project="id", edge_tag="e")
    upwards.add_projection("e", ["path", "ancestor_id", "depth"])
    found = await upwards.all()
    assert sorted(row[2][::-1] for row in found) == sorted(row[3] for row in rows)
    upwards.add_filter("e", {"depth": {"<": rows[0][2]}})
    assert await upwards.count() == 0


@shows("edges of group memberships")
async def test_memberships_can_be_asked_for(world):
    query = world.query().append("group.core", tag="g", filters={"label": "relaxed"}, project="id")
    query.append("", tag="n", with_group="g", project="id", edge_tag="e", edge_project="**")
    rows = await query.all()
    assert len(rows) == 2
    assert all(row[:2] == [row[4], row[3]] for row in rows)
    query.add_filter("e", {"dbnode_id": rows[0][1]})
    assert await query.all() == rows[:1]


@shows("`metadata` of computers")
async def test_metadata_has_one_name_everywhere(world):
    for name in ("metadata", "_metadata"):
        query = world.query().append("computer", filters={f"{name}.cores": 5}, project="label")
        assert await query.all() == [["daint"]]
        query = world.query().append("computer", tag="c", project="label")
        query.order_by({"c": {f"{name}.cores": {"cast": "i", "order": "desc"}}})
        assert await query.all() == [["local_host"], ["daint"]]
    query = world.query().append("log", filters={"metadata.nested.x": {"contains": [2]}})
    query.add_projection("log_1", ["message", "metadata.lineno"])
    assert await query.all() == [["message 2", 2]]


@shows("`log`, `comment`, `authinfo` as texts")
@pytest.mark.parametrize("entity", ["log", "comment", "authinfo", "link"])
async def test_every_entity_can_be_named_by_a_text(world, entity):
    query = world.query().append(entity, tag="one", project="id")
    again = world.query(query.as_dict())
    assert again.as_dict() == query.as_dict()
    assert await again.count() > 0


async def test_what_stands_for_nothing_is_refused(world):
    query = world.query().append("", tag="n").append("user", tag="u", with_node="n", edge_tag="e")
    query.add_projection("e", "label")
    with pytest.raises(InvalidInputError, match="nothing between"):
        await query.all()


@shows("`project_map`")
async def test_dictionaries_have_the_keys_of_their_project_map(world):
    query = world.query().append(STRUCTURE, tag="s", project="extras.formula").as_dict()
    query["project_map"] = {"s": {"extras.formula": "formula"}}
    assert set((await world.query(query).dict())[0]["s"]) == {"formula"}


@shows('`{"and": []}`')
async def test_conditions_that_are_not_there_ask_for_nothing(world):
    number = await world.query().append("").count()
    for filters in ({"id": {"and": []}}, {"extras.a": {"or": [{}]}}):
        assert await world.query().append("", filters=filters).count() == number


async def test_lists_may_be_in_a_list(world):
    asked = {"extras.list": {"in": [[1], [1, 2]]}}
    assert await world.query().append(STRUCTURE, filters=asked).count() == 2


async def test_a_set_may_be_asked_for_in_json(world):
    asked = {"extras.formula": {"in": {"Si", "GaAs"}}}
    assert await world.query().append(STRUCTURE, filters=asked).count() == 3


@shows("`in` with values of another type")
@pytest.mark.parametrize("filters", [{"label": {"in": [5]}}, {"id": {"in": [True]}}], ids=str)
async def test_values_in_a_list_are_of_the_type_of_the_column(world, filters):
    for one in (filters, {key: what["in"][0] for key, what in filters.items()}):
        with pytest.raises(InvalidTypeError):
            await world.query().append("", filters=one).all()


async def test_a_list_is_not_a_text(world):
    for operator in ("==", "!==", ">"):
        with pytest.raises(InvalidTypeError):
            await world.query().append("", filters={"label": {operator: ["a"]}}).all()


@shows("integers of more than 32 bits")
async def test_large_integers_are_compared(world):
    number = await world.query().append("").count()
    for filters, found in (
        ({"id": 2**31}, 0),
        ({"id": {"<": 2**62}}, number),
        ({"id": {"in": [1, 2**40]}}, 1),
        ({"extras.number": 2**64}, 0),
        ({"extras.number": {"<": 2**64}}, 4),
    ):
        assert await world.query().append("", filters=filters).count() == found
    with pytest.raises(InvalidInputError, match="64 bits"):
        await world.query().append("", filters={"id": 2**63}).all()


@shows("node types, process types")
async def test_both_spellings_of_a_type_mean_it(world):
    for filters in (
        {"node_type": "data.structure.StructureData."},
        {"node_type": {"like": "data.structure.%"}},
        {"or": [{"node_type": {"in": ["data.structure.StructureData."]}}]},
    ):
        assert await world.query().append("", filters=filters).count() == 4
    assert await world.query().append("computer", filters={"scheduler_type": "direct"}).count() == 2
    for filters, found in (
        ({"process_type": "aiida.calculations:arithmetic.add"}, 4),
        ({"process_type": {"like": "aiida.calculations:arithmetic.add"}}, 4),
        ({"process_type": {"like": "aiida.calculations:arithmetic.%"}}, 0),  # may be a plugin's
    ):
        assert await world.query().append("", filters=filters).count() == found


@shows("`repository_metadata`, `auth_params`")
async def test_json_without_a_key_is_compared_as_json(world):
    for field, entity in (("repository_metadata", ""), ("metadata", "computer")):
        for value in ("x", 5, True):
            query = world.query().append(entity, filters={field: value})
            assert await query.count() == 0
            query = world.query().append(entity, filters={field: {"!==": value}})
            assert await query.count() == await world.query().append(entity).count()


async def test_a_step_of_a_path_may_be_empty(world):
    query = world.query().append(STRUCTURE, tag="s", filters={"extras.odd.": "empty"})
    query.add_projection("s", "extras.odd. .")
    assert await query.all() == [[1], [1]]
    assert await world.query().append("", filters={"extras.": {"!of_type": "null"}}).count() == 0


@shows("`<`, `>`, `<=`, `>=` with None")
async def test_nothing_is_less_or_more_than_none(world):
    async def number_of(filters: dict[str, object]) -> int:
        return await world.query().append("", filters=filters).count()

    for sign in ("<", ">", "<=", ">="):
        for field in ("dbcomputer_id", "extras.number", "extras.optimade"):
            assert await number_of({field: {sign: None}}) == 0
        assert await number_of({"dbcomputer_id": {f"!{sign}": None}}) == 0
        assert await number_of({"extras.number": {f"!{sign}": None}}) == await number_of({})
        without = await number_of({"extras.optimade": {"of_type": "null"}})
        assert await number_of({"extras.optimade": {f"~{sign}": None}}) == without


@shows("distinct rows in the order")
async def test_distinct_rows_are_in_the_order_of_a_projected_value_in_json(world):
    field = {"extras.number": {"cast": "i"}}
    query = world.query().append(STRUCTURE, tag="s", project=field).distinct()
    query.order_by({"s": {"extras.number": {"order": "desc", "cast": "i"}}})
    assert await query.all() == [[3], [2], [1], [0]]


@shows('`append("group.core.upf")`')
async def test_a_type_of_groups_means_those_of_that_type(world):
    query = world.query().append("group.core.upf", project="label")
    assert await query.all() == [["upf family"]]
    assert await world.query().append("group.core", project="label").count() == 4


@shows("`name` of computers")
async def test_a_computer_has_a_name(world):
    query = world.query().append("computer", filters={"name": "daint"}, project=["name", "label"])
    assert await query.all() == [["daint", "daint"]]


@shows("`like` or `ilike` with a pattern")
async def test_a_lone_backslash_at_the_end_of_a_pattern_is_no_error(world):
    for operator in ("like", "ilike"):
        for key in ("label", "extras.formula"):
            query = world.query().append(STRUCTURE, filters={key: {operator: "%\\"}})
            assert await query.count() == 0
            query.add_filter("StructureData_1", {key: {f"!{operator}": "%\\"}})
            assert await query.count() == 4


@shows("a cycle of links")
async def test_a_cycle_of_links_ends(world):
    with contextlib.suppress(ZeroDivisionError):
        async with world.transaction() as connection:
            query = world.query().append(STRUCTURE, tag="s", filters={"label": "structure 0"})
            query.append("", with_ancestors="s", project="id")
            pks = {pk for (pk,) in await query.all()}
            (start,) = (
                await world.query()
                .append(STRUCTURE, filters={"label": "structure 0"}, project="id")
                .one()
            )
            await connection.execute(
                "insert into db_dblink (input_id, output_id, type, label) "
                "values ($1, $2, 'create', 'back')",
                max(pks),
                start,
            )
            assert {pk for (pk,) in await query.distinct().all()} == {*pks, start}
            assert await query.distinct(False).count() > len(pks)
            raise ZeroDivisionError
