"""Metrics page: totals, charts over time, and tables of agents, tools and models."""

from collections.abc import Callable, Sequence
from typing import Any

from attrs import frozen
from starlette.requests import Request
from starlette.responses import Response

from xpander_server.api.responses import json_response
from xpander_server.auth.authentication import Principal
from xpander_server.clock import format_timestamp
from xpander_server.domain import metrics
from xpander_server.http.concurrency import run_in_threadpool
from xpander_server.http.errors import HTTPError
from xpander_server.store import MetricsResult, Store
from xpander_server.web.chart_data import CHARTS, Row, build_chart, chart_rows, to_csv
from xpander_server.web.filters import TIME_RANGES, PageFilters, has_empty_fields, parse_filters, without_empty_fields
from xpander_server.web.rendering import link, redirect, render_template
from xpander_server.web.time_buckets import TimeBucket, build_time_buckets, choose_point_hours

DETAILED_AGENTS = 10
"""Number of agents with durations, tokens and cost in the table of agents; other agents have only their runs."""
_MAX_TABLE_ROWS = 15
_TABLES = ("tools", "models", "agents")


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


class MetricsPage:
    """The metrics page, and the downloads of its charts and tables.

    Args:
        store: The store whose metrics are shown.
        clock: Returns the current time in microseconds since 1970 (UTC).
    """

    def __init__(self, store: Store, clock: Callable[[], int]) -> None:
        self._store = store
        self._clock = clock

    async def show(self, request: Request, principal: Principal) -> Response:
        """Render the page."""
        if has_empty_fields(request):
            return redirect(link("metrics", without_empty_fields(request)))
        filters, now = self._parse_filters(request), self._clock()
        context = await run_in_threadpool(lambda: self._context(filters, principal, now))
        return render_template("metrics.html", context)

    async def download(self, request: Request, principal: Principal) -> Response:
        """Return the numbers of one chart or table as CSV or JSON."""
        name, file_format = (request.query_params.get(key, "") for key in ("figure", "form"))
        if name not in (*CHARTS, *_TABLES) or file_format not in ("csv", "json"):
            raise HTTPError(404, "Chart, table or file format not found.")
        filters, now = self._parse_filters(request), self._clock()
        rows = await run_in_threadpool(lambda: self._rows(name, filters, principal.organization_id, now))
        headers = {"Content-Disposition": f'attachment; filename="{name}.{file_format}"'}
        if file_format == "json":
            return json_response(rows, headers=headers)
        return Response(to_csv(rows), headers=headers, media_type="text/csv; charset=utf-8")

    def _parse_filters(self, request: Request) -> PageFilters:
        filters = parse_filters(request, self._clock(), default_range="7d")
        if unsupported := set(filters.fields) - {"agent_id"}:
            names = ", ".join(sorted(unsupported))
            raise HTTPError(422, f"Metrics can be filtered by agent_id and by time, but not by {names}.")
        return filters

    def _context(self, filters: PageFilters, principal: Principal, now: int) -> dict[str, Any]:
        result, buckets = self._query(filters, principal.organization_id, now)
        summaries = [metrics.summarize_point(bucket.amounts) for bucket in buckets]
        bucket_links = [self._bucket_link(filters, bucket) for bucket in buckets]
        agents = _agent_rows(result)
        summary = metrics.summarize(result.amounts, result.other_names)
        tables = (("agents", agents), *((name, _label_overflow(summary[name])) for name in ("tools", "models")))
        return {
            "principal": principal,
            "filters": filters,
            "time_ranges": TIME_RANGES,
            "agent_id": filters.fields.get("agent_id"),
            "summary": summary,
            "charts": [build_chart(name, buckets, summaries, bucket_links) for name in CHARTS] if buckets else [],
            "bucket_links": bucket_links,
            "tables": [RankedTable(name, rows[:_MAX_TABLE_ROWS], len(rows)) for name, rows in tables if rows],
            "known_agents": [row["agent_id"] for row in agents],
        }

    def _rows(self, name: str, filters: PageFilters, organization_id: str, now: int) -> Sequence[Row]:
        result, buckets = self._query(filters, organization_id, now)
        if name == "agents":
            return _agent_rows(result)
        if name in _TABLES:
            return _label_overflow(metrics.summarize(result.amounts, result.other_names)[name])
        return chart_rows(name, buckets, [metrics.summarize_point(bucket.amounts) for bucket in buckets])

    def _query(self, filters: PageFilters, organization_id: str, now: int) -> tuple[MetricsResult, list[TimeBucket]]:
        result = self._store.metrics(
            organization_id,
            filters.fields.get("agent_id"),
            since=filters.since,
            until=filters.until,
            hours=choose_point_hours(filters.since, now, filters.until),
            top_agents=DETAILED_AGENTS,
        )
        return result, build_time_buckets(result.series or [], filters.since, filters.until, now)

    @staticmethod
    def _bucket_link(filters: PageFilters, bucket: TimeBucket) -> str:
        """Return the link to the metrics of one bucket."""
        return link(
            "metrics",
            agent_id=filters.fields.get("agent_id"),
            since=format_timestamp(bucket.since)[:19] + "Z",
            until=format_timestamp(bucket.until)[:19] + "Z",
        )


def _label_overflow(rows: Sequence[Row], key: str = "name") -> list[Row]:
    """Return the rows; the name of an overflow entry states how many names it sums up."""
    return [{**row, key: f"{str(row[key])[:-1]}: about {row['names']:,})"} if row.get("names") else row for row in rows]


def _agent_rows(result: MetricsResult) -> list[Row]:
    """Return a row for each agent, the agent with the most runs first."""
    rows: list[Row] = []
    for agent in _label_overflow(metrics.summarize_agents(result.amounts, result.other_names), "agent_id"):
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
