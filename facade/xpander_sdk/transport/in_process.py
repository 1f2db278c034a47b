"""Transports of an embedded backend: they call the server's application in this process, without a socket."""

from typing import TYPE_CHECKING

from xpander_sdk.settings.retry import Timeouts
from xpander_sdk.transport.base import Request, Response, build_response

if TYPE_CHECKING:
    from xpander_server.embedded import Embedded


class InProcessTransport:
    """Synchronous transport of an embedded store."""

    def __init__(self, store: "Embedded") -> None:
        self._store = store

    def send(self, request: Request, timeouts: Timeouts, deadline: float) -> Response:
        """Execute the request in this thread. The store has its own time limits."""
        return build_response(*self._store.call(request.method, request.target, request.headers, request.content))

    def close(self) -> None:
        """Do nothing: the registry owns the store and closes it."""


class AsyncInProcessTransport:
    """Asynchronous transport of an embedded store."""

    def __init__(self, store: "Embedded") -> None:
        self._store = store

    async def send(self, request: Request, timeouts: Timeouts, deadline: float) -> Response:
        """Execute the request without blocking the event loop. The store has its own time limits."""
        return build_response(
            *await self._store.acall(request.method, request.target, request.headers, request.content)
        )

    async def close(self) -> None:
        """Do nothing: the registry owns the store and closes it."""
