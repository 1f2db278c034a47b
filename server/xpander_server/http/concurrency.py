"""Execution of blocking calls (database access, key hashes): inline, or in a worker thread."""

from collections.abc import Callable
from typing import Protocol, TypeVar

import anyio
import anyio.to_thread
from anyio import CapacityLimiter

from xpander_server.http.errors import HTTPError

MAX_LISTS = 6
"""Lists and searches that are executed at a time. A store has more connections, so other requests do not wait."""
MAX_LISTS_OF_ORGANIZATION = 2
"""Lists and searches of one organization that are executed at a time."""
MAX_WAITING_LISTS = 32
"""Lists and searches of one organization that wait."""

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
        self._limiter = CapacityLimiter(max_threads)

    async def __call__(self, call: Callable[[], T], /) -> T:
        """Execute `call` in a worker thread."""
        return await anyio.to_thread.run_sync(call, limiter=self._limiter)


async def run_inline(call: Callable[[], T], /) -> T:
    """Execute `call` in the current thread, for callers that have no event loop."""
    return call()


class ListRunner(Protocol):
    """Function that executes a list or a search of an organization and returns its result."""

    async def __call__(self, organization_id: str, call: Callable[[], T], /) -> T:
        """Execute `call` and return its result."""
        ...


def without_limits(run: BlockingRunner) -> ListRunner:
    """Return a runner of lists that executes all calls with `run` immediately."""

    async def run_list(organization_id: str, call: Callable[[], T], /) -> T:
        return await run(call)

    return run_list


class FairRunner:
    """Runner of expensive calls in worker threads, with limits for all organizations and for each one.

    The limits keep threads and connections for other requests, and for the calls of other organizations: of each
    organization, at most `max_running_of_organization` calls compete for the `max_running` threads.

    Args:
        subject: Name of the calls in the error.
        max_running: Calls that are executed at a time.
        max_running_of_organization: Calls of one organization that are executed at a time, or are next.
        max_waiting_of_organization: Further calls of one organization that wait.
    """

    def __init__(
        self, subject: str, *, max_running: int, max_running_of_organization: int, max_waiting_of_organization: int
    ) -> None:
        self._subject = subject
        self._threads = CapacityLimiter(max_running)
        self._max_running_of_organization = max_running_of_organization
        self._max_of_organization = max_running_of_organization + max_waiting_of_organization
        self._limiters: dict[str, CapacityLimiter] = {}
        self._counts: dict[str, int] = {}

    async def __call__(self, organization_id: str, call: Callable[[], T], /) -> T:
        """Execute `call` in a worker thread, and return its result.

        Raises:
            HTTPError: 503 if too many calls of the organization wait.
        """
        count = self._counts.get(organization_id, 0)
        if count >= self._max_of_organization:
            raise HTTPError(503, f"Too many {self._subject} of this organization wait.", {"Retry-After": "1"})
        self._counts[organization_id] = count + 1
        limiter = self._limiters.setdefault(organization_id, CapacityLimiter(self._max_running_of_organization))
        try:
            async with limiter:
                return await anyio.to_thread.run_sync(call, limiter=self._threads)
        finally:
            self._counts[organization_id] -= 1
            if not self._counts[organization_id]:
                del self._counts[organization_id], self._limiters[organization_id]


class FairListRunner(FairRunner):
    """Runner of lists and searches, which may read much, so they are slower than other requests."""

    def __init__(self) -> None:
        super().__init__(
            "lists and searches",
            max_running=MAX_LISTS,
            max_running_of_organization=MAX_LISTS_OF_ORGANIZATION,
            max_waiting_of_organization=MAX_WAITING_LISTS,
        )
