"""Commit of reports: merges many reports into their tasks in one transaction."""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import partial
from operator import attrgetter
from typing import Any, NamedTuple

from attrs import fields, frozen
from sqlalchemy import Connection, Select, bindparam, delete, select, update

from xpander_server.contract import Report
from xpander_server.domain.metrics import Amounts, task_amounts, task_delta
from xpander_server.domain.new_task import create_task
from xpander_server.domain.pricing import NO_OWN_PRICES, OwnPrices
from xpander_server.domain.task import Conflict, Erased, Task, merge
from xpander_server.json_text import as_text
from xpander_server.store.bulk import BulkInsert, BulkStatement, IdQuery, key_parameters
from xpander_server.store.engine.errors import RowLocked
from xpander_server.store.metadata_pairs import delete_pairs, update_pairs
from xpander_server.store.metrics.deltas import append_deltas, collect_deltas
from xpander_server.store.metrics.rollups import compact_by_chance
from xpander_server.store.schema.tables import Json, erased_tasks, tasks

_COLUMNS = [column.name for column in tasks.columns]
_column_values = attrgetter(*_COLUMNS)
assert set(_COLUMNS) == {field.name for field in fields(Task)}

# Module constants, because building a statement takes longer than executing it.
_SELECT = (
    select(tasks)
    .where(
        tasks.c.organization_id == bindparam("key_organization_id"),
        tasks.c.id.in_(bindparam("key_ids", expanding=True)),
    )
    .order_by(tasks.c.id)  # all processes lock rows in this order, so they do not deadlock
    .with_for_update()
)
_SELECT_UNLOCKED = _SELECT.with_for_update(skip_locked=True)
_STORED_AND_ERASED = IdQuery(tasks, erased_tasks)
_ERASED = IdQuery(erased_tasks)
_DELETE = delete(tasks).where(
    tasks.c.organization_id == bindparam("key_organization_id"),
    tasks.c.id.in_(bindparam("key_ids", expanding=True)),
)
_INSERT = BulkInsert(tasks)
_UPDATE = BulkStatement(
    update(tasks)
    .where(tasks.c.organization_id == bindparam("key_organization_id"), tasks.c.id == bindparam("key_id"))
    .values({name: bindparam(name) for name in _COLUMNS if name not in ("organization_id", "id")}),
    _COLUMNS,
)
_JSON_POSITIONS = [position for position, column in enumerate(tasks.columns) if isinstance(column.type, Json)]

_SIZE_WITHOUT_TEXTS = 500
_CALL_SIZE = 300
_PAIR_SIZE = 100


class TaskKey(NamedTuple):
    """Primary key of a task."""

    organization_id: str
    task_id: str


@frozen
class Submission:
    """Report of a task, with everything that the store needs to merge it."""

    organization_id: str
    agent_id: str
    task_id: str
    report: Report
    reported_at: int | None
    """The caller's time of the report, in microseconds since 1970; None means `now`."""
    now: int
    """The time of arrival, in microseconds since 1970."""

    @property
    def key(self) -> TaskKey:
        """The primary key of the task."""
        return TaskKey(self.organization_id, self.task_id)

    @property
    def size(self) -> int:
        """The approximate number of characters of the report."""
        report = self.report
        texts = (report.get("input"), report.get("result"), report.get("llm_response"), report.get("error"))
        size = _SIZE_WITHOUT_TEXTS + sum(len(text) for text in texts if text)
        if tools := report.get("used_tools"):
            size += sum(map(len, tools))
        if calls := report.get("calls"):
            size += sum(_CALL_SIZE + len(call.get("error") or "") for call in calls)
        if pairs := report.get("metadata"):
            size += sum(_PAIR_SIZE + len(value) for value in pairs.values())
        return size

    def merge_into(self, stored: Task | None, own_prices: OwnPrices = NO_OWN_PRICES) -> Task:
        """Return the task after this report; None creates it.

        Raises:
            Conflict: The id belongs to another agent.
        """
        if stored is None:
            task = create_task(
                self.report,
                organization_id=self.organization_id,
                agent_id=self.agent_id,
                task_id=self.task_id,
                reported_at=self.reported_at,
                now=self.now,
                own_prices=own_prices,
            )
            if task is not None:
                return task
        return merge(
            stored,
            self.report,
            organization_id=self.organization_id,
            agent_id=self.agent_id,
            task_id=self.task_id,
            reported_at=self.reported_at,
            now=self.now,
            own_prices=own_prices,
        )


Outcome = Task | Conflict | RowLocked
"""The task after a report, or the reason for which the report changes nothing."""
_LEFT_OUT = RowLocked("the report is not merged yet")


PricesOf = Callable[[Connection, str], OwnPrices]
"""Function that returns the own prices of an organization."""


def _no_own_prices(connection: Connection, organization_id: str) -> OwnPrices:
    return NO_OWN_PRICES


def commit(
    connection: Connection,
    submissions: Sequence[Submission],
    *,
    skip_locked: bool = False,
    prices_of: PricesOf = _no_own_prices,
) -> list[Outcome]:
    """Merge reports into their tasks and update the metrics.

    The steps, all in the transaction of `connection`:

    1. Insert the tasks that do not exist, as their reports state them. Most reports are the first ones of their tasks.
    2. Delete those of them again that were erased. Read and lock the tasks that exist.
    3. Merge their reports in order, and update the changed tasks.
    4. Update the index of the tasks' metadata.
    5. Append one row of metric deltas for each organization, and sometimes compact them into rollups.

    SQLite has one writer, so a query finds out which tasks exist. PostgreSQL learns it from the INSERT: a query before
    it would read all tasks of the organization in a new database, until the first ANALYZE.

    Args:
        connection: The connection to use.
        submissions: The reports.
        skip_locked: Whether to leave out the reports of tasks that another transaction has locked. A task that another
            transaction has inserted is not left out: the INSERT waits for it.
        prices_of: Function that returns the own prices of an organization.

    Returns:
        For each report its task after the merge, or a `Conflict` or `RowLocked`.
    """
    keys = [submission.key for submission in submissions]
    own_prices = partial(prices_of, connection)
    after: dict[TaskKey, Task] = {}
    existing: Collection[TaskKey]
    if connection.dialect.name == "sqlite":
        existing, erased = map(_task_keys, _STORED_AND_ERASED.execute(connection, keys))
        outcomes = _merge(submissions, keys, after, own_prices, existing)
        _INSERT.execute(connection, [_to_row(after[key]) for key in sorted(after)])
    else:
        outcomes = _merge(submissions, keys, after, own_prices)
        inserted = _INSERT.execute_returning(connection, [_to_row(after[key]) for key in sorted(after)])
        existing = after.keys() - inserted if len(inserted) < len(after) else frozenset()
        # The INSERT has waited for erasures of the same ids.
        (erased,) = map(_task_keys, _ERASED.execute(connection, after.keys() - existing))
    if erased:
        for parameters in key_parameters(erased):
            connection.execute(_DELETE, parameters)
        for key in erased:
            del after[key]
        for position, key in enumerate(keys):
            if key in erased:
                outcomes[position] = Erased(key.task_id)
    before: dict[TaskKey, Task] = {}
    if existing:
        before = _read_tasks(connection, existing, _SELECT_UNLOCKED if skip_locked else _SELECT)
        for key in existing:
            after.pop(key, None)
        after.update(before)
        positions = [position for position, key in enumerate(keys) if key in existing]
        readable = [position for position in positions if keys[position] in before]
        for position in positions:
            # If no other transaction has locked the task, one has deleted it since the INSERT.
            outcomes[position] = RowLocked(f"another transaction has locked the task {keys[position].task_id!r}")
        merged = _merge(
            [submissions[position] for position in readable],
            [keys[position] for position in readable],
            after,
            own_prices,
        )
        for position, outcome in zip(readable, merged, strict=True):
            outcomes[position] = outcome
        # Sorted, so that two processes that write the same tasks do not deadlock.
        _UPDATE.execute(connection, [_to_row(after[key]) for key in sorted(before) if after[key] is not before[key]])
    changed = [(before.get(key), task) for key, task in after.items() if task is not before.get(key)]
    update_pairs(connection, changed)
    changes = (change for stored, task in changed for change in _metric_changes(stored, task))
    delta_sizes = append_deltas(connection, collect_deltas(changes))
    compact_by_chance(connection, delta_sizes)
    return outcomes


def _merge(
    submissions: Sequence[Submission],
    keys: Sequence[TaskKey],
    after: dict[TaskKey, Task],
    prices_of: Callable[[str], OwnPrices],
    left_out: Collection[TaskKey] = (),
) -> list[Outcome]:
    """Merge reports in their order into the tasks in `after`; several reports of one task build on each other.

    Returns:
        The outcome of each report; of those that are left out, one without a meaning.
    """
    outcomes: list[Outcome] = []
    for key, submission in zip(keys, submissions, strict=True):
        if key in left_out:
            outcomes.append(_LEFT_OUT)
            continue
        try:
            task = submission.merge_into(after.get(key), prices_of(submission.organization_id))
        except Conflict as conflict:
            outcomes.append(conflict)
        else:
            after[key] = task
            outcomes.append(task)
    return outcomes


def update_tasks(connection: Connection, changed: Sequence[Task]) -> None:
    """Store tasks that exist already."""
    _UPDATE.execute(connection, [_to_row(task) for task in changed])


def delete_tasks(connection: Connection, keys: Iterable[TaskKey]) -> None:
    """Delete tasks that should not exist, and subtract them from the metrics."""
    stored = _read_tasks(connection, set(keys), _SELECT)
    for parameters in key_parameters(stored):
        connection.execute(_DELETE, parameters)
    delete_pairs(connection, stored.values())
    changes = ((task, {name: -amount for name, amount in task_amounts(task).items()}) for task in stored.values())
    append_deltas(connection, collect_deltas(changes))


def _task_keys(keys: Iterable[tuple[str, str]]) -> frozenset[TaskKey]:
    return frozenset(TaskKey(*key) for key in keys)


def _metric_changes(before: Task | None, after: Task) -> Iterator[tuple[Task, Amounts]]:
    """Yield the changes of the metrics: the time at which they count is that of the task."""
    if before is not None and before.created_at != after.created_at:
        # The task counts in another hour now: subtract it from the old hour, and add all of it to the new one.
        yield before, {key: -amount for key, amount in task_amounts(before).items()}
        before = None
    yield after, task_delta(before, after)


def _read_tasks(connection: Connection, keys: Iterable[TaskKey], query: Select[Any]) -> dict[TaskKey, Task]:
    return {
        TaskKey(parameters["key_organization_id"], row.id): Task(**row._mapping)
        for parameters in key_parameters(keys)
        for row in connection.execute(query, parameters)
    }


def _to_row(task: Task) -> list[Any]:
    """Return the values of the columns as the driver accepts them."""
    row = list(_column_values(task))
    for position in _JSON_POSITIONS:
        if row[position] is not None:
            row[position] = as_text(row[position])
    return row
