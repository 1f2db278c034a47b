"""How to do what may take long (the store, a key's hash): with an event loop around, or without one."""

from collections.abc import Callable
from typing import Protocol, TypeVar

import anyio.to_thread

T = TypeVar("T")


class BlockingRunner(Protocol):
    async def __call__(self, call: Callable[[], T], /) -> T: ...


async def run_in_threadpool(call: Callable[[], T], /) -> T:
    """In a worker thread, while the event loop goes on."""
    return await anyio.to_thread.run_sync(call)


async def run_inline(call: Callable[[], T], /) -> T:
    """Here and now, for a caller that has no event loop to hold up."""
    return call()
