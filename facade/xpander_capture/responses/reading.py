"""Reading of values by name from dicts and from the objects of SDKs, without importing any SDK.

Each name is given in snake case and is also accepted in camel case. A value that cannot be read counts as absent: a
property that raises must not fail the caller, whose response is read as it is.
"""

import math
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

MAX_COUNT = 2**53 - 1
"""Largest count that is read. JSON parsers of other languages hold no larger integer exactly."""

MAX_ITEMS = 100_000
"""Largest number of items that are read from one list."""


def child(value: Any, name: str) -> Any:
    """Return the value with a name, or None.

    Args:
        value: Mapping or object.
        name: Key or attribute in snake case.
    """
    # A dict, which servers read from JSON for each report, is tested by its class: isinstance() of an ABC is slow.
    is_dict = type(value) is dict
    found = value.get(name) if is_dict else _child(value, name)
    if found is None and (camel := _camel_case(name)) != name:
        return value.get(camel) if is_dict else _child(value, camel)
    return found


def at(value: Any, path: str) -> Any:
    """Return the value at a dotted path of names, or None.

    Example:
        >>> at({"usage": {"promptTokens": 3}}, "usage.prompt_tokens")
        3
    """
    for name in path.split("."):
        if value is None:
            return None
        value = child(value, name)
    return value


def text(value: Any) -> str | None:
    """Return a str that is not empty, or the text of an enum's member; None for any other value."""
    if value is None or type(value) is str:  # most values
        return value or None
    if isinstance(value, str):
        value = getattr(value, "value", value)  # the member of a str enum
        return value if isinstance(value, str) and value else None
    member = getattr(value, "value", None) if hasattr(type(value), "__members__") else None
    return member if isinstance(member, str) and member else None


def count(value: Any) -> int | None:
    """Return a count from an int, a whole float or a text of digits; None for any other value.

    Programs in JavaScript and Go write counts as floats and as texts.
    """
    if value is None or isinstance(value, bool):
        return None
    if isinstance(value, str):
        if not (value.isascii() and value.isdigit()) or len(value) > len(str(MAX_COUNT)):
            return None
        value = int(value)
    if isinstance(value, float):
        if not math.isfinite(value) or value != math.floor(value):
            return None
        value = int(value)
    return value if isinstance(value, int) and 0 <= value <= MAX_COUNT else None


def items(value: Any) -> list[Any]:
    """Return the items of a list or tuple, at most `MAX_ITEMS`; an empty list for any other value."""
    return list(value[:MAX_ITEMS]) if isinstance(value, list | tuple) else []


def texts(value: Any) -> Iterator[str]:
    """Yield the texts of a content: a str, or a list of parts with a `text`. Parts of reasoning are left out."""
    if (whole := text(value)) is not None:
        yield whole
        return
    for part in items(value):
        if isinstance(part, str):
            yield part
        elif text(child(part, "type")) not in ("thinking", "reasoning") and (inner := text(child(part, "text"))):
            yield inner


def join(parts: Iterator[str] | list[str]) -> str | None:
    """Return the concatenated texts; None if there are none."""
    return "".join(parts) or None


def is_record(value: Any) -> bool:
    """Return whether a value has names: a mapping, or an object that is no text, number, list or class."""
    if type(value) is dict or isinstance(value, Mapping):
        return True
    return not (
        value is None
        or isinstance(value, str | bytes | bytearray | int | float | complex | list | tuple | set | frozenset | type)
    )


def _child(value: Any, name: str) -> Any:
    try:
        if isinstance(value, Mapping):
            return value.get(name)
        if not is_record(value):
            return None
        for attributes in (getattr(value, "__dict__", None), _extra(value, "extra"), _extra(value, "private")):
            if isinstance(attributes, dict) and name in attributes:
                return attributes[name]
        # Only names that the class declares: an object that answers every name, such as a mock, states nothing.
        for cls in type(value).__mro__:
            if name in vars(cls):
                found = getattr(value, name)
                return None if callable(found) else found
    except Exception:  # a property of the caller's object failed
        return None
    return None


def _extra(value: Any, kind: str) -> Any:
    """Return the fields that pydantic keeps beside `__dict__`: undeclared ones and private ones."""
    return getattr(value, f"__pydantic_{kind}__", None) if hasattr(type(value), "__pydantic_fields__") else None


@lru_cache(maxsize=1_024)
def _camel_case(name: str) -> str:
    first, *words = name.split("_")
    return first + "".join(word.capitalize() for word in words)
