"""File descriptors: the limit of the process, and the number of connections that fit below it."""

import sys

if sys.platform != "win32":
    import resource

_MAX_SOFT_LIMIT = 65_536
_RESERVE = 192
"""Descriptors for everything but connections: the store's connections in 40 threads, logs, and lingering refusals."""


def reserve_connections() -> int | None:
    """Raise the process's limit of file descriptors as far as permitted, and return how many connections fit below it.

    Returns:
        Number of connections; None where the system has no such limit.
    """
    if sys.platform == "win32":
        return None
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MAX_SOFT_LIMIT if hard == resource.RLIM_INFINITY else min(hard, _MAX_SOFT_LIMIT)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    if soft == resource.RLIM_INFINITY:
        soft = _MAX_SOFT_LIMIT
    return soft - min(_RESERVE, soft // 2)
