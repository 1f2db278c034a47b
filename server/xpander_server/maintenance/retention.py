"""Retention: deletion of old tasks while the server runs. Their metrics stay."""

import logging
from datetime import timedelta

from xpander_server.clock import now
from xpander_server.maintenance.periodic import PeriodicTask
from xpander_server.store import Store

INTERVAL = timedelta(hours=1)

_log = logging.getLogger(__name__)


def prune(store: Store, max_age: timedelta) -> int:
    """Delete the tasks that were created before `max_age` ago, rounded to whole hours.

    Returns:
        Number of deleted tasks.

    Raises:
        StoreUnavailable: The store is locked or unreachable. Tasks that were deleted before stay deleted.
    """
    return store.delete_before(now() - max_age // timedelta(microseconds=1))


def retention_task(store: Store, max_age: timedelta) -> PeriodicTask:
    """Return the background thread that prunes a store at its start and then every hour.

    Args:
        store: Store to prune.
        max_age: Age at which tasks are deleted.
    """

    def work() -> None:
        if count := prune(store, max_age):
            _log.info("deleted %d tasks older than %s", count, max_age)

    return PeriodicTask("delete old tasks", work, INTERVAL, starts_at_once=True)
