"""Request smuggling: no byte of a body becomes a request, and heads with two readings are refused (RFC 9112)."""

import json
import socket
from collections.abc import Iterator
from contextlib import suppress

import pytest

from server.test_connections import read_to_end
from support.server import KEY, Server, running_server

SMUGGLED = b"GET /agent-execution/smuggled/status HTTP/1.1\r\nhost: x\r\nx-api-key: " + KEY.encode() + b"\r\n\r\n"
REPORT = b'{"id": "report-1", "result": "stored"}'
POST = b"POST /agent-execution/a/report_task HTTP/1.1\r\n"
HOST = b"host: x\r\n"
AUTHORIZED = HOST + b"x-api-key: " + KEY.encode() + b"\r\ncontent-type: application/json\r\n"
CHUNKED = b"%x\r\n%s\r\n0\r\n\r\n" % (len(REPORT), REPORT)
LENGTH = b"content-length: %d\r\n" % len(REPORT)
UPGRADE = b"connection: Upgrade\r\nupgrade: x\r\n"
H2C = b"connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAARAAAAAAAIAAAAA\r\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("smuggling") / "store.db") as server:
        yield server


def connect(server: Server) -> socket.socket:
    host, _, port = server.url.removeprefix("http://").partition(":")
    connection = socket.create_connection((host, int(port)), timeout=20)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def exchange(server: Server, *parts: bytes) -> list[tuple[int, bytes]]:
    """Send the parts one after the other, and return the status and body of each response until the connection ends."""
    with connect(server) as connection:
        with suppress(BrokenPipeError, ConnectionResetError):
            for part in parts:
                connection.sendall(part)
                connection.settimeout(0.05)
                with suppress(TimeoutError):
                    connection.recv(1, socket.MSG_PEEK)  # gives the server time to read this part separately
                connection.settimeout(20)
        return parse_responses(read_to_end(connection))


def parse_responses(received: bytes) -> list[tuple[int, bytes]]:
    responses = []
    while received:
        head, _, received = received.partition(b"\r\n\r\n")
        length = int(next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))[15:])
        responses.append((int(head.split()[1]), received[:length]))
        received = received[length:]
    return responses


# A request that ends the connection and whose answer differs from all others.
LAST = b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"


@pytest.mark.parametrize("upgrade", [UPGRADE, H2C, b"connection: close, upgrade\r\nUpgrade: websocket\r\n"])
@pytest.mark.parametrize("separately", [False, True], ids=["one packet", "separate packets"])
@pytest.mark.parametrize(
    ("framing", "body"), [(LENGTH, REPORT), (b"transfer-encoding: chunked\r\n", CHUNKED)], ids=["length", "chunked"]
)
def test_upgrade_is_ignored_and_body_is_read(server, upgrade: bytes, separately: bool, framing: bytes, body: bytes):
    head = POST + AUTHORIZED + upgrade + framing + b"\r\n"
    is_last = b"close" in upgrade
    last = b"" if is_last else LAST
    parts = [head, body, last] if separately else [head + body + last]
    responses = exchange(server, *parts)
    assert [status for status, _ in responses] == ([200] if is_last else [200, 200])
    assert json.loads(responses[0][1])["result"] == "stored"


@pytest.mark.parametrize("separately", [False, True], ids=["one packet", "separate packets"])
@pytest.mark.parametrize("key", [HOST, AUTHORIZED], ids=["no key", "key"])
@pytest.mark.parametrize(
    "request_line",
    [POST, b"POST /healthz HTTP/1.1\r\n", b"GET /healthz HTTP/1.1\r\n", b"GET /ui/sign-in HTTP/1.1\r\n",
     b"DELETE /nothing HTTP/1.1\r\n", b"OPTIONS * HTTP/1.1\r\n", b"HEAD /nothing HTTP/1.1\r\n"],
)  # fmt: skip
@pytest.mark.parametrize("upgrade", [b"", UPGRADE, H2C])
def test_body_is_never_read_as_request(server, upgrade: bytes, request_line: bytes, key: bytes, separately: bool):
    head = request_line + key + upgrade + b"content-length: %d\r\n\r\n" % len(SMUGGLED)
    parts = [head, SMUGGLED, LAST] if separately else [head + SMUGGLED + LAST]
    if request_line.startswith(b"HEAD"):
        with connect(server) as connection:
            connection.sendall(b"".join(parts))
            received = read_to_end(connection)
        assert received.count(b"HTTP/1.1 ") == 2
        assert b"smuggled" not in received
        return
    responses = exchange(server, *parts)
    assert len(responses) == 2
    assert responses[1] == (200, b'{"status":"ok"}')
    assert b"no task 'smuggled'" not in responses[0][1]


def test_many_upgrades_on_one_connection(server):
    request = POST + AUTHORIZED + UPGRADE + LENGTH + b"\r\n" + REPORT
    responses = exchange(server, request * 50 + LAST)
    assert [status for status, _ in responses] == [200] * 51


REFUSED = {
    "no host": (POST + AUTHORIZED.replace(HOST, b"") + LENGTH + b"\r\n" + REPORT, 400),
    "two hosts": (POST + AUTHORIZED + b"host: y\r\n" + LENGTH + b"\r\n" + REPORT, 400),
    "two hosts in HTTP/1.0": (b"GET /healthz HTTP/1.0\r\nhost: x\r\nhost: x\r\n\r\n", 400),
    "invalid host": (b"GET /healthz HTTP/1.1\r\nhost: x y\r\n\r\n", 400),
    "host with path": (b"GET /healthz HTTP/1.1\r\nhost: x/y\r\n\r\n", 400),
    "HTTP/0.9": (b"GET /healthz\r\n\r\n", 400),
    "HTTP/2.0": (b"GET /healthz HTTP/2.0\r\nhost: x\r\n\r\n", 505),
    "HTTP/1.2": (b"GET /healthz HTTP/1.2\r\nhost: x\r\n\r\n", 400),
    "gzip, chunked": (POST + AUTHORIZED + b"transfer-encoding: gzip, chunked\r\n\r\n" + CHUNKED, 501),
    "gzip and chunked": (
        POST + AUTHORIZED + b"transfer-encoding: gzip\r\ntransfer-encoding: chunked\r\n\r\n" + CHUNKED,
        501,
    ),
    "chunked in HTTP/1.0": (
        POST.replace(b"1.1", b"1.0") + AUTHORIZED + b"transfer-encoding: chunked\r\n\r\n" + CHUNKED,
        400,
    ),
    "CONNECT": (b"CONNECT evil.example:443 HTTP/1.1\r\nhost: x\r\n\r\n", 501),
    "length and chunked": (POST + AUTHORIZED + b"transfer-encoding: chunked\r\n" + LENGTH + b"\r\n" + CHUNKED, 400),
    "two lengths": (POST + AUTHORIZED + LENGTH + LENGTH + b"\r\n" + REPORT, 400),
    "length with plus": (POST + AUTHORIZED + b"content-length: +38\r\n\r\n" + REPORT, 400),
    "list of lengths": (POST + AUTHORIZED + b"content-length: 38, 38\r\n\r\n" + REPORT, 400),
    "space before colon": (POST + AUTHORIZED + b"content-length : 38\r\n\r\n" + REPORT, 400),
    "folded line": (POST + AUTHORIZED + b"x: y\r\n z\r\n" + LENGTH + b"\r\n" + REPORT, 400),
    "bare LF": ((POST + AUTHORIZED + LENGTH + b"\r\n").replace(b"\r\n", b"\n") + REPORT, 400),
    "bare CR": (POST + AUTHORIZED + b"x: y\rcontent-length: 3\r\n" + LENGTH + b"\r\n" + REPORT, 400),
    "coding after chunked": (POST + AUTHORIZED + b"transfer-encoding: chunked, identity\r\n\r\n" + CHUNKED, 400),
    "upgrade and two hosts": (POST + AUTHORIZED + HOST + UPGRADE + LENGTH + b"\r\n" + REPORT, 400),
}


@pytest.mark.parametrize(("raw", "status"), REFUSED.values(), ids=REFUSED.keys())
def test_ambiguous_request_is_refused_and_connection_closed(server, raw: bytes, status: int):
    with connect(server) as connection:
        connection.sendall(raw + SMUGGLED)
        received = read_to_end(connection)
    ((actual_status, body),) = parse_responses(received)
    assert actual_status == status
    assert isinstance(json.loads(body)["detail"], str)
    assert b"\r\nconnection: close\r\n" in received


@pytest.mark.parametrize("raw", [REFUSED["two hosts"][0], REFUSED["bare LF"][0], b"\x00"])
def test_earlier_requests_are_answered_before_refusal(server, raw: bytes):
    request = POST + AUTHORIZED + LENGTH + b"\r\n" + REPORT
    with connect(server) as connection:
        connection.sendall(request * 3 + raw + SMUGGLED)
        responses = parse_responses(read_to_end(connection))
    assert [status for status, _ in responses[:3]] == [200, 200, 200]
    assert [status for status, _ in responses[3:]] in ([], [400])


@pytest.mark.parametrize(
    "chunks", [b"0x5\r\nhello\r\n0\r\n\r\n", b"5\nhello\n0\n\n", b"5\r\nhelloXX0\r\n\r\n", b"1000000000000000b\r\n{"]
)
@pytest.mark.parametrize("requests_before", [0, 2])
def test_malformed_chunk_ends_connection(server, chunks: bytes, requests_before: int):
    head = POST + AUTHORIZED + b"transfer-encoding: chunked\r\n\r\n"
    with connect(server) as connection:
        connection.sendall((POST + AUTHORIZED + LENGTH + b"\r\n" + REPORT) * requests_before + head + chunks + SMUGGLED)
        responses = parse_responses(read_to_end(connection))
    assert [status for status, _ in responses] == [200] * requests_before + [400]
