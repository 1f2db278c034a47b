"""Conversion of the argument `metadata`: pairs of texts that the caller defines."""

from collections.abc import Mapping
from enum import Enum
from numbers import Real
from typing import Any
from uuid import UUID

from xpander_sdk.reporting.validation import describe, has_control_characters, parse_str, replace_surrogates

MAX_PAIRS = 64
MAX_NAME = 64  # characters
MAX_VALUE = 512  # characters


def parse_metadata(name: str, value: Any) -> dict[str, str]:
    """Return the pairs; those with the value None are left out.

    Values may be texts, numbers, booleans ("true", "false"), UUIDs and enums.

    Raises:
        ValueError: A name or a value is invalid, or there are too many pairs.
    """
    if not isinstance(value, Mapping):
        raise ValueError(f"{name} must be a mapping of names to texts or None, got {describe(value)}")
    pairs = {
        parse_pair_name(name, key): _parse_value(f"{name}[{str(key)[:MAX_NAME]!r}]", text)
        for key, text in value.items()
        if text is not None
    }
    if len(pairs) > MAX_PAIRS:
        raise ValueError(f"{name} must contain at most {MAX_PAIRS} pairs, got {len(pairs)}")
    return pairs


def parse_pair_name(name: str, key: Any) -> str:
    """Return the name of a pair: 1 to 64 characters, without "=" and control characters."""
    text = parse_str(f"each name in {name}", key)
    if not text or len(text) > MAX_NAME:
        raise ValueError(f"each name in {name} must have 1 to {MAX_NAME} characters, got {describe(key)}")
    if "=" in text or has_control_characters(text):
        raise ValueError(f"each name in {name} must not contain '=' or control characters, got {describe(key)}")
    return text


def _parse_value(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, UUID) or (isinstance(value, Real) and not isinstance(value, Enum)):
        value = str(value)
    text = parse_str(name, value) or ""
    if len(text) > MAX_VALUE:
        raise ValueError(f"{name} must have at most {MAX_VALUE} characters, got {len(text)}")
    return replace_surrogates(text)
