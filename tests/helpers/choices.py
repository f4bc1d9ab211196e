"""Parameters of which each run of the tests takes some, and a thorough run all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from _pytest.mark import ParameterSet

__all__ = ["some_of"]


def some_of(values: Iterable[object], chosen: Collection[object]) -> list[object | ParameterSet]:
    """Parameters of one test, of which those that are not chosen are marked ``thorough``."""
    return [
        value if value in chosen else pytest.param(value, marks=pytest.mark.thorough)
        for value in values
    ]
