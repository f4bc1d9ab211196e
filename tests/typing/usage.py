"""What users write, as ``mypy --strict`` sees it: checked beside the library, never executed."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Any, assert_type

from pypika import Query

import aiidadb
from aiidadb import nodes

if TYPE_CHECKING:
    import asyncpg

PROFILE = aiidadb.Profile.from_dsn(
    "postgresql://ada@localhost/aiida", default_user_email="ada@epfl.ch", repository=None
)


class WithPk:
    """Something like a node of AiiDA's."""

    pk: int = 1


async def ask(backend: aiidadb.Backend) -> None:
    """Questions, and the types of their answers."""
    statistics = await backend.queries.get_creation_statistics(user_pk=None, timezone="UTC")
    assert_type(statistics, aiidadb.CreationStatistics)
    assert_type(statistics["total"], int)
    assert_type(statistics["ctime_by_day"], dict[str, int])
    assert_type(
        await backend.queries.get_closest_parents([1, WithPk()], node_type="data.core.int.Int."),
        dict[int, int],
    )
    await backend.queries.get_closest_parents(
        (pk for pk in range(3)),
        nodes.node_type.like("data.core.array.%") & (nodes.label == "x"),
        link_types=("create", "input_calc"),
        chunk_size=100,
        progress=lambda done, total: print(done, total),
        user_id=1,
    )
    rows = await backend.queries.get_bands_and_parents_structure(
        group_name=["campaign"], past_days=30, element="Si", formulamode="hill_compact"
    )
    assert_type(rows, list[aiidadb.BandsRow])
    assert_type(rows[0].ctime, datetime.datetime | None)
    assert_type(rows[0].problem, str | None)
    assert_type(rows[0].as_strings(), list[str])
    assert_type(rows[0].structure_pk, int | None)
    listing = backend.queries.get_bands_and_parents_structure(
        all_users=True, link_types=("create", "input_calc"), limit=10
    )
    assert_type(listing, aiidadb.BandsListing)
    async for row in listing:
        assert_type(row, aiidadb.BandsRow)
    query = Query.from_(nodes).select(nodes.id)
    query = backend.queries.query_past_days(
        backend.queries.query_group(query, group_pk=[1]), past_days=0.5
    )
    await backend.queries.fetch(query)
    setting = await backend.settings.get("db|schemaversion")
    assert_type(setting, aiidadb.Setting)
    assert_type(setting.time, datetime.datetime | None)
    assert_type(setting.problem, str | None)
    assert_type(await backend.settings.get("key", None), aiidadb.Setting | None)
    assert_type(await backend.settings.get("key", default=5), aiidadb.Setting | int)
    value: aiidadb.JsonValue = {"a": [1, 2.0, None]}
    await backend.settings.set("key", value, description=None)


async def change(backend: aiidadb.Backend, pks: aiidadb.Pks) -> aiidadb.DeletionReport:
    """Changes that go together."""
    async with backend.transaction() as connection:
        await connection.execute("set constraints all deferred")
        doomed = await backend.get_nodes_to_delete(pks, call_calc_forward=False)
        assert_type(doomed, set[int])
        preview = await backend.preview_deletion(doomed)
        assert_type(preview, aiidadb.DeletionPreview)
        return await backend.delete_nodes_and_connections(doomed, strict=True, progress=print)


async def own_sql() -> int:
    """A backend that is awaited, and SQL beside it."""
    backend = await aiidadb.open_backend("main")
    assert_type(backend, aiidadb.Backend)
    opening = aiidadb.open_backend("postgresql://ada@localhost/aiida")
    assert_type(opening, aiidadb.BackendOpening)
    async with await aiidadb.open_backend() as entered:
        assert_type(entered, aiidadb.Backend)
    where, values = backend.bind(aiidadb.tables.links.type == "create", first=2)
    assert_type(values, list[object])
    async with backend.transaction() as connection:
        await connection.execute(f"delete from db_dblink where id = $1 and {where}", 1, *values)
    await backend.close(timeout=None)
    return 0


async def migrate() -> aiidadb.MigrationReport:
    """A database of any version."""

    def report(now: aiidadb.MigrationProgress) -> None:
        print(now.step, now.steps, now.name, now.rows)

    async with aiidadb.open_backend(PROFILE, schema_check=False) as backend:
        assert_type(backend, aiidadb.Backend)
        assert_type(backend.version, aiidadb.SchemaVersion | None)
        version = await backend.schema.get_schema_version_database()
        assert_type(version, aiidadb.SchemaVersion)
        plan = await backend.schema.plan()
        assert_type(plan.steps, tuple[aiidadb.PlannedStep, ...])
        return await backend.schema.migrate("main_0002", progress=report)


async def main() -> None:
    """Errors, pools, and what is open."""
    try:
        profile = aiidadb.load_profile("main")
    except aiidadb.ProfileConfigurationError:
        profile = PROFILE
    async with (
        aiidadb.PoolRegistry() as registry,
        aiidadb.open_backend(
            profile,
            registry=registry,
            acquire_timeout=5,
            connect_timeout=2.5,
            command_timeout=None,
            commit_timeout=5,
            max_long=4,
            slow_statement=None,
            max_size=20,
        ) as backend,
    ):
        async with backend.connection() as connection:
            await connection.execute("vacuum analyze db_dbnode")
        try:
            await ask(backend)
        except aiidadb.PoolTimeout as error:
            assert_type(error.advice, str | None)
        try:
            assert_type(await change(backend, 1), aiidadb.DeletionReport)
        except aiidadb.IntegrityError as error:
            assert_type(error.sqlstate, str | None)
    assert_type(profile.statement_cache_size, int | None)
    pool: asyncpg.Pool = await aiidadb.get_pool(
        profile, max_size=20, max_long=4, slow_statement=0.5, connect_timeout=2.5
    )
    text, values = aiidadb.bind(nodes.label == "silicon")
    await pool.fetch(f"select id from db_dbnode where {text}", *values)
    await aiidadb.reset_pools()
    mode: aiidadb.FormulaMode = "reduce"
    assert_type(aiidadb.get_formula([], [], mode=mode), str)


async def query(backend: aiidadb.Backend) -> None:
    """AiiDA's QueryBuilder, and the types of its answers."""
    made = backend.query({"path": [{"entity_type": ""}]}, max_rows=10, timeout=5.0)
    assert_type(made.append("data.core.int.Int.", project="id"), aiidadb.QueryBuilder)
    assert_type(await made.limit(10).all(), list[list[Any]])
    assert_type(await made.all(flat=True), list[Any])
    assert_type(await made.all_and_count(), tuple[list[list[Any]], int])
    assert_type(await made.all_and_count(flat=True), tuple[list[Any], int])
    assert_type(await made.first(), list[Any] | None)
    assert_type(await made.one(), list[Any])
    assert_type(await made.count(), int)
    assert_type(await made.dict(), list[dict[str, dict[str, Any]]])
    async for row in made.iterall(batch_size=200):
        assert_type(row, list[Any])
    async for record in made.iterdict():
        assert_type(record, dict[str, dict[str, Any]])
    page = await made.page(10, after=None, with_total=True)
    assert_type(page.next, str | None)
    assert_type(made.sql(), tuple[str, list[object]])
    backend.query(made.as_dict())


async def mistakes(backend: aiidadb.Backend) -> None:
    """What the types refuse; an ignore that is not needed is an error too."""
    await backend.queries.get_closest_parents("1")  # type: ignore[arg-type]
    await backend.queries.get_bands_and_parents_structure(formulamode="x")  # type: ignore[arg-type]
    await backend.settings.set("key", object())  # type: ignore[arg-type]
    await backend.delete_nodes_and_connections([1.0])  # type: ignore[list-item]
    PROFILE.name = "other"  # type: ignore[misc]
    aiidadb.open_backend(PROFILE, acquire_timeout="5")  # type: ignore[arg-type]
