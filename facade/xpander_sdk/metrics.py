"""What the runs of an agent add up to."""

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from attrs import frozen

from xpander_sdk.reporting.tokens import TOKEN_KINDS, Tokens
from xpander_sdk.reporting.validation import parse_datetime

if TYPE_CHECKING:
    from xpander_api import models


@frozen
class RunCounts:
    """Tasks by what became of them."""

    total: int
    completed: int
    failed: int
    executing: int


@frozen
class DurationSummary:
    """Seconds, over the runs that ended; None where there are none. Percentiles by nearest rank, within 1 %."""

    total: float
    p50: float | None
    p95: float | None
    p99: float | None


@frozen
class CostSummary:
    """US dollars of the runs whose cost is known, None where there are none; and how many are not known."""

    total: float | None
    unpriced_runs: int


@frozen
class ToolUse:
    """How often a tool was called, and in how many runs."""

    calls: int
    runs: int


@frozen
class ModelUsage:
    """The runs whose response names a model: their tokens (prompt and completion) and US dollars, as in `Cost`."""

    runs: int
    total_tokens: int
    cost: float | None
    unpriced_runs: int


@frozen
class MetricsPoint:
    """What the runs of one hour or day add up to; the fields are those of `Metrics`."""

    start: datetime
    runs: RunCounts
    success_rate: float | None
    duration: DurationSummary
    tokens: Tokens
    cost: CostSummary


@frozen
class Metrics:
    """What the runs of an agent add up to; each run counts once, in the state that it has now.

    Attributes:
        agent_id: None for all agents of the organisation.
        since, until: the range asked for, in UTC; None where it is open.
        success_rate: completed over completed and failed, 0 to 1; None before the first run has ended.
        tokens: of all runs together.
        tools: by name, most called first.
        models: by name, most used first.
        series: by hour or day in the order of time, where that was asked for; else None.
        agents: the runs of each agent, the busiest first, of a whole organisation; else None.
    """

    agent_id: str | None
    organization_id: str
    since: datetime | None
    until: datetime | None
    runs: RunCounts
    success_rate: float | None
    duration: DurationSummary
    tokens: Tokens
    cost: CostSummary
    tools: Mapping[str, ToolUse]
    models: Mapping[str, ModelUsage]
    series: tuple[MetricsPoint, ...] | None = None
    agents: Mapping[str, RunCounts] | None = None


def metrics_from_response(answer: "models.AgentMetrics | models.OrganizationMetrics") -> Metrics:
    """The metrics that a backend answered."""
    agents = getattr(answer, "agents", None)
    return Metrics(
        agent_id=getattr(answer, "agent_id", None),
        organization_id=answer.organization_id,
        since=parse_datetime("since", answer.since),
        until=parse_datetime("until", answer.until),
        runs=_runs(answer.runs),
        success_rate=answer.success_rate,
        duration=_durations(answer.duration),
        tokens=_tokens(answer.tokens),
        cost=_cost(answer.cost),
        tools={tool.name: ToolUse(tool.calls, tool.runs) for tool in answer.tools},
        models={
            model.name: ModelUsage(model.runs, model.total_tokens, model.cost, model.unpriced_runs)
            for model in answer.models
        },
        series=None if answer.series is None else tuple(_point(point) for point in answer.series),
        agents=None if agents is None else {agent.agent_id: _runs(agent.runs) for agent in agents},
    )


def _point(point: "models.MetricsPoint") -> MetricsPoint:
    return MetricsPoint(
        start=point.start,
        runs=_runs(point.runs),
        success_rate=point.success_rate,
        duration=_durations(point.duration),
        tokens=_tokens(point.tokens),
        cost=_cost(point.cost),
    )


def _runs(counts: "models.RunCounts") -> RunCounts:
    return RunCounts(counts.total, counts.completed, counts.failed, counts.executing)


def _durations(summary: "models.DurationSummary") -> DurationSummary:
    return DurationSummary(summary.total, summary.p50, summary.p95, summary.p99)


def _tokens(totals: "models.TokenTotals") -> Tokens:
    return Tokens(**{kind: getattr(totals, kind) for kind in TOKEN_KINDS})


def _cost(summary: "models.CostSummary") -> CostSummary:
    return CostSummary(summary.total, summary.unpriced_runs)
