"""What others made in a database: refused where it is in a step's way, and left alone elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

import asyncpg
import pytest

from aiidadb.exceptions import StorageMigrationError
from tests.helpers.databases import Databases, connected, fetchval, run_script
from tests.helpers.migrating import migrate
from tests.helpers.old_nodes import add_node
from tests.helpers.roles import owner_of
from tests.helpers.single_steps import database_at

if TYPE_CHECKING:
    from tests.helpers.old_database import OldDatabase

pytestmark = pytest.mark.usefixtures("in_a_directory_of_its_own")


OBSTACLES = {
    "view": (
        "create view public.mine as select id, type from db_dbnode",
        r"view mine \(on db_dbnode\.type\): .* drop it, migrate, and create it again",
    ),
    "view of a view": (
        (
            "create view public.mine as select uuid from db_dbnode;"
            "create view public.more as select * from mine"
        ),
        r"view mine \(on db_dbnode\.uuid\)",
    ),
    "view in another schema": (
        'create schema "My"; create view "My"."View 1" as select count(*) from db_dbattribute',
        r'view "My"\."View 1" \(on db_dbattribute\)',
    ),
    "materialized view": (
        "create materialized view mine as select type from db_dblink",
        r"materialized view mine \(on db_dblink\.type\)",
    ),
    "function": (
        (
            "create function mine() returns bigint begin atomic"
            "    select count(*) from db_dbnode where type = 'x'; end"
        ),
        r"function mine\(\) \(on db_dbnode\.type\)",
    ),
    "function that returns rows": (
        (
            "create function mine() returns setof db_dbcalcstate language sql"
            "    as 'select null::db_dbcalcstate'"
        ),
        r"function mine\(\) \(on db_dbcalcstate\)",
    ),
    "column of rows": (
        "create table mine (node db_dbnode)",
        r"column node of table mine \(on .*db_dbnode\.type",
    ),
    "computed column": (
        "alter table db_dbnode add family text generated always as (left(type, 4)) stored",
        r"column family of table db_dbnode \(on db_dbnode\.type\)",
    ),
    "policy": (
        "create policy mine on db_dbnode using (type like 'data.%')",
        r"policy mine on table db_dbnode \(on db_dbnode\.type\)",
    ),
    "foreign key to a table that goes": (
        "create table mine (state integer references db_dbcalcstate (id))",
        r"constraint mine_state_fkey on table mine \(on db_dbcalcstate\)",
    ),
    "foreign key to Django's": (
        "create table mine (kind integer references django_content_type (id))",
        r"constraint mine_kind_fkey on table mine \(on django_content_type\)",
    ),
    "foreign key to a uuid": (
        (
            "create unique index on db_dbnode (uuid);"
            "create table mine (node varchar(36) references db_dbnode (uuid))"
        ),
        r"constraint mine_node_fkey on table mine \(on db_dbnode\.uuid\)",
    ),
    "index over an expression": (
        "create index mine on db_dbnode (upper(uuid))",
        r"index mine \(on db_dbnode\.uuid\)",
    ),
    "check": (
        "alter table db_dbgroup add constraint mine check (uuid <> '')",
        r"constraint mine on table db_dbgroup \(on db_dbgroup\.uuid\)",
    ),
    "trigger": (
        (
            "create function mine() returns trigger language plpgsql as"
            "    'begin new.mtime = now(); return new; end';"
            "create trigger mine before update on db_dbnode for each row execute function mine()"
        ),
        r"trigger mine \(on db_dbnode\): .* DISABLE TRIGGER",
    ),
    "rule": (
        "create rule mine as on update to db_dblink do instead nothing",
        r"rule mine \(on db_dblink\): .* DISABLE RULE",
    ),
}


@pytest.mark.parametrize(("script", "told"), OBSTACLES.values(), ids=OBSTACLES)
async def test_what_others_made_and_a_step_could_not_get_past_is_refused_before_the_first_change(
    databases: Databases, script: str, told: str
) -> None:
    dsn = await database_at(databases, 8)
    await run_script(dsn, script)
    for dry_run in (False, True):
        with pytest.raises(StorageMigrationError, match=f"(?s){told}.*nothing was changed"):
            await migrate(dsn, dry_run=dry_run)
    noted = "select max(name) from django_migrations where app = 'db'"
    assert str(await fetchval(dsn, noted)).startswith("0008_")
    await databases.drop(dsn)


async def test_all_that_stands_in_the_way_is_told_at_once(old: OldDatabase) -> None:
    scripts = [OBSTACLES[name][0] for name in ("view in another schema", "rule", "trigger")]
    views = [f"create view view_{n} as select type from db_dbnode" for n in range(7)]
    await run_script(old.dsn, "; ".join([*scripts, *views]))
    with pytest.raises(StorageMigrationError) as refused:
        await migrate(old.dsn)
    for word in (
        '"My"."View 1"',
        "view_0",
        ", …",
        "trigger mine",
        "rule mine",
        " is prevented by ",
    ):
        assert word in str(refused.value)
    notes = "\n".join(refused.value.__notes__)
    for word in (
        "View 1",
        "pg_dump",
        "trigger mine",
        "DISABLE TRIGGER",
        "rule mine",
        "DISABLE RULE",
    ):
        assert word in notes


async def test_rows_that_a_policy_hides_are_not_passed_over(
    databases: Databases, old: OldDatabase
) -> None:
    async with owner_of(databases, old.dsn) as (name, dsn):
        # A superuser sees all rows, and so does an owner that is not forced.
        await run_script(
            old.dsn,
            "alter table db_dbnode enable row level security;"
            "alter table db_dbnode force row level security;"
            f"create policy mine on db_dbnode to {name} using (label like 's%')",
        )
        with pytest.raises(StorageMigrationError, match=r"row-level security \(on db_dbnode\)"):
            await migrate(dsn)
        await run_script(old.dsn, "alter table db_dbnode no force row level security")
        await migrate(dsn, "1.0.20")
        query = "select count(*) from db_dbnode where type like 'node.process.%'"
        assert await fetchval(old.dsn, query) == 4
        await run_script(old.dsn, "drop policy mine on db_dbnode")


async def test_what_is_in_nobody_s_way_stays(old: OldDatabase, databases: Databases) -> None:
    await run_script(
        old.dsn,
        """
        create table plugin_job (
            node integer not null references db_dbnode (id) on delete cascade,
            owner integer references db_dbuser,
            computer integer references db_dbcomputer
        );
        insert into plugin_job
        select id, (select min(id) from db_dbuser), (select min(id) from db_dbcomputer)
        from db_dbnode;
        alter table db_dbnode add column project integer unique references plugin_project;
        """.replace("references plugin_project", ""),
    )
    await run_script(
        old.dsn,
        """
        create table plugin_project (id serial primary key);
        alter table db_dbnode add foreign key (project) references plugin_project;
        create index plugin_description on db_dbnode (description);
        create index plugin_both on db_dbnode (type, mtime);
        create index plugin_part on db_dbnode (ctime) where type like 'data.%';
        create index plugin_upper on db_dbnode (upper(type));
        create statistics plugin_kinds on type, user_id from db_dbnode;
        alter table db_dbnode add constraint plugin_check check (type <> '');
        alter table db_dbgroup add constraint plugin_unique unique (user_id, label_of_mine);
        create view plugin_view as
        select node.label, node.mtime, link.label as link_label
        from db_dbnode as node
        join db_dblink as link on link.output_id = node.id;
        create view plugin_names as select name from db_dbcomputer;
        create function plugin_log() returns trigger language plpgsql as
            'begin raise exception ''seen''; end';
        create trigger plugin_trigger before update on db_dbnode
            for each row execute function plugin_log();
        alter table db_dbnode disable trigger plugin_trigger;
        create trigger plugin_replica before update on db_dblink
            for each row execute function plugin_log();
        alter table db_dblink enable replica trigger plugin_replica;
        """.replace(
            "alter table db_dbgroup add",
            "alter table db_dbgroup add label_of_mine text; alter table db_dbgroup add",
        ),
    )
    links = await fetchval(old.dsn, "select count(*) from plugin_view")
    await migrate(old.dsn)
    async with connected(old.dsn) as connection:
        assert await connection.fetchval("select count(*) from plugin_job") == 10
        assert await connection.fetchval("select count(*) from plugin_view") == links
        assert await connection.fetchval("select name from plugin_names") == "daint"
        found = await connection.fetch(
            """
            select relname as name from pg_class where relname like 'plugin%'
            union all
            select conname from pg_constraint where contype <> 'n' and conname ~ 'plugin|project'
            union all
            select stxname from pg_statistic_ext
            union all
            select tgname from pg_trigger where tgname like 'plugin%' and tgenabled = 'D'
            """
        )
        with pytest.raises(asyncpg.UniqueViolationError):
            await connection.execute("update db_dbnode set project = 1")
    assert {row["name"] for row in found} >= {
        "plugin_job",
        "plugin_job_node_fkey",
        "plugin_job_owner_fkey",
        "plugin_job_computer_fkey",
        "db_dbnode_project_fkey",
        "db_dbnode_project_key",
        "plugin_description",
        "plugin_both",
        "plugin_part",
        "plugin_upper",
        "plugin_kinds",
        "plugin_check",
        "plugin_unique",
        "plugin_trigger",
    }


async def test_a_view_of_node_types_stays_from_1_0_45_on(databases: Databases) -> None:
    """Whom aiida-core 1.x served has a view of today's columns, if any."""
    dsn = await database_at(databases, 45)
    async with connected(dsn) as connection:
        await add_node(connection, "data.dict.Dict.")
        await connection.execute("create view mine as select node_type, attributes from db_dbnode")
    await migrate(dsn)
    assert await fetchval(dsn, "select node_type from mine") == "data.core.dict.Dict."
    await databases.drop(dsn)


async def test_tables_of_django_s_administration_stay(old: OldDatabase) -> None:
    """AiiDA up to 0.5 switched it on."""
    await run_script(
        old.dsn,
        """
        create table django_admin_log (
            id serial primary key,
            user_id integer not null references db_dbuser deferrable initially deferred,
            content_type_id integer references django_content_type deferrable initially deferred
        );
        insert into django_admin_log (user_id, content_type_id)
        select (select min(id) from db_dbuser), (select min(id) from django_content_type);
        """,
    )
    await migrate(old.dsn)
    assert await fetchval(old.dsn, "select count(*) from django_admin_log") == 1
