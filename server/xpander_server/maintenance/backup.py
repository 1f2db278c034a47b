"""Copies of a SQLite store, made and put back while it is being served."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from xpander_server.store import Store, StoreError, StoreUnavailable
from xpander_server.store.engine.locks import FairFileLock

_BUSY_SECONDS = 60.0
_PREFIX = "sqlite:///"


def backup(store_url: str, file: Path) -> int:
    """Copy a store, as it is at one moment, into one file.

    Returns:
        How many tasks are in it.

    Raises:
        StoreError: there is no such store, the file is there already, or the store is none of a file.
        StoreUnavailable: the store is locked for too long, or the disk is full.
    """
    path = _path_of(store_url)
    if file.exists():
        raise StoreError(f"{str(file)!r} is there already")
    with _failing(), _in_folder_of(file) as folder:
        copy = folder / "copy"
        with closing(_opened(path)) as source, closing(sqlite3.connect(copy)) as target:
            tasks = _count_tasks(source)
            # In one step: with several, each report in between would make it begin again.
            source.backup(target)
            # One file, without a log of its own beside it.
            target.execute("PRAGMA journal_mode = DELETE")
        copy.chmod(0o600)
        _on_disk(copy)
        copy.rename(file)
        _on_disk(file.absolute().parent)
    return tasks


def restore(store_url: str, file: Path) -> int:
    """Put a copy in the place of a store, in one transaction: who reads sees either what was or what is put back.

    Returns:
        How many tasks are in it.

    Raises:
        StoreError: the file is no store, or a newer version made it, or what is in the store's place is none.
        StoreUnavailable: the store is locked for too long, or the disk is full.
    """
    path = _path_of(store_url)
    with _failing(), _in_folder_of(path) as folder:
        copy = folder / "copy"
        with closing(_opened(file)) as source, closing(sqlite3.connect(copy)) as target:
            tasks = _count_tasks(source)
            source.backup(target)
        # A damaged copy is never put back, and an older one is brought up to date before a running server sees it.
        with closing(sqlite3.connect(copy)) as connection:
            if (found := connection.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
                raise StoreError(f"{str(file)!r} is damaged: {found}")
        Store(f"{_PREFIX}{copy}").close()
        Store(store_url).close()  # which makes one, or refuses what is none
        with closing(_opened(copy)) as source, closing(_opened(path)) as target:
            target.execute("PRAGMA synchronous = FULL")
            # Past the turnstile nobody else begins to write, and this gets its turn, however much is being reported.
            with FairFileLock(path.with_name(f"{path.name}-turn")).hold():
                source.backup(target, progress=_unless_locked)
    return tasks


def _unless_locked(status: int, _remaining: int, _total: int) -> None:
    # The driver would try for ever, and has waited for long already.
    if status == sqlite3.SQLITE_BUSY:
        raise StoreUnavailable(f"the store was in use for {_BUSY_SECONDS:.0f} seconds")


def _path_of(store_url: str) -> Path:
    if store_url.startswith("postgresql"):
        raise StoreError(
            "PostgreSQL has its own: pg_dump --format=custom makes a copy while the database is in use, and pg_restore "
            "--clean puts it back"
        )
    if not store_url.startswith(_PREFIX):
        raise StoreError(f"{store_url!r} is no store that this version knows; write sqlite:///FILE")
    return Path(store_url.removeprefix(_PREFIX)).absolute()


def _opened(path: Path) -> sqlite3.Connection:
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
        raise StoreError("the file is no store of this program") from None
    return count


@contextmanager
def _in_folder_of(file: Path) -> Iterator[Path]:
    """A folder that only we can read, on the same disk."""
    try:
        folder = TemporaryDirectory(prefix=".xpander-report-", dir=file.absolute().parent)
    except OSError as error:
        raise StoreError(f"cannot write beside {str(file)!r}: {error.strerror}") from None
    with folder as name:
        yield Path(name)


@contextmanager
def _failing() -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        raise StoreUnavailable(str(error)) from error
    except sqlite3.DatabaseError as error:
        raise StoreError(f"the file is no store: {error}") from error


def _on_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
