"""Time limits of transactions."""

import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from attrs import frozen

BUSY_SECONDS = 10.0
"""Time after which a caller that waits for a lock gives up."""


@frozen
class Limits:
    """Time limits of a transaction, in seconds.

    Attributes:
        total: The transaction with its repetitions; None for no limit.
        lock: One wait for a row that another transaction has locked.
        statement: One statement on PostgreSQL, all statements together on SQLite; the database itself stops them. None
            for the limit of the transaction.
    """

    total: float | None
    lock: float = BUSY_SECONDS
    statement: float | None = None


READ = Limits(total=10.0)
"""Limits of queries."""
LIST = Limits(total=10.0, statement=2.0)
"""Limits of lists and searches, whose cost callers choose."""
METRICS = Limits(total=10.0, statement=5.0)
"""Limits of metrics queries, which read many rollups."""
WRITE = Limits(total=15.0)
"""Limits of transactions that change a few rows."""
MAINTENANCE = Limits(total=None)
"""Limits of transactions that may change all rows: migrations and the rebuild of metrics."""

_POLL_SECONDS = 0.25
_IDLE_POLLS = 20


class Watchdog:
    """Thread that interrupts transactions that have exceeded their time limit.

    A database that does not answer at all cannot enforce a limit: its process is frozen, or its machine has vanished.
    The thread runs only while there are transactions, and a few seconds longer. After a fork, the child starts its own.

    Args:
        interrupt: Makes the database call in progress on a driver's connection fail. It must not wait.
    """

    def __init__(self, interrupt: Callable[[Any], None]) -> None:
        self._interrupt = interrupt
        self._reset()

    def _reset(self) -> None:
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._deadlines: dict[int, tuple[float, Any]] = {}
        self._is_running = False

    def watch(self, connection: Any, deadline: float) -> None:
        """Interrupt the calls of a connection from `deadline` (of the monotonic clock) until `release`."""
        if self._process != os.getpid():
            self._reset()
        with self._lock:
            self._deadlines[id(connection)] = (deadline, connection)
            if not self._is_running:
                # No thread starts while the interpreter ends, or if there are too many. The transaction then has
                # no limit here, and the next one tries again.
                with suppress(RuntimeError):
                    threading.Thread(target=self._run, name="transaction limits", daemon=True).start()
                    self._is_running = True

    def release(self, connection: Any) -> None:
        """Leave a connection alone; it is not interrupted after the return."""
        with self._lock:
            self._deadlines.pop(id(connection), None)

    def interrupt_all(self) -> None:
        """Interrupt all transactions in progress."""
        self._interrupt_before(float("inf"))

    def _interrupt_before(self, now: float) -> None:
        # The lock is held, so that no connection is interrupted after it was released.
        with self._lock:
            for deadline, connection in self._deadlines.values():
                if deadline <= now:
                    self._interrupt(connection)

    def _run(self) -> None:
        idle_polls = 0
        while True:
            time.sleep(_POLL_SECONDS)
            self._interrupt_before(time.monotonic())
            with self._lock:
                idle_polls = 0 if self._deadlines else idle_polls + 1
                if idle_polls > _IDLE_POLLS:
                    self._is_running = False
                    return
