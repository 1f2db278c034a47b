"""Waiting for file descriptors.

A process has a limited number of descriptors (`ulimit -n`), and each connection takes one. A call that cannot open a
connection waits until another call returns its connection, or until its deadline:

    connect → EMFILE → pause → take an idle connection, or connect → …
"""

import errno
import os
import socket
from collections.abc import Iterator

_ERRORS = (errno.EMFILE, errno.ENFILE)  # the limit of the process, and that of the machine


def is_out_of_descriptors(error: BaseException | None) -> bool:
    """Return whether a connection failed because the process has no free descriptor."""
    while error is not None:
        if isinstance(error, BaseExceptionGroup):
            return any(is_out_of_descriptors(part) for part in error.exceptions)
        if isinstance(error, socket.gaierror):
            return _cannot_open_file()  # the name lookup does not tell the reason: it needs files and sockets itself
        if isinstance(error, OSError) and error.errno in _ERRORS:
            return True
        error = error.__cause__ or error.__context__
    return False


def pauses() -> Iterator[float]:
    """Yield the seconds between two attempts to get a connection."""
    pause = 0.005
    while True:
        yield pause
        pause = min(0.1, pause * 1.5)


def _cannot_open_file() -> bool:
    try:
        os.close(os.open(os.devnull, os.O_RDONLY))
    except OSError as error:
        return error.errno in _ERRORS
    return False
