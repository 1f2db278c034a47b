"""Work on a store that the server repeats in the background."""

import logging
import threading
from collections.abc import Callable
from datetime import timedelta

from xpander_server.store import StoreUnavailable

_STOP_TIMEOUT = 2.0  # seconds

_log = logging.getLogger(__name__)


class PeriodicTask:
    """Background thread that does some work at intervals. Used as a context manager.

    After an exception, which is logged, the work is tried again at the next time. Several servers on one store may each
    run the same task.

    Args:
        aim: What the work does, for the log: "delete old tasks".
        work: Function that does the work once.
        interval: Time from the end of the work to its next start.
        starts_at_once: Whether the work is done at the start of the thread too.
    """

    def __init__(self, aim: str, work: Callable[[], object], interval: timedelta, *, starts_at_once: bool) -> None:
        self._aim = aim
        self._work = work
        self._interval = interval
        self._starts_at_once = starts_at_once
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=aim, daemon=True)

    def __enter__(self) -> "PeriodicTask":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        # After the timeout the daemon thread is abandoned. The next start of a server does the rest.
        self._thread.join(_STOP_TIMEOUT)

    def _run(self) -> None:
        if self._starts_at_once:
            self._work_once()
        while not self._stop.wait(self._interval.total_seconds()):
            self._work_once()

    def _work_once(self) -> None:
        try:
            self._work()
        except StoreUnavailable as unavailable:
            _log.warning("could not %s, next attempt in %s: %s", self._aim, self._interval, unavailable)
        except Exception:
            _log.exception("could not %s, next attempt in %s: unexpected exception", self._aim, self._interval)
