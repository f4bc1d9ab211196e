"""Pks as ``string_agg(int4send(pk), '')`` sends them: four bytes each instead of a row each."""

from __future__ import annotations

import sys
from array import array

__all__ = ["pks_of_bytes"]


def pks_of_bytes(data: bytes | None) -> array[int]:
    """Integers of four bytes, the highest byte first, as PostgreSQL sends them; None for none."""
    pks = array("i", data or b"")
    if sys.byteorder == "little":
        pks.byteswap()
    return pks
