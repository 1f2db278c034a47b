"""Tree of tasks: the tasks that started a task, and those that it started."""

from collections.abc import Sequence
from typing import Any

from attrs import frozen
from sqlalchemy import ColumnElement, Connection, Executable, Integer, bindparam, func, literal, select

from xpander_server.domain.task import Task
from xpander_server.store.excerpts import excerpt
from xpander_server.store.schema.tables import tasks

MAX_LEVELS = 3
"""Levels of children below a task."""
MAX_TASKS = 50
"""Children of all levels."""
MAX_ANCESTORS = 5
MAX_COUNT = 1_000
"""Children of a task that are counted."""
_PREVIEW_LENGTH = 200  # characters of JSON

_COLUMNS: list[ColumnElement[Any]] = [
    *(
        tasks.c[name]
        for name in (
            "organization_id", "id", "agent_id", "created_at", "updated_at", "finished_at", "is_success", "duration",
            "tokens", "cost", "model", "reason", "parent_task_id",
        )
    ),
    excerpt(tasks.c.input, _PREVIEW_LENGTH, ending="…"),
]  # fmt: skip

_CHILDREN = (
    select(*_COLUMNS)
    .where(tasks.c.organization_id == bindparam("organization"), tasks.c.parent_task_id == bindparam("parent"))
    .order_by(tasks.c.created_at, tasks.c.id)
    .limit(bindparam("count", type_=Integer))
)


def _child_counts() -> Executable:
    """Return the query for the number of children of some tasks, each of them at most `MAX_COUNT`."""
    parents = tasks.alias("parents")
    children = (
        select(literal(1))
        .where(
            tasks.c.organization_id == bindparam("organization"),
            tasks.c.parent_task_id == parents.c.id,
        )
        .limit(MAX_COUNT)
        .correlate(parents)
        .subquery()
    )
    count = select(func.count()).select_from(children).correlate(parents).scalar_subquery().label("child_count")
    is_asked = parents.c.id.in_(bindparam("ids", expanding=True))
    return select(parents.c.id, count).where(parents.c.organization_id == bindparam("organization"), is_asked)


_CHILD_COUNTS = _child_counts()


@frozen
class TreeTask:
    """A task below another one, and its level: 1 for a child, 2 for a grandchild."""

    task: Task
    level: int


@frozen
class TaskTree:
    """Relatives of a task.

    Attributes:
        ancestors: The tasks that started it, the first one of all first; those that are stored.
        descendants: The tasks that it started, each one followed by its own children, in the order of time.
        is_complete: Whether `descendants` are all of them.
    """

    ancestors: Sequence[Task]
    descendants: Sequence[TreeTask]
    is_complete: bool


def read_tree(connection: Connection, task: Task) -> TaskTree:
    """Return the relatives of a task. Texts are cut; a task that is its own ancestor is shown once."""
    children: dict[str, list[Task]] = {}
    seen, level_ids, is_complete, count = {task.id}, [task.id], True, 0
    for level in range(MAX_LEVELS + 1):
        rows = _read_children(connection, task.organization_id, level_ids, MAX_TASKS - count + 1)
        rows = [row for row in rows if row.id not in seen]
        if rows and (level == MAX_LEVELS or count + len(rows) > MAX_TASKS):
            is_complete = False
        rows = [] if level == MAX_LEVELS else rows[: MAX_TASKS - count]
        for row in rows:
            children.setdefault(row.parent_task_id or "", []).append(row)
        level_ids = [row.id for row in rows]
        seen.update(level_ids)
        count += len(rows)
        if not rows:
            break
    return TaskTree(_read_ancestors(connection, task), _flatten(children, task.id, 1), is_complete)


def count_children(connection: Connection, organization_id: str, task_ids: Sequence[str]) -> dict[str, int]:
    """Return the number of children of the tasks that have any; a number of `MAX_COUNT` means at least as many."""
    rows = connection.execute(_CHILD_COUNTS, {"organization": organization_id, "ids": task_ids})
    return {row.id: row.child_count for row in rows if row.child_count}


def _flatten(children: dict[str, list[Task]], parent_id: str, level: int) -> list[TreeTask]:
    flat = []
    for child in children.get(parent_id, ()):
        flat += [TreeTask(child, level), *_flatten(children, child.id, level + 1)]
    return flat


def _read_children(connection: Connection, organization_id: str, parent_ids: Sequence[str], limit: int) -> list[Task]:
    """Return the children of some tasks, at most `limit`, in the order of time."""
    # One query for each parent: with IN and ORDER BY, SQLite would read all tasks of the organization in their order.
    rows = [
        row
        for parent_id in parent_ids
        for row in connection.execute(_CHILDREN, {"organization": organization_id, "parent": parent_id, "count": limit})
    ]
    rows.sort(key=lambda row: (row.created_at, row.id))
    return [Task(**row._mapping) for row in rows[:limit]]


def _read_ancestors(connection: Connection, task: Task) -> list[Task]:
    ancestors: list[Task] = []
    seen, parent_id = {task.id}, task.parent_task_id
    while parent_id is not None and parent_id not in seen and len(ancestors) < MAX_ANCESTORS:
        seen.add(parent_id)
        query = select(*_COLUMNS).where(tasks.c.organization_id == task.organization_id, tasks.c.id == parent_id)
        row = connection.execute(query).one_or_none()
        if row is None:
            break
        ancestors.insert(0, Task(**row._mapping))
        parent_id = ancestors[0].parent_task_id
    return ancestors
