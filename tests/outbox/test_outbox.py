"""The outbox of one process: flush, drain and close. A function replaces the backend."""

import threading
import time
from pathlib import Path
from typing import Any

import pytest

from outbox.helpers import TIMEOUT, RecordingBackend, ReplaceableSend, error_of_status, put, store_at, wait_until
from runtimes.resources import has_open_file
from xpander_sdk import Configuration
from xpander_sdk.outbox.outbox import Outbox
from xpander_sdk.receipt import ReceiptState


def test_flush_waits_for_reports_that_another_process_is_sending(outbox: Outbox, path: Path):
    put(outbox, worker="none")
    other = store_at(path)
    batch = other.claim("another process", [1], 30_000_000)
    assert batch is not None
    threading.Timer(0.3, lambda: other.delivered(batch)).start()
    assert outbox.flush(TIMEOUT)
    other.database.close()


def test_flush_waits_for_a_report_that_is_leased_between_its_questions(
    outbox: Outbox, path: Path, monkeypatch: pytest.MonkeyPatch
):
    put(outbox, worker="none")
    other = store_at(path)
    database = outbox._state.database
    fetch = database.fetch

    def fetch_and_lease(*arguments: Any) -> list[Any]:
        rows = fetch(*arguments)
        if outbox._state.delivery.destination_ids:
            other.claim("another process", [1], 30_000_000)
        return rows

    outbox._state.delivery.refresh()
    ends_at = time.monotonic() + 0.3
    with monkeypatch.context() as patch:
        patch.setattr(database, "fetch", fetch_and_lease)
        outbox._state.wait_until_idle(ends_at)
    assert time.monotonic() >= ends_at
    other.database.close()


def test_flush_returns_false_while_a_backend_is_unavailable(outbox: Outbox, backend: RecordingBackend):
    backend.is_unavailable = True
    put(outbox)
    began = time.monotonic()
    assert not outbox.flush(0.5)
    assert time.monotonic() - began < 3
    backend.is_unavailable = False
    assert outbox.flush(TIMEOUT)


def test_flush_does_not_wait_for_later_reports(outbox: Outbox, backend: RecordingBackend, send: ReplaceableSend):
    put(outbox, worker="none")
    late = threading.Event()

    def submit_meanwhile(configuration: Configuration, operation: Any) -> Any:
        if not late.is_set():
            late.set()
            put(outbox, "late", worker="none")
        return backend(configuration, operation)

    send.backend = submit_meanwhile
    assert outbox.flush(TIMEOUT)
    assert outbox.stats().pending in (0, 1)


@pytest.mark.parametrize("method", ["drain", "flush", "close"])
def test_deadline_applies_while_a_backend_hangs(method, outbox: Outbox, backend: RecordingBackend):
    backend.unblocked.clear()
    for number in range(20):
        put(outbox, f"run-{number}", worker="none" if method == "drain" else "thread")
    began = time.monotonic()
    assert not getattr(outbox, method)(0.5)
    assert time.monotonic() - began < 2.5
    backend.unblocked.set()
    assert outbox.flush(TIMEOUT)
    assert sorted(set(backend.runs)) == sorted(f"run-{number}" for number in range(20))


def test_drain_of_an_empty_outbox_ends_at_once(outbox: Outbox):
    put(outbox, worker="none")
    assert outbox.drain(TIMEOUT)
    began = time.monotonic()
    for _ in range(50):
        assert outbox.drain(TIMEOUT)
    assert time.monotonic() - began < TIMEOUT / 2


def test_drain_does_not_wait_for_reports_due_after_its_deadline(outbox: Outbox, send: ReplaceableSend):
    def reject_key(configuration: Configuration, operation: Any) -> Any:
        raise error_of_status(401)

    send.backend = reject_key
    put(outbox, worker="none")
    began = time.monotonic()
    assert not outbox.drain(120)
    assert time.monotonic() - began < 5


def test_drain_leaves_no_thread(outbox: Outbox):
    for number in range(50):
        put(outbox, f"run-{number}", worker="none")
    before = threading.active_count()
    assert outbox.drain(TIMEOUT)
    assert threading.active_count() == before


def test_closed_outbox_can_be_used_again(outbox: Outbox):
    for number in range(3):
        receipt = put(outbox, f"run-{number}")
        assert outbox.close(TIMEOUT)
        assert receipt.state is ReceiptState.Delivered


def test_close_leaves_no_open_file(outbox: Outbox, path: Path):
    for number in range(20):
        put(outbox, f"run-{number}")
        assert has_open_file(f"{path.parent.name}/{path.name}")
        assert outbox.close(TIMEOUT)
        assert not has_open_file(f"{path.parent.name}/{path.name}")


def test_call_that_outlasts_close_stores_its_outcome_and_closes_the_file(
    outbox: Outbox, path: Path, backend: RecordingBackend
):
    backend.unblocked.clear()
    others = set(threading.enumerate())  # workers of the outboxes of other tests may still run
    put(outbox)
    wait_until(lambda: backend.calls)
    workers = [thread for thread in set(threading.enumerate()) - others if thread.name == "xpander-report outbox"]
    assert workers
    assert not outbox.close(0)
    backend.unblocked.set()
    wait_until(lambda: not any(thread.is_alive() for thread in workers))
    assert not has_open_file(f"{path.parent.name}/{path.name}")
    assert outbox.stats().delivered == 1
