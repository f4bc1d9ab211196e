"""``closest-parents``."""

from __future__ import annotations

import pytest


@pytest.mark.quick
def test_closest_parents_are_found(run, dsn):
    bands = [row["pk"] for row in run("bands", "list", "-A", "--dsn", dsn, "--json").json][:5]
    found = run("closest-parents", *bands, "--dsn", dsn, "--json").json
    assert set(found) <= {str(pk) for pk in bands}
    assert found
    told = run("closest-parents", *bands, 1, "--dsn", dsn).out.splitlines()
    assert told[1].split() == ["Node", "Closest"]
    assert told[2].split() == ["1", "none"]
    none = run("closest-parents", bands[0], "--link-type", "call_calc", "--dsn", dsn, "--json")
    assert none.json == {}
