"""A JSON value as a tree, folded below a depth."""

import json
from collections.abc import Iterable
from typing import Any

from rich.text import Text
from rich.tree import Tree

from xpander_sdk.cli.common import printable

_MOST_ITEMS, _MOST_TEXT = 100, 2_000
_STYLES = {str: "green", int: "cyan", float: "cyan", bool: "magenta", type(None): "dim"}


def tree(name: str, value: Any, depth: int) -> Tree:
    """The value below its name; what is deeper than `depth` levels is counted, not shown.

    So are the items of a list or an object beyond 100, and what a text has beyond 2,000 characters.
    """
    root = Tree(_label(name, value, depth > 0), guide_style="dim")
    _grow(root, value, depth)
    return root


def _grow(branch: Tree, value: Any, depth: int) -> None:
    if depth <= 0:
        return
    named = _named(value)
    for number, (name, child) in enumerate(named):
        if number == _MOST_ITEMS:
            branch.add(Text(f"… {len(value) - number:,} more", style="dim"))
            return
        _grow(branch.add(_label(name, child, depth > 1)), child, depth - 1)


def _named(value: Any) -> Iterable[tuple[str, Any]]:
    if isinstance(value, dict):
        return value.items()
    return ((str(number), child) for number, child in enumerate(value)) if isinstance(value, list) else ()


def _label(name: str, value: Any, is_open: bool) -> Text:
    label = Text(printable(name), style="bold")
    if isinstance(value, dict | list):
        unit = ("key", "keys") if isinstance(value, dict) else ("item", "items")
        told = f"{len(value):,} {unit[len(value) != 1]}"
        return label.append(f" ({told})" if is_open or not value else f" (… {told})", style="not bold dim")
    return label.append(": ").append(_scalar(value), style=f"not bold {_STYLES.get(type(value), '')}")


def _scalar(value: Any) -> str:
    if not isinstance(value, str):
        return json.dumps(value)
    cut = value[:_MOST_TEXT]
    more = f"… {len(value) - len(cut):,} more characters" if len(cut) < len(value) else ""
    text = printable(cut)
    return f"\n{text}{more}" if "\n" in text else f'"{text}"{more}'
