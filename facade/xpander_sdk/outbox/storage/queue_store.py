"""Queue of reports in a SQLite file that several processes share.

A report is a row of `reports`: inserted once, deleted once, never changed. The changing state belongs to its run (a
task at a destination) and is a row of `leases`. A run without a row is due at once.

    State         reports  leases                                          Next states
    queued        row      no row, or all times over                       leased
    leased        row      lease_id, expires_at in the future              delivered, rescheduled, isolated, dead,
                                                                           queued (released, or lease expired)
    rescheduled   row      failed_attempts > 0, next_attempt_at in future  queued, when that time has passed
    isolated      row      isolate_through_seq >= seq                      leased, one report at a time
    delivered     deleted  deleted                                         (final)
    dead          moved to dead_letters, lease deleted                     queued (`DeadLetters.revive`), dropped
    dropped       deleted; number in dropped_reports                       (final)

    put ──▶ queued ──claim──▶ leased ──delivered──▶ (deleted)
              ▲                 │├──reschedule───▶ rescheduled ──time──▶ queued
              │                 │├──refused, several reports──▶ isolated ──▶ queued, each sent alone
              └─release_lease───┘└──refused, one report──▶ dead

A lease expires, so a process that dies delays only its own batch. Every lease has an id of its own: a late outcome of
an expired lease does not change a newer lease, not even one of the same owner. "Delivered" is the exception, because
the backend has the reports in any case.

Runs that are sent in one request are leased together, in one transaction, and share the id of their lease. The outcome
of each is its own. Runs that failed are claimed with fewer others each time, so that one that makes a whole request
fail is soon alone: 256 runs, then 64, 16, 4 and 1.

A destination that fails has `failures` > 0 and a `next_attempt_at` for all of its runs. After that time one batch is
the probe (`probe_lease_id`); the others wait until it has succeeded.
"""

import sqlite3
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

from xpander_sdk.errors import OutboxFullError
from xpander_sdk.outbox.policy import is_in_force
from xpander_sdk.outbox.storage import run_selection, sql
from xpander_sdk.outbox.storage.connection import Database
from xpander_sdk.outbox.storage.models import Batch, DeliveryState, Destination, DestinationKey
from xpander_sdk.outbox.storage.schema import REPORT_OVERHEAD_BYTES
from xpander_sdk.outbox.storage.stats import delete_oldest_dead_letters, execute_for_each, record_drops
from xpander_sdk.reporting.report import Report

_MAX_DROP_ROUNDS = 100
_MAX_DROPS_PER_ROUND = 50


class QueueStore:
    """Pending reports and their leases. Each method is one transaction. Safe to share between threads.

    Args:
        database: Connection to the file.
        clock: Function that returns the wall-clock time in microseconds. All processes share it through the file.
    """

    def __init__(self, database: Database, clock: Callable[[], int] = lambda: time.time_ns() // 1_000) -> None:
        self.database = database
        self.clock = clock
        self._destination_ids: dict[tuple[bytes, DestinationKey], int] = {}

    # Adding reports

    def put(
        self,
        destination_key: Callable[[bytes], DestinationKey],
        report: Report,
        *,
        max_reports: int,
        max_bytes: int,
        drop_oldest: bool = False,
    ) -> int:
        """Store a report and return its sequence number.

        Args:
            destination_key: Function that returns the key of the destination for the salt of the file.
            report: The report.
            max_reports: Number of pending reports that the outbox may hold.
            max_bytes: Approximate size of all pending reports that the outbox may hold, in bytes.
            drop_oldest: Delete the oldest reports if there is no room.

        Raises:
            OutboxFullError: There is no room for the report; it was not stored.
            OutboxError: The file cannot be written; the report was not stored.
        """
        size = len(report.content) + REPORT_OVERHEAD_BYTES

        def insert(connection: sqlite3.Connection) -> int | None:
            cursor = connection.execute(
                sql.INSERT_REPORT,
                {
                    "destination_id": self._destination_id(connection, destination_key(self.database.salt)),
                    "task_id": report.id, "agent_id": report.agent_id, "reported_at": report.reported_at,
                    "now": self.clock(), "body": report.content,
                    "max_reports": max_reports, "max_other_bytes": max_bytes - size,
                },
            )  # fmt: skip
            return cursor.lastrowid if cursor.rowcount == 1 else None

        self.database.reserve_disk_space(size)
        # One statement without BEGIN: a signal handler that interrupts this thread finds nothing half done.
        seq = self.database.run(insert)
        if seq is None and drop_oldest and size <= max_bytes:
            with self.database.transaction() as connection:
                self._drop_oldest(connection, max_reports, max_bytes - size)
                seq = insert(connection)
        if seq is None:
            raise OutboxFullError(f"the outbox {self.database.path} is full", report_id=report.id)
        return seq

    def _drop_oldest(self, connection: sqlite3.Connection, max_reports: int, max_bytes: int) -> None:
        """Drop the oldest reports without an active lease, in rounds, until the limits hold."""
        now = self.clock()
        for _ in range(_MAX_DROP_ROUNDS):
            pending, pending_bytes = connection.execute(sql.PENDING).fetchone()
            if pending < max_reports and pending_bytes <= max_bytes:
                return
            limit = max(1, min(_MAX_DROPS_PER_ROUND, pending // 10))
            rows = connection.execute(sql.OLDEST_REPORTS_WITHOUT_LEASE, {"now": now, "limit": limit}).fetchall()
            if not rows:
                return
            seqs = [seq for seq, _, _ in rows]
            execute_for_each(connection, sql.DELETE_REPORT, seqs)
            connection.executemany(
                sql.DELETE_LEASE_WITHOUT_REPORTS,
                [{"destination_id": destination_id, "task_id": task_id} for _, destination_id, task_id in rows],
            )
            record_drops(connection, seqs, "full")

    def _destination_id(self, connection: sqlite3.Connection, key: DestinationKey) -> int:
        # The salt is part of the cache key, because a file that replaces this one has other ids.
        cache_key = (self.database.salt, key)
        destination_id = self._destination_ids.get(cache_key)
        if destination_id is None:
            base_url, organization_id, credentials = key
            parameters = {"base_url": base_url, "organization_id": organization_id, "credentials": credentials}
            connection.execute(sql.ADD_DESTINATION, parameters)
            (destination_id,) = connection.execute(sql.DESTINATION_ID, parameters).fetchone()
            self._destination_ids[cache_key] = destination_id
        return destination_id

    # Claiming reports, and recording the outcome of their delivery

    def claim(self, owner: str, destination_ids: Sequence[int], lease_microseconds: int) -> Batch | None:
        """Lease the oldest due run of the first destination that has one; return None if nothing is due.

        Args:
            owner: Identifier of the process.
            destination_ids: Destinations to search, in this order.
            lease_microseconds: Duration of the lease.
        """
        batches = self.claim_together(owner, destination_ids, lease_microseconds, {})
        return batches[0] if batches else None

    def claim_together(
        self, owner: str, destination_ids: Sequence[int], lease_microseconds: int, max_runs: Mapping[int, int]
    ) -> list[Batch]:
        """Lease the oldest due runs of the first destination that has one.

        Args:
            owner: Identifier of the process.
            destination_ids: Destinations to search, in this order.
            lease_microseconds: Duration of the lease.
            max_runs: Number of runs to lease together, by destination. Default: one.

        Returns:
            A batch for each run, the run with the oldest report first; empty if nothing is due.
        """
        lease_id = f"{owner}/{uuid.uuid4().hex}"
        with self.database.transaction() as connection:
            now = self.clock()
            for destination_id in destination_ids:
                # The row is missing if another file has replaced the one that the id was read from.
                for row in connection.execute(sql.DESTINATION, {"destination_id": destination_id}).fetchall():
                    destination = Destination(*row)
                    if not is_in_force(destination.next_attempt_at, now):
                        # The probe of a destination that failed is a single run.
                        limit = 1 if destination.failures else max_runs.get(destination_id, 1)
                        claim = self._claim_run if limit <= 1 else partial(self._claim_runs, limit)
                        if batches := claim(connection, destination, lease_id, now, lease_microseconds):
                            return batches
        return []

    def _claim_run(
        self, connection: sqlite3.Connection, destination: Destination, lease_id: str, now: int, lease_microseconds: int
    ) -> list[Batch]:
        row = connection.execute(sql.OLDEST_DUE_RUN, {"destination_id": destination.id, "now": now}).fetchone()
        if row is None:
            return []
        task_id, failed_attempts, isolate_through_seq = row
        lease = {
            "destination_id": destination.id, "task_id": task_id, "lease_id": lease_id,
            "expires_at": now + lease_microseconds,
        }  # fmt: skip
        if destination.failures:  # Other batches wait until this one has succeeded or its lease has expired.
            connection.execute(sql.START_PROBE, lease)
        connection.execute(sql.TAKE_LEASE, lease)
        rows = connection.execute(
            sql.REPORTS_OF_RUN,
            {"destination_id": destination.id, "task_id": task_id, "limit": run_selection.MAX_BATCH_REPORTS},
        )
        seqs, reports = run_selection.reports_to_merge(rows, task_id, isolate_through_seq)
        pending, _ = connection.execute(sql.PENDING).fetchone()
        return [Batch(lease_id, destination, task_id, seqs, reports, failed_attempts, pending - len(seqs))]

    def _claim_runs(
        self,
        max_runs: int,
        connection: sqlite3.Connection,
        destination: Destination,
        lease_id: str,
        now: int,
        lease_microseconds: int,
    ) -> list[Batch]:
        rows = connection.execute(sql.DUE_REPORTS, {"destination_id": destination.id, "now": now})
        runs = run_selection.due_runs(rows, max_runs)
        rows.close()
        lease = {"destination_id": destination.id, "lease_id": lease_id, "expires_at": now + lease_microseconds}
        connection.executemany(sql.TAKE_LEASE, [{**lease, "task_id": task_id} for task_id in runs])
        pending, _ = connection.execute(sql.PENDING).fetchone()
        other_pending = pending - sum(len(run.seqs) for run in runs.values())
        return [
            Batch(lease_id, destination, task_id, run.seqs, run.reports, run.failed_attempts, other_pending)
            for task_id, run in runs.items()
        ]

    def delivered(self, batch: Batch) -> None:
        """Delete the reports of a batch that the backend confirmed, even if the lease has expired."""
        with self.database.transaction() as connection:
            deleted = execute_for_each(connection, sql.DELETE_REPORT, batch.seqs)
            connection.execute(sql.COUNT_DELIVERED, {"delivered": deleted, "merged": max(0, deleted - 1)})
            _end_lease(connection, batch)
            _mark_destination_as_working(connection, batch)

    def delivered_together(self, batches: Sequence[Batch]) -> None:
        """Delete the reports of batches that were claimed together, and confirmed; as `delivered` for each of them."""
        # A run that is claimed with others is not isolated. Of merged reports, the number must be known for each run.
        single = [batch for batch in batches if len(batch.seqs) == 1 < len(batches)]
        with self.database.transaction() as connection:
            for batch in batches:
                if len(batch.seqs) > 1 or len(batches) == 1:
                    self.delivered(batch)
            if not single:
                return
            deleted = execute_for_each(connection, sql.DELETE_REPORT, [batch.seqs[0] for batch in single])
            connection.execute(sql.COUNT_DELIVERED, {"delivered": deleted, "merged": 0})
            _end_leases(connection, single)
            _mark_destination_as_working(connection, single[0])

    def refused(self, batch: Batch, status: int | None, error: str, *, max_dead: tuple[int, int]) -> bool:
        """Make a dead letter of a single report; schedule several reports to be sent one by one.

        Args:
            batch: Batch that the backend rejected permanently.
            status: HTTP status code of the response; None if there was no response.
            error: Error text of the response.
            max_dead: Limits for dead letters: their number, and their size in bytes. The oldest ones are deleted.

        Returns:
            True if the report is now a dead letter.
        """
        with self.database.transaction() as connection:
            if connection.execute(sql.OWN_LEASE, _lease_parameters(batch)).fetchone() is None:
                return False
            _mark_destination_as_working(connection, batch)
            if len(batch.seqs) > 1:
                connection.execute(sql.ISOLATE_REPORTS, _lease_parameters(batch))
                return False
            connection.execute(
                sql.MOVE_TO_DEAD_LETTERS,
                {"seq": batch.seqs[0], "now": self.clock(), "status": status, "error": error},
            )
            execute_for_each(connection, sql.DELETE_REPORT, batch.seqs)
            _end_lease(connection, batch)
            delete_oldest_dead_letters(connection, *max_dead)
        return True

    def isolate(self, batches: Iterable[Batch]) -> None:
        """End the leases of runs whose common request was rejected; their reports are sent one by one."""
        with self.database.transaction() as connection:
            connection.executemany(sql.ISOLATE_REPORTS, [_lease_parameters(batch) for batch in batches])

    def reschedule(self, batch: Batch, error: str, *, run_wait: int, destination_wait: int | None) -> None:
        """End the lease after a failure that may be temporary, and schedule the next attempt.

        Args:
            batch: Batch that failed.
            error: Error text.
            run_wait: Time until the next attempt for this run, in microseconds.
            destination_wait: Time until the next attempt for any run of the destination, in microseconds. None if the
                destination works, and only this run failed.
        """
        with self.database.transaction() as connection:
            now = self.clock()
            lease = _lease_parameters(batch)
            connection.execute(sql.RESCHEDULE_RUN, {**lease, "next_attempt_at": now + run_wait, "error": error})
            if destination_wait is None:
                _mark_destination_as_working(connection, batch)
                return
            connection.execute(sql.END_PROBE, lease)
            connection.execute(sql.COUNT_FAILURE, {**lease, "failures_at_claim": batch.destination.failures})
            connection.execute(
                sql.BACK_OFF_DESTINATION,
                {**lease, "now": now, "next_attempt_at": now + destination_wait, "error": error},
            )

    def release_lease(self, *batches: Batch) -> None:
        """End the leases of batches that were not sent, so that they are due again at once."""
        with self.database.transaction() as connection:
            for batch in batches:
                connection.execute(sql.RELEASE_LEASE, _lease_parameters(batch))
                connection.execute(sql.END_PROBE, _lease_parameters(batch))

    def release_owner(self, owner: str) -> None:
        """End all leases of a process, so that other processes can take its runs at once."""
        with self.database.transaction() as connection:
            connection.execute(sql.RELEASE_LEASES_OF_OWNER, {"owner": owner})
            connection.execute(sql.END_PROBES_OF_OWNER, {"owner": owner})

    def reset_backoff(self, destination_ids: Sequence[int]) -> None:
        """Make all runs of these destinations due now, except those with an active lease."""
        with self.database.transaction() as connection:
            for destination_id in destination_ids:
                # This ends a probe as well: its process may have died.
                connection.execute(sql.RESET_DESTINATION_BACKOFF, {"destination_id": destination_id})
                connection.execute(sql.RESET_RUN_BACKOFF, {"destination_id": destination_id})

    # Reading

    def delivery_state(self, destination_ids: Sequence[int]) -> DeliveryState:
        """Return whether reports of these destinations are being sent, and when the next one may be due."""
        now = self.clock()
        rows = [row for row in self.database.fetch(sql.DELIVERY_STATES, {"now": now}) if row[0] in destination_ids]
        times = [now if due_at is None else int(due_at) for _, is_pending, _, due_at in rows if is_pending]
        return DeliveryState(
            has_active_lease=any(is_leased for _, _, is_leased, _ in rows), next_attempt_at=min(times, default=None)
        )

    def has_pending(self, through_seq: int, destination_ids: Sequence[int]) -> bool:
        """Return whether a report of these destinations with a number up to `through_seq` is pending."""
        parameters = [{"destination_id": destination_id, "seq": through_seq} for destination_id in destination_ids]
        return any(self.database.fetch(sql.ANY_REPORT_THROUGH, each) for each in parameters)

    def last_seq(self) -> int:
        """Return the sequence number of the newest pending report; 0 if none is pending."""
        ((seq,),) = self.database.fetch(sql.LAST_SEQ)
        return int(seq)

    def salt(self) -> bytes:
        """Return the random bytes that only this file has; fingerprints of keys depend on them."""
        return self.database.run(lambda connection: self.database.salt)

    def destinations(self) -> list[Destination]:
        """Return all destinations of the file."""
        return [Destination(*row) for row in self.database.fetch(sql.DESTINATIONS)]


def _end_leases(connection: sqlite3.Connection, batches: Sequence[Batch]) -> None:
    """Delete the leases of batches that were claimed together; none of their runs was isolated."""
    leases = [_lease_parameters(batch) for batch in batches]
    deleted = connection.executemany(sql.DELETE_LEASE, leases).rowcount
    if deleted < len(leases):  # A lease has expired, and may belong to another owner now.
        connection.executemany(sql.DELETE_LEASE_WITHOUT_REPORTS, leases)


def _lease_parameters(batch: Batch) -> dict[str, object]:
    return {
        "destination_id": batch.destination.id, "task_id": batch.task_id, "lease_id": batch.lease_id,
        "last_seq": batch.seqs[-1],
    }  # fmt: skip


def _mark_destination_as_working(connection: sqlite3.Connection, batch: Batch) -> None:
    if batch.destination.failures or batch.destination.last_error is not None:
        connection.execute(sql.RESET_DESTINATION, {"destination_id": batch.destination.id})


def _end_lease(connection: sqlite3.Connection, batch: Batch) -> None:
    """Delete the lease, or keep its row while later reports of the run are isolated."""
    lease = _lease_parameters(batch)
    connection.execute(sql.RESET_ISOLATED_RUN, lease)  # The row has no lease id then, so DELETE_LEASE skips it.
    connection.execute(sql.DELETE_LEASE, lease)
    connection.execute(sql.DELETE_LEASE_WITHOUT_REPORTS, lease)
