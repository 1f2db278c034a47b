"""State of one outbox in this process: connections, keys, receipts and threads.

A fork copies none of the threads, and SQLite forbids the use of a connection in a child, so the child replaces this
state by a new one.

End of the process
    `finish` delivers in the calling thread, together with the worker threads that are still running, until nothing is
    due or `exit_seconds` have passed. It then releases the leases of this process, so that another one can take its
    reports at once, and closes the file. A report that is submitted afterwards, by another exit handler or a daemon
    thread, is delivered before `submit` returns, within the same `exit_seconds`.
"""

import logging
import threading
from contextlib import suppress

from xpander_sdk._clock import monotonic
from xpander_sdk.client.log_recursion import sdk_work
from xpander_sdk.errors import OutboxError
from xpander_sdk.outbox.child_exit import call_at_end_of_child
from xpander_sdk.outbox.delivery import Delivery, Send, WorkAhead
from xpander_sdk.outbox.keyring import Keyring
from xpander_sdk.outbox.owner import new_owner
from xpander_sdk.outbox.receipts import Receipts
from xpander_sdk.outbox.storage.connection import Database
from xpander_sdk.outbox.storage.queue_store import QueueStore
from xpander_sdk.outbox.submission import Submitter
from xpander_sdk.outbox.worker import Worker
from xpander_sdk.settings.outbox import OutboxSettings

_log = logging.getLogger("xpander_sdk")
_WORKER_CHECKPOINT_PAGES = 1_000
_IDLE_POLL_SECONDS = 0.02


class ProcessState:
    """Connections, keys, receipts and threads of one outbox in this process.

    Args:
        path: Path of the file.
        send: Function that executes an operation.
        settings: Settings of the outbox.
        receipts: Receipts that a child has from its parent. Default: none.

    Attributes:
        delivers_at_exit: Deliver at the end of the process. True once a worker was wanted.
        database: Connection of the worker.
        store: Queue in the file.
        keyring: Keys of this process.
        receipts: Receipts of this process.
        delivery: Delivery of this process.
        submitter: Submission of reports.
        worker: Delivery threads; None if they are not running.
        settings: Settings of the latest submission.
    """

    def __init__(self, path: str, send: Send, settings: OutboxSettings, receipts: Receipts | None = None) -> None:
        self._path = path
        self._lock = threading.RLock()
        self._owner = new_owner()
        self._exit_ends_at: float | None = None
        self._is_end_hooked = False
        self.delivers_at_exit = False
        self.database = Database(path, "crash", _WORKER_CHECKPOINT_PAGES)
        self.store = QueueStore(self.database)
        self.keyring = Keyring(self.store)
        if receipts is None:
            receipts = Receipts(self.store)
        else:
            receipts.reset(self.store)
        self.receipts = receipts
        self.delivery = Delivery(self.store, self.keyring, self._owner, receipts.resolve, send=send)
        self.submitter = Submitter(path, self._lock, self.keyring, receipts, self.wake_worker)
        self.worker: Worker | None = None
        self.apply(settings)

    def apply(self, settings: OutboxSettings) -> None:
        """Use these settings from now on."""
        self.settings = settings
        self.delivery.settlement.max_dead = (settings.max_reports, settings.max_bytes)

    # Worker

    def wake_worker(self, settings: OutboxSettings) -> None:
        """Make the worker deliver now, unless the settings have no worker."""
        self.apply(settings)
        if settings.worker != "thread":
            return
        self.delivers_at_exit = True
        try:
            if self._exit_ends_at is None:
                self._running_worker().wake()
            else:
                self._deliver_until(self._exit_ends_at)
                self.close_file()
        # RuntimeError of threading: the interpreter exits, or the system has no more threads.
        except (RuntimeError, OutboxError) as error:
            _log.warning("the outbox %s cannot deliver now and keeps its reports: %s", self._path, error)

    def _running_worker(self) -> Worker:
        worker = self.worker
        if worker is None or not worker.is_alive():
            with self._lock:
                if not self._is_end_hooked:
                    self._is_end_hooked = True
                    call_at_end_of_child(self.finish)
                if self.worker is None or not self.worker.is_alive():
                    self.worker = Worker(self.delivery, self.settings.parallel, on_end=self._close_unused_file)
                worker = self.worker
        return worker

    def reset_backoff(self) -> None:
        """End all waits after failures."""
        self.delivery.refresh()
        self.store.reset_backoff(self.delivery.destination_ids)

    def wait_until_idle(self, ends_at: float) -> None:
        """Wait while any process is sending a report, or one is due before `ends_at` on the monotonic clock."""
        while (remaining := ends_at - monotonic()) > 0:
            ahead = self.delivery.work_ahead(remaining + 1)
            if not ahead.is_sending and _is_later(ahead, remaining):
                return
            self.receipts.wait_for_change(min(remaining, _IDLE_POLL_SECONDS))

    def stop(self, ends_at: float = 0.0) -> None:
        """Stop the worker, release its leases, and close the file.

        Args:
            ends_at: Time on the monotonic clock until which the threads are awaited. Default: not at all. A call that
                takes longer continues: its thread opens the file again to store the outcome, and closes it.
        """
        worker, self.worker = self.worker, None
        if worker is not None:
            worker.stop()
            worker.join(ends_at)
        try:
            if self.database.exists():
                self.store.release_owner(self._owner)
        finally:
            self.close_file()

    def _close_unused_file(self) -> None:
        if self.worker is None:
            self.close_file()

    def close_file(self) -> None:
        """Close all connections; the next call opens them again."""
        for database in self._databases:
            database.close()

    @property
    def _databases(self) -> list[Database]:
        return [self.database, *self.submitter.databases]

    # Exit and fork

    def finish(self) -> None:
        """Deliver for up to `exit_seconds` at the end of the process; the remaining reports stay in the file."""
        if not self.delivers_at_exit:
            self.close_file()
            return
        if self._exit_ends_at is None:
            self._exit_ends_at = monotonic() + self.settings.exit_seconds
        self.delivers_at_exit = False
        try:
            with sdk_work():
                self._deliver_until(self._exit_ends_at)
            self.stop(self._exit_ends_at)
        except Exception as error:
            _log.error("the outbox failed at the end of the program and keeps its reports: %s", error)
        finally:
            self.close_file()

    def _deliver_until(self, ends_at: float) -> None:
        # Python starts no more threads now, so this thread helps those that are running.
        with suppress(OutboxError):  # The next claim raises it again, if the file cannot be used.
            self.delivery.release_dead_owners()
            self.delivery.refresh()  # The destination of the last report may be new.
        while (remaining := ends_at - monotonic()) > 0:
            claim = self.delivery.claim()
            if claim is not None:
                self.delivery.deliver(claim, ends_at)
            elif _is_later(self.delivery.work_ahead(remaining + 1), remaining) and not self.delivery.in_flight:
                return
            else:
                self.receipts.wait_for_change(min(remaining, _IDLE_POLL_SECONDS))

    def before_fork(self) -> None:
        """Take all locks, and close the file."""
        self._lock.acquire()
        for database in self._databases:
            database.lock.acquire()
            database.close()

    def after_fork_in_parent(self) -> None:
        """Release the locks; the next call opens the file again."""
        for database in self._databases:
            database.lock.release()
        self._lock.release()


def _is_later(ahead: WorkAhead, seconds: float) -> bool:
    """Return whether no report is due within that time."""
    return ahead.seconds_to_next is None or ahead.seconds_to_next > seconds
