"""Pages of tasks for the web history, in which `input` and `result` are short excerpts."""

from collections.abc import Sequence
from typing import Any

from attrs import evolve
from sqlalchemy import ColumnElement, Connection

from xpander_server.domain.task import Task
from xpander_server.store.excerpts import Excerpt, excerpt
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
    excerpt(tasks.c.input, PREVIEW_LENGTH),
    excerpt(tasks.c.result, PREVIEW_LENGTH),
    excerpt(tasks.c.error, PREVIEW_LENGTH),
]  # fmt: skip


def read_page(connection: Connection, query: TaskQuery, *, limit: int, cursor: str | None) -> Page:
    """Return a page of tasks in which `input` and `result` are cut, with "…" at the end of a text that was cut.

    Raises:
        ValueError: The cursor was not returned by this server.
    """
    page = query.page(connection, limit=limit, cursor=cursor, columns=REQUIRED)
    return Page(read_previews(connection, query.organization_id, [task.id for task in page.tasks]), page.next_cursor)


def read_previews(connection: Connection, organization_id: str, ids: Sequence[str]) -> list[Task]:
    """Return the previews of tasks in the order of their ids; ids without a task are left out."""
    return [
        evolve(
            task,
            input=_with_ellipsis(task.input),
            result=_with_ellipsis(task.result),
            error=_with_ellipsis(task.error),
        )
        for task in read_tasks(connection, organization_id, ids, _SHOWN)
    ]


def _with_ellipsis(text: str | None) -> str | None:
    return text + "…" if isinstance(text, Excerpt) else text
