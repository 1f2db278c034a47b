"""Threads that deliver pending reports.

Each thread repeats: claim a request, send it, record the outcome. The first thread waits for new work when nothing is
due; further threads are started while batches are due, and end when none is left.

All threads are daemons, so they never delay the exit of the program. Python stops them at an arbitrary point; the
leases of their batches expire, or `Outbox` releases them at exit. A fork copies no threads: the child has its own
worker, which it starts with its first report.
"""

import logging
import threading
from collections.abc import Callable
from contextlib import suppress

from xpander_sdk._clock import monotonic
from xpander_sdk.client.log_recursion import sdk_work
from xpander_sdk.outbox.delivery import Delivery

_log = logging.getLogger("xpander_sdk")
_POLL_SECONDS = 5.0  # Time between two searches for reports that other processes have stored.
_MIN_POLL_SECONDS = 0.005
_BACKOFF_POLL_SECONDS = 0.05
_SENDING_POLL_SECONDS = 0.02
_LINGER_SECONDS = 0.02  # Time that a destination with batches is given to collect reports.
_ERROR_PAUSE_SECONDS = 1.0
_REPEATED_ERROR_SECONDS = 60.0  # The same error is logged again after this time.


class Worker:
    """Delivery threads: one that stays, and as many more as there are due requests.

    Args:
        delivery: Delivery that claims and sends.
        parallel: Maximum number of threads.
        deadline: Time on the monotonic clock when the worker stops. It stops earlier when nothing is due before the
            deadline. Default: never.
        on_end: Function that the last thread calls when it ends.
    """

    def __init__(
        self,
        delivery: Delivery,
        parallel: int,
        deadline: float | None = None,
        on_end: Callable[[], None] = lambda: None,
    ) -> None:
        self._delivery = delivery
        self._parallel = parallel
        self._deadline = deadline
        self._on_end = on_end
        self._is_stopping = threading.Event()
        self._is_awake = threading.Event()
        self._last_error: tuple[str, float] = "", 0.0
        self._lock = threading.Lock()
        self._threads: set[threading.Thread] = set()
        with self._lock:
            self._first_thread = self._start_thread(is_first=True)

    def is_alive(self) -> bool:
        """Return whether the thread that waits for work is running."""
        return self._first_thread.is_alive()

    def wake(self) -> None:
        """Make the first thread search for work now."""
        self._is_awake.set()

    def stop(self) -> None:
        """Claim no more batches; calls that are in progress continue."""
        self._is_stopping.set()
        self._is_awake.set()

    def join(self, ends_at: float | None = None) -> None:
        """Wait until all other threads have ended; only useful with a deadline or after `stop`.

        Args:
            ends_at: Time on the monotonic clock at which the wait ends anyway. Default: never.
        """
        while threads := self._threads - {threading.current_thread()}:
            for thread in threads:
                remaining = None if ends_at is None else ends_at - monotonic()
                if remaining is not None and remaining <= 0:
                    return
                thread.join(remaining)

    def _start_thread(self, *, is_first: bool) -> threading.Thread:
        thread = threading.Thread(target=self._run, args=(is_first,), name="xpander-report outbox", daemon=True)
        # The caller holds the lock: the thread removes itself from the set, which must not happen before it is added.
        thread.start()
        self._threads.add(thread)
        return thread

    def _start_another_thread(self, due_requests: int) -> None:
        with self._lock:
            if self._is_stopping.is_set() or len(self._threads) >= min(self._parallel, due_requests):
                return
            # Python starts no threads during interpreter exit; the running ones do the work.
            with suppress(RuntimeError):
                self._start_thread(is_first=False)

    def _run(self, is_first: bool) -> None:
        try:
            with sdk_work():
                if is_first:
                    self._release_dead_owners()
                while not self._must_stop() and self._step(is_first):
                    pass
        finally:
            with self._lock:
                self._threads.discard(threading.current_thread())
                is_last = not self._threads
            if is_last:
                self._on_end()

    def _release_dead_owners(self) -> None:
        try:
            self._delivery.release_dead_owners()
        except Exception as error:
            self._log_error(error)

    def _must_stop(self) -> bool:
        return self._is_stopping.is_set() or (self._deadline is not None and monotonic() >= self._deadline)

    def _step(self, is_first: bool) -> bool:
        """Deliver one batch, or wait for work; return False if this thread should end."""
        try:
            if is_first:
                self._is_awake.clear()
            return self._deliver_one() or (is_first and self._wait_for_work())
        except Exception as error:
            self._log_error(error)
            self._is_stopping.wait(_ERROR_PAUSE_SECONDS)
            return is_first

    def _deliver_one(self) -> bool:
        if self._deadline is None and self._delivery.sends_batches:
            # Reports that follow soon travel in the same request, and a caller that submits them is not interrupted.
            self._is_stopping.wait(_LINGER_SECONDS)
        claim = self._delivery.claim()
        if claim is None:
            return False
        try:
            self._start_another_thread(due_requests=claim.other_requests + 1)
        finally:  # A claim that nobody delivers would count as a request in flight forever.
            self._delivery.deliver(claim, self._deadline)
        return True

    def _wait_for_work(self) -> bool:
        """Wait until a report may be due; return False if none will be due before the deadline."""
        self._delivery.refresh()
        remaining = _POLL_SECONDS if self._deadline is None else self._deadline - monotonic()
        ahead = self._delivery.work_ahead(remaining)
        pause = ahead.seconds_to_next
        if self._deadline is not None:
            if ahead.is_sending:
                pause = _SENDING_POLL_SECONDS  # The call may fail, and the batch may be due again.
            elif pause is None or pause >= remaining:
                return False
        elif pause is None:  # Idle: nothing is pending.
            while not self._is_awake.is_set() and self._delivery.vacuum():
                pass
        elif pause and not self._delivery.in_flight:
            # All destinations wait, so new reports must wait as well. Ignore `wake` for a while: searching after each
            # report would cost its caller more time than storing it.
            self._is_stopping.wait(min(pause, _BACKOFF_POLL_SECONDS))
        if pause is None:
            self._is_awake.wait(min(remaining, _POLL_SECONDS))
        else:
            self._is_awake.wait(max(_MIN_POLL_SECONDS, min(pause, _POLL_SECONDS)))
        return True

    def _log_error(self, error: Exception) -> None:
        text, logged_at = self._last_error
        if text != str(error) or monotonic() > logged_at + _REPEATED_ERROR_SECONDS:
            self._last_error = str(error), monotonic()
            _log.error("the outbox worker failed and will try again: %s", error, exc_info=error)
        self._delivery.record_error(error)
