"""Execution of blocking calls (database access, key hashes): inline, or in a worker thread."""

from collections.abc import Callable
from typing import Protocol, TypeVar

import anyio
import anyio.to_thread

T = TypeVar("T")


class BlockingRunner(Protocol):
    """Function that executes a blocking call and returns its result."""

    async def __call__(self, call: Callable[[], T], /) -> T:
        """Execute `call` and return its result."""
        ...


async def run_in_threadpool(call: Callable[[], T], /) -> T:
    """Execute `call` in a worker thread, so that the event loop is not blocked."""
    return await anyio.to_thread.run_sync(call)


class LimitedThreadPool:
    """Execution in worker threads of which at most a given number run at once; other calls are queued.

    Args:
        max_threads: Calls that run at the same time.
    """

    def __init__(self, max_threads: int) -> None:
        self._limiter = anyio.CapacityLimiter(max_threads)

    async def __call__(self, call: Callable[[], T], /) -> T:
        """Execute `call` in a worker thread."""
        return await anyio.to_thread.run_sync(call, limiter=self._limiter)


async def run_inline(call: Callable[[], T], /) -> T:
    """Execute `call` in the current thread, for callers that have no event loop."""
    return call()
