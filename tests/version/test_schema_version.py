"""Versions are compared with versions."""

from __future__ import annotations

from typing import Any

import pytest

from aiidadb import SchemaVersion

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
