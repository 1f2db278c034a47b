"""A store: every question that the server asks of its database."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated, Any

import msgspec
from attrs import asdict, fields, frozen
from sqlalchemy import ColumnElement, Connection, false, insert, select, tuple_, update

from xpander_server.contract import Report
from xpander_server.metrics import Run
from xpander_server.store.engine import open_engine, transaction
from xpander_server.store.tables import keys, tasks
from xpander_server.store.turns import Turns
from xpander_server.tasks import Task, merge

DEFAULT_ORGANIZATION = "local"
"""Whose the tasks are where nobody names an organisation: on one's own machine."""

_LISTED = [
    tasks.c[name]
    for name in (
        "organization_id", "id", "agent_id", "created_at", "updated_at", "is_success", "result", "user_id",
        "parent_task_id", "triggering_agent_id",
    )
]  # fmt: skip
_SUCCESS = {"completed": True, "failed": False, "executing": None}
_BY_VALUE = frozenset({"agent_id", "user_id", "parent_task_id", "triggering_agent_id"})


@frozen
class Page:
    """A page of history, and where the next one starts."""

    tasks: list[Task]
    next_cursor: str | None


@frozen
class KeyRow:
    """An API key, as the store keeps it."""

    organization_id: str
    salt: bytes
    tag: int
    hash: bytes
    created_at: int


class Store:
    """Tasks and keys in a database. Safe to share between threads; one for each process."""

    def __init__(self, url: str) -> None:
        self._engine = open_engine(url)
        self._turns = Turns()

    def close(self) -> None:
        self._engine.dispose()

    def pause(self) -> None:
        """Close the database, and hold back who wants it, until `resume`."""
        self._turns.stop()
        self._engine.dispose()

    def resume(self) -> None:
        self._turns.go_on()

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with self._turns.reader(), transaction(self._engine, writes=False) as connection:
            yield connection

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        with self._turns.writer(), transaction(self._engine, writes=True) as connection:
            yield connection

    def ping(self) -> None:
        """Return if the store answers."""
        with self._reading() as connection:
            connection.execute(select(1))

    def report(
        self, organization_id: str, agent_id: str, task_id: str, report: Report, *, reported_at: int | None, now: int
    ) -> Task:
        """Merge a report into its task, durably.

        Raises:
            Conflict: the task belongs to another agent; nothing is changed.
        """
        key = (tasks.c.organization_id == organization_id) & (tasks.c.id == task_id)
        with self._writing() as connection:
            row = connection.execute(select(tasks).where(key)).mappings().one_or_none()
            stored = None if row is None else Task(**row)
            task = merge(
                stored,
                report,
                organization_id=organization_id,
                agent_id=agent_id,
                task_id=task_id,
                reported_at=reported_at,
                now=now,
            )
            if stored is None:
                connection.execute(insert(tasks).values(asdict(task)))
            elif task is not stored:
                connection.execute(update(tasks).where(key).values(_changes(stored, task)))
        return task

    def task(self, organization_id: str, task_id: str) -> Task | None:
        key = (tasks.c.organization_id == organization_id) & (tasks.c.id == task_id)
        with self._reading() as connection:
            row = connection.execute(select(tasks).where(key)).mappings().one_or_none()
        return None if row is None else Task(**row)

    def history(self, organization_id: str, filters: Mapping[str, str], *, limit: int, cursor: str | None) -> Page:
        """Tasks, newest first, without their documents.

        Args:
            filters: the contract's, all of which a task must meet.
            cursor: where to start, as the page before gave it.

        Raises:
            ValueError: the cursor is none of ours.
        """
        query = (
            select(*_LISTED)
            .where(tasks.c.organization_id == organization_id, *(_meets(*item) for item in filters.items()))
            .order_by(tasks.c.created_at.desc(), tasks.c.id.desc())
            .limit(limit + 1)
        )
        if cursor is not None:
            query = query.where(tuple_(tasks.c.created_at, tasks.c.id) < _position(cursor))
        with self._reading() as connection:
            found = [Task(**row) for row in connection.execute(query).mappings()]
        page = found[:limit]
        return Page(page, _cursor(page[-1]) if len(found) > limit else None)

    def runs(self, organization_id: str, agent_id: str, *, since: int | None, until: int | None) -> list[Run]:
        """What counts of each task of an agent that was first seen from `since` to before `until`."""
        query = select(tasks.c.is_success, tasks.c.duration, tasks.c.tokens, tasks.c.used_tools).where(
            tasks.c.organization_id == organization_id, tasks.c.agent_id == agent_id
        )
        if since is not None:
            query = query.where(tasks.c.created_at >= since)
        if until is not None:
            query = query.where(tasks.c.created_at < until)
        statuses = {success: status for status, success in _SUCCESS.items()}
        with self._reading() as connection:
            return [Run(statuses[success], *rest) for success, *rest in connection.execute(query)]

    def add_key(self, key: KeyRow) -> None:
        with self._writing() as connection:
            connection.execute(insert(keys).values(asdict(key)))

    def keys(self, tag: int | None = None) -> list[KeyRow]:
        """All keys, or those with this tag."""
        query = select(keys) if tag is None else select(keys).where(keys.c.tag == tag)
        with self._reading() as connection:
            return [KeyRow(**row) for row in connection.execute(query).mappings()]


def _changes(before: Task, after: Task) -> dict[str, Any]:
    names = [field.name for field in fields(Task)]
    return {name: getattr(after, name) for name in names if getattr(after, name) != getattr(before, name)}


def _meets(name: str, value: str) -> ColumnElement[bool]:
    if name == "status" and value in _SUCCESS:
        return tasks.c.is_success.is_(_SUCCESS[value])
    if name in _BY_VALUE:
        return tasks.c[name] == value
    # A reported task is never paused or stopped, and has no internal status.
    return false()


def _cursor(task: Task) -> str:
    return urlsafe_b64encode(msgspec.json.encode((task.created_at, task.id))).decode().rstrip("=")


_Position = tuple[Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)], str]


def _position(cursor: str) -> tuple[int, str]:
    try:
        raw = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        position: tuple[int, str] = msgspec.json.decode(raw, type=_Position)
        return position
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError):
        raise ValueError("is no cursor that this server gave") from None
