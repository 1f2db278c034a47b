"""Outbox with backends that are down, slow or lose responses; and direct reports that fall back to the outbox."""

import json
import random
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from faults.assertions import assert_no_secrets_leaked
from faults.forms import AGENT, KEY, RESULT, Form, report_outcome
from faults.server import FaultServer, Peer, Step
from faults.steps import TASK, hang, raw_response, reset_after_request, respond, send_raw
from xpander_sdk import (
    AuthenticationError,
    Backend,
    Configuration,
    InvalidReportError,
    ModuleException,
    OutboxError,
    OutboxSettings,
    RetryPolicy,
    Timeouts,
)

DELIVERY_TIMEOUT = 30.0  # seconds
SHORT_CALLS = Timeouts(connect=0.5, read=0.5, total=1.0)


def record(peer: Peer) -> bool:
    """Respond with a task that has the ID of the report."""
    request = peer.read_request()
    peer.send(raw_response(200, {**TASK, "id": request.body["id"]}))
    return True


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.db"


@pytest.fixture
def new_backend(path: Path) -> Iterator[Callable[..., Backend]]:
    """Return a function that creates a backend with an outbox, from settings of the configuration or of the outbox."""
    backends: list[Backend] = []

    def create(server: FaultServer, **settings: Any) -> Backend:
        outbox = {name: settings.pop(name) for name in list(settings) if name in OutboxSettings.__annotations__}
        defaults = {
            "base_url": f"{server.url}/{uuid.uuid4().hex}", "api_key": KEY, "agent_id": AGENT, "timeouts": SHORT_CALLS,
            "outbox": OutboxSettings(file=str(path), **outbox),
        }  # fmt: skip
        configuration = Configuration(**{**defaults, **settings})
        backends.append(Backend(configuration))
        return backends[-1]

    yield create
    for backend in backends:
        backend.outbox.close(0)
        backend.close()


def received_ids(server: FaultServer) -> list[str]:
    return [request.body["id"] for request in server.requests]


def test_retries_leave_the_random_numbers_of_a_seeded_program_unchanged(new_backend, form: Form):
    with FaultServer(respond(503), record, respond(503), record) as server:
        backend = new_backend(server, retry=RetryPolicy(first_delay=0.01), timeouts=Timeouts(total=DELIVERY_TIMEOUT))
        state = random.getstate()
        form.report(backend.configuration, id="direct")
        backend.submit_external_task(id="submitted", result=RESULT)
        assert backend.outbox.flush(DELIVERY_TIMEOUT)
    assert server.attempts == 4
    assert random.getstate() == state


def test_reports_submitted_during_outage_are_delivered_after_it(new_backend):
    with FaultServer(record, is_listening=False) as server:
        backend = new_backend(server)
        receipts = [backend.submit_external_task(id=f"run-{number}", result=RESULT) for number in range(20)]
        assert not backend.outbox.flush(0.3)
        assert {str(receipt.state) for receipt in receipts} == {"pending"}
        server.listen()
        assert backend.outbox.flush(DELIVERY_TIMEOUT)
        assert {str(receipt.state) for receipt in receipts} == {"delivered"}
        assert sorted(received_ids(server)) == sorted(receipt.id for receipt in receipts)
        assert receipts[0].task is not None
        assert {request.headers["x-api-key"] for request in server.requests} == {KEY}


@pytest.mark.slow
@pytest.mark.parametrize("fault", [send_raw(), reset_after_request, hang(), respond(200, {"id": "other"})])
def test_report_is_resent_unchanged_when_response_is_lost(fault: Step, new_backend):
    with FaultServer(fault, fault, record) as server:
        receipt = new_backend(server).submit_external_task(id="run-1", result=RESULT)
        assert str(receipt.wait(DELIVERY_TIMEOUT)) == "delivered"
        attempts = {(request.content, request.headers["x-reported-at"], request.target) for request in server.requests}
        assert len(attempts) == 1
        assert len(server.requests) == 3


def test_delivery_waits_for_retry_after(new_backend):
    times: list[float] = []

    def timed(step: Step) -> Step:
        def timed_step(peer: Peer) -> bool | None:
            keep_open = step(peer)
            times.append(time.monotonic())
            return keep_open

        return timed_step

    rate_limit = timed(respond(429, {"detail": "later"}, {"retry-after": "1"}))
    with FaultServer(rate_limit, timed(record)) as server:
        backend = new_backend(server, parallel=1)
        for number in range(5):
            backend.submit_external_task(id=f"run-{number}")
        start = time.monotonic()
        while len(times) < 6:
            assert time.monotonic() < start + DELIVERY_TIMEOUT
            time.sleep(0.01)
        assert times[1] - times[0] >= 1.0
        assert backend.outbox.flush(DELIVERY_TIMEOUT)


def test_submit_does_not_wait_for_slow_backend(new_backend):
    with FaultServer(hang()) as server:
        backend = new_backend(server)
        backend.submit_external_task(id="run-0")  # the first call imports modules
        start = time.monotonic()
        for number in range(1, 50):
            backend.submit_external_task(id=f"run-{number}")
        assert time.monotonic() - start < 2.0


def test_outage_of_one_destination_does_not_delay_another(new_backend):
    with FaultServer(record) as working, FaultServer(record, is_listening=False) as down:
        working_backend, down_backend = new_backend(working), new_backend(down)
        for number in range(30):
            down_backend.submit_external_task(id=f"down-{number}")
            working_backend.submit_external_task(id=f"working-{number}")
        start = time.monotonic()
        while working_backend.outbox.stats().pending > 30:
            assert time.monotonic() < start + DELIVERY_TIMEOUT
            time.sleep(0.01)
        assert sorted(received_ids(working)) == sorted(f"working-{number}" for number in range(30))
        down.listen()
        assert working_backend.outbox.flush(DELIVERY_TIMEOUT)
        assert len(set(received_ids(down))) == 30


def test_each_report_in_shared_file_is_sent_with_its_own_key(new_backend):
    with FaultServer(record) as server:
        url = f"{server.url}/{uuid.uuid4().hex}"
        backends = {key: new_backend(server, base_url=url, api_key=key) for key in ("key-a", "key-b", "key-c")}
        for number in range(20):
            for key, backend in backends.items():
                backend.submit_external_task(id=f"{key}-{number}")
        assert backends["key-a"].outbox.flush(DELIVERY_TIMEOUT)
        requests = [(request.headers["x-api-key"], request.body["id"]) for request in server.requests]
        assert len(requests) == 60
        assert all(task_id.startswith(key) for key, task_id in requests)


@pytest.mark.parametrize("status", [400, 409, 413, 422])
def test_rejected_report_becomes_dead_letter_with_response(status, new_backend, caplog):
    def reject_one(peer: Peer) -> bool:
        task_id = peer.read_request().body["id"]
        is_rejected = task_id == "run-1"
        rejection = raw_response(status, {"detail": "never"})
        peer.send(rejection if is_rejected else raw_response(200, {**TASK, "id": task_id}))
        return True

    with FaultServer(reject_one) as server:
        backend = new_backend(server)
        receipts = [backend.submit_external_task(id=f"run-{number}", result=RESULT) for number in range(5)]
        assert backend.outbox.flush(DELIVERY_TIMEOUT)
        assert [str(receipt.state) for receipt in receipts] == ["delivered", "dead", *["delivered"] * 3]
        (letter,) = backend.outbox.dead()
        assert (letter.status, letter.task_id, letter.agent_id) == (status, "run-1", AGENT)
        assert "never" in letter.error
        assert RESULT not in repr(letter)
    assert_no_secrets_leaked(None, caplog)


# Direct reports that could not be delivered


@pytest.mark.parametrize(
    ("step", "error_type", "waits_for"),
    [
        (respond(503, {"detail": "later"}), ModuleException, "and will be delivered."),
        (respond(401, {"detail": "no"}), AuthenticationError, "and waits for a valid key"),
        (hang(), ModuleException, "and will be delivered."),
        (respond(200, "not a task"), ModuleException, "and waits until its address is right"),
    ],
    ids=["503", "401", "hang", "invalid-response"],
)
def test_failed_direct_report_is_kept_and_error_says_so(step, error_type, waits_for, form: Form, path: Path, caplog):
    with FaultServer(step) as server:
        outbox = OutboxSettings(file=str(path), worker="none")
        configuration = form.configuration(
            server.url, outbox=outbox, timeouts=SHORT_CALLS, retry=RetryPolicy(attempts=1)
        )
        outcome = report_outcome(form, configuration, id="run-1")
    assert isinstance(outcome.error, error_type)
    assert f"The report is kept in the outbox {path}, {waits_for}" in str(outcome.error)
    receipt = outcome.error.receipt
    assert receipt is not None
    assert (receipt.id, str(receipt.state), receipt.path) == ("run-1", "pending", str(path))
    assert_no_secrets_leaked(outcome.error, caplog)
    outbox = Backend(configuration).outbox
    assert outbox.stats().pending == 1
    outbox.close(0)


def test_kept_report_is_delivered_with_time_of_call(form: Form, path: Path):
    with FaultServer(respond(503), record) as server:
        configuration = form.configuration(
            server.url, outbox=OutboxSettings(file=str(path)), retry=RetryPolicy(attempts=1)
        )
        outcome = report_outcome(form, configuration, id="run-1")
        assert outcome.error is not None
        assert outcome.error.receipt is not None
        assert str(outcome.error.receipt.wait(DELIVERY_TIMEOUT)) == "delivered"
        first, second = server.requests
        assert first.content == second.content
        assert first.headers["x-reported-at"] == second.headers["x-reported-at"]
        Backend(configuration).outbox.close(0)


def test_rejected_direct_report_is_not_kept(form: Form, path: Path):
    with FaultServer(respond(422, {"detail": "never"})) as server:
        configuration = form.configuration(server.url, outbox=OutboxSettings(file=str(path)))
        outcome = report_outcome(form, configuration)
    assert isinstance(outcome.error, InvalidReportError)
    assert outcome.error.receipt is None
    assert not path.exists()


def test_error_mentions_failure_of_outbox_too(form: Form, tmp_path: Path):
    with FaultServer(respond(503)) as server:
        configuration = form.configuration(
            server.url, outbox=OutboxSettings(file=str(tmp_path)), retry=RetryPolicy(attempts=1)
        )
        outcome = report_outcome(form, configuration)
    assert outcome.error is not None
    assert not isinstance(outcome.error, OutboxError)
    assert outcome.error.status_code == 503
    assert "could not be kept either" in str(outcome.error)


def test_kept_report_is_masked(form: Form, path: Path):
    def mask(report: dict[str, Any]) -> dict[str, Any]:
        return {**report, "result": "***"}

    with FaultServer(respond(503), record) as server:
        outbox = OutboxSettings(file=str(path), mask=mask, worker="none")
        configuration = form.configuration(server.url, outbox=outbox, retry=RetryPolicy(attempts=1))
        report_outcome(form, configuration)
        assert RESULT.encode() not in b"".join(file.read_bytes() for file in path.parent.glob("outbox.db*"))
        kept_reports = Backend(configuration).outbox
        assert kept_reports.drain(DELIVERY_TIMEOUT)
        assert json.loads(server.requests[-1].content)["result"] == "***"
        kept_reports.close(0)
