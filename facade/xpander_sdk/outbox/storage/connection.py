"""One SQLite connection to the outbox file, shared by the threads of a process.

    fetch(sql)       reads: one statement, all rows
    run(step)        one writing statement that needs no explicit transaction
    transaction()    several statements: BEGIN IMMEDIATE ... COMMIT, or ROLLBACK on any exception

All three open the file on first use, wait while other processes hold the write lock, set a damaged file aside, and
raise only OutboxError. `fetch` and `run` repeat their statement on a new file after damage; a `with` block cannot be
repeated, so `transaction` raises.

How a signal handler joins the transaction that it interrupts
    A thread is inside `transaction()` and holds the write lock of the file. A signal arrives, and Python runs the
    handler in the same thread. The handler submits a report to the same outbox. A second transaction would wait for
    the first one, which cannot continue before the handler returns: a deadlock. Therefore:

        main code     with database.transaction():        _transactions_of_thread = {path: database}
                          connection.execute(...)
        handler               database.run(insert)        finds the open transaction of its thread and
                                                          executes the insert on that connection, without BEGIN
                      COMMIT                              commits the statements of both

    The lookup is by path, not by object, because the handler may use another Database of the same file: the outbox has
    one for each durability. `lock` is reentrant, so that a handler may also interrupt `run` and `fetch`; these execute
    one statement, which leaves no partial state for the handler to see.
"""

import logging
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

from xpander_sdk._clock import monotonic
from xpander_sdk.errors import OutboxError
from xpander_sdk.outbox.storage import file_guard, schema, sql
from xpander_sdk.outbox.storage.file_guard import BUSY_SECONDS
from xpander_sdk.settings.outbox import Durability

T = TypeVar("T")

_log = logging.getLogger("xpander_sdk")

_VACUUM_PAGES = 256
_SPACE_CHECK_BYTES = 256 << 10  # Bytes written between two checks of the free disk space.
_SYNCHRONOUS = {"crash": "NORMAL", "power": "FULL"}
_NO_PARAMETERS: Mapping[str, object] = {}


class Database:
    """Connection to one outbox file. Safe to share between threads.

    Args:
        path: Absolute path of the file; it is created at the first use.
        durability: Failure that a commit survives: "crash" (of the process) or "power" (loss of power).
        checkpoint_pages: Number of pages in SQLite's log at which a commit of this connection moves them into the file.

    Attributes:
        path: Absolute path of the file.
        salt: Random bytes that only this file has; empty until the file was opened.
        lock: Lock that a fork takes. It is reentrant because a signal handler may interrupt a call and make another.
    """

    def __init__(self, path: str, durability: Durability, checkpoint_pages: int) -> None:
        self.path = path
        self.salt = b""
        self.lock = threading.RLock()
        self._durability = durability
        self._checkpoint_pages = checkpoint_pages
        self._connection: sqlite3.Connection | None = None
        self._file_id: file_guard.FileId | None = None
        self._unchecked_bytes = _SPACE_CHECK_BYTES

    def close(self) -> None:
        """Close the connection; the next call opens it again."""
        with self.lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def exists(self) -> bool:
        """Return whether the file exists; do not create it."""
        return file_guard.file_id(self.path) is not None

    def fetch(self, statement: str, parameters: Mapping[str, object] = _NO_PARAMETERS) -> list[Any]:
        """Execute one reading statement and return its rows."""
        return self.run(lambda connection: connection.execute(statement, parameters).fetchall())

    def run(self, step: Callable[[sqlite3.Connection], T]) -> T:
        """Execute a step of one statement outside an explicit transaction; repeat it while the file is locked.

        Raises:
            OutboxError: The file cannot be used.
        """
        if (interrupted := _interrupted_transaction(self.path)) is not None:
            return step(interrupted)
        with self.lock:
            for is_second in (False, True):
                try:
                    return self._retry_while_locked(lambda: step(self._open()))
                except sqlite3.DatabaseError as error:
                    if is_second or not _is_damage(error):
                        raise self._outbox_error(error) from error
                    self._set_aside(error)
        raise AssertionError("unreachable")

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Execute the statements of the block in one write transaction, which any exception rolls back.

        Raises:
            OutboxError: The file cannot be used; nothing was changed.
        """
        if (interrupted := _interrupted_transaction(self.path)) is not None:
            yield interrupted
            return
        with self.lock, _marked_as_open(self):
            try:
                # BEGIN is inside the try block, so that an interrupt at any point leaves no transaction open.
                connection = self.run(_begin)
                yield connection
                self._retry_while_locked(lambda: connection.execute("COMMIT"))
            except BaseException as error:
                with suppress(sqlite3.Error):
                    self._rollback()
                if not isinstance(error, sqlite3.Error):
                    raise
                if _is_damage(error):
                    self._set_aside(error)
                elif _result_code(error) == sqlite3.SQLITE_FULL:
                    with suppress(OutboxError):
                        self._truncate_log()
                raise self._outbox_error(error) from error

    @property
    def open_transaction(self) -> sqlite3.Connection | None:
        """The connection while a transaction is open on it, else None."""
        connection = self._connection
        return connection if connection is not None and connection.in_transaction else None

    def reserve_disk_space(self, size: int) -> None:
        """Refuse a write that would leave too little space on the disk to deliver and delete reports.

        Args:
            size: Number of bytes that the caller is about to write.

        Raises:
            OutboxError: The disk is full.
        """
        self._unchecked_bytes += size
        if self._unchecked_bytes < _SPACE_CHECK_BYTES:
            return
        if not file_guard.has_free_space(self.path, size):
            self._truncate_log()
            if not file_guard.has_free_space(self.path, size - self._unused_bytes()):
                raise OutboxError(f"the outbox {self.path} cannot be used: the disk is full")
        self._unchecked_bytes = 0

    def vacuum_step(self) -> bool:
        """Return some unused pages of the file to the disk; return whether more are left.

        One step is short, so that it does not delay other processes.
        """

        def step(connection: sqlite3.Connection) -> bool:
            (unused_pages,) = connection.execute("PRAGMA freelist_count").fetchone()
            if unused_pages > _VACUUM_PAGES:
                connection.execute(f"PRAGMA incremental_vacuum({_VACUUM_PAGES})").fetchall()
            return bool(unused_pages > 2 * _VACUUM_PAGES)

        return self.run(step)

    def _truncate_log(self) -> None:
        self.fetch("PRAGMA wal_checkpoint(TRUNCATE)")

    def _unused_bytes(self) -> int:
        ((pages,),) = self.fetch("PRAGMA freelist_count")
        ((page_size,),) = self.fetch("PRAGMA page_size")
        return int(pages * page_size)

    def _rollback(self) -> None:
        if (connection := self.open_transaction) is not None:
            connection.execute("ROLLBACK")

    def _retry_while_locked(self, step: Callable[[], T]) -> T:
        deadline: float | None = None
        while True:
            try:
                return step()
            except sqlite3.OperationalError as error:
                deadline = deadline or monotonic() + BUSY_SECONDS
                is_locked = _result_code(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
                if not is_locked or monotonic() > deadline:
                    raise
                file_guard.sleep_briefly()

    def _outbox_error(self, error: sqlite3.Error) -> OutboxError:
        reason = {
            sqlite3.SQLITE_BUSY: f"another process has locked it for {BUSY_SECONDS} seconds",
            sqlite3.SQLITE_FULL: "the disk is full",
            sqlite3.SQLITE_READONLY: "it cannot be written; set XPANDER_OUTBOX to another path",
            sqlite3.SQLITE_CANTOPEN: "it cannot be opened; set XPANDER_OUTBOX to another path",
        }.get(_result_code(error), str(error))
        return OutboxError(f"the outbox {self.path} cannot be used: {reason}")

    def _open(self) -> sqlite3.Connection:
        """Return the connection; open the file if it is not open, or if another file replaced it."""
        file_id = file_guard.file_id(self.path)
        if self._connection is not None and file_id == self._file_id:
            return self._connection
        if self._connection is not None:
            _log.warning(
                "the outbox %s was removed or replaced: reports are stored in the file now at its path", self.path
            )
            self._connection.close()
            self._connection = None
        file_guard.create_folder(self.path)
        schema.known_objects()  # Computed once; not while the lock is held.
        with file_guard.lock_file(self.path):
            file_guard.create_private_file(self.path)
            self._file_id = file_guard.file_id(self.path)
            connection = sqlite3.connect(self.path, timeout=0, isolation_level=None, check_same_thread=False)
            try:
                self._set_up(connection)
                # Again: SQLite opens its files by name, and somebody may have put another one there meanwhile.
                file_guard.check_files(self.path)
            except BaseException:
                connection.close()
                raise
            of_handler, self._connection = self._connection, connection
            if of_handler is not None:  # A signal handler has interrupted this method and opened the file.
                of_handler.close()
        return connection

    def _set_up(self, connection: sqlite3.Connection) -> None:
        connection.execute("PRAGMA trusted_schema = OFF")
        version = self._checked_version(connection)
        file_guard.restrict_files(self.path)  # not before: the file may be another program's
        if version == 0:
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA synchronous = {_SYNCHRONOUS[self._durability]}")
        connection.execute(f"PRAGMA wal_autocheckpoint = {self._checkpoint_pages}")
        connection.execute(f"PRAGMA journal_size_limit = {64 << 20}")
        if version < schema.VERSION:
            foreign = schema.create_or_migrate(connection)
            self._checked_version(connection)
        else:
            foreign = schema.foreign_objects(connection)
        if foreign:
            raise OutboxError(
                f"the outbox {self.path} cannot be used: its objects {', '.join(foreign)[:500]} are not those of "
                "xpander-report, and could change reports or redirect them; remove them, or move the file away"
            )
        (self.salt,) = connection.execute(sql.SALT).fetchone()

    def _checked_version(self, connection: sqlite3.Connection) -> int:
        """Return the version of the file; refuse files of other programs and of newer versions unchanged."""
        version = schema.user_version(connection)
        # The tables first: a signal handler may create them, together with the id of the application, between the two.
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        (application_id,) = connection.execute("PRAGMA application_id").fetchone()
        if application_id != schema.APPLICATION_ID and (application_id or tables):
            raise OutboxError(f"{self.path} is another program's file; set XPANDER_OUTBOX to another path")
        if version > schema.VERSION:
            raise OutboxError(f"the outbox {self.path} was made by a newer version: update xpander-report")
        return version

    def _set_aside(self, error: sqlite3.Error) -> None:
        damaged = self._file_id
        self.close()
        file_guard.set_aside(self.path, damaged, error)


# Transactions that a thread has opened, by path; see "How a signal handler joins" above.
_transactions_of_thread = threading.local()


@contextmanager
def _marked_as_open(database: Database) -> Iterator[None]:
    outer: dict[str, Database] = getattr(_transactions_of_thread, "databases", {})
    _transactions_of_thread.databases = {**outer, database.path: database}
    try:
        yield
    finally:
        _transactions_of_thread.databases = outer


def _interrupted_transaction(path: str) -> sqlite3.Connection | None:
    database: Database | None = getattr(_transactions_of_thread, "databases", {}).get(path)
    return None if database is None else database.open_transaction


def _begin(connection: sqlite3.Connection) -> sqlite3.Connection:
    connection.execute("BEGIN IMMEDIATE")
    return connection


def _result_code(error: sqlite3.Error) -> int:
    return (getattr(error, "sqlite_errorcode", 0) or 0) & 0xFF


def _is_damage(error: sqlite3.Error) -> bool:
    return _result_code(error) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
