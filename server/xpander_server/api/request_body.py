"""Bodies of requests: read within bounds, and unpacked within the same."""

import sys
import zlib
from collections.abc import Callable
from contextlib import nullcontext

import anyio
from starlette.requests import Request

from xpander_server.contract import JSON
from xpander_server.http.dispatcher import RECEIVED_BODY
from xpander_server.http.errors import HTTPError

MAX_BODY_BYTES = 4 * 1024 * 1024  # bytes, as the contract says: packed and unpacked
MAX_FORM = 16 * 1024  # bytes
FORM = "application/x-www-form-urlencoded"
_MAX_WINDOW_LOG = 23  # 8 MiB, which RFC 9659 allows zstd over HTTP; a frame may ask for 2 GiB


async def read_body(request: Request, seconds: float | None) -> bytes:
    """The whole body, unpacked.

    Args:
        seconds: how long it may take to arrive; None for no limit, and for no event loop.

    Raises:
        HTTPError: 415 another type or coding, 413 too large, 408 too slow, 400 broken packing.
    """
    if request.headers.get("content-type", "").split(";")[0].strip().lower() != JSON:
        raise HTTPError(415, f"Send the body as {JSON}.")
    unpack = _unpacking(request.headers.getlist("content-encoding"))
    return unpack(await _arrived(request, seconds, MAX_BODY_BYTES))


async def read_form(request: Request, seconds: float) -> bytes:
    """The body that a form's fields make, as it is. Raises HTTPError: too large, too slow, or no form."""
    if request.headers.get("content-type", "").split(";")[0].strip().lower() != FORM:
        raise HTTPError(415, f"Send the form as {FORM}.")
    return await _arrived(request, seconds, MAX_FORM)


async def _arrived(request: Request, seconds: float | None, at_most: int) -> bytes:
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > at_most:
        raise _too_large(at_most)
    there: bytearray | None = request.scope.get(RECEIVED_BODY)
    if there is not None:
        if len(there) > at_most:
            raise _too_large(at_most)
        return bytes(there)
    body = bytearray()
    limit = nullcontext() if seconds is None else anyio.fail_after(seconds)
    try:
        with limit:
            async for chunk in request.stream():
                body += chunk
                if len(body) > at_most:
                    raise _too_large(at_most)
    except TimeoutError:
        raise HTTPError(408, "The body did not arrive in time.", {"Connection": "close"}) from None
    return bytes(body)


def _unpacking(codings: list[str]) -> Callable[[bytes], bytes]:
    coding = ",".join(codings).strip().lower()
    if coding not in _UNPACK:
        accepted = {"Accept-Encoding": "gzip, zstd"}
        raise HTTPError(415, "Send the body as it is, or with one Content-Encoding: gzip or zstd.", accepted)
    return _UNPACK[coding]


def _as_it_is(body: bytes) -> bytes:
    return body


def _gunzip(body: bytes) -> bytes:
    unpacker = zlib.decompressobj(wbits=31)
    try:
        # No more than this is ever unpacked, however much more is packed.
        unpacked = unpacker.decompress(body, MAX_BODY_BYTES + 1)
    except zlib.error:
        raise _broken("gzip") from None
    return _whole("gzip", unpacked, is_whole=unpacker.eof and not unpacker.unused_data)


def _unzstd(body: bytes) -> bytes:
    # Imported only where somebody sends it.
    if sys.version_info >= (3, 14):
        from compression.zstd import DecompressionParameter, ZstdDecompressor, ZstdError
    else:
        from backports.zstd import DecompressionParameter, ZstdDecompressor, ZstdError

    unpacker = ZstdDecompressor(options={DecompressionParameter.window_log_max: _MAX_WINDOW_LOG})
    try:
        unpacked = unpacker.decompress(body, MAX_BODY_BYTES + 1)
    except ZstdError:
        raise _broken("zstd") from None
    return _whole("zstd", unpacked, is_whole=unpacker.eof and not unpacker.unused_data)


def _whole(coding: str, unpacked: bytes, *, is_whole: bool) -> bytes:
    if len(unpacked) > MAX_BODY_BYTES:
        raise _too_large()
    if not is_whole:
        raise _broken(coding)
    return unpacked


_UNPACK = {"": _as_it_is, "identity": _as_it_is, "gzip": _gunzip, "x-gzip": _gunzip, "zstd": _unzstd}


def _too_large(at_most: int = MAX_BODY_BYTES) -> HTTPError:
    return HTTPError(413, f"The body is larger than {at_most} bytes.")


def _broken(coding: str) -> HTTPError:
    return HTTPError(400, f"The body is not one whole {coding} stream.")
