"""An embedded store: the whole server, without a socket."""

from typing import TYPE_CHECKING

from xpander_sdk.retry import Timeouts
from xpander_sdk.transport.message import Answer, Request, answer_of

if TYPE_CHECKING:
    from xpander_server.embedded import Embedded


class InProcess:
    def __init__(self, store: "Embedded") -> None:
        self._store = store

    def send(self, request: Request, timeouts: Timeouts, deadline: float) -> Answer:
        return answer_of(*self._store.call(request.method, request.target, request.headers, request.content))

    def close(self) -> None:
        pass  # whoever opened the store closes it


class AsyncInProcess:
    def __init__(self, store: "Embedded") -> None:
        self._store = store

    async def send(self, request: Request, timeouts: Timeouts, deadline: float) -> Answer:
        return answer_of(*await self._store.acall(request.method, request.target, request.headers, request.content))

    async def close(self) -> None:
        pass  # whoever opened the store closes it
