"""Small charts for a terminal, and for a pipe: of plain characters, in as many columns as are given."""

from rich.console import Console
from rich.text import Text


def bar(parts: list[tuple[float, str]], whole: float, width: int, console: Console) -> Text:
    """Parts of a whole, each with its style, one after the other, in `width` columns."""
    shown, drawn, end = Text(), 0, 0.0
    if whole <= 0:
        return shown
    is_plain = not console.encoding.lower().startswith("utf")
    for value, style in parts:
        end += value
        columns = round(end / whole * width)
        # Something is never nothing.
        columns = max(columns, drawn + 1) if value > 0 else columns
        shown.append(("#" if is_plain else "█") * (columns - drawn), style=style)
        drawn = max(drawn, columns)
    return shown
