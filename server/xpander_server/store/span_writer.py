"""Group commit of spans (`group_commit`).

It has a thread of its own: a commit of spans takes longer than one of reports, and reports must not wait for it. One
thread computes the traces of a process one after the other; the rows of the traces serialize the processes.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Sequence
from typing import NamedTuple

from xpander_server.store.engine.errors import StoreUnavailable
from xpander_server.store.engine.limits import Limits
from xpander_server.store.fair_queue import FairQueue
from xpander_server.store.group_commit import GroupCommit, resolve_futures
from xpander_server.store.span_batch import SpanBatch
from xpander_server.store.span_refusals import SpanRefusal
from xpander_server.store.store import Store

MAX_BATCHES = 256
"""Largest number of requests in one commit."""
MAX_COMMIT_SIZE = 4_000_000
"""Characters of summaries of spans from which a commit takes no further request."""
MAX_QUEUE = 1_024
"""Largest number of requests in the queue."""
MAX_QUEUE_SIZE = 64_000_000
"""Largest number of characters of the summaries in the queue."""
COMMIT = Limits(total=15.0, lock=2.0)
"""Limits of a transaction."""
REFUSALS_SECONDS = 1.0
"""Time between two writes of refused spans."""
REFUSALS = Limits(total=5.0, lock=1.0)
"""Limits of such a write."""

_log = logging.getLogger(__name__)


class _Entry(NamedTuple):
    batch: SpanBatch
    future: "asyncio.Future[int]"


class SpanWriter(GroupCommit[_Entry]):
    """Thread that commits the spans of many requests in groups.

    Attributes:
        span_count: The number of spans that were stored.
        refused_count: The number of spans that were refused.
    """

    def __init__(self, store: Store) -> None:
        super().__init__(store, FairQueue(MAX_QUEUE, MAX_QUEUE_SIZE), contents="spans")
        self.span_count = 0
        self.refused_count = 0
        # Refusals that are not stored yet, by organization and cause. Many requests with refused spans cost one write.
        self._refusals: dict[tuple[str, str], SpanRefusal] = {}
        self._refusals_lock = threading.Lock()
        self._refusals_written_at = float("-inf")

    async def record(self, batch: SpanBatch) -> int:
        """Store spans, and return the number of refused ones when the others are on disk.

        Raises:
            QueueFull: Too many spans of the organization wait.
            StoreUnavailable: The writer has ended, or the database does not respond.
        """
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._enqueue(batch.organization_id, [(_Entry(batch, future), batch.size)])
        return await future

    async def refuse(self, refusal: SpanRefusal) -> None:
        """Count spans that were refused, here or before they reached this writer; they are stored within seconds."""
        self.refused_count += refusal.spans
        key = (refusal.organization_id, refusal.cause)
        with self._refusals_lock:
            earlier = self._refusals.get(key)
            self._refusals[key] = refusal if earlier is None else earlier.plus(refusal)
        self._wake.set()

    @property
    def _timeout(self) -> float | None:
        if not self._refusals:
            return None
        return max(0.0, self._refusals_written_at + REFUSALS_SECONDS - time.monotonic())

    def _end_round(self, *, is_last: bool) -> None:
        if not self._refusals or (self._timeout and not is_last):
            return
        self._refusals_written_at = time.monotonic()
        with self._refusals_lock:
            refusals, self._refusals = self._refusals, {}
        try:
            self._store.span_refusals.add(refusals.values(), limits=REFUSALS)
        except StoreUnavailable:
            with self._refusals_lock:
                for key, later in self._refusals.items():
                    refusals[key] = refusals[key].plus(later) if key in refusals else later
                self._refusals = refusals
        except Exception:
            _log.exception("Commit of refused spans failed")

    def _take(self) -> list[_Entry]:
        return self._queue.take(MAX_BATCHES, MAX_COMMIT_SIZE)

    def _commit_group(self, entries: list[_Entry]) -> None:
        outcomes = self._commit([entry.batch for entry in entries])
        resolve_futures((entry.future, outcome) for entry, outcome in zip(entries, outcomes, strict=True))

    def _describe_waiting(self) -> str:
        return f"the spans of {len(self._queue)} requests"

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
