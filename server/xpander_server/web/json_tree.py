"""JSON as an expandable tree: plain HTML with `<details>` elements, limited in size."""

import json

from markupsafe import Markup, escape

from xpander_server.web.json_prefix import Container, Number, Value, read_prefix

MAX_NODES = 3_000
MAX_LEVELS = 40
MAX_TEXT_LENGTH = 4_000
"""Characters of one string or number."""
MAX_TEXT = 200_000
"""Characters of all strings, after which at most `_MIN_TEXT_LENGTH` characters of each are shown."""
_MIN_TEXT_LENGTH = 100
_MAX_JSON_TEXT = 100_000
"""Characters of a string that is read as JSON."""
_OPEN_LEVELS = 3
_OPEN_ITEMS = 20
"""Objects and arrays of the first levels are expanded, unless they have more items than this."""


def render_json_tree(text: str) -> Markup:
    """Return a JSON text as an HTML tree.

    A string that contains an object or an array as JSON text becomes a part of the tree; the strings within it do not.
    The tree contains at most `MAX_NODES` nodes and `MAX_LEVELS` levels, and states where it omits something.

    Args:
        text: JSON with at most 512 levels of nesting.
    """
    writer = _TreeWriter()
    writer.write(read_prefix(text, MAX_NODES), None, 0)
    if writer.is_truncated:
        writer.parts.append('<p class="truncated">Too large to show completely: see the JSON.</p>')
    return Markup("".join(writer.parts))  # noqa: S704 - every key and value was escaped


class _TreeWriter:
    def __init__(self) -> None:
        self.parts: list[str] = []
        self.is_truncated = False
        self._remaining_nodes = MAX_NODES
        self._remaining_characters = MAX_TEXT

    def write(self, value: Value, key: str | None, level: int, *, is_from_text: bool = False) -> None:
        self._remaining_nodes -= 1
        key_html = "" if key is None else f'<span class="key">{escape(key)}</span>'
        if isinstance(value, str) and not is_from_text and (document := _parse_text(value, self._remaining_nodes + 1)):
            self._write_container(
                document, f'{key_html}<span class="count">JSON text </span>', level, is_from_text=True
            )
            return
        if isinstance(value, Container) and not (value.is_complete and not value.items):
            self._write_container(value, key_html, level, is_from_text=is_from_text)
        else:
            self.parts.append(f'<div class="leaf">{key_html}{self._leaf(value)}</div>')

    def _write_container(self, value: Container, key_html: str, level: int, *, is_from_text: bool) -> None:
        size = len(value.items)
        is_open = level < _OPEN_LEVELS and size <= _OPEN_ITEMS
        noun, left, right = ("field", "{", "}") if value.is_object else ("item", "[", "]")
        if value.is_complete:
            count = f"{size:,} {noun}{'s' * (size > 1)}"
        else:
            count = f"more than {size:,} {noun}s"
            self.is_truncated = True
        summary = f'{key_html}<span class="count">{left}{count}{right}</span>'
        self.parts.append(f"<details{' open' * is_open}><summary>{summary}</summary>")
        if level >= MAX_LEVELS:
            self.parts.append('<p class="truncated">Too deep to show: see the JSON.</p>')
        else:
            for key, item in value.items:
                if self._remaining_nodes <= 0:
                    self.is_truncated = True
                    break
                self.write(item, key, level + 1, is_from_text=is_from_text)
        self.parts.append("</details>")

    def _leaf(self, value: Value) -> str:
        if isinstance(value, Number):
            return f'<span class="number">{escape(str(value)[:MAX_TEXT_LENGTH])}</span>'
        if isinstance(value, str):
            return self._string(value)
        if isinstance(value, Container):
            return f'<span class="literal">{"{}" if value.is_object else "[]"}</span>'
        return f'<span class="literal">{json.dumps(value)}</span>'

    def _string(self, value: str) -> str:
        shown = value[: max(_MIN_TEXT_LENGTH, min(MAX_TEXT_LENGTH, self._remaining_characters))]
        self._remaining_characters -= len(shown)
        omitted = len(value) - len(shown)
        plural = "s" if omitted > 1 else ""
        note = f'<span class="truncated">… {omitted:,} more character{plural}</span>' if omitted > 0 else ""
        return f'<span class="string">{escape(shown)}</span>{note}'


def _parse_text(text: str, max_values: int) -> Container | None:
    """Return the object or the array that a string contains as JSON, such as the arguments of a tool call."""
    if text[:1] not in ("{", "[") or len(text) > _MAX_JSON_TEXT or isinstance(text, Number):
        return None
    try:
        value = read_prefix(text, max_values)
    except ValueError:
        return None
    return value if isinstance(value, Container) and value.items else None
