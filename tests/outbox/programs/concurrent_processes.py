"""Submit reports to one outbox and deliver them from eight processes at once.

    PYTHONPATH=tests python tests/outbox/programs/concurrent_processes.py --reports 20000

Checks that each report was recorded once. Prints the time that each process waited for its receipts: the median, the
99th percentile and the maximum.
"""

import argparse
import json
import os
import statistics
import time
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from support.server import running_server
from xpander_sdk import Backend, Configuration, OutboxSettings, Tasks, Timeouts

AGENT = "agent-of-many-processes"
PROCESSES = 8
FLUSH_SECONDS = 600


def submit_reports(configuration: Configuration, process: int, reports: int, start: int, results: int) -> None:
    """Submit reports after a byte arrives at the pipe `start`, flush, and write the waiting times to `results`."""
    backend = Backend(configuration)
    os.read(start, 1)
    waits = []
    for number in range(reports):
        started_at = time.perf_counter()
        backend.submit_external_task(
            AGENT, id=f"run-{process}-{number}", result="done", duration=0.5, tokens={"prompt_tokens": 1}
        )
        waits.append(time.perf_counter() - started_at)
    submitted_at = time.perf_counter()
    assert backend.outbox.flush(FLUSH_SECONDS)
    waits.sort()
    times = {
        "median": statistics.median(waits), "p99": waits[len(waits) * 99 // 100], "longest": waits[-1],
        "flush": time.perf_counter() - submitted_at,
    }  # fmt: skip
    os.write(results, json.dumps(times).encode() + b"\n")
    backend.outbox.close()


def run_processes(reports: int, configuration: Configuration) -> tuple[list[dict[str, float]], float]:
    """Return the waiting times of each process, and the seconds until all reports were delivered."""
    import_module("xpander_sdk._runtime")
    import_module("xpander_sdk.outbox.registry")
    start_read, start_write = os.pipe()
    results_read, results_write = os.pipe()
    pids = []
    for process in range(PROCESSES):
        pid = os.fork()
        if not pid:
            exit_code = 70
            try:
                submit_reports(configuration, process, reports // PROCESSES, start_read, results_write)
                exit_code = 0
            finally:
                os._exit(exit_code)
        pids.append(pid)
    os.close(results_write)
    started_at = time.perf_counter()
    os.write(start_write, b"!" * PROCESSES)
    exit_codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
    seconds = time.perf_counter() - started_at
    assert exit_codes == [0] * PROCESSES
    with os.fdopen(results_read) as lines:
        times = [json.loads(line) for line in lines]
    assert len(times) == PROCESSES
    return times, seconds


def check_all_recorded_once(reports: int, configuration: Configuration) -> dict[str, Any]:
    expected = {f"run-{process}-{number}" for process in range(PROCESSES) for number in range(reports // PROCESSES)}
    history = [task.id for task in Tasks(configuration).list(AGENT)]
    assert len(history) == len(expected)
    assert set(history) == expected
    metrics = Backend(configuration).metrics(AGENT)
    assert (metrics.runs.total, metrics.tokens.prompt_tokens) == (len(expected), len(expected))
    assert metrics.duration.total == len(expected) / 2
    stats = Backend(configuration).outbox.stats()
    assert (stats.accepted, stats.delivered, stats.pending, stats.dead) == (len(expected), len(expected), 0, 0)
    return {"reports": len(expected), "lost": 0, "recorded twice": 0}


def main(reports: int) -> dict[str, Any]:
    with TemporaryDirectory() as name, running_server(Path(name) / "store.db") as server:
        configuration = server.configuration.with_options(
            outbox=OutboxSettings(file=f"{name}/outbox.db", parallel=2), timeouts=Timeouts(total=60, read=30)
        )
        Backend(configuration).metrics(AGENT)
        times, seconds = run_processes(reports, configuration)
        counts = check_all_recorded_once(reports, configuration)
    return {
        **counts,
        "seconds": round(seconds, 1),
        "reports/s": round(reports / seconds),
        **{
            f"{name} (slowest process, ms)": round(1_000 * max(process_times[name] for process_times in times), 2)
            for name in ("median", "p99", "longest")
        },
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reports", type=int, default=20_000)
    print(json.dumps(main(parser.parse_args().reports)))
