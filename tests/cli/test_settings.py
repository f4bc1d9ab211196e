"""``settings``: in, out, and safe to look at."""

from __future__ import annotations

import json
import re

import pytest

from tests.helpers.command_line import fetch
from tests.helpers.terminal import on_terminal


@pytest.mark.quick
def test_settings_go_in_and_come_out(run, dsn):
    assert run("settings", "set", "neg", "-3", "--dsn", dsn).out == "neg = -3\n"
    value = {"a": [1, 3.0, None], "ü": "text"}
    kept = run("settings", "set", "odd|key", json.dumps(value), "--description", "d", "--dsn", dsn)
    assert kept.status == 0
    assert run("settings", "get", "odd|key", "--dsn", dsn).json == value
    whole = run("settings", "get", "odd|key", "--dsn", dsn, "--json").json
    assert (whole["key"], whole["value"], whole["description"]) == ("odd|key", value, "d")
    listed = run("settings", "list", "--dsn", dsn)
    assert re.search(r"^neg +-3 ", listed.out, re.MULTILINE)
    assert "odd|key" in {one["key"] for one in run("settings", "list", "--dsn", dsn, "--json").json}
    assert run("settings", "delete", "neg", "--dsn", dsn).out == "Deleted neg.\n"
    gone = run("settings", "get", "neg", "--dsn", dsn)
    assert (gone.status, gone.out) == (1, "")
    assert gone.err == "Error: there is no setting 'neg'\n"


def test_a_number_beyond_python_is_still_json(run, main_dsn):
    fetch(
        main_dsn,
        "insert into db_dbsetting (key, val, description, time) "
        "values ('huge', ('[' || repeat('9', 400) || '.5]')::jsonb, '', now())",
    )
    assert run("settings", "get", "huge", "--dsn", main_dsn).json == ["inf"]


def test_settings_that_python_cannot_hold_are_told(run, main_dsn):
    fetch(
        main_dsn,
        "insert into db_dbsetting (key, val, description, time) values "
        "('deep', (repeat('[', 12000) || repeat(']', 12000))::jsonb, '', '2024-05-17 09:30+00'), "
        "('late', '1', '', 'infinity'), "
        "('early', null, '', '0044-03-15 12:00+00 BC')",
    )
    listed = run("settings", "list", "--dsn", main_dsn)
    lines = {line.split()[0]: line for line in listed.out.splitlines() if line.strip()}
    assert "(the value is nested deeper than Python can read)" in lines["deep"]
    assert lines["deep"].endswith("2024-05-17 09:30")
    assert lines["late"].split() == ["late", "1", "infinity"]
    assert lines["early"].split() == ["early", "null", "0044-03-15", "12:00:00", "BC"]
    of_all = {one["key"]: one for one in run("settings", "list", "--dsn", main_dsn, "--json").json}
    assert of_all["deep"]["value"] is None
    assert of_all["deep"]["problem"] == "the value is nested deeper than Python can read"
    assert of_all["late"]["time"] is None
    got = run("settings", "get", "deep", "--dsn", main_dsn)
    assert (got.status, got.out) == (1, "")
    assert got.err.startswith("Error: the value of the setting 'deep' is nested deeper than")
    assert "`aiidadb settings set`" in got.err
    assert run("settings", "get", "late", "--dsn", main_dsn).json == 1
    assert run("settings", "set", "deep", "2", "--dsn", main_dsn).out == "deep = 2\n"
    assert run("settings", "get", "deep", "--dsn", main_dsn).json == 2
    assert run("settings", "delete", "early", "--dsn", main_dsn).status == 0


@pytest.mark.parametrize("depth", [300, 900, 950, 980, 1000])
def test_a_deep_value_is_printed_or_told(run, main_dsn, depth):
    fetch(
        main_dsn,
        "insert into db_dbsetting (key, val, description, time) values "
        f"('deep', (repeat('[', {depth}) || repeat(']', {depth}))::jsonb, '', now())",
    )
    got = run("settings", "get", "deep", "--dsn", main_dsn)
    listed = run("settings", "list", "--dsn", main_dsn)
    of_all = run("settings", "list", "--dsn", main_dsn, "--json")
    assert (listed.status, of_all.status) == (0, 0)
    if got.status == 0:  # Python 3.13 reads some 10,000 levels, earlier ones less than 1,000
        assert got.out.count("[") == depth
        assert "[[[[" in listed.out
        assert of_all.out.count("[") == depth + 1
    else:
        assert "nested deeper than Python can read" in got.err
        assert "(the value is nested deeper than Python can read)" in listed.out
    assert got.status == 0 or depth > 900


def test_text_from_the_database_cannot_draw(run, main_dsn):
    text = "[bold]:smile:\x1b]0;title\x07\n\u202e"
    run("settings", "set", "text", json.dumps(text), "--description", text, "--dsn", main_dsn)
    with on_terminal("settings", "list", "--dsn", main_dsn, columns=200) as terminal:
        assert terminal.finish() == 0
    assert r"[bold]:smile:\x1b]0;title\x07\n\u202e" in terminal.text
    assert "]0;title\x07" not in terminal.raw


KEYS = (
    "db|schemaversion",
    "workflows|campaign_of_2d_materials|state.of_each_step|relaxation",
    "averylongkeywithoutanyseparator" * 2,
)


def test_a_key_is_never_cut_inside_a_word(run, main_dsn):
    for key in KEYS:
        fetch(
            main_dsn,
            "insert into db_dbsetting (key, val, description, time) values "
            f"('{key}', to_jsonb(repeat('value ', 20)), repeat('what it is for ', 6), now())",
        )
    for columns in (40, 80, 120):
        with on_terminal("settings", "list", "--dsn", main_dsn, columns=columns) as terminal:
            assert terminal.finish() == 0
        lines = terminal.text.splitlines()
        words = {word for line in lines for word in re.split(r"[|._]|\s", line)}
        for key in KEYS:
            assert words.issuperset(re.split(r"[|._]", key)), columns
        assert all(len(line) <= max(columns, len(KEYS[2])) for line in lines)
        if columns == 120:
            assert {line.split()[0] for line in lines} >= set(KEYS)
    lines = run("settings", "list", "--dsn", main_dsn).out.splitlines()
    assert {line.split()[0] for line in lines[2:]} >= set(KEYS)
    assert len({line.index("what it is for") for line in lines[2:] if "what" in line}) == 1
