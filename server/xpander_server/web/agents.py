"""Pages of agents: the list of all agents with a search, and the page of one agent."""

from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from xpander_server.auth.authentication import Principal
from xpander_server.domain import metrics
from xpander_server.http.concurrency import ListRunner
from xpander_server.http.errors import HTTPError, validation_error
from xpander_server.store import Store, TaskQuery
from xpander_server.web.agent_comparison import Comparison, compare_with_agent, compare_with_previous_period
from xpander_server.web.failures import TREND_BARS, read_failures
from xpander_server.web.filters import (
    TIME_RANGES,
    PageFilters,
    has_empty_fields,
    parse_filters,
    required_parameter,
    without_empty_fields,
)
from xpander_server.web.metrics_view import MetricsSource, PeriodFigures, label_overflow
from xpander_server.web.rendering import link, redirect, render_page

MAX_AGENTS = 100
"""Agents of the list; the search finds the others."""
DETAILED_AGENTS = 15
"""Agents of the list with durations, tokens and cost."""
RECENT_RUNS = 10
_MAX_ERROR_GROUPS = 5
_CHARTS_BESIDE_COMPARISON = ("durations", "cache", "cost")
_MAX_ID_LENGTH = 255


class AgentPages:
    """The list of agents, and the page of one agent.

    Args:
        store: The store whose agents are shown.
        clock: Returns the current time in microseconds since 1970 (UTC).
        run_list: Executes lists and searches.
    """

    def __init__(self, store: Store, clock: Callable[[], int], run_list: ListRunner) -> None:
        self._store = store
        self._clock = clock
        self._run_list = run_list

    async def show_list(self, request: Request, principal: Principal) -> Response:
        """Render the list of agents, those with the most runs first."""
        if has_empty_fields(request):
            return redirect(link("agents", without_empty_fields(request)))
        filters = parse_filters(request, self._clock(), default_range="30d")
        _reject_filters(filters, {"q"})
        organization_id = principal.organization_id
        context = await self._run_list(organization_id, lambda: self._list_context(filters, organization_id))
        return await render_page("agents.html", {**context, "principal": principal})

    async def show(self, request: Request, principal: Principal) -> Response:
        """Render the page of one agent."""
        if has_empty_fields(request):
            return redirect(link("agent", without_empty_fields(request)))
        agent_id, other_agent = required_parameter(request, "id"), request.query_params.get("compare_with")
        for name, value in (("id", agent_id), ("compare_with", other_agent or "")):
            if len(value) > _MAX_ID_LENGTH or not value.isprintable():
                raise validation_error("query", name, f"must be at most {_MAX_ID_LENGTH} printable characters", "agent")
        now = self._clock()
        filters = parse_filters(request, now, default_range="7d")
        _reject_filters(filters, set())
        source = MetricsSource(
            store=self._store,
            organization_id=principal.organization_id,
            agent_id=agent_id,
            filters=filters,
            now=now,
        )
        has_numbers = request.query_params.get("numbers") == "all"
        is_compared = request.query_params.get("compare") == "period"

        def read() -> dict[str, Any]:
            figures = source.read(with_previous=True)
            comparison = _compare(source, figures, agent_id, other_agent, with_period=is_compared)
            return self._context(source, figures, agent_id, comparison, has_numbers=has_numbers)

        context = await self._run_list(principal.organization_id, read)
        page_context = {
            "principal": principal,
            "agent_id": agent_id,
            "compare_with": other_agent,
            "is_compared_with_period": is_compared,
        }
        return await render_page("agent.html", {**context, **page_context})

    def _list_context(self, filters: PageFilters, organization_id: str) -> dict[str, Any]:
        result = self._store.metrics(organization_id, since=filters.since, until=filters.until)
        agents = label_overflow(metrics.summarize_agents(result.amounts, result.other_names), "agent_id")
        search = filters.fields.get("q", "").casefold()
        matches = [agent for agent in agents if search in agent["agent_id"].casefold()]
        detailed = [agent["agent_id"] for agent in matches if not agent.get("is_overflow")][:DETAILED_AGENTS]
        amounts = self._store.agent_metrics(organization_id, detailed, since=filters.since, until=filters.until)
        return {
            "filters": filters,
            "time_ranges": TIME_RANGES,
            "search": filters.fields.get("q"),
            "agents": matches[:MAX_AGENTS],
            "match_count": len(matches),
            "details": {agent_id: metrics.summarize_point(each) for agent_id, each in amounts.items()},
            "period_parameters": _period_parameters(filters),
        }

    def _context(
        self,
        source: MetricsSource,
        figures: PeriodFigures,
        agent_id: str,
        comparison: Comparison | None,
        *,
        has_numbers: bool,
    ) -> dict[str, Any]:
        filters, organization_id = source.filters, source.organization_id
        failures = read_failures(self._store, organization_id, agent_id, filters)
        query = TaskQuery(
            organization_id=organization_id, filters={"agent_id": agent_id}, since=filters.since, until=filters.until
        )
        agents = metrics.summarize_agents(
            self._store.metrics(organization_id, since=filters.since, until=filters.until).amounts
        )
        context = source.context("agent", {"id": agent_id}, figures, has_numbers=has_numbers)
        if comparison is not None:
            # The others have the figures of the comparison.
            context["charts"] = [chart for chart in context["charts"] if chart.name in _CHARTS_BESIDE_COMPARISON]
        return {
            **context,
            "filters": filters,
            "time_ranges": TIME_RANGES,
            "failures": failures,
            "groups": failures.groups[:_MAX_ERROR_GROUPS],
            "trend_bars": TREND_BARS,
            "tasks": self._store.previews(query, limit=RECENT_RUNS).tasks,
            "comparison": comparison,
            "other_agents": [each["agent_id"] for each in agents if each["agent_id"] != agent_id],
            "period_parameters": _period_parameters(filters),
        }


def _compare(
    source: MetricsSource, figures: PeriodFigures, agent_id: str, other_agent: str | None, *, with_period: bool
) -> Comparison | None:
    if other_agent is not None:
        return compare_with_agent(source, figures, other_agent, agent_id)
    return compare_with_previous_period(source, figures, "this period") if with_period else None


def _reject_filters(filters: PageFilters, supported: set[str]) -> None:
    if unsupported := set(filters.fields) - supported:
        names = ", ".join(sorted(unsupported))
        raise HTTPError(422, f"Pages of agents can be filtered by time, but not by {names}.")


def _period_parameters(filters: PageFilters) -> dict[str, str]:
    return {name: filters.parameters[name] for name in ("since", "until", "last") if name in filters.parameters}
