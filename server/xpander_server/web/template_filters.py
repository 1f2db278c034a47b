"""Filters of the templates: values as text for people."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

from markupsafe import Markup

from xpander_server.clock import SECOND, format_timestamp
from xpander_server.domain.pricing import NANODOLLARS
from xpander_server.json_text import as_text
from xpander_server.web.time_zones import page_zone

MISSING = "–"
"""Text for an unknown value."""
STATUS_ICONS = {"completed": "✓", "failed": "✕", "executing": "…"}


def format_time(microseconds: int | None) -> str:
    """Return a time in the time zone of the page, such as `2026-11-22 18:31:05`."""
    if microseconds is None:
        return MISSING
    return page_zone().to_local(microseconds).isoformat(" ", timespec="seconds")[:19]


def time_tag(microseconds: int, text: str | None = None, *, has_age: bool = False) -> Markup:
    """Return a time as the HTML element `time`, in which the script of the pages shows how long ago a recent time is.

    Args:
        microseconds: The time, in microseconds since 1970 (UTC).
        text: The text of the element. Default: the time with its date.
        has_age: Whether the script adds the age to the text, and does not replace the text.
    """
    exact = format_time(microseconds)
    html = Markup('<time datetime="{}Z" title="{}{}"{}>{}</time>')
    return html.format(
        format_timestamp(microseconds)[:19],
        exact,
        page_zone().suffix,
        Markup(" data-age") if has_age else "",
        exact if text is None else text,
    )


def format_for_input(microseconds: int | None) -> str:
    """Return a time as the value of a `datetime-local` input, or an empty text for None."""
    return "" if microseconds is None else page_zone().to_local(microseconds).isoformat()[:16]


def format_day_of_year(microseconds: int, now: int) -> str:
    """Return the day of a time, such as `Fri 27 Nov`, with the year if it is not that of `now`."""
    time, today = (page_zone().to_local(value) for value in (microseconds, now))
    return f"{time:%a} {time.day} {time:%b}" + (f" {time.year}" if time.year != today.year else "")


def format_age(microseconds: int) -> str:
    """Return how long a run is executing, in full minutes, hours or days, such as `for 12 min`."""
    minutes = max(0, microseconds) // (60 * SECOND)
    if minutes < 1:
        return "for < 1 min"
    if minutes < 120:
        return f"for {minutes} min"
    return f"for {minutes // 60} h" if minutes < 2_880 else f"for {minutes // 1_440} days"


def format_duration(seconds: float | None) -> str:
    """Return a duration, such as `40 ms`, `0.25 s`, `4.7 s`, `3 min 5 s` or `2 h 10 min`."""
    if seconds is None:
        return MISSING
    if seconds < 0.0995:
        return f"{seconds * 1_000:.2g} ms" if seconds else "0 s"
    if seconds < 59.5:
        return f"{seconds:.2g} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours:,} h {minutes} min" if minutes else f"{hours:,} h"


def format_number(value: int | float | None) -> str:
    """Return a number with separators, such as `1,234,567`."""
    return MISSING if value is None else f"{value:,}"


def format_short(value: float | None) -> str:
    """Return a number with at most three digits and a unit, such as `999`, `12.3k` or `4.5M`."""
    if value is None:
        return MISSING
    for limit, factor, unit in (
        (999.5, 1, ""), (999.5e3, 1e3, "k"), (999.5e6, 1e6, "M"), (999.5e9, 1e9, "G"), (999.5e12, 1e12, "T"),
    ):  # fmt: skip
        if abs(value) < limit:
            return f"{value / factor:.3g}{unit}"
    return f"{value:.2e}"


def format_dollars(value: float | None) -> str:
    """Return an amount of US dollars, such as `$12.34` or `$0.0012`."""
    if value is None:
        return MISSING
    if value == 0 or value >= 1:
        return f"${value:,.2f}"
    if value >= 0.01:
        return f"${value:.2f}"
    return f"${value:.2g}" if value >= 0.0001 else "<$0.0001"


def format_dollar_tick(value: float) -> str:
    """Return an amount of US dollars at an axis, such as `$0.015`: with all its digits, at least two decimals."""
    text = f"{value:,.6f}"
    return "$" + text[: len(text) - 4] + text[-4:].rstrip("0")


def format_cost(nanodollars: int | None) -> str:
    """Return the cost of a task in US dollars; see `format_dollars`."""
    return MISSING if nanodollars is None else format_dollars(nanodollars / NANODOLLARS)


def format_list_dollars(value: float | None) -> str:
    """Return an amount of US dollars with four digits after the point, so that the points of a column are aligned."""
    if value is None:
        return MISSING
    return "<$0.0001" if 0 < value < 0.0001 else f"${value:,.4f}"


def format_list_cost(nanodollars: int | None) -> str:
    """Return the cost of a task in US dollars; see `format_list_dollars`."""
    return MISSING if nanodollars is None else format_list_dollars(nanodollars / NANODOLLARS)


def count_values(values: Iterable[str], limit: int) -> list[tuple[str, int]]:
    """Return the most frequent values, at most `limit`, with the number of their occurrences."""
    return Counter(values).most_common(limit)


def format_percent(share: float | None) -> str:
    """Return a share as a percentage, such as `98.5 %`. A share below 1 never becomes `100 %`."""
    if share is None:
        return MISSING
    if 0.9995 <= share < 1:
        return "99.9 %"
    return f"{share * 100:.1f} %".replace(".0 %", " %")


def to_text(value: Any) -> str:
    """Return the value of a task's field as text."""
    if value is None:
        return MISSING
    return value if isinstance(value, str) else as_text(value)


def one_line(text: str | None, max_length: int = 160) -> str:
    """Return the start of a text as one line."""
    if not text:
        return ""
    joined = " ".join(text[: max_length * 2].split())
    is_complete = len(joined) <= max_length and len(text) <= max_length * 2
    return joined if is_complete else joined[:max_length].rstrip("…") + "…"
