"""SQLite: one file with one writer at a time."""

import sqlite3
import time
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, create_engine, event
from sqlalchemy.exc import DBAPIError

from xpander_server.store.engine.errors import StoreError, StoreUnavailable
from xpander_server.store.engine.locks import BUSY_SECONDS, FairFileLock


class Sqlite:
    """Backend for SQLite; implements `database.Backend`."""

    one_writer = True

    def __init__(self, url: str) -> None:
        self.path = _path(url)
        self._write_lock = FairFileLock(self.path.with_name(f"{self.path.name}-turn"))
        self.engine = create_engine(
            URL.create("sqlite", database=str(self.path)),
            hide_parameters=True,
            connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False},
        )
        event.listen(self.engine, "connect", _set_up_connection)

    def begin(self, connection: Connection, *, writes: bool) -> None:
        """Begin a transaction; one that writes waits for the write lock."""
        driver: Any = connection.connection.driver_connection
        try:
            if writes:
                # BEGIN IMMEDIATE instead of BEGIN: a transaction that first reads and then writes would fail with
                # "locked", without any waiting, if another one wrote in between.
                with self._write_lock.hold():
                    _begin_immediate(driver)
            else:
                driver.execute("BEGIN")
        except sqlite3.Error as error:
            raise StoreUnavailable(str(error)) from error

    def is_retryable(self, error: DBAPIError) -> bool:
        """Return False: a transaction that holds the write lock cannot lose against another one."""
        return False

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()


def _begin_immediate(driver: sqlite3.Connection) -> None:
    deadline = time.monotonic() + BUSY_SECONDS
    driver.execute("PRAGMA busy_timeout = 0")
    try:
        while True:
            try:
                driver.execute("BEGIN IMMEDIATE")
                return
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                    raise
            # The fair lock is held, so no other process polls, and polling often is cheap. SQLite's own waiting would
            # sleep for up to 100 ms at a time.
            time.sleep(0.000_1)
    finally:
        driver.execute(f"PRAGMA busy_timeout = {BUSY_SECONDS * 1_000}")


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
    return path


def _set_up_connection(connection: sqlite3.Connection, _record: Any) -> None:
    # The driver must not begin transactions; Sqlite.begin does.
    connection.isolation_level = None
    # In WAL mode, readers do not wait for the writer.
    _use_wal(connection)
    # FULL calls fsync at each commit, so a task survives a power loss as soon as the response is sent.
    connection.execute("PRAGMA synchronous = FULL")
    # Pages of 4 kB in the log before a checkpoint: a page that many commits change is then copied into the file once.
    connection.execute("PRAGMA wal_autocheckpoint = 4000")


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
