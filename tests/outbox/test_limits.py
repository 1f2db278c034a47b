"""Limits of the outbox, and the rules for a full one. A function replaces the backend."""

import threading
import time
from pathlib import Path

import pytest

from outbox.helpers import TIMEOUT, RecordingBackend, assert_balanced, make_report, put, wait_until
from xpander_sdk import OutboxError, OutboxFullError
from xpander_sdk.outbox.outbox import Outbox
from xpander_sdk.receipt import ReceiptState


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
