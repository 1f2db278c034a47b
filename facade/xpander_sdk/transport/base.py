"""What travels: a request, its answer, and why there is none.

Their reprs tell no headers, bodies and texts: tools that report errors show the variables of each frame, and a backend
may repeat what it was sent.
"""

import zlib
from collections.abc import Iterable, Mapping
from typing import Protocol

from attrs import field, frozen

from xpander_sdk.settings.retry import Timeouts

MAX_RESPONSE_BYTES = 128 * 1024 * 1024  # bytes; more is no answer of this contract

Header = tuple[bytes, bytes]


@frozen
class Request:
    """What to send; `target` is the path with its query, percent-encoded."""

    method: str
    target: bytes
    headers: list[Header] = field(repr=False)
    content: bytes = field(repr=False)


@frozen
class Response:
    """What came back; names of headers in lower case."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


class _Hidden(Exception):
    def __repr__(self) -> str:
        return f"{type(self).__name__}(…)"


class TransportError(_Hidden):
    """There was none.

    Attributes:
        is_timeout: it was for want of time.
        is_retryable: another attempt may succeed.
    """

    def __init__(self, description: str, *, is_timeout: bool = False, is_retryable: bool = True) -> None:
        super().__init__(description)
        self.is_timeout = is_timeout
        self.is_retryable = is_retryable


class DecodingError(_Hidden):
    """There was one that cannot be read. `status` is its status, where that could be."""

    def __init__(self, description: str, status: int | None = None) -> None:
        super().__init__(description)
        self.status = status


class Transport(Protocol):
    def send(self, request: Request, timeouts: Timeouts, deadline: float) -> Response:
        """Send, and read the answer to its end, until `deadline` (monotonic). Raises TransportError, DecodingError."""
        ...

    def close(self) -> None: ...


class AsyncTransport(Protocol):
    async def send(self, request: Request, timeouts: Timeouts, deadline: float) -> Response: ...

    async def close(self) -> None: ...


def bounded(body: bytearray, chunk: bytes) -> bytes:
    if len(body) + len(chunk) > MAX_RESPONSE_BYTES:
        raise DecodingError(f"it has over {MAX_RESPONSE_BYTES} bytes")
    return chunk


def build_response(status: int, headers: Iterable[Header], body: bytes) -> Response:
    named = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in headers}
    encoding = named.get("content-encoding", "identity").strip().lower()
    try:
        return Response(status, named, _decoded(body, encoding))
    except DecodingError as error:
        if 200 <= status < 300:
            raise DecodingError(str(error), status) from None
        return Response(status, named, b"")  # the status says enough


def _decoded(body: bytes, encoding: str) -> bytes:
    if encoding in ("", "identity"):
        return body
    if encoding not in ("gzip", "x-gzip", "deflate"):
        raise DecodingError(f"it is encoded as {encoding[:40]!r}, which was not asked for")
    decoder = zlib.decompressobj(zlib.MAX_WBITS | (0 if encoding == "deflate" else 32))
    try:
        decoded = decoder.decompress(body, MAX_RESPONSE_BYTES)
    except zlib.error as error:
        raise DecodingError(f"its compression is broken: {error}") from None
    if decoder.unconsumed_tail:
        raise DecodingError(f"it has over {MAX_RESPONSE_BYTES} bytes")
    if not decoder.eof:
        raise DecodingError("its compression is broken: it ends early")
    return decoded
