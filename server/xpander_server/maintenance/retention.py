"""Retention: deletion of old tasks while the server runs. Their metrics stay."""

import logging
import threading
from datetime import timedelta

from xpander_server.clock import now
from xpander_server.store import Store, StoreUnavailable

INTERVAL = timedelta(hours=1)
_STOP_TIMEOUT = 2.0  # seconds

_log = logging.getLogger(__name__)


def prune(store: Store, max_age: timedelta) -> int:
    """Delete the tasks that were created before `max_age` ago, rounded to whole hours.

    Returns:
        Number of deleted tasks.

    Raises:
        StoreUnavailable: The store is locked or unreachable. Tasks that were deleted before stay deleted.
    """
    return store.delete_before(now() - max_age // timedelta(microseconds=1))


class RetentionTask:
    """Background thread that prunes a store at its start and then every hour. Used as a context manager.

    Several servers on one store may each run it.

    Args:
        store: Store to prune.
        max_age: Age at which tasks are deleted.
    """

    def __init__(self, store: Store, max_age: timedelta) -> None:
        self._store = store
        self._max_age = max_age
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pruning", daemon=True)

    def __enter__(self) -> "RetentionTask":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        # After the timeout the daemon thread is abandoned. The next start of a server deletes the rest.
        self._thread.join(_STOP_TIMEOUT)

    def _run(self) -> None:
        while True:
            try:
                if count := prune(self._store, self._max_age):
                    _log.info("deleted %d tasks older than %s", count, self._max_age)
            except StoreUnavailable as unavailable:
                _log.warning("could not delete old tasks, next attempt in %s: %s", INTERVAL, unavailable)
            except Exception:
                _log.exception("could not delete old tasks, next attempt in %s: unexpected exception", INTERVAL)
            if self._stop.wait(INTERVAL.total_seconds()):
                return
