"""Who may migrate a database: its owner, a member of the owner's role, a superuser."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import aiidadb
from tests.helpers.databases import Databases, fetchval, run_script
from tests.helpers.migrating import migrate
from tests.helpers.roles import owner_of, role_name

if TYPE_CHECKING:
    from tests.helpers.old_database import OldDatabase

pytestmark = pytest.mark.usefixtures("in_a_directory_of_its_own")


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
    """AiiDA connects as the owner, and another role may read."""
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
