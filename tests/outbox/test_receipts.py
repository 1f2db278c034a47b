"""Receipts and dead letters of one process: state, task, and waiting. A function replaces the backend."""

import asyncio
import gc
import threading
import time
import weakref
from pathlib import Path
from typing import Any

import pytest
import trio

from outbox.helpers import TIMEOUT, RecordingBackend, ReplaceableSend, assert_balanced, put, reject_all, remove_files
from xpander_sdk.outbox import receipts
from xpander_sdk.outbox.outbox import Outbox
from xpander_sdk.outbox.storage.queue_store import QueueStore
from xpander_sdk.receipt import ReceiptState


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


def test_deleted_receipts_are_forgotten_while_their_reports_wait(outbox: Outbox, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(receipts, "_MIN_PURGE", 10)
    outbox._state.receipts.reset(outbox._state.store)
    kept = [put(outbox, f"kept-{number}", worker="none") for number in range(5)]
    for number in range(100):
        put(outbox, f"run-{number}", worker="none")
    assert len(outbox._state.receipts._receipts) <= 10
    assert outbox.drain(TIMEOUT)
    assert {receipt.task.values["id"] for receipt in kept} == {f"kept-{number}" for number in range(5)}


def test_deleted_receipt_runs_no_callback_in_which_an_exception_of_a_signal_handler_would_be_ignored(outbox: Outbox):
    receipt = put(outbox, worker="none")
    assert [reference.__callback__ for reference in weakref.getweakrefs(receipt)] == [None]
    outbox.drain(TIMEOUT)


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


def test_dead_letters_are_limited_by_the_settings(outbox: Outbox, send: ReplaceableSend):
    send.backend = reject_all
    for number in range(5):
        put(outbox, f"run-{number}", max_reports=2).wait(TIMEOUT)
    stats = assert_balanced(outbox.stats())
    assert (stats.dead, stats.dropped) == (2, {"dead letters full": 3})


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
