"""Delivery of pending reports by one process.

    claim      lease the pending reports of one run in the file
    send       merge them into one report and send it: one attempt, retries are the schedule of the file
    resolve    record the outcome in the file, then notify the receipts

A process that dies between two of these steps loses nothing: its lease expires, and another process claims the same
reports. If the backend had recorded them already, it ignores the repetition, because id and time are the same.
"""

import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from typing import Any

from attrs import evolve, field, frozen

from xpander_sdk import errors
from xpander_sdk._clock import monotonic
from xpander_sdk.client import client, operations
from xpander_sdk.client.log_recursion import sdk_work
from xpander_sdk.errors import OutboxError
from xpander_sdk.outbox import policy
from xpander_sdk.outbox.keyring import Keyring
from xpander_sdk.outbox.owner import is_dead
from xpander_sdk.outbox.policy import SECOND, FailureKind
from xpander_sdk.outbox.storage.administration import Administration
from xpander_sdk.outbox.storage.models import Batch, Destination
from xpander_sdk.outbox.storage.queue_store import QueueStore
from xpander_sdk.settings.configuration import Configuration

_log = logging.getLogger("xpander_sdk")

Send = Callable[[Configuration, operations.Operation[Any]], Any]
OnResolved = Callable[[Batch, str, Any], None]
_LEASE_MARGIN_SECONDS = 5  # A lease lasts this much longer than the longest call.
_MAX_CALL_SECONDS = 600.0  # A lease longer than MAX_WAIT would count as expired.
_MIN_CALL_SECONDS = 0.05
_REFRESH_SECONDS = 5.0  # Time between two reads of the destinations that other processes have added.
_MAX_DEAD_LETTER_ERROR = 2_000  # characters
_MAX_LAST_ERROR = 500  # characters


@frozen
class _View:
    """Destinations of the file, as read at one time.

    Attributes:
        number: Number of the reading; later ones have greater numbers.
        generation: Generation of the keyring before the reading.
        read_at: Time of the reading on the monotonic clock.
        destinations: Destinations that this process has a configuration for, by row id.
    """

    number: int = 0
    generation: int = -1
    read_at: float = 0.0
    destinations: dict[int, tuple[Destination, Configuration]] = field(factory=dict)


class Delivery:
    """Claims and sends batches for one process. Safe to share between threads; each thread gets batches of other runs.

    Args:
        store: Queue in the file.
        keyring: Configurations that this process can deliver with.
        owner: Identifier of this process in the file.
        on_resolved: Function that is called with each batch that was delivered or became a dead letter, its state
            ("delivered" or "dead"), and the response of the backend (None for "dead").
        send: Function that executes an operation; it raises ModuleException.
        max_dead: Limits for dead letters: their number, and their size in bytes.

    Attributes:
        max_dead: As above.
        in_flight: Number of batches that this process is claiming or sending.
    """

    def __init__(
        self,
        store: QueueStore,
        keyring: Keyring,
        owner: str,
        on_resolved: OnResolved,
        *,
        send: Send = client.send,
        max_dead: tuple[int, int] = (1_000_000, 1 << 30),
    ) -> None:
        self._store = store
        self._administration = Administration(store.database)
        self._keyring = keyring
        self._owner = owner
        self._on_resolved = on_resolved
        self._send = send
        self.max_dead = max_dead
        self._lock = threading.RLock()  # Reentrant, because a signal handler may interrupt its holder.
        self._refreshes = count(1)
        self._view = _View()
        self._claims = 0
        self.in_flight = 0

    @property
    def destination_ids(self) -> list[int]:
        """Destinations that this process has a key for."""
        return list(self._view.destinations)

    def refresh(self) -> None:
        """Read the destinations of the file, and find a configuration for each."""
        # Published as one value at the end, so that no other thread takes the old destinations for the current ones. A
        # lock around the reading could block a fork or a signal handler forever.
        number, generation, read_at = next(self._refreshes), self._keyring.generation, monotonic()
        destinations = {}
        for destination in self._store.destinations() if self._store.database.exists() else ():
            configuration = self._keyring.configuration(destination)
            if configuration is not None:
                one_attempt = evolve(configuration.retry, attempts=1)
                total = min(_MAX_CALL_SECONDS, configuration.timeouts.total)
                timeouts = evolve(configuration.timeouts, total=total)
                destinations[destination.id] = (
                    destination,
                    configuration.with_options(retry=one_attempt, timeouts=timeouts),
                )
        with self._lock:
            if number > self._view.number:  # Otherwise, another thread has begun later and was faster.
                self._view = _View(number, generation, read_at, destinations)

    def release_dead_owners(self) -> None:
        """End the leases of processes that have died, so that their reports are due now."""
        if self._store.database.exists():
            for owner in self._administration.owners():
                if is_dead(owner):
                    self._store.release_owner(owner)

    def claim(self) -> Batch | None:
        """Lease the reports of one run; return None if nothing is due. The caller must pass the batch to `deliver`."""
        # Counted before the claim: a thread that finds nothing to claim must see that this one may have the batch.
        self._count_in_flight(1)
        batch = None
        try:
            batch = self._claim()
        finally:
            if batch is None:
                self._count_in_flight(-1)
        return batch

    def _claim(self) -> Batch | None:
        is_old = monotonic() > self._view.read_at + _REFRESH_SECONDS
        if is_old or self._keyring.generation != self._view.generation:
            self.refresh()
        destinations = self._view.destinations
        if not destinations or not self._store.database.exists():
            return None
        # Start at another destination each time, so that a busy one does not delay the others.
        ids = list(destinations)
        self._claims += 1
        first = self._claims % len(ids)
        longest_call = max(configuration.timeouts.total for _, configuration in destinations.values())
        lease_microseconds = round((longest_call + _LEASE_MARGIN_SECONDS) * SECOND)
        return self._store.claim(self._owner, ids[first:] + ids[:first], lease_microseconds)

    def _count_in_flight(self, change: int) -> None:
        with self._lock:
            self.in_flight += change

    def deliver(self, batch: Batch, deadline: float | None = None) -> None:
        """Send a batch and record the outcome.

        Args:
            batch: Batch that `claim` returned.
            deadline: Time on the monotonic clock when the call must end. Default: the timeouts of the configuration.
        """
        try:
            with sdk_work():
                self._deliver(batch, deadline)
        finally:
            self._count_in_flight(-1)

    def seconds_to_next(self, limit: float) -> float | None:
        """Return the seconds until a report may be due, at most `limit`; None if no report is pending."""
        next_attempt_at = self._store.next_attempt_at(self.destination_ids) if self._store.database.exists() else None
        if next_attempt_at is None:
            return None
        return min(limit, max(0.0, (next_attempt_at - self._store.clock()) / SECOND))

    def is_sending(self) -> bool:
        """Return whether this process or another one is sending a report."""
        return self.in_flight > 0 or (
            self._store.database.exists() and self._store.has_active_lease(self.destination_ids)
        )

    def vacuum(self) -> bool:
        """Return some unused space of the file to the disk; return whether more is left."""
        return self._store.database.exists() and self._store.database.vacuum_step()

    def record_error(self, error: Exception) -> None:
        """Store an error of the worker as the last error of all destinations with pending reports."""
        text = f"the worker failed with {type(error).__name__}: {error}".encode(errors="replace").decode()
        with suppress(OutboxError):  # The file cannot be used, which `Outbox.stats` shows as well.
            if self._store.database.exists():
                self._administration.record_error(text[:_MAX_LAST_ERROR])

    def _deliver(self, batch: Batch, deadline: float | None) -> None:
        configuration = self._configuration_for(batch, deadline)
        if configuration is None:
            self._store.release_lease(batch)
            self.refresh()
            return
        try:
            report = policy.merge_reports(batch.reports)
        except Exception as error:  # A report is not JSON. Each is sent separately then.
            self._reject(batch, f"the reports cannot be merged: {type(error).__name__}", None)
            return
        try:
            response = self._send(configuration, operations.report_task(report))
        except errors.ModuleException as error:
            kind = policy.classify_failure(error)
            self._handle_failure(batch, kind, str(error), error.status_code, error.retry_after)
        except ValueError as error:  # The key is not available: its file is missing, or its callable failed.
            self._handle_failure(batch, FailureKind.UNAUTHORIZED, str(error), None, None)
        except Exception as error:
            _log.exception("a report of the outbox could not be sent")
            self._handle_failure(batch, FailureKind.SERVER_ERROR, type(error).__name__, None, None)
        except BaseException:
            self._store.release_lease(batch)
            raise
        else:
            self._store.delivered(batch)
            self._on_resolved(batch, "delivered", response)

    def _configuration_for(self, batch: Batch, deadline: float | None) -> Configuration | None:
        """Return the configuration with timeouts that end by the deadline.

        Return None if another file has replaced the one that was read: its ids belong to other destinations.
        """
        destination, configuration = self._view.destinations.get(batch.destination.id, (None, None))
        if destination is None or configuration is None or destination.key != batch.destination.key:
            return None
        if deadline is None:
            return configuration
        remaining = max(_MIN_CALL_SECONDS, deadline - monotonic())
        timeouts = configuration.timeouts
        shorter = evolve(
            timeouts,
            connect=min(remaining, timeouts.connect),
            read=min(remaining, timeouts.read),
            total=min(remaining, timeouts.total),
        )
        return configuration.with_options(timeouts=shorter)

    def _handle_failure(
        self, batch: Batch, kind: FailureKind, error: str, status: int | None, retry_after: float | None
    ) -> None:
        error = error.encode(errors="replace").decode()  # SQLite cannot store lone surrogates of a response.
        failed_attempts = batch.failed_attempts + 1
        if kind is FailureKind.NOT_FOUND and failed_attempts >= policy.MAX_UNKNOWN_AGENT_ATTEMPTS:
            kind = FailureKind.REJECTED
        if kind is FailureKind.REJECTED:
            self._reject(batch, error, status)
            return
        destination_wait: int | None
        if kind is FailureKind.UNAUTHORIZED:
            run_wait, destination_wait = 0, policy.UNAUTHORIZED_WAIT
            if not batch.destination.failures:
                _log.error("%s rejects the key, so the outbox keeps its reports: %s", batch.destination.base_url, error)
        else:
            run_wait = policy.run_backoff(failed_attempts, is_unavailable=kind is FailureKind.UNAVAILABLE)
            works = kind is FailureKind.NOT_FOUND
            failures = batch.destination.failures + 1
            destination_wait = None if works else policy.destination_backoff(failures, retry_after)
        self._store.reschedule(batch, error[:_MAX_LAST_ERROR], run_wait=run_wait, destination_wait=destination_wait)

    def _reject(self, batch: Batch, error: str, status: int | None) -> None:
        if self._store.refused(batch, status, error[:_MAX_DEAD_LETTER_ERROR], max_dead=self.max_dead):
            _log.error(
                "%s rejected a report permanently, which is now a dead letter of the outbox %s: %s",
                batch.destination.base_url, self._store.database.path, error,
            )  # fmt: skip
            self._on_resolved(batch, "dead", None)
