"""Pages of tasks for the web history, in which `input` and `result` are short excerpts."""

from typing import Any

from attrs import evolve
from sqlalchemy import ColumnElement, Connection

from xpander_server.store.excerpts import Excerpt, excerpt
from xpander_server.store.schema.tables import tasks
from xpander_server.store.task_query import Page, TaskQuery, read_tasks

PREVIEW_LENGTH = 300
"""Characters of JSON that are read of a long text."""

_REQUIRED: list[ColumnElement[Any]] = [
    tasks.c[name] for name in ("organization_id", "id", "agent_id", "created_at", "updated_at")
]
_SHOWN = [
    *_REQUIRED,
    *(
        tasks.c[name]
        for name in ("finished_at", "tokens", "is_success", "duration", "used_tools", "user_id", "model", "cost")
    ),
    excerpt(tasks.c.input, PREVIEW_LENGTH),
    excerpt(tasks.c.result, PREVIEW_LENGTH),
    excerpt(tasks.c.error, PREVIEW_LENGTH),
]


def read_page(connection: Connection, query: TaskQuery, *, limit: int, cursor: str | None) -> Page:
    """Return a page of tasks in which `input` and `result` are cut, with "…" at the end of a text that was cut.

    Raises:
        ValueError: The cursor was not returned by this server.
    """
    page = query.page(connection, limit=limit, cursor=cursor, columns=_REQUIRED)
    tasks = read_tasks(connection, query.organization_id, [task.id for task in page.tasks], _SHOWN)
    previews = [
        evolve(
            task,
            input=_with_ellipsis(task.input),
            result=_with_ellipsis(task.result),
            error=_with_ellipsis(task.error),
        )
        for task in tasks
    ]
    return Page(previews, page.next_cursor)


def _with_ellipsis(text: str | None) -> str | None:
    return text + "…" if isinstance(text, Excerpt) else text
