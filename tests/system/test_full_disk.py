"""A disk that is full, the server's or that of the exports, stops a migration and loses nothing."""

from __future__ import annotations

import json
import random
import shutil
from typing import TYPE_CHECKING

import pytest

import aiidadb
from aiidadb.exceptions import ResourceError, StorageMigrationError
from aiidadb.migration.repository.container import container_path
from tests.helpers.databases import Databases, connected, run_script
from tests.helpers.old_database import make_old_database, state_of
from tests.helpers.old_nodes import add_files, add_node, object_of, size_of_all
from tests.helpers.single_steps import database_at
from tests.helpers.table_rows import insert

if TYPE_CHECKING:
    from pathlib import Path

    from aiidadb.demo.embedded_server import EmbeddedServer
    from aiidadb.migration.report import MigrationReport
    from tests.system.conftest import Mount

pytestmark = pytest.mark.system


async def migrate(dsn: str, target: str, **options: object) -> MigrationReport:
    async with aiidadb.open_backend(aiidadb.Profile.from_dsn(dsn), schema_check=False) as backend:
        return await backend.schema.migrate(target, without_repository=True, **options)


async def test_a_full_disk_of_the_server_undoes_the_step(
    server: EmbeddedServer, mount: Mount
) -> None:
    databases = Databases(server.dsn)
    dsn = await database_at(databases, 36)
    async with connected(dsn) as connection:
        node = await insert(connection, "db_dbnode")
        dice = random.Random(5)
        for number in range(10):  # of a megabyte each, that does not get smaller by compression
            await connection.execute(
                """
                insert into db_dbattribute (dbnode_id, key, datatype, tval)
                values ($1::int, $2::text, 'txt', $3::text)
                """,
                node,
                f"key{number}",
                dice.randbytes(1024**2).hex(),
            )
    before = await state_of(dsn)
    disk = mount("48m")  # holds the database, and not what the step makes of it
    if server.system_user is not None:
        shutil.chown(disk, server.system_user)
    name = dsn.partition("?")[0].rpartition("/")[2]
    await run_script(server.dsn, f"create tablespace small location '{disk}'")
    await run_script(server.dsn, f'alter database "{name}" set tablespace small')

    with pytest.raises(ResourceError, match=r"django_0037.*undone.*No space left on device"):
        await migrate(dsn, "1.0.37")

    await run_script(server.dsn, f'alter database "{name}" set tablespace pg_default')
    assert await state_of(dsn) == before
    assert len((await migrate(dsn, "1.0.37")).steps) == 1
    await databases.drop(dsn)
    await run_script(server.dsn, "drop tablespace small")


async def test_a_full_disk_of_the_exports_undoes_the_step(
    databases: Databases, mount: Mount, tmp_path: Path
) -> None:
    old = await make_old_database(databases, tmp_path / "files")
    async with connected(old.dsn) as connection:
        await connection.execute(
            "insert into db_dblog (time, loggername, levelname, objname, objpk, message, metadata)"
            " select now(), 'x', 'INFO', 'unknown', number, repeat('message ', 1000), '{}'"
            " from generate_series(1, 100) as number"
        )
    await migrate(old.dsn, "1.0.23")
    before = await state_of(old.dsn)
    disk = mount("64k")

    with pytest.raises(StorageMigrationError, match="No space left on device"):
        await migrate(old.dsn, "1.0.24", export_directory=disk)

    assert await state_of(old.dsn) == before
    for path in disk.iterdir():  # what was written is whole
        json.loads(path.read_text("utf-8"))
    report = await migrate(old.dsn, "1.0.24", export_directory=tmp_path / "exports")
    assert report.files
    await databases.drop(old.dsn)


async def test_after_a_full_disk_of_the_container_the_next_run_goes_on(
    databases: Databases, mount: Mount
) -> None:
    disk = mount("24m")
    repository = disk / "repository"
    dsn = await database_at(databases, 46)
    dice = random.Random(7)
    contents = {}
    async with connected(dsn) as connection:
        for number in range(40):
            _, uuid = await add_node(connection, "data.Data.")
            contents[uuid] = dice.randbytes(10_000 if number % 4 else 600_000)
            add_files(repository, uuid, {"file": contents[uuid]})
    filler = disk / "filler"
    with filler.open("wb") as handle:  # of the six megabytes more, there is room for some
        handle.write(bytes(shutil.disk_usage(disk).free - 3_000_000))
    profile = aiidadb.Profile.from_dsn(dsn, repository=repository)
    async with aiidadb.open_backend(profile, schema_check=False) as backend:
        with pytest.raises(
            StorageMigrationError, match=r"No space left on device.*free some space"
        ):
            await backend.schema.migrate("1.0.47", export_directory=disk)
        filler.unlink()
        await backend.schema.migrate("1.0.47", export_directory=disk)
    async with connected(dsn) as connection:
        rows = await connection.fetch("select uuid::text, repository_metadata from db_dbnode")
    assert {row["uuid"]: json.loads(row["repository_metadata"]) for row in rows} == {
        uuid: {"o": {"file": object_of(content)}} for uuid, content in contents.items()
    }
    packs = container_path(repository) / "packs"
    assert size_of_all(packs) == sum(map(len, contents.values()))
    await databases.drop(dsn)
