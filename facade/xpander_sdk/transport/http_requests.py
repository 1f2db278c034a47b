"""Requests to one destination as httpcore takes them, and httpcore's errors as those of a transport."""

import ssl
from collections.abc import Iterator
from urllib.parse import SplitResult

from xpander_sdk.settings.retry import Timeouts
from xpander_sdk.transport import log_filter  # noqa: F401  (from its import on, httpcore's logs are redacted)
from xpander_sdk.transport.base import Request, TransportError
from xpander_sdk.transport.http_library import httpcore

HTTPCORE_ERRORS = (
    httpcore.TimeoutException,
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.ProxyError,
    httpcore.UnsupportedProtocol,
    OSError,  # TLS errors after the handshake, which httpcore does not convert on anyio
)

NO_DESCRIPTOR = "the total timeout expired before the process had a free file descriptor; raise its limit (ulimit -n)"


class Origin:
    """Scheme, host and port of a destination, encoded once for all requests."""

    def __init__(self, url: SplitResult) -> None:
        self._scheme = url.scheme.lower().encode("ascii")
        self._host = _encode_host(url.hostname or "")
        self._port = url.port or (443 if self._scheme == b"https" else 80)
        self._host_header = (b"host", _encode_host(url.netloc))
        self.origin = httpcore.URL(scheme=self._scheme, host=self._host, port=self._port, target="/").origin

    def httpcore_request(self, request: Request, timeouts: Timeouts) -> httpcore.Request:
        """Return a request to the destination."""
        return httpcore.Request(
            request.method.encode("ascii"),
            httpcore.URL(scheme=self._scheme, host=self._host, port=self._port, target=request.target),
            headers=[self._host_header, *request.headers],
            content=_Content(request.content),
            extensions={"timeout": {"connect": timeouts.connect, "read": timeouts.read, "write": timeouts.read}},
        )


class _Content:
    """Body of a request, for both transports.

    httpcore's own class is an asynchronous generator, which a cancelled request leaves unfinished.
    """

    def __init__(self, content: bytes) -> None:
        self._parts = iter((content,) if content else ())

    def __iter__(self) -> Iterator[bytes]:
        return self._parts

    def __aiter__(self) -> "_Content":
        return self

    async def __anext__(self) -> bytes:
        try:
            return next(self._parts)
        except StopIteration:
            raise StopAsyncIteration from None


def _encode_host(host: str) -> bytes:
    return host.encode("ascii" if host.isascii() else "idna")


def transport_error(error: Exception) -> TransportError:
    """Return httpcore's error as that of a transport; it is not retryable if another attempt cannot succeed."""
    causes = [cause for cause in (error, error.__cause__, error.__context__) if cause is not None]
    description = next((str(cause) for cause in causes if str(cause)), type(error).__name__)
    is_retryable = not any(isinstance(cause, ssl.SSLCertVerificationError) for cause in causes)
    if "WRONG_VERSION_NUMBER" in description:
        description = f"{description}. The server does not use TLS; base_url must perhaps begin with http://"
        is_retryable = False
    return TransportError(
        description, is_timeout=isinstance(error, httpcore.TimeoutException), is_retryable=is_retryable
    )
