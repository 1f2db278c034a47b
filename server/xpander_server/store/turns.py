"""Who may use a store now, within one process."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from xpander_server.store.engine import BUSY_SECONDS, StoreUnavailable


class Turns:
    """Many readers, one writer, and now and then a stop.

    SQLite lets one writer in at a time, and the others poll for their turn: in here, they queue.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._is_stopped = False
        self._inside: list[int] = []  # threads
        self._writer: int | None = None

    @contextmanager
    def reader(self) -> Iterator[None]:
        with self._turn(writes=False):
            yield

    @contextmanager
    def writer(self) -> Iterator[None]:
        with self._turn(writes=True):
            yield

    @contextmanager
    def _turn(self, *, writes: bool) -> Iterator[None]:
        me = threading.get_ident()
        with self._changed:
            if me in self._inside:
                # A signal handler that interrupted this very thread: waiting would be for ever.
                raise StoreUnavailable("the store is in the middle of another call of this thread")
            if not self._changed.wait_for(lambda: self._is_open(writes), BUSY_SECONDS):
                raise StoreUnavailable(f"the store was busy for {BUSY_SECONDS} seconds")
            self._inside.append(me)
            if writes:
                self._writer = me
        try:
            yield
        finally:
            with self._changed:
                self._inside.remove(me)
                if writes:
                    self._writer = None
                self._changed.notify_all()

    def _is_open(self, writes: bool) -> bool:
        return not self._is_stopped and not (writes and self._writer is not None)

    def stop(self) -> None:
        """Let nobody in, and wait until all are out, or as long as anybody may wait for a lock."""
        deadline = time.monotonic() + BUSY_SECONDS
        me = threading.get_ident()
        with self._changed:
            self._is_stopped = True
            self._changed.wait_for(lambda: all(one == me for one in self._inside), deadline - time.monotonic())

    def go_on(self) -> None:
        with self._changed:
            self._is_stopped = False
            self._changed.notify_all()
