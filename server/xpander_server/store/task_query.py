"""History of tasks, newest first, in pages.

A page starts after the last task of the page before it (keyset pagination), so tasks that arrive between two pages move
nothing. The filters of a query are of two kinds:

- `agent_id` or `user_id`: the first one that is set selects an index with the tasks of that agent or user by time. A
  query without either uses the index with the organization's tasks by time.
- The others are unindexed: the query reads the index in chunks of `SEEK_ROWS` tasks, newest first, and tests each task.
  A page ends when it is full or after `SEEK_SECONDS`. A page that is not full then has a cursor with which the next
  page continues the search.
"""

import re
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator, Mapping, Sequence
from string import ascii_lowercase, ascii_uppercase
from typing import Annotated, Any, NamedTuple

import msgspec
from attrs import field, frozen
from sqlalchemy import (
    ColumnElement,
    Connection,
    Text,
    and_,
    collate,
    false,
    func,
    or_,
    select,
    tuple_,
    type_coerce,
)

from xpander_server.domain.task import Task
from xpander_server.store.schema.tables import tasks

SEEK_SECONDS = 0.03
"""Time after which a search with unindexed filters ends the page."""
SEEK_ROWS = 1_000
"""Tasks that a search tests between two looks at the clock."""

_LISTED: list[ColumnElement[Any]] = [
    tasks.c[name]
    for name in (
        "organization_id", "id", "agent_id", "created_at", "updated_at", "is_success", "result", "user_id",
        "parent_task_id", "triggering_agent_id",
    )
]  # fmt: skip
_IS_SUCCESS = {"completed": True, "failed": False, "executing": None}
_INDEX_COLUMNS = ("agent_id", "user_id")
_EQUALITY_FILTERS = frozenset({*_INDEX_COLUMNS, "parent_task_id", "triggering_agent_id", "model"})
_SEARCHED = (tasks.c.input, tasks.c.used_tools)
_TO_LOWERCASE = str.maketrans(ascii_uppercase, ascii_lowercase)
_LIKE_SPECIAL = re.compile("[%_/]")
_NEWEST_FIRST = (tasks.c.created_at.desc(), tasks.c.id.desc())


@frozen
class Page:
    """One page of tasks."""

    tasks: list[Task]
    next_cursor: str | None
    """The cursor of the next page; None on the last page."""


class _Position(NamedTuple):
    """A task's place in the history."""

    created_at: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
    task_id: Annotated[str, msgspec.Meta(max_length=255, pattern=r"^[^\x00-\x1f\x7f]+$")]

    @classmethod
    def from_cursor(cls, cursor: str) -> "_Position":
        try:
            raw = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
            return msgspec.json.decode(raw, type=cls)
        except (msgspec.DecodeError, UnicodeDecodeError, ValueError):
            raise ValueError("must be a cursor that this server returned") from None

    def to_cursor(self) -> str:
        return urlsafe_b64encode(msgspec.json.encode(self)).decode().rstrip("=")


@frozen(kw_only=True)
class TaskQuery:
    """Query of an organization's tasks; a task must meet all conditions.

    Attributes:
        organization_id: The organization.
        filters: Values by the names of the contract's filters, such as `status`, `tool` or `q`.
        since: The earliest creation time of a task, in microseconds since 1970.
        until: The end of that time range, exclusive.
    """

    organization_id: str
    filters: Mapping[str, str] = field(factory=dict)
    since: int | None = None
    until: int | None = None

    def page(
        self,
        connection: Connection,
        *,
        limit: int,
        cursor: str | None,
        columns: Sequence[ColumnElement[Any]] = _LISTED,
    ) -> Page:
        """Return a page of tasks, newest first.

        Args:
            connection: The connection to use.
            limit: The largest number of tasks.
            cursor: The `next_cursor` of the page before; None for the first page.
            columns: The columns to read. A search with unindexed filters may read others.

        Raises:
            ValueError: The cursor was not returned by this server.
        """
        position = None if cursor is None else _Position.from_cursor(cursor)
        unindexed = dict(self.filters)
        index_column = next((name for name in _INDEX_COLUMNS if name in unindexed), None)
        conditions = [tasks.c.organization_id == self.organization_id]
        if index_column is not None:
            conditions.append(tasks.c[index_column] == unindexed.pop(index_column))
        if self.since is not None:
            conditions.append(tasks.c.created_at >= self.since)
        if self.until is not None:
            conditions.append(tasks.c.created_at < self.until)
        if unindexed:
            return self._search(connection, conditions, unindexed, limit, position)
        query = select(*columns).where(*conditions).order_by(*_NEWEST_FIRST).limit(limit + 1)
        rows = [Task(**row._mapping) for row in connection.execute(_after(query, position))]
        shown = rows[:limit]
        return Page(shown, _cursor_after(shown[-1]) if len(rows) > limit else None)

    def _search(
        self,
        connection: Connection,
        conditions: list[ColumnElement[bool]],
        unindexed: Mapping[str, str],
        limit: int,
        position: _Position | None,
    ) -> Page:
        """Read the index in chunks, and return the tasks that meet the unindexed filters.

        The database tests each task of a chunk with conditions that may accept too many (`_may_match`). Only the tasks
        that pass are read, and tested exactly (`_matches`).
        """
        may_match = and_(*(_may_match(connection.dialect.name, *item) for item in unindexed.items()))
        query = select(tasks.c.created_at, tasks.c.id, may_match).where(*conditions)
        query = query.order_by(*_NEWEST_FIRST).limit(SEEK_ROWS)
        deadline = time.monotonic() + SEEK_SECONDS
        found: list[Task] = []
        while True:
            chunk: Sequence[Any] = connection.execute(_after(query, position)).all()
            candidates = [task_id for _, task_id, is_candidate in chunk if is_candidate]
            while candidates and len(found) < limit:
                missing = limit - len(found)
                rows = read_tasks(connection, self.organization_id, candidates[:missing], [*_LISTED, *_SEARCHED])
                found += (task for task in rows if _matches(task, unindexed))
                candidates = candidates[missing:]
            is_last_chunk = len(chunk) < SEEK_ROWS
            if len(found) == limit and (candidates or not is_last_chunk):
                return Page(found, _cursor_after(found[-1]))
            if is_last_chunk:
                return Page(found, None)
            position = _Position(chunk[-1].created_at, chunk[-1].id)
            if time.monotonic() > deadline:
                return Page(found, position.to_cursor())


def read_tasks(
    connection: Connection, organization_id: str, ids: Sequence[str], columns: Sequence[ColumnElement[Any]]
) -> Iterator[Task]:
    """Return the tasks with these ids, in the order of the ids; ids without a task are left out."""
    query = select(*columns).where(tasks.c.organization_id == organization_id, tasks.c.id.in_(ids))
    # Sorted here and not by the database: with ORDER BY, SQLite would scan all tasks of the organization for the ids.
    by_id = {row.id: Task(**row._mapping) for row in connection.execute(query)}
    return (by_id[task_id] for task_id in ids if task_id in by_id)


def _after(query: Any, position: _Position | None) -> Any:
    return query if position is None else query.where(tuple_(tasks.c.created_at, tasks.c.id) < position)


def _cursor_after(task: Task) -> str:
    return _Position(task.created_at, task.id).to_cursor()


def _may_match(dialect: str, name: str, value: str) -> ColumnElement[bool]:
    r"""Return an SQL condition that every matching task fulfills, and possibly other tasks too.

    The condition compares JSON text: `q` "nb" also matches the escape sequence in "line\nbreak".
    """
    if name == "status" and value in _IS_SUCCESS:
        return tasks.c.is_success.is_(_IS_SUCCESS[value])
    if name in _EQUALITY_FILTERS:
        return tasks.c[name] == value
    if name == "tool":
        position = func.instr if dialect == "sqlite" else func.strpos
        return position(type_coerce(tasks.c.used_tools, Text), _to_json(value)) > 0
    if name == "q":
        pattern = "%" + _LIKE_SPECIAL.sub(r"/\g<0>", _to_json(value)[1:-1]) + "%"
        return or_(*(_like(dialect, tasks.c[column], pattern) for column in ("input", "result")))
    # The other filters and states exist in the contract, but no reported task has them (such as status "paused").
    return false()


def _like(dialect: str, column: ColumnElement[Any], pattern: str) -> ColumnElement[bool]:
    # Only A to Z are compared without case, as SQLite's LIKE does; for PostgreSQL, that is ILIKE in the locale C.
    text = type_coerce(column, Text)
    like = text.like(pattern, escape="/") if dialect == "sqlite" else collate(text, "C").ilike(pattern, escape="/")
    return func.coalesce(like, false())


def _matches(task: Task, filters: Mapping[str, str]) -> bool:
    """Return whether a task meets the filters for which `_may_match` may accept too many tasks."""
    if "tool" in filters and filters["tool"] not in (task.used_tools or []):
        return False
    text = filters.get("q")
    if text is None:
        return True
    return any(_to_lowercase(text) in _to_lowercase(document) for document in (task.input, task.result) if document)


def _to_json(text: str) -> str:
    return msgspec.json.encode(text).decode()


def _to_lowercase(text: str) -> str:
    return text.translate(_TO_LOWERCASE)
