"""Failures of a view, grouped by their errors.

The work of a view is limited: only its newest failures are read, and only for a limited time.
"""

from collections.abc import Sequence
from typing import NamedTuple

from attrs import frozen

from xpander_server.domain.error_groups import ErrorGroup, Failure, group_errors
from xpander_server.store import Store, TaskQuery
from xpander_server.web.filters import PageFilters

MAX_FAILURES = 1_000
"""Failures that are read: the newest ones."""
MAX_SECONDS = 0.1
"""Time after which no more failures are read."""
TREND_BARS = 24
_TREND_HEIGHT = 10


class TrendBar(NamedTuple):
    """Bar of a trend: its position, and the top and height in units of a drawing that is 10 units high."""

    x: int
    y: float
    height: float


@frozen
class GroupedFailures:
    """Newest failures of a view, by error.

    Attributes:
        groups: The groups, the largest first.
        count: Number of failures that were read.
        is_complete: Whether these are all failures of the view.
        since: Time of the oldest failure that was read; 0 if there are none.
        until: Time of the newest one.
    """

    groups: Sequence[ErrorGroup]
    count: int
    is_complete: bool
    since: int
    until: int

    def trend(self, group: ErrorGroup) -> list[TrendBar]:
        """Return the bars of a group's failures over the time of all failures that were read."""
        length = max(1, self.until - self.since + 1)
        counts = [0] * TREND_BARS
        for created_at in group.times:
            counts[(created_at - self.since) * TREND_BARS // length] += 1
        highest = max(counts)
        heights = [round(_TREND_HEIGHT * count / highest, 1) for count in counts]
        return [
            TrendBar(x, round(_TREND_HEIGHT - max(1.0, height), 1), max(1.0, height))
            for x, height in enumerate(heights)
            if height
        ]


def read_failures(store: Store, organization_id: str, agent_id: str | None, filters: PageFilters) -> GroupedFailures:
    """Return the newest failures of a view.

    Args:
        store: The store.
        organization_id: The organization.
        agent_id: The agent; None for all.
        filters: The filters of the view; only its period is used.
    """
    fields = {"status": "failed", **({"agent_id": agent_id} if agent_id is not None else {})}
    query = TaskQuery(organization_id=organization_id, filters=fields, since=filters.since, until=filters.until)
    page = store.failures(query, limit=MAX_FAILURES, seconds=MAX_SECONDS)
    failures = [
        Failure(task.id, task.agent_id, task.created_at, task.reason or task.error or task.result or "")
        for task in page.tasks
    ]
    times = [failure.created_at for failure in failures] or [0]
    return GroupedFailures(group_errors(failures), len(failures), page.next_cursor is None, min(times), max(times))
