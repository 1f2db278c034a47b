"""Secrets in responses, reprs, errors and tracebacks: keys and passwords stay hidden.

`test_fault_cases` checks the same for each fault of the table. The servers of this module repeat the key in a response.
"""

import asyncio
import base64
import json
import os
import pprint
import signal
import sys
import threading
from urllib.parse import quote

import pytest
from attrs import evolve

from faults.assertions import (
    assert_key_hidden,
    assert_no_secrets_leaked,
    capture_debug_logs,
    error_texts,
    log_texts,
    traceback_with_locals,
)
from faults.fault_cases import FAULT_CASES, FaultCase
from faults.forms import AGENT, FAST_RETRIES, KEY, KEY_FRAGMENT, TIMEOUTS, Form, report_outcome
from faults.server import HOST, FaultServer, Peer
from faults.steps import ACCEPT, TASK, raw_response, respond, send_raw
from xpander_sdk import Backend, Configuration, Tasks, TransportSettings
from xpander_sdk.client import operations
from xpander_sdk.client.redaction import Redaction
from xpander_sdk.client.transport_registry import transports
from xpander_sdk.doctor.checks import run_checks
from xpander_sdk.settings.configuration import KeyFile
from xpander_sdk.transport.base import Request, Response

HTML = {"content-type": "text/html"}
IN_JSON = json.dumps(KEY)[1:-1]

RESPONSES_WITH_KEY = {
    "detail": respond(403, {"detail": f"no such key: {KEY}"}),
    "very long detail": respond(500, {"detail": KEY * 500}),
    "problem": respond(422, {"detail": [{"loc": ["header", KEY], "msg": f"{KEY}?", "type": "key", "input": [KEY]}]}),
    "other json, in value": respond(401, {"error": {"key": KEY}}),
    "other json, in name": respond(500, {KEY: 1}),
    "text": respond(502, KEY.encode(), HTML),
    "escaped text": respond(502, f'{{"message": "{IN_JSON}", "page": "/{quote(KEY, safe="")}"'.encode()),
    "reason phrase of retried status": send_raw(raw_response(500, reason=KEY)),
    "reason phrase of final status": send_raw(raw_response(403, reason=KEY)),
    "request id": respond(404, None, {"x-request-id": KEY}),
    "quoted location": respond(302, None, {"location": f"https://elsewhere.invalid/?key={quote(KEY)}"}),
    "unquoted location": respond(302, None, {"location": f"/{KEY}"}),
    "headers of error": respond(
        503, {"detail": "later"}, {"x-api-key": KEY, "retry-after": KEY, "set-cookie": f"key={KEY}"}
    ),
    "headers of success": respond(200, TASK, {"x-api-key": KEY, "date": KEY}),
    "content encoding of success": respond(200, TASK, {"content-encoding": KEY}),
    "content encoding of error": respond(500, TASK, {"content-encoding": KEY}),
    "content length": send_raw(raw_response(200, TASK, length=KEY)),
    "transfer encoding": respond(200, TASK, {"transfer-encoding": KEY}),
    "invalid status line": send_raw(f"{KEY}\r\n\r\n".encode()),
    "invalid header line": send_raw(f"HTTP/1.1 200 OK\r\n{KEY}\r\n\r\n".encode()),
    "invalid task": respond(200, {"id": KEY, KEY: KEY}),
    "invalid tokens": respond(200, {**TASK, "tokens": KEY}),
    "invalid time": respond(200, {**TASK, "created_at": KEY}),
    "array": respond(200, [KEY]),
    "truncated json": respond(200, json.dumps({"id": KEY}).encode()[:-1]),
    "text instead of json": respond(200, KEY.encode()),
}


@pytest.mark.parametrize("step", RESPONSES_WITH_KEY.values(), ids=RESPONSES_WITH_KEY)
def test_key_in_response_is_hidden(step, form: Form, caplog, spans):
    with capture_debug_logs(caplog), FaultServer(step) as server:
        outcome = report_outcome(form, form.configuration(server.url))
    assert server.keys[0] == KEY
    assert_no_secrets_leaked(outcome.error, caplog, spans)


def test_error_keeps_text_around_hidden_key(form: Form):
    with FaultServer(RESPONSES_WITH_KEY["problem"]) as server:
        outcome = report_outcome(form, form.configuration(server.url))
    assert outcome.error is not None
    assert outcome.error.description == "header.***: ***?"
    assert outcome.error.problems == [{"loc": ["header", "***"], "msg": "***?", "type": "key", "input": ["***"]}]


def test_httpcore_logs_keep_text_around_hidden_key(form: Form, caplog):
    with capture_debug_logs(caplog), FaultServer(respond(503, None, {"x-echo": KEY})) as server:
        report_outcome(form, form.configuration(server.url))
    messages = [record.getMessage() for record in caplog.records if record.name == "httpcore.http11"]
    assert any("503" in message and "x-echo" in message and "***" in message for message in messages)


@pytest.mark.parametrize(
    "case",
    [
        *(case for case in FAULT_CASES if len(case.result) < 100),
        *(FaultCase(name, step) for name, step in RESPONSES_WITH_KEY.items()),
    ],
    ids=lambda case: case.name,
)
def test_doctor_hides_key(case: FaultCase, caplog, spans):
    with capture_debug_logs(caplog), case.server as server:
        configuration = Configuration(base_url=server.url, api_key=KEY, timeouts=case.timeouts, retry=FAST_RETRIES)
        results = list(run_checks(configuration, AGENT))
        assert results[-1].check == "spans"
    assert KEY_FRAGMENT not in f"{results} {results!r}"
    assert_no_secrets_leaked(None, caplog, spans)


# Reprs.


def test_reprs_hide_key_and_password(embedded, tmp_path):
    (tmp_path / "key").write_text(KEY)
    transport = TransportSettings(proxy=f"http://user:{KEY_FRAGMENT}@{HOST}:1", headers={"authorization": KEY})
    configuration = Configuration(api_key=KEY, base_url=f"http://{HOST}:1", transport=transport)
    operation = evolve(operations.get_task("run-1"), content=KEY.encode())
    task = Backend(embedded.with_options(api_key=KEY)).report_external_task("agent-1", result="done")
    objects = [
        configuration,
        transport,
        Backend(configuration),
        Tasks(configuration),
        task,
        Tasks(task.configuration).list("agent-1"),
        KeyFile(str(tmp_path / "key")),
        Configuration(api_key=KeyFile(str(tmp_path / "key"))),
        operation,
        transports.destination(configuration),
        Redaction(KEY, transports.destination(configuration)),
        Request("POST", b"/", [(b"x-api-key", KEY.encode())], KEY.encode()),
        Response(200, {"x-api-key": KEY}, KEY.encode()),
    ]
    for each in objects:
        for text in (repr(each), str(each), f"{each}", pprint.pformat(each)):
            assert KEY_FRAGMENT not in text


# Errors before the first request.


@pytest.mark.parametrize("invalid_key", [f"{KEY}\n", f" {KEY}", f"{KEY}\x00", f"{KEY}ключ"])
def test_error_about_invalid_key_in_environment_hides_key(invalid_key, monkeypatch):
    # A dict, because os.environ rejects NUL characters.
    monkeypatch.setattr("os.environ", {"XPANDER_API_KEY": invalid_key})
    del invalid_key  # the traceback shows the variables of this frame
    with pytest.raises(ValueError, match="api_key") as raised:
        Configuration()
    assert_key_hidden(raised.value)


def test_error_about_invalid_key_in_file_hides_key(form: Form, tmp_path, monkeypatch):
    (tmp_path / "key").write_text(f"{KEY}\nand more")
    monkeypatch.setenv("XPANDER_API_KEY_FILE", str(tmp_path / "key"))
    with FaultServer(ACCEPT) as server:
        configuration = form.configuration(server.url, api_key=None)
        with pytest.raises(ValueError, match="api_key") as raised:
            form.report(configuration)
    assert server.attempts == 0
    assert_key_hidden(raised.value)


def test_error_about_unsupported_proxy_hides_password(form: Form, monkeypatch):
    monkeypatch.setitem(sys.modules, "socksio", None)
    monkeypatch.setenv("ALL_PROXY", f"socks5://user:{KEY_FRAGMENT}@{HOST}:1")
    with FaultServer(ACCEPT) as server, pytest.raises(ValueError, match="socks") as raised:
        form.report(form.configuration(server.url))
    assert_key_hidden(raised.value)


# Interrupted calls: their tracebacks contain frames of httpcore.


class Interrupted(Exception):
    pass


def test_traceback_of_interrupted_call_hides_key():
    # The signal arrives while the call waits for the response. During sending, a variable of httpcore contains the
    # request with the key.
    main_thread = threading.get_ident()

    def interrupt(*_: object) -> None:
        raise Interrupted

    def step(peer: Peer) -> None:
        peer.read_request()
        while sys._current_frames()[main_thread].f_code.co_name != "read":
            assert not peer.server.is_stopping.wait(0.001)
        os.kill(os.getpid(), signal.SIGUSR1)
        peer.hang()

    previous_handler = signal.signal(signal.SIGUSR1, interrupt)
    try:
        with FaultServer(step) as server, pytest.raises(Interrupted) as raised:
            Tasks(Configuration(base_url=server.url, api_key=KEY, timeouts=TIMEOUTS)).get("run-1")
    finally:
        signal.signal(signal.SIGUSR1, previous_handler)
    assert "httpcore" in traceback_with_locals(raised.value)
    assert_key_hidden(raised.value)


def test_traceback_of_cancelled_call_hides_key():
    async def cancel_call() -> None:
        has_request = asyncio.Event()
        loop = asyncio.get_running_loop()

        def step(peer: Peer) -> None:
            peer.read_request()
            loop.call_soon_threadsafe(has_request.set)
            peer.hang()

        with FaultServer(step) as server:
            configuration = Configuration(base_url=server.url, api_key=KEY, timeouts=TIMEOUTS)
            task = asyncio.create_task(Tasks(configuration).aget("run-1"))
            await has_request.wait()
            task.cancel()
            await task

    with pytest.raises(asyncio.CancelledError) as raised:
        asyncio.run(cancel_call())
    assert "httpcore" in traceback_with_locals(raised.value)
    assert_key_hidden(raised.value)


# Proxies.


def repeat_password(peer: Peer) -> None:
    """Respond with the proxy's credentials, plain and in Base64."""
    encoded = peer.read_request().headers["proxy-authorization"]
    credentials = base64.b64decode(encoded.removeprefix("Basic ")).decode()
    both = f"{credentials} {encoded}"
    headers = {"x-was": credentials, "proxy-authenticate": encoded}
    peer.send(raw_response(407, {"detail": both}, headers, reason=both))


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("is_configured", [True, False], ids=["configured", "from-environment"])
def test_proxy_password_in_response_is_hidden(is_configured: bool, scheme: str, form: Form, caplog, spans, monkeypatch):
    with capture_debug_logs(caplog), FaultServer(repeat_password) as proxy:
        address = proxy.url.replace("//", f"//user:{quote(KEY, safe='')}@")
        if not is_configured:
            monkeypatch.setenv(f"{scheme.upper()}_PROXY", address)
        transport = TransportSettings(proxy=address if is_configured else None, allow_plain_http=True)
        configuration = form.configuration(f"{scheme}://backend.invalid", transport=transport, api_key="another")
        outcome = report_outcome(form, configuration)
        results = list(run_checks(configuration.with_options(base_url=f"{scheme}://{HOST}:1"), AGENT))
    in_base64 = base64.b64encode(f"user:{KEY}".encode()).decode()
    assert proxy.requests[0].headers["proxy-authorization"] == f"Basic {in_base64}"
    assert outcome.error is not None
    assert "407" in f"{outcome.error.status_code} {outcome.error.description}"
    assert_no_secrets_leaked(outcome.error, caplog, spans)
    for text in (str(results), *log_texts(caplog), *error_texts(outcome.error)):
        assert KEY_FRAGMENT not in text
        assert in_base64 not in text
