"""A database replayed from the first step on is the one that is made new at the head."""

from __future__ import annotations

from typing import TYPE_CHECKING

import asyncpg
import pytest

from tests.helpers.catalog import describe
from tests.helpers.main_line import migrate_to_main

if TYPE_CHECKING:
    from tests.migration.conftest import At

NOTED = "select app, name from django_migrations order by app, name"


@pytest.mark.quick
async def test_the_django_line_replayed_is_a_new_database(at: At, django_dsn: str) -> None:
    replayed = await at(45)
    new = await asyncpg.connect(django_dsn)
    try:
        # By definition: the names of 1.0.45 are those of the Django release that made the table.
        assert await describe(replayed, names=False) == await describe(new, names=False)
        assert await replayed.fetch(NOTED) == await new.fetch(NOTED)
    finally:
        await new.close()


async def test_both_lines_replayed_are_a_new_database(at: At, main_dsn: str) -> None:
    replayed = await at(1)
    await migrate_to_main(replayed, 1)
    new = await asyncpg.connect(main_dsn)
    try:
        assert await describe(replayed) == await describe(new)
    finally:
        await new.close()
