"""Files of SQLite stores, which only their owner may read: they hold results, keys and sessions."""

import logging
import os
import stat
from contextlib import suppress
from pathlib import Path

_log = logging.getLogger("xpander_server")

_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)
_HAS_OWNERS = hasattr(os, "geteuid")
_SUFFIXES = ("", "-wal", "-shm")


def create_private(path: Path) -> None:
    """Create the file of a store if it does not exist, so that only its owner can read it.

    The mode does not depend on the umask. SQLite gives its `-wal` and `-shm` the mode of the file.

    A file that cannot be created is left to SQLite, whose error names the reason.
    """
    with suppress(OSError):
        # Not SQLite: it would create the file with the rights that the umask allows.
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | _NO_FOLLOW, 0o600)
        os.close(descriptor)
        path.chmod(0o600)  # The umask may have removed rights of the owner.


def restrict(path: Path) -> None:
    """Restrict the existing files of a store to their owner, if every user of the machine may use them.

    A file that nobody but its owner and its group may use was set up like that, and is left alone. The caller has made
    sure that the file is a store.
    """
    if _HAS_OWNERS:
        for suffix in _SUFFIXES:
            with suppress(FileNotFoundError):
                _restrict(f"{path}{suffix}")


def _restrict(name: str) -> None:
    status = os.stat(name)
    mode = stat.S_IMODE(status.st_mode)
    if not stat.S_ISREG(status.st_mode) or not mode & 0o007:
        return
    try:
        os.chmod(name, 0o600)
        _log.warning("restricted the file %r to its owner: its mode was %o", name, mode)
    except OSError as error:
        _log.warning("every user of this machine can read the file %r: mode %o, %s", name, mode, error.strerror)
