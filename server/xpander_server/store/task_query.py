"""History: tasks newest first, page by page, however many there are.

A page goes on from the last task of the page before it, and so stays in its place while tasks are added. The tasks of
an organisation, an agent or a user are in the order of time in an index; what else a filter asks for is looked for
along it, for as long as a page may take. A page that found little then says where the next one goes on looking.
"""

import re
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator, Mapping, Sequence
from string import ascii_lowercase, ascii_uppercase
from typing import Annotated, Any

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
SEEK_ROWS = 1_000  # looked at before the clock is

_LISTED: list[ColumnElement[Any]] = [
    tasks.c[name]
    for name in (
        "organization_id", "id", "agent_id", "created_at", "updated_at", "is_success", "result", "user_id",
        "parent_task_id", "triggering_agent_id",
    )
]  # fmt: skip
_SUCCESS = {"completed": True, "failed": False, "executing": None}
_INDEXED = ("agent_id", "user_id")
_BY_VALUE = frozenset({*_INDEXED, "parent_task_id", "triggering_agent_id", "model"})
_WITHIN = (tasks.c.input, tasks.c.used_tools)
_LOWER = str.maketrans(ascii_uppercase, ascii_lowercase)
_LIKE_SPECIAL = re.compile("[%_/]")
_NEWEST_FIRST = (tasks.c.created_at.desc(), tasks.c.id.desc())


@frozen
class Page:
    """A page of history, and where the next one starts."""

    tasks: list[Task]
    next_cursor: str | None


@frozen(kw_only=True)
class TaskQuery:
    """Which tasks of an organisation are wanted, all conditions together.

    Args:
        filters: the contract's, by name.
        since, until: when they were first seen, in microseconds since 1970.
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
        """Tasks, newest first, without their documents, with the columns `listed` at least. Raises ValueError where the
        cursor is none of ours."""
        place = None if cursor is None else _position(cursor)
        sought = dict(self.filters)
        along = next((name for name in _INDEXED if name in sought), None)
        there = [tasks.c.organization_id == self.organization_id]
        if along is not None:
            there.append(tasks.c[along] == sought.pop(along))
        if self.since is not None:
            there.append(tasks.c.created_at >= self.since)
        if self.until is not None:
            there.append(tasks.c.created_at < self.until)
        if sought:
            return self._seek(connection, there, sought, limit, place)
        query = select(*columns).where(*there).order_by(*_NEWEST_FIRST).limit(limit + 1)
        found = [Task(**row._mapping) for row in connection.execute(_after(query, place))]
        shown = found[:limit]
        return Page(shown, _cursor(shown[-1].created_at, shown[-1].id) if len(found) > limit else None)

    def _seek(
        self,
        connection: Connection,
        there: list[ColumnElement[bool]],
        sought: Mapping[str, str],
        limit: int,
        place: tuple[int, str] | None,
    ) -> Page:
        meets = and_(*(_meets(connection.dialect.name, *condition) for condition in sought.items()))
        query = select(tasks.c.created_at, tasks.c.id, meets).where(*there).order_by(*_NEWEST_FIRST).limit(SEEK_ROWS)
        deadline = time.monotonic() + SEEK_SECONDS
        found: list[Task] = []
        while True:
            seen: Sequence[Any] = connection.execute(_after(query, place)).all()
            candidates = [task_id for _, task_id, is_met in seen if is_met]
            while candidates and len(found) < limit:
                wanted = limit - len(found)
                found += (task for task in self._tasks(connection, candidates[:wanted]) if _is(task, sought))
                candidates = candidates[wanted:]
            is_last = len(seen) < SEEK_ROWS
            if len(found) == limit and (candidates or not is_last):
                return Page(found, _cursor(found[-1].created_at, found[-1].id))
            if is_last:
                return Page(found, None)
            place = (seen[-1].created_at, seen[-1].id)
            if time.monotonic() > deadline:
                return Page(found, _cursor(*place))

    def _tasks(self, connection: Connection, ids: list[str]) -> Iterator[Task]:
        return in_order(connection, self.organization_id, ids, [*_LISTED, *_WITHIN])


def in_order(
    connection: Connection, organization_id: str, ids: Sequence[str], columns: Sequence[ColumnElement[Any]]
) -> Iterator[Task]:
    """Tasks by their ids, in the order of these."""
    query = select(*columns).where(tasks.c.organization_id == organization_id, tasks.c.id.in_(ids))
    # Not ordered by the database: SQLite would go through the organisation in that order, and look for the ids.
    found = {row.id: Task(**row._mapping) for row in connection.execute(query)}
    return (found[task_id] for task_id in ids if task_id in found)


def _after(query: Any, place: tuple[int, str] | None) -> Any:
    return query if place is None else query.where(tuple_(tasks.c.created_at, tasks.c.id) < place)


def _meets(dialect: str, name: str, value: str) -> ColumnElement[bool]:
    """Whether a task may meet a condition: texts are looked for in JSON, where an escape may look like one."""
    if name == "status" and value in _SUCCESS:
        return tasks.c.is_success.is_(_SUCCESS[value])
    if name in _BY_VALUE:
        return tasks.c[name] == value
    if name == "tool":
        position = func.instr if dialect == "sqlite" else func.strpos
        return position(type_coerce(tasks.c.used_tools, Text), _json(value)) > 0
    if name == "q":
        pattern = "%" + _LIKE_SPECIAL.sub(r"/\g<0>", _json(value)[1:-1]) + "%"
        return or_(*(_like(dialect, tasks.c[column], pattern) for column in ("input", "result")))
    # A reported task is never paused or stopped, and has no internal status.
    return false()


def _like(dialect: str, column: ColumnElement[Any], pattern: str) -> ColumnElement[bool]:
    # A to Z in either case, and no other letters: so SQLite's LIKE does it, and PostgreSQL's ILIKE in the locale C.
    text = type_coerce(column, Text)
    like = text.like(pattern, escape="/") if dialect == "sqlite" else collate(text, "C").ilike(pattern, escape="/")
    return func.coalesce(like, false())


def _is(task: Task, sought: Mapping[str, str]) -> bool:
    """Whether a task does meet the conditions that `_meets` cannot be sure of."""
    if "tool" in sought and sought["tool"] not in (task.used_tools or []):
        return False
    text = sought.get("q")
    return text is None or any(_lower(text) in _lower(within) for within in (task.input, task.result) if within)


def _json(text: str) -> str:
    return msgspec.json.encode(text).decode()


def _lower(text: str) -> str:
    return text.translate(_LOWER)


def _cursor(created_at: int, task_id: str) -> str:
    return urlsafe_b64encode(msgspec.json.encode((created_at, task_id))).decode().rstrip("=")


_Position = tuple[
    Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)],
    Annotated[str, msgspec.Meta(max_length=255, pattern=r"^[^\x00-\x1f\x7f]+$")],
]


def _position(cursor: str) -> tuple[int, str]:
    try:
        raw = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        created_at, task_id = msgspec.json.decode(raw, type=_Position)
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError):
        raise ValueError("is no cursor that this server gave") from None
    return created_at, task_id
