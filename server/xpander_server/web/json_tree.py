"""JSON as a tree that folds: plain HTML, within bounds, every text of it escaped."""

import json
from typing import Any

from markupsafe import Markup, escape

MAX_NODES = 3_000
MAX_LEVELS = 40
MAX_TEXT = 4_000  # characters of one string
_OPEN_LEVELS = 3
_OPEN_ITEMS = 20


class _Number(str):
    """A number, digit for digit as it was reported."""


def render_json_tree(text: str) -> Markup:
    """The tree of a JSON text; what goes beyond the bounds is told, not shown.

    Args:
        text: JSON, with 512 levels at the most.
    """
    value = json.loads(text, parse_float=_Number, parse_int=_Number)
    writer = _Writer()
    writer.write(value, None, 0)
    if writer.left < 0:
        writer.out.append('<p class="bound">More than fits here: see the whole as JSON.</p>')
    return Markup("".join(writer.out))  # noqa: S704 - what is not ours in it is escaped


class _Writer:
    def __init__(self) -> None:
        self.out: list[str] = []
        self.left = MAX_NODES

    def write(self, value: Any, key: str | None, level: int) -> None:
        self.left -= 1
        name = "" if key is None else f'<span class="key">{escape(key)}</span>'
        if isinstance(value, (dict, list)) and value:
            self._write_container(value, name, level)
        else:
            self.out.append(f'<div class="leaf">{name}{_leaf(value)}</div>')

    def _write_container(self, value: dict[str, Any] | list[Any], name: str, level: int) -> None:
        is_open = level < _OPEN_LEVELS and len(value) <= _OPEN_ITEMS
        kind = ("field", "{", "}") if isinstance(value, dict) else ("item", "[", "]")
        count = f"{len(value):,} {kind[0]}{'s' * (len(value) > 1)}"
        preview = f'<span class="count">{kind[1]}{count}{kind[2]}</span>'
        self.out.append(f"<details{' open' * is_open}><summary>{name}{preview}</summary>")
        if level >= MAX_LEVELS:
            self.out.append('<p class="bound">Deeper than fits here: see the whole as JSON.</p>')
        else:
            items = (
                value.items() if isinstance(value, dict) else ((str(index), item) for index, item in enumerate(value))
            )
            for key, item in items:
                if self.left <= 0:
                    self.left = -1
                    break
                self.write(item, key, level + 1)
        self.out.append("</details>")


def _leaf(value: Any) -> str:
    if isinstance(value, _Number):
        return f'<span class="number">{escape(str(value)[:MAX_TEXT])}</span>'
    if isinstance(value, str):
        more = len(value) - MAX_TEXT
        told = f'<span class="bound">… {more:,} characters more</span>' if more > 0 else ""
        return f'<span class="string">{escape(value[:MAX_TEXT])}</span>{told}'
    if value is None or isinstance(value, bool):
        return f'<span class="literal">{json.dumps(value)}</span>'
    return f'<span class="literal">{"{}" if isinstance(value, dict) else "[]"}</span>'
