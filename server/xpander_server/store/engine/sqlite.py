"""SQLite: one file, one writer at a time, which waits for its turn."""

import sqlite3
import time
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, create_engine, event
from sqlalchemy.exc import DBAPIError

from xpander_server.store.engine.errors import StoreError, StoreUnavailable
from xpander_server.store.engine.locks import BUSY_SECONDS, FairFileLock


class Sqlite:
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
        driver: Any = connection.connection.driver_connection
        try:
            if writes:
                # A transaction that reads first and then writes would fail with "locked" where another one wrote in
                # between, without waiting for it; so one that will write takes its lock at the start.
                with self._write_lock.hold():
                    _lock(driver)
            else:
                driver.execute("BEGIN")
        except sqlite3.Error as error:
            raise StoreUnavailable(str(error)) from error

    def may_pass(self, error: DBAPIError) -> bool:
        return False

    def close(self) -> None:
        self.engine.dispose()


def _lock(driver: sqlite3.Connection) -> None:
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
            # Nobody else is asking now, so ask often: SQLite's own waiting takes up to 100 ms at a time.
            time.sleep(0.000_1)
    finally:
        driver.execute(f"PRAGMA busy_timeout = {BUSY_SECONDS * 1_000}")


def _path(url: str) -> Path:
    _, _, file = url.partition(":///")
    if not file:
        raise StoreError(f"{url!r} is no store that this version knows; write sqlite:///FILE")
    if file == ":memory:":
        raise StoreError("The store must be a file, or its tasks would be lost: sqlite:///FILE")
    # The path as it is, and not as a part of a URL, in which %41 would be an A. Absolute: connections are opened later,
    # too, perhaps after a change of directory.
    path = Path(file).absolute()
    try:
        is_there = path.parent.is_dir()
    except (OSError, ValueError) as error:
        raise StoreError(f"{str(path)[:200]!r} cannot be a file: {error}") from None
    if not is_there:
        raise StoreError(f"There is no folder {str(path.parent)!r} to keep the store in; make it first")
    return path


def _set_up_connection(connection: sqlite3.Connection, _record: Any) -> None:
    # The driver must not begin transactions by itself: see Sqlite.begin.
    connection.isolation_level = None
    # Readers do not wait for the writer.
    _use_wal(connection)
    # An answer means that the task survives a power loss: fsync on each commit, which WAL's default would not do.
    connection.execute("PRAGMA synchronous = FULL")
    # Pages (of 4 kB) that come together before they are brought into the file: what many commits change, once.
    connection.execute("PRAGMA wal_autocheckpoint = 4000")


def _use_wal(connection: sqlite3.Connection) -> None:
    # Switching a new file to WAL does not wait for other processes that do the same.
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)
