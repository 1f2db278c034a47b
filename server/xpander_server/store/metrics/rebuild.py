"""Rebuild of all metrics from the tasks."""

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Text,
    bindparam,
    delete,
    func,
    select,
    text,
    tuple_,
    type_coerce,
    update,
)

from xpander_server.domain.metric_names import NameRegistry
from xpander_server.domain.metrics import MAX_TASK_TOOLS, task_amounts
from xpander_server.domain.pricing import compute_run_cost, load_prices
from xpander_server.domain.task import Task
from xpander_server.store.metrics.deltas import METRIC_COLUMNS, MetricDelta, collect_deltas
from xpander_server.store.metrics.registries import (
    IS_REGISTRY,
    ORGANIZATION,
    PERIOD_HOURS,
    read_registries,
    save_registries,
)
from xpander_server.store.metrics.rollups import COMPACTION_LOCK, add_to_rollups, compact
from xpander_server.store.schema.tables import erased_tasks, metric_deltas, retention, rollups, tasks

_CHUNK = 2_000  # tasks
_ERASED_COLUMNS = [erased_tasks.c[column.name] for column in METRIC_COLUMNS]

_UPDATE_PRICE = (
    update(tasks)
    .where(tasks.c.organization_id == bindparam("key_organization_id"), tasks.c.id == bindparam("key_id"))
    .values(model=bindparam("new_model"), cost=bindparam("new_cost"))
)


def complete_upgrade(connection: Connection, previous_revision: str | None) -> None:
    """Compute the metrics that an earlier version of this program stored differently, or not at all.

    Args:
        connection: A connection to a store whose schema is up to date.
        previous_revision: The revision of its schema before the migration; None for a new store.
    """
    if previous_revision == "0001":  # had neither prices nor metrics
        price_tasks(connection)
        rebuild_metrics(connection)
    elif previous_revision in ("0002", "0003", "0004", "0005") and _exceeds_limits(connection):
        rebuild_metrics(connection)


def _exceeds_limits(connection: Connection) -> bool:
    """Return whether a task or a rollup has more names than the metrics count separately."""
    # Names of one character take four characters of JSON.
    tools = select(tasks.c.used_tools).where(func.length(type_coerce(tasks.c.used_tools, Text)) > 4 * MAX_TASK_TOOLS)
    if any(len(set(names)) > MAX_TASK_TOOLS for names in connection.scalars(tools)):
        return True
    longest = select(rollups.c.amounts).where(rollups.c.agent_id == ORGANIZATION, rollups.c.hours == PERIOD_HOURS)
    return any(NameRegistry.from_amounts(amounts).is_full for amounts in connection.scalars(longest))


def rebuild_metrics(connection: Connection) -> None:
    """Delete all rollups and compute them again from the tasks.

    The rollups of hours whose tasks were deleted by `Store.delete_before` are kept.
    """
    if connection.dialect.name == "postgresql":
        # Reports and compactions wait until this transaction ends.
        connection.execute(text("LOCK TABLE tasks IN EXCLUSIVE MODE"))
        connection.execute(select(func.pg_advisory_xact_lock(COMPACTION_LOCK)))
    for organization_id in connection.scalars(select(metric_deltas.c.organization_id).distinct()).all():
        compact(connection, organization_id)
    marks = connection.execute(select(retention.c.organization_id, retention.c.deleted_before))
    deleted_before: dict[str, int] = {mark.organization_id: mark.deleted_before for mark in marks}
    for organization_id in connection.scalars(select(rollups.c.organization_id).distinct()).all():
        _save_missing_registries(connection, organization_id)
        _clear_rollups(connection, organization_id, deleted_before.get(organization_id, 0))
    chunks = chain(_read_tasks(connection, METRIC_COLUMNS), _read_tasks(connection, _ERASED_COLUMNS))
    for chunk in chunks:
        # The kept rollups contain the tasks of their hours already.
        missing = (task for task in chunk if task.created_at >= deleted_before.get(task.organization_id, 0))
        for organization_id, delta in collect_deltas((task, task_amounts(task)) for task in missing).items():
            add_to_rollups(connection, organization_id, delta)


def _save_missing_registries(connection: Connection, organization_id: str) -> None:
    """Save a registry for each period, so that a name is counted in the same place as before."""
    starts = select(rollups.c.start).where(
        rollups.c.organization_id == organization_id,
        rollups.c.agent_id == ORGANIZATION,
        rollups.c.hours == PERIOD_HOURS,
    )
    registries = read_registries(connection, organization_id, connection.scalars(starts).all())
    save_registries(connection, organization_id, registries)


def _clear_rollups(connection: Connection, organization_id: str, deleted_before: int) -> None:
    """Delete the rollups of an organization, except the sums of the hours whose tasks were deleted."""
    kept_hours = select(rollups.c.agent_id, rollups.c.start, rollups.c.amounts).where(
        rollups.c.organization_id == organization_id,
        rollups.c.agent_id != ORGANIZATION,
        rollups.c.hours == 1,
        rollups.c.start < deleted_before,
    )
    delta = MetricDelta()
    for agent_id, start, amounts in connection.execute(kept_hours):
        delta.add(agent_id, start, amounts)
    connection.execute(delete(rollups).where(rollups.c.organization_id == organization_id, ~IS_REGISTRY))
    if delta:
        add_to_rollups(connection, organization_id, delta)


def price_tasks(connection: Connection) -> None:
    """Set the model and the cost of all tasks, at the prices that are known now."""
    load_prices()
    for chunk in _read_tasks(connection, [*METRIC_COLUMNS, tasks.c.llm_response]):
        updates = []
        for task in chunk:
            run = compute_run_cost(task.llm_response, task.tokens, at=task.created_at)
            if run != (None, None):
                updates.append(
                    {
                        "key_organization_id": task.organization_id,
                        "key_id": task.id,
                        "new_model": run.model,
                        "new_cost": run.cost,
                    }
                )
        if updates:
            connection.execute(_UPDATE_PRICE, updates)


def _read_tasks(connection: Connection, columns: Sequence[ColumnElement[Any]]) -> Iterator[list[Task]]:
    """Yield all tasks in chunks, ordered by organization and time."""
    table = columns[0].table
    order = (table.c.organization_id, table.c.created_at, table.c.id)
    query = select(*columns).order_by(*order).limit(_CHUNK)
    chunk = [Task(**row._mapping) for row in connection.execute(query)]
    while chunk:
        yield chunk
        last = (chunk[-1].organization_id, chunk[-1].created_at, chunk[-1].id)
        chunk = [Task(**row._mapping) for row in connection.execute(query.where(tuple_(*order) > last))]
