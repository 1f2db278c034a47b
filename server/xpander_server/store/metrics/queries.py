"""Reading metrics: of rollups, of what is not in them yet, and of the tasks at the ends of a range.

How long it takes depends on the range, not on the number of tasks: whole hours are read from rollups, the longest that
fit; only of the two hours that a range cuts through, the tasks are looked at.
"""

from collections.abc import Iterator, Mapping

from attrs import evolve, field, frozen
from sqlalchemy import Connection, or_, select

from xpander_server.clock import HOUR
from xpander_server.domain.metrics import Amounts, add_amounts, summarize_agents, task_amounts, with_agent_runs
from xpander_server.domain.task import Task
from xpander_server.store.metrics.rollups import ORGANIZATION, SPANS, Moved, each
from xpander_server.store.schema.tables import metric_deltas, rollups, tasks

POINTS = 1_000
"""Of a series, at the most."""

END = 2**62 // (SPANS[-1] * HOUR) * (SPANS[-1] * HOUR)
"""Later than any task, and where rollups of each span end."""

COUNTED = [
    tasks.c[name]
    for name in (
        "organization_id", "id", "agent_id", "created_at", "updated_at", "is_success", "duration", "tokens",
        "used_tools", "model", "cost",
    )
]  # fmt: skip


@frozen
class MetricsResult:
    """What the tasks of a range add up to."""

    amounts: Amounts
    series: list[tuple[int, Amounts]] | None = None
    """The newest points in the order of time, those without tasks left out: the first microsecond, and its amounts."""
    by_agent: dict[str, Amounts] = field(factory=dict)
    """Of the busiest agents."""


@frozen
class Range:
    """Tasks of an organisation, or of one of its agents, first seen from `since` to before `until`."""

    organization_id: str
    agent_id: str | None
    since: int | None = None
    until: int | None = None

    @property
    def _bounds(self) -> tuple[int, int]:
        since = 0 if self.since is None else max(0, self.since)
        return since, max(since, END if self.until is None else min(END, self.until))

    def totals(self, connection: Connection, *, hours: int | None = None, top_agents: int = 0) -> MetricsResult:
        """All that they add up to; with `hours` (1 or 24), by spans of that many, too; of so many agents, the busiest,
        what each adds up to."""
        since, until = self._bounds
        moved = _moved(connection, self.organization_id)
        pending = self._pending(moved)
        amounts = self._sum(connection, pending, since, until)
        series = None if hours is None else self._series(connection, pending, hours)
        busiest = [agent["agent_id"] for agent in summarize_agents(amounts)[:top_agents]]
        return MetricsResult(amounts, series, {agent_id: self._of(agent_id, connection, moved) for agent_id in busiest})

    def _of(self, agent_id: str, connection: Connection, moved: Moved) -> Amounts:
        of_agent = evolve(self, agent_id=agent_id)
        return of_agent._sum(connection, of_agent._pending(moved), *self._bounds)

    def _sum(self, connection: Connection, pending: list[tuple[int, Amounts]], since: int, until: int) -> Amounts:
        total: Amounts = {}
        first, last = -(-since // HOUR) * HOUR, until // HOUR * HOUR
        if first > last:
            self._add_tasks(connection, total, since, until)
            return total
        self._add_tasks(connection, total, since, first)
        self._add_tasks(connection, total, last, until)
        for _, amounts in self._rollups(connection, list(cover(first, last))):
            add_amounts(total, amounts)
        for hour, amounts in pending:
            if first <= hour < last:
                add_amounts(total, amounts)
        return total

    def _series(
        self, connection: Connection, pending: list[tuple[int, Amounts]], hours: int
    ) -> list[tuple[int, Amounts]]:
        since, until = self._bounds
        size = hours * HOUR
        first, last = -(-since // size) * size, until // size * size
        points: dict[int, Amounts] = {}
        if first > last:
            points[since // size * size] = self._sum(connection, pending, since, until)
        else:
            points.update(self._rollups(connection, [(hours, first, last)], newest=POINTS))
            for hour, amounts in pending:
                if first <= hour < last:
                    add_amounts(points.setdefault(hour // size * size, {}), amounts)
            # The two ends, where they are no whole spans.
            if since < first:
                points[first - size] = self._sum(connection, pending, since, first)
            if last < until:
                points[last] = self._sum(connection, pending, last, until)
        return [(start, amounts) for start, amounts in sorted(points.items()) if amounts][-POINTS:]

    def _rollups(
        self, connection: Connection, covered: list[tuple[int, int, int]], *, newest: int | None = None
    ) -> list[tuple[int, Amounts]]:
        if not covered:
            return []
        within = [(rollups.c.hours == hours) & rollups.c.start.between(lo, hi - 1) for hours, lo, hi in covered]
        query = select(rollups.c.start, rollups.c.amounts).where(
            rollups.c.organization_id == self.organization_id,
            rollups.c.agent_id == (ORGANIZATION if self.agent_id is None else self.agent_id),
            or_(*within),
        )
        if newest is not None:
            query = query.order_by(rollups.c.start.desc()).limit(newest)
        return [(start, amounts) for start, amounts in connection.execute(query)]

    def _pending(self, moved: Moved) -> list[tuple[int, Amounts]]:
        """What is not in the rollups yet, by hour."""
        if self.agent_id is not None:
            return list(moved.get(self.agent_id, {}).items())
        return [
            (hour, with_agent_runs(agent_id, amounts))
            for agent_id, by_hour in moved.items()
            for hour, amounts in by_hour.items()
        ]

    def _add_tasks(self, connection: Connection, total: Amounts, since: int, until: int) -> None:
        if since >= until:
            return
        query = select(*COUNTED).where(
            tasks.c.organization_id == self.organization_id, tasks.c.created_at.between(since, until - 1)
        )
        if self.agent_id is not None:
            query = query.where(tasks.c.agent_id == self.agent_id)
        for row in connection.execute(query):
            task = Task(**row._mapping)
            amounts: Mapping[str, int] = task_amounts(task)
            add_amounts(total, amounts if self.agent_id is not None else with_agent_runs(task.agent_id, amounts))


def _moved(connection: Connection, organization_id: str) -> Moved:
    """What is not in the rollups yet, added up once for all that is asked of it."""
    moved: Moved = {}
    for by_agent in connection.scalars(
        select(metric_deltas.c.amounts).where(metric_deltas.c.organization_id == organization_id)
    ):
        for agent_id, hour, amounts in each(by_agent):
            add_amounts(moved.setdefault(agent_id, {}).setdefault(hour, {}), amounts)
    return moved


def cover(first: int, last: int, spans: int = len(SPANS)) -> Iterator[tuple[int, int, int]]:
    """The fewest rollups that make up a range of whole hours: of how many hours, from where, to where."""
    if first >= last:
        return
    hours = SPANS[spans - 1]
    size = hours * HOUR
    inner_first, inner_last = -(-first // size) * size, last // size * size
    if inner_first < inner_last:
        yield from cover(first, inner_first, spans - 1)
        yield hours, inner_first, inner_last
        yield from cover(inner_last, last, spans - 1)
    else:
        yield from cover(first, last, spans - 1)
