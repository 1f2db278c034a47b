"""Files that hold runs: readable by their owner only, and never written through a link that somebody else has planted.

The folder may be shared with others, for example `/tmp`. So a new file is created exclusively, and an existing one is
used only if it is a regular file of this user with a single name. The modes do not depend on the umask.
"""

import errno
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO

_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)
_HAS_OWNERS = hasattr(os, "geteuid")


def check_folder(folder: str, trusted_file: str | None = None) -> None:
    """Check that nobody else can replace the files of a folder.

    Args:
        folder: path of the folder.
        trusted_file: file whose owner may own the folder as well.

    Raises:
        OSError: the folder does not exist, belongs to another user, or every user may replace its files.
    """
    folder = folder or "."
    status = os.stat(folder)
    if not _HAS_OWNERS:
        return
    trusted_users = {os.geteuid(), 0}
    if trusted_file is not None:
        trusted_users.add(os.stat(trusted_file).st_uid)
    if status.st_uid not in trusted_users:
        raise _error("the folder belongs to another user", folder)
    if status.st_mode & stat.S_IWOTH and not status.st_mode & stat.S_ISVTX:
        raise _error("every user may replace the files of this folder", folder)


def open_private(path: str, mode: str) -> IO[bytes]:
    """Open an existing file of this user, or create one.

    Args:
        path: path of the file.
        mode: `rb` to read an existing file, `ab` to append.

    Raises:
        OSError: the file cannot be opened, or somebody else may have planted it.
    """
    flags = os.O_RDONLY if mode == "rb" else os.O_WRONLY | os.O_APPEND | os.O_CREAT
    descriptor = os.open(path, flags | _NO_FOLLOW | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0), 0o600)
    try:
        status = os.fstat(descriptor)
        is_own = not _HAS_OWNERS or (status.st_uid == os.geteuid() and status.st_nlink == 1)
        if not stat.S_ISREG(status.st_mode) or not is_own:
            raise _error("it must be a regular file of this user with a single name; remove it", path)
        if mode != "rb" and _HAS_OWNERS:
            os.fchmod(descriptor, 0o600)
        return os.fdopen(descriptor, mode)
    except BaseException:
        os.close(descriptor)
        raise


@contextmanager
def replace_private(path: str) -> Iterator[IO[bytes]]:
    """Open a temporary file that gets the name `path` at the end of the block; it is removed if the block fails.

    A link at `path` is replaced, not followed. A killed process leaves the previous file or the new one.

    Args:
        path: path of the file.

    Raises:
        OSError: the file cannot be written.
    """
    folder, name = os.path.split(path)
    # Created exclusively, with an unpredictable name and for the owner only.
    descriptor, temporary_path = tempfile.mkstemp(prefix=f".{name[:100]}.", suffix=".part", dir=folder or ".")
    try:
        with open(descriptor, "wb") as file:
            yield file
        os.replace(temporary_path, path)
    except BaseException:
        with suppress(FileNotFoundError):
            os.remove(temporary_path)
        raise


def _error(reason: str, path: str) -> OSError:
    return OSError(errno.EPERM, reason, path)
