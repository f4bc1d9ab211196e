"""The way from the Django line to the main line, step by step, without the runner."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.helpers.single_steps import run_step

if TYPE_CHECKING:
    import asyncpg

__all__ = ["migrate_to_main", "run_main_step"]

_STEPS: Final = Path(__file__).parents[2] / "sql" / "migrations" / "main"


async def run_main_step(connection: asyncpg.Connection, stem: str) -> None:
    async with connection.transaction():
        await connection.execute((_STEPS / f"{stem}.sql").read_text("utf-8"))


async def migrate_to_main(
    connection: asyncpg.Connection, start: int, *, repository: Path | None = None
) -> None:
    """Run all steps after ``start`` to main_0002, with Alembic's bookkeeping at the end."""
    for number in range(start + 1, 51):
        await run_step(
            connection,
            number,
            repository=repository,
            export_directory=repository,
            without_repository=repository is None,
        )
    await run_main_step(connection, "0002_recompute_hash_calc_job_node")
    await connection.execute(
        """
        create table alembic_version (
            version_num varchar(32) not null constraint alembic_version_pkc primary key
        );
        insert into alembic_version values ('main_0002');
        """
    )
