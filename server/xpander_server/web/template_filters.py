"""How values are written on pages."""

from datetime import UTC, datetime
from typing import Any

import msgspec

from xpander_server.clock import SECOND, format_timestamp
from xpander_server.domain.pricing import NANODOLLARS

NONE = "–"
STATUS_MARKS = {"completed": "✓", "failed": "✕", "executing": "…"}


def when(microseconds: int | None) -> str:
    """`2026-11-22 18:31:05`, in UTC."""
    if microseconds is None:
        return NONE
    return format_timestamp(microseconds)[:19].replace("T", " ")


def day(microseconds: int) -> str:
    """`22 Nov`."""
    moment = datetime.fromtimestamp(microseconds // SECOND, UTC)
    return f"{moment.day} {moment:%b}"


def clock(microseconds: int) -> str:
    """`18:31`."""
    return f"{datetime.fromtimestamp(microseconds // SECOND, UTC):%H:%M}"


def seconds(value: float | None) -> str:
    """`40 ms`, `0.25 s`, `4.7 s`, `3 min 5 s`, `2 h 10 min`."""
    if value is None:
        return NONE
    if value < 0.0995:
        return f"{value * 1_000:.2g} ms" if value else "0 s"
    if value < 59.5:
        return f"{value:.2g} s"
    minutes, rest = divmod(round(value), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours:,} h {minutes} min" if minutes else f"{hours:,} h"


def number(value: int | float | None) -> str:
    """`1,234,567`."""
    return NONE if value is None else f"{value:,}"


def short(value: float | None) -> str:
    """`999`, `12.3k`, `4.5M`, for where there is little room."""
    if value is None:
        return NONE
    for limit, unit in ((999.5, ""), (999.5e3, "k"), (999.5e6, "M"), (999.5e9, "G"), (999.5e12, "T")):
        if abs(value) < limit:
            scaled = value / {"": 1, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}[unit]
            return f"{scaled:.3g}{unit}"
    return f"{value:.2e}"


def dollars(value: float | None) -> str:
    """`$12.34`, `$0.0123`; None stands for unknown."""
    if value is None:
        return NONE
    if value == 0 or value >= 1:
        return f"${value:,.2f}"
    if value >= 0.01:
        return f"${value:.2f}"
    return f"${value:.2g}" if value >= 0.0001 else "<$0.0001"


def cost(nanodollars: int | None) -> str:
    return NONE if nanodollars is None else dollars(nanodollars / NANODOLLARS)


def share(value: float | None) -> str:
    """`98.5 %`; never 100 for what is less."""
    if value is None:
        return NONE
    if 0.9995 <= value < 1:
        return "99.9 %"
    return f"{value * 100:.1f} %".replace(".0 %", " %")


def as_text(value: Any) -> str:
    """A value of a task as one text."""
    if value is None:
        return NONE
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def line(text: str | None, length: int = 160) -> str:
    """The beginning of a text, on one line."""
    if not text:
        return ""
    joined = " ".join(text[: length * 2].split())
    return joined if len(joined) <= length and len(text) <= length * 2 else joined[:length].rstrip("…") + "…"
