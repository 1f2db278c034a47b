"""What is secret is shown nowhere: in logs, reprs, errors, tracebacks with their variables, spans, or by the doctor.

That it is so for every fault of the table is part of `test_table`; here are those who repeat what they were sent.
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

from faults.calls import (
    AGENT,
    EAGER,
    KEY,
    PART_OF_KEY,
    QUICK,
    Form,
    everything_logged,
    nothing_is_told,
    outcome_of,
    texts_of_error,
    texts_of_logs,
    traceback_with_variables,
)
from faults.server import HOST, RECORDED, TASK, FaultServer, Peer, answer, sends, wire
from faults.table import ROWS, Row
from xpander_sdk import Backend, Configuration, Tasks, TransportSettings
from xpander_sdk.client import operations
from xpander_sdk.client.redaction import Redaction
from xpander_sdk.client.transport_registry import transports
from xpander_sdk.doctor import run_checks
from xpander_sdk.settings.configuration import KeyFile
from xpander_sdk.transport.base import Request, Response

HTML = {"content-type": "text/html"}
IN_JSON = json.dumps(KEY)[1:-1]

REPEATED = {
    "the detail": answer(403, {"detail": f"no such key: {KEY}"}),
    "the detail, until there is no more": answer(500, {"detail": KEY * 500}),
    "a problem": answer(422, {"detail": [{"loc": ["header", KEY], "msg": f"{KEY}?", "type": "key", "input": [KEY]}]}),
    "a body of another form": answer(401, {"error": {"key": KEY}}),
    "a body of another form, by its name": answer(500, {KEY: 1}),
    "text": answer(502, KEY.encode(), HTML),
    "escaped text": answer(502, f'{{"message": "{IN_JSON}", "page": "/{quote(KEY, safe="")}"'.encode()),
    "the reason of the status": sends(wire(500, reason=KEY)),
    "the reason of a status that is tried once": sends(wire(403, reason=KEY)),
    "the name of the request": answer(404, None, {"x-request-id": KEY}),
    "where to go": answer(302, None, {"location": f"https://elsewhere.invalid/?key={quote(KEY)}"}),
    "where to go, as it is": answer(302, None, {"location": f"/{KEY}"}),
    "a header": answer(503, {"detail": "later"}, {"x-api-key": KEY, "retry-after": KEY, "set-cookie": f"key={KEY}"}),
    "a header of an answer that is fine": answer(200, TASK, {"x-api-key": KEY, "date": KEY}),
    "the encoding": answer(200, TASK, {"content-encoding": KEY}),
    "the encoding of an error": answer(500, TASK, {"content-encoding": KEY}),
    "the length": sends(wire(200, TASK, length=KEY)),
    "the transfer": answer(200, TASK, {"transfer-encoding": KEY}),
    "a status line that is none": sends(f"{KEY}\r\n\r\n".encode()),
    "a header line that is none": sends(f"HTTP/1.1 200 OK\r\n{KEY}\r\n\r\n".encode()),
    "a task that is none": answer(200, {"id": KEY, KEY: KEY}),
    "tokens that are none": answer(200, {**TASK, "tokens": KEY}),
    "times that are none": answer(200, {**TASK, "created_at": KEY}),
    "an array": answer(200, [KEY]),
    "JSON that is cut": answer(200, json.dumps({"id": KEY}).encode()[:-1]),
    "text in place of JSON": answer(200, KEY.encode()),
}


@pytest.mark.parametrize("step", REPEATED.values(), ids=REPEATED)
def test_a_key_that_the_backend_repeats_is_not_told(step, form: Form, caplog, spans):
    with everything_logged(caplog), FaultServer(step) as server:
        outcome = outcome_of(form, form.configuration(server.url))
    assert server.keys[0] == KEY
    nothing_is_told(outcome.error, caplog, spans)


def test_what_is_hidden_leaves_the_rest_readable(form: Form):
    with FaultServer(REPEATED["a problem"]) as server:
        outcome = outcome_of(form, form.configuration(server.url))
    assert outcome.error is not None
    assert outcome.error.description == "header.***: ***?"
    assert outcome.error.problems == [{"loc": ["header", "***"], "msg": "***?", "type": "key", "input": ["***"]}]


def test_the_logs_of_the_engine_stay_readable(form: Form, caplog):
    with everything_logged(caplog), FaultServer(answer(503, None, {"x-echo": KEY})) as server:
        outcome_of(form, form.configuration(server.url))
    told = [record.getMessage() for record in caplog.records if record.name == "httpcore.http11"]
    assert any("503" in text and "x-echo" in text and "***" in text for text in told)


@pytest.mark.parametrize(
    "row",
    [*(row for row in ROWS if len(row.result) < 100), *(Row(name, step) for name, step in REPEATED.items())],
    ids=lambda row: row.name,
)
def test_the_doctor_tells_no_secret(row: Row, caplog, spans):
    with everything_logged(caplog), row.server as server:
        configuration = Configuration(base_url=server.url, api_key=KEY, timeouts=row.timeouts, retry=EAGER)
        found = list(run_checks(configuration, AGENT))
        assert found[-1].check == "agent"
    assert PART_OF_KEY not in f"{found} {found!r}"
    nothing_is_told(None, caplog, spans)


# Reprs.


def test_no_repr_tells_the_key_or_a_password(embedded, tmp_path):
    (tmp_path / "key").write_text(KEY)
    transport = TransportSettings(proxy=f"http://user:{PART_OF_KEY}@{HOST}:1", headers={"authorization": KEY})
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
    for shown in objects:
        for text in (repr(shown), str(shown), f"{shown}", pprint.pformat(shown)):
            assert PART_OF_KEY not in text


# Errors before anything is sent.


@pytest.mark.parametrize("wrong", [f"{KEY}\n", f" {KEY}", f"{KEY}\x00", f"{KEY}ключ"])
def test_a_key_of_the_environment_that_cannot_be_is_not_shown(wrong, monkeypatch):
    # os.environ takes no NUL, as no environment does.
    monkeypatch.setattr("os.environ", {"XPANDER_API_KEY": wrong})
    del wrong  # which would be a variable of this frame
    with pytest.raises(ValueError, match="api_key") as raised:
        Configuration()
    assert_hidden(raised.value)


def test_a_key_of_a_file_that_cannot_be_is_not_shown(form: Form, tmp_path, monkeypatch):
    (tmp_path / "key").write_text(f"{KEY}\nand more")
    monkeypatch.setenv("XPANDER_API_KEY_FILE", str(tmp_path / "key"))
    with FaultServer(RECORDED) as server:
        configuration = form.configuration(server.url, api_key=None)
        with pytest.raises(ValueError, match="api_key") as raised:
            form.report(configuration)
    assert server.attempts == 0
    assert_hidden(raised.value)


def test_a_proxy_of_a_kind_that_is_not_installed_is_told_without_its_password(form: Form, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "socksio", None)
    monkeypatch.setenv("ALL_PROXY", f"socks5://user:{PART_OF_KEY}@{HOST}:1")
    with FaultServer(RECORDED) as server, pytest.raises(ValueError, match="socks") as raised:
        form.report(form.configuration(server.url))
    assert_hidden(raised.value)


def assert_hidden(error: BaseException) -> None:
    for text in (*texts_of_error(error), traceback_with_variables(error)):
        assert PART_OF_KEY not in text


# Reports that are cut off, whose tracebacks lead through the engine.


class Interrupted(Exception):
    pass


def test_a_report_that_is_interrupted_shows_no_key():
    # As by Ctrl-C, or by a worker that limits its jobs in time, while it waits for the answer. (While it sends, the
    # engine itself has the request in a variable.)
    main = threading.get_ident()

    def interrupt(*_: object) -> None:
        raise Interrupted

    def step(peer: Peer) -> None:
        peer.request()
        while sys._current_frames()[main].f_code.co_name != "read":
            assert not peer.server.is_ending.wait(0.001)
        os.kill(os.getpid(), signal.SIGUSR1)
        peer.hang()

    before = signal.signal(signal.SIGUSR1, interrupt)
    try:
        with FaultServer(step) as server, pytest.raises(Interrupted) as raised:
            Tasks(Configuration(base_url=server.url, api_key=KEY, timeouts=QUICK)).get("run-1")
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert "httpcore" in traceback_with_variables(raised.value)
    assert_hidden(raised.value)


def test_a_report_that_is_cancelled_shows_no_key():
    async def cancelled() -> None:
        has_come = asyncio.Event()
        loop = asyncio.get_running_loop()

        def step(peer: Peer) -> None:
            peer.request()
            loop.call_soon_threadsafe(has_come.set)
            peer.hang()

        with FaultServer(step) as server:
            configuration = Configuration(base_url=server.url, api_key=KEY, timeouts=QUICK)
            task = asyncio.create_task(Tasks(configuration).aget("run-1"))
            await has_come.wait()
            task.cancel()
            await task

    with pytest.raises(asyncio.CancelledError) as raised:
        asyncio.run(cancelled())
    assert "httpcore" in traceback_with_variables(raised.value)
    assert_hidden(raised.value)


# Proxies.


def repeats_password(peer: Peer) -> None:
    sent = peer.request().headers["proxy-authorization"]
    said = base64.b64decode(sent.removeprefix("Basic ")).decode()
    told = f"{said} {sent}"
    peer.send(wire(407, {"detail": told}, {"x-was": said, "proxy-authenticate": sent}, reason=told))


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("is_set", [True, False], ids=["set", "of-the-environment"])
def test_a_password_that_a_proxy_repeats_is_not_told(is_set: bool, scheme: str, form: Form, caplog, spans, monkeypatch):
    with everything_logged(caplog), FaultServer(repeats_password) as proxy:
        address = proxy.url.replace("//", f"//user:{quote(KEY, safe='')}@")
        if not is_set:
            monkeypatch.setenv(f"{scheme.upper()}_PROXY", address)
        transport = TransportSettings(proxy=address if is_set else None)
        configuration = form.configuration(f"{scheme}://backend.invalid", transport=transport, api_key="another")
        outcome = outcome_of(form, configuration)
        found = list(run_checks(configuration.with_options(base_url=f"{scheme}://{HOST}:1"), AGENT))
    in_base64 = base64.b64encode(f"user:{KEY}".encode()).decode()
    assert proxy.requests[0].headers["proxy-authorization"] == f"Basic {in_base64}"
    assert outcome.error is not None
    assert "407" in f"{outcome.error.status_code} {outcome.error.description}"
    nothing_is_told(outcome.error, caplog, spans)
    for text in (str(found), *texts_of_logs(caplog), *texts_of_error(outcome.error)):
        assert PART_OF_KEY not in text
        assert in_base64 not in text
