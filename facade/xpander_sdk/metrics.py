"""What the runs of an agent add up to."""

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from attrs import frozen

from xpander_sdk.arguments import moment
from xpander_sdk.tokens import KINDS, Tokens

if TYPE_CHECKING:
    from xpander_api import models


@frozen
class Runs:
    """Tasks by what became of them."""

    total: int
    completed: int
    failed: int
    executing: int


@frozen
class Durations:
    """Seconds, over the runs that ended; None where there are none. Percentiles by nearest rank."""

    total: float
    p50: float | None
    p95: float | None
    p99: float | None


@frozen
class ToolUse:
    """How often a tool was called, and in how many runs."""

    calls: int
    runs: int


@frozen
class Metrics:
    """What the runs of an agent add up to; each run counts once, in the state that it has now.

    Attributes:
        since, until: the range asked for, in UTC; None where it is open.
        success_rate: completed over completed and failed, 0 to 1; None before the first run has ended.
        tokens: of all runs together.
        tools: by name, most called first.
    """

    agent_id: str
    organization_id: str
    since: datetime | None
    until: datetime | None
    runs: Runs
    success_rate: float | None
    duration: Durations
    tokens: Tokens
    tools: Mapping[str, ToolUse]


def from_answer(answer: "models.AgentMetrics") -> Metrics:
    """The metrics that a backend answered."""
    return Metrics(
        agent_id=answer.agent_id,
        organization_id=answer.organization_id,
        since=moment("since", answer.since),
        until=moment("until", answer.until),
        runs=Runs(answer.runs.total, answer.runs.completed, answer.runs.failed, answer.runs.executing),
        success_rate=answer.success_rate,
        duration=Durations(answer.duration.total, answer.duration.p50, answer.duration.p95, answer.duration.p99),
        tokens=Tokens(**{kind: getattr(answer.tokens, kind) for kind in KINDS}),
        tools={tool.name: ToolUse(tool.calls, tool.runs) for tool in answer.tools},
    )
