"""Metrics queries: sums of rollups, of uncompacted deltas, and of the tasks at both ends of a time range.

The time that a query takes depends on the length of its range, not on the number of tasks: full hours are the sum of a
few rollups, or the difference of two such sums: 30 days of a period of 32 days are the period without two days. Tasks
are read for the two incomplete hours at the ends only. See `rollups`.
"""

from collections.abc import Sequence
from typing import NamedTuple

from attrs import field, frozen
from sqlalchemy import Connection, or_, select

from xpander_server.clock import HOUR, now
from xpander_server.domain.metric_names import NameRegistry, count_rejected_names, limit_names
from xpander_server.domain.metrics import (
    Amounts,
    add_amounts,
    has_other_names,
    subtract_amounts,
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
    previous: Amounts | None = None
    """Sum of the tasks in `MetricsQuery.previous`."""
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
        previous: The start and the end of another time range whose sum is returned; None for no other.
    """

    organization_id: str
    agent_id: str | None = None
    since: int | None = None
    until: int | None = None
    bucket_hours: int | None = None
    top_agents: int = 0
    previous: tuple[int, int] | None = None

    def run(self, connection: Connection) -> MetricsResult:
        """Return the sums."""
        since, until = _limit_range(self.since, self.until)
        uncompacted, registries = _read_uncompacted(connection, self.organization_id)
        reader = _Reader(connection, self.organization_id, self.agent_id, uncompacted)
        amounts, registry = limit_names(reader.sum(since, until))
        series = None if self.bucket_hours is None else reader.series(since, until, self.bucket_hours)
        agent_ids: Sequence[str] = ()
        if self.top_agents:
            agent_ids = [agent["agent_id"] for agent in summarize_agents(amounts) if not agent.get("is_overflow")]
        by_agent = reader.sum_agents(since, until, agent_ids[: self.top_agents])
        previous = None if self.previous is None else reader.sum(*_limit_range(*self.previous))
        other_names = {}
        if has_other_names(amounts):
            # The registries of the uncompacted deltas have also the names that a compaction would reject.
            stored = read_all_registries(connection, self.organization_id, period_start(since), until)
            in_range = {start: each for start, each in registries.items() if period_start(since) <= start < until}
            other_names = count_rejected_names([registry, *{**stored, **in_range}.values()])
        return MetricsResult(amounts, series, by_agent, previous, other_names)


def read_agents(
    connection: Connection, organization_id: str, agent_ids: Sequence[str], *, since: int | None, until: int | None
) -> dict[str, Amounts]:
    """Return the sums of some agents in a time range, by the id of the agent; see `MetricsQuery`."""
    uncompacted, _ = _read_uncompacted(connection, organization_id)
    return _Reader(connection, organization_id, None, uncompacted).sum_agents(*_limit_range(since, until), agent_ids)


def _limit_range(since: int | None, until: int | None) -> tuple[int, int]:
    start = 0 if since is None else max(0, since)
    return start, max(start, END_OF_TIME if until is None else min(END_OF_TIME, until))


def _read_uncompacted(connection: Connection, organization_id: str) -> tuple[list[FoldedHour], dict[int, NameRegistry]]:
    """Return the uncompacted deltas, with the names that a compaction would keep, and the registries after it."""
    delta = read_delta(connection, organization_id)
    registries = read_registries(connection, organization_id, (hour for _, hour in delta.buckets))
    return list(fold_delta(registries, delta)), registries


class _TaskAmounts:
    """Amounts of the tasks in incomplete hours: of one agent, or of an organization where `agent_id` is None.

    A query needs those of each hour several times: for its sum, for its series, and for its agents.
    """

    def __init__(self, connection: Connection, organization_id: str, agent_id: str | None) -> None:
        self._connection = connection
        self._conditions = [tasks.c.organization_id == organization_id]
        if agent_id is not None:
            self._conditions.append(tasks.c.agent_id == agent_id)
        self._amounts: dict[tuple[int, int], dict[str, Amounts]] = {}

    def read(self, since: int, until: int) -> dict[str, Amounts]:
        """Return the sums of the tasks from `since` to before `until`, by agent."""
        by_agent = self._amounts.get((since, until))
        if by_agent is None:
            query = select(*METRIC_COLUMNS).where(*self._conditions, tasks.c.created_at.between(since, until - 1))
            names = [column.name for column in METRIC_COLUMNS]
            by_agent = self._amounts[since, until] = {}
            for row in self._connection.execute(query):
                task = Task(**dict(zip(names, row, strict=True)))
                add_amounts(by_agent.setdefault(task.agent_id, {}), task_amounts(task))
        return by_agent


class _Reader:
    """Reader of the sums of one agent, or of one organization where `agent_id` is None, and of its agents."""

    def __init__(
        self, connection: Connection, organization_id: str, agent_id: str | None, uncompacted: Sequence[FoldedHour]
    ) -> None:
        self._connection = connection
        self._organization_id = organization_id
        # As in the key of a rollup.
        self._agent_id = ORGANIZATION if agent_id is None else agent_id
        self._incomplete_hours = _TaskAmounts(connection, organization_id, agent_id)
        self._uncompacted = uncompacted

    def sum(self, since: int, until: int) -> Amounts:
        """Return the sum of the tasks from `since` to before `until`."""
        return self.sum_agents(since, until, [self._agent_id])[self._agent_id]

    def sum_agents(self, since: int, until: int, agent_ids: Sequence[str]) -> dict[str, Amounts]:
        """Return the sums of some agents from `since` to before `until`; `ORGANIZATION` stands for all agents."""
        totals: dict[str, Amounts] = {agent_id: {} for agent_id in agent_ids}
        if not totals:
            return totals
        first, last = _round_up(since, HOUR), _round_down(until, HOUR)
        if first > last:  # the range lies within one hour
            self._add_tasks(totals, since, until)
            return totals
        cover = cover_with_rollups(first, last, now())
        for agent_id, _, amounts in self._read_rollups(agent_ids, cover.added):
            add_amounts(totals[agent_id], amounts)
        for agent_id, _, amounts in self._read_rollups(agent_ids, cover.subtracted):
            subtract_amounts(totals[agent_id], amounts)
        self._add_tasks(totals, since, first)
        self._add_tasks(totals, last, until)
        for change in self._uncompacted:
            if first <= change.hour < last:
                _add_change(totals, change.agent_id, change.amounts, change.organization_amounts)
        return totals

    def series(self, since: int, until: int, bucket_hours: int) -> list[HourAmounts]:
        """Return the sums of the time buckets from `since` to before `until`."""
        size = bucket_hours * HOUR
        first, last = _round_up(since, size), _round_down(until, size)
        points: dict[int, Amounts] = {}
        if first > last:  # the range lies within one bucket
            points[_round_down(since, size)] = self.sum(since, until)
        else:
            buckets = [RollupRange(bucket_hours, first, last)]
            points = {start: each for _, start, each in self._read_rollups([self._agent_id], buckets, limit=MAX_POINTS)}
            for change in self._uncompacted:
                if first <= change.hour < last and self._agent_id in (ORGANIZATION, change.agent_id):
                    point = {self._agent_id: points.setdefault(_round_down(change.hour, size), {})}
                    _add_change(point, change.agent_id, change.amounts, change.organization_amounts)
            # The incomplete buckets at both ends.
            if since < first:
                points[first - size] = self.sum(since, first)
            if last < until:
                points[last] = self.sum(last, until)
        return [(start, amounts) for start, amounts in sorted(points.items()) if amounts][-MAX_POINTS:]

    def _read_rollups(
        self, agent_ids: Sequence[str], ranges: "Sequence[RollupRange]", *, limit: int | None = None
    ) -> list[tuple[str, int, Amounts]]:
        """Return the agent, the start and the amounts of the rollups in some ranges; with `limit`, of the newest."""
        if not ranges:
            return []
        in_ranges = [
            (rollups.c.hours == hours) & rollups.c.start.between(start, end - 1) for hours, start, end in ranges
        ]
        query = select(rollups.c.agent_id, rollups.c.start, rollups.c.amounts).where(
            rollups.c.organization_id == self._organization_id,
            rollups.c.agent_id.in_(agent_ids),
            or_(*in_ranges),
        )
        if limit is not None:
            query = query.order_by(rollups.c.start.desc()).limit(limit)
        return [(agent_id, start, amounts) for agent_id, start, amounts in self._connection.execute(query)]

    def _add_tasks(self, totals: dict[str, Amounts], since: int, until: int) -> None:
        if since >= until:
            return
        for agent_id, amounts in self._incomplete_hours.read(since, until).items():
            _add_change(totals, agent_id, amounts)


def _add_change(
    totals: dict[str, Amounts], agent_id: str, amounts: Amounts, organization_amounts: Amounts | None = None
) -> None:
    """Add the amounts of an agent to its total and to that of the organization, as far as these are asked for."""
    if agent_id in totals:
        add_amounts(totals[agent_id], amounts)
    if ORGANIZATION in totals:
        counted = with_agent_runs(agent_id, amounts) if organization_amounts is None else organization_amounts
        add_amounts(totals[ORGANIZATION], counted)


class RollupRange(NamedTuple):
    """Consecutive rollups of one length."""

    hours: int
    """Length of each rollup."""
    start: int
    """First microsecond of the first rollup."""
    end: int
    """First microsecond after the last rollup."""


class RollupCover(NamedTuple):
    """Rollups whose sums make up a range of full hours: those of `added` without those of `subtracted`."""

    added: list[RollupRange]
    subtracted: list[RollupRange]


def cover_with_rollups(first: int, last: int, now: int, lengths: Sequence[int] = ROLLUP_HOURS) -> RollupCover:
    """Return few rollups that cover a range of full hours.

    A range from Monday 2:00 to Thursday 22:00 is covered by the days from Monday to Thursday without two hours at each
    end, and one from Monday 22:00 to Thursday 02:00 by two hours, the days Tuesday and Wednesday, and two hours.

    Args:
        first: The first microsecond of the range.
        last: The first microsecond after the range.
        now: The current time. Hardly any rollups are later, so they cost nothing.
        lengths: The lengths of the rollups to use, shortest first.
    """
    cover = RollupCover([], [])
    if first >= last:
        return cover
    *shorter, hours = lengths
    inner_first, inner_last = (_round_cheaply(time, hours * HOUR, now) for time in (first, last))
    if inner_first == inner_last:
        return cover_with_rollups(first, last, now, shorter)
    cover.added.append(RollupRange(hours, inner_first, inner_last))
    for start, end in ((first, inner_first), (inner_last, last)):
        edge = cover_with_rollups(min(start, end), max(start, end), now, shorter)
        cover.added.extend(edge.added if start <= end else edge.subtracted)
        cover.subtracted.extend(edge.subtracted if start <= end else edge.added)
    return cover


def _round_cheaply(time: int, size: int, now: int) -> int:
    """Return the multiple of `size` before or after a time that has fewer rollups between itself and the time."""
    before, after = _round_down(time, size), _round_up(time, size)
    return before if time - before < min(after, now) - time else after


def _round_down(time: int, size: int) -> int:
    return time // size * size


def _round_up(time: int, size: int) -> int:
    return -(-time // size) * size
