"""Metrics of the runs of an agent or an organization."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, ClassVar

from xpander_sdk._records import field, frozen
from xpander_sdk.api_object import ApiObject
from xpander_sdk.reporting.tokens import Tokens
from xpander_sdk.reporting.usage import TOKEN_KINDS
from xpander_sdk.reporting.validation import parse_datetime

if TYPE_CHECKING:
    from xpander_api import models


_MAX_HTML_ROWS = 10


@frozen(repr=False)
class RunCounts(ApiObject):
    """Number of runs by status.

    Attributes:
        total: All runs.
        completed: Runs that succeeded.
        failed: Runs that failed.
        executing: Runs in progress.
    """

    total: int
    completed: int
    failed: int
    executing: int


@frozen(repr=False)
class DurationSummary(ApiObject):
    """Durations, in seconds, of the runs that have ended and have a duration.

    Percentiles use the nearest rank, and are accurate to 1 %. They are None if no run has a duration.

    Attributes:
        total: Sum of all durations.
        p50: Median.
        p95: 95th percentile.
        p99: 99th percentile.
    """

    total: float
    p50: float | None
    p95: float | None
    p99: float | None


@frozen(repr=False)
class CostSummary(ApiObject):
    """Cost of runs, in US dollars.

    Attributes:
        total: Cost of the runs whose cost is known; None if no cost is known.
        unpriced_runs: Number of runs whose cost is not known.
    """

    total: float | None
    unpriced_runs: int


@frozen(repr=False)
class ToolUse(ApiObject):
    """Use of one tool.

    Attributes:
        calls: Number of calls.
        runs: Number of runs that called the tool.
    """

    calls: int
    runs: int


@frozen(repr=False)
class ModelUsage(ApiObject):
    """Use of one model: the runs whose response names it.

    Attributes:
        runs: Number of runs.
        total_tokens: Prompt and completion tokens of these runs.
        cost: Cost of the runs whose cost is known, in US dollars; None if no cost is known.
        unpriced_runs: Number of runs whose cost is not known.
    """

    runs: int
    total_tokens: int
    cost: float | None
    unpriced_runs: int


@frozen(repr=False)
class MetricsPoint(ApiObject):
    """Metrics of one hour or day.

    Attributes:
        start: Start of the hour or day, in UTC.
        runs: Number of runs.
        success_rate: Completed runs over completed and failed runs, from 0 to 1; None if no run has ended.
        duration: Durations.
        tokens: Token usage of all runs.
        cost: Cost.
    """

    start: datetime
    runs: RunCounts
    success_rate: float | None
    duration: DurationSummary
    tokens: Tokens
    cost: CostSummary


@frozen(repr=False)
class Metrics(ApiObject):
    """Metrics of an agent or an organization. Each run counts once, with its present status.

    Attributes:
        agent_id: The agent; None for all agents of the organization.
        organization_id: The organization.
        since: Start of the requested range, in UTC; None if it has no start.
        until: End of the requested range, in UTC; None if it has no end.
        runs: Number of runs.
        success_rate: Completed runs over completed and failed runs, from 0 to 1; None if no run has ended.
        duration: Durations.
        tokens: Token usage of all runs.
        cost: Cost.
        tools: Tools by name, most calls first. A server counts at most 1,000 names separately; "(other tools)" sums up
            the others, and is last.
        models: Models by name, most runs first; "(other models)" sums up those beyond the limit.
        series: Metrics by hour or day, oldest first, without hours or days that have no runs; None if no series was
            requested.
        agents: Runs of each agent, most runs first; "(other agents)" sums up those beyond the limit. None for the
            metrics of one agent.
        other_names: About how many distinct names the entries "(other tools)", "(other models)" and "(other agents)"
            sum up, by "tools", "models" and "agents"; without those for which the server states no number. It counts
            the whole organization in the periods of 32 days that the range touches.
    """

    _first_fields: ClassVar[tuple[str, ...]] = ("agent_id", "runs", "success_rate", "cost", "duration", "tokens")

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
    other_names: Mapping[str, int] = field(factory=dict)

    def _html_rows(self) -> Iterator[tuple[str, str]]:
        yield "Agent" if self.agents is None else "Organization", self.agent_id or self.organization_id
        yield "Since", "the first run" if self.since is None else f"{self.since}"
        yield "Until", "now" if self.until is None else f"{self.until}"
        runs, duration, cost = self.runs, self.duration, self.cost
        yield (
            "Runs",
            f"{runs.total:,} ({runs.completed:,} completed, {runs.failed:,} failed, {runs.executing:,} executing)",
        )
        if self.success_rate is not None:
            yield "Success rate", f"{self.success_rate:.1%}"
        if duration.p50 is not None:
            yield "Duration", f"p50 {duration.p50:,.2f} s, p95 {duration.p95:,.2f} s, p99 {duration.p99:,.2f} s"
        yield "Tokens", f"{self.tokens.total_tokens:,}"
        if cost.total is not None:
            yield "Cost", f"${cost.total:,.4f} ({cost.unpriced_runs:,} runs without a known cost)"
        yield from _html_counts("Calls of", {name: tool.calls for name, tool in self.tools.items()})
        yield from _html_counts("Runs with", {name: model.runs for name, model in self.models.items()})
        yield from _html_counts("Runs of", {name: runs.total for name, runs in (self.agents or {}).items()})


def _html_counts(label: str, counts: Mapping[str, int]) -> Iterator[tuple[str, str]]:
    """Yield a row for each of the first ten entries, and one row with the number of the others."""
    for name, count in islice(counts.items(), _MAX_HTML_ROWS):
        yield f"{label} {name}", f"{count:,}"
    if len(counts) > _MAX_HTML_ROWS:
        yield f"{label} …", f"{len(counts) - _MAX_HTML_ROWS:,} more entries"


def metrics_from_model(model: "models.AgentMetrics | models.OrganizationMetrics") -> Metrics:
    """Return the metrics of a response."""
    agents = getattr(model, "agents", None)
    return Metrics(
        agent_id=getattr(model, "agent_id", None),
        organization_id=model.organization_id,
        since=parse_datetime("since", model.since),
        until=parse_datetime("until", model.until),
        runs=_runs(model.runs),
        success_rate=model.success_rate,
        duration=_durations(model.duration),
        tokens=_tokens(model.tokens),
        cost=_cost(model.cost),
        tools={tool.name: ToolUse(tool.calls, tool.runs) for tool in model.tools},
        models={
            usage.name: ModelUsage(usage.runs, usage.total_tokens, usage.cost, usage.unpriced_runs)
            for usage in model.models
        },
        series=None if model.series is None else tuple(_point(point) for point in model.series),
        agents=None if agents is None else {agent.agent_id: _runs(agent.runs) for agent in agents},
        other_names=_other_names(tools=model.tools, models=model.models, agents=agents or ()),
    )


def _other_names(
    **entries: "Sequence[models.ToolUse] | Sequence[models.ModelUsage] | Sequence[models.AgentRuns]",
) -> dict[str, int]:
    """Return the numbers of names in the overflow entries, which are the last ones."""
    numbers = {kind: rows[-1].names for kind, rows in entries.items() if rows}
    return {kind: number for kind, number in numbers.items() if isinstance(number, int)}


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
