"""Short texts and HTML tables of the SDK's objects, for consoles and notebooks.

No function of this module calls a method of a foreign object, and each limits the length of its result: the values are
data that others reported.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from enum import Enum
from typing import Any

MAX_REPR = 200  # characters
_MAX_VALUE = 48  # characters
_MAX_NESTED = 100  # characters
_MAX_ITEMS = 3
_MAX_CELL = 500  # characters
# Notebooks render $…$ as a formula unless the table has these classes. A formula can contain links.
_TABLE = '<table class="tex2jax_ignore mathjax_ignore">'
_CELL = 'style="text-align:left;white-space:pre-wrap"'


def shorten(text: str, length: int) -> str:
    """Return the text, cut to at most `length` characters with an ellipsis at its end."""
    return text if len(text) <= length else f"{text[: length - 1]}…"


def short_repr(class_name: str, values: Iterable[tuple[str, Any]]) -> str:
    """Return `class_name(name=value, …)` with at most `MAX_REPR` characters.

    Args:
        class_name: Name of the class.
        values: Names and values of the fields, the most important first. The last ones are left out if there is no
            room.
    """
    text = shorten(class_name, _MAX_VALUE) + "("
    separator = ""
    for name, value in values:
        part = f"{separator}{name}={_short_value(value)}"
        if len(text) + len(part) > MAX_REPR - len(", …)"):
            return f"{text}{separator}…)"
        text += part
        separator = ", "
    return f"{text})"


def _short_value(value: Any) -> str:
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, str):
        return shorten(repr(shorten(value, _MAX_VALUE)), _MAX_VALUE + 2)
    if value is None or isinstance(value, bool | float):
        return repr(value)
    if isinstance(value, int):
        return repr(value) if value.bit_length() <= 128 else "<int>"
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, list | tuple):
        items = [_short_value(item) for item in value[:_MAX_ITEMS]]
        return shorten(f"[{', '.join([*items, *(['…'] if len(value) > _MAX_ITEMS else [])])}]", _MAX_NESTED)
    if hasattr(type(value), "__attrs_attrs__"):  # an object of the SDK, whose repr is short too
        return shorten(repr(value), _MAX_NESTED)
    size = f" of {len(value)}" if isinstance(value, Mapping) else ""
    return f"<{shorten(type(value).__name__, _MAX_VALUE)}{size}>"


def html_table(caption: str, rows: Iterable[Sequence[str]], header: Sequence[str] = ()) -> str:
    """Return an HTML table without scripts.

    Args:
        caption: Text above the table.
        rows: Texts of the cells of each row. Each is escaped, and cut to 500 characters. Without a header, the first
            cell of each row is a heading.
        header: Headings of the columns.
    """
    head = f"<tr>{''.join(_cell('th', text) for text in header)}</tr>" if header else ""
    body = "".join(
        f"<tr>{_cell('td' if header else 'th', first)}{''.join(_cell('td', text) for text in others)}</tr>"
        for first, *others in rows
    )
    return f"{_TABLE}<caption {_CELL}>{_html(caption)}</caption>{head}{body}</table>"


def _cell(tag: str, text: str) -> str:
    return f"<{tag} {_CELL}>{_html(text)}</{tag}>"


def _html(text: str) -> str:
    from html import escape  # imported here: `import xpander_sdk` does not need it

    # Kernels send UTF-8, which has no lone surrogates; NUL is no character of HTML.
    text = shorten(text, _MAX_CELL).encode("utf-8", "replace").decode().replace("\0", "\ufffd")
    return escape(text, quote=True)
