"""Charts of the metrics page, with the rows of numbers that they show."""

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from attrs import field, frozen
from markupsafe import Markup

from xpander_server.domain.metrics import OUTCOMES
from xpander_server.store import UNPRICED
from xpander_server.web.charts import DataSeries, TimeAxis, render_columns, render_lines
from xpander_server.web.template_filters import (
    format_dollar_tick,
    format_dollars,
    format_duration,
    format_number,
    format_percent,
    format_short,
    format_time,
)
from xpander_server.web.time_buckets import TimeBucket
from xpander_server.web.time_zones import page_zone

Row = dict[str, Any]
Format = Callable[[Any], str]

_RUN_COUNTS = frozenset({"ended", "failed", "unpriced_runs"})
"""Columns that count runs in charts of other units."""
FEW_RUNS = 5
"""Ended runs of a time bucket below which its rate and its percentiles say little."""


@frozen(kw_only=True)
class ChartDefinition:
    """Definition of a chart over time.

    Attributes:
        title: The title.
        columns: The columns of its rows.
        styles: The drawn columns, with the CSS class that gives each its color; the first one is drawn first.
        format_value: Formats a value in the table and in tooltips.
        format_tick: Formats a value at the axis.
        is_stacked: Whether the chart has stacked columns, and not lines.
        line_widths: The widths of the lines of columns that may cover each other.
        bars: The column that a chart of lines shows as bars behind them, a number of runs; None for no bars.
        is_duration: Whether the values of a chart of lines are seconds.
    """

    title: str
    columns: Sequence[str]
    styles: Mapping[str, str]
    format_value: Format
    format_tick: Format
    is_stacked: bool = True
    line_widths: Mapping[str, float] = field(factory=dict)
    bars: str | None = None
    is_duration: bool = False

    @property
    def described_columns(self) -> list[str]:
        """The columns that the chart shows, in their order in the table."""
        return [column for column in self.columns if column in self.styles or column == self.bars]


CHARTS = {
    "runs": ChartDefinition(
        title="Runs by outcome",
        columns=("completed", "failed", "executing", "total"),
        styles={"completed": "completed", "failed": "failed", "executing": "executing"},
        format_value=format_number,
        format_tick=format_short,
    ),
    "success": ChartDefinition(
        title="Failure rate",
        columns=("failure_rate", "success_rate", "failed", "ended"),
        styles={"failure_rate": "failed"},
        format_value=format_percent,
        format_tick=format_percent,
        is_stacked=False,
        bars="failed",
    ),
    "durations": ChartDefinition(
        title="Duration",
        columns=("p50", "p95", "p99"),
        styles={"p99": "series-3", "p95": "series-2", "p50": "series-1"},
        format_value=format_duration,
        format_tick=format_duration,
        is_stacked=False,
        line_widths={"p99": 5, "p95": 3, "p50": 1.5},
        is_duration=True,
    ),
    "tokens": ChartDefinition(
        title="Tokens",
        columns=("prompt_tokens", "completion_tokens"),
        styles={"prompt_tokens": "series-1", "completion_tokens": "series-2"},
        format_value=format_number,
        format_tick=format_short,
    ),
    "cache": ChartDefinition(
        title="Cached tokens",
        columns=("cache_read_tokens", "cache_write_tokens"),
        styles={"cache_read_tokens": "series-1", "cache_write_tokens": "series-2"},
        format_value=format_number,
        format_tick=format_short,
    ),
    "cost": ChartDefinition(
        title="Cost",
        columns=("cost", "unpriced_runs"),
        styles={"cost": "series-1"},
        format_value=format_dollars,
        format_tick=format_dollar_tick,
    ),
}


@frozen
class LegendItem:
    """Entry of a legend: the name of a series, and its CSS class."""

    name: str
    style: str


@frozen
class Chart:
    """Chart over time, ready for the template.

    Attributes:
        name: The name of the chart, its HTML id.
        definition: The definition of the chart.
        svg: The drawing, or None if all values are zero or unknown.
        legend: The entries of the legend: the series that have values; empty for a single series.
        has_sparse_values: Whether dots are hollow because their time buckets have few runs.
        rows: The numbers, one row for each time bucket.
    """

    name: str
    definition: ChartDefinition
    svg: Markup | None
    legend: Sequence[LegendItem]
    rows: Sequence[Row]
    has_sparse_values: bool = False

    def format_cell(self, column: str, value: Any) -> str:
        """Return a value as the text of a table cell."""
        return _format_cell(self.definition, column, value)

    @staticmethod
    def filter_of(column: str) -> str:
        """Return the end of the query for the runs that a column is about; empty for all runs."""
        if column == "unpriced_runs":
            return f"&cost={UNPRICED}"
        return f"&status={column}" if column in OUTCOMES else ""


def chart_rows(name: str, buckets: Sequence[TimeBucket], summaries: Sequence[Mapping[str, Any]]) -> list[Row]:
    """Return the rows of a chart.

    Args:
        name: A key of `CHARTS`.
        buckets: The time buckets.
        summaries: The metrics of each bucket.
    """
    return [
        {
            "since": page_zone().format_timestamp(bucket.since),
            "until": page_zone().format_timestamp(bucket.until),
            **_chart_values(name, summary),
        }
        for bucket, summary in zip(buckets, summaries, strict=True)
    ]


def _chart_values(name: str, summary: Mapping[str, Any]) -> Row:
    columns, runs = CHARTS[name].columns, summary["runs"]
    match name:
        case "runs":
            return {column: runs[column] for column in columns}
        case "success":
            rate, ended = summary["success_rate"], runs["completed"] + runs["failed"]
            failure_rate = runs["failed"] / ended if ended else None
            return {"failure_rate": failure_rate, "success_rate": rate, "failed": runs["failed"], "ended": ended}
        case "durations":
            return {column: summary["duration"][column] for column in columns}
        case "tokens" | "cache":
            return {column: summary["tokens"][column] for column in columns}
        case _:
            return {"cost": summary["cost"]["total"], "unpriced_runs": summary["cost"]["unpriced_runs"]}


def build_chart(
    name: str, buckets: Sequence[TimeBucket], summaries: Sequence[Mapping[str, Any]], links: Sequence[str]
) -> Chart:
    """Draw a chart.

    Args:
        name: A key of `CHARTS`.
        buckets: The time buckets.
        summaries: The metrics of each bucket.
        links: The link target of each bucket.
    """
    definition, rows = CHARTS[name], chart_rows(name, buckets, summaries)
    is_sparse = [summary["runs"]["completed"] + summary["runs"]["failed"] < FEW_RUNS for summary in summaries]
    series = [
        DataSeries(
            _label(column),
            style,
            [row[column] for row in rows],
            definition.line_widths.get(column, 2),
            () if definition.is_stacked else is_sparse,
        )
        for column, style in definition.styles.items()
    ]
    # A failure rate of zero is a line at the bottom of the chart; other values of zero leave a chart empty.
    if not any(value or (value is not None and name == "success") for each in series for value in each.values):
        return Chart(name, definition, None, [], rows)
    tooltips = [
        f"{format_time(bucket.since)[5:16]}: {_describe(definition, row) if summary['runs']['total'] else 'no runs'}"
        for bucket, row, summary in zip(buckets, rows, summaries, strict=True)
    ]
    axis = TimeAxis(buckets, links, tooltips)
    column = definition.bars
    bars = None if column is None else DataSeries(column, "bars", [row[column] for row in rows])
    if definition.is_stacked:
        svg = render_columns(series, axis, definition.format_tick)
    else:
        svg = render_lines(series, axis, definition.format_tick, bars, is_duration=definition.is_duration)
    legend = [LegendItem(each.name, each.style) for each in series if any(each.values)] if len(series) > 1 else []
    if bars is not None and (most := max(value or 0 for value in bars.values)):
        legend = [
            *(LegendItem("rate", each.style) for each in series),
            LegendItem(f"failed (at most {format_number(most)})", bars.style),
        ]
    has_sparse_values = any(
        few and value is not None for each in series for few, value in zip(each.is_sparse, each.values, strict=False)
    )
    return Chart(name, definition, svg, legend, rows, has_sparse_values)


def _describe(definition: ChartDefinition, row: Row) -> str:
    """Return the drawn values of a time bucket as text."""
    return ", ".join(
        f"{_label(column)} {_format_cell(definition, column, row[column])}" for column in definition.described_columns
    )


def _format_cell(definition: ChartDefinition, column: str, value: Any) -> str:
    return format_number(value) if column in _RUN_COUNTS else definition.format_value(value)


def _label(column: str) -> str:
    return column.removesuffix("_tokens").replace("_", " ")


def to_csv(rows: Sequence[Row]) -> str:
    """Return rows as CSV with a header row.

    A text that a spreadsheet would interpret as a formula gets an apostrophe as its first character.
    """
    output = io.StringIO()
    if rows:
        # The entry that sums up the names beyond a limit has a flag that the other entries lack.
        names = list(rows[0])
        writer = csv.writer(output, lineterminator="\r\n")
        writer.writerow(names)
        writer.writerows([_csv_cell(row.get(name)) for name in names] for row in rows)
    return output.getvalue()


def _csv_cell(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value
