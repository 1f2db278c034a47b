"""Forgetting old tasks, but not what they add up to."""

from collections.abc import Sequence

from sqlalchemy import Connection, delete, insert, select, update

from xpander_server.store.schema.tables import retention, tasks

AT_A_TIME = 1_000  # tasks


def organizations(connection: Connection, before: int) -> Sequence[str]:
    """Those with tasks that were first seen before a time."""
    return connection.scalars(select(tasks.c.organization_id).where(tasks.c.created_at < before).distinct()).all()


def delete_before(connection: Connection, organization_id: str, before: int) -> int:
    """Delete some of the tasks that were first seen before an hour, and tell how many."""
    _mark(connection, organization_id, before)
    old = select(tasks.c.id).where(tasks.c.organization_id == organization_id, tasks.c.created_at < before)
    some = old.order_by(tasks.c.created_at).limit(AT_A_TIME)
    done = connection.execute(delete(tasks).where(tasks.c.organization_id == organization_id, tasks.c.id.in_(some)))
    return done.rowcount


def _mark(connection: Connection, organization_id: str, before: int) -> None:
    of_it = retention.c.organization_id == organization_id
    marked = connection.scalar(select(retention.c.forgotten_before).where(of_it).with_for_update())
    if marked is None:
        connection.execute(insert(retention).values(organization_id=organization_id, forgotten_before=before))
    elif marked < before:
        connection.execute(update(retention).where(of_it).values(forgotten_before=before))
