"""Limits of the HTTP protocol: time in each state of a connection, size of a head, number of connections."""

import errno
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, suppress
from functools import partial
from typing import cast

import anyio
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from support.server import serve_command, server_url
from support.uvicorn_server import Connect, running_uvicorn
from xpander_server.api.responses import handle_errors
from xpander_server.http.connection_limits import ConnectionLimits
from xpander_server.http.dispatcher import Dispatcher
from xpander_server.http.protocol import MAX_HEAD_BYTES, HttpProtocol

REQUEST = b"GET / HTTP/1.1\r\nhost: test\r\n\r\n"


MAX_CONNECTIONS = 10


class ImpatientProtocol(HttpProtocol):
    head_timeout = 0.2
    unread_body_timeout = 0.2
    write_timeout = 0.4
    check_interval = 0.05


def run_server(
    protocol: type[HttpProtocol], app: ASGIApp | None = None, max_connections: int | None = None
) -> AbstractContextManager[Connect]:
    app = app or PlainTextResponse("here")
    limited = partial(protocol, limits=ConnectionLimits(max_connections))
    return running_uvicorn(app, cast(type[HttpProtocol], limited), access_log=False)


@pytest.fixture(scope="module")
def connect() -> Iterator[Connect]:
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


@pytest.mark.parametrize("framing", [b"content-length: 1000000", b"transfer-encoding: chunked"])
@pytest.mark.parametrize("sent", [b"", b"1"])
def test_connection_with_unread_body_is_closed(connect, framing: bytes, sent: bytes):
    with connect() as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nhost: test\r\n" + framing + b"\r\n\r\n")
        received = read_response(connection)
        connection.sendall(sent)
        received += read_to_end(connection)
    assert received.count(b"HTTP/1.1 200 ") == 1


def test_connection_lasts_while_unread_body_arrives_in_time(connect):
    with connect() as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nhost: test\r\ncontent-length: 2\r\n\r\n")
        read_response(connection)
        connection.sendall(b"12")
        connection.settimeout(1)
        with pytest.raises(TimeoutError):
            connection.recv(1)
        connection.settimeout(20)
        connection.sendall(REQUEST)
        assert read_response(connection).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("requests", [1, 4])
def test_response_that_client_does_not_read_is_aborted(requests: int):
    app = PlainTextResponse("x" * 16 * 1024 * 1024)
    with run_server(ImpatientProtocol, app) as connect, connect() as connection:
        connection.sendall(REQUEST * requests)
        time.sleep(2)
        received = 0
        with suppress(ConnectionResetError):
            while data := connection.recv(65_536):
                received += len(data)
        assert received < 16 * 1024 * 1024


def test_response_that_client_reads_slowly_is_complete():
    size = 16 * 1024 * 1024
    with run_server(ImpatientProtocol, PlainTextResponse("x" * size)) as connect, connect() as connection:
        connection.sendall(REQUEST[:-2] + b"connection: close\r\n\r\n")
        received = 0
        while data := connection.recv(256 * 1024):
            received += len(data)
            time.sleep(0.02)
    assert received > size


def test_pipelined_request_is_not_handled_before_the_client_reads_the_previous_response():
    calls: list[Request] = []

    async def respond(request: Request) -> Response:
        calls.append(request)
        return PlainTextResponse("x" * 16 * 1024 * 1024)

    app = Dispatcher([Route("/", respond)], PlainTextResponse("fallback"))
    with run_server(HttpProtocol, app) as connect, connect() as connection:
        connection.sendall(REQUEST * 2)
        assert connection.recv(1)
        time.sleep(0.3)
        assert len(calls) == 1


def test_unread_responses_end_early_above_the_limit_of_their_bytes():
    class PatientProtocol(ImpatientProtocol):
        write_timeout = 60.0

    size = 8 * 1024 * 1024
    limits = ConnectionLimits(None, max_unsent_bytes=size)
    protocol = partial(PatientProtocol, limits=limits)
    app = PlainTextResponse("x" * size)
    with running_uvicorn(app, cast(type[HttpProtocol], protocol), access_log=False) as connect, ExitStack() as stack:
        first, second = (stack.enter_context(connect()) for _ in range(2))
        first.sendall(REQUEST)
        time.sleep(0.3)
        assert not limits.has_too_many_unsent_bytes
        second.sendall(REQUEST)
        time.sleep(0.3)
        assert not limits.has_too_many_unsent_bytes
        with suppress(ConnectionResetError):
            assert len(read_to_end(second)) < size


def test_client_that_leaves_before_the_responses_to_pipelined_requests_is_no_error(caplog: pytest.LogCaptureFixture):
    async def respond(_: Request) -> Response:
        return PlainTextResponse("x" * 4 * 1024 * 1024)

    app = Dispatcher([Route("/", respond)], PlainTextResponse("fallback"))
    with run_server(HttpProtocol, app) as connect:
        for _ in range(5):
            with connect() as connection:
                connection.sendall(REQUEST * 4)
                time.sleep(0.2)
        time.sleep(1)
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == []


def test_connection_above_limit_gets_503():
    with run_server(HttpProtocol, max_connections=MAX_CONNECTIONS) as connect, ExitStack() as stack:
        connections = [stack.enter_context(connect()) for _ in range(MAX_CONNECTIONS)]
        for connection in connections:
            connection.sendall(REQUEST)
            assert read_response(connection).startswith(b"HTTP/1.1 200 ")
        with connect() as further:
            response = read_to_end(further)
        assert response.startswith(b"HTTP/1.1 503 ")
        assert b"\r\nretry-after: 1\r\n" in response
        for connection in connections:
            connection.sendall(REQUEST)
            assert read_response(connection).startswith(b"HTTP/1.1 200 ")
        connections[0].close()
        time.sleep(2)  # the refused connection is closed within a second
        with connect() as further:
            further.sendall(REQUEST)
            assert read_response(further).startswith(b"HTTP/1.1 200 ")


def test_connection_above_limit_of_its_address_gets_503():
    protocol = partial(HttpProtocol, limits=ConnectionLimits(MAX_CONNECTIONS, 2))
    app = PlainTextResponse("here")
    with running_uvicorn(app, cast(type[HttpProtocol], protocol), access_log=False) as connect, ExitStack() as stack:
        connections = [stack.enter_context(connect()) for _ in range(2)]
        for connection in connections:
            connection.sendall(REQUEST)
            assert read_response(connection).startswith(b"HTTP/1.1 200 ")
        with connect() as further:
            assert b"too many open connections of this address" in read_to_end(further)
        connections[0].close()
        time.sleep(2)  # the refused connection is closed within a second
        with connect() as further:
            further.sendall(REQUEST)
            assert read_response(further).startswith(b"HTTP/1.1 200 ")


@pytest.mark.skipif(sys.platform != "linux", reason="prlimit exists on Linux only")
def test_server_with_few_descriptors_answers_503_and_recovers(tmp_path):
    command = serve_command(tmp_path / "store.db")
    with subprocess.Popen(["prlimit", "--nofile=300", *command], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            host, port = server_url(process.stdout.readline()).removeprefix("http://").split(":")

            def ask() -> bytes:
                with socket.create_connection((host, int(port)), timeout=20) as connection, suppress(OSError):
                    connection.sendall(b"GET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
                    return read_to_end(connection)
                return b""

            assert ask().startswith(b"HTTP/1.1 200 ")
            with ExitStack() as stack:
                for _ in range(500):
                    stack.enter_context(socket.create_connection((host, int(port)), timeout=20))
                assert ask()[:13] in (b"HTTP/1.1 503 ", b"")
            for _ in range(100):
                if ask().startswith(b"HTTP/1.1 200 "):
                    break
                time.sleep(0.1)
            assert ask().startswith(b"HTTP/1.1 200 ")
        finally:
            process.terminate()


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOMEM])
def test_request_without_free_descriptor_gets_503(number: int):
    async def fail(_: Request) -> Response:
        try:
            raise OSError(number, "too many open files")
        except OSError as error:
            raise RuntimeError("cannot open the template") from error

    response = anyio.run(handle_errors(fail), Request({"type": "http", "method": "GET", "headers": []}))
    assert response.status_code == 503
    assert response.headers["retry-after"] == "1"
