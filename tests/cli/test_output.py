"""Answers on terminals and in pipes."""

from __future__ import annotations

import json

import pytest

from tests.helpers.terminal import on_terminal, piped


def test_on_a_terminal_lines_fit_and_headings_are_bold(main_campaign):
    for arguments in (["stats"], ["bands", "list", "-A"], ["settings", "list"]):
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
