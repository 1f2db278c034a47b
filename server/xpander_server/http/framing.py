"""Rules of RFC 9112 for the head of a request that the parser does not check.

A proxy and a server that disagree about the end of a request can be made to read a part of one request as the next
request (request smuggling). A head that permits two readings is therefore refused, and its connection is closed.

| head                                                              | status |
|-------------------------------------------------------------------|--------|
| no version (HTTP/0.9)                                             | 400    |
| version other than HTTP/1.0 and HTTP/1.1                          | 505    |
| no `Host` in HTTP/1.1, more than one `Host`, an invalid `Host`    | 400    |
| `Transfer-Encoding` in HTTP/1.0                                   | 400    |
| transfer coding other than one `chunked`                          | 501    |
| method CONNECT                                                    | 501    |

llhttp already refuses the other ambiguous heads: `Content-Length` with `Transfer-Encoding`, repeated or invalid
lengths, line folding, spaces before a colon, bare CR or LF, and control characters.
"""

import re
from collections.abc import Iterable

import msgspec
from attrs import frozen

Headers = Iterable[tuple[bytes, bytes]]

_HOST = re.compile(rb"[A-Za-z0-9._~!$&'()*+,;=%:\[\]-]*")
_REASONS = {
    400: b"Bad Request",
    408: b"Request Timeout",
    431: b"Request Header Fields Too Large",
    501: b"Not Implemented",
    503: b"Service Unavailable",
    505: b"HTTP Version Not Supported",
}


@frozen
class Refusal:
    """Error response that ends a connection.

    Attributes:
        status: Status code.
        detail: Reason, for people.
        headers: Additional headers of the response.
    """

    status: int
    detail: str
    headers: tuple[tuple[bytes, bytes], ...] = ()

    def encode(self) -> bytes:
        """Return the bytes of the response. Its body is an error of the contract."""
        body = msgspec.json.encode({"detail": self.detail})
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(body)),
            (b"connection", b"close"),
            (b"cache-control", b"no-store"),
            (b"x-content-type-options", b"nosniff"),
            *self.headers,
        ]
        lines = [b"HTTP/1.1 %d %s" % (self.status, _REASONS[self.status])]
        return b"\r\n".join([*lines, *(name + b": " + value for name, value in headers), b"", body])


MALFORMED = Refusal(400, "The request is not valid HTTP/1.1.")
HEAD_TOO_LARGE = Refusal(431, "The head of the request is too large.")
HEAD_TOO_SLOW = Refusal(408, "The head of the request did not arrive in time.")
TOO_MANY_CONNECTIONS = Refusal(503, "The server has too many open connections.", ((b"retry-after", b"1"),))
TOO_MANY_CONNECTIONS_OF_ADDRESS = Refusal(
    503, "The server has too many open connections of this address.", ((b"retry-after", b"1"),)
)
_VERSION = Refusal(505, "Send the request as HTTP/1.1.")
_HOST_COUNT = Refusal(400, "Send one Host header.")
_HOST_VALUE = Refusal(400, "The Host header is invalid.")
_CODING_VERSION = Refusal(400, "HTTP/1.0 has no Transfer-Encoding.")
_CODING = Refusal(501, "The only supported Transfer-Encoding is chunked.")
_CONNECT = Refusal(501, "The server does not support CONNECT.")


def check_head(method: bytes, version: str, headers: Headers) -> Refusal | None:
    """Return why the head of a request must be refused, or None.

    Args:
        method: Method of the request.
        version: HTTP version, such as "1.1".
        headers: Names in lower case, and values.
    """
    host_count = 0
    for name, value in headers:
        if name == b"host":
            host_count += 1
            if _HOST.fullmatch(value) is None:
                return _HOST_VALUE
        elif name == b"transfer-encoding":
            if version != "1.1":
                return _CODING_VERSION
            # The parser has refused heads in which `chunked` is not the last coding.
            if value.strip().lower() != b"chunked":
                return _CODING
    if version not in ("1.1", "1.0"):
        return MALFORMED if version == "0.9" else _VERSION
    if host_count != 1 and (version == "1.1" or host_count > 1):
        return _HOST_COUNT
    return _CONNECT if method == b"CONNECT" else None


def head_without_upgrade(method: bytes, target: bytes, version: str, headers: Headers) -> bytes:
    """Return the bytes of a head without its request to change the protocol (`Upgrade`).

    RFC 9110 permits a server to ignore `Upgrade`. The parser does not: it takes everything behind such a head, also the
    body, for data of the new protocol. `Connection: Upgrade, close` with `Upgrade: h2c` becomes `Connection: close`.
    """
    lines = [b"%s %s HTTP/%s" % (method, target, version.encode())]
    for name, value in headers:
        if name == b"upgrade":
            continue
        if name == b"connection":
            options = [option.strip() for option in value.split(b",")]
            value = b", ".join(option for option in options if option and option.lower() != b"upgrade")
            if not value:
                continue
        lines.append(name + b": " + value)
    return b"\r\n".join([*lines, b"", b""])
