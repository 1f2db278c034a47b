"""The outbox's database: opened when it is needed, patient with other processes, and never left damaged in the way.

The books are kept by triggers, in the transaction that they are about, so that they balance whenever one looks:
accepted = delivered + pending + dead + dropped.
"""

import logging
import os
import random
import secrets
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TypeVar

from xpander_sdk.errors import OutboxError
from xpander_sdk.settings.outbox import Durability

T = TypeVar("T")

_log = logging.getLogger("xpander_sdk")

VERSION = 1
OVERHEAD = 250
"""Bytes that a report takes beside its body, about."""
_APPLICATION = 0x78707262  # "xprb"
_BUSY_SECONDS = 10
_SHRINK_PAGES = 256
_SPARE_BYTES = 8 << 20  # twice what the log grows to before a worker moves it into the file
_LOOK_BYTES = 256 << 10  # how much is written between two looks at what the disk has left
_SYNCHRONOUS = {"crash": "NORMAL", "power": "FULL"}

_SCHEMA = """
CREATE TABLE books (
    salt BLOB NOT NULL, next_seq INTEGER NOT NULL DEFAULT 1, forgotten INTEGER NOT NULL DEFAULT 0,
    accepted INTEGER NOT NULL DEFAULT 0, delivered INTEGER NOT NULL DEFAULT 0, merged INTEGER NOT NULL DEFAULT 0,
    pending INTEGER NOT NULL DEFAULT 0, pending_bytes INTEGER NOT NULL DEFAULT 0,
    dead INTEGER NOT NULL DEFAULT 0, dead_bytes INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE drops (reason TEXT PRIMARY KEY, amount INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE targets (
    id INTEGER PRIMARY KEY, base_url TEXT NOT NULL, organization_id TEXT NOT NULL, credentials TEXT NOT NULL,
    failures INTEGER NOT NULL DEFAULT 0, next_at INTEGER NOT NULL DEFAULT 0, trouble TEXT, holder TEXT,
    UNIQUE (base_url, organization_id, credentials)
);
CREATE TABLE reports (
    seq INTEGER PRIMARY KEY, target INTEGER NOT NULL, task_id TEXT NOT NULL, agent_id TEXT NOT NULL,
    reported_at INTEGER NOT NULL, accepted_at INTEGER NOT NULL, body BLOB NOT NULL
);
CREATE INDEX reports_of_run ON reports (target, task_id);
CREATE INDEX reports_of_target ON reports (target, seq);
CREATE TABLE turns (
    target INTEGER NOT NULL, task_id TEXT NOT NULL, holder TEXT, held_until INTEGER NOT NULL DEFAULT 0,
    attempts INTEGER NOT NULL DEFAULT 0, due_at INTEGER NOT NULL DEFAULT 0, alone_to INTEGER NOT NULL DEFAULT 0,
    trouble TEXT, PRIMARY KEY (target, task_id)
) WITHOUT ROWID;
CREATE TABLE dead (
    seq INTEGER PRIMARY KEY, target INTEGER NOT NULL, task_id TEXT NOT NULL, agent_id TEXT NOT NULL,
    reported_at INTEGER NOT NULL, accepted_at INTEGER NOT NULL, body BLOB NOT NULL,
    died_at INTEGER NOT NULL, status INTEGER, answer TEXT NOT NULL
);
CREATE TABLE dropped (seq INTEGER PRIMARY KEY, reason TEXT NOT NULL);
CREATE TRIGGER reports_in AFTER INSERT ON reports BEGIN
    UPDATE books SET next_seq = max(next_seq, NEW.seq + 1), accepted = accepted + 1, pending = pending + 1,
        pending_bytes = pending_bytes + length(NEW.body) + OVERHEAD;
END;
CREATE TRIGGER reports_out AFTER DELETE ON reports BEGIN
    UPDATE books SET pending = pending - 1, pending_bytes = pending_bytes - length(OLD.body) - OVERHEAD;
END;
CREATE TRIGGER dead_in AFTER INSERT ON dead BEGIN
    UPDATE books SET dead = dead + 1, dead_bytes = dead_bytes + length(NEW.body) + OVERHEAD;
END;
CREATE TRIGGER dead_out AFTER DELETE ON dead BEGIN
    UPDATE books SET dead = dead - 1, dead_bytes = dead_bytes - length(OLD.body) - OVERHEAD;
END;
CREATE TRIGGER dropped_in AFTER INSERT ON dropped BEGIN
    INSERT INTO drops VALUES (NEW.reason, 1) ON CONFLICT DO UPDATE SET amount = amount + 1;
END;
""".replace("OVERHEAD", str(OVERHEAD))


class Database:
    """One connection to the file, which threads share.

    Args:
        durability: what a commit survives: "crash" or "power".
        checkpoint_pages: how long SQLite's log may grow before a commit of this connection moves it into the file.
    """

    def __init__(self, path: str, durability: Durability, checkpoint_pages: int) -> None:
        self.path = path
        self.salt = b""
        """What this very file, and no other, mixes into the marks of keys."""
        # One that a thread may take twice: a signal handler that interrupts a call may make one, too.
        self.lock = threading.RLock()
        self._durability = durability
        self._checkpoint_pages = checkpoint_pages
        self._connection: sqlite3.Connection | None = None
        self._inode: tuple[int, int] | None = None
        self._unlooked = _LOOK_BYTES

    def close(self) -> None:
        """Close it; the next call opens it anew."""
        with self.lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def exists(self) -> bool:
        """Whether there is a file; to look for it makes none."""
        return _inode(self.path) is not None

    def leave_room(self, size: int) -> None:
        """Leave the disk what it takes to deliver: to delete a report, too, something has to be written.

        Args:
            size: bytes that are about to be written.

        Raises:
            OutboxError: there would not be as much.
        """
        self._unlooked += size
        if self._unlooked < _LOOK_BYTES or not hasattr(os, "statvfs"):
            return
        if not self._has_room(size):
            self._empty_log()
            if not self._has_room(size - self.do(_unused_bytes)):
                raise OutboxError(f"the outbox {self.path} cannot be used: the disk is full")
        self._unlooked = 0

    def _empty_log(self) -> None:
        self.do(lambda connection: connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall())

    def _has_room(self, size: int) -> bool:
        try:
            disk = os.statvfs(os.path.dirname(self.path))
            log = os.stat(f"{self.path}-wal").st_size
        except OSError:  # it is not there yet
            return True
        # All of the log has to fit into the file, before the log can be used anew.
        return disk.f_bavail * disk.f_frsize >= size + log + _SPARE_BYTES

    def shrink(self) -> bool:
        """Give some of the file's unused pages back; whether there are more of them."""

        def step(connection: sqlite3.Connection) -> bool:
            (unused,) = connection.execute("PRAGMA freelist_count").fetchone()
            if unused > _SHRINK_PAGES:
                connection.execute(f"PRAGMA incremental_vacuum({_SHRINK_PAGES})").fetchall()
            return bool(unused > 2 * _SHRINK_PAGES)

        return self.do(step)

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        if (interrupted := _interrupted(self.path)) is not None:
            yield interrupted
            return
        with self.lock, _under_way(self):
            try:
                # Within the try: whatever interrupts this thread, no transaction is left open.
                connection = self.do(_begin)
                yield connection
                self._patiently(lambda: connection.execute("COMMIT"))
            except BaseException as error:
                with suppress(sqlite3.Error):
                    self._rollback()
                if isinstance(error, sqlite3.Error):
                    if _is_corrupt(error):
                        self._set_aside(error)
                    elif _code(error) == sqlite3.SQLITE_FULL:
                        with suppress(OutboxError):
                            self._empty_log()
                    raise self._explained(error) from error
                raise

    def do(self, step: Callable[[sqlite3.Connection], T]) -> T:
        if (interrupted := _interrupted(self.path)) is not None:
            return step(interrupted)
        with self.lock:
            for is_second in (False, True):
                try:
                    return self._patiently(lambda: step(self._opened()))
                except sqlite3.DatabaseError as error:
                    if is_second or not _is_corrupt(error):
                        raise self._explained(error) from error
                    self._set_aside(error)
        raise AssertionError("unreachable")

    @property
    def open_transaction(self) -> sqlite3.Connection | None:
        connection = self._connection
        return connection if connection is not None and connection.in_transaction else None

    def _rollback(self) -> None:
        if (connection := self.open_transaction) is not None:
            connection.execute("ROLLBACK")

    def _patiently(self, step: Callable[[], T]) -> T:
        # SQLite's own waiting sleeps ever longer, so that a busy process starves the others; short sleeps of random
        # length give each its share.
        deadline = time.monotonic() + _BUSY_SECONDS
        while True:
            try:
                return step()
            except sqlite3.OperationalError as error:
                if _code(error) not in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED) or time.monotonic() > deadline:
                    raise
                time.sleep(random.uniform(0.0001, 0.002))  # noqa: S311 - no secret

    def _explained(self, error: sqlite3.Error) -> OutboxError:
        told = {
            sqlite3.SQLITE_BUSY: f"another process has locked it for {_BUSY_SECONDS} seconds",
            sqlite3.SQLITE_FULL: "the disk is full",
            sqlite3.SQLITE_READONLY: "it cannot be written; name another with XPANDER_OUTBOX",
            sqlite3.SQLITE_CANTOPEN: "it cannot be opened; name another with XPANDER_OUTBOX",
        }.get(_code(error), str(error))
        return OutboxError(f"the outbox {self.path} cannot be used: {told}")

    def _opened(self) -> sqlite3.Connection:
        inode = _inode(self.path)
        if self._connection is not None and inode == self._inode:
            return self._connection
        if self._connection is not None:
            _log.warning("the outbox %s was removed or replaced; reports go into what is there now", self.path)
            self._connection.close()
            self._connection = None
        _make_folder(self.path)
        with _alone(self.path):
            _make(self.path)
            self._inode = _inode(self.path)
            connection = sqlite3.connect(self.path, timeout=0, isolation_level=None, check_same_thread=False)
            try:
                self._set_up(connection)
            except BaseException:
                connection.close()
                raise
            self._connection = connection
        return connection

    def _set_up(self, connection: sqlite3.Connection) -> None:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        application = connection.execute("PRAGMA application_id").fetchone()[0]
        tables = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
        if application != _APPLICATION and (application or tables):
            raise OutboxError(f"{self.path} is another program's file; name another with XPANDER_OUTBOX")
        if version > VERSION:
            raise OutboxError(f"the outbox {self.path} was made by a newer version: update xpander-report")
        if version == 0:
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA synchronous = {_SYNCHRONOUS[self._durability]}")
        connection.execute(f"PRAGMA wal_autocheckpoint = {self._checkpoint_pages}")
        connection.execute(f"PRAGMA journal_size_limit = {64 << 20}")
        if version == 0:
            connection.execute("BEGIN IMMEDIATE")
            try:
                if connection.execute("PRAGMA user_version").fetchone()[0] == 0:
                    for statement in _statements(_SCHEMA):
                        connection.execute(statement)
                    connection.execute("INSERT INTO books (salt) VALUES (?)", (secrets.token_bytes(16),))
                    connection.execute(f"PRAGMA application_id = {_APPLICATION}")
                    connection.execute(f"PRAGMA user_version = {VERSION}")
                connection.execute("COMMIT")
            except BaseException:
                connection.execute("ROLLBACK")
                raise
        (self.salt,) = connection.execute("SELECT salt FROM books").fetchone()

    def _set_aside(self, error: sqlite3.Error) -> None:
        """Give a file that cannot be read another name, and begin a new one. Nothing is deleted."""
        before = self._inode  # of the file that was found to be damaged, which another process may have replaced since
        self.close()
        aside = f"{self.path}.corrupt-{time.time_ns()}"
        with _alone(self.path):
            if before is not None and _inode(self.path) == before:  # else another process was quicker
                try:
                    for suffix in ("-wal", "-shm", ""):
                        with suppress(FileNotFoundError):
                            os.replace(f"{self.path}{suffix}", f"{aside}{suffix}")
                except OSError as trouble:
                    raise _unusable(self.path, trouble) from error
                _log.error("the outbox %s is damaged (%s); it was set aside as %s", self.path, error, aside)


# The transactions that a thread is in the middle of. A signal handler that interrupts one, and uses the outbox, becomes
# part of it: it would wait in vain for what cannot go on before it returns.
_of_thread = threading.local()


@contextmanager
def _under_way(database: Database) -> Iterator[None]:
    before: dict[str, Database] = getattr(_of_thread, "databases", {})
    _of_thread.databases = {**before, database.path: database}
    try:
        yield
    finally:
        _of_thread.databases = before


def _interrupted(path: str) -> sqlite3.Connection | None:
    database: Database | None = getattr(_of_thread, "databases", {}).get(path)
    return None if database is None else database.open_transaction


def _begin(connection: sqlite3.Connection) -> sqlite3.Connection:
    connection.execute("BEGIN IMMEDIATE")
    return connection


def _unused_bytes(connection: sqlite3.Connection) -> int:
    pages, size = (connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("freelist_count", "page_size"))
    return int(pages * size)


def _statements(script: str) -> Iterator[str]:
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def _code(error: sqlite3.Error) -> int:
    return (getattr(error, "sqlite_errorcode", 0) or 0) & 0xFF


def _is_corrupt(error: sqlite3.Error) -> bool:
    return _code(error) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def _inode(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _unusable(path, error) from error
    return found.st_dev, found.st_ino


def _unusable(path: str, error: OSError) -> OutboxError:
    return OutboxError(f"the outbox {path} cannot be used: {error.strerror}; name another with XPANDER_OUTBOX")


def _make_folder(path: str) -> None:
    try:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    except OSError as error:
        raise _unusable(path, error) from error


def _make(path: str) -> None:
    """An empty file where there is none, readable by its owner only, whatever the umask, as are those beside it."""
    try:
        with suppress(FileExistsError):
            made = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
            os.close(made)
            os.chmod(path, 0o600)
        for each in (path, f"{path}-wal", f"{path}-shm"):
            with suppress(FileNotFoundError):
                found = os.stat(each)
                if found.st_mode & 0o077 and hasattr(os, "getuid") and found.st_uid == os.getuid():
                    os.chmod(each, 0o600)
    except OSError as error:
        raise _unusable(path, error) from error


@contextmanager
def _alone(path: str) -> Iterator[None]:
    """One process and one thread at a time, to open a file and to set it aside: no lock of its own can guard that."""
    try:
        import fcntl
    except ImportError:  # Windows, which does not rename open files in the first place
        yield
        return
    try:
        lock = os.open(f"{path}.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise _unusable(path, error) from error
    try:
        deadline = time.monotonic() + _BUSY_SECONDS
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:  # it may be frozen, and hold it for ever
                    told = f"another process has kept it for {_BUSY_SECONDS} seconds"
                    raise OutboxError(f"the outbox {path} cannot be used: {told}") from None
            time.sleep(random.uniform(0.0001, 0.002))  # noqa: S311 - no secret
        yield
    finally:
        os.close(lock)
