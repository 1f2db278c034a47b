"""HTTP client that sends raw bytes, including invalid requests that a client library would not send."""

import http.client
import json
import socket
import uuid
from contextlib import suppress
from urllib.parse import urlsplit

from attrs import frozen

from support.server import KEY

MIB = 1024 * 1024
TIMEOUT = 20.0
Headers = list[tuple[bytes, bytes]]
AUTHORIZED: Headers = [(b"x-api-key", KEY.encode())]
JSON_HEADERS: Headers = [*AUTHORIZED, (b"content-type", b"application/json")]


@frozen
class RawResponse:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def detail(self) -> object:
        """The detail of an error."""
        assert self.headers["content-type"] == "application/json"
        return json.loads(self.body)["detail"]


class RawClient:
    """Client with a unique agent for its reports.

    Args:
        url: The URL of the server.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None
        assert parts.port is not None
        self._address = parts.hostname, parts.port
        self.agent = f"hostile-{uuid.uuid4().hex}"

    @property
    def report_path(self) -> bytes:
        return f"/agent-execution/{self.agent}/report_task".encode()

    def connect(self) -> socket.socket:
        return socket.create_connection(self._address, timeout=TIMEOUT)

    def report(self, body: bytes, headers: Headers = JSON_HEADERS) -> RawResponse:
        return self.request(b"POST", self.report_path, headers, body)

    def request(self, method: bytes, target: bytes, headers: Headers = AUTHORIZED, body: bytes = b"") -> RawResponse:
        """Send a request, with a content-length if it is a POST."""
        length = [(b"content-length", b"%d" % len(body))] if method == b"POST" else []
        return self.send(request_head(method, target, [*headers, *length]) + body)

    def send(self, raw_request: bytes) -> RawResponse:
        """Send the bytes of a request on a new connection."""
        with self.connect() as connection:
            # The server may close the connection before it has read everything.
            with suppress(BrokenPipeError, ConnectionResetError):
                connection.sendall(raw_request)
            return read_response(connection)


def request_head(method: bytes, target: bytes, headers: Headers) -> bytes:
    """Return the request line and the headers of a request."""
    lines = [method + b" " + target + b" HTTP/1.1", b"host: test", b"connection: close"]
    return b"\r\n".join([*lines, *(name + b": " + value for name, value in headers), b"", b""])


def read_response(connection: socket.socket) -> RawResponse:
    """Read the response to a request from a connection."""
    response = http.client.HTTPResponse(connection)
    response.begin()
    return RawResponse(response.status, {name.lower(): value for name, value in response.getheaders()}, response.read())
