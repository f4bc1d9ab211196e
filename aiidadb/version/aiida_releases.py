"""Which releases of AiiDA open which version of the schema.

A release opens the version that it was made for and no other, except that those of a minor version
share one where no step came in between. Looked up in the releases of aiida-core: the last step that
each brings along.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aiidadb.version.schema_version import MAIN_HEAD, SchemaVersion

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["no_way_back", "releases_for"]

_FIRST_OF_MAIN: Final = SchemaVersion("main", 1)

_RELEASES: Final[Mapping[SchemaVersion, str]] = {
    SchemaVersion("django", 2): "0.5 and 0.6",
    SchemaVersion("django", 3): "0.7",
    SchemaVersion("django", 4): "0.8 and 0.9",
    SchemaVersion("django", 7): "0.10 and 0.11.0",
    SchemaVersion("django", 8): "0.11.1 to 0.12",
    SchemaVersion("django", 12): "1.0.0a1 and 1.0.0a2",
    SchemaVersion("django", 14): "1.0.0a3",
    SchemaVersion("django", 15): "1.0.0a4",
    SchemaVersion("django", 30): "1.0.0b1",
    SchemaVersion("django", 33): "1.0.0b2 and 1.0.0b3",
    SchemaVersion("django", 36): "1.0.0b4",
    SchemaVersion("django", 40): "1.0.0b5 and 1.0.0b6",
    SchemaVersion("django", 42): "1.0.0",
    SchemaVersion("django", 43): "1.0.1 to 1.1",
    SchemaVersion("django", 44): "1.2 and 1.3",
    SchemaVersion("django", 45): "1.4 to 1.6",
    SchemaVersion("sqlalchemy", 1): "0.7 to 0.9",
    SchemaVersion("sqlalchemy", 4): "0.10 and 0.11.0",
    SchemaVersion("sqlalchemy", 5): "0.11.1 to 0.12.2",
    SchemaVersion("sqlalchemy", 6): "0.12.3 to 0.12.5",
    SchemaVersion("sqlalchemy", 10): "1.0.0a1",
    SchemaVersion("sqlalchemy", 11): "1.0.0a2",
    SchemaVersion("sqlalchemy", 12): "1.0.0a3",
    SchemaVersion("sqlalchemy", 13): "1.0.0a4",
    SchemaVersion("sqlalchemy", 31): "1.0.0b1",
    SchemaVersion("sqlalchemy", 33): "1.0.0b2 and 1.0.0b3",
    SchemaVersion("sqlalchemy", 36): "1.0.0b4",
    SchemaVersion("sqlalchemy", 39): "1.0.0b5 and 1.0.0b6",
    SchemaVersion("sqlalchemy", 41): "1.0.0",
    SchemaVersion("sqlalchemy", 42): "1.0.1 to 1.1",
    SchemaVersion("sqlalchemy", 43): "1.2 and 1.3",
    SchemaVersion("sqlalchemy", 44): "1.4 to 1.6",
    _FIRST_OF_MAIN: "2.0 to 2.3",
    MAIN_HEAD: "2.4 to 2.9",
}


def releases_for(version: SchemaVersion) -> str | None:
    """The releases of AiiDA that open a database of a version.

    Returns:
        Such as ``2.0 to 2.3``; None where no release does, as for most versions between two
        releases.
    """
    return _RELEASES.get(version)


def no_way_back(version: SchemaVersion, target: SchemaVersion) -> str:
    """What a migration means for the releases of AiiDA in use, in two or three sentences.

    Args:
        version: The version that the database has.
        target: The version that it will have.
    """
    said = [
        f"{version} can be opened by {_named(version)}, {target} by {_named(target)}.",
        "There is no way back but a backup.",
    ]
    if version < _FIRST_OF_MAIN < target:
        said.append(f"For AiiDA {_RELEASES[_FIRST_OF_MAIN]}, migrate to {_FIRST_OF_MAIN} instead.")
    return " ".join(said)


def _named(version: SchemaVersion) -> str:
    releases = releases_for(version)
    return "no release of AiiDA" if releases is None else f"AiiDA {releases}"
