"""Receipts of one process, and the responses of the backend that belong to them.

A worker may deliver a report before `create` has made its receipt:

    thread of the caller                 worker
    commit report 17
                                         claim 17, send it, get the response
                                         resolve: no receipt of 17 yet, so keep the response in `_early_responses`
    create(17): use the early response

Early responses are kept only while a submission is in progress, because a report of another process, or of a receipt
that the caller has deleted, has no receipt either.
"""

import threading
import weakref
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from xpander_sdk.outbox.settlement import Resolved
from xpander_sdk.outbox.storage.models import Batch
from xpander_sdk.outbox.storage.queue_store import QueueStore
from xpander_sdk.outbox.storage.stats import Counters
from xpander_sdk.receipt import Receipt

T = TypeVar("T")

_MAX_EARLY_RESPONSES = 64
_MIN_PURGE = 1_000
"""Receipts from which those that were deleted are forgotten, each time their number has doubled."""


class Receipts:
    """Receipts that this process has created. Safe to share between threads. Implements `ReceiptStore`.

    Args:
        store: Queue in the file.

    Attributes:
        path: Path of the file.
    """

    def __init__(self, store: QueueStore) -> None:
        self.path = store.database.path
        self.reset(store)

    def reset(self, store: QueueStore) -> None:
        """Forget all state of the parent process; receipts from before the fork read their state from `store`."""
        self._store = store
        self._counters = Counters(store.database)
        self._changed = threading.Condition()
        self._submissions = 0
        self._early_responses: dict[int, tuple[Batch, Callable[[], Any]]] = {}
        # Not a WeakValueDictionary: Python ignores what a signal handler raises during the callback of a dictionary, so
        # that a program whose handler calls sys.exit() would go on.
        self._receipts: dict[int, weakref.ref[Receipt[Any]]] = {}
        self._next_purge = _MIN_PURGE

    def begin_submission(self) -> None:
        """Keep early responses until `end_submission`."""
        with self._changed:
            self._submissions += 1

    def end_submission(self) -> None:
        """Forget early responses if no other submission is in progress."""
        with self._changed:
            self._submissions -= 1
            if not self._submissions:
                self._early_responses.clear()

    def create(self, seq: int, salt: bytes, report_id: str, convert: Callable[[Any], T]) -> Receipt[T]:
        """Return the receipt of a stored report.

        Args:
            seq: Sequence number of the report.
            salt: Salt of the file that stores the report.
            report_id: Id of the run.
            convert: Function that converts the response of the backend to the value of `Receipt.task`.
        """
        receipt = Receipt(self, seq, salt, report_id, convert)
        with self._changed:
            self._receipts[seq] = weakref.ref(receipt)
            if len(self._receipts) > self._next_purge:
                self._purge()
            early_response = self._early_responses.pop(seq, None) if self._early_responses else None
        if early_response is not None:
            _set_response(receipt, *early_response)
        return receipt

    def resolve(self, resolved: Sequence[Resolved]) -> None:
        """Pass the responses of delivered batches to their receipts, and wake all threads that wait for a change."""
        responses = []
        with self._changed:
            for batch, state, read in resolved:
                references = {seq: self._receipts.pop(seq, None) for seq in batch.seqs}
                receipts = {seq: None if reference is None else reference() for seq, reference in references.items()}
                if read is None or state != "delivered":
                    continue
                responses += [(receipt, batch, read) for receipt in receipts.values() if receipt is not None]
                if self._submissions:
                    early = [seq for seq, receipt in receipts.items() if receipt is None]
                    self._early_responses.update(dict.fromkeys(early, (batch, read)))
            for seq in list(self._early_responses)[:-_MAX_EARLY_RESPONSES]:
                del self._early_responses[seq]
        for receipt, batch, read in responses:
            _set_response(receipt, batch, read)
        with self._changed:
            self._changed.notify_all()

    def _purge(self) -> None:
        """Forget receipts that the caller has deleted; their reports may wait for long, or be another process's."""
        for seq, reference in list(self._receipts.items()):
            if reference() is None:
                self._receipts.pop(seq, None)
        self._next_purge = max(_MIN_PURGE, 2 * len(self._receipts))

    def receipt_state(self, seq: int, salt: bytes) -> str:
        """Return the state of a report; "unknown" if the file is missing, or another file has replaced it."""
        is_same_file = self._store.database.exists() and self._store.salt() == salt
        return self._counters.report_state(seq) if is_same_file else "unknown"

    def wait_for_change(self, seconds: float) -> None:
        """Wait until this process has delivered a report or made a dead letter, at most `seconds`."""
        with self._changed:
            self._changed.wait(seconds)


def _set_response(receipt: Receipt[Any], batch: Batch, read: Callable[[], Any]) -> None:
    if receipt.id == batch.task_id:  # Otherwise, the receipt is of a file that was replaced since.
        receipt._set_response(read())
