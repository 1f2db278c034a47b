"""Metrics anew, from the tasks themselves."""

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, bindparam, delete, func, select, text, tuple_, update

from xpander_server.domain.metrics import task_amounts
from xpander_server.domain.pricing import compute_cost, parse_model
from xpander_server.domain.task import Task
from xpander_server.store.metrics.queries import COUNTED
from xpander_server.store.metrics.rollups import FOLDING, ORGANIZATION, SPANS, Moved, add_to_rollups, collected, compact
from xpander_server.store.schema.tables import metric_deltas, retention, rollups, tasks

_AT_A_TIME = 2_000  # tasks

_PRICE = (
    update(tasks)
    .where(tasks.c.organization_id == bindparam("its_organization_id"), tasks.c.id == bindparam("its_id"))
    .values(model=bindparam("its_model"), cost=bindparam("its_cost"))
)


def rebuild(connection: Connection) -> None:
    """Make all rollups anew; those of hours whose tasks were forgotten stay as they are."""
    if connection.dialect.name == "postgresql":
        # Whoever reports or folds waits.
        connection.execute(text("LOCK TABLE tasks IN EXCLUSIVE MODE"))
        connection.execute(select(func.pg_advisory_xact_lock(FOLDING)))
    for organization_id in connection.scalars(select(metric_deltas.c.organization_id).distinct()).all():
        compact(connection, organization_id)
    marks = connection.execute(select(retention.c.organization_id, retention.c.forgotten_before))
    forgotten: dict[str, int] = {mark.organization_id: mark.forgotten_before for mark in marks}
    organizations = connection.scalars(select(rollups.c.organization_id).distinct()).all()
    for organization_id in organizations:
        _clear(connection, organization_id, forgotten.get(organization_id, 0))
    for chunk in _chunks(connection, COUNTED):
        # Tasks of hours that are kept are in them already.
        counted = (task for task in chunk if task.created_at >= forgotten.get(task.organization_id, 0))
        for organization_id, moved in collected((task, task_amounts(task)) for task in counted).items():
            add_to_rollups(connection, organization_id, moved)


def _clear(connection: Connection, organization_id: str, forgotten_before: int) -> None:
    """Delete the rollups of an organisation, but for the hours that were forgotten, and what these add up to."""
    is_kept = (rollups.c.hours == 1) & (rollups.c.start < forgotten_before)
    connection.execute(delete(rollups).where(rollups.c.organization_id == organization_id, ~is_kept))
    kept = select(rollups.c.agent_id, rollups.c.start, rollups.c.amounts).where(
        rollups.c.organization_id == organization_id, rollups.c.agent_id != ORGANIZATION
    )
    moved: Moved = {}
    for agent_id, start, amounts in connection.execute(kept):
        moved.setdefault(agent_id, {})[start] = amounts
    if moved:
        add_to_rollups(connection, organization_id, moved, spans=SPANS[1:])


def price(connection: Connection) -> None:
    """Tell of all tasks which model made them and what it cost, by the prices that are known now."""
    for chunk in _chunks(connection, [*COUNTED, tasks.c.llm_response]):
        priced = []
        for task in chunk:
            model = parse_model(task.llm_response)
            if model is not None:
                priced.append(
                    {
                        "its_organization_id": task.organization_id,
                        "its_id": task.id,
                        "its_model": model,
                        "its_cost": compute_cost(model, task.tokens, at=task.created_at),
                    }
                )
        if priced:
            connection.execute(_PRICE, priced)


def _chunks(connection: Connection, columns: Sequence[ColumnElement[Any]]) -> Iterator[list[Task]]:
    """All tasks, in the order of organisations and of time."""
    place = (tasks.c.organization_id, tasks.c.created_at, tasks.c.id)
    query = select(*columns).order_by(*place).limit(_AT_A_TIME)
    chunk = [Task(**row._mapping) for row in connection.execute(query)]
    while chunk:
        yield chunk
        last = (chunk[-1].organization_id, chunk[-1].created_at, chunk[-1].id)
        chunk = [Task(**row._mapping) for row in connection.execute(query.where(tuple_(*place) > last))]
