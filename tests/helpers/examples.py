"""How many examples hypothesis draws, where that is not what the profile says."""

from __future__ import annotations

from typing import Final

from hypothesis import settings

__all__ = ["QUICK", "examples"]

QUICK: Final = 50
"""How many the profile ``quick`` draws."""


def examples(count: int) -> int:
    """As many examples in the profile ``quick``, and more in proportion in ``thorough``."""
    return count * settings().max_examples // QUICK
