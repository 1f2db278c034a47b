"""Totals of the runs that a list shows, for the line above it: counts, tokens, cost, and counts by status and agent."""

import time
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable

from attrs import frozen

from xpander_server.store import ViewSummary
from xpander_server.web.time_zones import page_zone

MAX_AGENTS = 8
"""Agents with a count of their own, those with the most runs."""
_CACHE_SECONDS = 10.0
_MAX_VIEWS = 500


@frozen
class ViewTotals:
    """Totals of the newest runs of a view.

    Attributes:
        runs: The number of runs.
        by_status: The number of runs with each status that occurs, the most frequent first.
        by_day: The number of runs of each day, by the start of the day; a day that was not counted to its start is left
            out.
        by_agent: The number of runs of the agents with the most runs, and their ids.
        other_agents: The number of further agents.
        tokens: The sum of the tokens.
        cost: The sum of the known costs in nano-dollars.
        is_complete: Whether these are all runs of the view.
        tested_until: The time of the oldest run that was tested, in microseconds since 1970; None if there is none.
    """

    runs: int
    by_status: list[tuple[str, int]]
    by_agent: list[tuple[str, int]]
    by_day: dict[int, int]
    other_agents: int
    tokens: int
    cost: int
    is_complete: bool
    tested_until: int | None

    @property
    def failed(self) -> int:
        """The number of failed runs."""
        return dict(self.by_status).get("failed", 0)


def add_up(summary: ViewSummary) -> ViewTotals:
    """Return the totals of a summary."""
    agents = summary.count_by_agent()
    return ViewTotals(
        runs=len(summary.tasks),
        by_status=summary.count_by_status().most_common(),
        by_agent=agents.most_common(MAX_AGENTS),
        by_day=_count_by_day(summary),
        other_agents=max(0, len(agents) - MAX_AGENTS),
        tokens=summary.sum_tokens(),
        cost=summary.sum_cost(),
        is_complete=summary.is_complete,
        tested_until=summary.tested_until,
    )


def _count_by_day(summary: ViewSummary) -> dict[int, int]:
    counts: dict[int, int] = {}
    index = 0
    while index < len(summary.tasks):
        day = page_zone().start_of_day(summary.tasks[index].created_at)
        # The tasks are sorted, newest first.
        end = max(index + 1, bisect_right(summary.tasks, -day, lo=index, key=lambda task: -task.created_at))
        counts[day] = end - index
        index = end
    if not summary.is_complete and summary.tested_until is not None:
        counts.pop(page_zone().start_of_day(summary.tested_until), None)
    return counts


class ViewTotalsCache:
    """Totals of views, computed at most every 10 seconds: every live page asks for them every 2 seconds.

    Instances are safe to share between threads.
    """

    def __init__(self) -> None:
        self._entries: OrderedDict[object, tuple[float, ViewTotals]] = OrderedDict()

    def get(self, key: object, summarize: Callable[[], ViewSummary]) -> ViewTotals:
        """Return the totals of a view.

        Args:
            key: Identifies the view.
            summarize: Reads the summary of the view.
        """
        computed_at, totals = self._entries.get(key, (0.0, None))
        now = time.monotonic()
        # Few runs are counted at once, so that the first runs of an organization do not stay unseen.
        if totals is not None and now - computed_at < (_CACHE_SECONDS if totals.runs > 1_000 else 0):
            return totals
        totals = add_up(summarize())
        self._entries[key] = now, totals
        while len(self._entries) > _MAX_VIEWS:
            self._entries.popitem(last=False)
        return totals
