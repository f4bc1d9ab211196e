"""The one table of findings: in the code, in the documentation, and on the disk."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import aiidadb
from aiidadb.migration.checks.catalogue import KINDS
from aiidadb.migration.steps import STEPS
from aiidadb.sql import sql_directory
from aiidadb.version.schema_version import SchemaVersion
from aiidadb.version.sqlalchemy_revisions import REVISIONS

DOCUMENT = Path(aiidadb.__file__).parent / "docs" / "migrations.md"
ROW = re.compile(
    r"\| `(\w+)` \| (.+) \| ([\da-f., ]+|any) \| (exported|repairable|refused) \| "
    r"(?:`sql/(.+)`|–) \|"
)


@pytest.mark.quick
def test_the_documentation_has_the_table_of_the_code() -> None:
    rows = [
        found.groups() for found in map(ROW.fullmatch, DOCUMENT.read_text().splitlines()) if found
    ]
    assert [(code, versions, action) for code, _, versions, action, _ in rows] == [
        (
            kind.code,
            ", ".join(
                [
                    *(f"1.0.{number - 1}" for number in kind.steps),
                    *(REVISIONS[number - 2] for number in kind.sqlalchemy_steps),
                ]
            )
            or "any",
            kind.action,
        )
        for kind in KINDS.values()
    ]
    assert [what.lower() for _, what, _, _, _ in rows] == [
        kind.what.lower() for kind in KINDS.values()
    ]
    for _, _, _, _, file in rows:
        assert file is None or (sql_directory() / file).is_file()


@pytest.mark.quick
def test_every_kind_names_steps_that_are_there_and_says_what_to_do() -> None:
    for kind in KINDS.values():
        assert all(SchemaVersion("django", number) in STEPS for number in kind.steps)
        assert all(
            STEPS[SchemaVersion("sqlalchemy", number)].file.startswith(f"{number:02}_")
            for number in kind.sqlalchemy_steps
        )
        assert bool(kind.remedy) == (kind.action != "exported")


@pytest.mark.quick
def test_one_of_a_kind_is_told_in_the_singular() -> None:
    for kind in KINDS.values():
        message, messages = (kind.found("", "there", count).message for count in (1, 2))
        assert message == f"there: 1 {kind.one}. {kind.aiida}"
        assert messages == f"there: 2 {kind.what}. {kind.aiida}"
        assert kind.one != kind.what
