"""Fast encoding of values that are JSON already; `json_encoder` is the reference for all others.

`is_plain` finds out without a call per value whether a value consists of dicts with text keys, lists, tuples, str, int,
float, bool and None only: exactly these types, no subclasses. `encode` then writes it in one pass, with orjson if the
extra `fast` is installed, and else with the encoder of the standard library. Whatever these refuse goes through the
reference: lone surrogates, NaN without orjson, integers of more than 64 bits, a change by another thread meanwhile.

orjson alone would not be safe. It copies the content of `orjson.Fragment` unchecked into the result, and writes a list
that contains the same list many times, and so on, until the memory is exhausted.
"""

import gc
import json
from collections.abc import Callable
from typing import Any

from xpander_sdk.reporting.json_encoder import MAX_VALUES, to_jsonable

try:
    import orjson
except ImportError:
    orjson = None  # type: ignore[assignment]  # the extra `fast` is not installed

_MAX_LEVELS = 240  # orjson refuses more than 254, and the body of a report adds one.
_SMALL = 1 << 64
_CONTAINERS = frozenset({dict, list, tuple})
_TYPES = _CONTAINERS | {str, int, float, bool, type(None)}

# The levels of nesting are limited, so the encoder need not look for cycles.
_encoder = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), check_circular=False)
_reference = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def is_plain(value: Any) -> bool:
    """Return whether `encode` may write the value directly: JSON types only, within the limits of `json_encoder`."""
    kind = type(value)
    if kind not in _CONTAINERS:
        return kind in _TYPES and (kind is not int or -_SMALL < value < _SMALL)
    containers = [value]
    remaining = MAX_VALUES
    for _ in range(_MAX_LEVELS):
        count = sum(map(len, containers))
        remaining -= count
        if remaining < 0:
            return False
        # All values of one level of nesting, in one call. A dict with only text keys refers to its values, and any
        # other dict to its keys as well, so the number tells them apart.
        values = gc.get_referents(*containers)
        if len(values) != count:
            return False
        kinds = set(map(type, values))
        if not kinds <= _TYPES or (orjson is None and int in kinds and _has_long_integer(values)):
            return False
        if kinds.isdisjoint(_CONTAINERS):
            return True
        containers = [item for item in values if type(item) in _CONTAINERS]
    return False


def _has_long_integer(values: list[Any]) -> bool:
    # The standard encoder writes integers of more digits than a decoder accepts; orjson refuses them.
    integers = [value for value in values if type(value) is int]
    return max(integers) >= _SMALL or min(integers) <= -_SMALL


def encode(body: dict[str, Any]) -> bytes:
    """Return compact JSON, as UTF-8.

    Args:
        body: Values by text key: values for which `is_plain` is true, or results of `to_jsonable`.
    """
    try:
        return _encode_natively(body)
    except (TypeError, ValueError, RecursionError):
        return _reference.encode({name: to_jsonable(value) for name, value in body.items()}).encode()


def _encode_with_standard_library(body: dict[str, Any]) -> bytes:
    return _encoder.encode(body).encode()


_encode_natively: Callable[[dict[str, Any]], bytes] = _encode_with_standard_library
if orjson is not None:
    _OPTIONS = orjson.OPT_PASSTHROUGH_SUBCLASS | orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME
    _dumps = orjson.dumps

    def _encode_with_orjson(body: dict[str, Any]) -> bytes:
        return _dumps(body, None, _OPTIONS)

    _encode_natively = _encode_with_orjson
