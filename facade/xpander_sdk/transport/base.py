"""Interface of transports: request, response, and the two errors of an attempt.

Reprs contain no headers, bodies and texts: error reporters show the variables of each frame, and a backend may repeat
secrets that it received.
"""

import re
import zlib
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Protocol

import anyio.to_thread
from attrs import field, frozen

from xpander_sdk.settings.retry import Timeouts

MAX_RESPONSE_BYTES = 128 * 1024 * 1024  # larger than any response of the API
MAX_RESPONSE_VALUES = 2_000_000  # a report has half as many at most
_MAX_INLINE_BYTES = 16 * 1024  # compressed; even a bomb of this size is decompressed within milliseconds
_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[,\[{]', re.DOTALL)  # a string, or the begin of a further value

Header = tuple[bytes, bytes]


@frozen
class Request:
    """HTTP request.

    Attributes:
        method: The method, in capitals.
        target: Path and query, percent-encoded.
        headers: All headers except `host`, which the transport adds.
        content: The body; may be empty.
    """

    method: str
    target: bytes
    headers: list[Header] = field(repr=False)
    content: bytes = field(repr=False)


@frozen
class Response:
    """HTTP response.

    Attributes:
        status: The status code.
        headers: Headers by name, in lower case.
        body: The decompressed body.
    """

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


class _AttemptError(Exception):
    def __repr__(self) -> str:
        return f"{type(self).__name__}(…)"


class TransportError(_AttemptError):
    """No response arrived.

    Attributes:
        is_timeout: A timeout expired.
        is_retryable: Another attempt may succeed.
    """

    def __init__(self, description: str, *, is_timeout: bool = False, is_retryable: bool = True) -> None:
        super().__init__(description)
        self.is_timeout = is_timeout
        self.is_retryable = is_retryable


class DecodingError(_AttemptError):
    """A response arrived, but cannot be decoded.

    Attributes:
        status: Status code of the response, if it is known.
    """

    def __init__(self, description: str, status: int | None = None) -> None:
        super().__init__(description)
        self.status = status


class Transport(Protocol):
    """Synchronous transport."""

    def send(self, request: Request, timeouts: Timeouts, deadline: float) -> Response:
        """Send one attempt of the request and return the complete response.

        Args:
            request: The request.
            timeouts: Limits for the connection and for each read; `total` is not used.
            deadline: Time by which the response must be complete (monotonic clock, seconds).

        Raises:
            TransportError: No response arrived.
            DecodingError: The response cannot be decoded, or is too large.
        """
        ...

    def close(self) -> None:
        """Close idle connections. Connections in use are closed when their response is complete."""
        ...


class AsyncTransport(Protocol):
    """Asynchronous transport, for one event loop. Arguments and errors are those of `Transport`."""

    async def send(self, request: Request, timeouts: Timeouts, deadline: float) -> Response:
        """Send one attempt of the request and return the complete response."""
        ...

    async def close(self) -> None:
        """Close idle connections."""
        ...


def append_chunk(body: bytearray, chunk: bytes) -> None:
    """Append a part of the body.

    Raises:
        DecodingError: The body would be larger than `MAX_RESPONSE_BYTES`.
    """
    if len(body) + len(chunk) > MAX_RESPONSE_BYTES:
        raise DecodingError(f"it is larger than {MAX_RESPONSE_BYTES} bytes")
    body += chunk


def build_response(status: int, headers: Iterable[Header], body: bytes) -> Response:
    """Return the response with a decompressed body. The body of an error that cannot be decompressed becomes empty.

    Raises:
        DecodingError: The body of a 2xx response cannot be decompressed.
    """
    by_name = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in headers}
    encoding = by_name.get("content-encoding", "identity").strip().lower()
    try:
        content = _decompress(body, encoding)
        _check_value_count(content)
        return Response(status, by_name, content)
    except DecodingError as error:
        if 200 <= status < 300:
            raise DecodingError(str(error), status) from None
        return Response(status, by_name, b"")


async def build_response_async(status: int, headers: Iterable[Header], body: bytes) -> Response:
    """Return the response, as `build_response` does, without blocking the event loop."""
    if len(body) <= _MAX_INLINE_BYTES:
        return build_response(status, headers, body)
    if len(body) <= MAX_RESPONSE_VALUES and not any(name.lower() == b"content-encoding" for name, _ in headers):
        return build_response(status, headers, body)
    return await anyio.to_thread.run_sync(build_response, status, headers, body, abandon_on_cancel=True)


def _check_value_count(content: bytes) -> None:
    """Check that the JSON decoder, which blocks all threads, needs less than a second for the content.

    Example: 120 MB of `[],[],[],…`, a few kilobytes when compressed, would take many seconds and gigabytes.
    """
    if len(content) <= MAX_RESPONSE_VALUES or sum(map(content.count, (b",", b"[", b"{"))) <= MAX_RESPONSE_VALUES:
        return
    # Many of these characters may be part of strings.
    tokens = (match for match in _TOKEN.finditer(content) if match[0] in (b",", b"[", b"{"))
    if next(islice(tokens, MAX_RESPONSE_VALUES, None), None) is not None:
        raise DecodingError(f"it contains more than {MAX_RESPONSE_VALUES:,} values")


def _decompress(body: bytes, encoding: str) -> bytes:
    if encoding in ("", "identity"):
        return body
    if encoding not in ("gzip", "x-gzip", "deflate"):
        raise DecodingError(f"its content-encoding is {encoding[:40]!r}, which was not requested")
    decoder = zlib.decompressobj(zlib.MAX_WBITS | (0 if encoding == "deflate" else 32))
    try:
        content = decoder.decompress(body, MAX_RESPONSE_BYTES)
    except zlib.error as error:
        raise DecodingError(f"its compressed body is invalid: {error}") from None
    if decoder.unconsumed_tail:
        raise DecodingError(f"it is larger than {MAX_RESPONSE_BYTES} bytes")
    if not decoder.eof:
        raise DecodingError("its compressed body is incomplete")
    return content
