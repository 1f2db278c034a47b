"""Values of attributes: JSON texts, counts and names in the forms that different exporters write."""

import json
import json.encoder
import math
from collections.abc import Callable
from typing import Any

MAX_COUNT = 10**12
"""Largest count of tokens that is believed: the contract's maximum of a count."""
MAX_NUMBER = 1e9
"""Largest cost that is believed: the contract's maximum."""
MAX_NAME = 255
"""Characters of a name or an id; the contract accepts no more."""
MAX_TEXT = 1_000_000
"""Characters of a text; longer ones are cut, because a report has at most 4 MiB."""
_MAX_JSON = 4 * 1024 * 1024
_JSON_SPACES = " \t\n\r"
_STARTS, _TEXT_STARTS = ("[", "{"), ("[", "{", '"')
_NUMBER, _NAME = (int, float), (str, int)  # isinstance() would create `int | float` at each call

_decode = json.JSONDecoder().raw_decode  # `json.loads` looks for spaces and byte order marks first, which takes longer

_encoder = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


def _make_encoder() -> Callable[[Any], str]:
    """Return `json`'s encoder in C, made once: `JSONEncoder.encode` makes one for each call, which takes longer."""
    try:
        # Without the search for cycles, which values of JSON and of attributes cannot have.
        arguments = (None, _encoder.default, json.encoder.encode_basestring, None, ":", ",", False, False, True)
        encode = getattr(json.encoder, "c_make_encoder")(*arguments)  # noqa: B009 - no public name, so no type
        encode({"": [0.5, "", None]}, 0)
    except (AttributeError, TypeError):  # an interpreter without it, or with other arguments
        return _encoder.encode
    return lambda value: "".join(encode(value, 0))


encode_json = _make_encoder()
"""Function that returns a value as JSON text without spaces, with the characters as they are."""


def parse_json(value: Any, *, is_text: bool = False) -> Any:
    """Return the value of a JSON text of a list or an object; return any other value unchanged.

    Args:
        value: Value of an attribute.
        is_text: Whether the JSON text of a text, with quotation marks around it, is parsed as well.
    """
    if not isinstance(value, str):
        return value
    text = value.strip(_JSON_SPACES)
    if not text.startswith(_TEXT_STARTS if is_text else _STARTS) or len(value) > _MAX_JSON:
        return value
    try:
        parsed, end = _decode(text)
    except (ValueError, RecursionError):
        return value
    return parsed if end == len(text) else value


def read_count(value: Any) -> int | None:
    """Return a count that is an integer, a double or a text ("22118"); None for every other value."""
    if isinstance(value, str):
        try:
            value = float(value) if "." in value or "e" in value.lower() else int(value)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, _NUMBER):
        return None
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return int(value) if 0 <= value <= MAX_COUNT else None


def read_number(value: Any) -> float | None:
    """Return a number from 0 to `MAX_NUMBER`, also if it is a text; None for every other value."""
    try:
        number = None if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if number is not None and 0 <= number <= MAX_NUMBER else None


def read_name(value: Any) -> str | None:
    """Return a name or an id as text without control characters; None if there is none."""
    if isinstance(value, bool) or not isinstance(value, _NAME):
        return None
    text = str(value)
    if not text.isprintable():
        text = "".join(character for character in text if character.isprintable())
    text = text.strip()
    return (text if len(text) <= MAX_NAME else text[:MAX_NAME].strip()) or None


def clean_text(text: str | None) -> str | None:
    """Return a text with at most `MAX_TEXT` characters, and without parts of characters, which UTF-8 cannot encode."""
    if text is None:
        return None
    return text[:MAX_TEXT].encode("utf-8", "replace").decode()


def look_up(value: Any, path: tuple[str, ...]) -> Any:
    """Return the value under the keys of `path`, or None. A number is the position in a list."""
    for key in path:
        value = parse_json(value)
        if isinstance(value, dict):
            value = value.get(key)
        elif isinstance(value, list) and key.isdecimal() and int(key) < len(value):
            value = value[int(key)]
        else:
            return None
    return value
