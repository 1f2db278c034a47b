"""A history that is looked at again and again: what is new in it."""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime

from attrs import define, field

from xpander_sdk import TasksListItem

LOOKS = (100, 1_000, 10_000)
"""Tasks to look at: as many as it takes to come to what is known, the last at the most."""


@define
class News:
    """What is new, from look to look.

    Args:
        history: gives the newest tasks, at the most so many, the newest first.
    """

    history: Callable[[int], Iterator[TasksListItem]]
    _seen: dict[str, str] = field(factory=dict)
    _oldest: datetime | None = None

    def first(self, limit: int) -> list[TasksListItem]:
        """The newest, at the most `limit`, the oldest first."""
        found = list(self.history(max(limit, LOOKS[0])))
        self._remember(found, is_all=len(found) < max(limit, LOOKS[0]))
        return found[:limit][::-1]

    def look(self) -> list[TasksListItem]:
        """What was not there at the look before, or has another status now, the oldest first."""
        found: list[TasksListItem] = []
        is_all = False
        for most in LOOKS:
            found = list(self.history(most))
            is_all = len(found) < most
            if is_all or any(item.id in self._seen for item in found):
                break
        news = [item for item in found if self._is_news(item)]
        self._remember(found, is_all=is_all)
        return news[::-1]

    def _is_news(self, item: TasksListItem) -> bool:
        if item.id in self._seen:
            return self._seen[item.id] != item.status
        # What is older than all that was seen was not looked at.
        return self._oldest is None or item.created_at is None or item.created_at >= self._oldest

    def _remember(self, found: Sequence[TasksListItem], *, is_all: bool) -> None:
        self._seen = {item.id: item.status for item in found}
        times = [item.created_at for item in found if item.created_at is not None]
        self._oldest = None if is_all or not times else min(times)
