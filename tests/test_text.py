"""Text that PostgreSQL cannot hold is refused by name, any other given back."""

import pytest

from aiidadb.exceptions import InvalidInputError
from aiidadb.text import require_text

pytestmark = pytest.mark.quick


@pytest.mark.parametrize("text", ["", "plain", "é\U0001f600", "\n\t\x01"])
def test_text_is_given_back_as_it_is(text):
    assert require_text(text, "the label") == text


class Sly(str):
    """A text that does not say what is in it."""

    def __contains__(self, part):
        return False

    def encode(self, *_):
        return b""


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a\x00", "NUL"),
        ("\ud800", "lone surrogate"),
        (Sly("a\x00"), "NUL"),
        (Sly("\ud800"), "lone surrogate"),
    ],
)
def test_what_cannot_be_stored_is_refused_by_name(text, reason):
    with pytest.raises(InvalidInputError, match=f"^the label holds a {reason}"):
        require_text(text, "the label")
