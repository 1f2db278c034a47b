"""Group commit of spans: the spans of requests that arrive at about the same time share one durable commit.

It works like `writer`, in a thread of its own: a commit of spans takes longer than one of reports, and reports must not
wait for it. One thread computes the traces of a process one after the other; the rows of the traces serialize the
processes.
"""

import asyncio
import logging
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

from xpander_server.store.engine.errors import QueueFull, StoreUnavailable
from xpander_server.store.engine.limits import Limits
from xpander_server.store.fair_queue import FairQueue
from xpander_server.store.store import Store
from xpander_server.store.traces import SpanBatch

MAX_BATCHES = 256
"""Largest number of requests in one commit."""
MAX_COMMIT_SIZE = 4_000_000
"""Characters of summaries of spans from which a commit takes no further request."""
MAX_QUEUE = 1_024
"""Largest number of requests in the queue."""
MAX_QUEUE_SIZE = 64_000_000
"""Largest number of characters of the summaries in the queue."""
STOP_SECONDS = 3.0
"""Time in which a writer that ends commits the spans in the queue."""
COMMIT = Limits(total=15.0, lock=2.0)
"""Limits of a transaction."""

_log = logging.getLogger(__name__)


class _Entry(NamedTuple):
    batch: SpanBatch
    future: "asyncio.Future[int]"


class SpanWriter:
    """Thread that commits the spans of many requests in groups.

    Attributes:
        span_count: The number of spans that were stored.
        refused_count: The number of spans that were refused.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._queue: FairQueue[_Entry] = FairQueue(MAX_QUEUE, MAX_QUEUE_SIZE)
        self._thread = threading.Thread(target=self._run, name="group commit of spans", daemon=True)
        self._wake = threading.Event()
        self._is_closed = False
        self.span_count = 0
        self.refused_count = 0

    def __enter__(self) -> "SpanWriter":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Commit the spans in the queue, and end the thread; the wait for the database is limited."""
        self._is_closed = True
        self._wake.set()
        self._thread.join(STOP_SECONDS)
        if self._thread.is_alive():
            _log.error("the store does not respond: the spans of %d requests have no answer", len(self._queue))
            self._store.interrupt()
            self._thread.join(1.0)

    async def record(self, batch: SpanBatch) -> int:
        """Store spans, and return the number of refused ones when the others are on disk.

        Raises:
            QueueFull: Too many spans of the organization wait.
            StoreUnavailable: The writer has ended, or the database does not respond.
        """
        if self._is_closed:
            raise StoreUnavailable("the server stops")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[int] = loop.create_future()
        if not self._queue.put(batch.organization_id, _Entry(batch, future), batch.size):
            raise QueueFull("too many spans of this organization wait to be committed")
        loop.call_soon(self._wake.set)
        return await future

    def count_refused(self, count: int) -> None:
        """Count spans that were refused, here or before they reached this writer."""
        self.refused_count += count

    def _run(self) -> None:
        while True:
            self._wake.wait()
            self._wake.clear()
            is_closed = self._is_closed  # read before the queue: after it is set, no request enters the queue
            while entries := self._queue.take(MAX_BATCHES, MAX_COMMIT_SIZE):
                self._resolve(entries, self._commit([entry.batch for entry in entries]))
            if is_closed:
                return

    def _commit(self, batches: Sequence[SpanBatch]) -> Sequence[int | Exception]:
        try:
            refused = self._store.commit_spans(batches, limits=COMMIT)
        except StoreUnavailable as unavailable:
            return [unavailable] * len(batches)
        except Exception as error:
            if len(batches) == 1:
                _log.exception("Commit of spans failed")
                return [error]
            _log.warning("Commit of the spans of %d requests failed, committing them one by one", len(batches))
            return [outcome for batch in batches for outcome in self._commit([batch])]
        self.span_count += sum(len(batch.spans) for batch in batches) - sum(refused)
        return refused

    def _resolve(self, entries: Sequence[_Entry], outcomes: Sequence[int | Exception]) -> None:
        for entry, outcome in zip(entries, outcomes, strict=True):
            with suppress(RuntimeError):  # the loop may be closed if the process is ending
                entry.future.get_loop().call_soon_threadsafe(_set_result, entry.future, outcome)


def _set_result(future: "asyncio.Future[int]", outcome: int | Exception) -> None:
    if future.done():  # the request was canceled
        return
    if isinstance(outcome, Exception):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)
