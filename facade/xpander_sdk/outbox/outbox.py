"""Outbox: the handle of one file in this process.

Parts, from the file upwards: `storage` keeps the reports, `keyring` finds their keys, `delivery` sends them, `worker`
runs the delivery in threads, `receipts` informs the callers, `submission` stores new reports.
"""

import logging
import threading
import time
import uuid
from contextlib import suppress

from xpander_sdk.client import client
from xpander_sdk.errors import OutboxError
from xpander_sdk.outbox.delivery import Delivery, Send
from xpander_sdk.outbox.keyring import Keyring
from xpander_sdk.outbox.receipts import Receipts
from xpander_sdk.outbox.storage.connection import Database
from xpander_sdk.outbox.storage.models import DeadLetter, Destination, OutboxStats
from xpander_sdk.outbox.storage.queue_store import QueueStore
from xpander_sdk.outbox.storage.stats import Counters, DeadLetters
from xpander_sdk.outbox.submission import Submitter
from xpander_sdk.outbox.worker import Worker
from xpander_sdk.settings.configuration import Configuration
from xpander_sdk.settings.outbox import OutboxSettings

_log = logging.getLogger("xpander_sdk")
_WORKER_CHECKPOINT_PAGES = 1_000


class Outbox:
    """Reports in one file that wait for delivery, and their delivery by this process.

    `Backend.outbox` returns the outbox of a backend; programs do not create one. All processes that use the file share
    its reports and counters. Safe to share between threads. Optional: `close`; at exit, the outbox delivers for up to
    `OutboxSettings.exit_seconds` and keeps the remaining reports in the file.

    Attributes:
        path: Absolute path of the file.

    Example:
        >>> from xpander_sdk import Backend
        >>> outbox = Backend().outbox
        >>> outbox.flush(5.0)
        True
        >>> outbox.stats().pending
        0
    """

    def __init__(self, path: str, send: Send = client.send) -> None:
        self.path = path
        self._send = send
        self._settings = OutboxSettings(file=path)
        self._receipts = self._start()

    def _start(self, receipts: Receipts | None = None) -> Receipts:
        """Create all state of this process; after a fork, keep the receipts that the child has from its parent."""
        self._lock = threading.RLock()
        self._owner = uuid.uuid4().hex
        database = Database(self.path, "crash", _WORKER_CHECKPOINT_PAGES)
        self._store = QueueStore(database)
        self._counters = Counters(database)
        self._dead_letters = DeadLetters(database)
        self._keyring = Keyring(self._store)
        self._worker: Worker | None = None
        if receipts is None:
            receipts = Receipts(self._store)
        else:
            receipts.reset(self._store)
        self._delivery = Delivery(self._store, self._keyring, self._owner, receipts.resolve, send=self._send)
        self._submitter = Submitter(self.path, self._lock, self._keyring, receipts, self._wake_worker)
        self._apply(self._settings)
        return receipts

    # Public methods

    def stats(self) -> OutboxStats:
        """Return the counters of the file, over all processes that use it.

        Returns:
            Numbers of accepted, delivered, pending, dead and dropped reports, and the state of the destinations.

        Raises:
            OutboxError: The file cannot be used.

        Example:
            >>> from xpander_sdk import Backend
            >>> stats = Backend().outbox.stats()
            >>> stats.accepted == stats.delivered + stats.pending + stats.dead + sum(stats.dropped.values())
            True
        """
        return self._counters.stats()

    def dead(self, limit: int = -1) -> list[DeadLetter]:
        """Return the reports that backends rejected permanently, newest first.

        Args:
            limit: Maximum number of dead letters; -1 for all. Default -1.

        Raises:
            OutboxError: The file cannot be used.

        Example:
            >>> from xpander_sdk import Backend
            >>> [(letter.task_id, letter.status, letter.error) for letter in Backend().outbox.dead(limit=10)]
            []
        """
        return self._dead_letters.list(limit)

    def retry(self, seqs: list[int] | None = None) -> int:
        """Queue dead letters for delivery again, and end all waits after failures.

        Args:
            seqs: Values of `DeadLetter.seq`; unknown ones are ignored. Default: all dead letters.

        Returns:
            Number of dead letters that were queued.

        Raises:
            OutboxError: The file cannot be used.

        Example:
            >>> from xpander_sdk import Backend
            >>> Backend().outbox.retry()
            0
        """
        count = self._dead_letters.revive(seqs)
        self._reset_backoff()
        if self._worker is not None:
            self._worker.wake()
        return count

    def discard(self, seqs: list[int] | None = None) -> int:
        """Delete dead letters; they count as dropped.

        Args:
            seqs: Values of `DeadLetter.seq`; unknown ones are ignored. Default: all dead letters.

        Returns:
            Number of deleted dead letters.

        Raises:
            OutboxError: The file cannot be used.

        Example:
            >>> from xpander_sdk import Backend
            >>> Backend().outbox.discard([17])
            0
        """
        return self._dead_letters.discard(seqs)

    def flush(self, deadline: float = 10.0) -> bool:
        """Wait until every report that is in the file now was delivered or became a dead letter.

        Waits after failures end first, so each destination is tried at once. With `worker="none"`, this method delivers
        as `drain` does.

        Args:
            deadline: Maximum time to wait, in seconds. Default 10.

        Returns:
            True if all reports were delivered or became dead letters. False if some are still pending: the time is
            over, a backend is unavailable for longer than the deadline, or this process has no key for them. They stay
            in the file.

        Raises:
            OutboxError: The file cannot be used.

        Example:
            >>> from xpander_sdk import Backend
            >>> Backend().outbox.flush(5.0)
            True
        """
        ends_at = time.monotonic() + deadline
        last_seq = self._store.last_seq()
        self._reset_backoff()
        if self._settings.worker == "thread":
            self._wake_worker(self._settings)
            self._delivery.wait_until_idle(ends_at, self._receipts.wait_for_change, of_all_processes=True)
        else:
            self.drain(deadline)
        return not self._store.has_pending(last_seq, [destination.id for destination in self._store.destinations()])

    def drain(self, deadline: float = 10.0) -> bool:
        """Deliver the pending reports with threads that end before this method returns.

        For the end of an AWS Lambda handler, for cron jobs, and for `worker="none"`. Waits after failures end first.

        Args:
            deadline: Maximum time in seconds. A call that is in progress then is cancelled, and its report stays in the
                file. Default 10.

        Returns:
            True if no report is pending.

        Raises:
            OutboxError: The file cannot be used.

        Example:
            >>> from xpander_sdk import Backend
            >>> Backend().outbox.drain(2.0)
            True
        """
        ends_at = time.monotonic() + deadline
        self._reset_backoff()
        worker = Worker(self._delivery, self._settings.parallel, ends_at)
        worker.wake()
        try:
            worker.join()
        finally:
            worker.stop()
        return self._store.last_seq() == 0

    def close(self, deadline: float = 10.0) -> bool:
        """Flush, stop the delivery threads, and close the file; the next report opens it again.

        Args:
            deadline: Maximum time to wait for deliveries, in seconds. Default 10.

        Returns:
            True if all reports were delivered or became dead letters, as `flush` does.

        Raises:
            OutboxError: The file cannot be used.

        Example:
            >>> from xpander_sdk import Backend
            >>> Backend().outbox.close(5.0)
            True
        """
        ends_at = time.monotonic() + deadline
        try:
            return self.flush(deadline)
        finally:
            self._stop(ends_at)

    def use_any_key(self) -> None:
        """Deliver with XPANDER_API_KEY the reports whose own key this process does not know.

        For use after a key was changed. The new key must belong to the same organization.
        """
        self._keyring.allow_any_key = True

    def has_key_for(self, destination: Destination) -> bool:
        """Return whether this process can deliver to a destination of `OutboxStats.destinations`.

        Raises:
            OutboxError: The file cannot be used.
        """
        return self._keyring.configuration(destination) is not None

    def has_pending_for(self, destination: Destination) -> bool:
        """Return whether reports for a destination of `OutboxStats.destinations` are pending.

        Raises:
            OutboxError: The file cannot be used.
        """
        return self._store.has_pending(self._store.last_seq(), [destination.id])

    # Worker

    def _wake_worker(self, settings: OutboxSettings) -> None:
        self._apply(settings)
        if settings.worker == "thread":
            try:
                self._running_worker().wake()
            except RuntimeError as error:  # threading: the interpreter exits, or the system has no more threads.
                _log.warning("the outbox %s cannot deliver now and keeps its reports: %s", self.path, error)

    def _running_worker(self) -> Worker:
        worker = self._worker
        if worker is None or not worker.is_alive():
            with self._lock:
                if self._worker is None or not self._worker.is_alive():
                    self._worker = Worker(self._delivery, self._settings.parallel, on_end=self._close_unused_file)
                worker = self._worker
        return worker

    def _reset_backoff(self) -> None:
        self._delivery.refresh()
        self._store.reset_backoff(self._delivery.destination_ids)

    def _stop(self, ends_at: float = 0.0) -> None:
        """Stop the worker, release its leases, and close the file.

        Args:
            ends_at: Time on the monotonic clock until which the threads are awaited. Default: not at all. A call that
                takes longer continues: its thread opens the file again to store the outcome, and closes it.
        """
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.stop()
            worker.join(ends_at)
        try:
            if self._store.database.exists():
                self._store.release_owner(self._owner)
        finally:
            self._close_file()

    def _close_unused_file(self) -> None:
        if self._worker is None:
            self._close_file()

    def _close_file(self) -> None:
        for database in self._databases:
            database.close()

    def _apply(self, settings: OutboxSettings) -> None:
        self._settings = settings
        self._delivery.max_dead = (settings.max_reports, settings.max_bytes)

    @property
    def _databases(self) -> list[Database]:
        return [self._store.database, *self._submitter.databases]

    # Exit and fork; `registry` calls these methods

    def _register(self, configuration: Configuration, settings: OutboxSettings) -> None:
        """Apply the settings, and deliver with the key of this configuration as well."""
        self._apply(settings)
        with suppress(ValueError):  # A configuration without a key may still read the outbox.
            self._keyring.add(configuration, self._store.salt())

    def _finish(self) -> None:
        """Deliver for up to `exit_seconds` at the end of the program; the remaining reports stay in the file."""
        ends_at = time.monotonic() + self._settings.exit_seconds
        try:
            if self._worker is None:
                return
            # Python starts no more threads now, so this thread helps those that are running.
            while time.monotonic() < ends_at and (batch := self._delivery.claim()) is not None:
                self._delivery.deliver(batch, ends_at)
            self._delivery.wait_until_idle(ends_at, self._receipts.wait_for_change, of_all_processes=False)
            self._stop(ends_at)
        except OutboxError as error:
            _log.error("the outbox failed at the end of the program: %s", error)
        finally:
            self._close_file()

    def _before_fork(self) -> None:
        self._lock.acquire()
        for database in self._databases:
            database.lock.acquire()
            database.close()

    def _after_fork_in_parent(self) -> None:
        for database in self._databases:
            database.lock.release()
        self._lock.release()

    def _after_fork_in_child(self) -> None:
        self._start(self._receipts)
