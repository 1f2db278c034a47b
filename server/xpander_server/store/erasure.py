"""Erasure: the contents of tasks are deleted at a person's request; metrics stay exact.

An erased task moves from `tasks` to `erased_tasks`, which has only what metrics count: times, outcome, tokens, tools,
models and costs. A rebuild of the metrics reads both tables. The row also keeps the id, so that a report that arrives
later, for example from an outbox, does not store the contents again: `commit` refuses it.

    tasks (all contents) ── erase ──▶ erased_tasks (numbers) ──▶ metrics are as before
                                      audit_log (who, when, which tasks)
"""

import re
import uuid
from collections.abc import Iterable, Mapping
from typing import Any

from attrs import frozen
from sqlalchemy import ColumnElement, Connection, Text, delete, insert, select

from xpander_server.domain.task import Task
from xpander_server.json_text import as_text
from xpander_server.store.engine.database import Database
from xpander_server.store.metadata_pairs import delete_pairs
from xpander_server.store.pace import Pace
from xpander_server.store.schema.tables import audit_log, erased_tasks, spans, tasks, traces

_KEPT = [column.name for column in erased_tasks.columns if column.name != "erased_at"]
_NEEDED = [tasks.c[name] for name in dict.fromkeys([*_KEPT, "metadata"])]
_ID_OF_SPAN = re.compile("([0-9a-f]{32})-[0-9a-f]{16}")
_KEPT_OF_CALL = ("provider", "model", "tokens")


@frozen(kw_only=True)
class ErasureSelection:
    """Selection of the tasks to erase; a task must meet all conditions, and at least one must be set.

    Attributes:
        organization_id: Organization of the tasks.
        task_id: Id of the task.
        user_id: User of the tasks.
        agent_id: Agent of the tasks.
        before: End of their times of creation, exclusive, in microseconds since 1970.
    """

    organization_id: str
    task_id: str | None = None
    user_id: str | None = None
    agent_id: str | None = None
    before: int | None = None

    def __attrs_post_init__(self) -> None:
        if not self.as_dict():
            raise ValueError("an erasure must name a task, a user, an agent or a time")

    def as_dict(self) -> dict[str, Any]:
        """Return the conditions that are set, without the organization."""
        names = ("task_id", "user_id", "agent_id", "before")
        return {name: value for name in names if (value := getattr(self, name)) is not None}

    def conditions(self) -> list[ColumnElement[bool]]:
        """Return the SQL conditions of the selection."""
        conditions = [tasks.c.organization_id == self.organization_id]
        if self.task_id is not None:
            conditions.append(tasks.c.id == self.task_id)
        if self.user_id is not None:
            conditions.append(tasks.c.user_id == self.user_id)
        if self.agent_id is not None:
            conditions.append(tasks.c.agent_id == self.agent_id)
        if self.before is not None:
            conditions.append(tasks.c.created_at < self.before)
        return conditions


def erase(database: Database, selection: ErasureSelection, *, actor: str, now: int) -> int:
    """Erase the contents of tasks, in small transactions; see `Store.erase`."""

    def run(connection: Connection, limit: int) -> int:
        count = _erase_chunk(connection, selection, now=now, limit=limit)
        if count:
            # In the same transaction: after a crash, the log has each task that was erased.
            _record_erasure(connection, selection, actor=actor, now=now, count=count)
        return count

    return Pace().run_all(lambda limit: database.write(lambda connection: run(connection, limit)))


def _erase_chunk(connection: Connection, selection: ErasureSelection, *, now: int, limit: int) -> int:
    """Erase up to `limit` tasks of a selection, and return their number."""
    chosen = select(tasks.c.id).where(*selection.conditions()).limit(limit)
    is_chosen = (tasks.c.organization_id == selection.organization_id, tasks.c.id.in_(chosen))
    erased = [Task(**row._mapping) for row in connection.execute(delete(tasks).where(*is_chosen).returning(*_NEEDED))]
    if erased:
        delete_pairs(connection, erased)
        connection.execute(insert(erased_tasks), [_numbers(task, now) for task in erased])
        _delete_spans(connection, selection.organization_id, [task.id for task in erased])
    return len(erased)


def _delete_spans(connection: Connection, organization_id: str, task_ids: Iterable[str]) -> None:
    """Delete the spans from which tasks were computed, because they contain the same texts."""
    trace_ids: set[str] = set()
    for task_id in task_ids:
        if match := _ID_OF_SPAN.fullmatch(task_id):
            trace_ids.add(match[1])
            continue
        # The program has chosen the id. Traces are kept for a day only, so there are few.
        is_its_trace = traces.c.tasks.cast(Text).contains(f"{as_text(task_id)}:", autoescape=True)
        trace_ids.update(
            connection.scalars(
                select(traces.c.trace_id).where(traces.c.organization_id == organization_id, is_its_trace)
            )
        )
    for table in (spans, traces):
        connection.execute(
            delete(table).where(table.c.organization_id == organization_id, table.c.trace_id.in_(sorted(trace_ids)))
        )


def _record_erasure(connection: Connection, selection: ErasureSelection, *, actor: str, now: int, count: int) -> None:
    """Record in the audit log who erased which tasks.

    Args:
        connection: The connection to use.
        selection: The tasks.
        actor: Name of the key, or of the user of the command line.
        now: Time of the erasure, in microseconds since 1970.
        count: Number of erased tasks.
    """
    connection.execute(
        insert(audit_log).values(
            organization_id=selection.organization_id,
            at=now,
            id=uuid.uuid4().bytes,
            action="erase",
            actor=actor,
            details={**selection.as_dict(), "tasks": count},
        )
    )


def read_audit_log(connection: Connection, organization_id: str, limit: int) -> list[Mapping[str, Any]]:
    """Return the latest entries of the audit log, newest first."""
    query = select(audit_log).where(audit_log.c.organization_id == organization_id)
    return [dict(row._mapping) for row in connection.execute(query.order_by(audit_log.c.at.desc()).limit(limit))]


def _numbers(task: Task, now: int) -> dict[str, Any]:
    """Return the row of an erased task. Of its calls, only what metrics count is kept."""
    row = {name: getattr(task, name) for name in _KEPT}
    if task.calls is not None:
        row["calls"] = [{name: call[name] for name in _KEPT_OF_CALL if name in call} for call in task.calls]
    return {**row, "erased_at": now}
