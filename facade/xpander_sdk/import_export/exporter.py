"""Whole tasks of a history, many at once, in its order."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator
from datetime import datetime

from attrs import frozen

from xpander_sdk.errors import NotFoundError
from xpander_sdk.task import Task, TasksListItem


@frozen
class TimeRange:
    """Of a history, newest first, what was first seen from `since` to before `until`; None for no limit."""

    since: datetime | None = None
    until: datetime | None = None

    def within(self, items: Iterable[TasksListItem]) -> Iterator[TasksListItem]:
        for item in items:
            if self._is_before(item):
                return
            if not self._is_after(item):
                yield item

    async def awithin(self, items: AsyncIterator[TasksListItem]) -> AsyncIterator[TasksListItem]:
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
    """Each item's task; what was deleted meanwhile is left out. Errors as for `Task.load`."""
    under_way: deque[asyncio.Task[Task | None]] = deque()
    try:
        async for item in items:
            under_way.append(asyncio.create_task(_load(item)))
            if len(under_way) >= in_flight and (task := await under_way.popleft()) is not None:
                yield task
        while under_way:
            if (task := await under_way.popleft()) is not None:
                yield task
    finally:
        for open_one in under_way:
            open_one.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)


async def _load(item: TasksListItem) -> Task | None:
    try:
        return await item.aload()
    except NotFoundError:
        return None
