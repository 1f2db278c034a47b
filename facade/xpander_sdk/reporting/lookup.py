"""Reading of values from mappings and objects by dotted path, so that dicts and SDK objects are handled alike."""

from collections.abc import Mapping
from typing import Any

MISSING: Any = object()
"""Result of `look_up` for a path that does not exist."""


def look_up(value: Any, path: str) -> Any:
    """Return the value at a dotted path of keys and attributes, or `MISSING`.

    Example:
        >>> look_up({"function": {"name": "search"}}, "function.name")
        'search'
    """
    for name in path.split("."):
        try:
            value = value.get(name, MISSING) if isinstance(value, Mapping) else getattr(value, name, MISSING)
        except Exception:  # a property of the caller's object failed
            return MISSING
    return value


def first_text(value: Any, paths: tuple[str, ...]) -> str | None:
    """Return the first non-empty str among the values at the paths, or None."""
    for path in paths:
        text = look_up(value, path)
        if isinstance(text, str) and text:
            return text
    return None
