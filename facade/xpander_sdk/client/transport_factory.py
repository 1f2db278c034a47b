"""Choice of the transport for a destination."""

from typing import TYPE_CHECKING

from xpander_sdk import _fork
from xpander_sdk.client.destination import Destination

if TYPE_CHECKING:
    from xpander_sdk.transport.base import AsyncTransport, Transport
    from xpander_server.embedded import Embedded


def create_transport(destination: Destination, store: "Embedded | None") -> "Transport":
    """Return a new transport: in-process for an embedded store, else the caller's httpx transport, else ours.

    Raises:
        ValueError: The settings have `async_http` but not `http`.
    """
    with _fork.import_lock:
        if store is not None:
            from xpander_sdk.transport.in_process import InProcessTransport

            return InProcessTransport(store)
        if destination.transport.http is not None:
            from xpander_sdk.transport.httpx_adapter import HttpxTransport

            return HttpxTransport(destination.transport.http, destination.url)
        if destination.transport.async_http is not None:
            raise ValueError("TransportSettings must have http= for synchronous calls, got async_http= only")
        from xpander_sdk.transport.http import HttpTransport

        return HttpTransport(destination.transport, destination.url)


def create_async_transport(destination: Destination, store: "Embedded | None") -> "AsyncTransport":
    """Return a new transport for the running event loop.

    Raises:
        ValueError: The settings have `http` but not `async_http`.
    """
    with _fork.import_lock:
        if store is not None:
            from xpander_sdk.transport.in_process import AsyncInProcessTransport

            return AsyncInProcessTransport(store)
        if destination.transport.async_http is not None:
            from xpander_sdk.transport.httpx_adapter import AsyncHttpxTransport

            return AsyncHttpxTransport(destination.transport.async_http, destination.url)
        if destination.transport.http is not None:
            raise ValueError("TransportSettings must have async_http= for asynchronous calls, got http= only")
        from xpander_sdk.transport.http_async import AsyncHttpTransport

        return AsyncHttpTransport(destination.transport, destination.url)
