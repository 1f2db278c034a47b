"""JSON values as trees, folded below a depth."""

import json
from collections.abc import Iterable
from typing import Any

from rich.text import Text
from rich.tree import Tree

from xpander_sdk.cli.render.text import printable

_MAX_ITEMS, _MAX_CHARACTERS = 100, 2_000
_STYLES = {str: "green", int: "cyan", float: "cyan", bool: "magenta", type(None): "dim"}


def json_tree(name: str, value: Any, depth: int) -> Tree:
    """Return a tree of a JSON value.

    The tree shows at most 100 items of each list or object, and 2,000 characters of each string.

    Args:
        name: label of the root.
        value: value that was parsed from JSON.
        depth: number of levels to unfold. Below them, only the number of items is shown.
    """
    root = Tree(_label(name, value, depth > 0), guide_style="dim")
    _add_children(root, value, depth)
    return root


def _add_children(branch: Tree, value: Any, depth: int) -> None:
    if depth <= 0:
        return
    for number, (name, child) in enumerate(_named_children(value)):
        if number == _MAX_ITEMS:
            branch.add(Text(f"… {len(value) - number:,} more", style="dim"))
            return
        _add_children(branch.add(_label(name, child, depth > 1)), child, depth - 1)


def _named_children(value: Any) -> Iterable[tuple[str, Any]]:
    if isinstance(value, dict):
        return value.items()
    return ((str(number), child) for number, child in enumerate(value)) if isinstance(value, list) else ()


def _label(name: str, value: Any, is_unfolded: bool) -> Text:
    label = Text(printable(name), style="bold")
    if isinstance(value, dict | list):
        singular, plural = ("key", "keys") if isinstance(value, dict) else ("item", "items")
        size = f"{len(value):,} {singular if len(value) == 1 else plural}"
        return label.append(f" ({size})" if is_unfolded or not value else f" (… {size})", style="not bold dim")
    return label.append(": ").append(_scalar(value), style=f"not bold {_STYLES.get(type(value), '')}")


def _scalar(value: Any) -> str:
    if not isinstance(value, str):
        return json.dumps(value)
    start = value[:_MAX_CHARACTERS]
    rest = f"… {len(value) - len(start):,} more characters" if len(start) < len(value) else ""
    text = printable(start)
    return f"\n{text}{rest}" if "\n" in text else f'"{text}"{rest}'
