"""The generation of AiiDA's schema, in which versions are counted: there has been one so far."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aiidadb.exceptions import InvalidInputError, InvalidTypeError
from aiidadb.messages import quote

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiidadb.version.database_version import Bookkeeping
    from aiidadb.version.schema_version import SchemaVersion

__all__ = ["GENERATION", "noted_generation", "reset_version"]

GENERATION: Final = "1"
"""The only generation of the schema so far; a new one would restart the numbers of versions."""

_VERSION_RESET: Final[Mapping[str, SchemaVersion | None]] = {GENERATION: None}


def noted_generation(bookkeeping: Bookkeeping) -> str:
    """The generation that a database records; the first where it records none, or no number."""
    noted = bookkeeping.settings.get("schema_generation")
    try:
        return str(int(noted or GENERATION))
    except ValueError:
        return GENERATION


def reset_version(generation: str) -> SchemaVersion | None:
    """The version at which a database can move to a generation; None for the first.

    Raises:
        InvalidInputError: There is no such generation.
    """
    is_text = isinstance(generation, str)
    if is_text and generation in _VERSION_RESET:
        return _VERSION_RESET[generation]
    raise (InvalidInputError if is_text else InvalidTypeError)(
        f"{quote(generation)} is not a generation of AiiDA's schema: there is {GENERATION!r}"
    )
