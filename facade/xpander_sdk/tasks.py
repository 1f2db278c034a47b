"""The history: tasks of an agent, and of a user."""

import builtins
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from attrs import frozen

from xpander_sdk import _lazy
from xpander_sdk.errors import ContractError
from xpander_sdk.settings.configuration import Configuration, resolve_configuration
from xpander_sdk.task import Task, TasksListItem

if TYPE_CHECKING:
    from xpander_sdk.client.operations import Operation, Page

PAGE = 1_000  # tasks; what the contract gives where nothing is said, and the most that it gives
_Query = Callable[[str, Mapping[str, Any], int | None, str | None], "Operation[Page]"]


class Tasks:
    """The tasks of an organisation.

    Args:
        configuration: who asks, and where. Default: a new `Configuration()`, from the environment.

    Example:
        >>> [task.id for task in Tasks().list("agent-123", filters={"status": "failed"}, limit=10)]
        []
    """

    def __init__(self, configuration: Configuration | None = None) -> None:
        self.configuration = resolve_configuration(configuration)

    def get(self, task_id: str) -> Task:
        """The task with this id; `aget` is the same without blocking the event loop. Errors as for `Task.load`."""
        return Task.load(task_id, self.configuration)

    async def aget(self, task_id: str) -> Task:
        """`get`, without blocking the event loop."""
        return await Task.aload(task_id, self.configuration)

    def list(
        self, agent_id: str, filters: Mapping[str, Any] | None = None, *, limit: int | None = None
    ) -> builtins.list[TasksListItem]:
        """The tasks of an agent, newest first; `alist` is the same without blocking the event loop.

        Args:
            agent_id: the agent.
            filters: what all of them must meet: `user_id`, `parent_task_id`, `triggering_agent_id`, `status`,
                `internal_status`, `tool`, `model`, `q` (a text in input or result; A to Z in either case), `since`,
                `until` (when a task was first seen, as for `Backend.metrics`). None for a value leaves the filter out.
            limit: how many at the most. Default: all, page by page.

        Raises:
            ValueError: a filter or the limit cannot be; nothing was sent.
            ModuleException: the backend refused, or did not answer.
        """
        return builtins.list(self._walk(self._of_agent(agent_id, filters, limit)))

    async def alist(
        self, agent_id: str, filters: Mapping[str, Any] | None = None, *, limit: int | None = None
    ) -> builtins.list[TasksListItem]:
        """`list`, without blocking the event loop."""
        return [item async for item in self._awalk(self._of_agent(agent_id, filters, limit))]

    def list_user_tasks(
        self, user_id: str, filters: Mapping[str, Any] | None = None, *, limit: int | None = None
    ) -> builtins.list[TasksListItem]:
        """The tasks of a user, newest first, as `list` does it; `alist_user_tasks` does not block the event loop."""
        return builtins.list(self._walk(self._of_user(user_id, filters, limit)))

    async def alist_user_tasks(
        self, user_id: str, filters: Mapping[str, Any] | None = None, *, limit: int | None = None
    ) -> builtins.list[TasksListItem]:
        """`list_user_tasks`, without blocking the event loop."""
        return [item async for item in self._awalk(self._of_user(user_id, filters, limit))]

    def iterate(self, agent_id: str, filters: Mapping[str, Any] | None = None) -> Iterator[TasksListItem]:
        """The tasks of an agent, newest first, each page fetched when it is reached; `aiterate` is for `async for`.

        Errors as for `list`, those of the arguments at once.
        """
        return self._walk(self._of_agent(agent_id, filters, None))

    def aiterate(self, agent_id: str, filters: Mapping[str, Any] | None = None) -> AsyncIterator[TasksListItem]:
        """`iterate`, without blocking the event loop."""
        return self._awalk(self._of_agent(agent_id, filters, None))

    def iterate_user_tasks(self, user_id: str, filters: Mapping[str, Any] | None = None) -> Iterator[TasksListItem]:
        """The tasks of a user, as `iterate` does it; `aiterate_user_tasks` is for `async for`."""
        return self._walk(self._of_user(user_id, filters, None))

    def aiterate_user_tasks(
        self, user_id: str, filters: Mapping[str, Any] | None = None
    ) -> AsyncIterator[TasksListItem]:
        """`iterate_user_tasks`, without blocking the event loop."""
        return self._awalk(self._of_user(user_id, filters, None))

    def _of_agent(self, agent_id: str, filters: Mapping[str, Any] | None, limit: int | None) -> "_Paging":
        return _Paging(self.configuration, _lazy.operations.list_agent_tasks, agent_id, filters, limit)

    def _of_user(self, user_id: str, filters: Mapping[str, Any] | None, limit: int | None) -> "_Paging":
        return _Paging(self.configuration, _lazy.operations.list_user_tasks, user_id, filters, limit)

    def _walk(self, paging: "_Paging") -> Iterator[TasksListItem]:
        while paging.operation is not None:
            yield from paging.turn(_lazy.client.send(self.configuration, paging.operation))

    async def _awalk(self, paging: "_Paging") -> AsyncIterator[TasksListItem]:
        while paging.operation is not None:
            for item in paging.turn(await _lazy.client.asend(self.configuration, paging.operation)):
                yield item


@frozen
class _Page:
    items: builtins.list[TasksListItem]
    next_cursor: str | None

    @classmethod
    def of(cls, configuration: Configuration, answer: "Page") -> "_Page":
        return cls([TasksListItem._from_answer(configuration, item) for item in answer.items], answer.next_cursor)


class _Paging:
    """A walk through a history: what to ask next, until `operation` is None."""

    def __init__(
        self,
        configuration: Configuration,
        query: _Query,
        owner_id: str,
        filters: Mapping[str, Any] | None,
        limit: int | None,
    ) -> None:
        if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 0):
            raise ValueError(f"limit must be a whole number from 0, or None for all, not {limit!r}")
        self._query = partial(query, owner_id, {} if filters is None else filters)
        self._read = partial(_Page.of, configuration)
        self._left = limit
        self._asked: set[str] = set()
        self.operation = None if limit == 0 else self._ask(None)

    def _ask(self, cursor: str | None) -> "Operation[_Page]":
        # A backend may not know `limit`: it is only sent where less than a whole page will do.
        few = self._left is not None and self._left < PAGE
        return self._query(self._left if few else None, cursor).map(self._read)

    def turn(self, page: _Page) -> builtins.list[TasksListItem]:
        """The items of a page that are wanted; sets what to ask next."""
        items = page.items[: self._left]
        if self._left is not None:
            self._left -= len(items)
        cursor = None if self._left == 0 else page.next_cursor
        if cursor in self._asked:
            raise ContractError(None, "the history leads in a circle: a cursor came back that was asked with before")
        if cursor is not None:
            self._asked.add(cursor)
        self.operation = None if cursor is None else self._ask(cursor)
        return items
