"""What AiiDA itself made and a step drops is let pass; what others made under its name is not."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from aiidadb.exceptions import StorageMigrationError
from aiidadb.migration.steps import STEPS
from aiidadb.version.schema_version import SchemaVersion
from tests.helpers.databases import connected, fetchval, run_script
from tests.helpers.migrating import migrate, noted, opened
from tests.helpers.real_databases import closure_of_links, load_schema
from tests.helpers.single_steps import database_at, django_steps
from tests.helpers.table_rows import insert

if TYPE_CHECKING:
    from tests.helpers.databases import Databases

pytestmark = pytest.mark.usefixtures("in_a_directory_of_its_own")

FUNCTION, TRIGGER = closure_of_links()

BOOKKEEPING = """
drop table django_migrations;
create table django_migrations (
    id serial primary key,
    app varchar(255) not null,
    name varchar(255) not null,
    applied timestamptz not null
);
"""

HARMLESS = "create function {} returns trigger language plpgsql as 'begin return null; end'"


async def with_closure(databases: Databases, version: int) -> str:
    """A database of a version before 1.0.6, as AiiDA up to 0.9 left it."""
    dsn = await database_at(databases, version)
    await run_script(dsn, FUNCTION + TRIGGER)
    return dsn


@pytest.mark.quick
async def test_the_trigger_that_aiida_made_goes_with_its_step(databases: Databases) -> None:
    dsn = await load_schema(databases, "django_0005")
    async with connected(dsn) as connection:
        await connection.execute("set search_path to public;" + BOOKKEEPING + FUNCTION + TRIGGER)
        for number in range(1, 6):
            await connection.execute(
                "insert into django_migrations (app, name, applied) values ('db', $1, now())",
                django_steps()[number].name,
            )
        await insert(
            connection, "db_dbsetting", key="db|schemaversion", datatype="txt", tval="1.0.5"
        )
        source, target = [
            await insert(connection, "db_dbnode", type=kind) for kind in ("data.Data.", "code.")
        ]
        await insert(connection, "db_dblink", input_id=source, output_id=target, label="x", type="")
        assert await connection.fetchval("select count(*) from db_dbpath") == 1
    async with opened(dsn) as backend:
        plan = await backend.schema.plan("1.0.8")
        dry = await backend.schema.migrate("1.0.8", dry_run=True)
        assert len(plan.steps) == len(dry.steps) == 3
        await backend.schema.migrate("1.0.8")
    assert await fetchval(dsn, "select to_regproc('update_tc')") is None
    assert await fetchval(dsn, "select count(*) from pg_trigger where not tgisinternal") == 0
    assert await fetchval(dsn, "select count(*) from db_dblink") == 1
    await databases.drop(dsn)


# Another indentation, in capitals, as a release may have had it.
WRITTEN_OTHERWISE = f"""
drop trigger autoupdate_tc on db_dblink;
drop function update_tc();
{FUNCTION.replace("    ", "  ").upper().replace("PUBLIC.UPDATE_TC", "public.update_tc")}
{TRIGGER}
"""


@pytest.mark.parametrize(
    "script",
    [
        pytest.param("select 1", id="as it is"),
        pytest.param(WRITTEN_OTHERWISE, id="written otherwise"),
        pytest.param("alter table db_dblink disable trigger autoupdate_tc", id="disabled"),
        pytest.param("alter table db_dblink enable always trigger autoupdate_tc", id="always"),
    ],
)
async def test_it_is_known_by_what_it_is(databases: Databases, script: str) -> None:
    dsn = await with_closure(databases, 4)
    await run_script(dsn, script)
    await migrate(dsn, "1.0.5")  # which does not drop it
    assert await fetchval(dsn, "select count(*) from pg_trigger where not tgisinternal") == 1
    await migrate(dsn)
    assert await fetchval(dsn, "select to_regproc('update_tc')") is None
    await databases.drop(dsn)


ANOTHER_ON_ITS_PLACE = f"""
drop trigger autoupdate_tc on db_dblink;
{HARMLESS.format("mine()")};
create trigger autoupdate_tc after insert or delete or update on db_dblink
for each row execute function mine();
"""
IMPOSTORS = {
    "another function": (
        ANOTHER_ON_ITS_PLACE,
        r"trigger autoupdate_tc \(on db_dblink\): .* rename yours",
    ),
    "another function, and disabled": (
        f"{ANOTHER_ON_ITS_PLACE} alter table db_dblink disable trigger autoupdate_tc",
        r"trigger autoupdate_tc \(on db_dblink\): .* rename yours",
    ),
    "another source": (
        HARMLESS.format("update_tc()").replace("create", "create or replace"),
        r"function update_tc\(\) \(on db_dblink\), trigger autoupdate_tc \(on .* rename yours",
    ),
    "another time": (
        """
        drop trigger autoupdate_tc on db_dblink;
        create trigger autoupdate_tc before insert on db_dblink
        for each row execute function update_tc();
        """,
        r"trigger autoupdate_tc \(on db_dblink\): .* rename yours",
    ),
    "a condition": (
        """
        drop trigger autoupdate_tc on db_dblink;
        create trigger autoupdate_tc after insert or delete or update on db_dblink
        for each row when (pg_trigger_depth() < 2) execute function update_tc();
        """,
        r"trigger autoupdate_tc \(on db_dblink\): .* rename yours",
    ),
    "a function of the name alone": (
        f"""
        drop trigger autoupdate_tc on db_dblink;
        {HARMLESS.format("update_tc()").replace("create", "create or replace")};
        """,
        r"function update_tc\(\) \(on db_dblink\): .*rename yours",
    ),
    "a second trigger with AiiDA's function": (
        "create trigger mine after insert on db_dblink for each row execute function update_tc()",
        r"trigger mine on table db_dblink \(on update_tc\(\)\)",
    ),
    "one on a table of somebody's": (
        """
        create table mine (input_id integer, output_id integer);
        create trigger autoupdate_tc after insert or delete or update on mine
        for each row execute function update_tc();
        """,
        r"trigger autoupdate_tc on table mine \(on update_tc\(\)\)",
    ),
}


@pytest.mark.parametrize(("script", "told"), IMPOSTORS.values(), ids=IMPOSTORS)
async def test_what_others_made_under_its_name_is_refused_before_the_first_change(
    databases: Databases, script: str, told: str
) -> None:
    dsn = await with_closure(databases, 4)
    await run_script(dsn, script)
    before = await noted(dsn)
    with pytest.raises(StorageMigrationError) as refused:
        await migrate(dsn)
    lines = [str(refused.value), *getattr(refused.value, "__notes__", ())]
    assert re.search(told, "\n".join(lines))
    assert await noted(dsn) == before
    await databases.drop(dsn)


async def test_a_trigger_of_its_name_after_its_step_is_somebody_elses(databases: Databases) -> None:
    dsn = await database_at(databases, 6)
    await run_script(dsn, FUNCTION + TRIGGER)
    with pytest.raises(StorageMigrationError, match=r"trigger autoupdate_tc .*DISABLE TRIGGER"):
        await migrate(dsn)
    await databases.drop(dsn)


async def test_a_foreign_key_of_a_table_that_only_looks_like_django_s_is_refused(
    databases: Databases,
) -> None:
    dsn = await database_at(databases, 45)
    await run_script(
        dsn,
        "create table django_mine (kind integer references django_content_type (id));"
        "create table django_admin_log (id serial primary key,"
        " content_type_id integer references django_content_type (id))",
    )
    with pytest.raises(StorageMigrationError) as refused:
        await migrate(dsn)
    assert "django_mine" in str(refused.value)
    assert "django_admin_log" not in str(refused.value)
    await databases.drop(dsn)


@pytest.mark.quick
def test_a_step_that_drops_a_trigger_says_what_it_is() -> None:
    trigger = STEPS[SchemaVersion("django", 6)].drops_trigger
    assert trigger is not None
    assert (trigger.name, trigger.table, trigger.function) == (
        "autoupdate_tc",
        "db_dblink",
        "update_tc()",
    )
    assert {step.drops_trigger for step in STEPS.values() if step.drops_trigger} == {trigger}
