"""Databases that are not as AiiDA alone would have them: others' views and roles, odd contents."""

from __future__ import annotations

import contextlib
import json
import secrets
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit, urlunsplit

import asyncpg
import pytest

import aiidadb
from aiidadb.exceptions import StorageMigrationError
from aiidadb.migration.connection import migrating_connection
from tests.helpers.catalog import describe
from tests.helpers.databases import Databases, run_script
from tests.helpers.old_database import OldDatabase, state_of
from tests.helpers.old_nodes import add_node
from tests.helpers.single_steps import database_at, run_step
from tests.helpers.table_rows import insert, insert_attribute

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from aiidadb.migration.report import MigrationReport
    from tests.migration.conftest import At


@pytest.fixture(autouse=True)
def _files_go_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


async def migrate(
    dsn: str | aiidadb.Profile, target: str | None = None, **options: object
) -> MigrationReport:
    """Migrate a database without files."""
    profile = dsn if isinstance(dsn, aiidadb.Profile) else aiidadb.Profile.from_dsn(dsn)
    async with aiidadb.open_backend(profile, schema_check=False) as backend:
        return await backend.schema.migrate(target, without_repository=True, **options)


@contextlib.asynccontextmanager
async def connected(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(dsn)
    try:
        yield connection
    finally:
        await connection.close()


async def fetchval(dsn: str, query: str, *values: object) -> object:
    async with connected(dsn) as connection:
        return await connection.fetchval(query, *values)


# ------------------------------------------------------------------ what others made

OBSTACLES = {
    "view": (
        "create view public.mine as select id, type from db_dbnode",
        r"view mine \(on db_dbnode\.type\): .* drop it, migrate, and make it anew",
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
    for word in ('"My"."View 1"', "view_0", ", …", "trigger mine", "rule mine", " stand "):
        assert word in str(refused.value)


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


async def test_node_types_are_renamed_in_place_where_documents_are_out_of_line(at: At) -> None:
    connection = await at(48)
    node, _ = await add_node(connection, "data.array.bands.BandsData.")
    other, _ = await add_node(connection, "data.mine.Mine.")
    await connection.execute(
        """
        alter table db_dbnode alter column attributes set storage external;
        update db_dbnode set attributes = jsonb_build_object('text', repeat('long ', 100000))
        """
    )
    file = "select pg_relation_filenode('db_dbnode')"
    before = await connection.fetchval(file)
    await run_step(connection, 49)
    assert await connection.fetchval(file) == before
    types = dict(await connection.fetch("select id, node_type from db_dbnode"))
    assert types == {node: "data.core.array.bands.BandsData.", other: "data.mine.Mine."}


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


# ------------------------------------------------------------------ roles


def role_name() -> str:
    """Roles are the server's, which other tests use at the same time."""
    return f"aiidadb_test_{secrets.token_hex(4)}"


@contextlib.asynccontextmanager
async def owner_of(databases: Databases, dsn: str) -> AsyncIterator[tuple[str, str]]:
    """Give a database, and all that is in it, to a role with no other rights; its name, and DSN."""
    name, database = role_name(), urlsplit(dsn).path[1:]
    await run_script(
        databases.server_dsn,
        f'create role {name} login; alter database "{database}" owner to {name}',
    )
    await run_script(
        dsn,
        f"""
        alter schema public owner to {name};
        do $$
        declare
            found_table name;
        begin
            for found_table in select tablename from pg_tables where schemaname = 'public' loop
                execute format('alter table %I owner to {name}', found_table);
            end loop;
        end
        $$;
        """,
    )
    parts = urlsplit(dsn)
    host = parts.netloc.rpartition("@")[2]
    try:
        yield name, urlunsplit(parts._replace(netloc=f"{name}@{host}"))
    finally:
        superuser = await fetchval(dsn, "select current_user")
        await run_script(
            dsn,
            f"reassign owned by {name} to {superuser}; drop owned by {name}; drop role {name}",
        )


async def test_an_ordinary_owner_goes_all_the_way(databases: Databases, old: OldDatabase) -> None:
    async with owner_of(databases, old.dsn) as (_, dsn):
        profile = aiidadb.Profile.from_dsn(dsn, repository=old.repository)
        for dry_run in (True, False):
            async with aiidadb.open_backend(profile, schema_check=False) as backend:
                await backend.schema.plan()
                report = await backend.schema.migrate(dry_run=dry_run)
                assert str(report.version) == "main_0002"
        async with aiidadb.open_backend(profile) as backend:
            assert (await backend.queries.get_creation_statistics())["total"] == 10


async def test_what_a_superuser_migrates_stays_its_owner_s(
    databases: Databases, old: OldDatabase
) -> None:
    """AiiDA connects as the owner, and somebody else may read along."""
    other = role_name()
    async with owner_of(databases, old.dsn) as (name, dsn):
        await run_script(
            old.dsn,
            f"create role {other} login; grant select on all tables in schema public to {other}",
        )
        await migrate(old.dsn)
        others = """
            select array_agg(relname::text)
            from pg_class
            where relnamespace = 'public'::regnamespace and relowner <> $1::regrole
        """
        assert await fetchval(old.dsn, others, name) is None
        for reader in (dsn, dsn.replace(f"{name}@", f"{other}@")):
            async with aiidadb.open_backend(aiidadb.Profile.from_dsn(reader)) as backend:
                assert str(backend.version) == "main_0002"
                assert (await backend.queries.get_creation_statistics())["total"] == 10
        await run_script(old.dsn, f"drop owned by {other}; drop role {other}")


async def test_a_member_of_the_owner_s_role_may_migrate(
    databases: Databases, old: OldDatabase
) -> None:
    member = role_name()
    async with owner_of(databases, old.dsn) as (name, dsn):
        await run_script(old.dsn, f"create role {member} login; grant {name} to {member}")
        await migrate(dsn.replace(f"{name}@", f"{member}@"))
        owner = "select relowner::regrole::text from pg_class where relname = 'alembic_version'"
        assert await fetchval(old.dsn, owner) == name
        await run_script(old.dsn, f"drop owned by {member}; drop role {member}")


# ------------------------------------------------------------------ servers and databases


async def test_settings_of_an_old_application_change_nothing(
    databases: Databases, old: OldDatabase
) -> None:
    await run_script(
        databases.server_dsn,
        f'create database "{urlsplit(old.dsn).path[1:]}_twin" '
        f'template "{urlsplit(old.dsn).path[1:]}"',
    )
    twin = f"{old.dsn.partition('?')[0]}_twin" + (
        f"?{urlsplit(old.dsn).query}" if urlsplit(old.dsn).query else ""
    )
    for setting in (
        "standard_conforming_strings = off",
        "escape_string_warning = off",
        "transform_null_equals = on",
        "array_nulls = off",
        "quote_all_identifiers = on",
        "bytea_output = escape",
        "intervalstyle = sql_standard",
        "enable_seqscan = off",
        "work_mem = '64kB'",
        "datestyle = 'SQL, DMY'",
    ):
        await run_script(old.dsn, f'alter database "{urlsplit(old.dsn).path[1:]}" set {setting}')
    await migrate(old.dsn)
    await migrate(twin)
    await run_script(old.dsn, f'alter database "{urlsplit(old.dsn).path[1:]}" reset all')
    assert await state_of(old.dsn) == await state_of(twin)
    await databases.drop(twin)


async def test_an_autovacuum_is_made_to_give_way(old: OldDatabase) -> None:
    """The server does that for whoever has waited for ``deadlock_timeout``."""
    limits = """
        select
            (select setting::bigint from pg_settings where name = 'lock_timeout'),
            (select setting::bigint from pg_settings where name = 'deadlock_timeout')
    """
    profile = aiidadb.Profile.from_dsn(old.dsn)
    for patience_with_locks in ("1s", "3s"):
        await run_script(
            old.dsn,
            f'alter database "{urlsplit(old.dsn).path[1:]}" '
            f"set deadlock_timeout = '{patience_with_locks}'",
        )
        async with migrating_connection(profile, patience=1, waiting=print) as connection:
            waits, others_wait = await connection.fetchrow(limits)
        assert waits > others_wait


async def test_the_planner_knows_the_columns_that_were_remade(old: OldDatabase) -> None:
    await migrate(old.dsn)
    known = """
        select array_agg(tablename || '.' || attname)
        from pg_stats
        where schemaname = 'public'
    """
    columns = await fetchval(old.dsn, known)
    assert {"db_dblink.type", "db_dbnode.uuid", "db_dbnode.node_type"} <= set(columns)


ODD_NAMES = ['AiiDA "prod" 100%', "aiida?host=evil&user=x#y", "ünï:c@de/../x", " ", "select"]


@pytest.mark.parametrize("name", ODD_NAMES)
async def test_the_name_of_a_database_may_be_anything(databases: Databases, name: str) -> None:
    template = urlsplit(await database_at(databases, 8)).path[1:]
    name += secrets.token_hex(4)
    quoted = '"' + name.replace('"', '""') + '"'
    await run_script(databases.server_dsn, f'create database {quoted} template "{template}"')
    parts = urlsplit(databases.server_dsn)
    dsn = urlunsplit(parts._replace(path=f"/{quote(name, safe='')}"))
    try:
        report = await migrate(dsn)
        assert str(report.version) == "main_0002"
        assert (await migrate(dsn)).steps == ()
    finally:
        await aiidadb.reset_pools()
        await run_script(databases.server_dsn, f"drop database {quoted} with (force)")


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
async def test_the_encoding_of_a_database_may_be_another(
    databases: Databases, encoding: str
) -> None:
    dsn = databases.dsn(f"{urlsplit(await database_at(databases, 1)).path[1:]}_other")
    name = urlsplit(dsn).path[1:]
    await run_script(
        databases.server_dsn,
        f"create database \"{name}\" template template0 encoding '{encoding}'"
        " locale_provider libc lc_collate 'C' lc_ctype 'C'",
    )
    async with connected(dsn) as connection:
        await run_step(connection, 1)
        node, uuid = await add_node(connection, "data.parameter.ParameterData.")
        await connection.execute("update db_dbnode set label = 'Élise I', uuid = upper(uuid)")
        rows = [("é", "txt", "ß", None), ("TITLE", "txt", "I", None), ("title", "txt", "i", None)]
        rows += [("list", "list", "", 1), ("list.0", "txt", "Ä", None)]
        await connection.executemany(
            "insert into db_dbattribute (dbnode_id, key, datatype, tval, ival)"
            " values ($1, $2, $3, $4, $5)",
            [(node, *row) for row in rows],
        )
    await migrate(dsn)
    async with connected(dsn) as connection:
        row = await connection.fetchrow("select uuid, label, node_type, attributes from db_dbnode")
    assert (str(row["uuid"]), row["label"]) == (uuid, "Élise I")
    assert row["node_type"] == "data.core.dict.Dict."
    found = json.loads(row["attributes"])
    assert found == {"é": "ß", "TITLE": "I", "title": "i", "list": ["Ä"]}
    await databases.drop(dsn)


async def test_a_database_without_a_node_goes_all_the_way_from_every_other_version(
    databases: Databases, main_dsn: str
) -> None:
    async with connected(main_dsn) as connection:
        new = await describe(connection)
    for number in range(2, 51, 2):
        dsn = await database_at(databases, number)
        if number == 50:  # its bookkeeping is the runner's
            await run_script(
                dsn,
                "create table alembic_version (version_num varchar(32) not null"
                " constraint alembic_version_pkc primary key);"
                "insert into alembic_version values ('django_0050')",
            )
        report = await migrate(dsn)
        assert str(report.origin) == f"1.0.{number}"
        async with connected(dsn) as connection:
            assert await describe(connection) == new, number
        await databases.drop(dsn)


async def test_documents_of_many_megabytes(databases: Databases) -> None:
    dsn = await database_at(databases, 8)
    async with connected(dsn) as connection:
        text, _ = await add_node(connection, "data.parameter.ParameterData.")
        wide, _ = await add_node(connection, "data.parameter.ParameterData.")
        await insert_attribute(connection, text, "text", "ä" * 10_000_000)
        await insert_attribute(connection, text, "k" * 1024, "the longest key")
        await insert(
            connection, "db_dbattribute", dbnode_id=wide, key="list", datatype="list", ival=100_000
        )
        await connection.execute(
            """
            insert into db_dbattribute (dbnode_id, key, datatype, tval, fval)
            select $1::int, 'list.' || position, 'float', '', position + 0.5
            from generate_series(0, 99999) as position
            """,
            wide,
        )
    await migrate(dsn)
    async with connected(dsn) as connection:
        found = dict(await connection.fetch("select id, attributes from db_dbnode"))
    assert json.loads(found[text]) == {"text": "ä" * 10_000_000, "k" * 1024: "the longest key"}
    assert json.loads(found[wide]) == {"list": [position + 0.5 for position in range(100_000)]}
    await databases.drop(dsn)
