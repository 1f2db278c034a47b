"""Forgetting old tasks while the server runs; what they add up to stays."""

import logging
import threading
from datetime import timedelta

from xpander_server.clock import now
from xpander_server.store import Store, StoreUnavailable

EVERY = timedelta(hours=1)

_log = logging.getLogger(__name__)


def prune(store: Store, max_age: timedelta) -> int:
    """Delete the tasks that were first seen longer ago than `keep`, by whole hours.

    Returns:
        How many there were.

    Raises:
        StoreUnavailable: the store does not answer; what was deleted until then stays deleted.
    """
    return store.delete_before(now() - max_age // timedelta(microseconds=1))


class RetentionTask:
    """A thread that prunes at the start, and then every hour. Several servers on one store may all do it."""

    def __init__(self, store: Store, max_age: timedelta) -> None:
        self._store = store
        self._max_age = max_age
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pruning", daemon=True)

    def __enter__(self) -> "RetentionTask":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        # What is half deleted is deleted by the next server.
        self._thread.join(5)

    def _run(self) -> None:
        while True:
            try:
                if count := prune(self._store, self._max_age):
                    _log.info("deleted %d tasks older than %s", count, self._max_age)
            except StoreUnavailable as unavailable:
                _log.warning("could not delete old tasks, and will try again: %s", unavailable)
            except Exception:
                _log.exception("could not delete old tasks, and will try again")
            if self._is_over.wait(EVERY.total_seconds()):
                return
