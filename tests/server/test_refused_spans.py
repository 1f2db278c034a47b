"""Refused spans as the operator sees them: the endpoint, and the check of `doctor`."""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from support.server import Server, running_server
from support.uvicorn_server import running_uvicorn
from xpander_sdk import Configuration
from xpander_sdk.doctor import refused_spans
from xpander_sdk.doctor.findings import CheckFailed, CheckUndetermined
from xpander_sdk.doctor.refused_spans import check_refused_spans
from xpander_server.admin import open_keys
from xpander_server.http.dispatcher import Dispatcher
from xpander_server.http.protocol import HttpProtocol
from xpander_server.store import Store, new_refusal

HOSTILE = "\x1b[31m\u202e\x00<b>"


class ServerWithKeys:
    """Server with keys of two organizations."""

    def __init__(self, process: Server, url: str) -> None:
        self.url = process.url
        with open_keys(url) as keys:
            self.keys = {
                "reporter": keys.create("reporter", "org", scopes=("report",)),
                "reader": keys.create("reader", "org", scopes=("report", "read")),
                "only reader": keys.create("only reader", "org", scopes=("read",)),
                "other": keys.create("other", "another", scopes=("report", "read")),
                "unknown": "an unknown key of 20 characters",
            }

    def send(self, body: bytes, media_type: str = "application/json") -> int:
        headers = {"x-api-key": self.keys["reporter"], "content-type": media_type}
        request = urllib.request.Request(f"{self.url}/v1/traces", body, headers)
        try:
            with urllib.request.urlopen(request, timeout=20) as response:
                return response.status
        except urllib.error.HTTPError as error:
            with error:
                return error.code

    def refusals(self, key: str) -> list[dict[str, Any]]:
        request = urllib.request.Request(f"{self.url}/v1/traces/refusals", headers={"x-api-key": self.keys[key]})
        with urllib.request.urlopen(request, timeout=20) as response:
            return json.loads(response.read())["refusals"]

    def configuration(self, key: str) -> Configuration:
        return Configuration(base_url=self.url, api_key=self.keys[key])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerWithKeys]:
    path = tmp_path_factory.mktemp("refused") / "store.db"
    with running_server(path) as process:
        yield ServerWithKeys(process, f"sqlite:///{path}")


def export(*spans: dict[str, Any]) -> bytes:
    return json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": list(spans)}]}]}).encode()


INVALID = {"traceId": "1" * 32, "spanId": "2" * 16, "startTimeUnixNano": HOSTILE}
VALID = {"traceId": "3" * 32, "spanId": "4" * 16, "name": "x"}


@pytest.fixture(scope="module")
def refusals(server: ServerWithKeys) -> list[dict[str, Any]]:
    """Return the refusals after one of each kind."""
    assert server.send(export(INVALID, VALID)) == 200
    assert server.send(export(INVALID)) == 400
    assert server.send(b"logs", "text/plain") == 415
    assert server.send(b"{}") == 200
    found: list[dict[str, Any]] = []
    for _ in range(100):
        found = server.refusals("reader")
        if len(found) == 3:
            break
        time.sleep(0.1)
    return found


def test_refusals_have_counts_times_and_reasons(refusals):
    by_cause = {refusal["cause"]: refusal for refusal in refusals}
    assert {cause: (refusal["requests"], refusal["spans"]) for cause, refusal in by_cause.items()} == {
        "invalid_spans": (1, 1),
        "invalid_export": (1, 0),
        "media_type": (1, 0),
    }
    assert "a time must be nanoseconds since 1970" in by_cause["invalid_spans"]["reason"]
    assert all(refusal["first_at"] <= refusal["last_at"] for refusal in refusals)
    assert all(refusal["reason"].isprintable() for refusal in refusals)


def test_key_that_may_not_read_gets_no_reasons(server, refusals):
    assert server.refusals("reporter") == [{**refusal, "reason": None} for refusal in refusals]


@pytest.mark.usefixtures("refusals")
def test_other_organizations_see_nothing(server):
    assert server.refusals("other") == []


@pytest.mark.parametrize(("key", "status"), [("only reader", 403), ("unknown", 401)])
def test_refusals_require_a_key_that_reports(server, key: str, status: int):
    with pytest.raises(urllib.error.HTTPError) as caught:
        server.refusals(key)
    with caught.value:
        assert caught.value.code == status


@pytest.mark.usefixtures("refusals")
def test_doctor_fails_after_recent_refusals(server):
    with pytest.raises(CheckFailed, match="1 spans in 1 requests, the last at") as caught:
        check_refused_spans(server.configuration("reader"))
    assert str(caught.value).isprintable()
    assert "a time must be" in str(caught.value)
    with pytest.raises(CheckFailed) as caught:
        check_refused_spans(server.configuration("reporter"))
    assert "a time must be" not in str(caught.value)
    assert check_refused_spans(server.configuration("other")) == "the server has refused no spans of OpenTelemetry"


def test_doctor_states_earlier_refusals_without_failing(tmp_path):
    url = f"sqlite:///{tmp_path}/store.db"
    store = Store(url)
    at = int((time.time() - refused_spans.LATELY.total_seconds() - 60) * 1e6)
    store.span_refusals.add([new_refusal("local", "too_many_spans", 5, "their traces have too many spans", at)])
    store.close()
    text = check_refused_spans(Configuration(base_url=url))
    assert text.startswith("the server has refused spans of OpenTelemetry: 5 spans in 1 requests, the last at ")


@contextmanager
def backend_that_answers(status: int, body: str) -> Iterator[Configuration]:
    async def respond(_: Request) -> Response:
        return PlainTextResponse(body, status)

    app = Dispatcher([Route("/v1/traces/refusals", respond)], PlainTextResponse("", 404))
    with running_uvicorn(app, HttpProtocol) as connect, connect() as connection:
        host, port = connection.getpeername()
        yield Configuration(base_url=f"http://{host}:{port}", api_key="k")


@pytest.mark.parametrize(
    ("status", "body", "text"),
    [
        (404, "", "does not state refused spans"),
        (405, "", "does not state refused spans"),
        (403, "", "may not read whether spans were refused"),
        (200, '{"refusals": []}', "has refused no spans"),
    ],
)
def test_doctor_reads_what_other_backends_answer(status: int, body: str, text: str):
    with backend_that_answers(status, body) as configuration:
        assert text in check_refused_spans(configuration)


@pytest.mark.parametrize(
    "body",
    [
        "<html>",
        "[]",
        "null",
        '{"refusals": 5}',
        '{"refusals": [{}]}',
        "[" * 5_000,
        '{"refusals": [{"requests": 1, "spans": 1, "cause": "x", "last_at": "2026"}]}',
    ],
)
def test_doctor_cannot_tell_from_another_answer(body: str):
    with backend_that_answers(200, body) as configuration, pytest.raises(CheckUndetermined):
        check_refused_spans(configuration)
