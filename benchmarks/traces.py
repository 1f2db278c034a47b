"""Benchmark of traces in the server (`make bench-traces`): CPU time, and the rate of a server with two workers.

The CPU time of decoding and of commits is measured without sockets and in one thread, so that it is that of the
server's code. A commit has `--requests` exports of 500 spans, about as the exporter of OpenTelemetry sends them. Then
`xpander-report serve --workers 2` gets such exports over 32 connections; the load generator uses the same CPUs.
"""

import argparse
import gc
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from benchmarks.trace_load import SPANS_OF_TRACE, TRACES_OF_REQUEST, new_export
from xpander_server.api.otlp import decode_protobuf
from xpander_server.store import SpanBatch, Store

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from support.postgres import Postgres  # noqa: E402
from support.server import KEY, running_server  # noqa: E402

DURABLE = ("fsync=on", "synchronous_commit=on", "full_page_writes=on", "shared_buffers=256MB", "max_wal_size=4GB")
CONNECTIONS = 32
WARM_UP = 2
"""Seconds of load before the measurement."""


def cpu_of(call: Callable[[], Any]) -> tuple[float, Any]:
    """Return the seconds of CPU time of a call, and its result."""
    start = time.process_time()
    result = call()
    return time.process_time() - start, result


def measure_decoding(span_bytes: int, rounds: int) -> float:
    """Return the median CPU time of decoding 512 spans, in seconds."""
    body = new_export(103, span_bytes)
    return statistics.median(cpu_of(lambda: decode_protobuf(body))[0] for _ in range(rounds))


def measure_commits(store: Store, requests: int, rounds: int) -> tuple[float, float]:
    """Return the median CPU times of decoding and of committing one trace, in microseconds."""
    decoding, commits = [], []
    traces = requests * TRACES_OF_REQUEST
    for _ in range(rounds):
        bodies = [new_export(TRACES_OF_REQUEST, 1_000) for _ in range(requests)]
        seconds, exports = cpu_of(lambda bodies=bodies: [decode_protobuf(body) for body in bodies])
        decoding.append(seconds / traces * 1e6)
        now = time.time_ns() // 1_000
        batches = [SpanBatch("org", export.spans, None, now) for export in exports]
        seconds, _ = cpu_of(lambda batches=batches: store.commit_spans(batches))
        commits.append(seconds / traces * 1e6)
    return statistics.median(decoding), statistics.median(commits)


def measure_server(name: str, store_url: str, seconds: float, database_pid: int | None = None) -> None:
    """Send exports to a server with two workers, and print the rate, the CPU time and the memory.

    Args:
        name: Name of the database.
        store_url: URL of an empty store.
        seconds: Seconds of load.
        database_pid: Process of the database, whose CPU time is added.
    """
    with running_server(store_url, "--workers", "2") as server:
        sent = send(server.url, WARM_UP)["traces"]
        pids = [server.process.pid] + ([] if database_pid is None else [database_pid])
        before = [cpu_seconds(pid) for pid in pids]
        measured = send(server.url, seconds)
        used = [after - start for after, start in zip(map(cpu_seconds, pids), before, strict=True)]
        memory = sum(map(resident_bytes, family(server.process.pid)))
        figures = scrape(server.url)
    assert figures["xpander_spans_total"] == (sent + measured["traces"]) * SPANS_OF_TRACE, "spans were lost"
    assert figures["xpander_spans_refused_total"] == 0
    microseconds = [part / measured["traces"] * 1e6 for part in used]
    database = f" + {microseconds[1]:.0f} of the database" if database_pid is not None else ""
    print(
        f"{name}, 2 workers: {measured['rate']:,.0f} traces/s for {seconds:.0f} s, "
        f"{microseconds[0]:.0f}{database} us CPU per trace, "
        f"p50 {measured['p50']:.0f} ms, p99 {measured['p99']:.0f} ms, {memory / 2**20:.0f} MiB"
    )


def send(url: str, seconds: float) -> dict[str, float]:
    """Send exports, and return what the load generator has measured."""
    command = [sys.executable, "-m", "benchmarks.trace_load", url, KEY, str(CONNECTIONS), str(seconds)]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    measured: dict[str, float] = json.loads(done.stdout)
    assert measured["failed"] == 0, f"{measured['failed']} exports were refused"
    return measured


def family(pid: int) -> list[int]:
    """Return a process and its children."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [pid, *map(int, children.split())]


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process, of its children and of those that have ended."""
    ticks = 0
    for number in family(pid):
        fields = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()
        ticks += sum(map(int, fields[11:13] if number != pid else fields[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


def resident_bytes(pid: int) -> int:
    """Return the resident memory of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def scrape(url: str) -> dict[str, float]:
    """Return the server's metrics without labels."""
    with urlopen(Request(f"{url}/metrics", headers={"x-api-key": KEY})) as response:
        lines = response.read().decode().splitlines()
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if line.startswith("xpander"))}


def main() -> None:
    """Measure, and print the figures."""
    parser = argparse.ArgumentParser(description="Measure the CPU time of traces in the server.")
    parser.add_argument("--rounds", type=int, default=15, help="repetitions, of which the median counts")
    parser.add_argument("--requests", type=int, default=2, help="exports in one commit")
    parser.add_argument("--store", help="URL of an empty store; default: a temporary SQLite file")
    parser.add_argument("--seconds", type=float, default=10, help="seconds of load on each server; 0: no servers")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        store = Store(arguments.store or f"sqlite:///{Path(folder)}/store.db")
        measure_commits(store, arguments.requests, 2)  # imports, prepared statements
        gc.collect()
        gc.freeze()  # as the server does after its start
        decoding, commits = measure_commits(store, arguments.requests, arguments.rounds)
        store.close()
    total = decoding + commits
    print(f"decoding of a trace of {SPANS_OF_TRACE} spans of 1 kB   {decoding:6.0f} us CPU")
    print(f"commit of it                           {commits:6.0f} us CPU")
    print(f"both                                   {total:6.0f} us CPU, {1e6 / total:,.0f} traces per second and core")
    print(f"decoding of 515 spans of 5 kB          {measure_decoding(5_000, arguments.rounds) * 1e3:6.1f} ms CPU")
    if not arguments.seconds:
        return
    with tempfile.TemporaryDirectory() as folder:
        measure_server("SQLite", f"sqlite:///{folder}/served.db", arguments.seconds)
        # Not within `folder`: PostgreSQL runs as another user if this process runs as root.
        postgres = Postgres(Path(f"{folder}-postgresql"), *DURABLE)
        try:
            measure_server("PostgreSQL", postgres.url(), arguments.seconds, postgres.pid)
        finally:
            postgres.close()


if __name__ == "__main__":
    main()
