"""Raw sockets, as a lower bound: a prepared request, the decoded response, and no HTTP except the Content-Length."""

import json
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from urllib.parse import urlsplit

from benchmarks import workload
from benchmarks.subjects import harness

LENGTH = b"content-length:"


def _request(url: str, size: str) -> tuple[str, int, bytes]:
    parts, body = urlsplit(url), workload.body(size)
    head = (
        f"POST {workload.PATH} HTTP/1.1\r\nHost: {parts.netloc}\r\nx-api-key: {workload.KEY}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return parts.hostname or "", parts.port or 80, head.encode() + body


def _length(head: bytes) -> int:
    assert head.startswith(b"HTTP/1.1 200 ")
    head = head.lower()
    at = head.index(LENGTH) + len(LENGTH)
    return int(head[at : head.index(b"\r\n", at)])


@contextmanager
def session(url: str, size: str) -> Iterator[harness.Report]:
    host, port, request = _request(url, size)
    idle: list[socket.socket] = []

    def report() -> None:
        try:
            connection = idle.pop()
        except IndexError:
            connection = socket.create_connection((host, port))
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(request)
        response = b""
        while (end := response.find(b"\r\n\r\n")) < 0 or len(response) - end - 4 < _length(response):
            received = connection.recv(65_536)
            assert received
            response += received
        json.loads(response[end + 4 :])
        idle.append(connection)

    yield report
    for connection in idle:
        connection.close()


@asynccontextmanager
async def async_session(url: str, size: str) -> AsyncIterator[harness.AsyncReport]:
    import asyncio

    host, port, request = _request(url, size)
    idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def report() -> None:
        reader, writer = idle.pop() if idle else await asyncio.open_connection(host, port)
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        json.loads(await reader.readexactly(_length(head)))
        idle.append((reader, writer))

    yield report
    for _, writer in idle:
        writer.close()


if __name__ == "__main__":
    harness.main(session, async_session)
