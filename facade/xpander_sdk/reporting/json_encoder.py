"""Anything → JSON, within bounds, without ever raising.

Plain JSON passes as it is. What the official client can encode comes out as it does there; all else that a program may
hold (exceptions, cycles, bytes that are no text, SDK objects) comes out as something that a reader can make sense of.

Bounds: 400 levels of nesting, 1,000,000 values in all, integers of 4,299 digits. Beyond them a short text stands in.
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

from xpander_sdk.reporting.validation import replace_surrogates

MAX_LEVELS = 400
MAX_VALUES = 1_000_000
MAX_BITS = 14_280  # the most whose decimal digits Python and our server still read: 4,299
TOO_DEEP = "<left out: nested too deeply>"
TOO_MANY = "<left out: too many values>"
CYCLE = "<left out: contains itself>"
_MAX_REPR = 1_000
_SMALL = 1 << 64


def to_jsonable(value: Any) -> Any:
    """`value` as dicts, lists, str, int, finite float, bool and None.

    Example:
        >>> to_jsonable({"at": datetime(2026, 1, 2), "seen": {1}, "ratio": float("nan")})
        {'at': '2026-01-02T00:00:00', 'seen': [1], 'ratio': None}
    """
    # A caller that is itself deep in the stack leaves less room: then less of the nesting is kept.
    for levels in (MAX_LEVELS, MAX_LEVELS // 4, MAX_LEVELS // 16):
        try:
            encoder = _Encoder(levels)
            encoded = encoder.encode(value, 0)
            if encoder.deepest > MAX_LEVELS // 16:
                json.dumps(encoded)  # it needs the same room
            return encoded
        except RecursionError:
            continue
    return TOO_DEEP


class _Encoder:
    def __init__(self, levels: int) -> None:
        self._levels = levels
        self._left = MAX_VALUES
        self._inside: set[int] = set()
        self.deepest = 0

    def encode(self, value: Any, level: int) -> Any:
        # Plain JSON takes this path alone: one call a value.
        kind = type(value)  # not __class__, behind which mocks and proxies hide
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
        mark = id(value)
        if left_out := self._enter(mark, level):
            return left_out
        self._left -= len(value)
        if self._left < 0:
            return TOO_MANY
        encoded: Any
        # Most of what there is is ASCII text or None, which are not worth a call.
        if kind is dict:
            encoded = {
                key if type(key) is str and key.isascii() else self._key(key): (
                    item if item is None or (type(item) is str and item.isascii()) else self.encode(item, level + 1)
                )
                for key, item in value.copy().items()  # another thread may be filling it
            }
        else:
            encoded = [item if type(item) is str and item.isascii() else self.encode(item, level + 1) for item in value]
        self._inside.discard(mark)
        return encoded

    def _enter(self, mark: int, level: int) -> str | None:
        if level >= self._levels:
            return TOO_DEEP
        if mark in self._inside:
            return CYCLE
        self._inside.add(mark)
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
            return _described(key) if encoded == TOO_DEEP else encoded
        return json.dumps(encoded)

    def _other(self, value: Any, level: int) -> Any:
        try:
            for kinds, convert in _SCALARS:
                if isinstance(value, kinds):
                    return self.encode(convert(value), level)
            if any(base.__module__ in _WRITTEN for base in type(value).__mro__):
                return self.encode(str(value), level)
            content = self._content(value)
        except RecursionError:
            raise
        except Exception:  # whatever an object of the caller's raises: its text stands in
            content = None
        if content is None:
            return _described(value)
        # The object itself is marked, not what was made of it for the moment: that is what a cycle comes back to.
        mark = id(value)
        if left_out := self._enter(mark, level):
            return left_out
        encoded = self._array(content, level) if isinstance(content, Iterator) else self.encode(content, level)
        self._inside.discard(mark)
        return encoded

    def _array(self, items: Iterator[Any], level: int) -> list[Any]:
        """What an iterator gives: it may have no end, so each item is counted as it comes."""
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
            self._left -= 1
            if self._left < 0:
                return [*encoded, TOO_MANY]
            encoded.append(self.encode(item, level + 1))

    def _content(self, value: Any) -> Any:
        """What an object holds, as something plainer; None where it has no structure to show."""
        if isinstance(value, Mapping):
            return dict(islice(value.items(), max(0, self._left) + 1))
        for unfold in _UNFOLDINGS:
            content = unfold(value)
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


def _moment(value: datetime | time) -> str:
    written = value.isoformat()
    return written.removesuffix("+00:00") + "Z" if written.endswith("+00:00") else written


def _timedelta(value: timedelta) -> str:
    """ISO 8601, as in -P1DT2.5S; a year has 365 days."""
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


# Subclasses and kindred of the plain types, in the order in which they are tried.
_SCALARS: tuple[tuple[Any, Callable[[Any], Any]], ...] = (
    (Enum, lambda value: value.value),
    (str, str.__str__),
    (UserString, str),
    (int, lambda value: int.__int__(value)),
    (float, float.__float__),
    ((datetime, time), _moment),
    (date, date.isoformat),
    (timedelta, _timedelta),
    ((bytes, bytearray, memoryview), _bytes),
    (complex, lambda value: str(value + 0).strip("()").replace("nan", "NaN")),
    (re.Pattern, lambda value: str(value.pattern)),
    (BaseException, _exception),
)

# Modules whose values are best told by how they are written: ids, addresses, paths, exact numbers.
_WRITTEN = frozenset({"uuid", "ipaddress", "pathlib", "pathlib._local", "fractions", "decimal", "_decimal", "zoneinfo"})


def _pydantic(value: Any) -> Any:
    if hasattr(type(value), "__pydantic_serializer__") and hasattr(value, "model_dump"):
        # As JSON first: it knows the model's own serialisers. By field name, as the official client does it.
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
    # What a class keeps out of its repr (a key) has no place in a record either.
    return {
        field.name: field.repr(getattr(value, field.name)) if callable(field.repr) else getattr(value, field.name)
        for field in fields
        if field.repr
    }


def _own_method(value: Any) -> Any:
    """What provider SDKs offer: to_dict, as_dict, tolist (numpy, pandas)."""
    if isinstance(value, type):
        return None
    for name in ("model_dump", "to_dict", "as_dict", "tolist"):
        method = getattr(value, name, None)
        if callable(method):
            content = method()
            # A mock answers everything with another mock.
            if isinstance(content, dict | list | str | int | float):
                return content
    return None


_UNFOLDINGS: tuple[Callable[[Any], Any], ...] = (_pydantic, _dataclass, _own_method, _attrs)


def _attributes(value: Any) -> dict[str, Any] | None:
    """The public attributes of an object that is none of the program's machinery."""
    if isinstance(value, type) or callable(value) or type(value).__module__ == "builtins":
        return None
    names = [*getattr(value, "__dict__", {}), *getattr(type(value), "__slots__", ())]
    return {name: getattr(value, name) for name in names if not name.startswith("_") and hasattr(value, name)}


def _described(value: Any) -> str:
    """The text of something that has no structure to show."""
    try:
        return replace_surrogates(str(value))[:_MAX_REPR]
    except Exception:
        return f"<{type(value).__qualname__}>"
