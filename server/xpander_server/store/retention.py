"""Deletion of old tasks, which leaves the metrics as they are."""

from collections.abc import Sequence

from sqlalchemy import Connection, delete, insert, select, update

from xpander_server.store.schema.tables import retention, tasks

CHUNK = 1_000
"""Largest number of tasks that one transaction deletes."""


def find_organizations(connection: Connection, before: int) -> Sequence[str]:
    """Return the organizations that have tasks created before a time."""
    return connection.scalars(select(tasks.c.organization_id).where(tasks.c.created_at < before).distinct()).all()


def delete_chunk(connection: Connection, organization_id: str, before: int) -> int:
    """Delete up to `CHUNK` of an organization's tasks created before a time, the oldest first.

    Args:
        connection: The connection to use.
        organization_id: The organization.
        before: The start of an hour, in microseconds since 1970.

    Returns:
        The number of deleted tasks.
    """
    _mark(connection, organization_id, before)
    old = select(tasks.c.id).where(tasks.c.organization_id == organization_id, tasks.c.created_at < before)
    oldest = old.order_by(tasks.c.created_at).limit(CHUNK)
    result = connection.execute(delete(tasks).where(tasks.c.organization_id == organization_id, tasks.c.id.in_(oldest)))
    return result.rowcount


def _mark(connection: Connection, organization_id: str, before: int) -> None:
    """Record that tasks before a time may be deleted, so that a rebuild keeps the metrics of that time."""
    is_organization = retention.c.organization_id == organization_id
    stored = connection.scalar(select(retention.c.deleted_before).where(is_organization).with_for_update())
    if stored is None:
        connection.execute(insert(retention).values(organization_id=organization_id, deleted_before=before))
    elif stored < before:
        connection.execute(update(retention).where(is_organization).values(deleted_before=before))
