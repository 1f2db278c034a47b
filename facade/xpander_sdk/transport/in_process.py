"""An embedded store: the whole server, without a socket."""

from typing import TYPE_CHECKING

from xpander_sdk.settings.retry import Timeouts
from xpander_sdk.transport.base import Request, Response, build_response

if TYPE_CHECKING:
    from xpander_server.embedded import Embedded


class InProcessTransport:
    def __init__(self, store: "Embedded") -> None:
        self._store = store

    def send(self, request: Request, timeouts: Timeouts, deadline: float) -> Response:
        return build_response(*self._store.call(request.method, request.target, request.headers, request.content))

    def close(self) -> None:
        pass  # whoever opened the store closes it


class AsyncInProcessTransport:
    def __init__(self, store: "Embedded") -> None:
        self._store = store

    async def send(self, request: Request, timeouts: Timeouts, deadline: float) -> Response:
        return build_response(
            *await self._store.acall(request.method, request.target, request.headers, request.content)
        )

    async def close(self) -> None:
        pass  # whoever opened the store closes it
