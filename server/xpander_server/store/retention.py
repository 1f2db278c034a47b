"""Deletion of old tasks, which leaves the metrics as they are."""

import time
from collections.abc import Callable, Sequence
from functools import partial

from sqlalchemy import Connection, delete, insert, select, update

from xpander_server.domain.task import Task
from xpander_server.store.metadata_pairs import delete_pairs
from xpander_server.store.schema.tables import retention, tasks

_DELETED = [tasks.c[name] for name in ("organization_id", "id", "agent_id", "created_at", "updated_at", "metadata")]

CHUNK = 1_000
"""Largest number of tasks that one transaction deletes."""
_SMALLEST_CHUNK = 50
_CHUNK_SECONDS = 0.05


class Pace:
    """Size of the transactions of a deletion, and the pauses between them.

    While a transaction deletes from a SQLite file, reports wait; so it must be short. The pause after it is as long as
    the transaction.

    Attributes:
        chunk: Number of tasks to delete in the next transaction.
    """

    def __init__(self) -> None:
        self.chunk = CHUNK // 4

    def run(self, delete_chunk: Callable[[], int]) -> int:
        """Run one transaction, pause, and adapt the size of the next one; return the result of the transaction."""
        started_at = time.monotonic()
        count = delete_chunk()
        seconds = time.monotonic() - started_at
        time.sleep(min(seconds, 1.0))
        fitting = round(self.chunk * _CHUNK_SECONDS / max(seconds, 0.001))
        # At most twice as many as before: the time of one transaction may be an exception.
        self.chunk = max(_SMALLEST_CHUNK, min(CHUNK, 2 * self.chunk, fitting))
        return count

    def run_all(self, delete_chunk: Callable[[int], int]) -> int:
        """Run transactions until one deletes fewer tasks than it may, and return the number of all deleted tasks.

        Args:
            delete_chunk: Deletes up to a number of tasks in one transaction, and returns how many.
        """
        total = 0
        while True:
            limit = self.chunk
            count = self.run(partial(delete_chunk, limit))
            total += count
            if count < limit:
                return total


def find_organizations(connection: Connection, before: int) -> Sequence[str]:
    """Return the organizations that have tasks created before a time."""
    return connection.scalars(select(tasks.c.organization_id).where(tasks.c.created_at < before).distinct()).all()


def delete_chunk(connection: Connection, organization_id: str, before: int, limit: int) -> int:
    """Delete up to `limit` of an organization's tasks created before a time, the oldest first.

    Args:
        connection: The connection to use.
        organization_id: The organization.
        before: The start of an hour, in microseconds since 1970.
        limit: The largest number of tasks to delete.

    Returns:
        The number of deleted tasks.
    """
    _mark(connection, organization_id, before)
    old = select(tasks.c.id).where(tasks.c.organization_id == organization_id, tasks.c.created_at < before)
    oldest = old.order_by(tasks.c.created_at).limit(limit)
    deleted = connection.execute(
        delete(tasks).where(tasks.c.organization_id == organization_id, tasks.c.id.in_(oldest)).returning(*_DELETED)
    ).all()
    delete_pairs(connection, (Task(**row._mapping) for row in deleted))
    return len(deleted)


def _mark(connection: Connection, organization_id: str, before: int) -> None:
    """Record that tasks before a time may be deleted, so that a rebuild keeps the metrics of that time."""
    is_organization = retention.c.organization_id == organization_id
    stored = connection.scalar(select(retention.c.deleted_before).where(is_organization).with_for_update())
    if stored is None:
        connection.execute(insert(retention).values(organization_id=organization_id, deleted_before=before))
    elif stored < before:
        connection.execute(update(retention).where(is_organization).values(deleted_before=before))
