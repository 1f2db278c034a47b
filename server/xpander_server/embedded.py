"""The server without a socket: the same application over a file, called in-process."""

from collections.abc import Coroutine, Sequence
from typing import Any

from starlette.types import ASGIApp, Message, Scope

from xpander_server.api.app import create_app
from xpander_server.auth.authentication import SingleOrganizationAuthenticator
from xpander_server.http.concurrency import run_in_threadpool, run_inline
from xpander_server.store import DEFAULT_ORGANIZATION, Store, StoreError

__all__ = ["Embedded", "StoreError"]

Headers = Sequence[tuple[bytes, bytes]]
Answer = tuple[int, list[tuple[bytes, bytes]], bytes]


class Embedded:
    """A store on this machine, behind the contract. Safe to share between threads; one for each process.

    Args:
        url: `sqlite:///FILE`.
        organization_id: whose the tasks are. Default: "local".

    Raises:
        StoreError: the store cannot be used as it is.
    """

    def __init__(self, url: str, organization_id: str | None = None) -> None:
        self._store = Store(url)
        authenticator = SingleOrganizationAuthenticator(organization_id or DEFAULT_ORGANIZATION)
        self._in_place = create_app(self._store, authenticator, run_inline)
        self._in_threads = create_app(self._store, authenticator, run_in_threadpool)

    def close(self) -> None:
        self._store.close()

    def pause(self) -> None:
        """Close the database, and hold back who wants it, until `resume`: for the moment of a fork."""
        self._store.pause()

    def resume(self) -> None:
        self._store.resume()

    def call(self, method: str, target: bytes, headers: Headers, body: bytes) -> Answer:
        """Answer one request; `target` is the path with its query, percent-encoded."""
        return _stepped(_answer(self._in_place, method, target, headers, body))

    async def acall(self, method: str, target: bytes, headers: Headers, body: bytes) -> Answer:
        """`call`, with the store in a worker thread."""
        return await _answer(self._in_threads, method, target, headers, body)


def _stepped(coroutine: Coroutine[Any, Any, Answer]) -> Answer:
    # With everything done in place, the application never waits for an event loop: it runs through at one step. So the
    # synchronous form needs no loop and no thread of its own, and works in any thread, in a running loop, after a fork.
    try:
        coroutine.send(None)
    except StopIteration as done:
        answer: Answer = done.value
        return answer
    coroutine.close()
    raise RuntimeError("the application waited for an event loop that is not there")


async def _answer(app: ASGIApp, method: str, target: bytes, headers: Headers, body: bytes) -> Answer:
    path, _, query = target.partition(b"?")
    scope: Scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path.decode("latin-1"),
        "raw_path": path,
        "query_string": query,
        "root_path": "",
        "headers": [(name.lower(), value) for name, value in headers],
        "client": None,
        "server": None,
    }
    requests: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]
    responses: list[Message] = []

    async def receive() -> Message:
        return requests.pop() if requests else {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        responses.append(message)

    await app(scope, receive, send)
    start = responses[0]
    return start["status"], list(start["headers"]), b"".join(part.get("body", b"") for part in responses[1:])
