"""Connections that are slow, incomplete or do not use HTTP."""

import json
import socket

import pytest

from contract.raw_http import JSON_HEADERS, RawClient, read_response, request_head


def report_head(raw_client: RawClient, content_length: int) -> bytes:
    """Return the head of a report whose body has the given length."""
    headers = [*JSON_HEADERS, (b"content-length", b"%d" % content_length)]
    return request_head(b"POST", raw_client.report_path, headers)


@pytest.mark.parametrize("lines", [1, 1_000], ids=["one", "a thousand"])
def test_head_of_over_64_kib_is_431(raw_client: RawClient, lines: int) -> None:
    headers = [(b"x", b"y" * (100_000 // lines))] * lines
    assert raw_client.request(b"GET", b"/health", headers).status == 431


def test_incomplete_heads_do_not_delay_other_requests(raw_client: RawClient) -> None:
    connections = [raw_client.connect() for _ in range(100)]
    try:
        for connection in connections:
            connection.sendall(b"POST /agent-execution/a/report_task HTTP/1.1\r\nx: ")
        assert raw_client.report(b"{}").status == 200
    finally:
        for connection in connections:
            connection.close()


def test_connections_closed_within_body_do_no_harm(raw_client: RawClient) -> None:
    for _ in range(20):
        with raw_client.connect() as connection:
            connection.sendall(report_head(raw_client, 1_000) + b'{"id": "ha')


def test_incomplete_body_is_not_stored(raw_client: RawClient) -> None:
    task_id = f"half-{raw_client.agent}"
    body = json.dumps({"id": task_id}).encode()
    with raw_client.connect() as connection:
        # The body is a complete report, but shorter than its content-length.
        connection.sendall(report_head(raw_client, 1_000) + body)
        connection.shutdown(socket.SHUT_WR)
        # The server may send a response, and must close the connection.
        while connection.recv(65_536):
            pass
    assert raw_client.request(b"GET", f"/agent-execution/{task_id}/status".encode()).status == 404


def test_connections_closed_within_head_do_no_harm(raw_client: RawClient) -> None:
    for _ in range(20):
        with raw_client.connect() as connection:
            connection.sendall(b"POST /agent-exec")


def test_body_sent_byte_by_byte_is_accepted(raw_client: RawClient) -> None:
    body = b'{"result": "slow"}'
    with raw_client.connect() as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(report_head(raw_client, len(body)))
        for byte in body:
            connection.sendall(bytes([byte]))
        assert read_response(connection).status == 200


def test_incomplete_bodies_do_not_delay_other_requests(raw_client: RawClient) -> None:
    connections = [raw_client.connect() for _ in range(100)]
    try:
        for connection in connections:
            connection.sendall(report_head(raw_client, 1_000) + b"{")
        assert raw_client.report(b"{}").status == 200
    finally:
        for connection in connections:
            connection.close()


@pytest.mark.parametrize(
    "raw",
    [
        b"\x00\x01\x02\x03\r\n\r\n",
        b"hello\r\n\r\n",
        b"GET /health\r\n\r\n",
        b"GET  HTTP/1.1\r\n\r\n",
        b"G\xffT /health HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"POST /agent-execution/a/report_task HTTP/1.1\r\nhost: a\r\ncontent-length: -1\r\n\r\n",
        b"POST /agent-execution/a/report_task HTTP/1.1\r\nhost: a\r\ncontent-length: x\r\n\r\n",
        b"POST /agent-execution/a/report_task HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nZZ\r\n",
    ],
)
def test_malformed_http_does_no_harm(raw_client: RawClient, raw: bytes) -> None:
    with raw_client.connect() as connection:
        connection.sendall(raw)
        connection.shutdown(socket.SHUT_WR)
        response = b""
        while part := connection.recv(65_536):
            response += part
    # The server may send any response except a server error, and must close the connection.
    assert not response.startswith(b"HTTP/1.1 5")


@pytest.mark.parametrize(
    "target", [b"/health?\xff", b"/\xc3\xbc", b"/agents-metrics/\xff", b"/agents-metrics/a\\b", b"/a%"]
)
def test_raw_bytes_in_target_do_no_harm(raw_client: RawClient, target: bytes) -> None:
    assert raw_client.request(b"GET", target).status in (200, 400, 404, 422)
