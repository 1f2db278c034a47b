"""Reports as bytes on a connection: whichever way they take through the server, they are answered alike."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.client import HTTPResponse

import pytest
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from xpander_server.api.app import create_app
from xpander_server.auth.authentication import SingleOrganizationAuthenticator
from xpander_server.http import protocol as connections
from xpander_server.http.concurrency import run_in_threadpool
from xpander_server.http.protocol import HttpProtocol
from xpander_server.store import Store

PATH = "/agent-execution/agent/report_task"
BODY = json.dumps({"id": "run-1", "result": "r" * 2_000}).encode()
LENGTH = f"content-length: {len(BODY)}"

Connect = Callable[[], socket.socket]


def serving(protocol: type[HttpToolsProtocol], store: Store) -> Iterator[Connect]:
    app = create_app(store, SingleOrganizationAuthenticator("org"), run_in_threadpool)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(
            uvicorn.Config(
                app, http=protocol, ws="none", lifespan="off", log_config=None, proxy_headers=False, server_header=False
            )
        )
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield lambda: socket.create_connection(listener.getsockname(), timeout=20)
        finally:
            server.should_exit = True
            thread.join(20)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    made = Store(f"sqlite:///{tmp_path_factory.mktemp('short')}/store.db")
    yield made
    made.close()


@pytest.fixture(scope="module")
def connect(store: Store) -> Iterator[Connect]:
    yield from serving(HttpProtocol, store)


@pytest.fixture(scope="module")
def connect_by_asgi(store: Store) -> Iterator[Connect]:
    yield from serving(HttpToolsProtocol, store)


def head(*lines: str, method: str = "POST", path: str = PATH) -> bytes:
    given = ["host: test", "content-type: application/json", "x-request-id: given", *lines]
    return "\r\n".join([f"{method} {path} HTTP/1.1", *given, "", ""]).encode()


def answered(connection: socket.socket, method: str = "POST") -> tuple[int, dict[str, str], bytes]:
    response = HTTPResponse(connection, method=method)
    response.begin()
    return response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()


def less_times(answer: tuple[int, dict[str, str], bytes]) -> object:
    status, headers, body = answer
    told = json.loads(body) if body else None
    if isinstance(told, dict):
        told = {name: value for name, value in told.items() if not name.endswith("_at")}
    return status, {**headers, "date": bool(headers["date"])}, told


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
def test_both_ways_answer_alike(connect, connect_by_asgi, method: str, path: str, lines: list[str], body: bytes):
    answers = []
    for way in (connect, connect_by_asgi):
        with way() as connection:
            connection.sendall(head(*lines, method=method, path=path) + body)
            answers.append(less_times(answered(connection, method)))
    assert answers[0] == answers[1]


def test_a_report_that_comes_at_once_takes_the_short_way(connect, monkeypatch):
    taken = []
    answer = connections._respond

    async def noted(cycle, *rest):
        taken.append(cycle.more_body)
        await answer(cycle, *rest)

    monkeypatch.setattr(connections, "_respond", noted)
    with connect() as connection:
        connection.sendall(head(LENGTH) + BODY)
        assert answered(connection)[0] == 200
    assert taken == [False]


@pytest.mark.parametrize("pieces", [2, 50])
def test_a_body_may_come_in_pieces(connect, pieces: int):
    step = len(BODY) // pieces
    with connect() as connection:
        connection.sendall(head(LENGTH))
        for at in range(0, len(BODY), step):
            time.sleep(0.002)
            connection.sendall(BODY[at : at + step])
        assert answered(connection)[0] == 200


def test_a_body_may_come_in_chunks(connect):
    with connect() as connection:
        connection.sendall(head("transfer-encoding: chunked"))
        for part in (BODY[:700], BODY[700:]):
            time.sleep(0.01)
            connection.sendall(b"%x\r\n%b\r\n" % (len(part), part))
        connection.sendall(b"0\r\n\r\n")
        assert answered(connection)[0] == 200


def test_a_body_is_asked_for_where_the_client_waits_for_that(connect):
    with connect() as connection:
        connection.sendall(head(LENGTH, "expect: 100-continue"))
        assert connection.recv(100).startswith(b"HTTP/1.1 100 ")
        connection.sendall(BODY)
        assert answered(connection)[0] == 200


def test_requests_sent_together_are_answered_in_their_order(connect):
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


def test_a_client_that_goes_away_leaves_its_report_and_no_trouble(connect, caplog):
    for _ in range(20):
        with connect() as connection:
            connection.sendall(head(LENGTH) + BODY)
    with connect() as connection:
        connection.sendall(head(LENGTH) + BODY)
        assert answered(connection)[0] == 200
    assert not [record for record in caplog.records if record.levelname in ("ERROR", "WARNING")]
