"""Limits of the HTTP protocol: time and size of a request head."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest
import uvicorn
from starlette.responses import PlainTextResponse

from xpander_server.http.protocol import MAX_HEAD_BYTES, HttpProtocol

REQUEST = b"GET / HTTP/1.1\r\nhost: test\r\n\r\n"


class ImpatientProtocol(HttpProtocol):
    head_timeout = 0.2


@contextmanager
def run_server(protocol: type[HttpProtocol]) -> Iterator[Callable[[], socket.socket]]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(
            PlainTextResponse("here"), http=protocol, ws="none", lifespan="off", log_config=None, access_log=False
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield lambda: socket.create_connection(listener.getsockname(), timeout=20)
        finally:
            server.should_exit = True
            thread.join(20)


@pytest.fixture(scope="module")
def connect() -> Iterator[Callable[[], socket.socket]]:
    with run_server(ImpatientProtocol) as connect:
        yield connect


def read_to_end(connection: socket.socket) -> bytes:
    """Return everything that the server sends before it closes the connection."""
    return b"".join(iter(lambda: connection.recv(65_536), b""))


def read_response(connection: socket.socket) -> bytes:
    received = b""
    while not received.endswith(b"here"):
        part = connection.recv(65_536)
        assert part, received
        received += part
    return received


def test_silent_connection_is_closed(connect):
    with connect() as connection:
        assert read_to_end(connection) == b""


@pytest.mark.parametrize("incomplete", [b"G", b"GET /", b"GET / HTTP/1.1\r\nhost: te", REQUEST[:-2], REQUEST[:-1]])
def test_incomplete_head_gets_408(connect, incomplete: bytes):
    with connect() as connection:
        connection.sendall(incomplete)
        assert read_to_end(connection).startswith(b"HTTP/1.1 408 ")


def test_slow_head_gets_408(connect):
    with connect() as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nx: ")
        connection.settimeout(0.01)
        received = b""
        for _ in range(2_000):
            with suppress(TimeoutError):
                received = connection.recv(65_536)
                break
            connection.sendall(b"x")
    assert received.startswith(b"HTTP/1.1 408 ")


def test_empty_lines_do_not_keep_connection_open(connect):
    with connect() as connection:
        connection.sendall(b"\r\n\r\n")
        assert not read_to_end(connection).startswith(b"HTTP/1.1 2")


@pytest.mark.parametrize("incomplete", [b"\r\n", b"GET /", b"G"])
def test_head_of_second_request_has_same_time_limit(connect, incomplete: bytes):
    with connect() as connection:
        connection.sendall(REQUEST)
        assert read_response(connection).startswith(b"HTTP/1.1 200 ")
        connection.sendall(incomplete)
        assert b"HTTP/1.1 200 " not in read_to_end(connection)


def test_connection_may_be_idle_between_requests(connect):
    with connect() as connection:
        for _ in range(2):
            connection.sendall(REQUEST)
            assert read_response(connection).startswith(b"HTTP/1.1 200 ")
            connection.settimeout(3 * ImpatientProtocol.head_timeout)
            with pytest.raises(TimeoutError):
                connection.recv(1)  # neither a response nor the end of the connection
            connection.settimeout(20)


def test_pipelined_requests_are_all_answered(connect):
    with connect() as connection:
        connection.sendall(REQUEST * 20 + REQUEST[:-2] + b"connection: close\r\n\r\n")
        assert read_to_end(connection).count(b"HTTP/1.1 200 ") == 21


@pytest.mark.parametrize(
    "large_head",
    [
        b"GET /" + b"x" * (MAX_HEAD_BYTES + 1) + b" HTTP/1.1\r\nhost: test\r\n\r\n",
        b"GET / HTTP/1.1\r\nx: " + b"x" * (MAX_HEAD_BYTES + 1) + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"x" * (MAX_HEAD_BYTES + 1) + b": x\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * MAX_HEAD_BYTES + b"\r\n",
        b"GET / HTTP/1.1\r\nx: " + b"x" * 10 * MAX_HEAD_BYTES,
        b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * 10 * MAX_HEAD_BYTES,
    ],
    ids=["target", "value", "name", "many headers", "endless value", "endless headers"],
)
def test_large_head_gets_431(connect, large_head: bytes):
    with connect() as connection:
        try:
            connection.sendall(large_head)
            received = read_to_end(connection)
        except (BrokenPipeError, ConnectionResetError):
            return  # the server closed the connection while the test was sending; the response can be lost
        assert received.startswith(b"HTTP/1.1 431 ")
        assert received.count(b"HTTP/1.1 ") == 1


def test_head_below_limit_is_accepted(connect):
    with connect() as connection:
        connection.sendall(REQUEST[:-2] + b"x: " + b"x" * (MAX_HEAD_BYTES - 100) + b"\r\n\r\n")
        assert read_response(connection).startswith(b"HTTP/1.1 200 ")
