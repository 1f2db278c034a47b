"""Comparison of an agent with another one, or with itself in the period before: figures side by side, and charts."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from attrs import evolve, frozen
from markupsafe import Markup

from xpander_server.domain import metrics
from xpander_server.web.chart_data import FEW_RUNS, Format, LegendItem
from xpander_server.web.charts import DataSeries, TimeAxis, render_lines
from xpander_server.web.comparison import format_change, format_point_change, previous_period
from xpander_server.web.metrics_view import MetricsSource, PeriodFigures
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

PREVIOUS = "the period before"
_STYLES = ("series-1", "series-2")
_WIDTHS = (2.5, 1.5)

Summary = Mapping[str, Any]
Figure = Callable[[Summary], float | None]


@frozen(kw_only=True)
class _Figure:
    """Figure that is compared.

    Attributes:
        name: Name for people.
        get: Returns the figure of a summary; None for unknown.
        format_value: Formats a value.
        format_tick: Formats a value at the axis of its chart, or None for a figure without a chart.
        is_rate: Whether changes are in percentage points.
        is_duration: Whether the figure is in seconds.
    """

    name: str
    get: Figure
    format_value: Format
    format_tick: Format | None = None
    is_rate: bool = False
    is_duration: bool = False


def _failure_rate(summary: Summary) -> float | None:
    rate: float | None = summary["success_rate"]
    return None if rate is None else 1 - rate


def _cost_per_run(summary: Summary) -> float | None:
    cost, priced = summary["cost"]["total"], summary["runs"]["total"] - summary["cost"]["unpriced_runs"]
    return cost / priced if cost is not None and priced > 0 else None


_FIGURES = (
    _Figure(name="Runs", get=lambda each: each["runs"]["total"], format_value=format_number, format_tick=format_short),
    _Figure(
        name="Failure rate", get=_failure_rate, format_value=format_percent, format_tick=format_percent, is_rate=True
    ),
    _Figure(
        name="Median duration",
        get=lambda each: each["duration"]["p50"],
        format_value=format_duration,
        format_tick=format_duration,
        is_duration=True,
    ),
    _Figure(name="95th percentile", get=lambda each: each["duration"]["p95"], format_value=format_duration),
    _Figure(name="Tokens", get=lambda each: each["tokens"]["total_tokens"], format_value=format_short),
    _Figure(name="Cost", get=lambda each: each["cost"]["total"], format_value=format_dollars),
    _Figure(name="Cost of a run", get=_cost_per_run, format_value=format_dollars, format_tick=format_dollar_tick),
)


@frozen
class ComparedFigure:
    """Row of the table: the name of a figure, both values, and the change from the other one to this one."""

    name: str
    value: str
    other_value: str
    change: str | None


@frozen
class ComparisonChart:
    """Chart with a line for both; `svg` is None if there are no values."""

    title: str
    svg: Markup | None


@frozen
class Comparison:
    """Comparison, ready for the template.

    Attributes:
        other_name: What the agent is compared with.
        legend: The two lines of each chart.
        figures: The rows of the table.
        charts: The charts.
    """

    other_name: str
    legend: Sequence[LegendItem]
    figures: Sequence[ComparedFigure]
    charts: Sequence[ComparisonChart]


def compare_with_agent(source: MetricsSource, figures: PeriodFigures, other_agent: str, name: str) -> Comparison:
    """Return the comparison of an agent with another one in the same period.

    Args:
        source: The metrics of the agent.
        figures: What `source` reads.
        other_agent: The other agent.
        name: The name of the agent in the legend.
    """
    return _compare(source, figures, evolve(source, agent_id=other_agent), name, other_agent)


def compare_with_previous_period(source: MetricsSource, figures: PeriodFigures, name: str) -> Comparison | None:
    """Return the comparison of an agent with itself in the period before; None if the period has no start.

    Args:
        source: The metrics of the agent.
        figures: What `source` reads.
        name: The name of the agent in the legend.
    """
    period = previous_period(source.filters, source.now)
    if period is None:
        return None
    filters = evolve(source.filters, since=period.since, until=period.until, last=None)
    return _compare(source, figures, evolve(source, filters=filters), name, PREVIOUS)


def _compare(
    source: MetricsSource, figures: PeriodFigures, other_source: MetricsSource, name: str, other_name: str
) -> Comparison:
    other_figures = other_source.read()
    summary, other = (metrics.summarize_point(each.result.amounts) for each in (figures, other_figures))
    compared = []
    for figure in _FIGURES:
        value, other_value = figure.get(summary), figure.get(other)
        change = (format_point_change if figure.is_rate else format_change)(value, other_value)
        compared.append(
            ComparedFigure(figure.name, figure.format_value(value), figure.format_value(other_value), change)
        )
    aligned = _align(figures, other_figures, is_same_period=source.filters == other_source.filters)
    legend = [LegendItem(each, style) for each, style in zip((name, other_name), _STYLES, strict=True)]
    lines = (figures.summaries, aligned)
    charts = [_draw(figure, figures.buckets, lines, (name, other_name)) for figure in _FIGURES if figure.format_tick]
    return Comparison(other_name, legend, compared, charts)


def _align(figures: PeriodFigures, other_figures: PeriodFigures, *, is_same_period: bool) -> list[Summary]:
    """Return the summary to compare with for each bucket: that of the same time, or the one with the same number."""
    empty = metrics.summarize_point({})
    if is_same_period:
        starts = (bucket.since for bucket in other_figures.buckets)
        by_start = dict(zip(starts, other_figures.summaries, strict=True))
        return [by_start.get(bucket.since, empty) for bucket in figures.buckets]
    missing = len(figures.buckets) - len(other_figures.buckets)
    return [*other_figures.summaries[: len(figures.buckets)], *[empty] * missing]


def _draw(
    figure: _Figure, buckets: Sequence[TimeBucket], lines: Sequence[Sequence[Summary]], names: tuple[str, str]
) -> ComparisonChart:
    """Return the chart of a figure; `lines` has the summaries of each bucket for both names."""
    all_series = []
    for name, style, width, summaries in zip(names, _STYLES, _WIDTHS, lines, strict=True):
        is_sparse = [each["runs"]["completed"] + each["runs"]["failed"] < FEW_RUNS for each in summaries]
        is_sparse = [] if figure.name == "Runs" else is_sparse
        all_series.append(DataSeries(name, style, [figure.get(each) for each in summaries], width, is_sparse))
    if not buckets or all(value is None for series in all_series for value in series.values):
        return ComparisonChart(figure.name, None)
    tooltips = [
        f"{format_time(bucket.since)[5:16]}: "
        + ", ".join(f"{series.name} {figure.format_value(series.values[index])}" for series in all_series)
        for index, bucket in enumerate(buckets)
    ]
    axis = TimeAxis(buckets, [None] * len(buckets), tooltips)
    format_tick = figure.format_tick or figure.format_value
    return ComparisonChart(figure.name, render_lines(all_series, axis, format_tick, is_duration=figure.is_duration))
