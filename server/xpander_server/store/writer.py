"""Group commit: reports that arrive together share one durable commit."""

import asyncio
import logging
import queue
import sys
import threading
from collections.abc import Iterable

from xpander_server.domain.task import Task
from xpander_server.store.commit import Submission
from xpander_server.store.engine.errors import StoreUnavailable
from xpander_server.store.store import Store

MAX_BATCH = 256  # reports in one commit
MAX_QUEUE = 4_096  # reports that wait for theirs
SWITCH_SECONDS = 0.000_5

_Outcome = Task | Exception
_Entry = tuple[Submission, "asyncio.Future[Task]"]

_log = logging.getLogger(__name__)


class Writer:
    """One thread that commits what many requests report.

    Example:
        >>> with Writer(store) as writer:  # doctest: +SKIP
        ...     task = await writer.report(submission)
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._queue: queue.SimpleQueue[_Entry | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="group commit", daemon=True)
        self._wake = threading.Event()
        self._is_closed = False
        self.commit_count = 0
        """How many transactions there were."""
        self.report_count = 0
        """How many reports they held."""

    @property
    def queue_size(self) -> int:
        """How many reports wait for their commit."""
        return self._queue.qsize()

    def __enter__(self) -> "Writer":
        # A commit lets go of the interpreter a dozen times; the event loop, when it is busy, gives it back after this.
        self._switch_interval = sys.getswitchinterval()
        sys.setswitchinterval(SWITCH_SECONDS)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Commit what is queued, and end."""
        self._is_closed = True
        self._queue.put(None)
        self._wake.set()
        self._thread.join()
        sys.setswitchinterval(self._switch_interval)

    async def report(self, submission: Submission) -> Task:
        """Merge a report into its task; returns when it is on disk.

        Raises:
            Conflict: the task belongs to another agent; nothing is changed.
            StoreUnavailable: too many wait, or the database does not answer.
        """
        if self._is_closed or self._queue.qsize() >= MAX_QUEUE:
            raise StoreUnavailable("too many reports wait to be committed")
        loop = asyncio.get_running_loop()
        outcome: asyncio.Future[Task] = loop.create_future()
        self._queue.put((submission, outcome))
        # After all that is ready now: what arrived together is committed together, and until then the thread lets the
        # event loop have the interpreter.
        loop.call_soon(self._wake.set)
        return await outcome

    def _run(self) -> None:
        is_open = True
        while is_open:
            self._wake.wait()
            self._wake.clear()
            entries: list[_Entry | None] = []
            while len(entries) < MAX_BATCH and not self._queue.empty():
                entries.append(self._queue.get())
            if not self._queue.empty():
                self._wake.set()
            is_open = None not in entries
            if reports := [entry for entry in entries if entry is not None]:
                self._commit(reports)

    def _commit(self, entries: list[_Entry]) -> None:
        submissions = [submission for submission, _ in entries]
        try:
            outcomes: list[_Outcome] = list(self._store.commit(submissions))
            self.commit_count += 1
            self.report_count += len(outcomes)
        except StoreUnavailable as unavailable:
            outcomes = [unavailable] * len(entries)
        except Exception as error:
            # What is wrong with one of them must not fail the others.
            _log.warning(
                "a commit of %d reports failed, and is done one by one: %s", len(entries), type(error).__name__
            )
            outcomes = [self._commit_alone(submission) for submission in submissions]
        by_loop: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[Task], _Outcome]]] = {}
        for (_, future), outcome in zip(entries, outcomes, strict=True):
            by_loop.setdefault(future.get_loop(), []).append((future, outcome))
        for loop, resolved in by_loop.items():
            if not loop.is_closed():
                loop.call_soon_threadsafe(_resolve, resolved)

    def _commit_alone(self, submission: Submission) -> _Outcome:
        try:
            return self._store.commit([submission])[0]
        except Exception as error:
            return error


def _resolve(resolved: Iterable[tuple["asyncio.Future[Task]", _Outcome]]) -> None:
    for future, outcome in resolved:
        if future.done():  # whoever asked has gone
            continue
        if isinstance(outcome, Exception):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)
