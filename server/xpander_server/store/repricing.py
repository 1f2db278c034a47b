"""Repricing: computation of stored costs at the prices that are known now. Metrics change by the exact difference."""

import time
from typing import NamedTuple

from attrs import frozen
from sqlalchemy import ColumnElement, Connection, Text, or_, select, tuple_, type_coerce

from xpander_server.domain.metrics import task_delta
from xpander_server.domain.pricing import OwnPrices
from xpander_server.domain.task import Task, reprice
from xpander_server.json_text import as_text
from xpander_server.store.commit import update_tasks
from xpander_server.store.engine.database import Database
from xpander_server.store.metrics.deltas import append_deltas, collect_deltas
from xpander_server.store.metrics.rollups import compact_by_chance
from xpander_server.store.schema.tables import tasks

CHUNK = 200
"""Largest number of tasks that one transaction reprices: reports to a SQLite file wait meanwhile."""


@frozen(kw_only=True)
class Selection:
    """Tasks of an organization to reprice.

    Attributes:
        organization_id: Organization.
        since: Time of the oldest task, in microseconds since 1970; None for no limit.
        until: Time before which the tasks were created, so that a repricing ends while reports arrive.
        model: Name of the model whose tasks are repriced, whether they have a cost or not; None for any model.
        is_all: Reprice tasks that have a cost, too.
    """

    organization_id: str
    since: int | None = None
    until: int
    model: str | None = None
    is_all: bool = False

    def conditions(self) -> list[ColumnElement[bool]]:
        """Return the conditions of a query."""
        conditions = [tasks.c.organization_id == self.organization_id, tasks.c.created_at < self.until]
        if self.since is not None:
            conditions.append(tasks.c.created_at >= self.since)
        if self.model is not None:
            # Also tasks that called it besides their main model. A text that contains the name for another reason does
            # no harm: its task is examined and keeps its cost.
            is_called = type_coerce(tasks.c.calls, Text).contains(as_text(self.model), autoescape=True)
            conditions.append(or_(tasks.c.model == self.model, is_called))
        elif not self.is_all:
            # A task without a response, tokens and calls has nothing to price.
            conditions += [
                tasks.c.cost.is_(None),
                or_(*(tasks.c[name].is_not(None) for name in ("llm_response", "tokens", "calls"))),
            ]
        return conditions


class Position(NamedTuple):
    """Place of a task in the order of the repricing."""

    created_at: int
    task_id: str


class Repriced(NamedTuple):
    """Result of a repricing, or of one of its transactions."""

    examined: int
    """Number of tasks whose cost was computed."""
    priced: int
    """Number of tasks without a cost that have one now."""
    changed: int
    """Number of tasks whose cost or model is another one now, `priced` included."""

    def __add__(self, other: "Repriced") -> "Repriced":  # type: ignore[override]  # sums, as for numbers
        return Repriced(*(one + two for one, two in zip(self, other, strict=True)))


def reprice_selection(
    database: Database, selection: Selection, own_prices: OwnPrices, *, is_dry_run: bool = False
) -> Repriced:
    """Reprice the tasks of a selection, in small transactions with pauses, so that reports get half of the time.

    Args:
        database: The database.
        selection: The tasks.
        own_prices: Prices of the organization.
        is_dry_run: Compute the result without changing anything.
    """
    total = Repriced(0, 0, 0)
    after: Position | None = None
    while True:
        started_at = time.monotonic()
        result, after = database.write(
            lambda connection: _reprice_chunk(
                connection,
                selection,
                after,  # noqa: B023 - the function runs at once
                own_prices,
                is_dry_run=is_dry_run,
            )
        )
        total += result
        if after is None:
            return total
        time.sleep(min(time.monotonic() - started_at, 1.0))


def find_organizations(connection: Connection) -> list[str]:
    """Return the organizations that have tasks."""
    return [*connection.scalars(select(tasks.c.organization_id).distinct().order_by(tasks.c.organization_id))]


def _reprice_chunk(
    connection: Connection,
    selection: Selection,
    after: Position | None,
    own_prices: OwnPrices,
    *,
    is_dry_run: bool = False,
) -> tuple[Repriced, Position | None]:
    """Reprice up to `CHUNK` tasks in the order of their creation.

    Args:
        connection: The connection to use.
        selection: The tasks.
        after: Position of the last task of the chunk before; None for the first chunk.
        own_prices: Prices of the organization.
        is_dry_run: Compute the result without changing anything.

    Returns:
        The result, and the position of the chunk's last task; None if there are no further tasks.
    """
    order = (tasks.c.created_at, tasks.c.id)
    query = select(*order).where(*selection.conditions()).order_by(*order).limit(CHUNK)
    if after is not None:
        query = query.where(tuple_(*order) > after)
    found = [Position(*row) for row in connection.execute(query)]
    if not found:
        return Repriced(0, 0, 0), None
    # Locked in the order of commits, so that neither waits for the other for ever. The conditions are checked again: a
    # report may have changed the task meanwhile.
    locked = (
        select(tasks)
        .where(*selection.conditions(), tasks.c.id.in_([position.task_id for position in found]))
        .order_by(tasks.c.id)
        .with_for_update()
    )
    before = [Task(**row._mapping) for row in connection.execute(locked)]
    pairs = [(task, reprice(task, own_prices)) for task in before]
    changed = [(task, repriced) for task, repriced in pairs if repriced is not task]
    if not is_dry_run:
        update_tasks(connection, [repriced for _, repriced in changed])
        deltas = collect_deltas((repriced, task_delta(task, repriced)) for task, repriced in changed)
        compact_by_chance(connection, append_deltas(connection, deltas))
    priced = sum(task.cost is None and repriced.cost is not None for task, repriced in changed)
    return Repriced(len(before), priced, len(changed)), found[-1] if len(found) == CHUNK else None
