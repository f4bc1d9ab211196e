"""JSON text for the server: of the same value, whatever that is."""

import json

import hypothesis
import pytest

from aiidadb.jsonvalue import encode_json
from tests.helpers.json_values import JSON, same

pytestmark = pytest.mark.quick


@hypothesis.given(JSON)
def test_the_text_is_json_of_the_same_value(value):
    assert same(json.loads(encode_json(value)), value)
