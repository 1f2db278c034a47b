"""Several processes on one outbox file: kills in the short form (`make durability` runs the long one), concurrency."""

import json

import pytest

from outbox.helpers import run_program


@pytest.mark.parametrize(("durability", "kills"), [("crash", 25), ("power", 10)])
def test_kills_neither_lose_nor_repeat_reports(durability, kills):
    output = run_program("kill_writers.py", "--kills", str(kills), "--seed", "7", "--durability", durability)
    assert "lost: 0, recorded twice: 0" in output


def test_eight_processes_deliver_all_reports_and_none_starves():
    results = json.loads(run_program("concurrent_processes.py", "--reports", "2000"))
    assert (results["reports"], results["lost"], results["recorded twice"]) == (2_000, 0, 0)
    assert results["longest (slowest process, ms)"] < 5_000, "a process starved"
