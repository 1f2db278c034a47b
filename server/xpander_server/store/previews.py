"""Tasks for an overview: each with what one line tells, and never a document as a whole."""

from typing import Any

import msgspec
from sqlalchemy import Column, ColumnElement, Connection, Dialect, Text, TypeDecorator, func, type_coerce

from xpander_server.store.schema.tables import tasks
from xpander_server.store.task_query import Page, TaskQuery, in_order

PREVIEW_LENGTH = 300
"""Characters of JSON of a long text."""
_LONGEST_ESCAPE = 12  # characters: a pair of surrogates


class _Beginning(TypeDecorator[Any]):
    """The beginning of a string that is kept as JSON, cut wherever."""

    impl = Text
    cache_ok = True

    def process_result_value(self, value: str | None, dialect: Dialect) -> str | None:
        return None if value is None else decode_preview(value)


def decode_preview(text: str) -> str:
    """As much of a JSON string as its beginning tells."""
    if len(text) < PREVIEW_LENGTH:
        whole: str = msgspec.json.decode(text)
        return whole
    for cut in range(_LONGEST_ESCAPE):
        try:
            part: str = msgspec.json.decode(text[: len(text) - cut] + '"')
        except msgspec.DecodeError:
            continue
        return part + "…"
    raise AssertionError("unreachable: no escape is longer")


def _begun(column: Column[Any]) -> ColumnElement[Any]:
    return type_coerce(func.substr(type_coerce(column, Text), 1, PREVIEW_LENGTH), _Beginning).label(column.name)


_PLACE: list[ColumnElement[Any]] = [
    tasks.c[name] for name in ("organization_id", "id", "agent_id", "created_at", "updated_at")
]
_TOLD = [
    *_PLACE,
    *(
        tasks.c[name]
        for name in ("finished_at", "tokens", "is_success", "duration", "used_tools", "user_id", "model", "cost")
    ),
    _begun(tasks.c.input),
    _begun(tasks.c.result),
]


def page(connection: Connection, question: TaskQuery, *, limit: int, cursor: str | None) -> Page:
    """Raises ValueError where the cursor is none of ours."""
    found = question.page(connection, limit=limit, cursor=cursor, columns=_PLACE)
    told = in_order(connection, question.organization_id, [task.id for task in found.tasks], _TOLD)
    return Page(list(told), found.next_cursor)
