"""Worker of the outbox: parallel calls, order, failures, and idle time. A function replaces the backend."""

import json
import threading
import time
from typing import Any

import pytest

from outbox.helpers import TIMEOUT, RecordingBackend, ReplaceableSend, make_report, put, wait_until
from xpander_sdk import Configuration, OutboxError
from xpander_sdk.outbox.outbox import Outbox
from xpander_sdk.outbox.worker import Worker
from xpander_sdk.receipt import ReceiptState


def test_different_runs_are_sent_in_parallel_up_to_the_limit(outbox: Outbox, backend: RecordingBackend):
    backend.unblocked.clear()
    for number in range(10):
        put(outbox, f"run-{number}", parallel=3)
    wait_until(lambda: backend.calls == 3)
    time.sleep(0.1)
    assert backend.calls == 3
    backend.unblocked.set()
    assert outbox.flush(TIMEOUT)


def test_reports_of_one_run_are_sent_in_order(outbox: Outbox, backend: RecordingBackend, send: ReplaceableSend):
    order: dict[str, list[int]] = {}
    in_progress: set[str] = set()

    def record_in_order(configuration: Configuration, operation: Any) -> Any:
        body = json.loads(operation.content)
        assert body["id"] not in in_progress, "two calls of one run at once"
        in_progress.add(body["id"])
        time.sleep(0.001)
        order.setdefault(body["id"], []).append(body["duration"])
        in_progress.discard(body["id"])
        return operation.parse({"id": body["id"]}, {})

    send.backend = record_in_order
    for number in range(300):
        put(outbox, report=make_report(f"run-{number % 5}", number, duration=number))
    assert outbox.flush(TIMEOUT)
    assert all(numbers == sorted(numbers) for numbers in order.values())
    assert {numbers[-1] for numbers in order.values()} == {295, 296, 297, 298, 299}


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_dead_worker_is_replaced(outbox: Outbox, backend: RecordingBackend, send: ReplaceableSend):
    def exit_thread(configuration: Configuration, operation: Any) -> Any:
        raise SystemExit

    send.backend = exit_thread
    put(outbox)
    wait_until(lambda: outbox._state.worker is not None and not outbox._state.worker.is_alive())
    send.backend = backend
    assert put(outbox, "run-2").wait(TIMEOUT) is ReceiptState.Delivered
    assert outbox.flush(TIMEOUT)
    assert sorted(backend.runs) == ["run-1", "run-2"]


def test_worker_survives_errors_of_its_file(outbox: Outbox, monkeypatch, caplog):
    refresh = outbox._state.delivery.refresh
    remaining_errors = [OutboxError("of a disk")] * 3

    def refresh_or_fail() -> None:
        if remaining_errors:
            raise remaining_errors.pop()
        refresh()

    monkeypatch.setattr(
        outbox._state.delivery, "refresh", refresh_or_fail
    )  # Not of the class: workers of other tests use it.
    assert put(outbox).wait(TIMEOUT) is ReceiptState.Delivered
    assert outbox._state.worker is not None
    assert outbox._state.worker.is_alive()
    assert caplog.text.count("will try again") == 1


def test_submission_succeeds_if_no_thread_can_be_started(outbox: Outbox, monkeypatch, caplog):
    def fail(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as limited:
        limited.setattr(threading.Thread, "start", fail)
        receipt = put(outbox)
    assert receipt.state is ReceiptState.Pending
    assert "can't start new thread" in caplog.text
    assert put(outbox, "run-2").wait(TIMEOUT) is ReceiptState.Delivered
    assert receipt.wait(TIMEOUT) is ReceiptState.Delivered


def test_claim_is_delivered_if_no_memory_is_left_for_another_thread(outbox: Outbox, monkeypatch, caplog):
    def fail(self: Worker, due_requests: int) -> None:
        raise MemoryError

    monkeypatch.setattr(Worker, "_start_another_thread", fail)
    put(outbox, worker="none")
    assert outbox.drain(TIMEOUT)
    assert outbox._state.delivery.in_flight == 0


@pytest.mark.parametrize("is_unavailable", [False, True], ids=["idle", "away"])
def test_idle_worker_uses_almost_no_time(is_unavailable, outbox: Outbox, backend: RecordingBackend, monkeypatch):
    backend.is_unavailable = is_unavailable
    for number in range(50):
        put(outbox, f"run-{number}")
    wait_until(lambda: outbox.stats().pending == (50 if is_unavailable else 0))
    wait_until(lambda: backend.calls > 0 and outbox._state.delivery.in_flight == 0)
    if is_unavailable:
        with outbox._state.store.database.transaction() as connection:
            connection.execute("UPDATE destinations SET next_attempt_at = ?", (time.time_ns() // 1_000 + 60_000_000,))
    time.sleep(0.3)
    claims = []
    claim = outbox._state.delivery.claim
    monkeypatch.setattr(outbox._state.delivery, "claim", lambda: claims.append(1) or claim())
    used = time.thread_time(), time.process_time()
    time.sleep(1.5)
    assert len(claims) <= 3
    assert time.process_time() - used[1] - (time.thread_time() - used[0]) < 0.2
