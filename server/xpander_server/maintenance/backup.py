"""Backup and restore of a SQLite store while servers use it."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from xpander_server.store import Store, StoreError, StoreUnavailable
from xpander_server.store.engine.locks import FairFileLock
from xpander_server.store.schema.inspection import check_store

_BUSY_SECONDS = 60.0
_SQLITE_PREFIX = "sqlite:///"


def backup(store_url: str, file: Path) -> int:
    """Copy a consistent snapshot of a store into a new file that only its owner can read.

    The file appears under its name only when it is complete and on disk.

    Args:
        store_url: `sqlite:///FILE`.
        file: File to create.

    Returns:
        Number of tasks in the copy.

    Raises:
        StoreError: The store does not exist or is not a SQLite store, or `file` exists.
        StoreUnavailable: The store stays locked, or the disk is full.
    """
    path = _sqlite_path(store_url)
    if file.exists():
        raise StoreError(f"the backup file must not exist yet, got {str(file)!r}")
    with _sqlite_errors_as_store_errors(), _temporary_folder_beside(file) as folder:
        copy = folder / "copy"
        copy.touch(0o600)
        with closing(_connect(path)) as source, closing(sqlite3.connect(copy)) as target:
            tasks = _count_tasks(source)
            # All pages in one step: a copy in several steps starts again after each write of another process.
            source.backup(target)
            # Without WAL, so that the copy is one file.
            target.execute("PRAGMA journal_mode = DELETE")
        _fsync(copy)
        copy.rename(file)
        _fsync(file.absolute().parent)
    return tasks


def restore(store_url: str, file: Path) -> int:
    """Replace the content of a store by a backup, in one transaction.

    Steps:
        1. Copy `file` to a temporary file, check its integrity and its schema, and migrate it to the current schema.
        2. Open the store, which creates it if it does not exist.
        3. Wait for the lock of writers, and overwrite the store in one transaction. Readers see the old content until
           the commit, and the new content afterwards.

    Args:
        store_url: `sqlite:///FILE`.
        file: Backup to restore.

    Returns:
        Number of tasks in the backup.

    Raises:
        StoreError: `file` is damaged, has other tables than a store, has triggers or views, or has a newer schema; or
            the existing store is invalid. The store is unchanged.
        StoreUnavailable: The store stays locked, or the disk is full.
    """
    path = _sqlite_path(store_url)
    with _sqlite_errors_as_store_errors(), _temporary_folder_beside(path) as folder:
        copy = folder / "copy"
        copy.touch(0o600)
        with closing(_connect(file)) as source, closing(sqlite3.connect(copy)) as target:
            # Pages, without any SQL: anybody may have written the file.
            source.backup(target)
        with closing(sqlite3.connect(copy)) as connection:
            check_store(connection)
            tasks = _count_tasks(connection)
        Store(f"{_SQLITE_PREFIX}{copy}").close()
        Store(store_url).close()
        with closing(_connect(copy)) as source, closing(_connect(path)) as target:
            target.execute("PRAGMA synchronous = FULL")
            # The lock is fair: the restore gets it after the writers that are queued now, even under constant load.
            with FairFileLock(path.with_name(f"{path.name}-turn")).hold():
                source.backup(target, progress=_raise_if_busy)
    return tasks


def _raise_if_busy(status: int, _remaining: int, _total: int) -> None:
    # sqlite3's backup() retries without a limit. Each attempt has already waited for the busy timeout.
    if status == sqlite3.SQLITE_BUSY:
        raise StoreUnavailable(f"the store was in use for {_BUSY_SECONDS:.0f} seconds")


def _sqlite_path(store_url: str) -> Path:
    if store_url.startswith("postgresql"):
        raise StoreError(
            "backup and restore support SQLite only. For PostgreSQL, `pg_dump --format=custom` copies a database that "
            "is in use, and `pg_restore --clean` restores it"
        )
    if not store_url.startswith(_SQLITE_PREFIX):
        raise StoreError(f"the store must be sqlite:///FILE, got {store_url!r}")
    return Path(store_url.removeprefix(_SQLITE_PREFIX)).absolute()


def _connect(path: Path) -> sqlite3.Connection:
    if not path.is_file():
        raise StoreError(f"there is no file {str(path)!r}")
    return sqlite3.connect(path, timeout=_BUSY_SECONDS)


def _count_tasks(connection: sqlite3.Connection) -> int:
    try:
        connection.execute("SELECT version_num FROM alembic_version").fetchone()
        count: int = connection.execute("SELECT count(*) FROM tasks").fetchone()[0]
    except sqlite3.OperationalError as error:
        if "no such table" not in str(error):
            raise
        raise StoreError("the file is not a store of this program") from None
    return count


@contextmanager
def _temporary_folder_beside(file: Path) -> Iterator[Path]:
    """Yield a private folder on the same disk as `file`, so that a rename between them is atomic."""
    try:
        folder = TemporaryDirectory(prefix=".xpander-report-", dir=file.absolute().parent)
    except OSError as error:
        raise StoreError(f"cannot write to the folder of {str(file)!r}: {error.strerror}") from None
    with folder as name:
        yield Path(name)


@contextmanager
def _sqlite_errors_as_store_errors() -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        raise StoreUnavailable(str(error)) from error
    except sqlite3.DatabaseError as error:
        raise StoreError(f"the file is not a store: {error}") from error


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
