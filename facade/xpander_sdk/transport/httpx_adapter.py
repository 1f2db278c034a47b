"""An httpx transport that the caller makes."""

import time
from collections.abc import Callable
from typing import Any
from urllib.parse import SplitResult

import anyio
import httpx

from xpander_sdk.settings.retry import Timeouts
from xpander_sdk.transport.base import Request, Response, TransportError, bounded, build_response


class HttpxTransport:
    def __init__(self, make: Callable[[], Any], url: SplitResult) -> None:
        self._transport = make()
        self._base = f"{url.scheme}://{url.netloc}"

    def send(self, request: Request, timeouts: Timeouts, deadline: float) -> Response:
        try:
            response = self._transport.handle_request(_httpx_request(self._base, request, timeouts, deadline))
            try:
                body = bytearray(response.content if response.is_stream_consumed else b"")
                for chunk in () if response.is_stream_consumed else response.iter_raw():
                    body += bounded(body, chunk)
                    if time.monotonic() > deadline:
                        raise TransportError("the total time is up", is_timeout=True)
                return _of_httpx(response, bytes(body))
            finally:
                response.close()
        except (httpx.RequestError, OSError) as error:
            raise _httpx_no_answer(error) from error

    def close(self) -> None:
        self._transport.close()


class AsyncHttpxTransport:
    """One for each event loop."""

    def __init__(self, make: Callable[[], Any], url: SplitResult) -> None:
        self._transport = make()
        self._base = f"{url.scheme}://{url.netloc}"

    async def send(self, request: Request, timeouts: Timeouts, deadline: float) -> Response:
        try:
            with anyio.fail_after(max(0.0, deadline - time.monotonic())):
                sent = _httpx_request(self._base, request, timeouts, deadline)
                response = await self._transport.handle_async_request(sent)
                try:
                    body = bytearray(response.content if response.is_stream_consumed else b"")
                    if not response.is_stream_consumed:
                        async for chunk in response.aiter_raw():
                            body += bounded(body, chunk)
                    return _of_httpx(response, bytes(body))
                finally:
                    await response.aclose()
        except TimeoutError as error:
            raise TransportError("the total time is up", is_timeout=True) from error
        except (httpx.RequestError, OSError) as error:
            raise _httpx_no_answer(error) from error

    async def close(self) -> None:
        await self._transport.aclose()


def _httpx_request(base: str, request: Request, timeouts: Timeouts, deadline: float) -> httpx.Request:
    left = max(0.001, deadline - time.monotonic())
    timeout = httpx.Timeout(min(timeouts.read, left), connect=min(timeouts.connect, left))
    return httpx.Request(
        request.method,
        base + request.target.decode("ascii"),
        headers=request.headers,
        content=request.content,
        extensions={"timeout": timeout.as_dict()},
    )


def _of_httpx(response: httpx.Response, body: bytes) -> Response:
    if response.is_stream_consumed and hasattr(response, "_content"):
        return Response(response.status_code, dict(response.headers), body)  # decoded already
    return build_response(response.status_code, response.headers.raw, body)


def _httpx_no_answer(error: Exception) -> TransportError:
    return TransportError(f"{type(error).__name__}: {error}", is_timeout=isinstance(error, httpx.TimeoutException))
