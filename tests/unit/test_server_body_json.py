"""Limits of the JSON decoder for request bodies, at the borders of the pieces that it scans."""

import json
import random

import pytest

from xpander_server.body_json import LARGE_BODY_BYTES, decode_json
from xpander_server.http.errors import HTTPError

MAX_VALUES = 100_000
STRINGS = ["", "a", ",", "[{", '"', "\\", '\\"', '",', "\\\\", 'x"y,z', "é" * 50, "\n\t", "[" * 200]


def random_body(seed: int, values: int) -> bytes:
    """Return a large JSON array with the given number of values, most of them strings with special characters."""
    generator = random.Random(seed)
    items: list[object] = []
    while values > 3:
        kind = generator.randrange(10)
        if kind == 0:
            items.append([])  # an element, and one more for an empty array
            values -= 2
        elif kind == 1:
            items.append({generator.choice(STRINGS): generator.choice(STRINGS)})
            values -= 2
        elif kind == 2:
            items.append([1, None])
            values -= 3
        else:
            items.append(generator.choice(STRINGS))
            values -= 1
    items += [0] * values
    return json.dumps(items, ensure_ascii=generator.random() < 0.5).encode()


@pytest.mark.parametrize("seed", range(30))
def test_values_are_counted_exactly(seed: int):
    body = random_body(seed, MAX_VALUES)
    assert len(body) > LARGE_BODY_BYTES
    assert decode_json(body, MAX_VALUES) == json.loads(body)
    with pytest.raises(HTTPError) as error_info:
        decode_json(random_body(seed, MAX_VALUES + 1), MAX_VALUES)
    assert error_info.value.detail == "The body contains more than 100,000 values."


@pytest.mark.parametrize("offset", range(8))
def test_escape_at_end_of_piece(offset: int):
    body = b'["%s%s", 1]' % (b"a" * (LARGE_BODY_BYTES - offset), rb"\\\"," * MAX_VALUES)
    assert decode_json(body, MAX_VALUES) == json.loads(body)


@pytest.mark.parametrize(("digits", "count", "is_valid"), [(100, 5_000, True), (101, 648, True), (101, 700, False)])
def test_digits_of_long_numbers_are_limited(digits: int, count: int, is_valid: bool):
    body = b"[" + (b"9" * digits + b",") * count + b"1]"
    if is_valid:
        assert decode_json(body) == json.loads(body)
    else:
        with pytest.raises(HTTPError, match="400"):
            decode_json(body)
