"""Log of the times at which a store is unavailable."""

import logging
import threading
import time

_log = logging.getLogger(__name__)

_SETTLE_SECONDS = 1.0
_REMINDER_SECONDS = 60.0


class Availability:
    """Record of whether one kind of transaction succeeds: one line in the log for each change, not for each failure.

    Args:
        kind: The kind of transaction, for the log.
    """

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._lock = threading.Lock()
        self._since: float | None = None  # time of the first failure; None while the store is available
        self._last_failure = 0.0
        self._last_line = 0.0
        self._failures = 0

    def has_failed_within(self, seconds: float) -> bool:
        """Return whether the last transaction has failed, and no longer ago than `seconds`."""
        return self._since is not None and time.monotonic() - self._last_failure < seconds

    def record_failure(self, reason: object) -> None:
        """Note that a transaction has failed."""
        with self._lock:
            now = self._last_failure = time.monotonic()
            self._failures += 1
            if self._since is None:
                self._since = self._last_line = now
                _log.error("store unavailable for %s: %s", self._kind, reason)
            elif now - self._last_line > _REMINDER_SECONDS:
                self._last_line = now
                _log.error(
                    "store unavailable for %s since %.0f s, %d failures: %s",
                    self._kind, now - self._since, self._failures, reason,
                )  # fmt: skip

    def record_success(self) -> None:
        """Note that a transaction was committed."""
        if self._since is None:
            return
        with self._lock:
            # A store that alternates between both is unavailable: it must not write two lines for each transaction.
            if self._since is not None and time.monotonic() - self._last_failure > _SETTLE_SECONDS:
                seconds = self._last_failure - self._since
                _log.warning("store available for %s again: %d failures in %.1f s", self._kind, self._failures, seconds)
                self._since = None
                self._failures = 0
