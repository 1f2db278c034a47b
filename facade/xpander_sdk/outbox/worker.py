"""Threads that deliver."""

import logging
import threading
import time
from contextlib import suppress

from xpander_sdk.outbox.delivery import Delivery

_log = logging.getLogger("xpander_sdk")
_LOOK_SECONDS = 5.0  # between two looks for what other processes left behind
_PATIENCE_SECONDS = 0.05
_TROUBLE_SECONDS = 1.0
_SAY_AGAIN_SECONDS = 60.0
_SOON_SECONDS = 0.02  # until what others send may be decided


class Worker:
    """As many threads as there is work for, up to `parallel`; one of them stays. They hold up no exit.

    Args:
        ends: when to stop by itself, on the monotonic clock: then, or when nothing is due before. None for never.
    """

    def __init__(self, delivery: Delivery, parallel: int, ends: float | None = None) -> None:
        self._delivery = delivery
        self._parallel = parallel
        self._ends = ends
        self._stopping = threading.Event()
        self._wanted = threading.Event()
        self._said: tuple[str, float] = "", 0.0
        self._lock = threading.Lock()
        self._threads: set[threading.Thread] = set()
        with self._lock:
            self._first = self._start(is_first=True)

    def is_alive(self) -> bool:
        return self._first.is_alive()

    def wake(self) -> None:
        """There is something to do."""
        self._wanted.set()

    def stop(self) -> None:
        """Take nothing more; what is under way goes on."""
        self._stopping.set()
        self._wanted.set()

    def join(self) -> None:
        """Wait until it has stopped by itself."""
        while threads := list(self._threads):
            for thread in threads:
                thread.join()

    def _start(self, *, is_first: bool) -> threading.Thread:
        thread = threading.Thread(target=self._run, args=(is_first,), name="xpander-report outbox", daemon=True)
        # Under the lock: the thread takes itself out of the set at its end, and must not do so before it is in it.
        thread.start()
        self._threads.add(thread)
        return thread

    def _run(self, is_first: bool) -> None:
        try:
            while not self._is_over() and self._go_on(is_first):
                pass
        finally:
            with self._lock:
                self._threads.discard(threading.current_thread())

    def _is_over(self) -> bool:
        return self._stopping.is_set() or (self._ends is not None and time.monotonic() >= self._ends)

    def _go_on(self, is_first: bool) -> bool:
        """One step; False where there is nothing more to do in this thread."""
        try:
            if is_first:
                self._wanted.clear()
            return self._deliver_one() or (is_first and self._sleep())
        except Exception as error:
            self._say(error)
            self._stopping.wait(_TROUBLE_SECONDS)
            return is_first

    def _deliver_one(self) -> bool:
        group = self._delivery.claim()
        if group is None:
            return False
        self._grow(group.others)
        self._delivery.deliver(group, self._ends)
        return True

    def _say(self, error: Exception) -> None:
        told, since = self._said
        if told != str(error) or time.monotonic() > since + _SAY_AGAIN_SECONDS:
            self._said = str(error), time.monotonic()
            _log.error("the outbox has trouble of its own; it goes on: %s", error, exc_info=error)

    def _grow(self, others: int) -> None:
        with self._lock:
            if self._stopping.is_set() or len(self._threads) >= min(self._parallel, others + 1):
                return
            # At the end of the program no thread can be started; those that are there do the work.
            with suppress(RuntimeError):
                self._start(is_first=False)

    def _sleep(self) -> bool:
        """Wait until there may be something to do; False where it is not worth it."""
        self._delivery.refresh()
        left = _LOOK_SECONDS if self._ends is None else self._ends - time.monotonic()
        pause = self._delivery.seconds_to_next(left)
        if self._ends is not None:
            if self._delivery.is_busy():
                pause = _SOON_SECONDS  # what is under way may fail, and be due again
            elif pause is None or pause >= left:
                return False
        elif pause is None:
            while not self._wanted.is_set() and self._delivery.tidy():
                pass
        elif pause and not self._delivery.in_flight:
            # All has to wait, so what is added will: to look each time would cost its caller more than keeping it.
            self._stopping.wait(min(pause, _PATIENCE_SECONDS))
        self._wanted.wait(min(left, _LOOK_SECONDS) if pause is None else max(0.005, min(pause, _LOOK_SECONDS)))
        return True
