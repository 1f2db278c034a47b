"""SQLite: one file with one writer at a time."""

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, create_engine, event
from sqlalchemy.exc import DBAPIError

from xpander_server.store.engine.errors import StoreError, StoreUnavailable
from xpander_server.store.engine.limits import BUSY_SECONDS, Limits
from xpander_server.store.engine.locks import FairFileLock
from xpander_server.store.engine.private_files import create_private, restrict

WAL_BYTES = 64 * 1024 * 1024
"""Size of the write-ahead log above which a commit copies all of it into the file and truncates it."""
_CHECK_INTERVAL = 0.1  # seconds between two looks at the size
_CHECKPOINT_INTERVAL = 1.0  # seconds between two attempts
_OPERATIONS = 10_000  # of SQLite's virtual machine between two looks at the clock: about 0.1 ms
_CHECKPOINT_WAIT = 0.1  # seconds that an attempt waits for readers
_FIRST_PAUSE, _LONGEST_PAUSE = 0.000_1, 0.002  # seconds between two attempts to begin a transaction


class Sqlite:
    """Backend for SQLite; implements `database.Backend`."""

    one_writer = True

    def __init__(self, url: str) -> None:
        self.path = _path(url)
        self._write_lock = FairFileLock(self.path.with_name(f"{self.path.name}-turn"))
        self._wal = f"{self.path}-wal"
        self._next_checkpoint = 0.0
        self.engine = create_engine(
            URL.create("sqlite", database=str(self.path)),
            hide_parameters=True,
            # Last in, first out: connections in turn would each find their cache outdated by the others' commits.
            pool_use_lifo=True,
            connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False},
        )
        # Before each connection, because the file may have been removed meanwhile.
        event.listen(self.engine, "do_connect", lambda *_: create_private(self.path))
        event.listen(self.engine, "connect", self._set_up_connection)

    def _set_up_connection(self, connection: sqlite3.Connection, _record: Any) -> None:
        _check_is_store(connection)  # first: neither the content nor the mode of another file may change
        restrict(self.path)
        _configure(connection)

    def begin(self, connection: Connection, *, writes: bool, limits: Limits) -> None:
        """Begin a transaction; one that writes waits for the write lock."""
        driver: Any = connection.connection.driver_connection
        _limit_statements(driver, limits.statement)
        try:
            if writes:
                # BEGIN IMMEDIATE instead of BEGIN: a transaction that first reads and then writes would fail with
                # "locked", without any waiting, if another one wrote in between.
                seconds = BUSY_SECONDS if limits.total is None else min(BUSY_SECONDS, limits.total)
                with self._write_lock.hold(seconds):
                    _begin_immediate(driver, seconds)
            else:
                driver.execute("BEGIN")
        except sqlite3.Error as error:
            raise StoreUnavailable(str(error)) from error

    def commit(self, connection: Connection, *, writes: bool) -> None:
        """Commit the transaction, and bound the size of the write-ahead log."""
        connection.commit()
        if writes:
            self._bound_wal(connection.connection.driver_connection)

    def _bound_wal(self, driver: Any) -> None:
        # SQLite copies the log into the file after commits, but starts again at the beginning of the log only if no
        # other process has written meanwhile. Under constant load of several processes, that may never happen.
        now = time.monotonic()
        if now < self._next_checkpoint:
            return
        self._next_checkpoint = now + _CHECK_INTERVAL
        with suppress(FileNotFoundError, sqlite3.Error, StoreUnavailable):
            if os.stat(self._wal).st_size > WAL_BYTES:
                self._next_checkpoint = now + _CHECKPOINT_INTERVAL
                with self._write_lock.hold(_CHECKPOINT_WAIT), _busy_timeout(driver, _CHECKPOINT_WAIT):
                    driver.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def check_writable(self, connection: Connection) -> None:
        """Write a number, which this program does not use, into the header of the file."""
        version = connection.exec_driver_sql("PRAGMA user_version").scalar()
        connection.exec_driver_sql(f"PRAGMA user_version = {version}")

    def interrupt(self, driver: Any) -> None:
        """Make the statement in progress fail."""
        with suppress(sqlite3.ProgrammingError):  # it was closed
            driver.interrupt()

    def is_row_locked(self, error: DBAPIError) -> bool:
        """Return False: SQLite locks files, not rows."""
        return False

    def is_retryable(self, error: DBAPIError) -> bool:
        """Return False: a transaction that holds the write lock cannot lose against another one."""
        return False

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()


def _limit_statements(driver: sqlite3.Connection, seconds: float | None) -> None:
    """Stop the statements of the transaction after this time; remove the limit of the transaction before."""
    if seconds is None:
        driver.set_progress_handler(None, 0)
        return
    deadline = time.monotonic() + seconds
    driver.set_progress_handler(lambda: time.monotonic() > deadline, _OPERATIONS)


def _begin_immediate(driver: sqlite3.Connection, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    pause = _FIRST_PAUSE
    with _busy_timeout(driver, 0):
        while True:
            try:
                driver.execute("BEGIN IMMEDIATE")
                return
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                    raise
            # The fair lock is held, so no other process polls. SQLite's own waiting would sleep for up to 100 ms at a
            # time. The pause grows, because a commit of many spans takes 100 ms, and each attempt takes the interpreter
            # lock from the thread that decodes the next ones.
            time.sleep(pause)
            pause = min(pause * 1.2, _LONGEST_PAUSE)


@contextmanager
def _busy_timeout(driver: sqlite3.Connection, seconds: float) -> Iterator[None]:
    driver.execute(f"PRAGMA busy_timeout = {seconds * 1_000:.0f}")
    try:
        yield
    finally:
        driver.execute(f"PRAGMA busy_timeout = {BUSY_SECONDS * 1_000:.0f}")


def missing_file(url: str) -> Path | None:
    """Return the file of a SQLite store if it does not exist; None for an existing file and for other stores."""
    scheme, _, file = url.partition(":///")
    if scheme != "sqlite" or file in ("", ":memory:"):
        return None
    path = Path(file).absolute()
    return None if os.path.exists(path) else path


def _path(url: str) -> Path:
    _, _, file = url.partition(":///")
    if not file:
        raise StoreError(f"{url!r} is not the URL of a store: write sqlite:///FILE")
    if file == ":memory:":
        raise StoreError("The store must be a file, because tasks in memory would be lost: write sqlite:///FILE")
    # The path is not decoded as a URL, in which %41 would mean A. It is absolute because the pool opens connections
    # later, possibly after a change of the working directory.
    path = Path(file).absolute()
    try:
        is_folder = path.parent.is_dir()
    except (OSError, ValueError) as error:
        raise StoreError(f"{str(path)[:200]!r} cannot be a file: {error}") from None
    if not is_folder:
        raise StoreError(f"The folder {str(path.parent)!r} of the store does not exist: create it first")
    if path.is_dir():
        raise StoreError(f"{str(path)!r} is a folder: name a file in it, such as sqlite:///{path}/runs.db")
    return path


def _check_is_store(connection: sqlite3.Connection) -> None:
    """Check that a file with tables is a store.

    Raises:
        StoreError: Another program has created the tables.
    """
    tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    if tables and "alembic_version" not in tables:
        raise StoreError(f"it is another program's: it has the tables {', '.join(tables[:5])}")


def _configure(connection: sqlite3.Connection) -> None:
    # The driver must not begin transactions; Sqlite.begin does.
    connection.isolation_level = None
    # In WAL mode, readers do not wait for the writer.
    _use_wal(connection)
    # FULL calls fsync at each commit, so a task survives a power loss as soon as the response is sent.
    connection.execute("PRAGMA synchronous = FULL")
    # Pages of 4 kB in the log before a checkpoint: a page that many commits change is then copied into the file once.
    connection.execute("PRAGMA wal_autocheckpoint = 4000")
    # A log that has grown because of a long query becomes small again.
    connection.execute(f"PRAGMA journal_size_limit = {WAL_BYTES}")


def _use_wal(connection: sqlite3.Connection) -> None:
    # SQLite does not wait when several processes switch a new file to WAL at the same time, so retry here.
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)
