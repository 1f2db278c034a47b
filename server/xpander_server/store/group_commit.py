"""Group commit: entries that arrive at about the same time share one durable commit.

The sequence, with the event loop on the left and the committing thread on the right:

    request A: puts (A, future A) into the queue
    request B: puts (B, future B) into the queue
    no entry arrived in one round of the loop: wake.set()  ─►  takes A and B from the queue
    request C arrives: puts (C, future C) into the queue       one transaction for A and B: BEGIN … COMMIT, fsync
    no entry arrived in one round of the loop: wake.set()  ◄─  call_soon_threadsafe: results for futures A and B
    requests A and B are answered                              takes C (and what has arrived since), and so on

While a commit waits for the disk, the next entries collect in the queue. So the commits become larger, and not more
frequent, when the load grows. The queue is fair: organizations take turns (`fair_queue`).

A commit of few entries costs more for each of them, and a thread that commits competes with the loop for the
interpreter lock. So a commit begins when the loop has handled all requests that have arrived, and at the latest
`LINGER_SECONDS` after the first entry. A single request waits for one round of the loop, which takes microseconds.
"""

import asyncio
import logging
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any, Generic, Self, TypeVar

from xpander_server.store.engine.errors import QueueFull, StoreUnavailable
from xpander_server.store.fair_queue import FairQueue
from xpander_server.store.store import Store

STOP_SECONDS = 3.0
"""Time in which a thread that ends commits the entries in the queue."""

LINGER_SECONDS = 0.005
"""Time for which entries wait for further ones, while the event loop is busy with requests that have arrived."""

Result = tuple["asyncio.Future[Any]", Any]
"""Future, and its result or its exception."""

E = TypeVar("E")

_log = logging.getLogger(__name__)


class GroupCommit(ABC, Generic[E]):
    """Thread that takes entries from a queue, and commits them in groups.

    Args:
        store: The store to commit to.
        queue: The queue of the entries.
        contents: What the entries contain, such as `reports`.
    """

    def __init__(self, store: Store, queue: FairQueue[E], *, contents: str) -> None:
        self._store = store
        self._queue = queue
        self._contents = contents
        self._thread = threading.Thread(target=self._run, name=f"group commit of {contents}", daemon=True)
        self._wake = threading.Event()
        self._is_closed = False
        # Of the event loop that watches for arrivals. Another loop would watch by itself.
        self._watching_loop: asyncio.AbstractEventLoop | None = None
        self._has_arrival = False
        self._linger_until = 0.0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Commit the entries in the queue, and end the thread; the wait for the database is limited."""
        self._is_closed = True
        self._wake.set()
        self._thread.join(STOP_SECONDS)
        if self._thread.is_alive():
            _log.error("the store does not respond: %s have no answer", self._describe_waiting())
            self._store.interrupt()
            self._thread.join(1.0)

    def _enqueue(self, organization_id: str, entries: Sequence[tuple[E, int]]) -> None:
        """Put entries with their sizes into the queue, or none of them.

        Raises:
            QueueFull: Too many entries of the organization wait.
            StoreUnavailable: The thread has ended.
        """
        if self._is_closed:
            raise StoreUnavailable("the server stops")
        if not self._queue.put_all(organization_id, entries):
            raise QueueFull(f"too many {self._contents} of this organization wait to be committed")
        loop = asyncio.get_running_loop()
        self._has_arrival = True
        if self._watching_loop is not loop:
            self._watching_loop = loop
            self._linger_until = loop.time() + LINGER_SECONDS
            self._wake.clear()
            if self._is_closed:  # the call that closes may have set the event before
                self._wake.set()
            loop.call_soon(self._watch_arrivals, loop)

    def _watch_arrivals(self, loop: asyncio.AbstractEventLoop) -> None:
        """Wake the thread once a round of the loop has brought no further entry."""
        if self._has_arrival and loop.time() < self._linger_until:
            self._has_arrival = False
            loop.call_soon(self._watch_arrivals, loop)  # in the next round, after the requests that arrive in it
        else:
            self._watching_loop = None
            self._wake.set()

    def _run(self) -> None:
        while True:
            self._wake.wait(self._timeout)
            self._wake.clear()
            is_closed = self._is_closed  # read before the queue: after it is set, no entry enters the queue
            while entries := self._take():
                has_more = bool(self._queue)  # entries that did not fit; those that arrive later wake the thread
                self._commit_group(entries)
                if not (has_more or is_closed):
                    break
            self._end_round(is_last=is_closed)
            if is_closed:
                return

    @abstractmethod
    def _take(self) -> list[E]:
        """Take the next group from the queue."""

    @abstractmethod
    def _commit_group(self, entries: list[E]) -> None:
        """Commit entries, and resolve their futures."""

    @abstractmethod
    def _describe_waiting(self) -> str:
        """Return the number of waiting entries in words."""

    @property
    def _timeout(self) -> float | None:
        """The time after which a round begins although no entry has arrived, in seconds; None for no limit."""
        return None

    def _end_round(self, *, is_last: bool) -> None:
        """Finish a round, after which the queue was empty."""


def resolve_futures(results: Iterable[Result]) -> None:
    """Resolve futures in their event loops, with one call for each loop."""
    by_loop: dict[asyncio.AbstractEventLoop, list[Result]] = {}
    for future, result in results:
        by_loop.setdefault(future.get_loop(), []).append((future, result))
    for loop, loop_results in by_loop.items():
        # The loop may be closed, also between a test and the call, if the process is ending.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(_set_results, loop_results)


def _set_results(results: Iterable[Result]) -> None:
    for future, result in results:
        if future.done():  # the request was canceled
            continue
        if isinstance(result, Exception):
            future.set_exception(result)
        else:
            future.set_result(result)
