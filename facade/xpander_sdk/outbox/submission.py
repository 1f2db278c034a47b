"""Submission of reports: mask, key, limits, file, receipt."""

import threading
from collections.abc import Callable
from typing import Any, TypeVar

from xpander_sdk._clock import monotonic
from xpander_sdk.client.log_recursion import sdk_work
from xpander_sdk.errors import OutboxError, OutboxFullError
from xpander_sdk.outbox.keyring import Keyring
from xpander_sdk.outbox.masking import apply_mask
from xpander_sdk.outbox.receipts import Receipts
from xpander_sdk.outbox.storage.connection import Database
from xpander_sdk.outbox.storage.queue_store import QueueStore
from xpander_sdk.receipt import Receipt
from xpander_sdk.reporting.report import Report
from xpander_sdk.settings.configuration import Configuration
from xpander_sdk.settings.outbox import Durability, OutboxSettings

T = TypeVar("T")

_CHECKPOINT_PAGES = 4_000  # 16 MB: the worker should move SQLite's log into the file, and not a caller.
_FULL_POLL_SECONDS = 0.05


class Submitter:
    """Stores reports in the file of an outbox. Safe to share between threads.

    Args:
        path: Path of the file.
        lock: Lock that a fork takes; no connection is created while it is held.
        keyring: Keyring that learns the keys of submitted reports.
        receipts: Receipts of this process.
        wake_worker: Function that makes the worker deliver, with the settings of the submission.
    """

    def __init__(
        self,
        path: str,
        lock: threading.RLock,
        keyring: Keyring,
        receipts: Receipts,
        wake_worker: Callable[[OutboxSettings], None],
    ) -> None:
        self._path = path
        self._lock = lock
        self._keyring = keyring
        self._receipts = receipts
        self._wake_worker = wake_worker
        self._stores: dict[Durability, QueueStore] = {}

    @property
    def databases(self) -> list[Database]:
        """Connections to the file: one for each durability that was used."""
        return [store.database for store in self._stores.values()]

    def put(
        self, configuration: Configuration, settings: OutboxSettings, report: Report, convert: Callable[[Any], T]
    ) -> Receipt[T]:
        """Store a report, wake the worker, and return the receipt.

        Args:
            configuration: Destination and key of the report.
            settings: Settings of the outbox.
            report: The report; the mask of the settings is applied before it is stored.
            convert: Function that converts the response of the backend to the value of `Receipt.task`.

        Raises:
            OutboxFullError: There is no room for the report; it was not stored.
            OutboxError: The file cannot be used; the report was not stored.
            ValueError: The configuration cannot reach a backend; the report was not stored.
        """
        self._receipts.begin_submission()
        work = sdk_work()
        try:
            if settings.mask is not None:
                report = apply_mask(report, settings.mask)
            seq, salt = self._insert(configuration, settings, report)
            receipt = self._receipts.create(seq, salt, report.id, convert)
            self._wake_worker(settings)
            return receipt
        finally:
            work.end()
            self._receipts.end_submission()

    def _insert(self, configuration: Configuration, settings: OutboxSettings, report: Report) -> tuple[int, bytes]:
        store = self._store(settings.durability)
        # A callable that returns the key may be slow, so it is called now and not while the file is locked.
        salt = store.database.salt or store.salt()
        key = self._keyring.add(configuration, salt)
        deadline = monotonic() + (settings.block_seconds if settings.when_full == "block" else 0)
        while True:
            try:
                seq = store.put(
                    # Another salt belongs to a file that has replaced this one meanwhile.
                    lambda new_salt: key if new_salt == salt else self._keyring.add(configuration, new_salt),
                    report,
                    max_reports=settings.max_reports,
                    max_bytes=settings.max_bytes,
                    drop_oldest=settings.when_full == "drop_oldest",
                )
            except OutboxFullError:
                self._wake_worker(settings)  # The pending reports may be of a process that has ended.
                if monotonic() >= deadline:
                    raise
                self._receipts.wait_for_change(_FULL_POLL_SECONDS)
            except OutboxError as error:
                error.report_id = report.id
                raise
            else:
                return seq, store.database.salt

    def _store(self, durability: Durability) -> QueueStore:
        store = self._stores.get(durability)
        if store is None:
            with self._lock:
                database = Database(self._path, durability, _CHECKPOINT_PAGES)
                store = self._stores.setdefault(durability, QueueStore(database))
        return store
