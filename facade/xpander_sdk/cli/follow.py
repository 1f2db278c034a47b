"""Polling of a history for `history --follow`."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime

from attrs import define, field

from xpander_sdk import TasksListItem

POLL_LIMITS = (100, 1_000, 10_000)
"""Numbers of newest tasks that a poll requests, one after another, until it reaches a known task."""


@define
class HistoryFollower:
    """Reader of a history that returns new tasks and changes of status, poll after poll.

    Args:
        list_newest: function that returns at most the given number of tasks, newest first.
    """

    list_newest: Callable[[int], Iterable[TasksListItem]]
    _known_statuses: dict[str, str] = field(factory=dict)
    _oldest_known: datetime | None = None

    def read_initial(self, limit: int) -> list[TasksListItem]:
        """Return at most `limit` of the newest tasks, oldest first."""
        request_limit = max(limit, POLL_LIMITS[0])
        items = list(self.list_newest(request_limit))
        self._remember(items, is_complete=len(items) < request_limit)
        return items[:limit][::-1]

    def poll(self) -> list[TasksListItem]:
        """Return the tasks that are new or have another status since the previous poll, oldest first."""
        items: list[TasksListItem] = []
        is_complete = False
        for limit in POLL_LIMITS:
            items = list(self.list_newest(limit))
            is_complete = len(items) < limit
            if is_complete or any(item.id in self._known_statuses for item in items):
                break
        changed = [item for item in items if self._is_changed(item)]
        self._remember(items, is_complete=is_complete)
        return changed[::-1]

    def _is_changed(self, item: TasksListItem) -> bool:
        if item.id in self._known_statuses:
            return self._known_statuses[item.id] != item.status
        # An unknown task that is older than all known ones is not new: previous polls did not reach so far.
        return self._oldest_known is None or item.created_at is None or item.created_at >= self._oldest_known

    def _remember(self, items: Sequence[TasksListItem], *, is_complete: bool) -> None:
        self._known_statuses = {item.id: item.status for item in items}
        times = [item.created_at for item in items if item.created_at is not None]
        self._oldest_known = None if is_complete or not times else min(times)
