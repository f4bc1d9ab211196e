"""What is handed out: the wheel has what it needs, and says what it is."""

from __future__ import annotations

import os
import re
import sys
import zipfile
from email import message_from_bytes, policy
from typing import TYPE_CHECKING

import pytest

import aiidadb
from aiidadb.sql import QUERIES, sql_directory
from tests.helpers.documents import DOCUMENTS, ROOT
from tests.helpers.processes import finished

if TYPE_CHECKING:
    from email.message import EmailMessage
    from pathlib import Path

BUILD = (
    "import os, sys; os.chdir(sys.argv[1]); from hatchling.build import build_wheel; "
    "print(build_wheel(sys.argv[2]))"
)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project's wheel, built from this checkout, and unpacked."""
    directory = tmp_path_factory.mktemp("wheel")
    built = finished([sys.executable, "-c", BUILD, str(ROOT), str(directory)])
    assert built.returncode == 0, built.stderr
    unpacked = directory / "unpacked"
    with zipfile.ZipFile(directory / built.stdout.split()[-1]) as archive:
        archive.extractall(unpacked)
    return unpacked


@pytest.fixture(scope="module")
def metadata(wheel: Path) -> EmailMessage:
    (path,) = wheel.glob("*.dist-info/METADATA")
    return message_from_bytes(path.read_bytes(), policy=policy.default)


def test_a_wheel_carries_every_sql_file_and_finds_it(wheel: Path, tmp_path: Path) -> None:
    inside = wheel / "aiidadb" / "_sql"
    ours = sql_directory()
    assert sorted(path.relative_to(inside) for path in inside.rglob("*.sql")) == sorted(
        path.relative_to(ours) for path in ours.rglob("*.sql")
    )
    asked = (
        "import aiidadb, aiidadb.sql; "
        "print(aiidadb.__version__, aiidadb.sql.sql_directory(), len(aiidadb.sql.QUERIES))"
    )
    # From a folder that has no aiidadb in it.
    program = f"import os; os.chdir({os.fspath(tmp_path)!r}); {asked}"
    answer = finished(
        [sys.executable, "-c", program], environment={"PYTHONPATH": os.fspath(wheel)}
    ).stdout.split()
    assert answer == [aiidadb.__version__, str(inside), str(len(QUERIES))]


def test_a_wheel_carries_types_and_documents(wheel: Path) -> None:
    assert (wheel / "aiidadb" / "py.typed").is_file()
    inside = wheel / "aiidadb" / "docs"
    assert {path.name for path in inside.iterdir()} == {path.name for path in DOCUMENTS.iterdir()}


def test_its_version_is_that_of_the_package(metadata: EmailMessage) -> None:
    assert metadata["Version"] == aiidadb.__version__


def test_a_package_index_shows_the_readme_without_links_that_lead_nowhere(
    metadata: EmailMessage,
) -> None:
    shown = metadata.get_content()
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    links = re.compile(r"\]\(([^)]*)\)")
    programs = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
    assert programs.findall(shown) == programs.findall(readme)
    remaining = links.findall(programs.sub("", shown))
    assert all(target.startswith("https://") for target in remaining)
    there = [target for target in links.findall(readme) if target.startswith("https://")]
    assert remaining == there
    for path in re.findall(r"`((?:aiidadb|tests|benchmarks)/[\w./]+\.\w+)`", shown):
        assert (ROOT / path).is_file(), path
