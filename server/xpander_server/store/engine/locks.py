"""Locks on a store: between the threads of a process, and between processes."""

import os
import random
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from xpander_server.store.engine.errors import StoreUnavailable
from xpander_server.store.engine.limits import BUSY_SECONDS

try:
    import fcntl
except ModuleNotFoundError:  # Windows
    fcntl = None  # type: ignore[assignment]  # checked before use

# Not the shared generator of `random`, whose sequence belongs to the program that embeds the store.
_random = random.SystemRandom()
_BUSY = f"the store was busy for {BUSY_SECONDS:.0f} seconds"


class ReadWriteGate:
    """Gate through which the threads of a process enter a store, and which can be closed.

    Any number of threads may read at the same time. With `one_writer`, at most one of the threads inside may write.
    SQLite allows one writer: its own waiting polls, while threads that wait here are notified. Writers enter in the
    order of their calls, so a thread that writes again and again does not keep out the others.

    Args:
        one_writer: Whether one thread at a time may write.
    """

    def __init__(self, *, one_writer: bool) -> None:
        self._one_writer = one_writer
        self._changed = threading.Condition()
        self._is_closed = False
        self._inside: list[int] = []  # identifiers of threads
        self._writer: int | None = None
        self._writers: deque[object] = deque()  # waiting writers, in the order of their calls

    @contextmanager
    def read(self) -> Iterator[None]:
        """Enter as a reader.

        Raises:
            StoreUnavailable: The gate was closed for `BUSY_SECONDS`, or this thread is inside already.
        """
        with self._enter(writes=False):
            yield

    @contextmanager
    def write(self) -> Iterator[None]:
        """Enter as a writer.

        Raises:
            StoreUnavailable: The gate was closed or another thread wrote for `BUSY_SECONDS`, or this thread is inside
                already.
        """
        with self._enter(writes=True):
            yield

    @contextmanager
    def _enter(self, *, writes: bool) -> Iterator[None]:
        thread = threading.get_ident()
        with self._changed:
            if thread in self._inside:
                # A signal handler interrupted this thread inside the gate; waiting for itself would never end.
                raise StoreUnavailable("the store is in the middle of another call of this thread")
            self._wait(queued=writes and self._one_writer)
            self._inside.append(thread)
            if writes:
                self._writer = thread
        try:
            yield
        finally:
            with self._changed:
                self._inside.remove(thread)
                if writes:
                    self._writer = None
                self._changed.notify_all()

    def _wait(self, *, queued: bool) -> None:
        ticket = object()
        if queued:
            self._writers.append(ticket)

        def may_enter() -> bool:
            return not self._is_closed and (not queued or (self._writer is None and self._writers[0] is ticket))

        try:
            if not self._changed.wait_for(may_enter, BUSY_SECONDS):
                raise StoreUnavailable(_BUSY)
        finally:
            if queued:
                self._writers.remove(ticket)
                self._changed.notify_all()  # the next writer may be the first one now

    def close(self) -> None:
        """Let no thread enter, and wait until all other threads have left, for at most `BUSY_SECONDS`."""
        deadline = time.monotonic() + BUSY_SECONDS
        thread = threading.get_ident()
        with self._changed:
            self._is_closed = True
            self._changed.wait_for(lambda: all(other == thread for other in self._inside), deadline - time.monotonic())

    def open(self) -> None:
        """Let threads enter again."""
        with self._changed:
            self._is_closed = False
            self._changed.notify_all()


class FairFileLock:
    """Lock between processes that makes another lock fair: only the holder of this one tries to get the other one.

    SQLite's write lock is not fair. Waiting processes poll for it, so a process that releases it and immediately locks
    again nearly always wins. With this lock, that process waits for this lock first, while its holder gets SQLite's.

    Args:
        path: The file to lock. It is created if it does not exist, and never deleted.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    @contextmanager
    def hold(self, seconds: float = BUSY_SECONDS) -> Iterator[None]:
        """Hold the lock. Does nothing on Windows.

        Args:
            seconds: Time to wait for the lock.

        Raises:
            StoreUnavailable: Other processes held it for this time, or the file cannot be opened.
        """
        if fcntl is None:
            yield
            return
        # Opened each time, because a store may be closed while another of its threads is here.
        try:
            file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise StoreUnavailable(f"cannot open the lock file {str(self._path)!r}: {error.strerror}") from error
        try:
            self._wait(file, seconds)
            yield
        finally:
            os.close(file)

    def _wait(self, file: int, seconds: float) -> None:
        assert fcntl is not None
        deadline = time.monotonic() + seconds
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise StoreUnavailable(f"the store was busy for {seconds:.1f} seconds") from None
            # All processes wait equally long on average, so each gets the lock equally often.
            time.sleep(_random.uniform(0.000_2, 0.001))
