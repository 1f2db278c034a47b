"""Tiles, charts and tables of metrics, which the metrics page and the page of an agent share."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import urlencode

from attrs import frozen

from xpander_server.clock import HOUR, SECOND, format_timestamp
from xpander_server.domain import metrics
from xpander_server.store import MetricsResult, Store
from xpander_server.web.chart_data import CHARTS, Row, build_chart, chart_rows
from xpander_server.web.comparison import Period, previous_period, shown_period, summary_changes
from xpander_server.web.filters import PageFilters
from xpander_server.web.rendering import link
from xpander_server.web.time_buckets import TimeBucket, build_time_buckets, choose_point_hours, describe_limit
from xpander_server.web.time_zones import page_zone, zone_choice

DETAILED_AGENTS = 10
"""Number of agents with durations, tokens and cost in the table of agents; other agents have only their runs."""
_MAX_TABLE_ROWS = 15
TABLES = ("tools", "models", "agents")
_MINUTE = 60 * SECOND


@frozen
class RankedTable:
    """Table of the most used agents, tools or models.

    Attributes:
        name: `agents`, `tools` or `models`.
        rows: The first rows.
        total_count: The number of rows in the downloads.
    """

    name: str
    rows: Sequence[Row]
    total_count: int


@frozen
class PeriodText:
    """Period of a page in words, with the links to the periods beside it.

    Attributes:
        text: The period.
        compared_with: The period that the changes compare with; None if there are no changes.
        earlier_link: The link to the period before.
        later_link: The link to the period after; None if it is in the future.
    """

    text: str
    compared_with: str | None
    earlier_link: str
    later_link: str | None


class PeriodFigures(NamedTuple):
    """Metrics of a period.

    Attributes:
        result: The sums.
        buckets: The time buckets of the charts.
        summaries: The summary of each bucket.
        previous: The period of the sum `result.previous`; None for no such sum.
    """

    result: MetricsResult
    buckets: Sequence[TimeBucket]
    summaries: Sequence[Mapping[str, Any]]
    previous: Period | None


@frozen(kw_only=True)
class MetricsSource:
    """Metrics of an organization or of one agent in the period of a page.

    Args:
        store: The store.
        organization_id: The organization.
        agent_id: The agent, or None for all.
        filters: The filters of the page; only their period is used.
        now: The current time, in microseconds since 1970 (UTC).
    """

    store: Store
    organization_id: str
    agent_id: str | None
    filters: PageFilters
    now: int

    def read(self, *, with_previous: bool = False) -> PeriodFigures:
        """Return the metrics of the period, and of the one to compare with if `with_previous` is True."""
        since, until = self.filters.since, self.filters.until
        previous = previous_period(self.filters, self.now) if with_previous else None
        result = self._read_result(choose_point_hours(since, self.now, until, page_zone()), previous)
        buckets = build_time_buckets(result.series or [], since, until, self.now, page_zone())
        summaries = [metrics.summarize_point(bucket.amounts) for bucket in buckets]
        return PeriodFigures(result, buckets, summaries, previous)

    def _read_result(self, hours: int | None = None, previous: Period | None = None) -> MetricsResult:
        return self.store.metrics(
            self.organization_id,
            self.agent_id,
            since=self.filters.since,
            until=self.filters.until,
            hours=hours,
            top_agents=DETAILED_AGENTS if self.agent_id is None else 0,
            previous=None if previous is None else (previous.since, previous.until),
        )

    def context(
        self, page: str, page_parameters: Mapping[str, str | None], figures: PeriodFigures, *, has_numbers: bool
    ) -> dict[str, Any]:
        """Return the context of the template `metrics_parts.html`.

        Args:
            page: The name of the page, for its links to other periods.
            page_parameters: The parameters of such links besides the period.
            figures: What `read` returns with the previous period.
            has_numbers: Whether the page has the table of numbers of each chart.
        """
        result, buckets, summaries, period_before = figures
        previous = metrics.summarize_point(result.previous or {})
        is_compared = previous["runs"]["total"] > 0
        # Short, because a page has them once in each chart: a bucket's time within the same page.
        bucket_queries = [_bucket_query(bucket) for bucket in buckets]
        parameters = {**page_parameters, "tz": zone_choice.get().parameter}
        prefix = urlencode({name: value for name, value in parameters.items() if value is not None})
        bucket_links = [f"?{prefix}&{query}" if prefix else f"?{query}" for query in bucket_queries]
        agent_rows = list_agents(result)
        summary = metrics.summarize(result.amounts, result.other_names)
        tables = [(name, label_overflow(summary[name])) for name in ("tools", "models")]
        if self.agent_id is None:
            tables.insert(0, ("agents", agent_rows))
        # The parameters of links to the runs of the page.
        run_parameters = {name: self.filters.parameters.get(name) for name in ("since", "until", "last")}
        return {
            "summary": summary,
            "changes": summary_changes(summary, previous) if is_compared else {},
            "period": self._period_text(page, page_parameters, period_before if is_compared else None),
            "bucket_limit": describe_limit(self.filters.since, self.now, self.filters.until, page_zone()),
            "run_parameters": {**run_parameters, "agent_id": self.agent_id},
            "page_link": lambda **more: link(page, {**page_parameters, **run_parameters}, **more),
            "charts": [build_chart(name, buckets, summaries, bucket_links) for name in CHARTS] if buckets else [],
            "bucket_links": bucket_links,
            "bucket_run_links": [_runs_link(query, self.agent_id) for query in bucket_queries],
            "has_numbers": has_numbers,
            "tables": [RankedTable(name, rows[:_MAX_TABLE_ROWS], len(rows)) for name, rows in tables if rows],
            "known_agents": [row["agent_id"] for row in agent_rows],
        }

    def rows(self, name: str) -> Sequence[Row]:
        """Return all rows of a chart or table.

        Args:
            name: A key of `CHARTS`, or one of `TABLES`.
        """
        if name not in TABLES:
            figures = self.read()
            return chart_rows(name, figures.buckets, figures.summaries)
        result = self._read_result()
        if name == "agents":
            return list_agents(result)
        return label_overflow(metrics.summarize(result.amounts, result.other_names)[name])

    def _period_text(
        self, page: str, page_parameters: Mapping[str, str | None], compared: Period | None
    ) -> PeriodText | None:
        period = shown_period(self.filters, self.now)
        if period is None:
            return None

        def shifted_link(distance: int) -> str:
            since, until = _input_time(period.since + distance), _input_time(period.until + distance)
            return link(page, page_parameters, since=since, until=until)

        return PeriodText(
            period.describe(self.now),
            compared.describe(self.now) if compared else None,
            shifted_link(-period.length),
            shifted_link(period.length) if period.until <= self.now else None,
        )


def list_agents(result: MetricsResult) -> list[Row]:
    """Return a row for each agent, the agent with the most runs first."""
    rows: list[Row] = []
    for agent in label_overflow(metrics.summarize_agents(result.amounts, result.other_names), "agent_id"):
        runs = agent["runs"]
        ended = runs["completed"] + runs["failed"]
        row: Row = {"agent_id": agent["agent_id"], **runs}
        row["success_rate"] = runs["completed"] / ended if ended else None
        row.update(dict.fromkeys(("p50", "p95", "total_tokens", "cost")))
        if agent["agent_id"] in result.by_agent:
            details = metrics.summarize_point(result.by_agent[agent["agent_id"]])
            row.update(
                p50=details["duration"]["p50"],
                p95=details["duration"]["p95"],
                total_tokens=details["tokens"]["total_tokens"],
                cost=details["cost"]["total"],
            )
        rows.append(row)
    return rows


def label_overflow(rows: Sequence[Row], key: str = "name") -> list[Row]:
    """Return the rows; the name of an overflow entry states how many names it sums up."""
    return [{**row, key: f"{str(row[key])[:-1]}: about {row['names']:,})"} if row.get("names") else row for row in rows]


def _bucket_query(bucket: TimeBucket) -> str:
    return f"since={_input_time(bucket.since)}&until={_input_time(bucket.until)}"


def _input_time(microseconds: int) -> str:
    """Return a time as short text of a query, which needs no escapes."""
    length = 13 if microseconds % HOUR == 0 else 16 if microseconds % _MINUTE == 0 else 19
    return format_timestamp(microseconds)[:length] + "Z"


def _runs_link(query: str, agent_id: str | None) -> str:
    parameters = {"agent_id": agent_id, "tz": zone_choice.get().parameter}
    known = {name: value for name, value in parameters.items() if value is not None}
    return f"history?{query}" + (f"&{urlencode(known)}" if known else "")
