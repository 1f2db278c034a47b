"""JSON as an expandable tree: plain HTML with `<details>` elements, limited in size."""

import json
from typing import Any

from markupsafe import Markup, escape

MAX_NODES = 3_000
MAX_LEVELS = 40
MAX_TEXT_LENGTH = 4_000
"""Characters of one string or number."""
_MAX_JSON_TEXT = 100_000
"""Characters of a string that is read as JSON."""
_OPEN_LEVELS = 3
_OPEN_ITEMS = 20
"""Objects and arrays of the first levels are expanded, unless they have more items than this."""


class _Number(str):
    """A number with the digits of the JSON text."""


def render_json_tree(text: str) -> Markup:
    """Return a JSON text as an HTML tree.

    A string that contains an object or an array as JSON text becomes a part of the tree; the strings within it do not.
    The tree contains at most `MAX_NODES` nodes and `MAX_LEVELS` levels, and states where it omits something.

    Args:
        text: JSON with at most 512 levels of nesting.
    """
    value = json.loads(text, parse_float=_Number, parse_int=_Number)
    writer = _TreeWriter()
    writer.write(value, None, 0)
    if writer.is_truncated:
        writer.parts.append('<p class="truncated">Too large to show completely: see the JSON.</p>')
    return Markup("".join(writer.parts))  # noqa: S704 - every key and value was escaped


class _TreeWriter:
    def __init__(self) -> None:
        self.parts: list[str] = []
        self.is_truncated = False
        self._remaining_nodes = MAX_NODES

    def write(self, value: Any, key: str | None, level: int, *, is_from_text: bool = False) -> None:
        self._remaining_nodes -= 1
        key_html = "" if key is None else f'<span class="key">{escape(key)}</span>'
        if isinstance(value, str) and not is_from_text and (document := _parse_text(value)):
            self._write_container(
                document, f'{key_html}<span class="count">JSON text </span>', level, is_from_text=True
            )
            return
        if isinstance(value, (dict, list)) and value:
            self._write_container(value, key_html, level, is_from_text=is_from_text)
        else:
            self.parts.append(f'<div class="leaf">{key_html}{_leaf(value)}</div>')

    def _write_container(
        self, value: dict[str, Any] | list[Any], key_html: str, level: int, *, is_from_text: bool
    ) -> None:
        is_open = level < _OPEN_LEVELS and len(value) <= _OPEN_ITEMS
        noun, left, right = ("field", "{", "}") if isinstance(value, dict) else ("item", "[", "]")
        count = f"{len(value):,} {noun}{'s' * (len(value) > 1)}"
        summary = f'{key_html}<span class="count">{left}{count}{right}</span>'
        self.parts.append(f"<details{' open' * is_open}><summary>{summary}</summary>")
        if level >= MAX_LEVELS:
            self.parts.append('<p class="truncated">Too deep to show: see the JSON.</p>')
        else:
            items = (
                value.items() if isinstance(value, dict) else ((str(index), item) for index, item in enumerate(value))
            )
            for key, item in items:
                if self._remaining_nodes <= 0:
                    self.is_truncated = True
                    break
                self.write(item, key, level + 1, is_from_text=is_from_text)
        self.parts.append("</details>")


def _parse_text(text: str) -> dict[str, Any] | list[Any] | None:
    """Return the object or the array that a string contains as JSON, such as the arguments of a tool call."""
    if text[:1] not in ("{", "[") or len(text) > _MAX_JSON_TEXT or isinstance(text, _Number):
        return None
    try:
        value = json.loads(text, parse_float=_Number, parse_int=_Number)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, (dict, list)) else None


def _leaf(value: Any) -> str:
    if isinstance(value, _Number):
        return f'<span class="number">{escape(str(value)[:MAX_TEXT_LENGTH])}</span>'
    if isinstance(value, str):
        omitted = len(value) - MAX_TEXT_LENGTH
        plural = "s" if omitted > 1 else ""
        note = f'<span class="truncated">… {omitted:,} more character{plural}</span>' if omitted > 0 else ""
        return f'<span class="string">{escape(value[:MAX_TEXT_LENGTH])}</span>{note}'
    if value is None or isinstance(value, bool):
        return f'<span class="literal">{json.dumps(value)}</span>'
    return f'<span class="literal">{"{}" if isinstance(value, dict) else "[]"}</span>'
