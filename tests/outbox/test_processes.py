"""Processes or outboxes on one file: kills in the short form (`make durability` runs the long one), concurrency."""

import json
from pathlib import Path

import pytest

from outbox.helpers import TIMEOUT, RecordingBackend, assert_balanced, put, run_program
from xpander_sdk.outbox.outbox import Outbox


@pytest.mark.parametrize(("durability", "kills"), [("crash", 25), ("power", 10)])
def test_kills_neither_lose_nor_repeat_reports(durability, kills):
    output = run_program("kill_writers.py", "--kills", str(kills), "--seed", "7", "--durability", durability)
    assert "lost: 0, recorded twice: 0" in output


def test_eight_processes_deliver_all_reports_and_none_starves():
    results = json.loads(run_program("concurrent_processes.py", "--reports", "2000"))
    assert (results["reports"], results["lost"], results["recorded twice"]) == (2_000, 0, 0)
    assert results["longest (slowest process, ms)"] < 5_000, "a process starved"


def test_two_outboxes_of_one_file_share_counters(outbox: Outbox, path: Path, backend: RecordingBackend):
    other = Outbox(str(path), send=backend)
    put(outbox, "run-1")
    put(other, "run-2")
    assert outbox.flush(TIMEOUT)
    assert other.flush(TIMEOUT)
    assert sorted(backend.runs) == ["run-1", "run-2"]
    assert assert_balanced(outbox.stats()) == assert_balanced(other.stats())
    other.close()
