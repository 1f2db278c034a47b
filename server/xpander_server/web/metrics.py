"""The metrics: what the runs of a time add up to, and how that went."""

from collections.abc import Callable, Sequence
from typing import Any

from attrs import frozen
from starlette.requests import Request
from starlette.responses import Response

from xpander_server.api.responses import json_response
from xpander_server.clock import format_timestamp
from xpander_server.domain import metrics
from xpander_server.http.concurrency import run_in_threadpool
from xpander_server.http.errors import HTTPError
from xpander_server.store import MetricsResult, Store
from xpander_server.web.chart_data import TITLES, Row, as_csv, build_chart, rows_of
from xpander_server.web.filters import LASTS, View, has_empty, local, read_view, without_empty
from xpander_server.web.rendering import link, redirect, rendered
from xpander_server.web.sessions import Visitor
from xpander_server.web.time_buckets import TimeBucket, resolution, time_buckets

COMPARED = 10
"""Agents of which more is told than their runs."""
_SHOWN = 15  # tools, models
_TABLES = ("tools", "models", "agents")


@frozen
class Ranked:
    """A table of what was used most."""

    name: str
    rows: Sequence[Row]
    count: int
    """Of all there are."""


class Metrics:
    def __init__(self, store: Store, clock: Callable[[], int]) -> None:
        self._store = store
        self._clock = clock

    async def show(self, request: Request, visitor: Visitor) -> Response:
        if has_empty(request):
            return redirect(link("metrics", without_empty(request)))
        view, now = self._view(request), self._clock()
        return rendered("metrics.html", await run_in_threadpool(lambda: self._context(view, visitor, now)))

    async def numbers(self, request: Request, visitor: Visitor) -> Response:
        """The numbers of one figure, as CSV or JSON."""
        name, form = (request.query_params.get(key, "") for key in ("figure", "form"))
        if name not in (*TITLES, *_TABLES) or form not in ("csv", "json"):
            raise HTTPError(404, "There are no such numbers.")
        view, now = self._view(request), self._clock()
        rows = await run_in_threadpool(lambda: self._rows(name, view, visitor.organization_id, now))
        headers = {"Content-Disposition": f'attachment; filename="{name}.{form}"'}
        if form == "json":
            return json_response(rows, headers=headers)
        return Response(as_csv(rows), headers=headers, media_type="text/csv; charset=utf-8")

    def _view(self, request: Request) -> View:
        view = read_view(request, self._clock(), last="7d")
        if unfit := set(view.filters) - {"agent_id"}:
            raise HTTPError(422, f"Metrics are of all runs or of an agent's, not by {', '.join(sorted(unfit))}.")
        return view

    def _context(self, view: View, visitor: Visitor, now: int) -> dict[str, Any]:
        totals, cut = self._totals(view, visitor.organization_id, now)
        summaries = [metrics.summarize_point(span.amounts) for span in cut]
        links = [self._zoomed(view, span) for span in cut]
        agents = _agents(totals)
        summary = metrics.summarize(totals.amounts)
        return {
            "visitor": visitor,
            "view": view,
            "lasts": LASTS,
            "local": local,
            "agent_id": view.filters.get("agent_id"),
            "summary": summary,
            "figures": [build_chart(name, cut, summaries, links) for name in TITLES] if cut else [],
            "links": links,
            "tables": [
                Ranked(name, rows[:_SHOWN], len(rows))
                for name, rows in (("agents", agents), ("tools", summary["tools"]), ("models", summary["models"]))
                if rows
            ],
            "known_agents": [row["agent_id"] for row in agents],
        }

    def _rows(self, name: str, view: View, organization_id: str, now: int) -> Sequence[Row]:
        totals, cut = self._totals(view, organization_id, now)
        if name == "agents":
            return _agents(totals)
        if name in _TABLES:
            rows: list[Row] = metrics.summarize(totals.amounts)[name]
            return rows
        return rows_of(name, cut, [metrics.summarize_point(span.amounts) for span in cut])

    def _totals(self, view: View, organization_id: str, now: int) -> tuple[MetricsResult, list[TimeBucket]]:
        totals = self._store.metrics(
            organization_id,
            view.filters.get("agent_id"),
            since=view.since,
            until=view.until,
            hours=resolution(view.since, now, view.until),
            top_agents=COMPARED,
        )
        return totals, time_buckets(totals.series or [], view.since, view.until, now)

    @staticmethod
    def _zoomed(view: View, span: TimeBucket) -> str:
        return link(
            "metrics",
            agent_id=view.filters.get("agent_id"),
            since=format_timestamp(span.since)[:19] + "Z",
            until=format_timestamp(span.until)[:19] + "Z",
        )


def _agents(totals: MetricsResult) -> list[Row]:
    """All agents by their runs; of the busiest, more."""
    rows: list[Row] = []
    for agent in metrics.summarize_agents(totals.amounts):
        runs = agent["runs"]
        ended = runs["completed"] + runs["failed"]
        row: Row = {"agent_id": agent["agent_id"], **runs}
        row["success_rate"] = runs["completed"] / ended if ended else None
        row.update(dict.fromkeys(("p50", "p95", "total_tokens", "cost")))
        if agent["agent_id"] in totals.by_agent:
            more = metrics.summarize_point(totals.by_agent[agent["agent_id"]])
            row.update(
                p50=more["duration"]["p50"],
                p95=more["duration"]["p95"],
                total_tokens=more["tokens"]["total_tokens"],
                cost=more["cost"]["total"],
            )
        rows.append(row)
    return rows
