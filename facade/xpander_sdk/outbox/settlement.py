"""Settlement: the outcomes of one request are recorded in the file in one transaction, then the receipts learn them.

    outcome of a run     consequence
    Delivered            its reports are deleted
    Failed, rejected     dead letter; or, if several reports were merged, each is sent alone
    Failed, else         next attempt later, for this run or for its destination
    NotSent              due again at once; alone, if the request of many runs was rejected as a whole

A process that dies before the transaction has ended has settled nothing: its leases expire, and all runs of the request
are sent again. The backend ignores those that it has recorded.
"""

import logging
from collections.abc import Callable, Sequence
from typing import Any

from attrs import frozen

from xpander_sdk import errors
from xpander_sdk._random import random
from xpander_sdk.outbox import policy
from xpander_sdk.outbox.policy import FailureKind
from xpander_sdk.outbox.storage.models import Batch
from xpander_sdk.outbox.storage.queue_store import QueueStore

_log = logging.getLogger("xpander_sdk")

_MAX_DEAD_LETTER_ERROR = 2_000  # characters
MAX_LAST_ERROR = 500
"""Maximum length of the text of the last error of a run, a destination or the file, in characters."""


@frozen
class Delivered:
    """The backend has recorded the run.

    Attributes:
        read: Function that returns the task of the response; it is called only if a receipt needs it.
    """

    read: Callable[[], Any]


@frozen
class Failed:
    """The backend has not recorded the run, or did not say so.

    Attributes:
        kind: Class of the failure.
        error: Error text.
        status: HTTP status code; None if there was no response.
        retry_after: Seconds that the backend asks to wait, or None.
    """

    kind: FailureKind
    error: str
    status: int | None = None
    retry_after: float | None = None

    @classmethod
    def of(cls, error: errors.ModuleException) -> "Failed":
        """Return the outcome that an error describes."""
        return cls(policy.classify_failure(error), str(error), error.status_code, error.retry_after)


@frozen
class NotSent:
    """The run must be sent again, and no attempt of its own has failed.

    Attributes:
        is_alone: Each of its reports must be sent alone.
    """

    is_alone: bool = False


Outcome = Delivered | Failed | NotSent
Resolved = tuple[Batch, str, Callable[[], Any] | None]
"""Batch, its state ("delivered" or "dead"), and the function that returns the task; None for "dead"."""
OnResolved = Callable[[list[Resolved]], None]


class Settlement:
    """Records outcomes in the file. Safe to share between threads.

    Args:
        store: Queue in the file.
        on_resolved: Function that is called with the batches that were delivered or became dead letters.
        max_dead: Limits for dead letters: their number, and their size in bytes.

    Attributes:
        max_dead: As above.
    """

    def __init__(self, store: QueueStore, on_resolved: OnResolved, max_dead: tuple[int, int]) -> None:
        self._store = store
        self._on_resolved = on_resolved
        self.max_dead = max_dead

    def settle(self, outcomes: Sequence[tuple[Batch, Outcome]]) -> None:
        """Record the outcomes of all batches of one request, then report those that are resolved.

        Raises:
            OutboxError: The file cannot be used; nothing was recorded.
        """
        delivered = [(batch, outcome) for batch, outcome in outcomes if isinstance(outcome, Delivered)]
        failed = [(batch, outcome) for batch, outcome in outcomes if isinstance(outcome, Failed)]
        not_sent = [(batch, outcome) for batch, outcome in outcomes if isinstance(outcome, NotSent)]
        with self._store.database.transaction():
            if delivered:
                self._store.delivered_together([batch for batch, _ in delivered])
            dead = self._record_failures(failed)
            self._store.isolate([batch for batch, outcome in not_sent if outcome.is_alone])
            self._store.release_lease(*[batch for batch, outcome in not_sent if not outcome.is_alone])
        self._log_failures(failed, dead)
        resolved: list[Resolved] = [(batch, "delivered", outcome.read) for batch, outcome in delivered]
        resolved += [(batch, "dead", None) for batch, _ in dead]
        if resolved:
            self._on_resolved(resolved)

    def _record_failures(self, failed: Sequence[tuple[Batch, Failed]]) -> list[tuple[Batch, str]]:
        """Schedule the next attempts; return the batches that became dead letters, with their errors."""
        dead = []
        draw = random()  # One wait for the destination, whatever the number of its runs.
        for batch, failure in failed:
            kind = failure.kind
            # SQLite cannot store lone surrogates of a response.
            error = failure.error.encode(errors="replace").decode()
            failed_attempts = batch.failed_attempts + 1
            if kind is FailureKind.NOT_FOUND and failed_attempts >= policy.MAX_UNKNOWN_AGENT_ATTEMPTS:
                kind = FailureKind.REJECTED
            if kind is FailureKind.REJECTED:
                text = error[:_MAX_DEAD_LETTER_ERROR]
                if self._store.refused(batch, failure.status, text, max_dead=self.max_dead):
                    dead.append((batch, error))
                continue
            destination_wait: int | None = None
            if kind is FailureKind.UNAUTHORIZED:
                run_wait, destination_wait = 0, policy.UNAUTHORIZED_WAIT
            else:
                run_wait = policy.run_backoff(failed_attempts, is_unavailable=kind is FailureKind.UNAVAILABLE)
                if kind is not FailureKind.NOT_FOUND:
                    failures = batch.destination.failures + 1
                    destination_wait = policy.destination_backoff(failures, failure.retry_after, lambda: draw)
            self._store.reschedule(batch, error[:MAX_LAST_ERROR], run_wait=run_wait, destination_wait=destination_wait)
        return dead

    def _log_failures(self, failed: Sequence[tuple[Batch, Failed]], dead: Sequence[tuple[Batch, str]]) -> None:
        for batch, failure in failed:
            if failure.kind is FailureKind.UNAUTHORIZED and not batch.destination.failures:
                base_url = batch.destination.base_url
                _log.error("%s rejects the key, so the outbox keeps its reports: %s", base_url, failure.error)
                break
        for batch, error in dead:
            _log.error(
                "%s rejected a report permanently, which is now a dead letter of the outbox %s: %s",
                batch.destination.base_url, self._store.database.path, error,
            )  # fmt: skip
