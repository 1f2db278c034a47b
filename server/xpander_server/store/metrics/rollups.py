"""Metrics that are kept: exact, and quick to read however many tasks there are.

Every commit of tasks adds one row that says what it has moved. Now and then these rows are folded into rollups, which
sum up one hour, one day and 32 days of an agent, and of the organisation. Metrics are rollups and what is not in them
yet; so writers in several processes never wait for the row of a busy hour.
"""

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence

from sqlalchemy import Connection, bindparam, delete, func, insert, select, update

from xpander_server.clock import HOUR
from xpander_server.domain.metrics import Amounts, add_amounts, with_agent_runs
from xpander_server.domain.task import Task
from xpander_server.store.bulk import BulkStatement
from xpander_server.store.schema.tables import as_text, metric_deltas, rollups

SPANS = (1, 24, 768)
"""Hours that one rollup sums up."""

ORGANIZATION = ""
"""In place of an agent: all of them."""

FOLD_ONE_IN = 64
"""Commits, of which one folds what has come together."""
FOLD_BYTES = 1_000_000
"""Of what has come together, before it is folded; about."""
FOLDING = 0x7870666F6C64  # of an advisory lock

Moved = dict[str, dict[int, Amounts]]
"""By agent, by the first microsecond of the hour."""

# Not the shared one, which the program around us may have seeded: in each of its processes alike.
_chance = random.SystemRandom()

_ADD = BulkStatement(insert(metric_deltas), ["organization_id", "id", "amounts"])
# Whoever deletes a row has it: two that fold at once never count it twice.
_TAKE = (
    delete(metric_deltas)
    .where(metric_deltas.c.organization_id == bindparam("its_organization_id"))
    .returning(metric_deltas.c.amounts)
)
_MAKE = insert(rollups)
_CHANGE = (
    update(rollups)
    .where(
        rollups.c.organization_id == bindparam("its_organization_id"),
        rollups.c.agent_id == bindparam("its_agent_id"),
        rollups.c.hours == bindparam("its_hours"),
        rollups.c.start == bindparam("its_start"),
    )
    .values(amounts=bindparam("amounts"))
)


def collected(changes: Iterable[tuple[Task, Amounts]]) -> dict[str, Moved]:
    """By organisation, what its tasks have moved."""
    by_organization: dict[str, Moved] = {}
    for task, amounts in changes:
        hours = by_organization.setdefault(task.organization_id, {}).setdefault(task.agent_id, {})
        add_amounts(hours.setdefault(task.created_at // HOUR * HOUR, {}), amounts)
    return by_organization


def append_deltas(connection: Connection, moved: Mapping[str, Moved]) -> None:
    """Add what a commit has moved; now and then, fold."""
    rows = [
        (organization_id, _chance.getrandbits(63), as_text(by_agent))
        for organization_id, by_agent in sorted(moved.items())
        if any(amounts for by_hour in by_agent.values() for amounts in by_hour.values())
    ]
    _ADD.execute(connection, rows)
    for organization_id, _, amounts in rows:
        # By chance, and so without counting: not every process lives long enough to count.
        if _chance.random() < 1 / FOLD_ONE_IN + len(amounts) / FOLD_BYTES:
            compact(connection, organization_id)


def compact(connection: Connection, organization_id: str) -> None:
    """Bring into the rollups what is not in them yet; leave it where another process is doing that."""
    if connection.dialect.name == "postgresql" and not connection.scalar(_lock):
        return
    moved: Moved = {}
    for by_agent in connection.scalars(_TAKE, {"its_organization_id": organization_id}):
        for agent_id, hour, amounts in each(by_agent):
            add_amounts(moved.setdefault(agent_id, {}).setdefault(hour, {}), amounts)
    if moved:
        add_to_rollups(connection, organization_id, moved)


_lock = select(func.pg_try_advisory_xact_lock(FOLDING))


def each(by_agent: Mapping[str, Mapping[str, Amounts]]) -> Iterator[tuple[str, int, Amounts]]:
    """Agent, hour and amounts of a stored row."""
    for agent_id, by_hour in by_agent.items():
        for hour, amounts in by_hour.items():
            yield agent_id, int(hour), amounts


def add_to_rollups(connection: Connection, organization_id: str, moved: Moved, spans: Sequence[int] = SPANS) -> None:
    """Add amounts to the rollups of their hours, and of all that these are part of."""
    sums: dict[tuple[str, int, int], Amounts] = {}
    for agent_id, by_hour in moved.items():
        for hour, amounts in by_hour.items():
            of_all = with_agent_runs(agent_id, amounts)
            for hours in spans:
                start = hour // (hours * HOUR) * hours * HOUR
                add_amounts(sums.setdefault((agent_id, hours, start), {}), amounts)
                add_amounts(sums.setdefault((ORGANIZATION, hours, start), {}), of_all)
    stored = _stored(connection, organization_id, sums)
    made, changed = [], []
    for (agent_id, hours, start), amounts in sorted(sums.items()):
        total = stored.get((agent_id, hours, start))
        if total is None:
            made.append(
                {
                    "organization_id": organization_id,
                    "agent_id": agent_id,
                    "hours": hours,
                    "start": start,
                    "amounts": amounts,
                }
            )
        else:
            add_amounts(total, amounts)
            changed.append(
                {
                    "its_organization_id": organization_id,
                    "its_agent_id": agent_id,
                    "its_hours": hours,
                    "its_start": start,
                    "amounts": total,
                }
            )
    if made:
        connection.execute(_MAKE, made)
    if changed:
        connection.execute(_CHANGE, changed)


def _stored(
    connection: Connection, organization_id: str, wanted: Iterable[tuple[str, int, int]]
) -> dict[tuple[str, int, int], Amounts]:
    agents, _, starts = (set(column) for column in zip(*wanted, strict=True))
    # Every start of every agent: some more than are wanted, and one question.
    query = (
        select(rollups.c.agent_id, rollups.c.hours, rollups.c.start, rollups.c.amounts)
        .where(
            rollups.c.organization_id == organization_id,
            rollups.c.agent_id.in_(agents),
            rollups.c.hours.in_(SPANS),
            rollups.c.start.in_(starts),
        )
        .order_by(*rollups.primary_key)
        .with_for_update()
    )
    return {(agent_id, hours, start): amounts for agent_id, hours, start, amounts in connection.execute(query)}
