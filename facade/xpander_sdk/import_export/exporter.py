"""Loading of complete tasks for an export."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator
from datetime import datetime

from attrs import frozen

from xpander_sdk.errors import NotFoundError
from xpander_sdk.task import Task
from xpander_sdk.tasks_list_item import TasksListItem


@frozen
class TimeRange:
    """Range of creation times.

    Attributes:
        since: start, inclusive; None for no limit.
        until: end, exclusive; None for no limit.
    """

    since: datetime | None = None
    until: datetime | None = None

    def select(self, items: Iterable[TasksListItem]) -> Iterator[TasksListItem]:
        """Yield the tasks of the range; stop at the first task before it.

        Args:
            items: tasks, newest first.
        """
        for item in items:
            if self._is_before(item):
                return
            if not self._is_after(item):
                yield item

    async def aselect(self, items: AsyncIterator[TasksListItem]) -> AsyncIterator[TasksListItem]:
        """Yield the tasks of the range; stop at the first task before it.

        Args:
            items: tasks, newest first.
        """
        async for item in items:
            if self._is_before(item):
                return
            if not self._is_after(item):
                yield item

    def _is_before(self, item: TasksListItem) -> bool:
        return self.since is not None and item.created_at is not None and item.created_at < self.since

    def _is_after(self, item: TasksListItem) -> bool:
        return self.until is not None and item.created_at is not None and item.created_at >= self.until


async def load_tasks(items: AsyncIterator[TasksListItem], in_flight: int) -> AsyncGenerator[Task, None]:
    """Load and yield the task of each item, in the order of the items.

    A task that was deleted after it was listed is left out.

    Args:
        items: tasks without documents.
        in_flight: maximum number of concurrent requests.

    Raises:
        ModuleException: a request failed.
    """
    loading: deque[asyncio.Task[Task | None]] = deque()
    try:
        async for item in items:
            loading.append(asyncio.create_task(_load(item)))
            if len(loading) >= in_flight and (task := await loading.popleft()) is not None:
                yield task
        while loading:
            if (task := await loading.popleft()) is not None:
                yield task
    finally:
        for request in loading:
            request.cancel()
        await asyncio.gather(*loading, return_exceptions=True)


async def _load(item: TasksListItem) -> Task | None:
    try:
        return await item.aload()
    except NotFoundError:
        return None
