"""The functions that steps share: how they find, make, name and drop, and what they refuse."""

from __future__ import annotations

import json
import math
from decimal import Decimal
from typing import TYPE_CHECKING

import asyncpg
import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.helpers.catalog import describe
from tests.helpers.examples import examples
from tests.helpers.single_steps import prelude

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

TABLES = """
    create table parent (id serial primary key);
    create table child (
        id serial primary key,
        a text not null default '',
        b text not null default '',
        parent_id integer constraint to_parent
            references parent (id) deferrable initially deferred
    );
"""


@pytest_asyncio.fixture
async def connection(empty_dsn: str) -> AsyncIterator[asyncpg.Connection]:
    """A session with the functions, on a database with two tables."""
    opened = await asyncpg.connect(empty_dsn)
    await opened.execute(prelude())
    await opened.execute(TABLES)
    yield opened
    await opened.close()


async def call(connection: asyncpg.Connection, expression: str) -> object:
    return await connection.fetchval(f"select pg_temp.aiidadb_{expression}")


async def facts(connection: asyncpg.Connection) -> list[str]:
    """Unique constraints, foreign keys and indexes of the child, by name."""
    return [
        fact
        for fact in (await describe(connection))["child"]
        if not fact.startswith("column") and "PRIMARY KEY" not in fact
    ]


TO_PARENT = (
    "constraint to_parent FOREIGN KEY (parent_id) REFERENCES parent(id) "
    "DEFERRABLE INITIALLY DEFERRED"
)


async def test_what_the_session_has_is_replaced(connection: asyncpg.Connection) -> None:
    await connection.execute(prelude())


async def test_constraints_are_found_by_their_columns_in_any_order(
    connection: asyncpg.Connection,
) -> None:
    await connection.execute(
        "alter table child add constraint x unique (a, b), add constraint y unique (a)"
    )

    assert await call(connection, "find_constraints('child', 'u', array['b', 'a'])") == "x"
    assert await call(connection, "find_constraints('child', 'f', array['parent_id'])") == (
        "to_parent"
    )
    assert await call(connection, "find_constraints('child', 'u', array['b'])") is None


async def test_only_plain_indexes_over_whole_columns_are_found(
    connection: asyncpg.Connection,
) -> None:
    await connection.execute(
        """
        alter table child add constraint of_constraint unique (a);
        create index of_rows on child (a) where a > '';
        create index of_expression on child (lower(a));
        create index of_kind on child using hash (a);
        create unique index of_none on child (a);
        create index plain on child (a);
        create index pattern on child (a varchar_pattern_ops);
        """
    )
    find = "array(select pg_temp.aiidadb_find_indexes('child', array['a']{}))"
    for arguments, names in (
        ("", ["plain"]),
        (", true", ["pattern"]),
        (", null", ["plain", "pattern"]),
        (", false, true", ["of_none"]),
    ):
        assert await connection.fetchval(f"select {find.format(arguments)}") == names


async def test_a_table_that_is_missing_is_an_error(connection: asyncpg.Connection) -> None:
    with pytest.raises(asyncpg.UndefinedTableError, match="table nothing is missing"):
        await call(connection, "find_indexes('nothing', array['a'])")


async def test_dropping_takes_constraints_and_bare_unique_indexes(
    connection: asyncpg.Connection,
) -> None:
    await connection.execute(
        """
        alter table child add constraint x unique (a, b), add constraint y unique (b, a);
        create unique index z on child (a, b);
        create index plain on child (a, b);
        """
    )

    assert await call(connection, "drop_unique('child', array['a', 'b'])") == 3
    assert await call(connection, "drop_unique('child', array['a', 'b'])") == 0
    assert await call(connection, "drop_index('child', array['a', 'b'])") == 1
    assert await facts(connection) == [TO_PARENT]
    assert await call(connection, "drop_foreign_key('child', array['parent_id'])") == 1
    assert await facts(connection) == []


async def test_what_is_there_is_not_made_again(connection: asyncpg.Connection) -> None:
    await connection.execute(
        "alter table child add constraint x unique (a); create index y on child (b)"
    )
    before = await facts(connection)

    await call(connection, "ensure_unique('child', array['a'], 'other')")
    await call(connection, "ensure_index('child', array['b'], 'other')")
    await call(connection, "ensure_foreign_key('child', array['parent_id'], 'parent', 'other')")

    assert await facts(connection) == before


async def test_what_is_missing_is_made_under_a_name_that_is_free(
    connection: asyncpg.Connection,
) -> None:
    await connection.execute("create index taken on parent (id)")
    await call(connection, "drop_foreign_key('child', array['parent_id'])")

    await call(connection, "ensure_unique('child', array['a'], 'taken')")
    await call(connection, "ensure_index('child', array['a'], 'mine', pattern => true)")
    await call(
        connection,
        "ensure_foreign_key('child', array['parent_id'], 'parent', 'theirs', 'cascade')",
    )

    assert await facts(connection) == [
        "constraint taken_2 UNIQUE (a)",
        TO_PARENT.replace("to_parent", "theirs").replace(" DEFER", " ON DELETE CASCADE DEFER", 1),
        "index CREATE INDEX mine ON public.child USING btree (a varchar_pattern_ops)",
    ]


async def test_a_bare_unique_index_becomes_the_constraints(connection: asyncpg.Connection) -> None:
    await connection.execute("create unique index x on child (a)")
    before = await connection.fetchval("select 'x'::regclass::oid::bigint")

    await call(connection, "ensure_unique('child', array['a'], 'y')")

    assert await connection.fetchval("select 'y'::regclass::oid::bigint") == before
    assert await facts(connection) == [TO_PARENT, "constraint y UNIQUE (a)"]


async def test_settling_leaves_one_of_the_name_wanted_and_builds_nothing(
    connection: asyncpg.Connection,
) -> None:
    await connection.execute(
        """
        alter table child add constraint u1 unique (a), add constraint u2 unique (a);
        create index i1 on child (b);
        create index i2 on child (b);
        """
    )
    files = "select relfilenode::bigint from pg_class where relname = any ($1) order by relname"
    before = await connection.fetch(files, ["i1", "u1"])

    await call(connection, "settle_unique('child', array['a'], 'uq')")
    await call(connection, "settle_index('child', array['b'], 'ix')")
    await call(connection, "settle_foreign_key('child', array['parent_id'], 'parent', 'fk')")

    assert await facts(connection) == [
        TO_PARENT.replace("to_parent", "fk"),
        "constraint uq UNIQUE (a)",
        "index CREATE INDEX ix ON public.child USING btree (b)",
    ]
    assert await connection.fetch(files, ["ix", "uq"]) == before


async def test_settling_keeps_the_one_that_bears_the_name(connection: asyncpg.Connection) -> None:
    await connection.execute("create index other on child (b); create index ix on child (b)")

    await call(connection, "settle_index('child', array['b'], 'ix')")

    assert await facts(connection) == [
        TO_PARENT,
        "index CREATE INDEX ix ON public.child USING btree (b)",
    ]


@pytest.mark.parametrize(
    "rule", ["", "on delete cascade deferrable initially deferred", "deferrable"]
)
async def test_a_foreign_key_of_another_rule_is_replaced(
    connection: asyncpg.Connection, rule: str
) -> None:
    await connection.execute(
        f"""
        alter table child
            drop constraint to_parent,
            add constraint fk foreign key (parent_id) references parent (id) {rule}
        """
    )

    await call(
        connection, "settle_foreign_key('child', array['parent_id'], 'parent', 'fk', 'restrict')"
    )

    assert await facts(connection) == [
        TO_PARENT.replace("to_parent", "fk").replace(" DEFER", " ON DELETE RESTRICT DEFER", 1)
    ]


@pytest.mark.parametrize(("count", "message"), [(1, "child has 1 row bad"), (2, "2 rows bad")])
async def test_rows_that_cannot_be_are_refused_with_what_to_do(
    connection: asyncpg.Connection, count: int, message: str
) -> None:
    await call(connection, "refuse('child', 0, 'bad', 'Mend them.')")

    with pytest.raises(asyncpg.IntegrityConstraintViolationError, match=message) as refused:
        await call(connection, f"refuse('child', {count}, 'bad', 'Mend them.')")

    assert refused.value.hint == "Mend them."
    assert refused.value.table_name == "child"


# Unicode that PostgreSQL can hold.
TEXTS = st.text(
    st.characters(codec="utf-8", exclude_characters="\0"), max_size=8
) | st.sampled_from(["NaN", '"NaN"', "\\", '\\"', "-Infinity", "[NaN, Infinity]"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


def as_aiida_stores(value: object) -> object:
    """A value with the texts that AiiDA puts in place of what JSON does not have."""
    match value:
        case float() if not math.isfinite(value):
            return str(value)
        case float() if "e+" in repr(value):
            return int(Decimal(repr(value)))  # jsonb writes the digits out
        case list():
            return [as_aiida_stores(item) for item in value]
        case dict():
            return {key: as_aiida_stores(item) for key, item in value.items()}
        case _:
            return value


@pytest.mark.quick
@settings(max_examples=examples(5), suppress_health_check=list(HealthCheck))
@given(values=st.lists(VALUES, min_size=20, max_size=20), ascii_only=st.booleans())
async def test_any_json_that_python_writes_becomes_json(
    connection: asyncpg.Connection, values: list[object], ascii_only: bool
) -> None:
    written = [json.dumps(value, ensure_ascii=ascii_only) for value in values]

    found = await connection.fetch(
        """
        select pg_temp.aiidadb_jsonb(written)::text
        from unnest($1::text[]) with ordinality as listed (written, position)
        order by position
        """,
        written,
    )

    assert [json.loads(row[0]) for row in found] == [as_aiida_stores(value) for value in values]


@pytest.mark.quick
@pytest.mark.parametrize(
    "text", ["", " ", "{", "nan", "NaNNaN", "{'a': 1}", '"\\u0000"', '"\\ud800"']
)
async def test_what_is_no_json_is_null(connection: asyncpg.Connection, text: str) -> None:
    assert await connection.fetchval("select pg_temp.aiidadb_jsonb($1::text)", text) is None


@pytest.mark.parametrize("given", [None, "fillfactor=95", "fillfactor=70"])
async def test_a_table_rewritten_with_room_keeps_its_updates_beside_the_old_rows(
    connection: asyncpg.Connection, given: str | None
) -> None:
    await connection.execute(
        "insert into child (a, b) select repeat('a', 50), 'b' from generate_series(1, 1000)"
    )
    if given is not None:
        await connection.execute(f"alter table child set ({given})")
    async with connection.transaction():
        await call(connection, "leave_room('child')")
        await connection.execute("alter table child alter column a type varchar(255) using a || a")
        await call(connection, "fill_up('child')")

    options = await connection.fetchval(
        "select array_to_string(reloptions, ', ') from pg_class where oid = 'child'::regclass"
    )
    assert options == given
    async with connection.transaction():
        await connection.execute("update child set b = 'c' where id % 5 = 0")
        assert (
            await connection.fetchval(
                "select pg_stat_get_xact_tuples_hot_updated('child'::regclass)"
            )
            == 200
        )


async def test_the_room_of_a_table_is_that_of_the_transaction(
    connection: asyncpg.Connection,
) -> None:
    await connection.execute("alter table child set (fillfactor = 95)")
    for table in ("parent", "child", "parent"):
        async with connection.transaction():
            await call(connection, f"leave_room('{table}')")
            await call(connection, f"fill_up('{table}')")
    options = await connection.fetch(
        "select relname, reloptions from pg_class where relname in ('parent', 'child')"
    )
    assert dict(options) == {"parent": None, "child": ["fillfactor=95"]}
