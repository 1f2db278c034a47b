"""Index of tasks by the pairs of their metadata.

The table `metadata_pairs` has one row for each pair of each task, in the order of the history: organization, digest of
the pair, time of creation, id of the task. A query for a pair reads a range of its primary key. A task without metadata
has no row, so its reports cost nothing here.
"""

from collections.abc import Collection, Iterable
from hashlib import blake2b

from sqlalchemy import Connection, bindparam, delete, insert

from xpander_server.domain.task import Task
from xpander_server.store.bulk import BulkStatement
from xpander_server.store.schema.tables import metadata_pairs

_COLUMNS = [column.name for column in metadata_pairs.columns]
_INSERT = BulkStatement(insert(metadata_pairs), _COLUMNS)
_DELETE = delete(metadata_pairs).where(
    *(column == bindparam(f"key_{column.name}") for column in metadata_pairs.columns)
)

_Row = tuple[str, bytes, int, str]


def pair_digest(name: str, value: str) -> bytes:
    """Return the digest of a pair. A name contains no "=", so different pairs have different texts."""
    return blake2b(f"{name}={value}".encode(), digest_size=16).digest()


def update_pairs(connection: Connection, changes: Iterable[tuple[Task | None, Task]]) -> None:
    """Update the index for tasks that a commit changes.

    Args:
        connection: The connection of the commit.
        changes: Each task before the commit, None for a new task, and after it.
    """
    inserted: set[_Row] = set()
    deleted: set[_Row] = set()
    for before, after in changes:
        if before is None and after.metadata is None:
            continue
        old, new = _rows(before), _rows(after)
        inserted |= new - old
        deleted |= old - new
    # Sorted, so that two processes that write the same rows do not deadlock.
    _delete(connection, deleted)
    _INSERT.execute(connection, sorted(inserted))


def delete_pairs(connection: Connection, deleted_tasks: Iterable[Task]) -> None:
    """Remove deleted tasks from the index."""
    _delete(connection, {row for task in deleted_tasks for row in _rows(task)})


def _delete(connection: Connection, rows: Collection[_Row]) -> None:
    if rows:
        parameters = [{f"key_{name}": value for name, value in zip(_COLUMNS, row, strict=True)} for row in sorted(rows)]
        connection.execute(_DELETE, parameters)


def _rows(task: Task | None) -> set[_Row]:
    if task is None or not task.metadata:
        return set()
    return {
        (task.organization_id, pair_digest(name, value), task.created_at, task.id)
        for name, value in task.metadata.items()
    }
