"""Group commit of reports (`group_commit`).

A report may have to wait for a task that another transaction has locked. The writer commits the other reports without
it, and repeats it on its own (`locked_reports`).
"""

import asyncio
import logging
import sys
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, Self

from attrs import define

from xpander_server.domain.task import Task
from xpander_server.store.commit import Submission
from xpander_server.store.engine.errors import RowLocked, StoreUnavailable
from xpander_server.store.engine.limits import Limits
from xpander_server.store.fair_queue import FairQueue
from xpander_server.store.group_commit import GroupCommit, Result, resolve_futures
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
COMMIT = Limits(total=10.0, lock=0.5)
"""Limits of the transaction of a group."""
COMMIT_UNLOCKED = Limits(total=10.0, lock=0.005)
"""Limits of a transaction that leaves out locked tasks. It may still wait for tasks that another one inserts."""
SWITCH_SECONDS = 0.000_5
"""Interpreter's thread switch interval while a writer runs."""

_Outcome = Task | Exception

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


class Writer(GroupCommit[_Entry]):
    """Thread that commits the reports of many requests in groups.

    Attributes:
        commit_count: The number of transactions so far.
        report_count: The number of reports in them.

    Example:
        >>> with Writer(store) as writer:  # doctest: +SKIP
        ...     task = await writer.report(submission)
    """

    def __init__(self, store: Store) -> None:
        super().__init__(store, FairQueue(MAX_QUEUE, MAX_QUEUE_SIZE), contents="reports")
        self._locked: LockedReports[_Entry] = LockedReports()
        self.commit_count = 0
        self.report_count = 0

    @property
    def queue_size(self) -> int:
        """The number of reports that wait for a commit."""
        return len(self._queue) + len(self._locked)

    def __enter__(self) -> Self:
        # A commit releases the interpreter lock about a dozen times. A busy event loop returns it only after the switch
        # interval, whose default of 5 ms would make each commit ten times slower.
        self._switch_interval = sys.getswitchinterval()
        sys.setswitchinterval(SWITCH_SECONDS)
        return super().__enter__()

    def __exit__(self, *_: object) -> None:
        """Commit the reports in the queue, and end the thread; the wait for the database is limited."""
        super().__exit__()
        sys.setswitchinterval(self._switch_interval)

    async def report(self, submission: Submission) -> Task:
        """Merge a report into its task, and return the task when it is on disk.

        Raises:
            Conflict: The task belongs to another agent; nothing is changed.
            QueueFull: Too many reports of the organization wait.
            StoreUnavailable: The writer has ended, or the database does not respond.
        """
        future: asyncio.Future[Task] = asyncio.get_running_loop().create_future()
        self._enqueue_all([_Entry(submission, future)])
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
        self._enqueue_all([_Entry(submission, future, batch, index) for index, submission in enumerate(submissions)])
        return await future

    def _enqueue_all(self, entries: Sequence[_Entry]) -> None:
        items = [(entry, entry.submission.size) for entry in entries]
        self._enqueue(entries[0].submission.organization_id, items)

    @property
    def _timeout(self) -> float | None:
        return self._locked.timeout

    def _take(self) -> list[_Entry]:
        return self._queue.take(MAX_BATCH, MAX_BATCH_SIZE)

    def _commit_group(self, entries: list[_Entry]) -> None:
        self._commit(entries)
        self._retry_locked()

    def _end_round(self, *, is_last: bool) -> None:
        self._retry_locked(is_last=is_last)

    def _describe_waiting(self) -> str:
        return f"{self.queue_size} reports and those of one commit"

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
            while more := self._take():
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
        """Resolve the futures of reports; that of a batch after its last report."""
        resolved: list[Result] = []
        for entry, outcome in results:
            batch = entry.batch
            if batch is None:
                resolved.append((entry.future, outcome))
                continue
            batch.outcomes[entry.position] = outcome
            batch.waiting_count -= 1
            if not batch.waiting_count:
                resolved.append((entry.future, batch.outcomes))
        resolve_futures(resolved)
