"""Pages of tasks for the web history, in which `input` and `result` are short excerpts."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection

from xpander_server.domain.task import Task
from xpander_server.store.excerpts import excerpt
from xpander_server.store.schema.tables import tasks
from xpander_server.store.task_query import Page, TaskQuery, read_tasks

PREVIEW_LENGTH = 300
"""Characters of JSON that are read of a long text."""

REQUIRED: list[ColumnElement[Any]] = [
    tasks.c[name] for name in ("organization_id", "id", "agent_id", "created_at", "updated_at")
]
"""The columns that a `Task` needs."""
_SHOWN = [
    *REQUIRED,
    *(
        tasks.c[name]
        for name in (
            "finished_at", "tokens", "is_success", "duration", "used_tools", "user_id", "model", "cost", "reason",
            "conversation_id", "parent_task_id", "triggering_agent_id", "metadata",
        )
    ),
    excerpt(tasks.c.input, PREVIEW_LENGTH, ending="…"),
    excerpt(tasks.c.result, PREVIEW_LENGTH, ending="…"),
    excerpt(tasks.c.error, PREVIEW_LENGTH, ending="…"),
]  # fmt: skip

_FAILURE = [
    *REQUIRED,
    tasks.c.reason,
    excerpt(tasks.c.error, PREVIEW_LENGTH),
    excerpt(tasks.c.result, PREVIEW_LENGTH),
]


def read_page(connection: Connection, query: TaskQuery, *, limit: int, cursor: str | None) -> Page:
    """Return a page of tasks in which `input` and `result` are cut, with "…" at the end of a text that was cut.

    Raises:
        ValueError: The cursor was not returned by this server.
    """
    return query.page(connection, limit=limit, cursor=cursor, columns=_SHOWN)


def read_previews(connection: Connection, organization_id: str, ids: Sequence[str]) -> list[Task]:
    """Return the previews of tasks in the order of their ids; ids without a task are left out."""
    return list(read_tasks(connection, organization_id, ids, _SHOWN))


def read_failures(connection: Connection, query: TaskQuery, *, limit: int, seconds: float) -> Page:
    """Return the newest tasks of a query with what their errors are grouped by: `reason`, `error` and `result`.

    Args:
        connection: The connection to use.
        query: The tasks; its filters must be covered by an index.
        limit: The largest number of tasks.
        seconds: Time after which no further task is read.
    """
    return query.page(connection, limit=limit, cursor=None, columns=_FAILURE, list_seconds=seconds)
