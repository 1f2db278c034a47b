"""Execution of blocking calls (database access, key hashes): inline, or in a worker thread."""

from collections.abc import Callable
from typing import Protocol, TypeVar

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


async def run_inline(call: Callable[[], T], /) -> T:
    """Execute `call` in the current thread, for callers that have no event loop."""
    return call()
