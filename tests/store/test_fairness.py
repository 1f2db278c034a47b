"""Fairness of the write lock between processes on one SQLite file."""

import multiprocessing
from pathlib import Path
from typing import Any

import pytest

from store.reports import submission
from xpander_server.store import Store, TaskQuery

PROCESSES = 8
REPORTS = 800  # of all processes together


def report_until_enough(url: str, number: int, counts: Any, barrier: Any) -> None:
    """Report without a pause until all processes together have committed `REPORTS` reports."""
    store = Store(url)
    barrier.wait(60)
    while sum(counts) < REPORTS:
        store.report(submission(f"{number} {counts[number]}"))
        counts[number] += 1
    store.close()


@pytest.mark.slow
def test_no_process_starves_while_others_never_pause(tmp_path: Path):
    url = f"sqlite:///{tmp_path}/store.db"
    context = multiprocessing.get_context("spawn")
    counts = context.Array("i", PROCESSES, lock=False)
    barrier = context.Barrier(PROCESSES)
    processes = [
        context.Process(target=report_until_enough, args=(url, number, counts, barrier)) for number in range(PROCESSES)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(110)
    assert [process.exitcode for process in processes] == [0] * PROCESSES
    store = Store(url)
    assert len(store.history(TaskQuery(organization_id="org"), limit=1_000).tasks) == sum(counts)
    store.close()
    assert min(counts) > REPORTS / PROCESSES / 4, list(counts)
