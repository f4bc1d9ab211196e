"""The document on queries tells the truth: its programs run as they stand."""

from __future__ import annotations

import re
import types
from pathlib import Path
from typing import TYPE_CHECKING

import pytest_asyncio

import aiidadb
from tests.helpers.campaigns import make_campaign, write_config

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import pytest

    from tests.helpers.databases import Databases

DOCUMENT = (Path(aiidadb.__file__).parent / "docs" / "querybuilder.md").read_text()
PROGRAMS = re.findall(r"^```python\n(.*?)^```$", DOCUMENT, re.MULTILINE | re.DOTALL)


@pytest_asyncio.fixture(params=["django_0045", "main_0002"])
async def campaign(
    request: pytest.FixtureRequest,
    databases: Databases,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[None]:
    """AiiDA's default profile has a campaign, once in each line."""
    dsn = await make_campaign(databases, request.param)
    write_config(tmp_path, dsn)
    monkeypatch.setenv("AIIDA_PATH", str(tmp_path))
    yield
    await databases.drop(dsn)


def test_its_programs_run(campaign, capsys):
    assert len(PROGRAMS) >= 3
    for program in PROGRAMS:
        module = types.ModuleType("from_the_document")
        exec(compile(program, "querybuilder.md", "exec"), vars(module))
        assert capsys.readouterr().out
