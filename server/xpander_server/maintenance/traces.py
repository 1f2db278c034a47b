"""Computation of traces without new spans: held runs are recorded, and the spans of old traces are deleted."""

import logging
import threading

from xpander_server.clock import now
from xpander_server.store import Store, StoreUnavailable

INTERVAL = 5.0
"""Seconds between two looks at the store."""
_STOP_TIMEOUT = 2.0

_log = logging.getLogger(__name__)


class TraceTask:
    """Background thread that computes traces whose time has come. Used as a context manager.

    Several servers on one store may each run it.

    Args:
        store: Store with the traces.
        interval: Seconds between two looks at the store.
    """

    def __init__(self, store: Store, interval: float = INTERVAL) -> None:
        self._store = store
        self._interval = interval
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="traces", daemon=True)

    def __enter__(self) -> "TraceTask":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        # After the timeout the daemon thread is abandoned. The next start of a server does the rest.
        self._thread.join(_STOP_TIMEOUT)

    def _run(self) -> None:
        while not self._stop.wait(self._interval):
            try:
                self._store.recompute_traces(now())
            except StoreUnavailable as unavailable:
                _log.warning("could not compute traces, next attempt in %s seconds: %s", self._interval, unavailable)
            except Exception:
                _log.exception("could not compute traces, next attempt in %s seconds", self._interval)
