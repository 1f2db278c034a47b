"""How to do what may take long (the store, a key's hash): with an event loop around, or without one."""

from collections.abc import Callable
from typing import Protocol, TypeVar

import anyio.to_thread

T = TypeVar("T")


class Runner(Protocol):
    async def __call__(self, call: Callable[[], T], /) -> T: ...


async def in_thread(call: Callable[[], T], /) -> T:
    """In a worker thread, while the event loop goes on."""
    return await anyio.to_thread.run_sync(call)


async def in_place(call: Callable[[], T], /) -> T:
    """Here and now, for a caller that has no event loop to hold up."""
    return call()
