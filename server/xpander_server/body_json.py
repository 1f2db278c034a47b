"""JSON decoder for request bodies, with the contract's limits.

A decoder holds Python's global lock, so no other request is handled while it runs. Decoding is therefore bounded: a
large body is scanned in pieces first, and the decoder runs only if the body contains few enough values and digits. The
server decodes bodies with many values in another process (`api.body_reader`).
"""

import gc
import json
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import msgspec

from xpander_server.http.errors import HTTPError

MAX_DEPTH = 512
"""The contract's limit for nested arrays and objects in a body."""
MAX_VALUES = 1_000_000
"""The contract's limit for elements of arrays and members of objects in a body. An empty one counts as one more."""
MAX_BATCH_VALUES = 1_000_000
"""The contract's limit for the values in the body of a batch."""
MAX_LONG_DIGITS = 64 * 1024
"""The contract's limit for the digits of all numbers in a body that have more than 100 digits."""
LARGE_BODY_BYTES = 64 * 1024
"""Size above which a body is decoded outside the event loop. A smaller body takes at most a few milliseconds."""
_PIECE_BYTES = 64 * 1024
_MAX_BATCH_DEPTH = 768
"""Levels of a batch above which it is refused as a whole. Python's limit for recursion stops the decoder soon after."""
_BRACKETS = bytes.maketrans(b"{}", b"[]")
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_LONG_NUMBER = re.compile(rb"(?<![0-9])[0-9]{101,}")
_TOO_DEEP = f"The body is nested deeper than {MAX_DEPTH} levels."


class TooManyValues(HTTPError):
    """A body has more values than permitted.

    Args:
        max_values: Number of values that are permitted.
    """

    def __init__(self, max_values: int) -> None:
        super().__init__(400, f"The body contains more than {max_values:,} values.")


def decode_json(body: bytes, max_values: int = MAX_VALUES) -> object:
    """Return the value of a JSON text.

    Args:
        body: Text in UTF-8.
        max_values: Number of values that a large body may contain.

    Raises:
        HTTPError: 400 if the text is not JSON, or exceeds a limit.
    """
    if len(body) <= LARGE_BODY_BYTES:
        return _decode(body)
    _check_digits(body, max_values)
    # A collection while the decoder creates objects finds nothing and takes longer than the decoder.
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        return _decode(body)
    finally:
        if was_enabled:
            gc.enable()


def split_array(body: bytes, name: str, max_items: int, max_values: int = MAX_BATCH_VALUES) -> list[bytes] | None:
    """Return the JSON texts of the elements of an array, which is the only member of the object in a JSON text.

    Args:
        body: The JSON text.
        name: The name of the member.
        max_items: The largest number of elements.
        max_values: The largest number of values.

    Returns:
        The texts; None if the text is JSON, but not such an object.

    Raises:
        HTTPError: 400 if the text is not JSON; 413 if it has too many elements or values.
        TooManyValues: It has more than `max_values` values.
    """
    values, brackets = 0, b""
    for outside in _outside_strings(body):
        values += _count_values(outside)
        brackets += outside.translate(_BRACKETS, _NO_BRACKETS)
    if values > MAX_BATCH_VALUES:
        raise HTTPError(413, f"The batch contains more than {MAX_BATCH_VALUES:,} values.")
    if values > max_values:
        raise TooManyValues(max_values)
    if not _is_shallow(brackets):
        raise HTTPError(400, _TOO_DEEP)
    try:
        items: list[msgspec.Raw] = getattr(_array_decoder(name).decode(body), name)
    except msgspec.ValidationError:
        return None
    except RecursionError:  # brackets without their counterparts
        raise HTTPError(400, _TOO_DEEP) from None
    except (msgspec.DecodeError, ValueError) as error:
        raise HTTPError(400, _reason(body, error)) from None
    if len(items) > max_items:
        raise HTTPError(413, f"The batch has more than {max_items} reports.")
    return [bytes(item) for item in items]


@cache
def _array_decoder(name: str) -> "msgspec.json.Decoder[Any]":
    struct = msgspec.defstruct("_Array", [(name, list[msgspec.Raw])], forbid_unknown_fields=True)
    return msgspec.json.Decoder(struct)


def _is_shallow(brackets: bytes) -> bool:
    """Return whether brackets have at most `_MAX_BATCH_DEPTH` levels, or do not match, which the decoder reports."""
    for _ in range(_MAX_BATCH_DEPTH):
        outer = brackets.replace(b"[]", b"")  # without the innermost level
        if len(outer) == len(brackets):
            return True
        brackets = outer
    return not brackets


def _check_digits(body: bytes, max_values: int) -> None:
    """Check the number of values and digits in a large body."""
    values, long_digits = 0, 0
    for outside in _outside_strings(body):
        values += _count_values(outside)
        if values > max_values:
            raise TooManyValues(max_values)
        long_digits += sum(map(len, _LONG_NUMBER.findall(outside)))
        if long_digits > MAX_LONG_DIGITS:
            raise HTTPError(400, "The body contains too many numbers with more than 100 digits.")


def _count_values(outside: bytes) -> int:
    return outside.count(b",") + outside.count(b"[") + outside.count(b"{")


def _outside_strings(body: bytes) -> Iterator[bytes]:
    """Yield the parts of a body that are outside of its strings, in pieces.

    Other threads can run between two pieces. A piece may start within a string, or after the backslash of an escape.
    Where the scan reads a text otherwise than the decoder would, the text is not JSON, and the decoder stops there.
    """
    is_in_string, escape = False, b""
    for start in range(0, len(body), _PIECE_BYTES):
        piece = escape + body[start : start + _PIECE_BYTES]
        piece = piece.replace(b"\\\\", b"").replace(b'\\"', b"")
        escape = b"\\" if piece.endswith(b"\\") else b""
        parts = piece.removesuffix(escape).split(b'"')
        yield b'"'.join(parts[is_in_string::2])
        is_in_string ^= len(parts) % 2 == 0


def _decode(body: bytes) -> object:
    try:
        value: object = msgspec.json.decode(body)
    except RecursionError:
        raise HTTPError(400, _TOO_DEEP) from None
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError) as error:
        raise HTTPError(400, _reason(body, error)) from None
    # The number of brackets bounds the depth. Counting them is much faster than a traversal, which is rarely needed.
    if body.count(b"[") + body.count(b"{") > MAX_DEPTH and _depth(value) > MAX_DEPTH:
        raise HTTPError(400, _TOO_DEEP)
    return value


def _reason(body: bytes, error: Exception) -> str:
    """Return why msgspec rejects a body: it is not JSON at all, or JSON that only lenient parsers accept."""
    constants: list[str] = []
    try:
        value = json.loads(body, parse_constant=constants.append)
        if constants:
            return f"The body contains {constants[0]}, which is not JSON."
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return "The body contains a lone surrogate, such as \\ud800 without the second half of its pair."
    except (ValueError, RecursionError):
        return f"The body is not valid JSON: {error}."
    return "The body contains a number out of range."


def _depth(value: object) -> int:
    depth, level = 0, [value]
    while level := [item for item in level if isinstance(item, dict | list)]:
        depth += 1
        level = [child for item in level for child in (item.values() if isinstance(item, dict) else item)]
    return depth
