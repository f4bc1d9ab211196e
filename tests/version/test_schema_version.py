"""Versions are compared with versions."""

from __future__ import annotations

from typing import Any

import pytest

from aiidadb import SchemaVersion
from aiidadb.exceptions import InvalidInputError

pytestmark = pytest.mark.quick


@pytest.mark.parametrize("other", ["1.0.45", 5, None, ("main", 1)], ids=repr)
def test_a_version_is_before_or_after_nothing_else(other: Any) -> None:
    version = SchemaVersion("main", 1)
    assert version != other
    for compare in ("__lt__", "__le__", "__gt__", "__ge__"):
        assert getattr(version, compare)(other) is NotImplemented
    with pytest.raises(TypeError, match="not supported between"):
        _ = version < other
    with pytest.raises(TypeError, match="not supported between"):
        _ = other < version


# ------------------------------------------------------------------ the three lines


@pytest.mark.parametrize(
    ("text", "line", "number", "name"),
    [
        ("1.0.45", "django", 45, "django_0045"),
        ("django_0007", "django", 7, "django_0007"),
        ("e15ef2630a1b", "sqlalchemy", 1, "sqlalchemy_01_e15ef2630a1b"),
        ("89176227b25", "sqlalchemy", 4, "sqlalchemy_04_89176227b25"),
        ("0edcdd5a30f0", "sqlalchemy", 44, "sqlalchemy_44_0edcdd5a30f0"),
        ("sqlalchemy_51_1de112340b18", "sqlalchemy", 51, "sqlalchemy_51_1de112340b18"),
        ("main_0002", "main", 2, "main_0002"),
    ],
)
def test_a_version_of_each_line_is_read_and_written(
    text: str, line: Any, number: int, name: str
) -> None:
    version = SchemaVersion.parse(text)
    assert version == SchemaVersion(line, number)
    assert version.schema_name == name
    assert SchemaVersion.parse(str(version)) == SchemaVersion.parse(name) == version


@pytest.mark.parametrize(
    "text", ["0123456789ab", "0EDCDD5A30F0", "sqlalchemy_43_0edcdd5a30f0", "sqlalchemy_0044"]
)
def test_a_revision_that_no_aiida_has_is_no_version(text: str) -> None:
    with pytest.raises(InvalidInputError, match="a revision such as '0edcdd5a30f0'"):
        SchemaVersion.parse(text)


@pytest.mark.parametrize("number", [0, 52])
def test_the_line_of_sqlalchemy_has_51_versions(number: int) -> None:
    with pytest.raises(InvalidInputError, match="it has 1 to 51"):
        SchemaVersion("sqlalchemy", number)


def test_both_lines_of_aiida_1_come_before_main_and_neither_before_the_other() -> None:
    django, main = SchemaVersion("django", 1), SchemaVersion("main", 1)
    first, last = SchemaVersion("sqlalchemy", 1), SchemaVersion("sqlalchemy", 51)
    assert first < last < main
    assert django < main > first
    assert sorted([main, last, first]) == [first, last, main]
    for one, other in ((django, last), (last, django)):
        assert one != other
        for compare in ("__lt__", "__le__", "__gt__", "__ge__"):
            with pytest.raises(InvalidInputError, match="neither comes before the other"):
                getattr(one, compare)(other)


@pytest.mark.parametrize(
    ("what", "django", "sqlalchemy"),
    [
        ("has_core_prefix", 49, 48),
        ("has_computer_labels", 48, 47),
        ("has_group_labels", 21, 18),
        ("has_link_types", 20, 17),
        ("has_node_type", 30, 30),
        ("has_uuid_columns", 18, 1),
        ("has_json_columns", 37, 1),
        ("has_long_settings", 1, 50),
    ],
)
def test_what_a_version_has_it_keeps(what: str, django: int, sqlalchemy: int) -> None:
    for line, since, last in (("django", django, 50), ("sqlalchemy", sqlalchemy, 51)):
        found = [getattr(SchemaVersion(line, number), what) for number in range(1, last + 1)]
        assert found == [number >= since for number in range(1, last + 1)]
    assert getattr(SchemaVersion("main", 1), what)
