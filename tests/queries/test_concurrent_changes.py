"""Deletions in opposite order, and rows that are put in beside deletions: round after round."""

from __future__ import annotations

from typing import Final

import pytest

ROUNDS: Final = [20, pytest.param(300, marks=[pytest.mark.thorough, pytest.mark.timeout(3000)])]
