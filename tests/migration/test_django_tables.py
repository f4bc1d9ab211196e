"""Django's own tables, which step 0045 brings to Django 2.2 from whichever Django made them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.helpers.catalog import describe
from tests.helpers.single_steps import run_step

if TYPE_CHECKING:
    import asyncpg

    from tests.migration.conftest import At

NEWER = [
    ("contenttypes", "0002_remove_content_type_name"),
    ("auth", "0002_alter_permission_name_max_length"),
    ("auth", "0003_alter_user_email_max_length"),
    ("auth", "0004_alter_user_username_opts"),
    ("auth", "0005_alter_user_last_login_null"),
    ("auth", "0006_require_contenttypes_0002"),
    ("auth", "0007_alter_validators_add_error_messages"),
    ("auth", "0008_alter_user_username_max_length"),
    ("auth", "0009_alter_user_last_name_max_length"),
    ("auth", "0010_alter_group_name_max_length"),
    ("auth", "0011_update_proxy_permissions"),
]
# In the order in which Django goes through them.
MODELS = (
    "permission",
    "group",
    "contenttype",
    "dbuser",
    "dbauthinfo",
    "dbcomment",
    "dbcomputer",
    "dbgroup",
    "dblink",
    "dblog",
    "dbnode",
    "dbsetting",
)
# What Django 1.11, and then 2.2, had done to a database of its day.
DJANGO_1_11 = """
    alter table auth_permission alter column name type varchar(255);
    alter table django_content_type drop column name;
"""
DJANGO_2_2 = """
    alter table auth_group alter column name type varchar(150);
    insert into auth_permission (name, content_type_id, codename)
    select 'Can view ' || model, id, 'view_' || model from django_content_type order by id;
"""


async def noted_by_django(connection: asyncpg.Connection) -> list[tuple[str, str]]:
    rows = await connection.fetch(
        "select app, name from django_migrations where app <> 'db' order by id"
    )
    return [tuple(row) for row in rows]


async def permissions(connection: asyncpg.Connection) -> list[tuple[int, int, str, str]]:
    rows = await connection.fetch(
        "select id, content_type_id, codename, name from auth_permission order by id"
    )
    return [tuple(row) for row in rows]


async def model_names(connection: asyncpg.Connection) -> list[str]:
    return [
        name
        for (name,) in await connection.fetch("select model from django_content_type order by id")
    ]


async def test_tables_of_django_1_7_become_those_of_2_2(at: At) -> None:
    connection = await at(44)
    before, models = await permissions(connection), await model_names(connection)

    await run_step(connection, 45)

    assert await noted_by_django(connection) == [
        ("contenttypes", "0001_initial"),
        ("auth", "0001_initial"),
        *NEWER,
    ]
    after = await permissions(connection)
    # Those of models that are no more stay, as Django leaves them.
    assert after[: len(before)] == before
    assert [codename for _, _, codename, _ in after[len(before) :]] == [
        f"view_{model}" for model in MODELS
    ]
    assert ("view_dbauthinfo", "Can view db auth info") in [row[2:] for row in after]
    assert await model_names(connection) == models
    facts = await describe(connection)
    assert "column name character varying(150) not null default none" in facts["auth_group"]
    assert "column name character varying(255) not null default none" in facts["auth_permission"]
    assert not [fact for fact in facts["django_content_type"] if fact.startswith("column name ")]


@pytest.mark.parametrize(
    ("script", "noted", "views"), [(DJANGO_1_11, 8, 12), (DJANGO_1_11 + DJANGO_2_2, 11, 0)]
)
async def test_what_a_newer_django_has_done_is_not_done_again(
    at: At, script: str, noted: int, views: int
) -> None:
    expected = await at(45)
    connection = await at(44)
    await connection.execute(script)
    await connection.executemany(
        "insert into django_migrations (app, name, applied) values ($1, $2, now())", NEWER[:noted]
    )
    before = await permissions(connection)

    await run_step(connection, 45)

    assert sorted(await noted_by_django(connection)) == sorted(await noted_by_django(expected))
    assert len(await permissions(connection)) == len(before) + views
    assert await describe(connection) == await describe(expected)


async def test_a_run_that_was_rolled_back_leaves_no_gap_in_the_ids(at: At) -> None:
    connection = await at(44)

    await run_step(connection, 45, dry_run=True)
    await run_step(connection, 45)

    ids = [row[0] for row in await permissions(connection)]
    assert ids == list(range(1, len(ids) + 1))
    drawn = await connection.fetchval(
        "select nextval(pg_get_serial_sequence('auth_permission', 'id'))"
    )
    assert drawn == len(ids) + 1


async def test_content_types_that_are_missing_are_added(at: At) -> None:
    connection = await at(44)
    await connection.execute("delete from auth_permission; delete from django_content_type")

    await run_step(connection, 45)

    assert await model_names(connection) == list(MODELS)
    assert [codename for _, _, codename, _ in await permissions(connection)][:4] == [
        "add_permission",
        "change_permission",
        "delete_permission",
        "view_permission",
    ]


async def test_stand_ins_of_aiida_2_are_passed_over(at: At) -> None:
    connection = await at(44)
    await connection.execute(
        """
        drop table auth_group_permissions, auth_permission, auth_group, django_content_type;
        create table auth_group (id serial primary key);
        create table auth_permission (id serial primary key);
        create table django_content_type (id serial primary key);
        """
    )

    await run_step(connection, 45)

    assert await noted_by_django(connection) == [
        ("contenttypes", "0001_initial"),
        ("auth", "0001_initial"),
    ]
