"""Which tasks a command means: an agent or a user, and filters."""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from functools import wraps
from itertools import islice
from typing import Any

import click
from attrs import field, frozen

from xpander_sdk import AgentExecutionStatus, Configuration, Tasks, TasksListItem
from xpander_sdk.cli.common import agent_named
from xpander_sdk.import_export.exporter import TimeRange
from xpander_sdk.reporting.validation import parse_datetime


@frozen
class Wanted:
    """Tasks of an agent, or of a user where no agent is named."""

    agent_id: str | None
    user_id: str | None
    filters: Mapping[str, str | None]
    times: TimeRange = field(factory=TimeRange)

    def items(self, configuration: Configuration, limit: int) -> Iterator[TasksListItem]:
        """The newest first, at the most `limit`."""
        tasks, (of_user, owner, filters) = Tasks(configuration), self._asked(configuration)
        if self.times == TimeRange():
            listed = tasks.list_user_tasks if of_user else tasks.list
            return iter(listed(owner, filters, limit=limit))
        walk = tasks.iterate_user_tasks if of_user else tasks.iterate
        return islice(self.times.within(walk(owner, filters)), limit)

    def aitems(self, configuration: Configuration) -> AsyncIterator[TasksListItem]:
        """All, the newest first, page by page."""
        tasks, (of_user, owner, filters) = Tasks(configuration), self._asked(configuration)
        walk = tasks.aiterate_user_tasks if of_user else tasks.aiterate
        return self.times.awithin(walk(owner, filters))

    def _asked(self, configuration: Configuration) -> tuple[bool, str, Mapping[str, str | None]]:
        if self.user_id is not None and self.agent_id is None:
            return True, self.user_id, self.filters
        agent = agent_named(configuration, self.agent_id, "AGENT_ID")
        return False, agent, {**self.filters, "user_id": self.user_id}


def wanted_options(command: Callable[..., None]) -> Callable[..., None]:
    """The argument and the options that say which tasks, as one `wanted` argument."""

    @click.argument("agent_id", required=False)
    @click.option("--user", "user_id", metavar="ID", help="Of a user; with AGENT_ID, of both.")
    @click.option(
        "--status",
        type=click.Choice(list(AgentExecutionStatus), case_sensitive=False),
        help="Only tasks of this status.",
    )
    @click.option("--parent-task", "parent_task_id", metavar="ID", help="Only tasks that this task caused.")
    @click.option("--triggering-agent", "triggering_agent_id", metavar="ID", help="Only tasks that this agent caused.")
    @click.option(
        "--since", metavar="TIME", help="Only tasks first seen at this time or later: ISO 8601, UTC by default."
    )
    @click.option("--until", metavar="TIME", help="Only tasks first seen before this time.")
    @wraps(command)
    def run(agent_id: str | None, user_id: str | None, since: str | None, until: str | None, **arguments: Any) -> None:
        filters = {name: arguments.pop(name) for name in ("status", "parent_task_id", "triggering_agent_id")}
        times = TimeRange(parse_datetime("since", since), parse_datetime("until", until))
        command(wanted=Wanted(agent_id, user_id, filters, times), **arguments)

    return run
