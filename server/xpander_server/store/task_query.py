"""History of tasks, newest first, in pages.

A page starts after the last task of the page before it (keyset pagination), so tasks that arrive between two pages move
nothing. The filters of a query are of two kinds:

- Indexed: `parent_task_id`, `conversation_id`, `metadata`, `user_id` and `agent_id`. The first one of them that is set
  selects an index with the tasks of that value by time; the filters are in the order of how few tasks they usually
  select. `metadata` uses its first pair. A query without any uses the index with the organization's tasks by time.
- The status `failed` has an index for the organization and one for each agent, `executing` has one for the
  organization. They are used if no filter before `agent_id` is set. Stale tasks are executing.
- All others, and all but the first indexed one, are unindexed: the query reads the index, newest first, and tests each
  task (`task_filters`).

Each page reads a limited amount, so that no request takes long. A page that is not full then has a cursor with which
the next page continues:

    limit                     why
    SEEK_SECONDS              a search for an absent text would read all tasks; MIN_SEEK_ROWS are always tested
    LIST_SECONDS              SQLite reads the whole of a long text to cut it
    PAGE_CHARACTERS           the page is one response
    SEARCHED_CHARACTERS       a document has up to 4 MiB; a text far inside it is not found
    limits.LIST               the last resort: the database stops the statement, and the caller gets an error
"""

import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, Any, NamedTuple

import msgspec
from attrs import field, frozen
from sqlalchemy import ColumnElement, Connection, FromClause, Select, Table, and_, case, select, tuple_

from xpander_server.domain.task import Task
from xpander_server.store.excerpts import excerpt
from xpander_server.store.metadata_pairs import pair_digest
from xpander_server.store.schema.tables import metadata_pairs, tasks
from xpander_server.store.task_filters import (
    INDEXED_FILTERS,
    Filters,
    Staleness,
    exact_columns,
    matches,
    may_match,
    split_pair,
)

SEEK_SECONDS = 0.03
"""Time after which a search with unindexed filters ends the page."""
MIN_SEEK_ROWS = 20
"""Tasks that a search tests on a page however long that takes, so that a busy machine returns no empty pages."""
LIST_SECONDS = 0.25
"""Time after which a list without such filters ends the page."""
SEEK_ROWS = {"sqlite": 1_000, "postgresql": 200}
"""Tasks that one statement of a search tests. SQLite returns each row when it is tested, PostgreSQL all at once."""
SCAN_ROWS = {"sqlite": 20_000, "postgresql": 500}
"""Tasks that one statement of a summary tests."""
CANDIDATES = 32
"""Tasks that may match and are read together."""
RESULT_LENGTH = 4_096
"""Characters of JSON of a result in a list, and bytes of the decoded text."""
ERROR_LENGTH = 500
"""Characters of JSON of an error in a list."""
PAGE_CHARACTERS = 8_000_000
"""Characters after which a page ends."""

LISTED: list[ColumnElement[Any]] = [
    tasks.c[name]
    for name in (
        "organization_id", "id", "agent_id", "created_at", "updated_at", "is_success", "user_id", "parent_task_id",
        "triggering_agent_id", "conversation_id", "duration", "tokens", "model", "cost", "reason",
    )
] + [
    excerpt(tasks.c.result, RESULT_LENGTH, max_bytes=RESULT_LENGTH),
    excerpt(tasks.c.error, ERROR_LENGTH),
]  # fmt: skip
"""The columns of a list."""
_OTHER_FIELDS_LENGTH = 1_500  # characters of the other fields of a task in a list


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


class _Index(NamedTuple):
    """Index that a query reads, and the range of it.

    `source` and the two columns are those of the table of the index, so that the database reads the index in order.
    """

    source: FromClause
    created_at: ColumnElement[int]
    task_id: ColumnElement[str]
    conditions: list[ColumnElement[bool]]
    is_oldest_first: bool = False

    def select(self, columns: Sequence[ColumnElement[Any]], position: "_Position | None", limit: int) -> Select[Any]:
        """Return the statement that reads the next `limit` tasks after a position, in the order of the index."""
        query = select(*columns).select_from(self.source).where(*self.conditions)
        order = (self.created_at, self.task_id)
        query = query.order_by(*(order if self.is_oldest_first else (column.desc() for column in order))).limit(limit)
        if position is None:
            return query
        return query.where(tuple_(*order) > position if self.is_oldest_first else tuple_(*order) < position)


@frozen(kw_only=True)
class TaskQuery:
    """Query of an organization's tasks; a task must meet all conditions.

    Attributes:
        organization_id: The organization.
        filters: Values by the names of the contract's filters.
        since: The earliest creation time of a task, in microseconds since 1970.
        until: The end of that time range, exclusive.
        stale_before: Time before which an executing task was last changed if it is stale; for the filter `is_stale`.
        oldest_first: Whether the oldest task is the first one instead of the newest.
    """

    organization_id: str
    filters: Filters = field(factory=dict)
    since: int | None = None
    until: int | None = None
    stale_before: int = 0
    oldest_first: bool = False

    def page(
        self,
        connection: Connection,
        *,
        limit: int,
        cursor: str | None,
        columns: Sequence[ColumnElement[Any]] = LISTED,
        list_seconds: float | None = None,
    ) -> Page:
        """Return a page of tasks, newest first unless `oldest_first`.

        Args:
            connection: The connection to use.
            limit: The largest number of tasks.
            cursor: The `next_cursor` of the page before; None for the first page.
            columns: The columns to read. A search with unindexed filters may read others.
            list_seconds: Time after which a list without unindexed filters ends the page; None for `LIST_SECONDS`.

        Raises:
            ValueError: The cursor was not returned by this server.
        """
        position = None if cursor is None else _Position.from_cursor(cursor)
        index, unindexed = self._choose_index()
        if unindexed:
            return _Search(connection, self.organization_id, index, unindexed).page(limit, position, columns)
        seconds = LIST_SECONDS if list_seconds is None else list_seconds
        return _list(connection, index, limit, position, columns, seconds)

    def scan(
        self, connection: Connection, columns: Sequence[ColumnElement[Any]]
    ) -> Iterator[tuple[int, str, tuple[Any, ...] | None]]:
        """Yield the time of creation and the id of each task that is tested, and its columns if it matches.

        Args:
            connection: The connection to use.
            columns: The columns to read.
        """
        index, filters = self._choose_index()
        dialect = connection.dialect.name
        is_candidate = may_match(dialect, filters)
        # The database reads the texts for the exact test of the tasks that may match only.
        exact = [case((is_candidate, column)).label(column.name) for column in exact_columns(filters)]
        names = [column.name for column in exact]
        width = len(columns)
        selected: list[ColumnElement[Any]] = [
            index.created_at,
            index.task_id,
            is_candidate.label("may_match"),
            *columns,
            *exact,
        ]
        position: _Position | None = None
        count = limit = SCAN_ROWS[dialect]
        while count == limit:
            count = 0
            with connection.execute(index.select(selected, position, limit)) as rows:
                row: Any
                for row in rows:
                    count += 1
                    position = _Position(row[0], row[1])
                    is_match = row[2] and matches(filters, row[1], dict(zip(names, row[3 + width :], strict=True)))
                    yield row[0], row[1], tuple(row[3 : 3 + width]) if is_match else None

    def _choose_index(self) -> tuple[_Index, dict[str, Any]]:
        """Return the index to read, and the filters that it does not cover."""
        filters: dict[str, Any] = dict(self.filters)
        if "is_stale" in filters:
            filters["is_stale"] = Staleness(filters["is_stale"], self.stale_before)
        name = next((name for name in INDEXED_FILTERS if name in filters), None)
        if name == "metadata":
            pair, *others = filters.pop(name)
            if others:
                filters[name] = others
            table: Table = metadata_pairs
            is_same_task = and_(tasks.c.organization_id == table.c.organization_id, tasks.c.id == table.c.task_id)
            columns = (table.c.created_at, table.c.task_id)
            index = _Index(table.join(tasks, is_same_task), *columns, [], self.oldest_first)
            index.conditions.append(table.c.digest == pair_digest(*split_pair(pair)))
        else:
            table = tasks
            index = _Index(tasks, tasks.c.created_at, tasks.c.id, [], self.oldest_first)
            if name in (None, "agent_id"):
                status = filters.get("status")
                if status == "failed":
                    index.conditions.append(tasks.c.is_success.is_(False))
                    del filters["status"]
                elif status == "executing" or self.filters.get("is_stale") is True:
                    index.conditions.append(tasks.c.is_success.is_(None))
                    filters = {key: value for key, value in filters.items() if (key, value) != ("status", "executing")}
                    name = None  # few tasks are executing, so the agent is tested on each of them
            if name is not None:
                index.conditions.append(tasks.c[name] == filters.pop(name))
        index.conditions.append(table.c.organization_id == self.organization_id)
        if self.since is not None:
            index.conditions.append(index.created_at >= self.since)
        if self.until is not None:
            index.conditions.append(index.created_at < self.until)
        return index, filters


def _list(
    connection: Connection,
    index: _Index,
    limit: int,
    position: _Position | None,
    columns: Sequence[ColumnElement[Any]],
    seconds: float,
) -> Page:
    query = index.select(columns, position, limit + 1)
    deadline = time.monotonic() + seconds
    listed: list[Task] = []
    characters = 0
    with connection.execute(query) as rows:
        for task in _to_tasks(rows, columns):
            # This task belongs to the next page.
            if len(listed) == limit or characters > PAGE_CHARACTERS or (listed and time.monotonic() > deadline):
                return Page(listed, cursor_after(listed[-1]))
            listed.append(task)
            characters += _OTHER_FIELDS_LENGTH + len(listed[-1].result or "")
    return Page(listed, None)


class _Search:
    """Search for tasks with unindexed filters.

    Args:
        connection: The connection to use.
        organization_id: The organization.
        index: The index to read.
        filters: The unindexed filters.
    """

    def __init__(
        self,
        connection: Connection,
        organization_id: str,
        index: _Index,
        filters: Filters,
    ) -> None:
        self._connection = connection
        self._organization_id = organization_id
        self._filters = filters
        dialect = connection.dialect.name
        self._index = index
        self._columns: list[ColumnElement[Any]] = [index.created_at, index.task_id, may_match(dialect, filters)]
        self._row_count = SEEK_ROWS[dialect]
        self._tested_count = 0
        self._deadline = time.monotonic() + SEEK_SECONDS

    def page(self, limit: int, position: _Position | None, columns: Sequence[ColumnElement[Any]]) -> Page:
        """Return a page of the tasks after `position`.

        The database tests the tasks with conditions that may accept too many (`may_match`). Only the tasks that pass
        are read, and tested exactly (`matches`).
        """
        found: list[Task] = []
        characters = 0
        while True:
            candidates, position, is_last = self._seek(position, min(CANDIDATES, limit - len(found)))
            for task in self._read_matches(candidates, columns):
                if characters > PAGE_CHARACTERS:
                    return Page(found, cursor_after(found[-1]))
                found.append(task)
                characters += _OTHER_FIELDS_LENGTH + len(task.result or "")
            if is_last:
                return Page(found, None)
            if len(found) == limit or self._is_over():
                return Page(found, None if position is None else position.to_cursor())

    def _is_over(self) -> bool:
        return self._tested_count >= MIN_SEEK_ROWS and time.monotonic() > self._deadline

    def _seek(self, position: _Position | None, max_candidates: int) -> tuple[list[str], _Position | None, bool]:
        """Test tasks until the time is over or some may match.

        Returns:
            The ids of those that may match, the position of the last tested task, and whether it is the last of all.
        """
        candidates: list[str] = []
        count = 0
        last: tuple[int, str] | None = None
        query = self._index.select(self._columns, position, self._row_count)
        with self._connection.execute(query) as rows:
            row: Any
            for row in rows:
                created_at, task_id, is_candidate = row
                count += 1
                self._tested_count += 1
                last = created_at, task_id
                if is_candidate:
                    candidates.append(task_id)
                if len(candidates) == max_candidates or self._is_over():
                    return candidates, _Position(created_at, task_id), False
        # Without rows, there is no task after `position`.
        return candidates, None if last is None else _Position(*last), count < self._row_count

    def _read_matches(self, ids: Sequence[str], columns: Sequence[ColumnElement[Any]]) -> Iterator[Task]:
        if not ids:
            return
        exact = exact_columns(self._filters)
        query = select(*columns, *exact).where(tasks.c.organization_id == self._organization_id, tasks.c.id.in_(ids))
        found = {
            row["id"]: Task(**{column.name: row[column.name] for column in columns})
            for row in self._connection.execute(query).mappings()
            if matches(self._filters, row["id"], dict(row))
        }
        # Sorted here and not by the database: with ORDER BY, SQLite would scan all tasks of the organization.
        yield from (found[task_id] for task_id in ids if task_id in found)


def read_tasks(
    connection: Connection, organization_id: str, ids: Sequence[str], columns: Sequence[ColumnElement[Any]]
) -> Iterator[Task]:
    """Return the tasks with these ids, in the order of the ids; ids without a task are left out."""
    query = select(*columns).where(tasks.c.organization_id == organization_id, tasks.c.id.in_(ids))
    # Sorted here and not by the database: with ORDER BY, SQLite would scan all tasks of the organization for the ids.
    by_id = {task.id: task for task in _to_tasks(connection.execute(query), columns)}
    return (by_id[task_id] for task_id in ids if task_id in by_id)


def cursor_after(task: Task) -> str:
    """Return the cursor of the page that starts after a task."""
    return _Position(task.created_at, task.id).to_cursor()


def _to_tasks(rows: Iterable[Sequence[Any]], columns: Sequence[ColumnElement[Any]]) -> Iterator[Task]:
    """Yield the tasks in rows with these columns; SQLAlchemy's mapping of each row would cost more."""
    names = [column.name for column in columns]
    return (Task(**dict(zip(names, row, strict=True))) for row in rows)
