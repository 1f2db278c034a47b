"""Errors page: the failures of an organization, grouped by their errors."""

from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from xpander_server.auth.authentication import Principal
from xpander_server.domain import metrics
from xpander_server.http.concurrency import ListRunner
from xpander_server.http.errors import HTTPError
from xpander_server.store import Store
from xpander_server.web.failures import MAX_FAILURES, TREND_BARS, read_failures
from xpander_server.web.filters import TIME_RANGES, PageFilters, has_empty_fields, parse_filters, without_empty_fields
from xpander_server.web.rendering import link, redirect, render_page

_MAX_GROUPS = 100


class ErrorsPage:
    """The errors page.

    Args:
        store: The store whose failures are shown.
        clock: Returns the current time in microseconds since 1970 (UTC).
        run_list: Executes lists and searches.
    """

    def __init__(self, store: Store, clock: Callable[[], int], run_list: ListRunner) -> None:
        self._store = store
        self._clock = clock
        self._run_list = run_list

    async def show(self, request: Request, principal: Principal) -> Response:
        """Render the page."""
        if has_empty_fields(request):
            return redirect(link("errors", without_empty_fields(request)))
        filters = parse_filters(request, self._clock(), default_range="7d")
        if unsupported := set(filters.fields) - {"agent_id"}:
            names = ", ".join(sorted(unsupported))
            raise HTTPError(422, f"Errors can be filtered by agent_id and by time, but not by {names}.")
        organization_id = principal.organization_id
        context = await self._run_list(organization_id, lambda: self._context(filters, organization_id))
        return await render_page("errors.html", {**context, "principal": principal})

    def _context(self, filters: PageFilters, organization_id: str) -> dict[str, Any]:
        agent_id = filters.fields.get("agent_id")
        failures = read_failures(self._store, organization_id, agent_id, filters)
        amounts = self._store.metrics(organization_id, agent_id, since=filters.since, until=filters.until).amounts
        return {
            "filters": filters,
            "time_ranges": TIME_RANGES,
            "agent_id": agent_id,
            "known_agents": [agent["agent_id"] for agent in metrics.summarize_agents(amounts)],
            "failures": failures,
            "failed_runs": metrics.summarize_point(amounts)["runs"]["failed"],
            "groups": failures.groups[:_MAX_GROUPS],
            "max_failures": MAX_FAILURES,
            "trend_bars": TREND_BARS,
            "run_parameters": {**filters.parameters, "status": "failed"},
        }
