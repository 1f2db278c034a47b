"""The outbox of this process: one for each file, whoever uses it."""

import logging
import threading
import time
import uuid
import weakref
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

from xpander_sdk.client import client
from xpander_sdk.errors import OutboxError, OutboxFullError
from xpander_sdk.outbox.delivery import Delivery, Send
from xpander_sdk.outbox.keyring import Keyring
from xpander_sdk.outbox.masking import apply_mask
from xpander_sdk.outbox.storage.connection import Database
from xpander_sdk.outbox.storage.models import Batch, DeadLetter, Destination, OutboxStats
from xpander_sdk.outbox.storage.queue_store import QueueStore
from xpander_sdk.outbox.storage.stats import Books
from xpander_sdk.outbox.worker import Worker
from xpander_sdk.receipt import Receipt
from xpander_sdk.reporting.report import Report
from xpander_sdk.settings.configuration import Configuration
from xpander_sdk.settings.outbox import Durability, OutboxSettings

T = TypeVar("T")
Convert = Callable[[Any], T]

_log = logging.getLogger("xpander_sdk")
_WORKER_CHECKPOINT_PAGES = 1_000
_MAX_EARLY = 64
_PUT_CHECKPOINT_PAGES = 4_000  # 16 MB: where it can, the worker moves the log into the file, not a caller


class Outbox:
    """The reports that wait in one file, and what this process does about them. `Backend.outbox` is one.

    Safe to share between threads. Errors of the file itself are OutboxError.
    """

    def __init__(self, path: str, send: Send = client.send) -> None:
        self.path = path
        self._send = send
        self._settings = OutboxSettings(file=path)
        self._lock = threading.RLock()
        self._begin()

    def _begin(self) -> None:
        self._holder = uuid.uuid4().hex
        database = Database(self.path, "crash", _WORKER_CHECKPOINT_PAGES)
        self._file = QueueStore(database)
        self._books = Books(database)
        self._put_files: dict[Durability, QueueStore] = {}
        self._keyring = Keyring(self._file)
        self._news = threading.Condition()
        self._putting = 0
        self._early: dict[int, tuple[Batch, Any]] = {}  # answers that came before `put` had made the receipt
        self._receipts: weakref.WeakValueDictionary[int, Receipt[Any]] = weakref.WeakValueDictionary()
        self._delivery = Delivery(self._file, self._keyring, self._holder, self._settled, send=self._send)
        self._worker: Worker | None = None
        self._use(self._settings)

    def _use(self, settings: OutboxSettings) -> None:
        self._settings = settings
        self._delivery.max_dead = (settings.max_reports, settings.max_bytes)

    def know(self, configuration: Configuration, settings: OutboxSettings) -> None:
        """Deliver with this configuration's key, too, and as these settings say."""
        self._use(settings)
        with suppress(ValueError):  # it has no key: one may look, all the same
            self._keyring.name(configuration, self._file.salt())

    def use_any_key(self) -> None:
        """Send with XPANDER_API_KEY what was meant for a key that this process does not know."""
        self._keyring.takes_any_key = True

    def has_key_for(self, target: Destination) -> bool:
        """Whether this process can deliver there."""
        return self._keyring.configuration(target) is not None

    def is_waiting_for(self, target: Destination) -> bool:
        """Whether reports wait for this target."""
        return self._file.is_pending(self._file.last(), [target.id])

    # Reports in

    def put(
        self, configuration: Configuration, settings: OutboxSettings, report: Report, convert: Convert[T]
    ) -> Receipt[T]:
        """Keep a report until it is delivered.

        Args:
            convert: makes of a backend's answer what `Receipt.task` is to give.

        Raises:
            OutboxFullError: there is no room for it, and the settings do not say to make some.
            OutboxError: the file cannot be used.
            ValueError: the configuration cannot reach any backend; nothing was kept.
        """
        if settings.mask is not None:
            report = apply_mask(report, settings.mask)
        with self._news:
            self._putting += 1
        try:
            return self._put(configuration, settings, report, convert)
        finally:
            with self._news:
                self._putting -= 1
                if not self._putting:
                    self._early.clear()

    def _put(
        self, configuration: Configuration, settings: OutboxSettings, report: Report, convert: Convert[T]
    ) -> Receipt[T]:
        file = self._put_file(settings.durability)
        # A callable that gives the key is asked now, and not within the transaction.
        self._keyring.name(configuration, file.database.salt or file.salt())
        deadline = time.monotonic() + (settings.block_seconds if settings.when_full == "block" else 0)
        while True:
            try:
                seq = file.put(
                    lambda salt: self._keyring.name(configuration, salt),
                    report,
                    max_reports=settings.max_reports,
                    max_bytes=settings.max_bytes,
                    drop_oldest=settings.when_full == "drop_oldest",
                )
                break
            except OutboxFullError:
                self._deliver_soon(settings)  # what fills it may be another process's, which has ended
                if time.monotonic() >= deadline:
                    raise
                self.wait_for_change(0.05)
            except OutboxError as error:
                error.report_id = report.id
                raise
        receipt = Receipt(self, seq, file.database.salt, report.id, convert)
        with self._news:
            self._receipts[seq] = receipt
            early = self._early.pop(seq, None)
        if early is not None:
            self._tell(receipt, *early)
        self._deliver_soon(settings)
        return receipt

    def _deliver_soon(self, settings: OutboxSettings) -> None:
        self._use(settings)
        if settings.worker == "thread":
            try:
                self._working().wake()
            except RuntimeError as error:  # of threading: the program ends, or has too many threads
                _log.warning("the outbox %s cannot deliver now, and keeps what it has: %s", self.path, error)

    def _put_file(self, durability: Durability) -> QueueStore:
        file = self._put_files.get(durability)
        if file is None:
            with self._lock:
                file = self._put_files.setdefault(
                    durability, QueueStore(Database(self.path, durability, _PUT_CHECKPOINT_PAGES))
                )
        return file

    def _working(self) -> Worker:
        worker = self._worker
        if worker is None or not worker.is_alive():
            with self._lock:
                if self._worker is None or not self._worker.is_alive():
                    self._worker = Worker(self._delivery, self._settings.parallel)
                worker = self._worker
        return worker

    # What became of them

    def _settled(self, group: Batch, state: str, answer: Any) -> None:
        with self._news:
            receipts = {seq: self._receipts.pop(seq, None) for seq in group.seqs}
            if state == "delivered" and self._putting:
                early = [seq for seq, receipt in receipts.items() if receipt is None]
                self._early.update(dict.fromkeys(early, (group, answer)))
                for seq in list(self._early)[:-_MAX_EARLY]:
                    del self._early[seq]
        if state == "delivered":
            for receipt in receipts.values():
                if receipt is not None:
                    self._tell(receipt, group, answer)
        with self._news:
            self._news.notify_all()

    @staticmethod
    def _tell(receipt: Receipt[Any], group: Batch, answer: Any) -> None:
        if receipt.id == group.task_id:  # else it is of a file that was replaced since
            receipt._set_response(answer)

    def receipt_state(self, seq: int, salt: bytes) -> str:
        """Return the state of a report, by its number and the salt of the file that kept it."""
        return self._books.state(seq) if self._file.salt() == salt else "unknown"

    def wait_for_change(self, seconds: float) -> None:
        """Wait until something was delivered or refused by this process, `seconds` at the most."""
        with self._news:
            self._news.wait(seconds)

    def stats(self) -> OutboxStats:
        """The books, of all processes that share the file."""
        return self._books.stats()

    def dead(self, limit: int = -1) -> list[DeadLetter]:
        """The reports that backends refused for good, newest first.

        Args:
            limit: how many at the most; -1 for all.
        """
        return self._books.dead_letters(limit)

    def retry(self, seqs: list[int] | None = None) -> int:
        """Let dead letters be delivered again, and end all waits. Returns how many letters.

        Args:
            seqs: which ones, by `DeadLetter.seq`. Default: all.
        """
        revived = self._books.revive(seqs)
        self._delivery.refresh()
        self._file.hurry(self._delivery.targets)
        if self._worker is not None:
            self._worker.wake()
        return revived

    def discard(self, seqs: list[int] | None = None) -> int:
        """Give dead letters up. Returns how many.

        Args:
            seqs: which ones, by `DeadLetter.seq`. Default: all.
        """
        return self._books.discard(seqs)

    # Ending

    def flush(self, deadline: float = 10.0) -> bool:
        """Wait until what is in the file now is delivered or refused.

        Args:
            deadline: seconds, at the most.

        Returns:
            Whether it is. False where the time was up, where a backend is away for longer than that, and where this
            process has no key for some of it; it stays in the file.
        """
        ends = time.monotonic() + deadline
        last = self._file.last()
        self._delivery.refresh()
        self._file.hurry(self._delivery.targets)
        if self._settings.worker == "thread":
            self._deliver_soon(self._settings)
            self._wait_until_quiet(ends, and_others=True)
        else:
            self.drain(deadline)
        return not self._file.is_pending(last, [target.id for target in self._file.targets()])

    def drain(self, deadline: float = 10.0) -> bool:
        """Deliver what is in the file, with threads that end before this returns: for the last moments of a Lambda
        handler, for a cron job, for `worker="none"`.

        Args:
            deadline: seconds, at the most: a call that is under way then is given up, and its report stays.

        Returns:
            Whether nothing waits any more.
        """
        ends = time.monotonic() + deadline
        self._delivery.refresh()
        self._file.hurry(self._delivery.targets)
        worker = Worker(self._delivery, self._settings.parallel, ends=ends)
        worker.wake()
        try:
            worker.join()
        finally:
            worker.stop()
        return self._file.last() == 0

    def close(self, deadline: float = 10.0) -> bool:
        """`flush`, then stop delivering, and close the file; the next report opens it again. Returns as `flush`."""
        try:
            return self.flush(deadline)
        finally:
            self._stop()

    def _stop(self) -> None:
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.stop()
        if self._file.database.exists():
            self._file.release(self._holder)
        for file in (self._file, *self._put_files.values()):
            file.database.close()

    def _wait_until_quiet(self, ends: float, *, and_others: bool) -> None:
        """Wait while something is under way, or due before `ends`.

        Args:
            and_others: what other processes are sending counts, too.
        """
        while (left := ends - time.monotonic()) > 0:
            if not (self._delivery.is_busy() if and_others else self._delivery.in_flight):
                due = self._delivery.seconds_to_next(left + 1)
                if due is None or due > left:
                    return
            self.wait_for_change(min(left, 0.02))

    def finish(self) -> None:
        """The end of the program: deliver what can be within `exit_seconds`; the rest stays in the file."""
        if self._worker is None:
            return
        ends = time.monotonic() + self._settings.exit_seconds
        try:
            # From here, beside the threads that there are: none can be started any more.
            while time.monotonic() < ends and (group := self._delivery.claim()) is not None:
                self._delivery.deliver(group, ends)
            self._wait_until_quiet(ends, and_others=False)
            self._stop()
        except OutboxError as error:
            _log.error("at the end of the program: %s", error)

    # Forks

    def before_fork(self) -> None:
        """Close the file for the time of the fork."""
        # Nothing of SQLite may be open while the process forks: its own book of locks would be copied.
        self._lock.acquire()
        for file in (self._file, *self._put_files.values()):
            file.database.lock.acquire()
            file.database.close()

    def after_fork_in_parent(self) -> None:
        """Release the locks that `before_fork` took."""
        for file in (self._file, *self._put_files.values()):
            file.database.lock.release()
        self._lock.release()

    def after_fork_in_child(self) -> None:
        """Replace the state that belongs to the parent: threads, leases and connections."""
        # Threads do not come along, nor do the turns that they hold.
        self._lock = threading.RLock()
        self._begin()
