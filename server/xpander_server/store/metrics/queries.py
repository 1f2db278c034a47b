"""Metrics queries: sums of rollups, of uncompacted deltas, and of the tasks at both ends of a time range.

The time that a query takes depends on the length of its range, not on the number of tasks: full hours are read from the
fewest rollups that cover them. Tasks are read for the two incomplete hours at the ends only. See `rollups`.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from attrs import field, frozen
from sqlalchemy import Connection, or_, select

from xpander_server.clock import HOUR
from xpander_server.domain.metric_names import NameRegistry, count_rejected_names, limit_names
from xpander_server.domain.metrics import (
    Amounts,
    add_amounts,
    has_other_names,
    summarize_agents,
    task_amounts,
    with_agent_runs,
)
from xpander_server.domain.task import Task
from xpander_server.store.metrics.deltas import METRIC_COLUMNS, read_delta
from xpander_server.store.metrics.registries import (
    ORGANIZATION,
    FoldedHour,
    fold_delta,
    period_start,
    read_all_registries,
    read_registries,
)
from xpander_server.store.metrics.rollups import ROLLUP_HOURS
from xpander_server.store.schema.tables import rollups, tasks

MAX_POINTS = 1_000
"""Largest number of points in a series."""

END_OF_TIME = 2**62 // (ROLLUP_HOURS[-1] * HOUR) * (ROLLUP_HOURS[-1] * HOUR)
"""A time later than any task, at which rollups of all lengths end."""

HourAmounts = tuple[int, Amounts]
"""The first microsecond of a time bucket and its amounts."""


@frozen
class MetricsResult:
    """Sums of the tasks in a time range."""

    amounts: Amounts
    """The sum of all tasks."""
    series: list[HourAmounts] | None = None
    """Sums by time bucket, oldest first; buckets without tasks are left out. At most the newest `MAX_POINTS`."""
    by_agent: dict[str, Amounts] = field(factory=dict)
    """Sums of the agents with the most runs."""
    other_names: dict[str, int] = field(factory=dict)
    """About how many distinct names are summed up without their names, by kind: "tool", "model" and "agent"."""


@frozen(kw_only=True)
class MetricsQuery:
    """Query of the metrics of the tasks created in a time range.

    Attributes:
        organization_id: The organization.
        agent_id: The agent; None for all agents of the organization.
        since: The start of the range, in microseconds since 1970; None for no limit.
        until: The end of the range, exclusive, in microseconds since 1970; None for no limit.
        bucket_hours: The length of a time bucket of the series: 1 or 24 hours; None for no series.
        top_agents: The number of agents to return sums for: those with the most runs.
    """

    organization_id: str
    agent_id: str | None = None
    since: int | None = None
    until: int | None = None
    bucket_hours: int | None = None
    top_agents: int = 0

    def run(self, connection: Connection) -> MetricsResult:
        """Return the sums."""
        since = 0 if self.since is None else max(0, self.since)
        until = max(since, END_OF_TIME if self.until is None else min(END_OF_TIME, self.until))
        uncompacted, registries = _read_uncompacted(connection, self.organization_id)
        incomplete_hours = _TaskAmounts(connection, self.organization_id, self.agent_id)
        reader = _Reader(connection, self.organization_id, self.agent_id, uncompacted, incomplete_hours)
        amounts, registry = limit_names(reader.sum(since, until))
        series = None if self.bucket_hours is None else reader.series(since, until, self.bucket_hours)
        by_agent = {}
        agent_ids = [agent["agent_id"] for agent in summarize_agents(amounts) if not agent.get("is_overflow")]
        for agent_id in agent_ids[: self.top_agents]:
            reader = _Reader(connection, self.organization_id, agent_id, uncompacted, incomplete_hours)
            by_agent[agent_id] = reader.sum(since, until)
        other_names = {}
        if has_other_names(amounts):
            # The registries of the uncompacted deltas have also the names that a compaction would reject.
            stored = read_all_registries(connection, self.organization_id, period_start(since), until)
            in_range = {start: each for start, each in registries.items() if period_start(since) <= start < until}
            other_names = count_rejected_names([registry, *{**stored, **in_range}.values()])
        return MetricsResult(amounts, series, by_agent, other_names)


def _read_uncompacted(connection: Connection, organization_id: str) -> tuple[list[FoldedHour], dict[int, NameRegistry]]:
    """Return the uncompacted deltas, with the names that a compaction would keep, and the registries after it."""
    delta = read_delta(connection, organization_id)
    registries = read_registries(connection, organization_id, (hour for _, hour in delta.buckets))
    return list(fold_delta(registries, delta)), registries


class _TaskAmounts:
    """Amounts of the tasks in incomplete hours: of one agent, or of an organization where `agent_id` is None.

    A query needs those of each hour several times: for its sum, for its series, and for each of the agents.
    """

    def __init__(self, connection: Connection, organization_id: str, agent_id: str | None) -> None:
        self._connection = connection
        self._conditions = [tasks.c.organization_id == organization_id]
        if agent_id is not None:
            self._conditions.append(tasks.c.agent_id == agent_id)
        self._amounts: dict[tuple[int, int], list[tuple[str, Amounts]]] = {}

    def read(self, since: int, until: int) -> list[tuple[str, Amounts]]:
        """Return the agent and the amounts of each task from `since` to before `until`."""
        amounts = self._amounts.get((since, until))
        if amounts is None:
            query = select(*METRIC_COLUMNS).where(*self._conditions, tasks.c.created_at.between(since, until - 1))
            read_tasks = (Task(**row._mapping) for row in self._connection.execute(query))
            amounts = self._amounts[since, until] = [(task.agent_id, task_amounts(task)) for task in read_tasks]
        return amounts


class _Reader:
    """Reader of the sums of one agent, or of one organization where `agent_id` is None."""

    def __init__(
        self,
        connection: Connection,
        organization_id: str,
        agent_id: str | None,
        uncompacted: Sequence[FoldedHour],
        incomplete_hours: _TaskAmounts,
    ) -> None:
        self._connection = connection
        self._organization_id = organization_id
        self._agent_id = agent_id
        self._incomplete_hours = incomplete_hours
        self._uncompacted: list[HourAmounts] = [
            (change.hour, change.organization_amounts if agent_id is None else change.amounts)
            for change in uncompacted
            if agent_id in (None, change.agent_id)
        ]

    def sum(self, since: int, until: int) -> Amounts:
        """Return the sum of the tasks from `since` to before `until`."""
        total: Amounts = {}
        first, last = _round_up(since, HOUR), _round_down(until, HOUR)
        if first > last:  # the range lies within one hour
            self._add_tasks(total, since, until)
            return total
        self._add_tasks(total, since, first)
        self._add_tasks(total, last, until)
        for _, amounts in self._read_rollups(list(cover_with_rollups(first, last))):
            add_amounts(total, amounts)
        for hour, amounts in self._uncompacted:
            if first <= hour < last:
                add_amounts(total, amounts)
        return total

    def series(self, since: int, until: int, bucket_hours: int) -> list[HourAmounts]:
        """Return the sums of the time buckets from `since` to before `until`."""
        size = bucket_hours * HOUR
        first, last = _round_up(since, size), _round_down(until, size)
        points: dict[int, Amounts] = {}
        if first > last:  # the range lies within one bucket
            points[_round_down(since, size)] = self.sum(since, until)
        else:
            points.update(self._read_rollups([RollupRange(bucket_hours, first, last)], limit=MAX_POINTS))
            for hour, amounts in self._uncompacted:
                if first <= hour < last:
                    add_amounts(points.setdefault(_round_down(hour, size), {}), amounts)
            # The incomplete buckets at both ends.
            if since < first:
                points[first - size] = self.sum(since, first)
            if last < until:
                points[last] = self.sum(last, until)
        return [(start, amounts) for start, amounts in sorted(points.items()) if amounts][-MAX_POINTS:]

    def _read_rollups(self, ranges: "Sequence[RollupRange]", *, limit: int | None = None) -> list[HourAmounts]:
        """Return the rollups in some ranges; with `limit`, that many of the newest."""
        if not ranges:
            return []
        in_ranges = [
            (rollups.c.hours == hours) & rollups.c.start.between(start, end - 1) for hours, start, end in ranges
        ]
        query = select(rollups.c.start, rollups.c.amounts).where(
            rollups.c.organization_id == self._organization_id,
            rollups.c.agent_id == (ORGANIZATION if self._agent_id is None else self._agent_id),
            or_(*in_ranges),
        )
        if limit is not None:
            query = query.order_by(rollups.c.start.desc()).limit(limit)
        return [(start, amounts) for start, amounts in self._connection.execute(query)]

    def _add_tasks(self, total: Amounts, since: int, until: int) -> None:
        if since >= until:
            return
        for agent_id, amounts in self._incomplete_hours.read(since, until):
            if self._agent_id is None:
                add_amounts(total, with_agent_runs(agent_id, amounts))
            elif agent_id == self._agent_id:
                add_amounts(total, amounts)


class RollupRange(NamedTuple):
    """Consecutive rollups of one length."""

    hours: int
    """Length of each rollup."""
    start: int
    """First microsecond of the first rollup."""
    end: int
    """First microsecond after the last rollup."""


def cover_with_rollups(first: int, last: int, lengths: Sequence[int] = ROLLUP_HOURS) -> Iterator[RollupRange]:
    """Yield the fewest rollups that cover a range of full hours without a gap or an overlap.

    A range from Monday 22:00 to Thursday 02:00 is covered by two hours, the days Tuesday and Wednesday, and two hours.

    Args:
        first: The first microsecond of the range.
        last: The first microsecond after the range.
        lengths: The lengths of the rollups to use, shortest first.
    """
    if first >= last:
        return
    *shorter, hours = lengths
    size = hours * HOUR
    inner_first, inner_last = _round_up(first, size), _round_down(last, size)
    if inner_first < inner_last:
        yield from cover_with_rollups(first, inner_first, shorter)
        yield RollupRange(hours, inner_first, inner_last)
        yield from cover_with_rollups(inner_last, last, shorter)
    else:
        yield from cover_with_rollups(first, last, shorter)


def _round_down(time: int, size: int) -> int:
    return time // size * size


def _round_up(time: int, size: int) -> int:
    return -(-time // size) * size
