"""Eight processes report into one outbox, and deliver from it, all at once.

    python tests/outbox/crowd.py --reports 20000

Prints how long each process waited for its receipts: at the median, at p99, and at the longest.
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

AGENT = "agent-of-a-crowd"
PROCESSES = 8
FLUSH_SECONDS = 600


def report(configuration: Configuration, name: int, reports: int, go: int, told: int) -> None:
    backend = Backend(configuration)
    os.read(go, 1)  # all begin at once
    waits = []
    for number in range(reports):
        began = time.perf_counter()
        backend.submit_external_task(
            AGENT, id=f"run-{name}-{number}", result="done", duration=0.5, tokens={"prompt_tokens": 1}
        )
        waits.append(time.perf_counter() - began)
    written = time.perf_counter()
    assert backend.outbox.flush(FLUSH_SECONDS)
    waits.sort()
    figures = {
        "median": statistics.median(waits), "p99": waits[len(waits) * 99 // 100], "longest": waits[-1],
        "flushed": time.perf_counter() - written,
    }  # fmt: skip
    os.write(told, json.dumps(figures).encode() + b"\n")
    backend.outbox.close()


def crowd(reports: int, configuration: Configuration) -> dict[str, Any]:
    """What each process waited; all is delivered then."""
    import_module("xpander_sdk._runtime")

    import_module("xpander_sdk.outbox.registry")
    go_read, go = os.pipe()
    figures, told = os.pipe()
    pids = []
    for name in range(PROCESSES):
        pid = os.fork()
        if not pid:
            code = 70
            try:
                report(configuration, name, reports // PROCESSES, go_read, told)
                code = 0
            finally:
                os._exit(code)
        pids.append(pid)
    os.close(told)
    began = time.perf_counter()
    os.write(go, b"!" * PROCESSES)
    codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
    seconds = time.perf_counter() - began
    assert codes == [0] * PROCESSES
    with os.fdopen(figures) as lines:
        each = [json.loads(line) for line in lines]
    assert len(each) == PROCESSES
    return {"processes": each, "seconds": seconds}


def check(reports: int, configuration: Configuration) -> dict[str, Any]:
    """Each report is there, once."""
    expected = {f"run-{name}-{number}" for name in range(PROCESSES) for number in range(reports // PROCESSES)}
    history = [task.id for task in Tasks(configuration).list(AGENT)]
    assert len(history) == len(expected)
    assert set(history) == expected
    metrics = Backend(configuration).metrics(AGENT)
    assert (metrics.runs.total, metrics.tokens.prompt_tokens) == (len(expected), len(expected))
    assert metrics.duration.total == len(expected) / 2
    books = Backend(configuration).outbox.stats()
    assert (books.accepted, books.delivered, books.pending, books.dead) == (len(expected), len(expected), 0, 0)
    return {"reports": len(expected), "lost": 0, "doubled": 0}


def main(reports: int) -> dict[str, Any]:
    with TemporaryDirectory() as name, running_server(Path(name) / "store.db") as server:
        configuration = server.configuration.with_options(
            outbox=OutboxSettings(file=f"{name}/outbox.db", parallel=2), timeouts=Timeouts(total=60, read=30)
        )
        Backend(configuration).metrics(AGENT)
        figures = crowd(reports, configuration)
        told = check(reports, configuration)
    waits = figures["processes"]
    return {
        **told,
        "seconds": round(figures["seconds"], 1),
        "reports/s": round(reports / figures["seconds"]),
        **{
            f"{name} (worst process, ms)": round(1_000 * max(each[name] for each in waits), 2)
            for name in ("median", "p99", "longest")
        },
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reports", type=int, default=20_000)
    print(json.dumps(main(parser.parse_args().reports)))
