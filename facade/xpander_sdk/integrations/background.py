"""Threads for reports of adapters whose callbacks run on an event loop.

A direct report waits for the backend's response, up to 5 seconds. Callbacks on an event loop, or in threads that a
framework shares among its callbacks, must not wait, so these reports are sent by threads, which the interpreter joins
when the program ends.
"""

import asyncio
import logging
import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait

_THREADS = 4
MAX_PENDING = 1_000
"""Reports that wait for a thread, at most. Further ones are left out and logged."""

_log = logging.getLogger("xpander_sdk")


class _Pool:
    """Threads of this process, and the reports that they have not sent."""

    def __init__(self) -> None:
        self.process_id = os.getpid()
        self.executor = ThreadPoolExecutor(_THREADS, thread_name_prefix="xpander-report")
        self.pending: set[Future[None]] = set()


_pools: list[_Pool] = []  # at most one; a forked process gets its own


def is_on_event_loop() -> bool:
    """Return whether the caller runs on an asyncio event loop, which it must not block."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def submit(send: Callable[[], None]) -> None:
    """Let a thread call `send`, which must not raise.

    Args:
        send: Function that sends one report.
    """
    pool = _pools[0] if _pools else None
    if pool is None or pool.process_id != os.getpid():
        pool = _Pool()
        _pools[:] = [pool]
    if len(pool.pending) >= MAX_PENDING:
        _log.warning("a run was not reported: %d reports wait for the backend", MAX_PENDING)
        return
    try:
        future = pool.executor.submit(send)
    except RuntimeError:  # the interpreter ends and starts no more threads
        send()
        return
    pool.pending.add(future)
    future.add_done_callback(pool.pending.discard)


def flush(timeout: float) -> bool:
    """Wait until all reports are sent.

    Args:
        timeout: Maximum time to wait, in seconds.

    Returns:
        Whether all reports were sent.
    """
    if not _pools or _pools[0].process_id != os.getpid():
        return True
    return not wait(set(_pools[0].pending), timeout).not_done
