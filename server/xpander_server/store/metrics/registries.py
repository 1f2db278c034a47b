"""Stored name registries: the names that the metrics of an organization count separately in each period of 32 days.

A registry is a row of `metric_rollups`, so it is read and changed like the rollups that depend on it:

    org |  | 0 | 1758412800000000 | {"tool": ["search", "fetch it"], "model": ["gpt-4o"], "agent": ["support"],
                                     "full": ["tool"], "rejected": {"tool": "0100200…"}}

Its `hours` are 0, its agent id is empty, and its start is that of the longest rollups. The deltas that are not
compacted yet have all names; `rollups.add_to_rollups` admits names. A query folds the deltas as a compaction would.
"""

from collections.abc import Iterable, Iterator, Mapping
from operator import itemgetter
from typing import NamedTuple

from sqlalchemy import Connection, bindparam, insert, select, update

from xpander_server.clock import HOUR
from xpander_server.domain.metric_names import NameRegistry
from xpander_server.domain.metrics import Amounts, agent_runs
from xpander_server.store.metrics.deltas import MetricDelta
from xpander_server.store.schema.tables import rollups

ORGANIZATION = ""
"""The agent id in the rollups of a whole organization."""
PERIOD_HOURS = 768
"""Length of the longest rollups, and of the period in which a registry applies."""
_REGISTRY_HOURS = 0

IS_REGISTRY = rollups.c.hours == _REGISTRY_HOURS
"""SQL condition for the rows of `metric_rollups` that are registries."""

_INSERT = insert(rollups)
_UPDATE = (
    update(rollups)
    .where(
        rollups.c.organization_id == bindparam("key_organization_id"),
        rollups.c.agent_id == ORGANIZATION,
        IS_REGISTRY,
        rollups.c.start == bindparam("key_start"),
    )
    .values(amounts=bindparam("amounts"))
)


def period_start(hour: int) -> int:
    """Return the first microsecond of the period that contains an hour."""
    return hour // (PERIOD_HOURS * HOUR) * (PERIOD_HOURS * HOUR)


def read_registries(connection: Connection, organization_id: str, hours: Iterable[int]) -> dict[int, NameRegistry]:
    """Return the registries of the periods that contain some hours, by the start of the period.

    A period without a registry gets one with the names of its rollup: an earlier version of this program, which had no
    registries, may have created the rollup.
    """
    starts = {period_start(hour) for hour in hours}
    query = select(rollups.c.start, rollups.c.hours, rollups.c.amounts).where(
        rollups.c.organization_id == organization_id,
        rollups.c.agent_id == ORGANIZATION,
        rollups.c.hours.in_([_REGISTRY_HOURS, PERIOD_HOURS]),
        rollups.c.start.in_(starts),
    )
    registries: dict[int, NameRegistry] = {}
    for start, hours_of_row, document in connection.execute(query.order_by(rollups.c.hours)):
        if hours_of_row == _REGISTRY_HOURS:
            registries[start] = NameRegistry.from_document(document)
        elif start not in registries:
            registries[start] = NameRegistry.from_amounts(document)
    return {start: registries.get(start) or NameRegistry() for start in starts}


def read_all_registries(
    connection: Connection, organization_id: str, since: int, until: int
) -> dict[int, NameRegistry]:
    """Return the stored registries of the periods that start from `since` to before `until`, by their start."""
    query = select(rollups.c.start, rollups.c.amounts).where(
        rollups.c.organization_id == organization_id,
        rollups.c.agent_id == ORGANIZATION,
        IS_REGISTRY,
        rollups.c.start.between(since, until - 1),
    )
    return {start: NameRegistry.from_document(document) for start, document in connection.execute(query)}


class FoldedHour(NamedTuple):
    """Change of one hour of one agent, with the names that the registry of its period admits."""

    agent_id: str
    hour: int
    amounts: Amounts
    organization_amounts: Amounts
    """The same change as it counts for the organization."""


def fold_delta(registries: Mapping[int, NameRegistry], delta: MetricDelta) -> Iterator[FoldedHour]:
    """Yield the changes of a delta by hour and agent; the registries admit the names for which they have space."""
    # Sorted, so that a query and the next compaction admit the same names.
    for (agent_id, hour), raw_amounts in sorted(delta.buckets.items(), key=itemgetter(0)):
        registry = registries[period_start(hour)]
        amounts = registry.fold(raw_amounts)
        yield FoldedHour(agent_id, hour, amounts, {**amounts, **registry.fold(agent_runs(agent_id, amounts))})


def save_registries(connection: Connection, organization_id: str, registries: Mapping[int, NameRegistry]) -> None:
    """Insert or update the registries that have changed."""
    inserts, updates = [], []
    for start, registry in sorted(registries.items()):
        if registry.is_changed and registry.is_stored:
            updates.append(
                {"key_organization_id": organization_id, "key_start": start, "amounts": registry.to_document()}
            )
        elif registry.is_changed:
            key = {"organization_id": organization_id, "agent_id": ORGANIZATION, "hours": _REGISTRY_HOURS}
            inserts.append({**key, "start": start, "amounts": registry.to_document()})
    if inserts:
        connection.execute(_INSERT, inserts)
    if updates:
        connection.execute(_UPDATE, updates)
