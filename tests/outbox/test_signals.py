"""Signals and interrupts at any point of a call. A function replaces the backend."""

import signal
import sqlite3
import sys
import time
from itertools import count
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from outbox.helpers import TIMEOUT, RecordingBackend, assert_balanced, put
from xpander_sdk.outbox.outbox import Outbox
from xpander_sdk.outbox.storage.connection import Database
from xpander_sdk.receipt import Receipt


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


OPENING = ("_open", "_set_up", "_checked_version", "create_or_migrate", "_create", "foreign_objects")


def submit_while_opening(outbox: Outbox, line: int) -> bool:
    """Submit a report, and another one before the given line of the functions that open the file, as a handler would.

    Return whether there was such a line.
    """
    lines = 0

    def trace(frame: FrameType, event: str, _: object) -> Any:
        nonlocal lines
        if event == "line":
            lines += 1
            if lines == line:
                sys.settrace(None)
                put(outbox, "handler", worker="none")
        return trace if frame.f_code.co_name in OPENING else None

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        put(outbox, "main", worker="none")
    finally:
        sys.settrace(before)
    return lines >= line


def test_signal_handler_can_submit_at_any_line_that_creates_the_file(tmp_path: Path):
    for line in count(1):
        outbox = Outbox(str(tmp_path / f"{line}.db"))
        was_interrupted = submit_while_opening(outbox, line)
        accepted = outbox.stats().accepted
        outbox.close(0)
        assert accepted == 1 + was_interrupted, line
        if not was_interrupted:
            break
    assert line > 20


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
