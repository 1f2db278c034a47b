"""Conversion of any Python object to JSON, within limits and without exceptions.

JSON values are not changed. Objects that the official client can encode have the same form as there. All other objects
(exceptions, cycles, bytes that are not text, objects of a provider's SDK) become a readable equivalent. Responses,
streams and files that can be read only once are described and not read.

Limits: 400 levels of nesting, 1,000,000 values, integers of 4,299 digits. A short text replaces what exceeds them.
"""

import base64
import dataclasses
import json
import math
import re
from collections import UserString
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date, datetime, time, timedelta
from enum import Enum
from itertools import islice
from typing import Any

from xpander_sdk.reporting.read_once import describe_http, describe_stream
from xpander_sdk.reporting.validation import replace_surrogates

MAX_LEVELS = 400
MAX_VALUES = 1_000_000
MAX_BITS = 14_280  # 4,299 decimal digits: the longest integers that Python and our server parse
TOO_DEEP = "<left out: nested too deeply>"
TOO_MANY = "<left out: too many values>"
CYCLE = "<left out: contains itself>"
_MAX_REPR = 1_000
_SMALL = 1 << 64


def to_jsonable(value: Any) -> Any:
    """Return the value as dicts, lists, str, int, finite float, bool and None.

    Example:
        >>> to_jsonable({"at": datetime(2026, 1, 2), "seen": {1}, "ratio": float("nan")})
        {'at': '2026-01-02T00:00:00', 'seen': [1], 'ratio': None}
    """
    # The stack may be nearly exhausted when this function is called. Then fewer levels of nesting are kept.
    for levels in (MAX_LEVELS, MAX_LEVELS // 4, MAX_LEVELS // 16):
        try:
            encoder = _Encoder(levels)
            encoded = encoder.encode(value, 0)
            if encoder.deepest > MAX_LEVELS // 16:
                json.dumps(encoded)  # test: the caller's json.dumps needs as much stack
            return encoded
        except RecursionError:
            continue
    return TOO_DEEP


class _Encoder:
    """Encoder of one value.

    Attributes:
        deepest: Number of levels of nesting in the result.
    """

    def __init__(self, levels: int) -> None:
        self._levels = levels
        self._remaining = MAX_VALUES
        self._parents: set[int] = set()  # ids of the containers around the current value, to detect cycles
        self.deepest = 0

    def encode(self, value: Any, level: int) -> Any:
        # JSON values take this path only, with one call per value.
        kind = type(value)  # not __class__, which mocks and proxies replace
        if kind is str:
            return value if value.isascii() else replace_surrogates(value)
        if value is None or value is True or value is False:
            return value
        if kind is int:
            return value if -_SMALL < value < _SMALL else _integer(value)
        if kind is float:
            return value if math.isfinite(value) else None
        if kind is not dict and kind is not list and kind is not tuple:
            return self._other(value, level)
        object_id = id(value)
        if placeholder := self._enter(object_id, level):
            return placeholder
        self._remaining -= len(value)
        if self._remaining < 0:
            return TOO_MANY
        encoded: Any
        # Most values are ASCII text or None: they are handled inline, because a call takes longer.
        if kind is dict:
            encoded = {
                key if type(key) is str and key.isascii() else self._key(key): (
                    item if item is None or (type(item) is str and item.isascii()) else self.encode(item, level + 1)
                )
                for key, item in value.copy().items()  # another thread may change it meanwhile
            }
        else:
            encoded = [item if type(item) is str and item.isascii() else self.encode(item, level + 1) for item in value]
        self._parents.discard(object_id)
        return encoded

    def _enter(self, object_id: int, level: int) -> str | None:
        if level >= self._levels:
            return TOO_DEEP
        if object_id in self._parents:
            return CYCLE
        self._parents.add(object_id)
        if level >= self.deepest:
            self.deepest = level + 1
        return None

    def _key(self, key: Any) -> str:
        if isinstance(key, Enum):
            return self._key(key.value)
        if isinstance(key, tuple):
            return ",".join(self._key(part) for part in key)
        encoded = self.encode(key, self._levels)
        if encoded is None:
            return "None"
        if isinstance(encoded, str):
            return _as_text(key) if encoded == TOO_DEEP else encoded
        return json.dumps(encoded)

    def _other(self, value: Any, level: int) -> Any:
        try:
            for kinds, convert in _SCALARS:
                if isinstance(value, kinds):
                    return self.encode(convert(value), level)
            if any(base.__module__ in _MODULES_AS_TEXT for base in type(value).__mro__):
                return self.encode(str(value), level)
            content = self._content(value)
        except RecursionError:
            raise
        except Exception:  # a method of the caller's object failed: use its text
            content = None
        if content is None:
            return _as_text(value)
        # The id of the object itself, not that of its content, which is a temporary: cycles lead back to the object.
        object_id = id(value)
        if placeholder := self._enter(object_id, level):
            return placeholder
        encoded = self._array(content, level) if isinstance(content, Iterator) else self.encode(content, level)
        self._parents.discard(object_id)
        return encoded

    def _array(self, items: Iterator[Any], level: int) -> list[Any]:
        """Return the items of an iterator. It may be infinite, so each item is counted when it arrives."""
        encoded: list[Any] = []
        while True:
            try:
                item = next(items)
            except StopIteration:
                return encoded
            except RecursionError:
                raise
            except Exception as error:
                return [*encoded, f"<left out: {type(error).__name__}>"]
            self._remaining -= 1
            if self._remaining < 0:
                return [*encoded, TOO_MANY]
            encoded.append(self.encode(item, level + 1))

    def _content(self, value: Any) -> Any:
        """Return the content of an object as a simpler value, or None if it has no structure."""
        http_message = describe_http(value)
        if http_message is not None:
            return http_message
        if isinstance(value, Mapping):
            return dict(islice(value.items(), max(0, self._remaining) + 1))
        for convert in _OBJECT_CONVERTERS:
            content = convert(value)
            if content is not None:
                return content
        if isinstance(value, Iterable) and not isinstance(value, type):
            return iter(value)
        return _attributes(value) or None


def _integer(value: int) -> int | str:
    return value if value.bit_length() <= MAX_BITS else hex(value)


def _bytes(value: bytes | bytearray | memoryview) -> str:
    raw = bytes(value)
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return base64.b64encode(raw).decode("ascii")


def _datetime(value: datetime | time) -> str:
    text = value.isoformat()
    return text.removesuffix("+00:00") + "Z" if text.endswith("+00:00") else text


def _timedelta(value: timedelta) -> str:
    """Return ISO 8601, for example -P1DT2.5S; a year has 365 days."""
    sign, value = ("-", -value) if value < timedelta() else ("", value)
    minutes, seconds = divmod(value.seconds, 60)
    hours, minutes = divmod(minutes, 60)
    years, days = divmod(value.days, 365)
    fraction = f".{value.microseconds:06}".rstrip("0") if value.microseconds else ""
    calendar = "".join(f"{count}{unit}" for count, unit in ((years, "Y"), (days, "D")) if count)
    clock = "".join(f"{count}{unit}" for count, unit in ((hours, "H"), (minutes, "M")) if count)
    if seconds or fraction or not (calendar or clock):
        clock += f"{seconds}{fraction}S"
    return f"{sign}P{calendar}{'T' if clock else ''}{clock}"


def _exception(value: BaseException) -> dict[str, Any]:
    return {"type": type(value).__qualname__, "message": str(value), "arguments": list(value.args)}


# Conversion of subclasses and relatives of the JSON types. The first match applies.
_SCALARS: tuple[tuple[Any, Callable[[Any], Any]], ...] = (
    (Enum, lambda value: value.value),
    (str, str.__str__),
    (UserString, str),
    (int, lambda value: int.__int__(value)),
    (float, float.__float__),
    ((datetime, time), _datetime),
    (date, date.isoformat),
    (timedelta, _timedelta),
    ((bytes, bytearray, memoryview), _bytes),
    (complex, lambda value: str(value + 0).strip("()").replace("nan", "NaN")),
    (re.Pattern, lambda value: str(value.pattern)),
    (BaseException, _exception),
)

# Modules whose objects are converted with str(): ids, addresses, paths, exact numbers.
_MODULES_AS_TEXT = frozenset(
    {"uuid", "ipaddress", "pathlib", "pathlib._local", "fractions", "decimal", "_decimal", "zoneinfo"}
)


def _pydantic(value: Any) -> Any:
    if hasattr(type(value), "__pydantic_serializer__") and hasattr(value, "model_dump"):
        # JSON mode first: it applies the model's serializers. By field name, as in the official client.
        try:
            return value.model_dump(mode="json", by_alias=False, warnings=False)
        except Exception:
            return value.model_dump(by_alias=False, warnings=False)
    return None


def _dataclass(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    return None


def _attrs(value: Any) -> Any:
    fields = getattr(type(value), "__attrs_attrs__", None)
    if fields is None:
        return None
    # A field that a class excludes from its repr, for example a key, is excluded here too.
    return {
        field.name: field.repr(getattr(value, field.name)) if callable(field.repr) else getattr(value, field.name)
        for field in fields
        if field.repr
    }


def _conversion_method(value: Any) -> Any:
    """Call the conversion method of a provider's SDK, numpy or pandas: to_dict, as_dict, tolist."""
    if isinstance(value, type):
        return None
    for name in ("model_dump", "to_dict", "as_dict", "tolist"):
        method = getattr(value, name, None)
        if callable(method):
            content = method()
            # A mock has every method, and returns another mock.
            if isinstance(content, dict | list | str | int | float):
                return content
    return None


_OBJECT_CONVERTERS: tuple[Callable[[Any], Any], ...] = (
    _pydantic,
    _dataclass,
    describe_stream,
    _conversion_method,
    _attrs,
)


def _attributes(value: Any) -> dict[str, Any] | None:
    """Return the public attributes of an object; None for types, functions and built-in objects."""
    if isinstance(value, type) or callable(value) or type(value).__module__ == "builtins":
        return None
    names = [*getattr(value, "__dict__", {}), *getattr(type(value), "__slots__", ())]
    return {name: getattr(value, name) for name in names if not name.startswith("_") and hasattr(value, name)}


def _as_text(value: Any) -> str:
    """Return str(value), shortened; the name of its type if that fails."""
    try:
        return replace_surrogates(str(value))[:_MAX_REPR]
    except Exception:
        return f"<{type(value).__qualname__}>"
