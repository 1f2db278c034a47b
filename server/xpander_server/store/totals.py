"""Reading metrics: of rollups, of what is not in them yet, and of the tasks at the ends of a range.

How long it takes depends on the range, not on the number of tasks: whole hours are read from rollups, the longest that
fit; only of the two hours that a range cuts through, the tasks are looked at.
"""

from collections.abc import Iterator, Mapping

from attrs import frozen
from sqlalchemy import Connection, or_, select

from xpander_server.metrics import Amounts, add, contribution, of_organization
from xpander_server.store.rollups import HOUR, ORGANIZATION, SPANS, each
from xpander_server.store.tables import movements, rollups, tasks
from xpander_server.tasks import Task

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
class Totals:
    """What the tasks of a range add up to."""

    amounts: Amounts
    series: list[tuple[int, Amounts]] | None = None
    """The newest points in the order of time, those without tasks left out: the first microsecond, and its amounts."""


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

    def totals(self, connection: Connection, *, hours: int | None = None) -> Totals:
        """All that they add up to; with `hours` (1 or 24), by spans of that many, too."""
        since, until = self._bounds
        pending = list(self._pending(connection))
        amounts = self._sum(connection, pending, since, until)
        return Totals(amounts, None if hours is None else self._series(connection, pending, hours))

    def _sum(self, connection: Connection, pending: list[tuple[int, Amounts]], since: int, until: int) -> Amounts:
        total: Amounts = {}
        first, last = -(-since // HOUR) * HOUR, until // HOUR * HOUR
        if first > last:
            self._add_tasks(connection, total, since, until)
            return total
        self._add_tasks(connection, total, since, first)
        self._add_tasks(connection, total, last, until)
        for _, amounts in self._rollups(connection, list(cover(first, last))):
            add(total, amounts)
        for hour, amounts in pending:
            if first <= hour < last:
                add(total, amounts)
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
                    add(points.setdefault(hour // size * size, {}), amounts)
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

    def _pending(self, connection: Connection) -> Iterator[tuple[int, Amounts]]:
        """What is not in the rollups yet, by hour."""
        query = select(movements.c.amounts).where(movements.c.organization_id == self.organization_id)
        for by_agent in connection.scalars(query):
            for agent_id, hour, amounts in each(by_agent):
                if agent_id == self.agent_id:
                    yield hour, amounts
                elif self.agent_id is None:
                    yield hour, of_organization(agent_id, amounts)

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
            amounts: Mapping[str, int] = contribution(task)
            add(total, amounts if self.agent_id is not None else of_organization(task.agent_id, amounts))


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
