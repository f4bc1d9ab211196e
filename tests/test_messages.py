"""How messages show what callers gave."""

import ast
import re
import sys
import unicodedata
from pathlib import Path

import pytest

import aiidadb
from aiidadb.messages import Secret, escape_odd, plural, printable, quote, shorten, show

SECRET = "s3cr@t:/?"


class Broken:
    def __repr__(self) -> str:
        raise ValueError("x" * 1000)

    __str__ = __repr__


def nested(depth: int) -> dict[str, object]:
    top: dict[str, object] = {}
    inner = top
    for _ in range(depth):
        inner["a"] = inner = {}
    return top


@pytest.mark.parametrize(
    "value",
    [
        "x" * 2**20,
        b"x" * 2**20,
        ["x" * 1000] * 1000,
        10**4000,
        10**5000,
        nested(5000),
        Broken(),
        type("N" * 1000, (), {})(),
        "\x00\x1b\n\ud800",
    ],
    ids=lambda value: type(value).__name__[:10],
)
def test_anything_can_be_quoted_on_one_short_line(value):
    for text in (quote(value), show(value)):
        assert len(text) <= 200
    assert quote(value).isprintable()


@pytest.mark.parametrize("value", ["", "silicon", "it's", 3, 2.5, None, True, ["a", 1], {"a": 1}])
def test_what_is_short_is_quoted_as_it_is(value):
    assert quote(value) == repr(value)


@pytest.mark.parametrize(
    "text",
    [
        f"postgresql://ada:{SECRET}@host/db",
        f"postgresql://ada:{'x' * 5000}{SECRET}@host/db",
        f"postgresql://ada@host/db?sslpassword={SECRET}",
        f"host=a password={SECRET}",
    ],
)
def test_no_password_of_a_uri_is_quoted(text):
    for quoted in (quote(text), quote([text]), quote({"dsn": text}), show(text)):
        assert SECRET not in quoted
        assert "xxx" not in quoted
    assert "ada" in quote(text) or "host" in quote(text)


def test_a_long_text_keeps_its_beginning_and_its_end():
    assert shorten("what happened" + "x" * 1000 + "what to do", 50).startswith("what happened")
    assert shorten("what happened" + "x" * 1000 + "what to do", 50).endswith("what to do")
    assert len(shorten("x" * 1000, 50)) == 50


def test_a_secret_shows_itself_only_to_who_takes_it_as_a_text():
    secret = Secret(SECRET)
    assert SECRET not in repr({"password": secret})
    assert secret == SECRET
    assert "".join(secret) == SECRET


def test_of_all_of_unicode_only_what_is_simply_shown_is_left_as_it_is():
    left = {
        character
        for character in map(chr, range(sys.maxunicode + 1))
        if escape_odd(character) == character
    }
    assert {unicodedata.category(one)[0] for one in left} == {"L", "M", "N", "P", "S", "Z"}
    assert left.isdisjoint("\u2028\u2029\x85\u202e\u2066\u200b\u200d\xad\ufeff\ud800\ue000")
    assert left.issuperset("a \xa0é中𝄞😀")


def test_an_escape_is_ascii_and_names_the_character():
    text = "a\x1b\x9b\u2028\U000e0001\udcff\n"
    assert escape_odd(text) == r"a\x1b\x9b\u2028\U000e0001\udcff\n"
    assert printable(f"{text}\tb") == "a" + r"\x1b\x9b\u2028\U000e0001\udcff" + "\n\tb"


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0 seconds"),
        (1, "1 second"),
        (1.0, "1 second"),
        (0.5, "0.5 seconds"),
        (140_000, "140,000 seconds"),
    ],
)
def test_one_thing_is_in_the_singular(number: float, text: str) -> None:
    assert plural(number, "second") == text


def test_no_log_counts_in_the_plural_alone() -> None:
    """``1 rows``: where a log counts, it does so by :func:`plural`."""
    for path in Path(aiidadb.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                assert not re.search(r"%d [a-z]+s\b", node.value), (path, node.lineno)
