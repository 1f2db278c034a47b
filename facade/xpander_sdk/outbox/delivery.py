"""Delivery of pending reports by one process.

    claim      lease the pending reports of one run in the file, or of many runs if the destination takes them together
    send       merge the reports of each run into one, and send all in one request: one attempt, retries are the
               schedule of the file
    settle     record the outcomes in the file, then notify the receipts

A destination gets many runs in one request only after a response to a single report has announced it.

A process that dies between two of these steps loses nothing: its lease expires, and another process claims the same
reports. If the backend had recorded them already, it ignores the repetition, because id and time are the same.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import count
from typing import Any

from attrs import evolve, field, frozen

from xpander_sdk import errors
from xpander_sdk._clock import monotonic
from xpander_sdk.client import client, operations, report_batch
from xpander_sdk.client.batch_size import BatchSize
from xpander_sdk.client.log_recursion import sdk_work
from xpander_sdk.errors import OutboxError
from xpander_sdk.outbox import policy
from xpander_sdk.outbox.keyring import Keyring
from xpander_sdk.outbox.owner import is_dead
from xpander_sdk.outbox.policy import SECOND, FailureKind
from xpander_sdk.outbox.settlement import MAX_LAST_ERROR, Delivered, Failed, NotSent, OnResolved, Outcome, Settlement
from xpander_sdk.outbox.storage.administration import Administration
from xpander_sdk.outbox.storage.models import Batch, Destination, DestinationKey
from xpander_sdk.outbox.storage.queue_store import QueueStore
from xpander_sdk.reporting.report import Report
from xpander_sdk.settings.configuration import Configuration

_log = logging.getLogger("xpander_sdk")

Send = Callable[[Configuration, operations.Operation[Any]], Any]
_LEASE_MARGIN_SECONDS = 5  # A lease lasts this much longer than the longest call.
_MAX_CALL_SECONDS = 600.0  # A lease longer than MAX_WAIT would count as expired.
_MIN_CALL_SECONDS = 0.05
_REFRESH_SECONDS = 5.0  # Time between two reads of the destinations that other processes have added.


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


@frozen
class WorkAhead:
    """State of the reports that are left to deliver, at one moment.

    Attributes:
        is_sending: True while this process or another one is sending a report; it may fail and be due again.
        seconds_to_next: Seconds until a report may be due; None if no report is pending.
    """

    is_sending: bool
    seconds_to_next: float | None


@frozen
class Claim:
    """Batches that were leased together, and are sent in one request.

    Attributes:
        batches: A batch for each run; at least one.
        max_runs: Number of runs that the request may carry.
    """

    batches: list[Batch]
    max_runs: int = 1

    @property
    def destination(self) -> Destination:
        """Destination of all batches."""
        return self.batches[0].destination

    @property
    def other_requests(self) -> int:
        """Number of requests that the other pending reports need, approximately."""
        return -(-self.batches[0].other_pending // self.max_runs)


class Delivery:
    """Claims and sends batches for one process. Safe to share between threads; each thread gets other runs.

    Args:
        store: Queue in the file.
        keyring: Configurations that this process can deliver with.
        owner: Identifier of this process in the file.
        on_resolved: Function that is called with the batches that were delivered or became dead letters.
        send: Function that executes an operation; it raises ModuleException.
        max_dead: Limits for dead letters: their number, and their size in bytes.

    Attributes:
        settlement: Records the outcomes; it has the limits for dead letters.
        in_flight: Number of requests that this process is claiming for or sending.
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
        self._send = send
        self.settlement = Settlement(store, on_resolved, max_dead)
        self._batch_sizes: dict[DestinationKey, BatchSize] = {}
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

    @property
    def sends_batches(self) -> bool:
        """True if a destination of this process takes many runs in one request."""
        return bool(self._batch_sizes)

    def claim(self) -> Claim | None:
        """Lease the reports of due runs; return None if nothing is due. The caller must pass the claim to `deliver`."""
        # Counted before the claim: a thread that finds nothing to claim must see that this one may have the batches.
        self._count_in_flight(1)
        claim = None
        try:
            claim = self._claim()
        finally:
            if claim is None:
                self._count_in_flight(-1)
        return claim

    def _claim(self) -> Claim | None:
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
        sizes = {each: self._batch_size(destination) for each, (destination, _) in destinations.items()}
        batches = self._store.claim_together(self._owner, ids[first:] + ids[:first], lease_microseconds, sizes)
        return Claim(batches, sizes[batches[0].destination.id]) if batches else None

    def _batch_size(self, destination: Destination) -> int:
        size = self._batch_sizes.get(destination.key)
        return 1 if size is None else size.current()

    def _count_in_flight(self, change: int) -> None:
        with self._lock:
            self.in_flight += change

    def deliver(self, claim: Claim, deadline: float | None = None) -> None:
        """Send the batches of a claim and record their outcomes.

        Args:
            claim: Claim that `claim` returned.
            deadline: Time on the monotonic clock when the call must end. Default: the timeouts of the configuration.
        """
        try:
            with sdk_work():
                self._deliver(claim, deadline)
        finally:
            self._count_in_flight(-1)

    def work_ahead(self, limit: float) -> WorkAhead:
        """Return whether any process is sending a report, and when the next one may be due, `limit` seconds ahead."""
        is_sending = self.in_flight > 0  # Read first: a thread counts itself before it takes a lease.
        if not self._store.database.exists():
            return WorkAhead(is_sending, None)
        state = self._store.delivery_state(self.destination_ids)
        seconds = None
        if state.next_attempt_at is not None:
            seconds = min(limit, max(0.0, (state.next_attempt_at - self._store.clock()) / SECOND))
        return WorkAhead(is_sending or state.has_active_lease, seconds)

    def vacuum(self) -> bool:
        """Return some unused space of the file to the disk; return whether more is left."""
        return self._store.database.exists() and self._store.database.vacuum_step()

    def record_error(self, error: Exception) -> None:
        """Store an error of the worker as the last error of all destinations with pending reports."""
        text = f"the worker failed with {type(error).__name__}: {error}".encode(errors="replace").decode()
        with suppress(OutboxError):  # The file cannot be used, which `Outbox.stats` shows as well.
            if self._store.database.exists():
                self._administration.record_error(text[:MAX_LAST_ERROR])

    def _deliver(self, claim: Claim, deadline: float | None) -> None:
        configuration = self._configuration_for(claim.destination, deadline)
        if configuration is None:
            self._store.release_lease(*claim.batches)
            self.refresh()
            return
        try:
            self.settlement.settle(self._send_claim(claim, configuration))
        except BaseException:
            # Also if only the outcomes could not be recorded: the backend ignores reports that it gets again, and the
            # others would have to wait until the leases expire. The lease of a settled batch has ended already.
            with suppress(OutboxError):
                self._store.release_lease(*claim.batches)
            raise

    def _send_claim(self, claim: Claim, configuration: Configuration) -> list[tuple[Batch, Outcome]]:
        """Send the batches of a claim in one request, and return the outcome of each."""
        outcomes: list[tuple[Batch, Outcome]] = []
        sent, reports = [], []
        for batch in claim.batches:
            try:
                reports.append(policy.merge_reports(batch.reports))
                sent.append(batch)
            except Exception as error:  # A report is not JSON. Each is sent separately then.
                text = f"the reports cannot be merged: {type(error).__name__}"
                outcomes.append((batch, Failed(FailureKind.REJECTED, text)))
        if reports:
            outcomes += zip(sent, self._send_reports(claim.destination, configuration, reports), strict=True)
        return outcomes

    def _send_reports(
        self, destination: Destination, configuration: Configuration, reports: list[Report]
    ) -> Sequence[Outcome]:
        size = self._batch_sizes.get(destination.key)
        try:
            if len(reports) == 1:
                return [self._send_one(destination, configuration, reports[0])]
            return self._send_many(configuration, reports)
        except errors.ModuleException as error:
            failed = Failed.of(error)
            if len(reports) > 1:
                if size is not None and size.reduce(len(reports), error.status_code):
                    return [NotSent()] * len(reports)
                if failed.kind is FailureKind.REJECTED:  # One of the reports may be the cause, and which is not known.
                    return [NotSent(is_alone=True)] * len(reports)
        except ValueError as error:  # The key is not available: its file is missing, or its callable failed.
            failed = Failed(FailureKind.UNAUTHORIZED, str(error))
        except Exception as error:
            _log.exception("a report of the outbox could not be sent")
            failed = Failed(FailureKind.SERVER_ERROR, type(error).__name__)
        return [failed] * len(reports)

    def _send_one(self, destination: Destination, configuration: Configuration, report: Report) -> Outcome:
        def announce(size: int) -> None:
            self._batch_sizes.setdefault(destination.key, BatchSize()).announce(size)

        operation = report_batch.report_one(report, announce)
        if destination.key in self._batch_sizes and not configuration.is_embedded:
            operation = report_batch.compressed(operation)
        record = self._send(configuration, operation)
        return Delivered(lambda: record)

    def _send_many(self, configuration: Configuration, reports: list[Report]) -> Sequence[Outcome]:
        redact = client.redaction_for(configuration)
        operation = report_batch.report_tasks(reports, is_compressed=not configuration.is_embedded)
        return [
            Delivered(outcome.record) if outcome.is_recorded else Failed.of(outcome.error(redact))
            for outcome in self._send(configuration, operation)
        ]

    def _configuration_for(self, wanted: Destination, deadline: float | None) -> Configuration | None:
        """Return the configuration with timeouts that end by the deadline.

        Return None if another file has replaced the one that was read: its ids belong to other destinations.
        """
        destination, configuration = self._view.destinations.get(wanted.id, (None, None))
        if destination is None or configuration is None or destination.key != wanted.key:
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
