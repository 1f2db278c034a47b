"""Rollups: sums of metrics over one hour, one day and 32 days, for each agent and each organization.

Metrics are exact at any time, and reading them takes time by the length of the range, not by the number of tasks:

1. A commit of reports changes tasks. In the same transaction, `append_deltas` inserts one row into `metric_deltas`: the
   difference between the amounts of the tasks after and before. A commit only inserts, so commits of several processes
   never wait for each other's rollup of the current hour.

       task "t1" of "support", created at 2025-10-09 09:20, was executing and is completed now:
       metric_deltas   org | 4611…  | {"support": {"1760000400000000": {"executing runs": -1, "completed runs": 1}}}

2. One commit in about 64 also calls `compact`: it deletes the deltas of the organization and adds them to the rollups
   of each length, once for the agent and once for the organization (agent id ""):

       metric_rollups  org | support |   1 | 1760000400000000 | {"completed runs": 8, "executing runs": 1}
                       org | support |  24 | 1759968000000000 | {"completed runs": 51, "executing runs": 1}
                       org | support | 768 | 1758412800000000 | {"completed runs": 963, "executing runs": 1}
                       org |         |   1 | 1760000400000000 | {"completed runs": 9, "completed agent_runs support": 8}
                       org |         |  24 | …

   The names of tools, models and agents in them are limited: see `registries`.

3. A query (`queries.MetricsQuery`) adds up a few rollups that cover the whole hours of its range, the deltas that are
   not compacted yet, and the tasks themselves in the parts of an hour at both ends of the range. A rollup that reaches
   beyond the range may be among them; then the shorter rollups of the part beyond it are subtracted:

       since          first full hour                         last full hour         until
         |---- tasks ----|------- rollups + deltas ----------------|----- tasks ------|
"""

from collections.abc import Collection, Mapping
from typing import NamedTuple

from sqlalchemy import Connection, bindparam, func, insert, select, tuple_, update

from xpander_server.clock import HOUR
from xpander_server.domain.metrics import Amounts, add_amounts
from xpander_server.store.metrics.deltas import DeltaSize, MetricDelta, random_source, take_delta
from xpander_server.store.metrics.registries import (
    ORGANIZATION,
    PERIOD_HOURS,
    fold_delta,
    read_registries,
    save_registries,
)
from xpander_server.store.schema.tables import rollups

ROLLUP_HOURS = (1, 24, PERIOD_HOURS)
"""Lengths of the time buckets of rollups, in hours; each is a multiple of the one before it."""

COMPACT_ONE_IN = 64
"""One commit in this many compacts the deltas of its organization, on average."""
COMPACT_CHARACTERS = 200_000
"""Deltas are also compacted once in about this many characters by which they exceed `SMALL_DELTA`."""
COMPACT_BUCKETS = 200
"""Deltas are also compacted once in about this many hours of agents by which they exceed `SMALL_DELTA`."""
SMALL_DELTA = DeltaSize(characters=8_000, buckets=10)
"""A delta of usual size, which does not make a compaction more frequent."""
COMPACTION_LOCK = 0x7870666F6C64
"""Key of PostgreSQL's advisory lock for compaction."""

_KEYS_PER_QUERY = 500

_TRY_LOCK = select(func.pg_try_advisory_xact_lock(COMPACTION_LOCK))
_INSERT = insert(rollups)
_UPDATE = (
    update(rollups)
    .where(
        rollups.c.organization_id == bindparam("key_organization_id"),
        rollups.c.agent_id == bindparam("key_agent_id"),
        rollups.c.hours == bindparam("key_hours"),
        rollups.c.start == bindparam("key_start"),
    )
    .values(amounts=bindparam("amounts"))
)


class RollupKey(NamedTuple):
    """Primary key of a rollup within its organization."""

    agent_id: str
    """`ORGANIZATION` for all agents together."""
    hours: int
    """One of `ROLLUP_HOURS`."""
    start: int
    """First microsecond of the time bucket."""


def compact_by_chance(connection: Connection, delta_sizes: Mapping[str, DeltaSize]) -> None:
    """Compact the deltas of some of the organizations to which a commit has appended deltas.

    The decision is random, because a counter would not work: a process may end before its counter reaches 64. It
    depends on the size of the deltas, so that no compaction has much to do: other reports wait for it.

    Args:
        connection: The connection of the commit.
        delta_sizes: Sizes of the deltas that the commit has appended, by organization.
    """
    for organization_id, size in delta_sizes.items():
        chance = 1 / COMPACT_ONE_IN
        chance += max(0, size.characters - SMALL_DELTA.characters) / COMPACT_CHARACTERS
        chance += max(0, size.buckets - SMALL_DELTA.buckets) / COMPACT_BUCKETS
        if random_source.random() < chance:
            compact(connection, organization_id)


def compact(connection: Connection, organization_id: str) -> None:
    """Move the deltas of an organization into its rollups, unless another process is compacting."""
    if connection.dialect.name == "postgresql" and not connection.scalar(_TRY_LOCK):
        return
    delta = take_delta(connection, organization_id)
    if delta:
        add_to_rollups(connection, organization_id, delta)


def add_to_rollups(connection: Connection, organization_id: str, delta: MetricDelta) -> None:
    """Add a delta to the rollups that contain its hours.

    Args:
        connection: The connection to use.
        organization_id: The organization of the delta.
        delta: The change of the metrics.
    """
    changes: dict[RollupKey, Amounts] = {}
    registries = read_registries(connection, organization_id, (hour for _, hour in delta.buckets))
    for agent_id, hour, amounts, organization_amounts in fold_delta(registries, delta):
        for hours in ROLLUP_HOURS:
            start = hour // (hours * HOUR) * (hours * HOUR)
            add_amounts(changes.setdefault(RollupKey(agent_id, hours, start), {}), amounts)
            add_amounts(changes.setdefault(RollupKey(ORGANIZATION, hours, start), {}), organization_amounts)
    save_registries(connection, organization_id, registries)
    stored = _read(connection, organization_id, changes)
    inserts, updates = [], []
    for key, change in sorted(changes.items()):
        total = stored.get(key)
        if total is None:
            inserts.append({"organization_id": organization_id, **key._asdict(), "amounts": change})
        else:
            add_amounts(total, change)
            key_parameters = {f"key_{name}": value for name, value in key._asdict().items()}
            updates.append({"key_organization_id": organization_id, **key_parameters, "amounts": total})
    if inserts:
        connection.execute(_INSERT, inserts)
    if updates:
        connection.execute(_UPDATE, updates)


def _read(connection: Connection, organization_id: str, keys: Collection[RollupKey]) -> dict[RollupKey, Amounts]:
    key_columns = (rollups.c.agent_id, rollups.c.hours, rollups.c.start)
    stored = {}
    # All processes lock rows in this order, so they do not deadlock.
    ordered = sorted(keys)
    for position in range(0, len(ordered), _KEYS_PER_QUERY):
        chunk = ordered[position : position + _KEYS_PER_QUERY]
        query = (
            select(*key_columns, rollups.c.amounts)
            .where(rollups.c.organization_id == organization_id, tuple_(*key_columns).in_(chunk))
            .order_by(*rollups.primary_key)
            .with_for_update()
        )
        for agent_id, hours, start, amounts in connection.execute(query):
            stored[RollupKey(agent_id, hours, start)] = amounts
    return stored
