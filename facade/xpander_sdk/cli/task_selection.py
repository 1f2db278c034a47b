"""Selection of tasks by agent, user and filters, for the commands `history` and `export`."""

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from functools import partial, wraps
from itertools import islice
from typing import Any, TypeVar

import click
from attrs import evolve, field, frozen

from xpander_sdk import AgentExecutionStatus, Configuration, Tasks, TasksListItem
from xpander_sdk.cli.options import advise_on_all_agents, find_agent_id, metadata_option, since_option, until_option
from xpander_sdk.import_export.exporter import TimeRange
from xpander_sdk.reporting.validation import parse_datetime
from xpander_sdk.tasks_list_item import TasksList

T = TypeVar("T")


@frozen
class TaskSelection:
    """Tasks of an agent, of a user, or of both; of all agents, if neither is given."""

    agent_id: str | None
    user_id: str | None
    filters: Mapping[str, Any]
    time_range: TimeRange = field(factory=TimeRange)

    def in_order(self, figure: str | None, *, is_ascending: bool) -> "TaskSelection":
        """Return the selection in the order of a figure, or of the time if that is None."""
        order = {"sort": figure, "order": "asc" if is_ascending else None}
        return evolve(self, filters={**self.filters, **{name: value for name, value in order.items() if value}})

    @property
    def is_sorted(self) -> bool:
        """True unless the newest task is first."""
        return "sort" in self.filters or "order" in self.filters

    def list(self, configuration: Configuration, limit: int) -> Iterable[TasksListItem]:
        """Return at most `limit` tasks, newest first unless the selection has another order."""
        tasks, filters = Tasks(configuration), self._all_filters
        if self.time_range == TimeRange() or self.is_sorted:
            # The backend must apply the time range before it sorts.
            filters = {**filters, "since": self.time_range.since, "until": self.time_range.until}
            return self._of_owner(tasks.list_user_tasks, tasks.list)(filters, limit=limit)
        iterate = self._of_owner(tasks.iterate_user_tasks, tasks.iterate)
        return islice(self.time_range.select(iterate(filters)), limit)

    def list_sorted(self, configuration: Configuration, limit: int) -> TasksList:
        """Return at most `limit` tasks in the order of the selection, with the limit of that order."""
        tasks = self.list(configuration, limit)
        return tasks if isinstance(tasks, TasksList) else TasksList(tasks)

    def aiterate(self, configuration: Configuration) -> AsyncIterator[TasksListItem]:
        """Return all tasks page by page, newest first."""
        tasks = Tasks(configuration)
        iterate = self._of_owner(tasks.aiterate_user_tasks, tasks.aiterate)
        return self.time_range.aselect(iterate(self._all_filters))

    @property
    def _all_filters(self) -> Mapping[str, Any]:
        return {**self.filters, "user_id": None if self.agent_id is None else self.user_id}

    def _of_owner(self, read_user: Callable[..., T], read_agent: Callable[..., T]) -> Callable[..., T]:
        """Return one of two methods of `Tasks`, with the user, or else the agent, as its first argument."""
        if self.user_id is not None and self.agent_id is None:
            return partial(read_user, self.user_id)
        return partial(read_agent, self.agent_id)


def selection_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the argument AGENT_ID and the filters; pass them to the command as its argument `selection`."""

    @click.argument("agent_id", required=False)
    @click.option("--user", "user_id", metavar="ID", help="Only tasks of this user; without AGENT_ID, of all agents.")
    @click.option(
        "--status",
        type=click.Choice(list(AgentExecutionStatus), case_sensitive=False),
        help="Only tasks with this status.",
    )
    @click.option("--stale", "is_stale", is_flag=True, help="Only tasks that are executing and stale: probably killed.")
    @click.option("--parent-task", "parent_task_id", metavar="ID", help="Only subtasks of this task.")
    @click.option(
        "--triggering-agent", "triggering_agent_id", metavar="ID", help="Only tasks that this agent triggered."
    )
    @click.option("--conversation", "conversation_id", metavar="ID", help="Only tasks of this conversation.")
    @metadata_option("Only tasks whose metadata contain this pair. Repeatable.")
    @since_option
    @until_option
    @wraps(command)
    def run(agent_id: str | None, user_id: str | None, since: str | None, until: str | None, **arguments: Any) -> None:
        names = ("status", "parent_task_id", "triggering_agent_id", "conversation_id", "metadata")
        filters = {name: arguments.pop(name) for name in names}
        filters["is_stale"] = arguments.pop("is_stale") or None
        time_range = TimeRange(parse_datetime("since", since), parse_datetime("until", until))
        if user_id is None:
            agent_id = find_agent_id(arguments["configuration"], agent_id)
        with advise_on_all_agents(agent_id or user_id):
            command(selection=TaskSelection(agent_id, user_id, filters, time_range), **arguments)

    return run
