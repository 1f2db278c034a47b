"""Who may use a store now: within one process, and among several."""

import os
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from xpander_server.store.engine.errors import StoreUnavailable

try:
    import fcntl
except ModuleNotFoundError:  # Windows
    fcntl = None  # type: ignore[assignment]  # looked at before use

BUSY_SECONDS = 10


class ReadWriteGate:
    """The threads of a process: many readers, one writer where only one can be, and now and then a stop.

    SQLite lets one writer in at a time, and the others poll for their turn: in here, they queue.
    """

    def __init__(self, *, one_writer: bool) -> None:
        self._one_writer = one_writer
        self._changed = threading.Condition()
        self._is_stopped = False
        self._inside: list[int] = []  # threads
        self._writer: int | None = None

    @contextmanager
    def read(self) -> Iterator[None]:
        with self._enter(writes=False):
            yield

    @contextmanager
    def write(self) -> Iterator[None]:
        with self._enter(writes=True):
            yield

    @contextmanager
    def _enter(self, *, writes: bool) -> Iterator[None]:
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
        return not self._is_stopped and not (writes and self._one_writer and self._writer is not None)

    def close(self) -> None:
        """Let nobody in, and wait until all are out, or as long as anybody may wait for a lock."""
        deadline = time.monotonic() + BUSY_SECONDS
        me = threading.get_ident()
        with self._changed:
            self._is_stopped = True
            self._changed.wait_for(lambda: all(one == me for one in self._inside), deadline - time.monotonic())

    def open(self) -> None:
        with self._changed:
            self._is_stopped = False
            self._changed.notify_all()


class FairFileLock:
    """The processes that wait for one lock: whoever is in it is the only one to ask for that lock.

    Without it, a process that takes the lock again as soon as it has let it go would nearly always be quicker than
    those that look from time to time. With it, it first has to get past the one in the turnstile, who gets the lock.

    Args:
        path: a file for this alone, which is made where it is missing, and stays.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    @contextmanager
    def hold(self) -> Iterator[None]:
        if fcntl is None:
            yield
            return
        # Opened for each turn: a store may be closed while another thread is in here.
        file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            self._wait(file)
            yield
        finally:
            os.close(file)

    def _wait(self, file: int) -> None:
        assert fcntl is not None
        deadline = time.monotonic() + BUSY_SECONDS
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise StoreUnavailable(f"the store was busy for {BUSY_SECONDS} seconds") from None
            # All wait alike, so that all get in alike.
            time.sleep(random.uniform(0.000_2, 0.001))  # noqa: S311 - no secret
