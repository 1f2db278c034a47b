"""The outbox of one process: limits, receipts, worker, and end. A function replaces the backend."""

import asyncio
import gc
import json
import logging
import signal
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trio
from attrs import define

from outbox.helpers import (
    TIMEOUT,
    RecordingBackend,
    ReplaceableSend,
    assert_balanced,
    error_of_status,
    make_report,
    put,
    read_files,
    reject_all,
    remove_files,
    store_at,
    wait_until,
)
from runtimes.resources import has_open_file
from xpander_sdk import Configuration, OutboxError, OutboxFullError
from xpander_sdk.outbox.outbox import Outbox
from xpander_sdk.outbox.storage.connection import Database
from xpander_sdk.outbox.storage.queue_store import QueueStore
from xpander_sdk.receipt import Receipt, ReceiptState


@pytest.fixture
def backend() -> RecordingBackend:
    return RecordingBackend()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.db"


@pytest.fixture
def send(backend: RecordingBackend) -> ReplaceableSend:
    return ReplaceableSend(backend)


@pytest.fixture
def outbox(path: Path, backend: RecordingBackend, send: ReplaceableSend) -> Iterator[Outbox]:
    outbox = Outbox(str(path), send=send)
    yield outbox
    backend.unblocked.set()
    outbox.close(0)


# Receipts


def test_receipt_shows_state_and_task(outbox: Outbox, backend: RecordingBackend):
    backend.unblocked.clear()
    receipt = put(outbox, convert=lambda record: record.values["id"].upper())
    assert (receipt.state, receipt.task, receipt.id) == (ReceiptState.Pending, None, "run-1")
    backend.unblocked.set()
    assert receipt.wait(TIMEOUT) is ReceiptState.Delivered
    assert receipt.task == "RUN-1"


def test_response_before_the_receipt_exists_reaches_the_receipt(outbox: Outbox, monkeypatch):
    original_put = QueueStore.put

    def put_and_deliver(*arguments: Any, **keywords: Any) -> int:
        seq = original_put(*arguments, **keywords)
        assert outbox.drain(TIMEOUT)
        return seq

    monkeypatch.setattr(QueueStore, "put", put_and_deliver)
    receipt = put(outbox, worker="none")
    assert receipt.task.values["id"] == "run-1"
    assert not outbox._state.receipts._early_responses


def test_all_receipts_of_a_batch_get_the_task(outbox: Outbox, backend: RecordingBackend):
    receipts = [put(outbox, worker="none") for _ in range(3)]
    outbox.drain(TIMEOUT)
    assert [receipt.task.values["id"] for receipt in receipts] == ["run-1"] * 3
    assert len(backend.recorded) == 1


def test_receipt_is_delivered_even_if_the_response_cannot_be_converted(outbox: Outbox):
    def fail(response: Any) -> Any:
        raise LookupError("a field that this client does not know")

    receipt = put(outbox, convert=fail)
    assert receipt.wait(TIMEOUT) is ReceiptState.Delivered
    assert receipt.task is None


def test_deleted_receipts_leave_nothing_in_memory(outbox: Outbox):
    for number in range(200):
        put(outbox, f"run-{number}")
    assert outbox.flush(TIMEOUT)
    gc.collect()
    assert (
        len(outbox._state.receipts._receipts),
        len(outbox._state.receipts._early_responses),
        outbox._state.receipts._submissions,
    ) == (
        0,
        0,
        0,
    )


def test_receipt_of_a_removed_file_is_unknown(outbox: Outbox, path: Path):
    receipt = put(outbox, worker="none")
    outbox.close(0)
    remove_files(path)
    other = put(outbox, "run-2", worker="none")
    assert (receipt.state, other.state) == (ReceiptState.Unknown, ReceiptState.Pending)
    outbox.drain(TIMEOUT)
    assert (receipt.state, receipt.task) == (ReceiptState.Unknown, None)
    assert other.task.values["id"] == "run-2"


def test_rejected_report_is_a_dead_letter(outbox: Outbox, send: ReplaceableSend):
    send.backend = reject_all
    receipt = put(outbox)
    assert receipt.wait(TIMEOUT) is ReceiptState.Dead
    (letter,) = outbox.dead()
    assert outbox.discard([letter.seq]) == 1
    assert receipt.state is ReceiptState.Dropped
    assert_balanced(outbox.stats())


def test_wait_ends_after_its_timeout(outbox: Outbox, backend: RecordingBackend):
    backend.is_unavailable = True
    receipt = put(outbox)
    began = time.monotonic()
    assert receipt.wait(0.2) is ReceiptState.Pending
    assert 0.2 <= time.monotonic() - began < 2


@pytest.mark.parametrize("run", [asyncio.run, trio.run], ids=["asyncio", "trio"])
def test_receipt_can_be_awaited(run, outbox: Outbox, backend: RecordingBackend):
    backend.unblocked.clear()

    async def main() -> ReceiptState:
        receipt = put(outbox)
        threading.Timer(0.1, backend.unblocked.set).start()
        return await receipt

    assert run(main) is ReceiptState.Delivered if run is trio.run else run(main()) is ReceiptState.Delivered


def test_slow_key_callable_does_not_block_other_threads(outbox: Outbox):
    started, released = threading.Event(), threading.Event()

    class Vault:
        def __call__(self) -> str:
            started.set()
            assert released.wait(TIMEOUT)
            return "key-1"

    slow = threading.Thread(target=lambda: put(outbox, "slow", api_key=Vault(), worker="none"))
    slow.start()
    assert started.wait(TIMEOUT)
    put(outbox, "quick", worker="none")
    released.set()
    slow.join()
    assert outbox.stats().pending == 2


# Limits


def test_full_outbox_raises_and_keeps_its_reports(outbox: Outbox):
    receipts = [put(outbox, f"run-{number}", max_reports=3, worker="none") for number in range(3)]
    with pytest.raises(OutboxFullError) as caught:
        put(outbox, "run-3", max_reports=3, worker="none")
    assert caught.value.report_id == "run-3"
    assert isinstance(caught.value, OutboxError)
    assert {receipt.state for receipt in receipts} == {ReceiptState.Pending}
    assert assert_balanced(outbox.stats()).accepted == 3


def test_size_is_limited(outbox: Outbox):
    size = len(make_report("run-0").content) + 250
    for number in range(4):
        put(outbox, f"run-{number}", max_bytes=4 * size, worker="none")
    with pytest.raises(OutboxFullError):
        put(outbox, "run-4", max_bytes=4 * size, worker="none")
    assert outbox.stats().pending_bytes == 4 * size


def test_block_waits_for_room(outbox: Outbox, backend: RecordingBackend):
    backend.unblocked.clear()
    settings = {"max_reports": 2, "when_full": "block", "block_seconds": TIMEOUT}
    for number in range(2):
        put(outbox, f"run-{number}", **settings)
    threading.Timer(0.2, backend.unblocked.set).start()
    began = time.monotonic()
    receipt = put(outbox, "run-2", **settings)
    assert time.monotonic() - began > 0.1
    assert receipt.wait(TIMEOUT) is ReceiptState.Delivered


def test_block_raises_at_its_deadline(outbox: Outbox):
    settings = {"max_reports": 1, "when_full": "block", "block_seconds": 0.3, "worker": "none"}
    put(outbox, **settings)
    began = time.monotonic()
    with pytest.raises(OutboxFullError):
        put(outbox, "run-2", **settings)
    assert 0.3 <= time.monotonic() - began < 3


def test_drop_oldest_makes_room_and_counts_dropped_reports(outbox: Outbox):
    settings = {"max_reports": 30, "when_full": "drop_oldest", "worker": "none"}
    receipts = [put(outbox, f"run-{number}", **settings) for number in range(100)]
    stats = assert_balanced(outbox.stats())
    assert stats.accepted == 100
    assert stats.pending + stats.dropped["full"] == 100
    assert 25 <= stats.pending <= 30
    gone = stats.dropped["full"]
    assert {receipt.state for receipt in receipts[:gone]} == {ReceiptState.Dropped}
    assert {receipt.state for receipt in receipts[gone:]} == {ReceiptState.Pending}


def test_report_larger_than_the_outbox_drops_nothing(outbox: Outbox):
    settings = {"max_bytes": 600, "when_full": "drop_oldest", "worker": "none"}
    kept = put(outbox, **settings)
    with pytest.raises(OutboxFullError):
        put(outbox, "run-" + "x" * 1_000, **settings)
    assert kept.state is ReceiptState.Pending


@pytest.mark.parametrize("when_full", ["raise", "block"])
def test_process_that_finds_the_outbox_full_delivers_it(
    when_full, outbox: Outbox, path: Path, backend: RecordingBackend
):
    for number in range(3):
        put(outbox, f"run-{number}", max_reports=3, worker="none")
    outbox._state.stop()
    later = Outbox(str(path), send=backend)
    settings = {"max_reports": 3, "when_full": when_full, "block_seconds": TIMEOUT}
    if when_full == "raise":
        with pytest.raises(OutboxFullError):
            put(later, "run-3", **settings)
        wait_until(lambda: later.stats().pending == 0)
    assert put(later, "run-4", **settings).wait(TIMEOUT) is ReceiptState.Delivered
    later.close()


def test_dead_letters_are_limited_by_the_settings(outbox: Outbox, send: ReplaceableSend):
    send.backend = reject_all
    for number in range(5):
        put(outbox, f"run-{number}", max_reports=2).wait(TIMEOUT)
    stats = assert_balanced(outbox.stats())
    assert (stats.dead, stats.dropped) == (2, {"dead letters full": 3})


# Worker


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


# Flush, drain and close


def test_flush_waits_for_reports_that_another_process_is_sending(outbox: Outbox, path: Path):
    put(outbox, worker="none")
    other = store_at(path)
    batch = other.claim("another process", [1], 30_000_000)
    assert batch is not None
    threading.Timer(0.3, lambda: other.delivered(batch)).start()
    assert outbox.flush(TIMEOUT)
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
        assert has_open_file(path.name)
        assert outbox.close(TIMEOUT)
        assert not has_open_file(path.name)


def test_call_that_outlasts_close_stores_its_outcome_and_closes_the_file(
    outbox: Outbox, path: Path, backend: RecordingBackend
):
    backend.unblocked.clear()
    put(outbox)
    wait_until(lambda: backend.calls)
    assert not outbox.close(0)
    backend.unblocked.set()
    wait_until(lambda: not any(thread.name == "xpander-report outbox" for thread in threading.enumerate()))
    assert not has_open_file(path.name)
    assert outbox.stats().delivered == 1


def test_two_outboxes_of_one_file_share_counters(outbox: Outbox, path: Path, backend: RecordingBackend):
    other = Outbox(str(path), send=backend)
    put(outbox, "run-1")
    put(other, "run-2")
    assert outbox.flush(TIMEOUT)
    assert other.flush(TIMEOUT)
    assert sorted(backend.runs) == ["run-1", "run-2"]
    assert assert_balanced(outbox.stats()) == assert_balanced(other.stats())
    other.close()


# Signals


def test_signal_handler_can_submit_at_any_point(outbox: Outbox, backend: RecordingBackend):
    receipts: list[Receipt[Any]] = []
    settings = {"max_reports": 20, "when_full": "drop_oldest", "worker": "none"}

    is_in_handler = [False]

    def handler(*_: object) -> None:
        if len(receipts) < 300 and not is_in_handler[0]:
            is_in_handler[0] = True
            receipts.append(put(outbox, f"signal-{len(receipts)}", **settings))
            is_in_handler[0] = False

    before = signal.signal(signal.SIGVTALRM, handler)
    signal.setitimer(signal.ITIMER_VIRTUAL, 0.0005, 0.0005)
    number = 0
    longest = 0.0
    try:
        while len(receipts) < 300:
            began = time.monotonic()
            put(outbox, f"main-{number}", **settings)
            outbox.stats()
            outbox.retry()
            outbox._state.store.release_owner("another process")
            number += 1
            longest = max(longest, time.monotonic() - began)
            assert number < 100_000
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
    stats = assert_balanced(outbox.stats())
    assert stats.accepted == number + len(receipts)
    assert longest < 5, "a handler waited for the call that it had interrupted"
    assert outbox.flush(TIMEOUT)


def test_interrupt_leaves_no_transaction_open(path: Path):
    database = Database(str(path), "crash", 1_000)

    def interrupted() -> None:
        with database.transaction() as connection:
            connection.execute("UPDATE counters SET merged = merged + 1")
            raise KeyboardInterrupt

    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            interrupted()
    other = sqlite3.connect(path, timeout=0)
    other.execute("BEGIN IMMEDIATE")
    assert other.execute("SELECT merged FROM counters").fetchone() == (0,)
    other.close()
    database.close()


# Masks


def test_mask_is_applied_before_the_report_is_written(outbox: Outbox, path: Path, backend: RecordingBackend):
    def mask(report: dict[str, Any]) -> dict[str, Any]:
        return {**report, "result": report["result"].replace("secret", "***")}

    put(outbox, result="a secret", mask=mask, worker="none")
    assert b"secret" not in read_files(path)
    outbox.drain(TIMEOUT)
    assert backend.recorded == [{"id": "run-1", "result": "a ***"}]


@pytest.mark.parametrize(
    "mask",
    [lambda report: 1 / 0, lambda report: None, lambda report: [report], lambda report: report.clear()],
    ids=["raises", "None", "list", "clears"],
)
def test_failed_mask_keeps_only_fields_without_text(
    mask, outbox: Outbox, path: Path, backend: RecordingBackend, caplog
):
    caplog.set_level(logging.DEBUG)
    tokens = {"prompt_tokens": 3}
    report = make_report(
        result="secret",
        input="secret",
        llm_response="secret",
        used_tools=["secret"],
        tokens=tokens,
        is_success=True,
        duration=1.5,
    )
    put(outbox, report=report, mask=mask, worker="none")
    assert b"secret" not in read_files(path)
    assert "secret" not in caplog.text
    outbox.drain(TIMEOUT)
    (body,) = backend.recorded
    assert {name: value for name, value in body.items() if value is not None} == {
        "id": "run-1", "tokens": tokens, "is_success": True, "duration": 1.5,
    }  # fmt: skip


def test_mask_cannot_change_the_id(outbox: Outbox, backend: RecordingBackend):
    put(outbox, mask=lambda report: {"id": "another", "result": "\ud800", 5: object()}, worker="none")
    outbox.drain(TIMEOUT)
    assert backend.runs == ["run-1"]


def test_mask_need_not_be_hashable(outbox: Outbox):
    @define
    class Mask:
        word: str

        def __call__(self, report: dict[str, Any]) -> dict[str, Any]:
            return report

    assert put(outbox, mask=Mask("secret")).wait(TIMEOUT) is ReceiptState.Delivered
