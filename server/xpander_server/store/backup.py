"""Copies of a store in a SQLite file, whole as of one commit, while others write."""

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from xpander_server.store.errors import StoreError

_NOT_A_FILE = "only a SQLite store is backed up by us; use pg_dump and pg_restore for PostgreSQL"


def backup(url: str, to: Path) -> None:
    """Copy a store into a file that is not there yet; nobody who writes has to wait.

    Raises:
        StoreError: it is no file, or the copy is there already or cannot be written.
    """
    store = _file(url)
    if not store.exists():
        raise StoreError(f"there is no store {str(store)!r}")
    with _new(to) as part, closing(sqlite3.connect(store)) as source, closing(sqlite3.connect(part)) as target:
        # All of it at one step, and so as of one moment.
        source.backup(target, pages=-1)
        _check(target, part)


def restore(copy: Path, url: str) -> None:
    """Make a store from a backup; there must be none at the URL.

    Raises:
        StoreError: there is a store already, the URL is no file's, or the backup is damaged.
    """
    if not copy.exists():
        raise StoreError(f"there is no backup {str(copy)!r}")
    with _new(_file(url)) as part:
        shutil.copyfile(copy, part)
        with closing(sqlite3.connect(part)) as restored:
            _check(restored, copy)


@contextmanager
def _new(path: Path) -> Iterator[Path]:
    """A file to write to, which is at its place when it is whole and on disk, and not before."""
    if path.exists():
        raise StoreError(f"{str(path)!r} is there already; nothing is overwritten")
    part = path.with_name(f"{path.name}.part")
    try:
        part.unlink(missing_ok=True)
        yield part
        _to_disk(part)
        part.replace(path)
        _to_disk(path.parent)
    except (OSError, sqlite3.Error) as error:
        raise StoreError(f"cannot write {str(path)!r}: {error}") from error
    finally:
        part.unlink(missing_ok=True)


def _to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _file(url: str) -> Path:
    scheme, _, path = url.partition(":///")
    if scheme != "sqlite" or not path:
        raise StoreError(_NOT_A_FILE)
    return Path(path).absolute()


def _check(connection: sqlite3.Connection, path: Path) -> None:
    try:
        (told,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
        connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.DatabaseError as error:
        raise StoreError(f"{str(path)!r} is no store: {error}") from None
    if told != "ok":
        raise StoreError(f"{str(path)!r} is damaged: {told}")
