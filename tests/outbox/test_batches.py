"""Delivery of many runs in one request, step by step, with a clock that the test sets and a scripted backend."""

import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from attrs import define, evolve, field
from hypothesis import given, settings
from hypothesis import strategies as st

from outbox.helpers import KEY, DeliveryBench, error_of_status, make_report
from xpander_sdk import Configuration, ConnectionFailedError, ContractError
from xpander_sdk.client import batch_size, report_batch
from xpander_sdk.outbox.storage import run_selection
from xpander_sdk.outbox.storage.stats import DeadLetters


@define
class BatchBackend:
    """Backend that takes many runs in one request; a run or a whole request can have another outcome."""

    announced: int = 256
    outcomes: dict[str, Any] = field(factory=dict)
    """Status, or the whole outcome, by id of the run."""
    respond: Callable[[list[dict[str, Any]]], Any] = lambda reports: None
    """Status or exception for a whole batch; None for outcomes."""
    requests: list[list[dict[str, Any]]] = field(factory=list)
    encodings: list[str | None] = field(factory=list)

    def __call__(self, configuration: Configuration, operation: Any) -> Any:
        content = operation.content
        self.encodings.append(operation.headers.get("Content-Encoding"))
        if self.encodings[-1] == "gzip":
            content = zlib.decompress(content, zlib.MAX_WBITS | 16)
        body = json.loads(content)
        if operation.name == "report_task":
            self.requests.append([body])
            if (outcome := self.outcomes.get(body["id"], 200)) != 200:
                raise error_of_status(outcome)
            return operation.parse({"id": body["id"]}, {"x-report-batch": str(self.announced)})
        reports = body["reports"]
        self.requests.append(reports)
        response = self.respond(reports)
        if isinstance(response, BaseException):
            raise response
        if response is not None:
            raise error_of_status(response)
        return operation.parse({"outcomes": [self._outcome(report) for report in reports]}, {})

    def _outcome(self, report: dict[str, Any]) -> Any:
        outcome = self.outcomes.get(report["id"], 200)
        if outcome == 200:
            return {"status": 200, "task": {"id": report["id"], "agent_id": report["agent_id"]}}
        if isinstance(outcome, int):
            return {"status": outcome, "error": {"detail": f"no, said {KEY}"}, "retry_after": 7}
        return outcome

    @property
    def sizes(self) -> list[int]:
        return [len(request) for request in self.requests]

    @property
    def runs(self) -> list[list[str]]:
        return [[report["id"] for report in request] for request in self.requests]


@pytest.fixture
def backend() -> BatchBackend:
    return BatchBackend()


@pytest.fixture
def taught(bench: DeliveryBench, backend: BatchBackend) -> DeliveryBench:
    """Return a delivery that knows that its backend takes batches."""
    bench.put(make_report("first"))
    bench.deliver_due()
    backend.requests.clear()
    backend.encodings.clear()
    bench.resolved.clear()
    return bench


def put_runs(bench: DeliveryBench, count: int, first: int = 0, **fields: Any) -> None:
    for number in range(first, first + count):
        bench.put(make_report(f"run-{number}", 1_000 + number, agent_id=f"agent-{number % 2}", **fields))


# Successful batches


def test_batch_is_sent_only_after_the_backend_announced_it(bench: DeliveryBench, backend: BatchBackend):
    put_runs(bench, 10)
    bench.deliver_due()
    assert backend.sizes == [1, 9]
    assert bench.counts() == (10, 0, 0)


@pytest.mark.parametrize("text", ["", "x", "-1", "1", "0", "²", "9" * 5_000])
def test_backend_without_a_usable_announcement_gets_single_reports(text: str, tmp_path: Path):
    names = []

    def send(configuration: Configuration, operation: Any) -> Any:
        names.append(operation.name)
        return operation.parse({"id": operation.report_id}, {"x-report-batch": text} if text else {})

    bench = DeliveryBench(tmp_path / "outbox.db", send)
    put_runs(bench, 5)
    bench.deliver_due()
    assert names == ["report_task"] * 5
    bench.close()


def test_reports_of_a_batch_name_agent_and_time(taught: DeliveryBench, backend: BatchBackend):
    put_runs(taught, 3, result="done")
    taught.deliver_due()
    assert backend.requests == [
        [
            {"id": f"run-{number}", "result": "done", "agent_id": f"agent-{number % 2}", "reported_at": 1_000 + number}
            for number in range(3)
        ]
    ]


def test_announced_size_limits_the_batches(bench: DeliveryBench, backend: BatchBackend):
    backend.announced = 4
    put_runs(bench, 10)
    bench.deliver_due()
    assert backend.sizes == [1, 4, 4, 1]


def test_batches_have_at_most_256_runs_and_1_mebibyte(taught: DeliveryBench, backend: BatchBackend):
    backend.announced = 1_000
    put_runs(taught, 600)
    put_runs(taught, 5, first=600, result="x" * 300_000)
    put_runs(taught, 2, first=605, result="x" * 2_000_000)
    taught.deliver_due()
    assert backend.sizes == [256, 256, 88 + 3, 2, 1, 1]


def test_pending_reports_of_one_run_are_one_report_of_the_batch(taught: DeliveryBench, backend: BatchBackend):
    taught.put(make_report("run-1", 1, input="how much?", is_success=None))
    taught.put(make_report("run-2", 2))
    taught.put(make_report("run-1", 3, result="at last", is_success=True))
    taught.deliver_due()
    assert backend.runs == [["run-1", "run-2"]]
    assert backend.requests[0][0] == {
        "id": "run-1", "input": "how much?", "result": "at last", "is_success": True,
        "agent_id": "agent-1", "reported_at": 3,
    }  # fmt: skip
    assert (taught.stats().delivered, taught.stats().merged) == (4, 1)


def test_later_reports_of_a_run_with_another_agent_wait_for_the_next_request(
    taught: DeliveryBench, backend: BatchBackend
):
    for number, agent in enumerate(["a", "b", "a"]):
        taught.put(make_report("run-1", number, agent_id=agent, result=str(number)))
    taught.put(make_report("run-2", 9))
    taught.deliver_due()
    assert [[report.get("result") for report in request] for request in backend.requests] == [["0", None], ["1"], ["2"]]


def test_report_that_arrives_during_a_batch_waits_for_it(taught: DeliveryBench, backend: BatchBackend):
    put_runs(taught, 3)
    claim = taught.claim()
    taught.put(make_report("run-1", 5_000, result="later"))
    assert taught.delivery.claim() is None
    taught.delivery.deliver(claim)
    taught.deliver_due()
    assert backend.runs == [["run-0", "run-1", "run-2"], ["run-1"]]


def test_large_bodies_are_compressed(taught: DeliveryBench, backend: BatchBackend):
    put_runs(taught, 2)
    taught.deliver_due()
    put_runs(taught, 2, result="x" * 5_000)
    taught.deliver_due()
    taught.put(make_report("alone", result="x" * 5_000))
    taught.deliver_due()
    assert backend.encodings == [None, "gzip", "gzip"]


def test_each_receipt_gets_its_own_task(taught: DeliveryBench):
    put_runs(taught, 3, result="done")
    taught.deliver_due()
    read = [(batch.task_id, state, read and read().values["id"]) for batch, state, read in taught.resolved]
    assert read == [(f"run-{number}", "delivered", f"run-{number}") for number in range(3)]
    assert taught.resolved[0][2]().values["result"] == "done"  # type: ignore[misc]


# Partial failure


def test_each_run_of_a_batch_has_its_own_outcome(taught: DeliveryBench, backend: BatchBackend):
    backend.outcomes = {"run-1": 422, "run-2": 503, "run-3": {"status": 200, "task": {"id": "run-9"}}, "run-4": None}
    put_runs(taught, 6)
    taught.delivery.deliver(taught.claim())
    assert taught.counts() == (1 + 2, 3, 1)
    assert [(batch.task_id, state) for batch, state, _ in taught.resolved] == [
        ("run-0", "delivered"), ("run-5", "delivered"), ("run-1", "dead"),
    ]  # fmt: skip
    (destination,) = taught.store.destinations()
    assert destination.failures == 1, "one request is one failure"
    assert destination.next_attempt_at - taught.clock.now >= 7_000_000, "the backend asked for 7 seconds"
    backend.outcomes.clear()
    for _ in range(10):
        taught.clock.advance(60)
        taught.deliver_due()
    assert taught.counts() == (1 + 5, 0, 1)


def test_invalid_report_of_a_merged_run_is_isolated(taught: DeliveryBench, backend: BatchBackend):
    backend.outcomes["run-1"] = 422
    put_runs(taught, 3)
    taught.put(make_report("run-1", 5_000, agent_id="agent-1", result="later"))
    taught.delivery.deliver(taught.claim())
    assert taught.counts() == (1 + 2, 2, 0)
    taught.deliver_due()
    assert backend.sizes == [3, 1, 1]
    assert taught.counts() == (1 + 2, 0, 2)


def test_error_of_an_outcome_contains_no_key(taught: DeliveryBench, backend: BatchBackend):
    backend.outcomes = dict.fromkeys(["run-0", "run-1"], 422)
    put_runs(taught, 2)
    taught.deliver_due()
    letters = DeadLetters(taught.store.database).list()
    assert len(letters) == 2
    assert all("no, said" in letter.error and KEY not in letter.error for letter in letters)


def test_unknown_agent_of_one_report_delays_only_this_run(taught: DeliveryBench, backend: BatchBackend):
    backend.outcomes["run-1"] = 404
    put_runs(taught, 3)
    taught.deliver_due()
    assert taught.counts() == (1 + 2, 1, 0)
    assert taught.store.destinations()[0].failures == 0


@pytest.mark.parametrize("body", [None, [], {}, {"outcomes": 1}, {"outcomes": []}, {"outcomes": [{"status": 200}]}])
def test_unreadable_response_keeps_all_reports(body: Any, taught: DeliveryBench):
    # As client.send does it: an exception of `parse` means that the response is invalid.
    def send(configuration: Configuration, operation: Any) -> Any:
        try:
            return operation.parse(body, {})
        except (ValueError, TypeError, LookupError) as error:
            raise ContractError(200, str(error)) from error

    put_runs(taught, 2)
    taught.send = send
    taught.deliver_due()
    assert taught.counts() == (1, 2, 0)


# Failure of the whole request


@pytest.mark.parametrize("response", [429, 500, 503, ConnectionFailedError(None, "no connection")])
def test_failed_request_keeps_all_runs_and_counts_once(response: Any, taught: DeliveryBench, backend: BatchBackend):
    backend.respond = lambda reports: response
    put_runs(taught, 50)
    taught.deliver_due()
    assert backend.sizes == [50]
    assert taught.counts() == (1, 50, 0)
    assert taught.store.destinations()[0].failures == 1
    backend.respond = lambda reports: None
    taught.clock.advance(2)
    taught.deliver_due()
    assert backend.sizes[1] == 1, "the probe of a destination that failed is a single run"
    taught.clock.advance(60)
    taught.deliver_due()
    assert taught.counts() == (51, 0, 0)


def test_run_that_breaks_every_request_is_soon_alone(taught: DeliveryBench, backend: BatchBackend):
    def respond(reports: list[dict[str, Any]]) -> int | None:
        return 500 if any(report["id"] == "run-100" for report in reports) else None

    backend.respond = respond
    backend.outcomes["run-100"] = 500
    put_runs(taught, 250)
    for _ in range(40):
        taught.deliver_due()
        taught.clock.advance(60)
    assert taught.counts() == (1 + 249, 1, 0)
    assert [size for size in backend.sizes if size > 1][:2] == [250, 64]


def test_batch_that_is_too_large_is_halved(taught: DeliveryBench, backend: BatchBackend):
    backend.respond = lambda reports: 413 if len(reports) > 60 else None
    put_runs(taught, 200)
    taught.deliver_due()
    assert backend.sizes == [200, 100, 50, 50, 50, 50]
    assert taught.counts() == (201, 0, 0)
    assert taught.store.destinations()[0].failures == 0


def test_halved_size_grows_again_after_ten_minutes(taught: DeliveryBench, backend: BatchBackend, monkeypatch):
    now = 0.0
    monkeypatch.setattr(batch_size, "monotonic", lambda: now)
    backend.respond = lambda reports: 413 if len(reports) > 60 else None
    put_runs(taught, 100)
    taught.deliver_due()
    backend.respond = lambda reports: None
    now = 601.0
    put_runs(taught, 100, first=100)
    taught.deliver_due()
    assert backend.sizes == [100, 50, 50, 100]


@pytest.mark.parametrize("status", [404, 405, 501])
def test_backend_that_lost_the_operation_gets_single_reports(status: int, taught: DeliveryBench, backend: BatchBackend):
    backend.respond = lambda reports: status
    put_runs(taught, 5)
    taught.deliver_due()
    assert backend.sizes == [5, 1, 1, 1, 1, 1]
    assert taught.counts() == (6, 0, 0)


@pytest.mark.parametrize("status", [400, 422])
def test_rejected_batch_is_sent_again_report_by_report(status: int, taught: DeliveryBench, backend: BatchBackend):
    backend.respond = lambda reports: status
    backend.outcomes["run-3"] = 422
    put_runs(taught, 5)
    taught.deliver_due()
    assert backend.sizes == [5, 1, 1, 1, 1, 1]
    assert taught.counts() == (1 + 4, 0, 1), "only the invalid report is a dead letter"


def test_rejected_key_keeps_all_reports(taught: DeliveryBench, backend: BatchBackend, caplog):
    backend.respond = lambda reports: 401
    put_runs(taught, 20)
    taught.deliver_due()
    assert taught.counts() == (1, 20, 0)
    assert caplog.text.count("rejects the key") == 1


def test_interrupted_batch_is_due_again_at_once(taught: DeliveryBench, backend: BatchBackend):
    backend.respond = lambda reports: KeyboardInterrupt()
    put_runs(taught, 3)
    claim = taught.claim()
    with pytest.raises(KeyboardInterrupt):
        taught.delivery.deliver(claim)
    backend.respond = lambda reports: None
    assert taught.deliver_due() == 1
    assert taught.counts() == (4, 0, 0)


def test_process_that_dies_after_the_response_leaves_the_batch_to_another(taught: DeliveryBench, backend: BatchBackend):
    put_runs(taught, 3)
    claim = taught.claim()
    taught._send(*_request(taught, claim))  # The response arrives, and the process is killed before it settles.
    other = taught.delivery_of("owner-2")
    assert other.claim() is None
    taught.clock.advance(3_600)
    while (again := other.claim()) is not None:
        other.deliver(again)
    assert backend.runs[0] == ["run-0", "run-1", "run-2"]
    assert sorted(run for request in backend.runs[1:] for run in request) == ["run-0", "run-1", "run-2"]
    taught.delivery.deliver(claim)
    assert taught.counts() == (4, 0, 0), "a late outcome of an expired lease counts nothing twice"


def _request(bench: DeliveryBench, claim: Any) -> tuple[Configuration, Any]:
    configuration = bench.delivery._configuration_for(claim.destination, None)
    assert configuration is not None
    reports = [batch.reports[0] for batch in claim.batches]
    return configuration, report_batch.report_tasks(reports, is_compressed=False)


# Selection of runs


pending = st.lists(
    st.tuples(st.sampled_from("abcdef"), st.sampled_from(["agent-1", "agent-1", "agent-2"]), st.integers(0, 30)),
    max_size=30,
)


@settings(deadline=None)
@given(pending, st.integers(1, 8), st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 2)))
def test_selected_reports_are_a_prefix_of_each_run(
    rows: list[tuple[str, str, int]], max_runs: int, failed: dict[str, int]
):
    reports = [
        (seq, run, agent, seq, b"x" * size, failed.get(run, 0), 0) for seq, (run, agent, size) in enumerate(rows, 1)
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_selection, "MAX_CLAIM_BYTES", 100)
        patch.setattr(run_selection, "MAX_BATCH_REPORTS", 3)
        selected = run_selection.due_runs(reports, max_runs)
    assert bool(selected) == bool(reports)
    assert len(selected) <= max_runs
    assert list(selected) == list(dict.fromkeys(run for _, run, *_ in reports))[: len(selected)], "oldest runs first"
    size = 0
    for run, chosen in selected.items():
        own = [(seq, agent) for seq, of, agent, *_ in reports if of == run]
        assert chosen.seqs == [seq for seq, _ in own[: len(chosen.seqs)]]
        assert len({report.agent_id for report in chosen.reports}) == 1
        assert 1 <= len(chosen.reports) <= 3
        assert len(selected) <= max(1, max_runs // 4 ** failed.get(run, 0))
        size += sum(len(report.content) for report in chosen.reports)
    assert size <= 100 or len(selected) == 1


def test_report_that_names_an_agent_of_its_own_has_no_effect(taught: DeliveryBench, backend: BatchBackend):
    report = make_report("run-1", 5, agent_id="right")
    taught.put(evolve(report, content=b'{"agent_id":"wrong","reported_at":1,"id":"run-1"}'))
    taught.put(make_report("run-2"))
    taught.deliver_due()
    assert (backend.requests[0][0]["agent_id"], backend.requests[0][0]["reported_at"]) == ("right", 5)
