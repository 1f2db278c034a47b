"""Summary of a view: counts, sums and an order of the newest tasks that match a query.

The history has one index order, by time. Another order, and counts by agent and status, need every task of the view, so
they are limited: to the newest `VIEW_TASKS` tasks, and to those that the database tests in `VIEW_SECONDS`, but at least
`MIN_TESTED`. A summary states how far it reaches.
"""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec
from attrs import evolve, frozen
from sqlalchemy import Connection, Text, type_coerce

from xpander_server.domain.model_calls import total_tokens
from xpander_server.store.schema.tables import tasks
from xpander_server.store.task_query import LISTED, Page, TaskQuery, read_tasks

VIEW_TASKS = 10_000
"""Tasks that a summary covers."""
VIEW_SECONDS = 0.06
"""Time after which a summary ends."""
MIN_TESTED = 1_000
"""Tasks that are tested whatever the time."""
_OFFSET_PREFIX = "sorted-"
_MAX_OFFSET_DIGITS = 6
_COLUMNS = [
    tasks.c.agent_id, tasks.c.is_success, tasks.c.duration, type_coerce(tasks.c.tokens, Text).label("tokens"),
    tasks.c.cost,
]  # fmt: skip
_decode_tokens = msgspec.json.Decoder(dict[str, int]).decode


class TaskFigures(NamedTuple):
    """Figures of one task of a view; None for an unknown value."""

    id: str
    created_at: int
    agent_id: str
    is_success: bool | None
    duration: float | None
    tokens: int | None
    """Prompt and completion tokens."""
    cost: int | None
    """Nano-dollars."""


@frozen
class ViewSummary:
    """Newest tasks of a view, and what they add up to.

    Attributes:
        tasks: The figures of the tasks, newest first.
        is_complete: Whether these are all tasks of the view.
        tested_until: The time of creation of the oldest task that was tested; None if there is none.
    """

    tasks: Sequence[TaskFigures]
    is_complete: bool
    tested_until: int | None

    def count_by_status(self) -> Counter[str]:
        """Return the number of tasks with each status."""
        names = {True: "completed", False: "failed", None: "executing"}
        return Counter(names[task.is_success] for task in self.tasks)

    def count_by_agent(self) -> Counter[str]:
        """Return the number of tasks of each agent."""
        return Counter(task.agent_id for task in self.tasks)

    def sum_tokens(self) -> int:
        """Return the sum of the tokens."""
        return sum(task.tokens or 0 for task in self.tasks)

    def sum_cost(self) -> int:
        """Return the sum of the known costs, in nano-dollars."""
        return sum(task.cost or 0 for task in self.tasks)

    def sorted_ids(self, figure: str, *, smallest_first: bool = False) -> list[str]:
        """Return the ids of the tasks in the order of a figure. Tasks without the figure come last.

        Args:
            figure: `duration`, `tokens` or `cost`.
            smallest_first: Whether the smallest figure is first instead of the largest.
        """
        value: Callable[[TaskFigures], float] = lambda task: getattr(task, figure)  # noqa: E731 - typed for sort
        known = [task for task in self.tasks if getattr(task, figure) is not None]
        known.sort(key=value, reverse=not smallest_first)
        return [task.id for task in known] + [task.id for task in self.tasks if getattr(task, figure) is None]


def sorted_page(
    connection: Connection, query: TaskQuery, figure: str, *, limit: int, cursor: str | None
) -> tuple[Page, int | None]:
    """Return a page of the list of a view's newest tasks in the order of a figure.

    The position is a number of tasks: a task that arrives between two pages may move the others by one place.

    Args:
        connection: The connection to use.
        query: The tasks of the view. `oldest_first` puts the smallest figure first.
        figure: `duration`, `tokens` or `cost`.
        limit: The largest number of tasks.
        cursor: The `next_cursor` of the page before; None for the first page.

    Returns:
        The page, and the time of creation of the oldest task that was tested if there are older ones.

    Raises:
        ValueError: The cursor was not returned by this server.
    """
    start = 0 if cursor is None else _parse_offset(cursor)
    summary = summarize_view(connection, evolve(query, oldest_first=False), max_tasks=VIEW_TASKS)
    ids = summary.sorted_ids(figure, smallest_first=query.oldest_first)
    page = list(read_tasks(connection, query.organization_id, ids[start : start + limit], LISTED))
    end = start + limit
    next_cursor = _OFFSET_PREFIX + str(end) if end < len(ids) else None
    return Page(page, next_cursor), None if summary.is_complete else summary.tested_until


def _parse_offset(cursor: str) -> int:
    offset = cursor.removeprefix(_OFFSET_PREFIX)
    if offset == cursor or not (offset.isascii() and offset.isdigit()) or len(offset) > _MAX_OFFSET_DIGITS:
        raise ValueError("must be a cursor that this server returned for the same list")
    return int(offset)


def summarize_view(
    connection: Connection,
    query: TaskQuery,
    *,
    max_tasks: int = VIEW_TASKS,
    seconds: float = VIEW_SECONDS,
    min_tested: int = MIN_TESTED,
) -> ViewSummary:
    """Return the summary of the newest tasks that match a query.

    Args:
        connection: The connection to use.
        query: The tasks of the view.
        max_tasks: The largest number of tasks.
        seconds: The time after which no further task is read.
        min_tested: The number of tasks that are tested whatever the time.
    """
    deadline = time.monotonic() + seconds
    found: list[TaskFigures] = []
    tested_until: int | None = None

    for tested, (created_at, task_id, row) in enumerate(query.scan(connection, _COLUMNS), 1):
        tested_until = created_at
        if row is not None:
            if len(found) == max_tasks:
                return ViewSummary(found, is_complete=False, tested_until=found[-1].created_at)
            agent_id, is_success, duration, tokens, cost = row
            count = None if tokens is None else total_tokens(_decode_tokens(tokens))
            found.append(TaskFigures(task_id, created_at, agent_id, is_success, duration, count, cost))
        if tested >= min_tested and time.monotonic() > deadline:
            return ViewSummary(found, is_complete=False, tested_until=tested_until)
    return ViewSummary(found, is_complete=True, tested_until=tested_until)
