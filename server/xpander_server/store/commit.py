"""Reports become tasks: many of them in one transaction."""

from collections.abc import Iterable, Iterator, Sequence
from operator import attrgetter
from typing import Any

from attrs import fields, frozen
from sqlalchemy import Connection, bindparam, insert, select, update

from xpander_server.contract import Report
from xpander_server.domain.metrics import Amounts, task_amounts, task_delta
from xpander_server.domain.task import Conflict, Task, merge
from xpander_server.store.bulk import BulkStatement
from xpander_server.store.metrics import rollups
from xpander_server.store.schema.tables import Json, as_text, tasks

Key = tuple[str, str]
"""An organisation, and the id of one of its tasks."""

_COLUMNS = [column.name for column in tasks.columns]
_values = attrgetter(*_COLUMNS)
assert set(_COLUMNS) == {field.name for field in fields(Task)}

# Made once: to put a statement together costs more than to run it.
_SELECT = (
    select(tasks)
    .where(
        tasks.c.organization_id == bindparam("its_organization_id"),
        tasks.c.id.in_(bindparam("its_ids", expanding=True)),
    )
    .order_by(tasks.c.id)  # locked in order, too
    .with_for_update()
)
_INSERT = BulkStatement(insert(tasks), _COLUMNS)
_UPDATE = BulkStatement(
    update(tasks)
    .where(tasks.c.organization_id == bindparam("its_organization_id"), tasks.c.id == bindparam("its_id"))
    .values({name: bindparam(name) for name in _COLUMNS if name not in ("organization_id", "id")}),
    _COLUMNS,
)
_DOCUMENTS = [number for number, column in enumerate(tasks.columns) if isinstance(column.type, Json)]


@frozen
class Submission:
    """A report on its way into a store."""

    organization_id: str
    agent_id: str
    task_id: str
    report: Report
    reported_at: int | None
    """The caller's time of report, in microseconds since 1970 (UTC); None stands for `now`."""
    now: int
    """The time of arrival."""

    @property
    def key(self) -> Key:
        return self.organization_id, self.task_id


def commit(connection: Connection, submissions: Sequence[Submission]) -> list[Task | Conflict]:
    """Merge reports into their tasks, in their order, and move the metrics along.

    Returns:
        For each report its task after it, or why it was refused; a refusal changes nothing.
    """
    stored = _stored(connection, {submission.key for submission in submissions})
    after = dict(stored)
    outcomes: list[Task | Conflict] = []
    for submission in submissions:
        try:
            task = merge(
                after.get(submission.key),
                submission.report,
                organization_id=submission.organization_id,
                agent_id=submission.agent_id,
                task_id=submission.task_id,
                reported_at=submission.reported_at,
                now=submission.now,
            )
        except Conflict as conflict:
            outcomes.append(conflict)
        else:
            after[submission.key] = task
            outcomes.append(task)
    # In order, so that two processes never wait for each other in a circle.
    written = [key for key in sorted(after) if after[key] is not stored.get(key)]
    _INSERT.execute(connection, [_row(after[key]) for key in written if key not in stored])
    _UPDATE.execute(connection, [_row(after[key]) for key in written if key in stored])
    moves = (move for key in written for move in _moves(stored.get(key), after[key]))
    rollups.append_deltas(connection, rollups.collected(moves))
    return outcomes


def _moves(before: Task | None, after: Task) -> Iterator[tuple[Task, Amounts]]:
    if before is not None and before.created_at != after.created_at:  # it counts at another time from now on
        yield before, {key: -amount for key, amount in task_amounts(before).items()}
        before = None
    yield after, task_delta(before, after)


def _stored(connection: Connection, keys: Iterable[Key]) -> dict[Key, Task]:
    ids: dict[str, list[str]] = {}
    for organization_id, task_id in sorted(keys):
        ids.setdefault(organization_id, []).append(task_id)
    return {
        (row.organization_id, row.id): Task(**row._mapping)
        for organization_id, its_ids in ids.items()
        for row in connection.execute(_SELECT, {"its_organization_id": organization_id, "its_ids": its_ids})
    }


def _row(task: Task) -> list[Any]:
    """As a driver takes it."""
    row = list(_values(task))
    for number in _DOCUMENTS:
        if row[number] is not None:
            row[number] = as_text(row[number])
    return row
