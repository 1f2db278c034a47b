"""Metric deltas: the changes of metrics that are not part of the rollups yet.

Each commit of reports appends one row to `metric_deltas` for each organization. The column `amounts` of a row is a JSON
object: amounts by agent, by the first microsecond of the hour in which the tasks count. This delta says that one task
of the agent "support" ended, and that the agent "search" has a new task:

    {
        "search": {"1760000400000000": {"executing runs": 1}},
        "support": {"1760000400000000": {"executing runs": -1, "completed runs": 1, "completed duration": 1500000}}
    }
"""

import random
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from sqlalchemy import Connection, bindparam, delete, insert, select

from xpander_server.clock import HOUR
from xpander_server.domain.metrics import Amounts, add_amounts
from xpander_server.domain.task import Task
from xpander_server.json_text import as_text
from xpander_server.store.bulk import BulkStatement
from xpander_server.store.schema.tables import AmountsByAgent, metric_deltas, tasks

METRIC_COLUMNS = [
    tasks.c[name]
    for name in (
        "organization_id", "id", "agent_id", "created_at", "updated_at", "is_success", "duration", "tokens",
        "used_tools", "model", "cost", "calls", "call_costs",
    )
]  # fmt: skip
"""Columns of a task that its amounts depend on, and those that every `Task` needs."""

# Not the shared generator of `random`: an embedding program may have seeded that one alike in each of its processes.
random_source = random.SystemRandom()

_INSERT = BulkStatement(insert(metric_deltas), ["organization_id", "id", "amounts"])
_SELECT = select(metric_deltas.c.amounts).where(metric_deltas.c.organization_id == bindparam("organization"))
# A deleted row belongs to the transaction that deleted it, so two compactions never count it twice.
_DELETE = (
    delete(metric_deltas)
    .where(metric_deltas.c.organization_id == bindparam("organization"))
    .returning(metric_deltas.c.amounts)
)


class AgentHour(NamedTuple):
    """One hour of one agent: the smallest time bucket of metrics."""

    agent_id: str
    hour: int
    """First microsecond of the hour."""


class DeltaSize(NamedTuple):
    """Size of a delta, which the work of a compaction depends on."""

    characters: int
    """Length of its JSON text."""
    buckets: int
    """Number of hours of agents that it changes."""


class MetricDelta:
    """Change of the metrics of one organization.

    Attributes:
        buckets: The change of the amounts of each agent in each hour.
    """

    def __init__(self) -> None:
        self.buckets: dict[AgentHour, Amounts] = {}

    def __bool__(self) -> bool:
        return any(self.buckets.values())

    def add(self, agent_id: str, hour: int, amounts: Mapping[str, int]) -> None:
        """Add a change of the amounts of an agent in an hour."""
        add_amounts(self.buckets.setdefault(AgentHour(agent_id, hour), {}), amounts)

    def add_row(self, by_agent: AmountsByAgent) -> None:
        """Add the change that a row of `metric_deltas` holds."""
        for agent_id, by_hour in by_agent.items():
            for hour, amounts in by_hour.items():
                self.add(agent_id, hour, amounts)

    def to_row(self) -> AmountsByAgent:
        """Return the change as a row of `metric_deltas` holds it."""
        by_agent: AmountsByAgent = {}
        for (agent_id, hour), amounts in self.buckets.items():
            by_agent.setdefault(agent_id, {})[hour] = amounts
        return by_agent


def collect_deltas(changes: Iterable[tuple[Task, Amounts]]) -> dict[str, MetricDelta]:
    """Return the deltas of some tasks by organization.

    Args:
        changes: Tasks with the change of the amounts at the time at which the task counts, its `created_at`.
    """
    deltas: dict[str, MetricDelta] = {}
    for task, amounts in changes:
        delta = deltas.get(task.organization_id)
        if delta is None:
            delta = deltas[task.organization_id] = MetricDelta()
        delta.add(task.agent_id, task.created_at // HOUR * HOUR, amounts)
    return deltas


def append_deltas(connection: Connection, deltas: Mapping[str, MetricDelta]) -> dict[str, DeltaSize]:
    """Insert one row for each organization whose metrics change.

    Returns:
        The size of each inserted delta, by organization.
    """
    rows = [
        (organization_id, random_source.getrandbits(63), as_text(delta.to_row()))
        for organization_id, delta in sorted(deltas.items())
        if delta
    ]
    _INSERT.execute(connection, rows)
    return {
        organization_id: DeltaSize(len(amounts), len(deltas[organization_id].buckets))
        for organization_id, _, amounts in rows
    }


def read_delta(connection: Connection, organization_id: str) -> MetricDelta:
    """Return the sum of the deltas of an organization that are not part of the rollups yet."""
    delta = MetricDelta()
    for by_agent in connection.scalars(_SELECT, {"organization": organization_id}):
        delta.add_row(by_agent)
    return delta


def take_delta(connection: Connection, organization_id: str) -> MetricDelta:
    """Delete the deltas of an organization and return their sum."""
    delta = MetricDelta()
    for by_agent in connection.scalars(_DELETE, {"organization": organization_id}):
        delta.add_row(by_agent)
    return delta
