"""Connections that are kept open by saying as little as possible."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest
import uvicorn
from starlette.responses import PlainTextResponse

from xpander_server.http.protocol import MAX_HEAD_BYTES, HttpProtocol

WHOLE = b"GET / HTTP/1.1\r\nhost: test\r\n\r\n"


class Hurried(HttpProtocol):
    head_timeout = 0.2


@contextmanager
def serving(protocol: type[HttpProtocol]) -> Iterator[Callable[[], socket.socket]]:
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
    with serving(Hurried) as connect:
        yield connect


def rest(connection: socket.socket) -> bytes:
    """All that comes until the server closes."""
    return b"".join(iter(lambda: connection.recv(65_536), b""))


def answer(connection: socket.socket) -> bytes:
    received = b""
    while not received.endswith(b"here"):
        part = connection.recv(65_536)
        assert part, received
        received += part
    return received


def test_a_connection_that_says_nothing_is_closed(connect):
    with connect() as connection:
        assert rest(connection) == b""


@pytest.mark.parametrize("said", [b"G", b"GET /", b"GET / HTTP/1.1\r\nhost: te", WHOLE[:-2], WHOLE[:-1]])
def test_half_a_head_is_answered_with_408_and_closed(connect, said: bytes):
    with connect() as connection:
        connection.sendall(said)
        assert rest(connection).startswith(b"HTTP/1.1 408 ")


def test_a_head_in_drops_has_no_longer(connect):
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


def test_empty_lines_are_no_head(connect):
    with connect() as connection:
        connection.sendall(b"\r\n\r\n")
        assert not rest(connection).startswith(b"HTTP/1.1 2")


@pytest.mark.parametrize("said", [b"\r\n", b"GET /", b"G"])
def test_a_second_head_has_no_longer_than_the_first(connect, said: bytes):
    with connect() as connection:
        connection.sendall(WHOLE)
        assert answer(connection).startswith(b"HTTP/1.1 200 ")
        connection.sendall(said)
        assert b"HTTP/1.1 200 " not in rest(connection)


def test_between_two_requests_a_connection_may_rest(connect):
    with connect() as connection:
        for _ in range(2):
            connection.sendall(WHOLE)
            assert answer(connection).startswith(b"HTTP/1.1 200 ")
            connection.settimeout(3 * Hurried.head_timeout)
            with pytest.raises(TimeoutError):
                connection.recv(1)  # neither an answer nor the end
            connection.settimeout(20)


def test_requests_one_right_after_the_other_are_all_answered(connect):
    with connect() as connection:
        connection.sendall(WHOLE * 20 + WHOLE[:-2] + b"connection: close\r\n\r\n")
        assert rest(connection).count(b"HTTP/1.1 200 ") == 21


@pytest.mark.parametrize(
    "flood",
    [
        b"GET /" + b"x" * (MAX_HEAD_BYTES + 1) + b" HTTP/1.1\r\nhost: test\r\n\r\n",
        b"GET / HTTP/1.1\r\nx: " + b"x" * (MAX_HEAD_BYTES + 1) + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"x" * (MAX_HEAD_BYTES + 1) + b": x\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * MAX_HEAD_BYTES + b"\r\n",
        b"GET / HTTP/1.1\r\nx: " + b"x" * 10 * MAX_HEAD_BYTES,
        b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * 10 * MAX_HEAD_BYTES,
    ],
    ids=["target", "value", "name", "many", "value without end", "many without end"],
)
def test_a_head_that_is_too_large_is_answered_with_431_and_closed(connect, flood: bytes):
    with connect() as connection:
        try:
            connection.sendall(flood)
            received = rest(connection)
        except (BrokenPipeError, ConnectionResetError):
            return  # it was closed before all of it was sent, which may cut the answer off
        assert received.startswith(b"HTTP/1.1 431 ")
        assert received.count(b"HTTP/1.1 ") == 1


def test_a_head_just_below_the_limit_is_taken(connect):
    with connect() as connection:
        connection.sendall(WHOLE[:-2] + b"x: " + b"x" * (MAX_HEAD_BYTES - 100) + b"\r\n\r\n")
        assert answer(connection).startswith(b"HTTP/1.1 200 ")
