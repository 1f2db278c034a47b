"""History: the tasks of an agent, of a user or of the organization."""

import builtins
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import Any

from xpander_sdk import _lazy
from xpander_sdk.client.pagination import Pagination, Query
from xpander_sdk.settings.configuration import Configuration, resolve_configuration
from xpander_sdk.task import Task
from xpander_sdk.tasks_list_item import TasksList, TasksListItem

PAGE = 1_000  # tasks per page: the default and the maximum of the API


class Tasks:
    """Tasks of an organization.

    Args:
        configuration: Backend and credentials. Default: a new `Configuration()`, from the environment.

    Example:
        >>> [task.id for task in Tasks().list("agent-123", filters={"status": "failed"}, limit=10)]
        []
    """

    def __init__(self, configuration: Configuration | None = None) -> None:
        self._configuration = resolve_configuration(configuration)

    @property
    def configuration(self) -> Configuration:
        """Backend and credentials of the calls."""
        return resolve_configuration(self._configuration)

    def get(self, task_id: str) -> Task:
        """Load a task.

        Blocks until the backend has responded. `aget` is the asynchronous form.

        Args:
            task_id: The id of the run.

        Returns:
            The complete task, `llm_response` included.

        Raises:
            ValueError: The id is invalid. No request was sent.
            NotFoundError: The organization has no such task.
            ModuleException: The backend returned another error, or did not respond.
        """
        return Task.load(task_id, self.configuration)

    async def aget(self, task_id: str) -> Task:
        """Load a task.

        Runs on asyncio and on trio. `get` is the synchronous form.

        Args:
            task_id: The id of the run.

        Returns:
            The complete task, `llm_response` included.

        Raises:
            ValueError: The id is invalid. No request was sent.
            NotFoundError: The organization has no such task.
            ModuleException: The backend returned another error, or did not respond.
        """
        return await Task.aload(task_id, self.configuration)

    def list(
        self, agent_id: str | None, filters: Mapping[str, Any] | None = None, *, limit: int | None = None
    ) -> builtins.list[TasksListItem]:
        """Return the tasks of an agent or of the organization, newest first.

        Blocks until all pages are loaded. `alist` is the asynchronous form.

        Args:
            agent_id: The agent; None for all agents of the organization, if the backend can list them.
            filters: Conditions that all tasks must meet; None for a value disables a filter. Keys: `user_id`,
                `conversation_id`, `parent_task_id`, `triggering_agent_id`, `metadata` (a dict of at most 8 pairs that a
                task must contain), `status`, `is_stale` (a bool), `internal_status`, `tool`, `model`, `q` (text in
                input or result; the letters A to Z match in both cases), `since` and `until` (time at which the backend
                created the task; a datetime or ISO 8601, UTC without an offset). Default: no conditions.
                Two further keys set the order: `sort` (`duration`, `tokens` or `cost`; of the newest 10,000 tasks, if
                the backend is `xpander-report serve`) and `order` (`asc` for the oldest or smallest first).
            limit: Maximum number of tasks. Default: all; further pages are loaded as needed.

        Raises:
            ValueError: The id, a filter or the limit is invalid. No request was sent.
            ModuleException: The backend returned an error, or did not respond.
        """
        pagination = self._of_agent(agent_id, filters, limit)
        return _to_list(self._iterate(pagination), pagination)

    async def alist(
        self, agent_id: str | None, filters: Mapping[str, Any] | None = None, *, limit: int | None = None
    ) -> builtins.list[TasksListItem]:
        """Return the tasks of an agent or of the organization, newest first.

        Runs on asyncio and on trio. `list` is the synchronous form.

        Args:
            agent_id: The agent; None for all agents of the organization, if the backend can list them.
            filters: Conditions that all tasks must meet; None for a value disables a filter. Keys: `user_id`,
                `conversation_id`, `parent_task_id`, `triggering_agent_id`, `metadata` (a dict of at most 8 pairs that a
                task must contain), `status`, `is_stale` (a bool), `internal_status`, `tool`, `model`, `q` (text in
                input or result; the letters A to Z match in both cases), `since` and `until` (time at which the backend
                created the task; a datetime or ISO 8601, UTC without an offset). Default: no conditions.
                Two further keys set the order: `sort` (`duration`, `tokens` or `cost`; of the newest 10,000 tasks, if
                the backend is `xpander-report serve`) and `order` (`asc` for the oldest or smallest first).
            limit: Maximum number of tasks. Default: all; further pages are loaded as needed.

        Raises:
            ValueError: The id, a filter or the limit is invalid. No request was sent.
            ModuleException: The backend returned an error, or did not respond.
        """
        pagination = self._of_agent(agent_id, filters, limit)
        return _to_list([item async for item in self._aiterate(pagination)], pagination)

    def list_user_tasks(
        self, user_id: str, filters: Mapping[str, Any] | None = None, *, limit: int | None = None
    ) -> builtins.list[TasksListItem]:
        """Return the tasks of a user, newest first.

        Blocks until all pages are loaded. `alist_user_tasks` is the asynchronous form.

        Args:
            user_id: The user.
            filters: Conditions that all tasks must meet; None for a value disables a filter. Keys: `user_id`,
                `conversation_id`, `parent_task_id`, `triggering_agent_id`, `metadata` (a dict of at most 8 pairs that a
                task must contain), `status`, `is_stale` (a bool), `internal_status`, `tool`, `model`, `q` (text in
                input or result; the letters A to Z match in both cases), `since` and `until` (time at which the backend
                created the task; a datetime or ISO 8601, UTC without an offset). Default: no conditions.
                Two further keys set the order: `sort` (`duration`, `tokens` or `cost`; of the newest 10,000 tasks, if
                the backend is `xpander-report serve`) and `order` (`asc` for the oldest or smallest first).
            limit: Maximum number of tasks. Default: all; further pages are loaded as needed.

        Raises:
            ValueError: The id, a filter or the limit is invalid. No request was sent.
            ModuleException: The backend returned an error, or did not respond.
        """
        pagination = self._of_user(user_id, filters, limit)
        return _to_list(self._iterate(pagination), pagination)

    async def alist_user_tasks(
        self, user_id: str, filters: Mapping[str, Any] | None = None, *, limit: int | None = None
    ) -> builtins.list[TasksListItem]:
        """Return the tasks of a user, newest first.

        Runs on asyncio and on trio. `list_user_tasks` is the synchronous form.

        Args:
            user_id: The user.
            filters: Conditions that all tasks must meet; None for a value disables a filter. Keys: `user_id`,
                `conversation_id`, `parent_task_id`, `triggering_agent_id`, `metadata` (a dict of at most 8 pairs that a
                task must contain), `status`, `is_stale` (a bool), `internal_status`, `tool`, `model`, `q` (text in
                input or result; the letters A to Z match in both cases), `since` and `until` (time at which the backend
                created the task; a datetime or ISO 8601, UTC without an offset). Default: no conditions.
                Two further keys set the order: `sort` (`duration`, `tokens` or `cost`; of the newest 10,000 tasks, if
                the backend is `xpander-report serve`) and `order` (`asc` for the oldest or smallest first).
            limit: Maximum number of tasks. Default: all; further pages are loaded as needed.

        Raises:
            ValueError: The id, a filter or the limit is invalid. No request was sent.
            ModuleException: The backend returned an error, or did not respond.
        """
        pagination = self._of_user(user_id, filters, limit)
        return _to_list([item async for item in self._aiterate(pagination)], pagination)

    def iterate(self, agent_id: str | None, filters: Mapping[str, Any] | None = None) -> Iterator[TasksListItem]:
        """Iterate over tasks of an agent or organization, newest first; load each page when the iteration reaches it.

        `aiterate` is the asynchronous form.

        Args:
            agent_id: The agent; None for all agents of the organization, if the backend can list them.
            filters: Conditions that all tasks must meet; None for a value disables a filter. Keys: `user_id`,
                `conversation_id`, `parent_task_id`, `triggering_agent_id`, `metadata` (a dict of at most 8 pairs that a
                task must contain), `status`, `is_stale` (a bool), `internal_status`, `tool`, `model`, `q` (text in
                input or result; the letters A to Z match in both cases), `since` and `until` (time at which the backend
                created the task; a datetime or ISO 8601, UTC without an offset). Default: no conditions.
                Two further keys set the order: `sort` (`duration`, `tokens` or `cost`; of the newest 10,000 tasks, if
                the backend is `xpander-report serve`) and `order` (`asc` for the oldest or smallest first).

        Raises:
            ValueError: The id or a filter is invalid. No request was sent.
            ModuleException: The backend returned an error, or did not respond; raised during the iteration.
        """
        return self._iterate(self._of_agent(agent_id, filters, None))

    def aiterate(self, agent_id: str | None, filters: Mapping[str, Any] | None = None) -> AsyncIterator[TasksListItem]:
        """Iterate over tasks of an agent or organization, newest first; load each page when the iteration reaches it.

        For `async for`, on asyncio and on trio. `iterate` is the synchronous form.

        Args:
            agent_id: The agent; None for all agents of the organization, if the backend can list them.
            filters: Conditions that all tasks must meet; None for a value disables a filter. Keys: `user_id`,
                `conversation_id`, `parent_task_id`, `triggering_agent_id`, `metadata` (a dict of at most 8 pairs that a
                task must contain), `status`, `is_stale` (a bool), `internal_status`, `tool`, `model`, `q` (text in
                input or result; the letters A to Z match in both cases), `since` and `until` (time at which the backend
                created the task; a datetime or ISO 8601, UTC without an offset). Default: no conditions.
                Two further keys set the order: `sort` (`duration`, `tokens` or `cost`; of the newest 10,000 tasks, if
                the backend is `xpander-report serve`) and `order` (`asc` for the oldest or smallest first).

        Raises:
            ValueError: The id or a filter is invalid. No request was sent.
            ModuleException: The backend returned an error, or did not respond; raised during the iteration.
        """
        return self._aiterate(self._of_agent(agent_id, filters, None))

    def iterate_user_tasks(self, user_id: str, filters: Mapping[str, Any] | None = None) -> Iterator[TasksListItem]:
        """Iterate over the tasks of a user, newest first; load each page when the iteration reaches it.

        `aiterate_user_tasks` is the asynchronous form.

        Args:
            user_id: The user.
            filters: Conditions that all tasks must meet; None for a value disables a filter. Keys: `user_id`,
                `conversation_id`, `parent_task_id`, `triggering_agent_id`, `metadata` (a dict of at most 8 pairs that a
                task must contain), `status`, `is_stale` (a bool), `internal_status`, `tool`, `model`, `q` (text in
                input or result; the letters A to Z match in both cases), `since` and `until` (time at which the backend
                created the task; a datetime or ISO 8601, UTC without an offset). Default: no conditions.
                Two further keys set the order: `sort` (`duration`, `tokens` or `cost`; of the newest 10,000 tasks, if
                the backend is `xpander-report serve`) and `order` (`asc` for the oldest or smallest first).

        Raises:
            ValueError: The id or a filter is invalid. No request was sent.
            ModuleException: The backend returned an error, or did not respond; raised during the iteration.
        """
        return self._iterate(self._of_user(user_id, filters, None))

    def aiterate_user_tasks(
        self, user_id: str, filters: Mapping[str, Any] | None = None
    ) -> AsyncIterator[TasksListItem]:
        """Iterate over the tasks of a user, newest first; load each page when the iteration reaches it.

        For `async for`, on asyncio and on trio. `iterate_user_tasks` is the synchronous form.

        Args:
            user_id: The user.
            filters: Conditions that all tasks must meet; None for a value disables a filter. Keys: `user_id`,
                `conversation_id`, `parent_task_id`, `triggering_agent_id`, `metadata` (a dict of at most 8 pairs that a
                task must contain), `status`, `is_stale` (a bool), `internal_status`, `tool`, `model`, `q` (text in
                input or result; the letters A to Z match in both cases), `since` and `until` (time at which the backend
                created the task; a datetime or ISO 8601, UTC without an offset). Default: no conditions.
                Two further keys set the order: `sort` (`duration`, `tokens` or `cost`; of the newest 10,000 tasks, if
                the backend is `xpander-report serve`) and `order` (`asc` for the oldest or smallest first).

        Raises:
            ValueError: The id or a filter is invalid. No request was sent.
            ModuleException: The backend returned an error, or did not respond; raised during the iteration.
        """
        return self._aiterate(self._of_user(user_id, filters, None))

    def _of_agent(
        self, agent_id: str | None, filters: Mapping[str, Any] | None, limit: int | None
    ) -> Pagination[TasksListItem]:
        return self._paginate(_lazy.read_operations.list_agent_tasks, agent_id, filters, limit)

    def _of_user(self, user_id: str, filters: Mapping[str, Any] | None, limit: int | None) -> Pagination[TasksListItem]:
        return self._paginate(_lazy.read_operations.list_user_tasks, user_id, filters, limit)

    def _paginate(
        self, query: Query, owner_id: str | None, filters: Mapping[str, Any] | None, limit: int | None
    ) -> Pagination[TasksListItem]:
        convert = partial(TasksListItem._from_model, self.configuration)
        return Pagination(query, owner_id, filters, limit, PAGE, convert)

    def _iterate(self, pagination: Pagination[TasksListItem]) -> Iterator[TasksListItem]:
        while pagination.operation is not None:
            yield from pagination.advance(_lazy.client.send(self.configuration, pagination.operation))

    async def _aiterate(self, pagination: Pagination[TasksListItem]) -> AsyncIterator[TasksListItem]:
        while pagination.operation is not None:
            for item in pagination.advance(await _lazy.client.asend(self.configuration, pagination.operation)):
                yield item


def _to_list(items: Iterable[TasksListItem], pagination: Pagination[TasksListItem]) -> TasksList:
    tasks = TasksList(items)
    if pagination.sorted_since is not None:
        with suppress(ValueError):
            tasks.sorted_since = datetime.fromisoformat(pagination.sorted_since)
    return tasks
