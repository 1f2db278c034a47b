"""Group commit: reports that arrive at about the same time share one durable commit.

The sequence, with the event loop on the left and the writer's thread on the right:

    request A: report() puts (A, future A) into the queue
               and schedules wake.set()
    request B: report() puts (B, future B) into the queue
    the loop runs out of ready requests: wake.set()  ──────►  takes A and B from the queue
    request C arrives: puts (C, future C) into the queue      one transaction for A and B: BEGIN … COMMIT, fsync
               and schedules wake.set()              ◄──────  call_soon_threadsafe: results for futures A and B
    report() of A and B return                                takes C (and what has arrived since), and so on

While a commit waits for the disk, the next reports collect in the queue. So the commits become larger, and not more
frequent, when the load grows. The queue is fair: organizations take turns (`fair_queue`).

A report may have to wait for a task that another transaction has locked. The writer commits the other reports without
it, and repeats it on its own (`locked_reports`).
"""

import asyncio
import logging
import sys
import threading
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from attrs import define

from xpander_server.domain.task import Task
from xpander_server.store.commit import Submission
from xpander_server.store.engine.errors import QueueFull, RowLocked, StoreUnavailable
from xpander_server.store.engine.limits import Limits
from xpander_server.store.fair_queue import FairQueue
from xpander_server.store.locked_reports import LockedReports
from xpander_server.store.store import Store

MAX_BATCH = 256
"""Largest number of reports in one commit."""
MAX_BATCH_SIZE = 1_000_000
"""Characters of reports from which a commit takes no further one."""
MAX_QUEUE = 8_192
"""Largest number of reports in the queue; one organization may have a half of them."""
MAX_QUEUE_SIZE = 128_000_000
"""Largest number of characters of the reports in the queue; one organization may have a half of them."""
STOP_SECONDS = 3.0
"""Time in which a writer that ends commits the reports in the queue."""
COMMIT = Limits(total=10.0, lock=0.5)
"""Limits of the transaction of a group."""
COMMIT_UNLOCKED = Limits(total=10.0, lock=0.005)
"""Limits of a transaction that leaves out locked tasks. It may still wait for tasks that another one inserts."""
SWITCH_SECONDS = 0.000_5
"""Interpreter's thread switch interval while a writer runs."""

_Outcome = Task | Exception
_Result = tuple["asyncio.Future[Any]", Any]
"""Future, and its result or its exception."""

_log = logging.getLogger(__name__)


@define(eq=False)
class _Batch:
    """Reports that share one answer. After they are in the queue, only the writer's thread uses it."""

    outcomes: "list[_Outcome | None]"
    """Outcome of each report; None while it waits."""
    waiting_count: int


class _Entry(NamedTuple):
    submission: Submission
    future: "asyncio.Future[Any]"
    """Future of the task, or of the outcomes of the batch."""
    batch: _Batch | None = None
    position: int = 0
    """Position in the batch."""


class Writer:
    """Thread that commits the reports of many requests in groups.

    Attributes:
        commit_count: The number of transactions so far.
        report_count: The number of reports in them.

    Example:
        >>> with Writer(store) as writer:  # doctest: +SKIP
        ...     task = await writer.report(submission)
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._queue: FairQueue[_Entry] = FairQueue(MAX_QUEUE, MAX_QUEUE_SIZE)
        self._thread = threading.Thread(target=self._run, name="group commit", daemon=True)
        self._wake = threading.Event()
        self._locked: LockedReports[_Entry] = LockedReports()
        self._is_closed = False
        self.commit_count = 0
        self.report_count = 0

    @property
    def queue_size(self) -> int:
        """The number of reports that wait for a commit."""
        return len(self._queue) + len(self._locked)

    def __enter__(self) -> "Writer":
        # A commit releases the interpreter lock about a dozen times. A busy event loop returns it only after the switch
        # interval, whose default of 5 ms would make each commit ten times slower.
        self._switch_interval = sys.getswitchinterval()
        sys.setswitchinterval(SWITCH_SECONDS)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Commit the reports in the queue, and end the thread; the wait for the database is limited."""
        self._is_closed = True
        self._wake.set()
        self._thread.join(STOP_SECONDS)
        if self._thread.is_alive():
            _log.error("the store does not respond: %d reports and those of one commit have no answer", self.queue_size)
            self._store.interrupt()
            self._thread.join(1.0)
        sys.setswitchinterval(self._switch_interval)

    async def report(self, submission: Submission) -> Task:
        """Merge a report into its task, and return the task when it is on disk.

        Raises:
            Conflict: The task belongs to another agent; nothing is changed.
            QueueFull: Too many reports of the organization wait.
            StoreUnavailable: The writer has ended, or the database does not respond.
        """
        future: asyncio.Future[Task] = asyncio.get_running_loop().create_future()
        self._enqueue([_Entry(submission, future)])
        return await future

    async def report_all(self, submissions: Sequence[Submission]) -> Sequence[_Outcome]:
        """Merge reports of one organization into their tasks in their order, and return when all are on disk.

        Each report takes its own place in the queue. So all of them are usually in one commit, and reports of another
        organization do not wait for all of them.

        Args:
            submissions: One or more reports.

        Returns:
            For each report its task, or the exception that `report` would raise.

        Raises:
            QueueFull: Too many reports of the organization wait; nothing is changed.
            StoreUnavailable: The writer has ended.
        """
        future: asyncio.Future[list[_Outcome]] = asyncio.get_running_loop().create_future()
        batch = _Batch([None] * len(submissions), len(submissions))
        self._enqueue([_Entry(submission, future, batch, index) for index, submission in enumerate(submissions)])
        return await future

    def _enqueue(self, entries: Sequence[_Entry]) -> None:
        if self._is_closed:
            raise StoreUnavailable("the server stops")
        items = [(entry, entry.submission.size) for entry in entries]
        if not self._queue.put_all(entries[0].submission.organization_id, items):
            raise QueueFull("too many reports of this organization wait to be committed")
        # call_soon instead of an immediate set(): the loop first runs all requests that are ready, so their reports
        # join this commit, and the writer's thread does not compete with them for the interpreter lock.
        asyncio.get_running_loop().call_soon(self._wake.set)

    def _run(self) -> None:
        while True:
            self._wake.wait(self._locked.timeout)
            self._wake.clear()
            is_closed = self._is_closed  # read before the queue: after it is set, no report enters the queue
            while entries := self._queue.take(MAX_BATCH, MAX_BATCH_SIZE):
                self._commit(entries)
                self._retry_locked()
            self._retry_locked(is_last=is_closed)
            if is_closed:
                return

    def _retry_locked(self, *, is_last: bool = False) -> None:
        if self._locked:
            self._resolve_futures(self._locked.retry(self._commit_unlocked, is_last=is_last))

    def _commit(self, entries: list[_Entry]) -> None:
        if self._locked:
            later = [entry for entry in entries if self._locked.contains(entry.submission.key)]
            entries = [entry for entry in entries if not self._locked.contains(entry.submission.key)]
            self._finish((entry, RowLocked("an earlier report of the task waits")) for entry in later)
        submissions = [entry.submission for entry in entries]
        outcomes: Sequence[_Outcome]
        try:
            outcomes = self._store.commit(submissions, limits=COMMIT) if submissions else []
            self._count(len(outcomes))
        except RowLocked:
            outcomes = self._commit_unlocked(submissions)
        except StoreUnavailable as unavailable:
            # The reports in the queue have waited for as long as this commit. Each further one may take as long again.
            while more := self._queue.take(MAX_BATCH, MAX_BATCH_SIZE):
                entries.extend(more)
            outcomes = [unavailable] * len(entries)
        except Exception as error:
            # An error in one report must not fail the other reports of the group.
            _log.warning(
                "Commit of %d reports failed, committing them one by one: %s", len(entries), type(error).__name__
            )
            outcomes = [self._commit_one(submission) for submission in submissions]
        self._finish(zip(entries, outcomes, strict=True))

    def _finish(self, results: Iterable[tuple[_Entry, _Outcome]]) -> None:
        """Resolve the futures of the reports, except of those that wait for a lock from now on."""
        self._resolve_futures(
            [
                (entry, outcome)
                for entry, outcome in results
                if not (isinstance(outcome, RowLocked) and self._locked.add(entry))
            ]
        )

    def _commit_one(self, submission: Submission) -> _Outcome:
        try:
            return self._store.commit([submission], limits=COMMIT)[0]
        except Exception as error:
            return error

    def _commit_unlocked(self, submissions: Sequence[Submission]) -> list[_Outcome]:
        """Commit the reports of tasks that are not locked; the outcome of the others is `RowLocked`."""
        try:
            outcomes: list[_Outcome] = [*self._store.commit(submissions, skip_locked=True, limits=COMMIT_UNLOCKED)]
            self._count(len(outcomes))
            return outcomes
        except Exception as error:
            if len(submissions) == 1:
                return [error]
            if isinstance(error, StoreUnavailable) and not isinstance(error, RowLocked):
                return [error] * len(submissions)
        # Another transaction has inserted one of the tasks, and is not committed; no query can find out which one.
        middle = len(submissions) // 2
        return [*self._commit_unlocked(submissions[:middle]), *self._commit_unlocked(submissions[middle:])]

    def _count(self, reports: int) -> None:
        self.commit_count += 1
        self.report_count += reports

    def _resolve_futures(self, results: Iterable[tuple[_Entry, _Outcome]]) -> None:
        """Resolve the futures in their event loops, with one call for each loop."""
        by_loop: dict[asyncio.AbstractEventLoop, list[_Result]] = {}
        for entry, outcome in results:
            batch: _Batch | None = entry.batch
            result: Any = outcome
            if batch is not None:
                batch.outcomes[entry.position] = outcome
                batch.waiting_count -= 1
                if batch.waiting_count:
                    continue
                result = batch.outcomes
            by_loop.setdefault(entry.future.get_loop(), []).append((entry.future, result))
        for loop, loop_results in by_loop.items():
            # The loop may be closed, also between a test and the call, if the process is ending.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(_set_results, loop_results)


def _set_results(results: Iterable[_Result]) -> None:
    for future, result in results:
        if future.done():  # the request was canceled
            continue
        if isinstance(result, Exception):
            future.set_exception(result)
        else:
            future.set_result(result)
