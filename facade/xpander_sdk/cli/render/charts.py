"""Bar charts from block characters, or from `#` where the output has no Unicode."""

from rich.console import Console
from rich.text import Text


def stacked_bar(parts: list[tuple[float, str]], maximum: float, width: int, console: Console) -> Text:
    """Return a bar of colored parts.

    Args:
        parts: value and style of each part, from left to right.
        maximum: value of a bar over the full width.
        width: number of columns of that bar.
        console: terminal or file that the bar is printed on.
    """
    bar, drawn, end = Text(), 0, 0.0
    if maximum <= 0:
        return bar
    block = "█" if console.encoding.lower().startswith("utf") else "#"
    for value, style in parts:
        end += value
        columns = round(end / maximum * width)
        # A value above zero has at least one column.
        columns = max(columns, drawn + 1) if value > 0 else columns
        bar.append(block * (columns - drawn), style=style)
        drawn = max(drawn, columns)
    return bar
