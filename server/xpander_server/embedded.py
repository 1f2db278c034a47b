"""Embedded backend: the server's application on a store, called in the caller's process without a socket.

The SDK uses it where `base_url` is `sqlite:///…` or `postgresql://…`. The application exists twice on one store: one
copy executes store calls inline, for `call`; the other executes them in worker threads, for `acall`.
"""

from collections.abc import Coroutine, Sequence
from functools import cached_property
from typing import Any

from starlette.types import ASGIApp, Message, Scope

from xpander_server.api.app import create_app
from xpander_server.auth.authentication import SingleOrganizationAuthenticator
from xpander_server.http.concurrency import run_in_threadpool, run_inline
from xpander_server.store import DEFAULT_ORGANIZATION, Store, StoreError

__all__ = ["Embedded", "StoreError"]

Headers = Sequence[tuple[bytes, bytes]]
RawResponse = tuple[int, list[tuple[bytes, bytes]], bytes]
"""Status, headers and body."""


class Embedded:
    """Store with the API of the contract, without authentication. Threads may share it; each process needs its own.

    Args:
        url: `sqlite:///FILE` or `postgresql://…`.
        organization_id: Organization of all tasks. Default: "local".

    Raises:
        StoreError: The store cannot be opened.
    """

    def __init__(self, url: str, organization_id: str | None = None) -> None:
        self._store = Store(url, is_embedded=True)
        self._authenticator = SingleOrganizationAuthenticator(organization_id or DEFAULT_ORGANIZATION)

    # Most programs use one of the two forms.

    @cached_property
    def _inline_app(self) -> ASGIApp:
        return create_app(self._store, self._authenticator, run_inline)

    @cached_property
    def _threadpool_app(self) -> ASGIApp:
        return create_app(self._store, self._authenticator, run_in_threadpool)

    def prepare(self, *, is_async: bool) -> None:
        """Create the application of `call` or `acall` before the first request.

        The SDK prepares it while no other thread can fork: a child must not inherit an import that has not finished.

        Args:
            is_async: Whether `acall` will be used.
        """
        _ = self._threadpool_app if is_async else self._inline_app

    def close(self) -> None:
        """Close the store."""
        self._store.close()

    def pause(self) -> None:
        """Close the database and block its users until `resume`. Called before a fork."""
        self._store.pause()

    def resume(self) -> None:
        """Let the users of the database continue after `pause`."""
        self._store.resume()

    def call(self, method: str, target: bytes, headers: Headers, body: bytes) -> RawResponse:
        """Send one request to the application and return the response.

        Args:
            method: HTTP method.
            target: Percent-encoded path and query.
            headers: Names and values of the headers.
            body: Body; empty for none.
        """
        return _run_without_loop(_request(self._inline_app, method, target, headers, body))

    async def acall(self, method: str, target: bytes, headers: Headers, body: bytes) -> RawResponse:
        """Send one request like `call`, with the store in a worker thread. The arguments are those of `call`."""
        return await _request(self._threadpool_app, method, target, headers, body)


def _run_without_loop(coroutine: Coroutine[Any, Any, RawResponse]) -> RawResponse:
    # With `run_inline` the application never suspends, so one `send(None)` runs the coroutine to its end. This needs
    # no event loop and no thread: `call` works in any thread, inside a running loop, and after a fork.
    try:
        coroutine.send(None)
    except StopIteration as end:
        response: RawResponse = end.value
        return response
    coroutine.close()
    raise RuntimeError("the application suspended, but it is called without an event loop")


async def _request(app: ASGIApp, method: str, target: bytes, headers: Headers, body: bytes) -> RawResponse:
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
    request_messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]
    response_messages: list[Message] = []

    async def receive() -> Message:
        return request_messages.pop() if request_messages else {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        response_messages.append(message)

    await app(scope, receive, send)
    start, *body_messages = response_messages
    return start["status"], list(start["headers"]), b"".join(message.get("body", b"") for message in body_messages)
