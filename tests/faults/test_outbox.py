"""The outbox before backends that are away, slow or lose their answers; and what a direct report leaves in it."""

import json
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from faults.calls import AGENT, KEY, RESULT, Form, nothing_is_told, outcome_of
from faults.server import TASK, FaultServer, Peer, Step, answer, hangs, reset_after_request, wire
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

SOON = 30.0
HASTY = Timeouts(connect=0.5, read=0.5, total=1.0)


def records(peer: Peer) -> bool:
    """A proper answer, about the run that was reported."""
    request = peer.request()
    peer.send(wire(200, {**TASK, "id": request.body["id"]}))
    return True


def commits_and_hangs_up(peer: Peer) -> None:
    """The reply is lost."""
    peer.request()
    peer.reset()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.db"


@pytest.fixture
def backend_of(path: Path) -> Iterator[Callable[..., Backend]]:
    made: list[Backend] = []

    def make(server: FaultServer, **settings: Any) -> Backend:
        outbox = {name: settings.pop(name) for name in list(settings) if name in OutboxSettings.__annotations__}
        configuration = Configuration(
            **{
                "base_url": f"{server.url}/{uuid.uuid4().hex}", "api_key": KEY, "agent_id": AGENT, "timeouts": HASTY,
                "outbox": OutboxSettings(file=str(path), **outbox), **settings,
            }
        )  # fmt: skip
        made.append(Backend(configuration))
        return made[-1]

    yield make
    for each in made:
        each.outbox.close(0)
        each.close()


def runs(server: FaultServer) -> list[str]:
    return [request.body["id"] for request in server.requests]


def test_what_is_submitted_while_a_backend_is_away_arrives_when_it_is_back(backend_of):
    with FaultServer(records, is_listening=False) as server:
        backend = backend_of(server)
        receipts = [backend.submit_external_task(id=f"run-{number}", result=RESULT) for number in range(20)]
        assert not backend.outbox.flush(0.3)
        assert {str(receipt.state) for receipt in receipts} == {"pending"}
        server.listen()
        assert backend.outbox.flush(SOON)
        assert {str(receipt.state) for receipt in receipts} == {"delivered"}
        assert sorted(runs(server)) == sorted(receipt.id for receipt in receipts)
        assert receipts[0].task is not None
        assert {request.headers["x-api-key"] for request in server.requests} == {KEY}


@pytest.mark.parametrize("fault", [commits_and_hangs_up, reset_after_request, hangs(), answer(200, {"id": "other"})])
def test_a_report_whose_answer_is_lost_is_sent_again_as_it_was(fault: Step, backend_of):
    with FaultServer(fault, fault, records) as server:
        receipt = backend_of(server).submit_external_task(id="run-1", result=RESULT)
        assert str(receipt.wait(SOON)) == "delivered"
        sent = {(request.content, request.headers["x-reported-at"], request.target) for request in server.requests}
        assert len(sent) == 1
        assert len(server.requests) == 3


def test_a_target_gets_the_time_that_it_asks_for(backend_of):
    times: list[float] = []

    def noted(step: Step) -> Step:
        def noting(peer: Peer) -> bool | None:
            outcome = step(peer)
            times.append(time.monotonic())
            return outcome

        return noting

    later = noted(answer(429, {"detail": "later"}, {"retry-after": "1"}))
    with FaultServer(later, noted(records)) as server:
        backend = backend_of(server, parallel=1)
        for number in range(5):
            backend.submit_external_task(id=f"run-{number}")
        began = time.monotonic()
        while len(times) < 6:
            assert time.monotonic() < began + SOON
            time.sleep(0.01)
        assert times[1] - times[0] >= 1.0
        assert backend.outbox.flush(SOON)


def test_a_slow_backend_holds_up_no_caller(backend_of):
    with FaultServer(hangs()) as server:
        backend = backend_of(server)
        backend.submit_external_task(id="run-0")  # what is imported first takes its time
        began = time.monotonic()
        for number in range(1, 50):
            backend.submit_external_task(id=f"run-{number}")
        assert time.monotonic() - began < 2.0


def test_a_target_that_is_away_holds_up_no_other(backend_of):
    with FaultServer(records) as well, FaultServer(records, is_listening=False) as away:
        one, two = backend_of(well), backend_of(away)
        for number in range(30):
            two.submit_external_task(id=f"away-{number}")
            one.submit_external_task(id=f"well-{number}")
        began = time.monotonic()
        while one.outbox.stats().pending > 30:
            assert time.monotonic() < began + SOON
            time.sleep(0.01)
        assert sorted(runs(well)) == sorted(f"well-{number}" for number in range(30))
        away.listen()
        assert one.outbox.flush(SOON)
        assert len(set(runs(away))) == 30


def test_keys_that_share_a_file_are_never_mixed(backend_of):
    with FaultServer(records) as server:
        url = f"{server.url}/{uuid.uuid4().hex}"
        backends = {key: backend_of(server, base_url=url, api_key=key) for key in ("key-a", "key-b", "key-c")}
        for number in range(20):
            for key, backend in backends.items():
                backend.submit_external_task(id=f"{key}-{number}")
        assert backends["key-a"].outbox.flush(SOON)
        sent = [(request.headers["x-api-key"], request.body["id"]) for request in server.requests]
        assert len(sent) == 60
        assert all(run.startswith(key) for key, run in sent)


@pytest.mark.parametrize("status", [400, 409, 413, 422])
def test_poison_becomes_a_dead_letter_with_the_answer(status, backend_of, caplog):
    def refuses_one(peer: Peer) -> bool:
        request = peer.request()
        run = request.body["id"]
        is_bad = run == "run-1"
        peer.send(wire(status, {"detail": "never"}) if is_bad else wire(200, {**TASK, "id": run}))
        return True

    with FaultServer(refuses_one) as server:
        backend = backend_of(server)
        receipts = [backend.submit_external_task(id=f"run-{number}", result=RESULT) for number in range(5)]
        assert backend.outbox.flush(SOON)
        assert [str(receipt.state) for receipt in receipts] == ["delivered", "dead", *["delivered"] * 3]
        (letter,) = backend.outbox.dead()
        assert (letter.status, letter.task_id, letter.agent_id) == (status, "run-1", AGENT)
        assert "never" in letter.answer
        assert RESULT not in repr(letter)
    nothing_is_told(None, caplog)


# A direct report that could not be delivered


@pytest.mark.parametrize(
    ("step", "kind"),
    [
        (answer(503, {"detail": "later"}), ModuleException),
        (answer(401, {"detail": "no"}), AuthenticationError),
        (hangs(), ModuleException),
        (answer(200, "not a task"), ModuleException),
    ],
    ids=["503", "401", "hangs", "nonsense"],
)
def test_a_direct_report_that_fails_is_kept_and_the_error_says_so(step, kind, form: Form, path: Path, caplog):
    with FaultServer(step) as server:
        outbox = OutboxSettings(file=str(path), worker="none")
        configuration = form.configuration(server.url, outbox=outbox, timeouts=HASTY, retry=RetryPolicy(attempts=1))
        outcome = outcome_of(form, configuration, id="run-1")
    assert isinstance(outcome.error, kind)
    assert f"The report is kept in the outbox {path}, and will be delivered." in str(outcome.error)
    receipt = outcome.error.receipt
    assert receipt is not None
    assert (receipt.id, str(receipt.state), receipt.path) == ("run-1", "pending", str(path))
    nothing_is_told(outcome.error, caplog)
    kept = Backend(configuration).outbox
    assert kept.stats().pending == 1
    kept.close(0)


def test_a_kept_report_is_delivered_with_the_time_of_the_call(form: Form, path: Path):
    with FaultServer(answer(503), records) as server:
        configuration = form.configuration(
            server.url, outbox=OutboxSettings(file=str(path)), retry=RetryPolicy(attempts=1)
        )
        outcome = outcome_of(form, configuration, id="run-1")
        assert outcome.error is not None
        assert outcome.error.receipt is not None
        assert str(outcome.error.receipt.wait(SOON)) == "delivered"
        first, second = server.requests
        assert first.content == second.content
        assert first.headers["x-reported-at"] == second.headers["x-reported-at"]
        Backend(configuration).outbox.close(0)


def test_a_direct_report_that_is_refused_for_good_is_not_kept(form: Form, path: Path):
    with FaultServer(answer(422, {"detail": "never"})) as server:
        configuration = form.configuration(server.url, outbox=OutboxSettings(file=str(path)))
        outcome = outcome_of(form, configuration)
    assert isinstance(outcome.error, InvalidReportError)
    assert outcome.error.receipt is None
    assert not path.exists()


def test_where_the_outbox_fails_too_the_error_says_both(form: Form, tmp_path: Path):
    with FaultServer(answer(503)) as server:
        configuration = form.configuration(
            server.url, outbox=OutboxSettings(file=str(tmp_path)), retry=RetryPolicy(attempts=1)
        )
        outcome = outcome_of(form, configuration)
    assert outcome.error is not None
    assert not isinstance(outcome.error, OutboxError)
    assert outcome.error.status_code == 503
    assert "could not be kept either" in str(outcome.error)


def test_a_kept_report_passes_the_mask(form: Form, path: Path):
    def mask(said: dict[str, Any]) -> dict[str, Any]:
        return {**said, "result": "***"}

    with FaultServer(answer(503), records) as server:
        outbox = OutboxSettings(file=str(path), mask=mask, worker="none")
        configuration = form.configuration(server.url, outbox=outbox, retry=RetryPolicy(attempts=1))
        outcome_of(form, configuration)
        assert RESULT.encode() not in b"".join(each.read_bytes() for each in path.parent.glob("outbox.db*"))
        kept = Backend(configuration).outbox
        assert kept.drain(SOON)
        assert json.loads(server.requests[-1].content)["result"] == "***"
        kept.close(0)
