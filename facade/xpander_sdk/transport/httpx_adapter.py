"""Transports that send through an httpx transport of the caller."""

import time
from collections.abc import Callable
from typing import Any
from urllib.parse import SplitResult

import anyio
import httpx

from xpander_sdk.settings.retry import Timeouts
from xpander_sdk.transport import http_library  # noqa: F401  # The caller's transport uses httpcore.
from xpander_sdk.transport.base import Request, Response, TransportError, append_chunk, build_response


class HttpxTransport:
    """Adapter of a synchronous httpx transport.

    Args:
        create: Callable that returns the httpx transport.
        url: URL of the destination.
    """

    def __init__(self, create: Callable[[], Any], url: SplitResult) -> None:
        self._transport = create()
        self._origin = f"{url.scheme}://{url.netloc}"

    def send(self, request: Request, timeouts: Timeouts, deadline: float) -> Response:
        """Send one attempt of the request and return the complete response; see `Transport.send`."""
        try:
            response = self._transport.handle_request(_httpx_request(self._origin, request, timeouts, deadline))
            try:
                body = bytearray(response.content if response.is_stream_consumed else b"")
                for chunk in () if response.is_stream_consumed else response.iter_raw():
                    append_chunk(body, chunk)
                    if time.monotonic() > deadline:
                        raise TransportError("the total timeout expired", is_timeout=True)
                return _build_response(response, bytes(body))
            finally:
                response.close()
        except (httpx.RequestError, OSError) as error:
            raise _transport_error(error) from error

    def close(self) -> None:
        """Close the httpx transport."""
        self._transport.close()


class AsyncHttpxTransport:
    """Adapter of an asynchronous httpx transport, for one event loop. Its arguments are those of `HttpxTransport`."""

    def __init__(self, create: Callable[[], Any], url: SplitResult) -> None:
        self._transport = create()
        self._origin = f"{url.scheme}://{url.netloc}"

    async def send(self, request: Request, timeouts: Timeouts, deadline: float) -> Response:
        """Send one attempt of the request and return the complete response; see `AsyncTransport.send`."""
        try:
            with anyio.fail_after(max(0.0, deadline - time.monotonic())):
                httpx_request = _httpx_request(self._origin, request, timeouts, deadline)
                response = await self._transport.handle_async_request(httpx_request)
                try:
                    body = bytearray(response.content if response.is_stream_consumed else b"")
                    if not response.is_stream_consumed:
                        async for chunk in response.aiter_raw():
                            append_chunk(body, chunk)
                    return _build_response(response, bytes(body))
                finally:
                    await response.aclose()
        except TimeoutError as error:
            raise TransportError("the total timeout expired", is_timeout=True) from error
        except (httpx.RequestError, OSError) as error:
            raise _transport_error(error) from error

    async def close(self) -> None:
        """Close the httpx transport."""
        await self._transport.aclose()


def _httpx_request(origin: str, request: Request, timeouts: Timeouts, deadline: float) -> httpx.Request:
    remaining = max(0.001, deadline - time.monotonic())
    timeout = httpx.Timeout(min(timeouts.read, remaining), connect=min(timeouts.connect, remaining))
    return httpx.Request(
        request.method,
        origin + request.target.decode("ascii"),
        headers=request.headers,
        content=request.content,
        extensions={"timeout": timeout.as_dict()},
    )


def _build_response(response: httpx.Response, body: bytes) -> Response:
    if response.is_stream_consumed and hasattr(response, "_content"):
        return Response(response.status_code, dict(response.headers), body)  # httpx has decompressed the body
    return build_response(response.status_code, response.headers.raw, body)


def _transport_error(error: Exception) -> TransportError:
    return TransportError(f"{type(error).__name__}: {error}", is_timeout=isinstance(error, httpx.TimeoutException))
