"""Metrics page: totals, charts over time, and tables of agents, tools and models."""

from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from xpander_server.api.responses import json_response
from xpander_server.auth.authentication import Principal
from xpander_server.http.concurrency import run_in_threadpool
from xpander_server.http.errors import HTTPError
from xpander_server.store import Store
from xpander_server.web.chart_data import CHARTS, to_csv
from xpander_server.web.filters import TIME_RANGES, PageFilters, has_empty_fields, parse_filters, without_empty_fields
from xpander_server.web.largest_runs import find_largest_runs
from xpander_server.web.metrics_view import TABLES, MetricsSource
from xpander_server.web.rendering import link, redirect, render_page


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
        source = self._source(request, principal)
        has_numbers = request.query_params.get("numbers") == "all"
        parameters = {"agent_id": source.agent_id}

        def read() -> dict[str, Any]:
            context = source.context("metrics", parameters, source.read(with_previous=True), has_numbers=has_numbers)
            runs = find_largest_runs(self._store, source.organization_id, source.agent_id, source.filters)
            return {**context, "largest_runs": runs}

        context = await run_in_threadpool(read)
        page_context = {
            "principal": principal,
            "filters": source.filters,
            "time_ranges": TIME_RANGES,
            "agent_id": source.agent_id,
        }
        return await render_page("metrics.html", {**context, **page_context})

    async def download(self, request: Request, principal: Principal) -> Response:
        """Return the numbers of one chart or table as CSV or JSON."""
        name, file_format = (request.query_params.get(key, "") for key in ("figure", "form"))
        if name not in (*CHARTS, *TABLES) or file_format not in ("csv", "json"):
            raise HTTPError(404, "Chart, table or file format not found.")
        source = self._source(request, principal)
        rows = await run_in_threadpool(lambda: source.rows(name))
        headers = {"Content-Disposition": f'attachment; filename="{name}.{file_format}"'}
        if file_format == "json":
            return json_response(rows, headers=headers)
        return Response(to_csv(rows), headers=headers, media_type="text/csv; charset=utf-8")

    def _source(self, request: Request, principal: Principal) -> MetricsSource:
        now = self._clock()
        filters = _parse_filters(request, now)
        return MetricsSource(
            store=self._store,
            organization_id=principal.organization_id,
            agent_id=filters.fields.get("agent_id"),
            filters=filters,
            now=now,
        )


def _parse_filters(request: Request, now: int) -> PageFilters:
    filters = parse_filters(request, now, default_range="7d")
    if unsupported := set(filters.fields) - {"agent_id"}:
        names = ", ".join(sorted(unsupported))
        raise HTTPError(422, f"Metrics can be filtered by agent_id and by time, but not by {names}.")
    return filters
