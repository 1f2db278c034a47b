"""Check of whether a store can be read and written."""

import threading
import time

from sqlalchemy import select

from xpander_server.store.engine.availability import Availability
from xpander_server.store.engine.database import Database
from xpander_server.store.engine.errors import StoreUnavailable
from xpander_server.store.engine.limits import Limits

CACHE_SECONDS = 1.0
"""Time for which a result is used again."""
FAILURE_SECONDS = 3.0
"""Time after a failed transaction, without a successful one, in which the store counts as not writable."""
_LIMITS = Limits(total=2.0, lock=1.0)


class HealthCheck:
    """Check of a database, at most one at a time and about one per second. Threads may share it.

    Args:
        database: The database to check.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._availability = Availability("health checks")
        self._lock = threading.Lock()
        self._started_at = self._ended_at = float("-inf")
        self._failed_part: str | None = None

    def failed_part(self) -> str | None:
        """Return what does not work: "read" or "written"; None if all works.

        While another thread checks, the result is that of the check before, and "read" if the current one takes too
        long. So callers do not occupy threads that the others need.
        """
        is_first = self._ended_at < 0.0
        if not self._lock.acquire(timeout=_LIMITS.total if is_first and _LIMITS.total else 0.0):
            is_slow = time.monotonic() - self._started_at > (_LIMITS.total or 0.0)
            return "read" if is_slow or is_first else self._failed_part
        try:
            if time.monotonic() - self._ended_at > CACHE_SECONDS:
                self._started_at = time.monotonic()
                self._failed_part = self._check()
                self._ended_at = time.monotonic()
            return self._failed_part
        finally:
            self._lock.release()

    def _check(self) -> str | None:
        part = "read"
        try:
            self._database.read(lambda connection: connection.execute(select(1)), _LIMITS)
            part = "written"
            if self._database.writes.has_failed_within(FAILURE_SECONDS):
                return part
            self._database.check_writable(_LIMITS)
        except StoreUnavailable as unavailable:
            self._availability.record_failure(unavailable)
            return part
        self._availability.record_success()
        return None
