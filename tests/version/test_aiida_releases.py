"""Which releases of AiiDA open which version, and what is said of it before a migration."""

from __future__ import annotations

import pytest

from aiidadb.migration.steps import STEPS
from aiidadb.version.aiida_releases import no_way_back, releases_for
from aiidadb.version.schema_version import DJANGO_HEAD, MAIN_HEAD, SchemaVersion
from aiidadb.version.sqlalchemy_revisions import REVISIONS

pytestmark = pytest.mark.quick


def test_the_heads_of_all_releases_are_known_and_versions_between_are_nobody_s() -> None:
    known = [
        *STEPS,
        *(SchemaVersion("sqlalchemy", number) for number in range(1, len(REVISIONS) + 1)),
    ]
    opened = {str(version): releases_for(version) for version in known if releases_for(version)}
    assert opened.keys() == {
        *(
            f"1.0.{number}"
            for number in (2, 3, 4, 7, 8, 12, 14, 15, 30, 33, 36, 40, 42, 43, 44, 45)
        ),
        *(
            REVISIONS[number - 1]
            for number in (1, 4, 5, 6, 10, 11, 12, 13, 31, 33, 36, 39, 41, 42, 43, 44)
        ),
        "main_0001",
        "main_0002",
    }
    assert releases_for(DJANGO_HEAD) == "1.4 to 1.6"
    assert releases_for(SchemaVersion("django", 50)) is None


def test_what_is_said_before_a_migration() -> None:
    old, first, between = (
        SchemaVersion("django", 4),
        SchemaVersion("main", 1),
        SchemaVersion("django", 46),
    )
    assert no_way_back(old, MAIN_HEAD) == (
        "1.0.4 can be opened by AiiDA 0.8 and 0.9, main_0002 by AiiDA 2.4 to 2.9. There is no way "
        "back but a backup. For AiiDA 2.0 to 2.3, migrate to main_0001 instead."
    )
    assert no_way_back(between, first) == (
        "1.0.46 can be opened by no release of AiiDA, main_0001 by AiiDA 2.0 to 2.3. There is no "
        "way back but a backup."
    )
    assert "instead" not in no_way_back(first, MAIN_HEAD)
