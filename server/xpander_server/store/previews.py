"""Pages of tasks for the web history: long texts are cut by the database, so whole documents are never read."""

from typing import Any

import msgspec
from sqlalchemy import Column, ColumnElement, Connection, Dialect, Text, TypeDecorator, func, type_coerce

from xpander_server.store.schema.tables import tasks
from xpander_server.store.task_query import Page, TaskQuery, read_tasks

PREVIEW_LENGTH = 300
"""Characters of JSON that are read of a long text."""
_LONGEST_ESCAPE = 12  # characters: a surrogate pair such as \ud83d\ude00


class _Preview(TypeDecorator[Any]):
    """First characters of a string that is stored as JSON."""

    impl = Text
    cache_ok = True

    def process_result_value(self, value: str | None, dialect: Dialect) -> str | None:
        return None if value is None else decode_preview(value)


def decode_preview(text: str) -> str:
    """Return the string that a JSON string starts with.

    Args:
        text: The first `PREVIEW_LENGTH` characters of a JSON string, or all of a shorter one. The cut may be within an
            escape sequence.

    Returns:
        The decoded string, with "…" at its end if the JSON string was cut.

    Example:
        >>> decode_preview('"short"')
        'short'
    """
    if len(text) < PREVIEW_LENGTH:
        whole: str = msgspec.json.decode(text)
        return whole
    for removed in range(_LONGEST_ESCAPE):
        try:
            part: str = msgspec.json.decode(text[: len(text) - removed] + '"')
        except msgspec.DecodeError:
            continue
        return part + "…"
    raise AssertionError("unreachable: no escape sequence is longer")


def _preview(column: Column[Any]) -> ColumnElement[Any]:
    return type_coerce(func.substr(type_coerce(column, Text), 1, PREVIEW_LENGTH), _Preview).label(column.name)


_REQUIRED: list[ColumnElement[Any]] = [
    tasks.c[name] for name in ("organization_id", "id", "agent_id", "created_at", "updated_at")
]
_SHOWN = [
    *_REQUIRED,
    *(
        tasks.c[name]
        for name in ("finished_at", "tokens", "is_success", "duration", "used_tools", "user_id", "model", "cost")
    ),
    _preview(tasks.c.input),
    _preview(tasks.c.result),
]


def read_page(connection: Connection, query: TaskQuery, *, limit: int, cursor: str | None) -> Page:
    """Return a page of tasks in which `input` and `result` are cut.

    Raises:
        ValueError: The cursor was not returned by this server.
    """
    page = query.page(connection, limit=limit, cursor=cursor, columns=_REQUIRED)
    tasks = read_tasks(connection, query.organization_id, [task.id for task in page.tasks], _SHOWN)
    return Page(list(tasks), page.next_cursor)
