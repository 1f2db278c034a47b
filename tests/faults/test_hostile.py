"""Servers that send without end: memory stays bounded, and the event loop keeps running."""

import asyncio
import gzip
import json
import threading
import time

import pytest

from faults.forms import RUN, TIME_TOLERANCE, Form, report_outcome
from faults.server import Disconnected, FaultServer, Peer
from faults.steps import ACCEPT, TASK, respond, send_raw
from runtimes.resources import resident_kib
from xpander_sdk import ContractError, RetryPolicy, Task, TimedOutError, Timeouts

CHUNK = b"x" * 65_536
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
MIB = 1024 * 1024
# Without the limits, the bomb of many values blocks the loop for twelve seconds. A long text is decoded in one step.
LONGEST_PAUSE = 2.0  # seconds


class Flood:
    """Step that accepts a report and then sends without end; counts the bytes that the client's machine accepts."""

    def __init__(self) -> None:
        self.sent = 0
        self.has_ended = threading.Event()

    def __call__(self, peer: Peer) -> None:
        ACCEPT(peer)
        peer.socket.settimeout(2.0)
        try:
            while True:
                self.sent += peer.socket.send(CHUNK)
        except OSError as error:
            self.is_refused = not isinstance(error, TimeoutError)
        finally:
            self.has_ended.set()
        raise Disconnected


def wait(form: Form, event: threading.Event) -> None:
    """Wait for an event, with a running event loop in the asynchronous form."""
    if form.is_async:
        assert form.run(asyncio.to_thread(event.wait, 10))
    else:
        assert event.wait(10)


def test_data_on_idle_connection_is_not_collected(form: Form):
    flood = Flood()
    before = resident_kib()
    with FaultServer(flood, ACCEPT) as server:
        configuration = form.configuration(server.url, retry=RetryPolicy(attempts=1))
        form.report(configuration)
        wait(form, flood.has_ended)
        assert flood.sent < 32 * MIB, "only the operating system's buffers are full"
        assert resident_kib() - before < 16 * 1024
        # An event loop notices the data at once; a thread notices them when it uses the connection again.
        assert flood.is_refused or not form.is_async
        assert report_outcome(form, configuration).error is None
    assert server.attempts == 2


def test_slow_reader_of_response_pauses_the_server(async_form: Form):
    """The event loop must not buffer what the client has not read yet."""
    flood = Flood()

    def step(peer: Peer) -> None:
        peer.read_request()
        peer.send(CHUNKED)
        peer.socket.settimeout(2.0)
        try:
            while True:
                flood.sent += peer.socket.send(b"10000\r\n" + CHUNK + b"\r\n")
        except OSError as error:
            raise Disconnected from error

    with FaultServer(step) as server:
        outcome = report_outcome(async_form, async_form.configuration(server.url, retry=RetryPolicy(attempts=1)))
    assert type(outcome.error) in (ContractError, TimedOutError)
    assert flood.sent < 200 * MIB


BOMBS = {
    "many values": b'{"id":"run-1","list":[' + b"[]," * 20_000_000 + b"[]]}",
    "long text": b'{"id":"run-1","agent_id":"agent-1","result":"' + b"x" * 50_000_000 + b'"}',
    "too long": b'{"id":"run-1","result":"' + b" " * 200_000_000 + b'"}',
}


@pytest.mark.parametrize("name", BOMBS)
def test_compressed_bomb_does_not_block_the_event_loop(name: str, async_form: Form):
    body = gzip.compress(BOMBS[name], 1)
    pauses = []

    async def measure(configuration) -> Task | None:
        task = asyncio.create_task(Task.areport_external_task(configuration, "agent-1", RUN))
        while not task.done():
            start = time.monotonic()
            await asyncio.sleep(0.01)
            pauses.append(time.monotonic() - start)
        return await task

    with FaultServer(respond(200, body, {"content-encoding": "gzip"})) as server:
        timeouts = Timeouts(connect=5, read=10, total=20)
        configuration = async_form.configuration(server.url, timeouts=timeouts)
        if name == "long text":
            async_form.run(measure(configuration))
        else:
            with pytest.raises(ContractError, match="more than 2,000,000 values|larger than"):
                async_form.run(measure(configuration))
    assert max(pauses) < LONGEST_PAUSE


def test_uncompressed_response_with_too_many_values_is_refused(form: Form):
    with FaultServer(respond(200, b'{"id":"run-1","list":[' + b"1," * 3_000_000 + b"1]}")) as server:
        outcome = report_outcome(form, form.configuration(server.url))
    assert type(outcome.error) is ContractError
    assert "more than 2,000,000 values" in outcome.error.description


def test_punctuation_in_texts_does_not_count_as_values(form: Form):
    text = ',[{"\\' * 800_000
    with FaultServer(respond(200, {**TASK, "result": text})) as server:
        outcome = report_outcome(form, form.configuration(server.url, timeouts=Timeouts(total=20)))
    assert outcome.task is not None, outcome.error
    assert outcome.task.result == text


@pytest.mark.parametrize("line", [b"x-a: " + b"a" * 8_000 + b"\r\n", b"a" * 65_536], ids=["many headers", "one header"])
def test_endless_headers_are_refused(line: bytes, form: Form):
    with FaultServer(send_raw(b"HTTP/1.1 200 OK\r\nx-a: " + line * 100)) as server:
        outcome = report_outcome(form, form.configuration(server.url, retry=RetryPolicy(attempts=1)))
    assert outcome.error is not None
    assert outcome.seconds < TIME_TOLERANCE


def test_answer_with_large_integer_or_nan_is_read(form: Form):
    body = json.dumps({**TASK, "llm_response": {"value": float("nan"), "count": 10**300}}).encode()
    with FaultServer(respond(200, body)) as server:
        assert form.report(form.configuration(server.url)).id == RUN
