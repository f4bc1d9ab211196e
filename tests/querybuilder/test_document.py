"""The document on queries tells the truth: its programs run as they stand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest_asyncio

from tests.helpers.documents import DOCUMENTS, campaign_as_default, execute, programs_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import pytest

    from tests.helpers.databases import Databases

PROGRAMS = programs_of((DOCUMENTS / "querybuilder.md").read_text("utf-8"))


@pytest_asyncio.fixture(params=["django_0045", "main_0002"])
async def campaign(
    request: pytest.FixtureRequest, databases: Databases, tmp_path: Path
) -> AsyncIterator[None]:
    """AiiDA's default profile has a campaign, once in each line."""
    async with campaign_as_default(databases, request.param, tmp_path):
        yield


def test_its_programs_run(campaign, capsys):
    assert len(PROGRAMS) >= 3
    for program in PROGRAMS:
        execute(program)
        assert capsys.readouterr().out
