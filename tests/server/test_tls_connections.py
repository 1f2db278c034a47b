"""TLS handshakes: they count as connections, and end in time."""

import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest
from starlette.responses import PlainTextResponse

from support.certificates import Certificate, create_certificate
from support.server import serve_command, server_url
from support.uvicorn_server import Connect, running_uvicorn
from xpander_server.http.connection_limits import MAX_REFUSALS, ConnectionLimits
from xpander_server.http.protocol import HttpProtocol
from xpander_server.http.tls import TlsServer

REQUEST = b"GET /healthz HTTP/1.1\r\nhost: test\r\n\r\n"
LAST_REQUEST = REQUEST[:-2] + b"connection: close\r\n\r\n"
LIMIT = 4


class ImpatientServer(TlsServer):
    handshake_timeout = 0.3


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return create_certificate("IP:127.0.0.1", tmp_path_factory.mktemp("tls"))


@contextmanager
def run_server(
    certificate: Certificate,
    limits: ConnectionLimits,
    *,
    server: type[TlsServer] = TlsServer,
    loop: str = "auto",
    **settings: Any,
) -> Iterator[Connect]:
    app, protocol = PlainTextResponse("here"), cast(type, partial(HttpProtocol, limits=limits))
    settings |= {"access_log": False, "loop": loop}
    create_server = partial(server, context=certificate.server_context, limits=limits)
    with running_uvicorn(app, protocol, create_server, **settings) as connect:
        yield connect


def encrypt(connection: socket.socket, certificate: Certificate) -> ssl.SSLSocket:
    context = ssl.create_default_context(cafile=certificate.path)
    return context.wrap_socket(connection, server_hostname="127.0.0.1")


def read_to_end(connection: socket.socket) -> bytes:
    received = b""
    with suppress(ConnectionResetError):
        while part := connection.recv(65_536):
            received += part
    return received


def ask(connect: Connect, certificate: Certificate) -> bytes:
    """Return the response to one request; b"" if the server closes the connection before the end of the handshake."""
    try:
        with connect() as connection, encrypt(connection, certificate) as encrypted:
            encrypted.sendall(LAST_REQUEST)
            return read_to_end(encrypted)
    except (ssl.SSLEOFError, ConnectionResetError, BrokenPipeError):
        return b""


def wait_for_response(connect: Connect, certificate: Certificate) -> bytes:
    response = b""
    for _ in range(100):
        response = ask(connect, certificate)
        if response.startswith(b"HTTP/1.1 200 "):
            break
        time.sleep(0.05)
    return response


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_requests_over_tls_are_answered(certificate: Certificate, loop: str):
    if loop == "uvloop":
        pytest.importorskip("uvloop")
    with run_server(certificate, ConnectionLimits(LIMIT), loop=loop) as connect:
        for _ in range(2 * LIMIT):
            with connect() as connection, encrypt(connection, certificate) as encrypted:
                encrypted.sendall(REQUEST * 3 + LAST_REQUEST)
                assert read_to_end(encrypted).count(b"HTTP/1.1 200 ") == 4


def test_handshakes_in_progress_count_in_the_limit_of_connections(certificate: Certificate):
    with run_server(certificate, ConnectionLimits(LIMIT)) as connect, ExitStack() as stack:
        handshakes = [stack.enter_context(connect()) for _ in range(LIMIT)]
        response = ask(connect, certificate)
        assert response.startswith(b"HTTP/1.1 503 ")
        assert b"\r\nretry-after: 1\r\n" in response
        handshakes[0].close()
        assert wait_for_response(connect, certificate).startswith(b"HTTP/1.1 200 ")


def test_handshakes_in_progress_count_in_the_limit_of_their_address(certificate: Certificate):
    with run_server(certificate, ConnectionLimits(100, LIMIT)) as connect, ExitStack() as stack:
        for _ in range(LIMIT):
            stack.enter_context(connect())
        assert b"too many open connections of this address" in ask(connect, certificate)


def test_connections_far_above_the_limit_are_closed_before_their_handshake(certificate: Certificate):
    with run_server(certificate, ConnectionLimits(LIMIT)) as connect, ExitStack() as stack:
        connections = [stack.enter_context(connect()) for _ in range(LIMIT + MAX_REFUSALS)]
        with connect() as further:
            assert read_to_end(further) == b""
        for connection in connections:
            connection.settimeout(0.01)
            with pytest.raises(TimeoutError):
                connection.recv(1)


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize("sent", [b"", b"\x16\x03\x01\x02\x00"], ids=["silent", "incomplete"])
def test_handshake_that_does_not_end_is_closed_and_no_longer_counts(certificate: Certificate, loop: str, sent: bytes):
    if loop == "uvloop":
        pytest.importorskip("uvloop")
    with run_server(certificate, ConnectionLimits(1), server=ImpatientServer, loop=loop) as connect:
        with connect() as connection:
            connection.sendall(sent)
            assert read_to_end(connection) == b""
        assert wait_for_response(connect, certificate).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize("sent", [REQUEST, b"", b"\x16\x03\x01\x02\x00"], ids=["plain HTTP", "nothing", "a part"])
def test_failed_handshakes_no_longer_count(certificate: Certificate, caplog, loop: str, sent: bytes):
    if loop == "uvloop":
        pytest.importorskip("uvloop")
    with run_server(certificate, ConnectionLimits(2), loop=loop) as connect:
        for _ in range(10):
            with connect() as connection:
                connection.sendall(sent)
        assert wait_for_response(connect, certificate).startswith(b"HTTP/1.1 200 ")
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == []


def test_stop_of_the_server_ends_handshakes(certificate: Certificate):
    with ExitStack() as stack:
        with run_server(certificate, ConnectionLimits(LIMIT), timeout_graceful_shutdown=10) as connect:
            connection = stack.enter_context(connect())
            time.sleep(0.1)
            started = time.monotonic()
        assert read_to_end(connection) == b""
        assert time.monotonic() - started < 5


@pytest.mark.skipif(sys.platform != "linux", reason="prlimit exists on Linux only")
def test_handshakes_cannot_take_all_descriptors_of_the_server(tmp_path: Path, certificate: Certificate):
    options = ["--tls-certificate", certificate.path, "--tls-key", certificate.key]
    command = serve_command(tmp_path / "store.db", *options)
    with subprocess.Popen(["prlimit", "--nofile=300", *command], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            host, port = server_url(process.stdout.readline()).removeprefix("https://").split(":")

            def connect() -> socket.socket:
                return socket.create_connection((host, int(port)), timeout=20)

            assert ask(connect, certificate).startswith(b"HTTP/1.1 ")
            with ExitStack() as stack:
                for _ in range(400):
                    stack.enter_context(connect())
                time.sleep(0.5)
                assert len(list(Path(f"/proc/{process.pid}/fd").iterdir())) < 300 - 50
            assert wait_for_response(connect, certificate).startswith(b"HTTP/1.1 ")
        finally:
            process.terminate()
