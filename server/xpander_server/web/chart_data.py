"""What the metrics page shows: each figure with the numbers behind it."""

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from attrs import frozen
from markupsafe import Markup

from xpander_server.clock import format_timestamp
from xpander_server.web import template_filters
from xpander_server.web.charts import Drawn, SpanAxis, columns, lines
from xpander_server.web.time_buckets import TimeBucket

Row = dict[str, Any]


@frozen
class Legend:
    name: str
    style: str


@frozen
class Chart:
    """A chart over time."""

    name: str
    title: str
    svg: Markup | None
    """None where there is nothing to draw."""
    legend: Sequence[Legend]
    columns: Sequence[str]
    rows: Sequence[Row]
    write: Callable[[Any], str]


# Of a figure over time: what it draws, with the class of its colour; the rest of its columns are only told.
_DRAWN = {
    "runs": (("completed", "completed"), ("failed", "failed"), ("executing", "executing")),
    "success": (("success_rate", "completed"),),
    "durations": (("p50", "first"), ("p95", "second"), ("p99", "third")),
    "tokens": (("prompt_tokens", "first"), ("completion_tokens", "second")),
    "cache": (("cache_read_tokens", "first"), ("cache_write_tokens", "second")),
    "cost": (("cost", "first"),),
}
TITLES = {
    "runs": "Runs by outcome",
    "success": "Success rate",
    "durations": "Duration",
    "tokens": "Tokens",
    "cache": "Tokens through a cache",
    "cost": "Cost",
}
_WRITES: dict[str, Callable[[Any], str]] = {
    "runs": template_filters.number,
    "success": template_filters.share,
    "durations": template_filters.seconds,
    "tokens": template_filters.number,
    "cache": template_filters.number,
    "cost": template_filters.dollars,
}
_TICKS = {**_WRITES, "runs": template_filters.short, "tokens": template_filters.short, "cache": template_filters.short}
COLUMNS = {
    "runs": ("completed", "failed", "executing", "total"),
    "success": ("success_rate", "ended"),
    "durations": ("p50", "p95", "p99"),
    "tokens": ("prompt_tokens", "completion_tokens"),
    "cache": ("cache_read_tokens", "cache_write_tokens"),
    "cost": ("cost", "unpriced_runs"),
}
COUNTED = frozenset({"ended", "unpriced_runs"})
"""Columns that count runs, whatever their figure is about."""


def rows_of(name: str, spans: Sequence[TimeBucket], summaries: Sequence[Mapping[str, Any]]) -> list[Row]:
    """The numbers of a figure over time."""
    return [
        {"since": format_timestamp(span.since), "until": format_timestamp(span.until), **_told(name, summary)}
        for span, summary in zip(spans, summaries, strict=True)
    ]


def _told(name: str, summary: Mapping[str, Any]) -> Row:
    runs = summary["runs"]
    match name:
        case "runs":
            return {column: runs[column] for column in COLUMNS["runs"]}
        case "success":
            return {"success_rate": summary["success_rate"], "ended": runs["completed"] + runs["failed"]}
        case "durations":
            return {column: summary["duration"][column] for column in COLUMNS["durations"]}
        case "tokens" | "cache":
            return {column: summary["tokens"][column] for column in COLUMNS[name]}
        case _:
            return {"cost": summary["cost"]["total"], "unpriced_runs": summary["cost"]["unpriced_runs"]}


def build_chart(
    name: str, spans: Sequence[TimeBucket], summaries: Sequence[Mapping[str, Any]], links: Sequence[str]
) -> Chart:
    """A figure over time, drawn."""
    rows, write = rows_of(name, spans, summaries), _WRITES[name]
    drawn = [Drawn(_spoken(column), style, [row[column] for row in rows]) for column, style in _DRAWN[name]]
    tips = [
        f"{template_filters.when(span.since)[:16]}: "
        + ", ".join(f"{_spoken(column)} {write(row[column])}" for column, _ in _DRAWN[name])
        for span, row in zip(spans, rows, strict=True)
    ]
    title = TITLES[name]
    if not any(value for one in drawn for value in one.values):
        return Chart(name, title, None, [], COLUMNS[name], rows, write)
    axis = SpanAxis(spans, links, tips)
    if name in ("runs", "tokens", "cache", "cost"):
        svg = columns(drawn, axis, _TICKS[name])
    else:
        svg = lines(drawn, axis, _TICKS[name], top=1.0 if name == "success" else None)
    legend = [Legend(one.name, one.style) for one in drawn] if len(drawn) > 1 else []
    return Chart(name, title, svg, legend, COLUMNS[name], rows, write)


def _spoken(column: str) -> str:
    return column.removesuffix("_tokens").replace("_", " ")


def as_csv(rows: Sequence[Row]) -> str:
    """With a head; a text that a spreadsheet would take for a formula is quoted by an apostrophe."""
    out = io.StringIO()
    if rows:
        writer = csv.DictWriter(out, list(rows[0]), lineterminator="\r\n")
        writer.writeheader()
        writer.writerows({name: _cell(value) for name, value in row.items()} for row in rows)
    return out.getvalue()


def _cell(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value
