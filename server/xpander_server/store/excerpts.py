"""Excerpts: the database cuts long texts, so that a list of tasks never reads whole documents."""

from typing import Any

import msgspec
from sqlalchemy import Column, ColumnElement, Dialect, Text, TypeDecorator, func, type_coerce

_LONGEST_ESCAPE = 12  # characters: a surrogate pair such as \ud83d\ude00


class Excerpt(str):
    """Start of a longer text."""

    __slots__ = ()


class _ExcerptType(TypeDecorator[Any]):
    """First characters of a string that is stored as JSON.

    Args:
        characters: Characters of JSON that are read.
        max_bytes: Largest number of bytes of the decoded text in UTF-8; None for no limit.
        ending: Characters at the end of a text that was cut.
    """

    impl = Text
    cache_ok = True

    def __init__(self, characters: int, max_bytes: int | None, ending: str) -> None:
        super().__init__()
        self.characters = characters
        self.max_bytes = max_bytes
        self.ending = ending

    def process_result_value(self, value: str | None, dialect: Dialect) -> str | None:
        """Decode the text; a text that was cut becomes an `Excerpt`."""
        if value is None:
            return None
        text = decode_start(value, self.characters)
        if self.max_bytes is not None and len(encoded := text.encode()) > self.max_bytes:
            text = Excerpt(encoded[: self.max_bytes].decode(errors="ignore"))
        return Excerpt(text + self.ending) if self.ending and isinstance(text, Excerpt) else text


def excerpt(
    column: Column[Any], characters: int, *, max_bytes: int | None = None, ending: str = ""
) -> ColumnElement[Any]:
    """Return an SQL expression for the start of a column with a JSON string; it has the name of the column.

    Args:
        column: The column.
        characters: Characters of JSON to read.
        max_bytes: Largest number of bytes of the decoded text in UTF-8; None for no limit.
        ending: Characters at the end of a text that was cut.
    """
    text_type = _ExcerptType(characters, max_bytes, ending)
    return type_coerce(first_characters(column, characters), text_type).label(column.name)


def first_characters(column: Column[Any], characters: int) -> ColumnElement[Any]:
    """Return an SQL expression for the first characters of the JSON text in a column."""
    return func.substr(type_coerce(column, Text), 1, characters)


def decode_start(text: str, characters: int) -> str:
    """Return the string that a JSON string starts with.

    Args:
        text: The first `characters` characters of a JSON string, or all of a shorter one. The cut may be within an
            escape sequence.
        characters: The length at which the JSON string was cut.

    Returns:
        The decoded string: an `Excerpt` if the JSON string was cut.

    Example:
        >>> decode_start('"short"', 300)
        'short'
    """
    if len(text) < characters:
        whole: str = msgspec.json.decode(text)
        return whole
    for removed in range(_LONGEST_ESCAPE):
        try:
            part: str = msgspec.json.decode(text[: len(text) - removed] + '"')
        except msgspec.DecodeError:
            continue
        return Excerpt(part)
    raise AssertionError("unreachable: no escape sequence is longer")
