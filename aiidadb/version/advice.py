"""What to do about a database whose version is not the one needed."""

from __future__ import annotations

from typing import Final

__all__ = ["USE_A_NEWER_AIIDADB", "advice_to_migrate"]

USE_A_NEWER_AIIDADB: Final = "a newer AiiDA made it; use a newer aiidadb"


def advice_to_migrate(*, is_open: bool = True) -> dict[str, str]:
    """What to do about a database of an older version.

    Args:
        is_open: Whether the caller has opened it, whatever its version.

    Returns:
        The arguments ``advice`` and ``command_advice`` of an error.
    """
    migrate = "bring it up to date with `aiidadb migrate`"
    call = "call" if is_open else "open it with schema_check=False and call"
    return {"advice": f"{migrate}, or {call} backend.schema.migrate()", "command_advice": migrate}
