"""Deletion of old tasks, which leaves the metrics as they are."""

from collections.abc import Sequence

from sqlalchemy import Connection, delete, insert, select, update

from xpander_server.clock import HOUR
from xpander_server.domain.task import Task
from xpander_server.store.engine.database import Database
from xpander_server.store.metadata_pairs import delete_pairs
from xpander_server.store.pace import Pace
from xpander_server.store.schema.tables import retention, tasks

_DELETED = [tasks.c[name] for name in ("organization_id", "id", "agent_id", "created_at", "updated_at", "metadata")]


def delete_before(database: Database, before: int) -> int:
    """Delete the tasks created before a time, in small transactions; see `Store.delete_before`."""
    before = before // HOUR * HOUR
    organizations = database.read(lambda connection: _find_organizations(connection, before))
    return sum(_delete_of(database, organization_id, before) for organization_id in organizations)


def _delete_of(database: Database, organization_id: str, before: int) -> int:
    return Pace().run_all(
        lambda limit: database.write(lambda connection: _delete_chunk(connection, organization_id, before, limit))
    )


def _find_organizations(connection: Connection, before: int) -> Sequence[str]:
    """Return the organizations that have tasks created before a time."""
    return connection.scalars(select(tasks.c.organization_id).where(tasks.c.created_at < before).distinct()).all()


def _delete_chunk(connection: Connection, organization_id: str, before: int, limit: int) -> int:
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
