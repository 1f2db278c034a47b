"""Request bodies: received and decompressed within limits of size and time."""

import sys
import zlib
from contextlib import nullcontext

import anyio
from attrs import frozen
from starlette.requests import Request

from xpander_server.body_json import LARGE_BODY_BYTES
from xpander_server.contract import JSON
from xpander_server.http.dispatcher import RECEIVED_BODY
from xpander_server.http.errors import HTTPError
from xpander_server.http.request_headers import header_text, header_values

MAX_BODY_BYTES = 4 * 1024 * 1024
"""The contract's limit for a body, both compressed and decompressed."""
MAX_FORM_BYTES = 16 * 1024
FORM = "application/x-www-form-urlencoded"
_MAX_WINDOW_LOG = 23  # 8 MiB, the limit of RFC 9659 for zstd over HTTP; a zstd frame can request up to 2 GiB


@frozen
class EncodedBody:
    """Body of a request, possibly compressed.

    Attributes:
        data: Bytes as received.
        coding: Content coding; empty or `identity` for none.
    """

    data: bytes
    coding: str

    def decode_small(self) -> bytes | None:
        """Return the decompressed body; None if it is larger than `LARGE_BODY_BYTES`.

        Raises:
            HTTPError: 400 for invalid compressed data.
        """
        return _DECOMPRESS[self.coding](self.data, LARGE_BODY_BYTES)

    def decode(self, max_bytes: int = MAX_BODY_BYTES) -> bytes:
        """Return the decompressed body.

        Args:
            max_bytes: Largest size.

        Raises:
            HTTPError: 413 for a body above the limit, 400 for invalid compressed data.
        """
        body = _DECOMPRESS[self.coding](self.data, max_bytes)
        if body is None:
            raise _too_large(max_bytes)
        return body


async def read_body(request: Request, max_seconds: float | None, memory: "Reservation | None" = None) -> EncodedBody:
    """Return the whole JSON body.

    Args:
        request: Request to read.
        max_seconds: Seconds in which the body must arrive. None for no limit, and for use without an event loop.
        memory: Reservation that grows with the body. None for no limit.

    Raises:
        HTTPError: 415 for an unsupported type or coding, 413 for a body above the limit, 408 after the timeout, 503 if
            there is no memory left for the organization.
    """
    _require_media_type(request, JSON, "body")
    return await read_encoded_body(request, max_seconds, MAX_BODY_BYTES, memory)


async def read_encoded_body(
    request: Request, max_seconds: float | None, max_bytes: int, memory: "Reservation | None" = None
) -> EncodedBody:
    """Return the whole body, whatever its type is.

    Args:
        request: Request to read.
        max_seconds: Seconds in which the body must arrive. None for no limit, and for use without an event loop.
        max_bytes: Largest size as received.
        memory: Reservation that grows with the body. None for no limit.

    Raises:
        HTTPError: 415 for an unsupported coding, 413 for a body above the limit, 408 after the timeout, 503 if there is
            no memory left for the organization.
    """
    coding = b",".join(header_values(request, b"content-encoding")).decode("latin-1").strip().lower()
    if coding not in _DECOMPRESS:
        accepted = {"Accept-Encoding": "gzip, zstd"}
        raise HTTPError(415, "Send the body uncompressed, or with one Content-Encoding: gzip or zstd.", accepted)
    return EncodedBody(await _receive(request, max_seconds, max_bytes, memory), coding)


async def read_form(request: Request, max_seconds: float) -> bytes:
    """Return the body of an HTML form, still encoded.

    Args:
        request: Request to read.
        max_seconds: Seconds in which the body must arrive.

    Raises:
        HTTPError: 415 for another type, 413 for a body above the limit, 408 after the timeout.
    """
    _require_media_type(request, FORM, "form")
    return await _receive(request, max_seconds, MAX_FORM_BYTES)


def media_type(request: Request) -> str:
    """Return the media type of the body without its parameters, in lower case; empty if it is not stated."""
    return header_text(request, b"content-type").split(";")[0].strip().lower()


def _require_media_type(request: Request, required: str, subject: str) -> None:
    if media_type(request) != required:
        raise HTTPError(415, f"Send the {subject} as {required}.")


async def _receive(
    request: Request, max_seconds: float | None, max_bytes: int, memory: "Reservation | None" = None
) -> bytes:
    content_length = header_text(request, b"content-length")
    if content_length.isdecimal() and int(content_length) > max_bytes:
        raise _too_large(max_bytes)
    received: bytearray | None = request.scope.get(RECEIVED_BODY)
    if received is not None:  # fast path: no waiting, no ASGI messages
        if len(received) > max_bytes:
            raise _too_large(max_bytes)
        return bytes(received)
    body = bytearray()
    try:
        with nullcontext() if max_seconds is None else anyio.fail_after(max_seconds):
            async for chunk in request.stream():
                body += chunk
                if len(body) > max_bytes:
                    raise _too_large(max_bytes)
                if memory is not None:
                    memory.add(len(chunk))
    except TimeoutError:
        raise HTTPError(408, "The body did not arrive in time.", {"Connection": "close"}) from None
    return bytes(body)


class BodyMemory:
    """Bound of the bytes of all bodies that arrive or wait to be decoded.

    An organization may use as much as is left free (as in `store.fair_queue`), so one alone can use a half, and another
    one always finds space.

    Args:
        max_bytes: Largest sum.
    """

    def __init__(self, max_bytes: int) -> None:
        self._free = max_bytes
        self._used: dict[str, int] = {}

    def reserve(self, organization_id: str) -> "Reservation":
        """Return an empty reservation, which is released at the end of its `with` block."""
        return Reservation(self, organization_id)

    def change(self, organization_id: str, count: int) -> None:
        """Add bytes to those of an organization, or remove them.

        Raises:
            HTTPError: 503 if the organization has no space left.
        """
        used = self._used.get(organization_id, 0) + count
        if count > 0 and used > self._free:
            raise HTTPError(503, "Too many large bodies of this organization wait.", {"Retry-After": "1"})
        self._free -= count
        if used:
            self._used[organization_id] = used
        else:
            self._used.pop(organization_id, None)


class Reservation:
    """Part of a `BodyMemory` that one request uses."""

    def __init__(self, memory: BodyMemory, organization_id: str) -> None:
        self._memory = memory
        self._organization_id = organization_id
        self._count = 0

    def __enter__(self) -> "Reservation":
        return self

    def __exit__(self, *_: object) -> None:
        if self._count:
            self._memory.change(self._organization_id, -self._count)

    def add(self, count: int) -> None:
        """Reserve further bytes.

        Raises:
            HTTPError: 503 if the organization has no space left.
        """
        self._memory.change(self._organization_id, count)
        self._count += count


# The functions return None for a body above the limit. It applies during decompression, so a decompression bomb never
# fills the memory.


def _identity(body: bytes, max_bytes: int) -> bytes | None:
    return body if len(body) <= max_bytes else None


def _gunzip(body: bytes, max_bytes: int) -> bytes | None:
    decompressor = zlib.decompressobj(wbits=31)
    try:
        data = decompressor.decompress(body, max_bytes + 1)
    except zlib.error:
        raise _invalid_stream("gzip") from None
    return _require_whole("gzip", data, max_bytes, is_whole=decompressor.eof and not decompressor.unused_data)


def _unzstd(body: bytes, max_bytes: int) -> bytes | None:
    # Imported at first use, because few clients send zstd.
    if sys.version_info >= (3, 14):
        from compression.zstd import DecompressionParameter, ZstdDecompressor, ZstdError
    else:
        from backports.zstd import DecompressionParameter, ZstdDecompressor, ZstdError

    decompressor = ZstdDecompressor(options={DecompressionParameter.window_log_max: _MAX_WINDOW_LOG})
    try:
        data = decompressor.decompress(body, max_bytes + 1)
    except ZstdError:
        raise _invalid_stream("zstd") from None
    return _require_whole("zstd", data, max_bytes, is_whole=decompressor.eof and not decompressor.unused_data)


def _require_whole(coding: str, data: bytes, max_bytes: int, *, is_whole: bool) -> bytes | None:
    if len(data) > max_bytes:
        return None
    if not is_whole:
        raise _invalid_stream(coding)
    return data


_DECOMPRESS = {"": _identity, "identity": _identity, "gzip": _gunzip, "x-gzip": _gunzip, "zstd": _unzstd}


def _too_large(max_bytes: int) -> HTTPError:
    return HTTPError(413, f"The body is larger than {max_bytes} bytes.")


def _invalid_stream(coding: str) -> HTTPError:
    return HTTPError(400, f"The body is not one complete {coding} stream.")
