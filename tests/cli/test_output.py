"""Answers on terminals and in pipes."""

from __future__ import annotations

import io
import json
import sys
import unicodedata

import pytest

from aiidadb.cli.output.json_output import echo_json
from tests.helpers.command_line import fetch
from tests.helpers.terminal import on_terminal, piped

ODD = "a\x1b]0;title\x07\x7f\x85\x9b31m\u2028\u2029\u202e\u2066\u200b\ufeff\U000e0001z"


def odd_ones(text: str) -> set[str]:
    """What a text has that a terminal does not simply show, but for the ends of lines."""
    odd = {one for one in text if unicodedata.category(one)[0] == "C" or one in "\u2028\u2029"}
    return odd - {"\n"}


def test_on_a_terminal_lines_fit_and_headings_are_bold(run, main_campaign):
    run("settings", "set", "key", "1", "--dsn", main_campaign)
    for arguments in (
        ["stats"],
        ["bands", "list", "-A"],
        ["settings", "list"],
        ["closest-parents", "8", "9"],
        ["nodes", "delete", "8", "--no-follow", "--dry-run"],
    ):
        with on_terminal(*arguments, "--dsn", main_campaign) as terminal:
            assert terminal.finish() == 0
        assert "\x1b[1m" in terminal.raw
        for line in terminal.text.splitlines():
            assert len(line.rpartition("\r")[2]) <= 80, line


def test_a_narrow_terminal_folds_what_is_long(main_dsn):
    run_piped = piped("settings", "set", "key", json.dumps("word " * 12), "--dsn", main_dsn,
                      "--description", "one of several words " * 4)  # fmt: skip
    assert run_piped.returncode == 0
    with on_terminal("settings", "list", "--dsn", main_dsn, columns=60) as terminal:
        assert terminal.finish() == 0
    assert all(len(line.rpartition("\r")[2]) <= 60 for line in terminal.text.splitlines())
    wide = piped("settings", "list", "--dsn", main_dsn).stdout
    assert "one of several words one of several words" in wide


@pytest.mark.quick
def test_piped_there_are_no_colours_and_no_progress(main_campaign):
    done = piped("closest-parents", "1", "2", "--dsn", main_campaign)
    assert (done.returncode, done.stderr) == (0, "")
    assert "\x1b" not in done.stdout


@pytest.mark.quick
@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_json_of_all_of_unicode_is_shown_and_read_back(monkeypatch, encoding):
    everything = "".join(map(chr, range(sys.maxunicode + 1)))
    # Two halves of a pair would be read as one character.
    value = [everything[:0xDC00], {everything[0xDC00:]: everything[:128]}]
    out = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr(sys, "stdout", out)
    echo_json(value)
    out.seek(0)
    shown = out.read()
    assert odd_ones(shown) == set()
    assert json.loads(shown) == value


@pytest.mark.quick
def test_nothing_in_a_database_draws_in_any_answer(run, main_campaign):
    """Text from the database is shown with escapes in tables, values, JSON, errors and prompts."""
    quoted = "'" + ODD + "'"
    as_json = json.dumps(ODD)
    fetch(
        main_campaign,
        "insert into db_dbsetting (key, val, description, time) "
        f"values ({quoted}, '{as_json}'::jsonb, {quoted}, now())",
    )
    fetch(main_campaign, f"update db_dbnode set label = {quoted}")
    fetch(main_campaign, f"update db_dbnode set node_type = {quoted} where id = 1")
    in_tables = ODD.encode("unicode_escape").decode()
    for words, form in (
        (["settings", "list"], in_tables),
        (["settings", "get", ODD], None),
        (["settings", "set", ODD, as_json], in_tables),
        (["stats"], in_tables),
        (["bands", "list", "-A"], in_tables),
        (["nodes", "delete", "1", "--dry-run"], in_tables),
        (["settings", "delete", ODD], in_tables),
        (["settings", "get", ODD], in_tables),  # there is none any more
    ):
        for switch in ([], ["--json"]) if words[0] != "settings" or words[1] != "delete" else ([],):
            told = run(*words, *switch, "--dsn", main_campaign)
            assert odd_ones(told.out + told.err) == set(), words
            if form is None and told.status == 0:
                assert ODD in (told.json, *told.json) or told.json["value"] == ODD
            elif form is not None and not switch:
                assert form in told.out + told.err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["bands", "list", "-A"], "No band structures.\n"),
        (["bands", "list", "-A", "--raw"], ""),
        (["stats"], "No nodes.\n"),
        (["settings", "list"], "No settings.\n"),
    ],
)
@pytest.mark.quick
def test_where_nothing_is_found_no_empty_table_is_drawn(run, bare_dsn, arguments, sentence):
    told = run(*arguments, "--dsn", bare_dsn)
    assert (told.status, told.out, told.err) == (0, sentence, "")
    assert run(*arguments, "--dsn", bare_dsn, "--json").status == 0
