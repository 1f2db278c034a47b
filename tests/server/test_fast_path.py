"""Fast path of the HTTP protocol: it gives the same responses as the regular ASGI path."""

import json
import socket
import time
from collections.abc import Iterator
from http.client import HTTPResponse

import pytest
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from support.uvicorn_server import Connect, running_uvicorn
from xpander_server.api.app import create_app
from xpander_server.auth.authentication import SingleOrganizationAuthenticator
from xpander_server.http.concurrency import run_in_threadpool
from xpander_server.http.dispatcher import RECEIVED_BODY, Dispatcher
from xpander_server.http.protocol import HttpProtocol
from xpander_server.store import Store

PATH = "/agent-execution/agent/report_task"
BODY = json.dumps({"id": "run-1", "result": "r" * 2_000}).encode()
LENGTH = f"content-length: {len(BODY)}"


def run_server(protocol_class: type[HttpToolsProtocol], store: Store) -> Iterator[Connect]:
    app = create_app(store, SingleOrganizationAuthenticator("org"), run_in_threadpool)
    with running_uvicorn(app, protocol_class, proxy_headers=False, server_header=False) as connect:
        yield connect


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    store = Store(f"sqlite:///{tmp_path_factory.mktemp('store')}/store.db")
    yield store
    store.close()


@pytest.fixture(scope="module")
def connect(store: Store) -> Iterator[Connect]:
    yield from run_server(HttpProtocol, store)


@pytest.fixture(scope="module")
def connect_by_asgi(store: Store) -> Iterator[Connect]:
    yield from run_server(HttpToolsProtocol, store)


def head(*lines: str, method: str = "POST", path: str = PATH) -> bytes:
    headers = ["host: test", "content-type: application/json", "x-request-id: given", *lines]
    return "\r\n".join([f"{method} {path} HTTP/1.1", *headers, "", ""]).encode()


def read_response(connection: socket.socket, method: str = "POST") -> tuple[int, dict[str, str], bytes]:
    response = HTTPResponse(connection, method=method)
    response.begin()
    return response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()


def without_times(response: tuple[int, dict[str, str], bytes]) -> object:
    status, headers, body = response
    task = json.loads(body) if body else None
    if isinstance(task, dict):
        task = {name: value for name, value in task.items() if not name.endswith("_at")}
    return status, {**headers, "date": bool(headers["date"])}, task


def test_uvicorn_calls_the_method_that_starts_the_fast_path():
    # A version that does not call it would answer every request on the regular path, without any error.
    assert "_start_asgi_task" in vars(HttpToolsProtocol)
    assert "_start_asgi_task" in vars(HttpProtocol)


@pytest.mark.parametrize(
    ("method", "path", "lines", "body"),
    [
        ("POST", PATH, [LENGTH], BODY),
        ("POST", "/org" + PATH, [LENGTH], BODY),
        ("POST", "/another" + PATH, [LENGTH], BODY),
        ("POST", PATH, [LENGTH, "connection: close"], BODY),
        ("POST", PATH, ["content-length: 3"], b"{]}"),
        ("POST", PATH, ["content-length: 0"], b""),
        ("POST", PATH, ["content-length: 99999999"], b""),
        ("GET", PATH, [], b""),
        ("GET", "/agent-execution/run-1/status", [], b""),
        ("HEAD", "/agent-execution/run-1/status", [], b""),
        ("GET", "/agent-execution/no%2Frun/status", [], b""),
        ("GET", "/health", [], b""),
        ("GET", "/nowhere", [], b""),
    ],
)  # fmt: skip
def test_fast_path_and_asgi_path_give_same_response(
    connect, connect_by_asgi, method: str, path: str, lines: list[str], body: bytes
):
    responses = []
    for connect_to in (connect, connect_by_asgi):
        with connect_to() as connection:
            connection.sendall(head(*lines, method=method, path=path) + body)
            responses.append(without_times(read_response(connection, method)))
    assert responses[0] == responses[1]


def test_report_in_one_piece_takes_fast_path(connect, monkeypatch):
    has_received_body = []
    respond = Dispatcher.respond

    async def record_and_respond(dispatcher, route, scope, receive):
        has_received_body.append(RECEIVED_BODY in scope)
        return await respond(dispatcher, route, scope, receive)

    monkeypatch.setattr(Dispatcher, "respond", record_and_respond)
    with connect() as connection:
        connection.sendall(head(LENGTH) + BODY)
        assert read_response(connection)[0] == 200
    assert has_received_body == [True]


@pytest.mark.parametrize("pieces", [2, 50])
def test_body_in_pieces(connect, pieces: int):
    step = len(BODY) // pieces
    with connect() as connection:
        connection.sendall(head(LENGTH))
        for at in range(0, len(BODY), step):
            time.sleep(0.002)
            connection.sendall(BODY[at : at + step])
        assert read_response(connection)[0] == 200


def test_chunked_body(connect):
    with connect() as connection:
        connection.sendall(head("transfer-encoding: chunked"))
        for part in (BODY[:700], BODY[700:]):
            time.sleep(0.01)
            connection.sendall(b"%x\r\n%b\r\n" % (len(part), part))
        connection.sendall(b"0\r\n\r\n")
        assert read_response(connection)[0] == 200


def test_expect_100_continue(connect):
    with connect() as connection:
        connection.sendall(head(LENGTH, "expect: 100-continue"))
        assert connection.recv(100).startswith(b"HTTP/1.1 100 ")
        connection.sendall(BODY)
        assert read_response(connection)[0] == 200


def test_pipelined_requests_are_answered_in_order(connect):
    with connect() as connection:
        reports = [json.dumps({"id": f"run-{number}"}).encode() for number in range(30)]
        connection.sendall(b"".join(head(f"content-length: {len(report)}") + report for report in reports))
        ids = []
        with connection.makefile("rb") as received:
            for _ in reports:
                while (line := received.readline()) != b"\r\n":
                    if line.lower().startswith(b"content-length:"):
                        length = int(line.partition(b":")[2])
                ids.append(json.loads(received.read(length))["id"])
        assert ids == [f"run-{number}" for number in range(30)]


def test_disconnected_client_causes_no_log_message(connect, caplog):
    for _ in range(20):
        with connect() as connection:
            connection.sendall(head(LENGTH) + BODY)
    with connect() as connection:
        connection.sendall(head(LENGTH) + BODY)
        assert read_response(connection)[0] == 200
    assert not [record for record in caplog.records if record.levelname in ("ERROR", "WARNING")]


def test_connection_that_closes_before_its_response_causes_no_log_message(connect, monkeypatch, caplog):
    start_task, respond = HttpProtocol._start_asgi_task, Dispatcher.respond
    cycles = []

    def note_cycle(protocol, cycle, app):
        cycles.append(cycle)
        start_task(protocol, cycle, app)

    async def respond_and_close(*arguments):
        response = await respond(*arguments)
        cycles[-1].transport.close()
        return response

    monkeypatch.setattr(HttpProtocol, "_start_asgi_task", note_cycle)
    monkeypatch.setattr(Dispatcher, "respond", respond_and_close)
    with connect() as connection:
        connection.sendall(head(LENGTH) + BODY)
        assert connection.recv(1) == b""
    assert not [record for record in caplog.records if record.levelname in ("ERROR", "WARNING")]
