"""What is read of pypika's private parts is there: the first thing to run with a new pypika."""

import ast
import inspect

import pypika.queries
import pytest
from pypika import Query, Table

from aiidadb.criteria import pypika_internals
from aiidadb.criteria.pypika_internals import (
    change_children,
    children_of,
    common_queries,
    is_negated,
    replace_numbers_of_rows,
    selects_only,
    sources_of,
    table_name,
    united_queries,
    write_tables_of_columns,
)

A, B = Table("a"), Table("b")
SELECT = Query.from_(A).select(A.id)
UNION = SELECT.union(Query.from_(B).select(B.id))

NEEDED = {
    "_table_name": [A],
    "_from": [SELECT],
    "_joins": [SELECT],
    "_with": [SELECT],
    "_selects": [SELECT],
    "_insert_table": [SELECT],
    "_update_table": [SELECT],
    "_delete_from": [SELECT],
    "_select_into": [SELECT],
    "_foreign_table": [SELECT],
    "_limit": [SELECT, UNION],
    "_offset": [SELECT, UNION],
    "_set_operation": [UNION],
    "_is_negated": [A.id.isin([1])],
}


@pytest.mark.parametrize("name", NEEDED)
def test_pypika_still_has_what_is_read_of_it(name):
    for part in NEEDED[name]:
        assert name in vars(part), (
            f"this version of pypika has no {type(part).__name__}.{name}: see what took its place, "
            "and change aiidadb/criteria/pypika_internals.py"
        )


def test_pypika_still_has_its_class_of_unions():
    assert isinstance(UNION, pypika.queries._SetOperation)


def test_nothing_private_is_read_that_is_not_named_here():
    tree = ast.parse(inspect.getsource(pypika_internals))
    read = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    assert {name for name in read if name.startswith("_")} == NEEDED.keys()


def test_a_query_tells_what_it_is_made_of():
    inner = Query.from_(B).select(B.id)
    query = Query.with_(inner, "w").from_(A).join(B).on(A.id == B.id).select(A.id)
    assert sources_of(query) == [A, B]
    assert [one.name for one in common_queries(query)] == ["w"]
    assert table_name(A.as_("x")) == "a"
    assert united_queries(UNION.union(inner)) == [SELECT, Query.from_(B).select(B.id), inner]
    assert is_negated(A.id.notin([1]))
    assert not is_negated(A.id.isin([1]))
    assert {1, 2} <= {*children_of([1, 2]), *children_of({"x": 1})}
    assert A in children_of(A.id)


@pytest.mark.parametrize(
    "change",
    [
        Query.into(A).from_(B).select(B.id),
        Query.update(A).set(A.id, 1),
        Query.from_(A).delete(),
        Query.from_(A).select(A.id).into(B),
        Query.from_(A),
    ],
    ids=str,
)
def test_what_changes_something_does_not_only_select(change):
    assert selects_only(SELECT)
    assert not selects_only(change)


def test_a_copy_can_be_changed_and_the_original_stays():
    query = SELECT.limit(5)
    before = str(query)
    copied = change_children(query, lambda child: child)
    replace_numbers_of_rows(copied, lambda number, name: f"{name}_{number}")
    write_tables_of_columns(copied)
    assert str(copied) == 'SELECT "a"."id" FROM "a" LIMIT limit_5'
    assert str(query) == before == 'SELECT "id" FROM "a" LIMIT 5'
