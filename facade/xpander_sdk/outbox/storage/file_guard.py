"""Files of an outbox on disk: the database, SQLite's `-wal` and `-shm`, and the lock file.

A file decides where reports and keys are sent, so each file must belong to the user of this process, and nobody else
may write to it. Otherwise another user of the machine could put a file of their own into a shared folder.

SQLite's locks protect the content of the file. They cannot protect the steps that create, open or rename the file, so
`lock_file` serializes those across processes and threads.
"""

import logging
import os
import sqlite3
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from xpander_sdk._clock import monotonic
from xpander_sdk._private_folder import create_private_folder
from xpander_sdk._random import uniform
from xpander_sdk.errors import OutboxError

try:
    import fcntl
except ImportError:
    fcntl = None  # type: ignore[assignment]  # no module has the type None

_log = logging.getLogger("xpander_sdk")

BUSY_SECONDS = 10
"""Time to wait for another process that holds a lock, in seconds."""
_RESERVED_BYTES = 8 << 20  # Twice the size that SQLite's log reaches before a worker moves it into the file.

_held_by_thread = threading.local()
_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)
_HAS_OWNERS = hasattr(os, "geteuid")

FileId = tuple[int, int]
"""Device and inode of a file: they tell a file from another one that replaced it under the same path."""


def file_id(path: str) -> FileId | None:
    """Return the identity of the file at `path`; None if there is no file."""
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _unusable(path, error) from error
    return status.st_dev, status.st_ino


def create_folder(path: str) -> None:
    """Create the folder of the file `path` and its missing parents, accessible to their owner only."""
    try:
        create_private_folder(os.path.dirname(path))
    except OSError as error:
        raise _unusable(path, error) from error


def create_private_file(path: str) -> None:
    """Create an empty file that only its owner can read, if it does not exist; the umask has no effect.

    Raises:
        OutboxError: A file cannot be trusted, or cannot be created.
    """
    try:
        with suppress(FileExistsError):
            descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | _NO_FOLLOW, 0o600)
            os.close(descriptor)
            os.chmod(path, 0o600)
    except OSError as error:
        raise _unusable(path, error) from error
    check_files(path)


def restrict_files(path: str) -> None:
    """Make the files of an outbox readable by their owner only; the caller has made sure that it is an outbox.

    Raises:
        OutboxError: A file cannot be trusted, or cannot be restricted.
    """
    try:
        for name, status in check_files(path):
            if status.st_mode & 0o077 and _HAS_OWNERS:
                os.chmod(name, 0o600)
    except OSError as error:
        raise _unusable(path, error) from error


def check_files(path: str) -> list[tuple[str, os.stat_result]]:
    """Return the existing files of the database at `path` with their status.

    Raises:
        OutboxError: A file is a link, belongs to another user, or others may write to it.
    """
    files = []
    for name in (path, f"{path}-wal", f"{path}-shm"):
        try:
            status = os.lstat(name)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise _unusable(path, error) from error
        _check_trust(path, name, status)
        files.append((name, status))
    return files


def _check_trust(path: str, name: str, status: os.stat_result) -> None:
    if stat.S_ISLNK(status.st_mode):
        reason = f"{name} is a symbolic link; set XPANDER_OUTBOX to the path that it leads to"
    elif not stat.S_ISREG(status.st_mode):
        reason = f"{name} is not a regular file; set XPANDER_OUTBOX to another path"
    elif _HAS_OWNERS and status.st_uid != os.geteuid():
        reason = (
            f"{name} belongs to the user with id {status.st_uid}, and this process runs as {os.geteuid()}; run it as "
            "that user, or set XPANDER_OUTBOX to a path of its own"
        )
    elif _HAS_OWNERS and status.st_mode & 0o022:
        reason = (
            f"others may write to {name}, so its content cannot be trusted; move it away, or run chmod 600 {name} if "
            "nobody can have changed it"
        )
    else:
        return
    raise OutboxError(f"the outbox {path} cannot be used: {reason}")


@contextmanager
def lock_file(path: str) -> Iterator[None]:
    """Hold the exclusive lock of `<path>.lock` during the block.

    A signal handler that interrupts the block does not wait for the thread that it has interrupted.

    Raises:
        OutboxError: Another process has held the lock for `BUSY_SECONDS`, or the lock file cannot be created.
    """
    held: set[str] = _held_by_thread.__dict__.setdefault("paths", set())
    if path in held or fcntl is None:  # Windows does not rename open files, so a lock is not necessary there.
        yield
        return
    try:
        descriptor = os.open(f"{path}.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | _NO_FOLLOW, 0o600)
    except OSError as error:
        raise _unusable(f"{path}.lock", error) from error
    try:
        _check_trust(path, f"{path}.lock", os.fstat(descriptor))
        os.fchmod(descriptor, 0o600)  # The umask may have removed the owner's right to open the file again.
        deadline = monotonic() + BUSY_SECONDS
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if monotonic() > deadline:  # The other process may be frozen and never release the lock.
                    reason = f"another process has held its lock file for {BUSY_SECONDS} seconds"
                    raise OutboxError(f"the outbox {path} cannot be used: {reason}") from None
            sleep_briefly()
        held.add(path)
        yield
    finally:
        held.discard(path)
        os.close(descriptor)


def sleep_briefly() -> None:
    """Sleep for a short random time before the next attempt to take a lock.

    SQLite's own busy handler sleeps longer with each attempt, so a busy process would starve the others.
    """
    time.sleep(uniform(0.0001, 0.002))


def set_aside(path: str, damaged: FileId | None, error: sqlite3.Error) -> None:
    """Rename a damaged file together with its `-wal` and `-shm`; nothing is deleted.

    Args:
        path: Path of the outbox.
        damaged: Identity of the damaged file. If the path now leads to another file, a second process was faster, and
            nothing is renamed.
        error: Error that shows the damage.

    Raises:
        OutboxError: The file cannot be renamed.
    """
    new_path = f"{path}.corrupt-{time.time_ns()}"
    with lock_file(path):
        if damaged is None or file_id(path) != damaged:
            return
        try:
            for suffix in ("-wal", "-shm", ""):
                with suppress(FileNotFoundError):
                    os.replace(f"{path}{suffix}", f"{new_path}{suffix}")
        except OSError as rename_error:
            raise _unusable(path, rename_error) from error
        _log.error("the outbox %s is damaged and was set aside as %s: %s", path, new_path, error)


def has_free_space(path: str, size: int) -> bool:
    """Return whether the disk can take `size` more bytes and still has the space that deliveries need.

    Deleting a delivered report writes to the disk as well. All of SQLite's log must fit into the file before SQLite can
    reuse the log, so the size of the log counts too.
    """
    if not hasattr(os, "statvfs"):
        return True
    try:
        disk = os.statvfs(os.path.dirname(path))
        log_size = os.stat(f"{path}-wal").st_size
    except OSError:  # The folder or the log does not exist yet.
        return True
    return disk.f_bavail * disk.f_frsize >= size + log_size + _RESERVED_BYTES


def _unusable(path: str, error: OSError) -> OutboxError:
    return OutboxError(f"the outbox {path} cannot be used: {error.strerror}; set XPANDER_OUTBOX to another path")
