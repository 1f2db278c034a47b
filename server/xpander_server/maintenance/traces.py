"""Computation of traces without new spans: held runs are recorded, and the spans of old traces are deleted."""

from datetime import timedelta

from xpander_server.clock import now
from xpander_server.maintenance.periodic import PeriodicTask
from xpander_server.store import Store

INTERVAL = timedelta(seconds=5)
"""Time between two looks at the store."""


def trace_task(store: Store) -> PeriodicTask:
    """Return the background thread that computes the traces of a store whose time has come."""
    return PeriodicTask("compute traces", lambda: store.recompute_traces(now()), INTERVAL, starts_at_once=False)
