"""Calls that need a deep stack, where the caller has used most of it."""

import inspect
import json
import sys

import pytest

from aiidadb.fresh_stack import on_fresh_stack


def deep_in_the_stack(frames: int, function, *arguments):
    return deep_in_the_stack(frames - 1, function, *arguments) if frames else function(*arguments)


def test_a_deep_value_is_read_wherever_the_caller_is():
    text = "[" * 300 + "]" * 300
    used = len(inspect.stack(0))
    frames = sys.getrecursionlimit() - used - 100
    with pytest.raises(RecursionError):
        deep_in_the_stack(frames, json.loads, text)
    assert deep_in_the_stack(frames, on_fresh_stack, json.loads, text) == json.loads(text)


def test_what_is_too_deep_for_any_stack_is_told():
    with pytest.raises(RecursionError):
        on_fresh_stack(json.loads, "[" * 100_000 + "]" * 100_000)


def test_the_functions_own_errors_pass():
    with pytest.raises(ZeroDivisionError):
        on_fresh_stack(lambda: 1 / 0)
