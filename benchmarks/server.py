"""Benchmark of the server (`make bench-server`): reports under load, and reads with up to a million tasks.

Prints tables, and updates its part of docs/benchmarks.md. Both databases wait for the disk at every commit. The load
generator and the server share all CPUs of the machine.
"""

import argparse
import json
import random
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from statistics import median
from urllib.request import Request, urlopen

from benchmarks import other_servers, report
from benchmarks.load import batch_requests

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from support.postgres import Postgres, new_database  # noqa: E402
from support.server import KEY, running_server  # noqa: E402
from xpander_server.store import Store, Submission, TaskQuery  # noqa: E402

CONNECTIONS = (1, 16, 64)
BATCH = 100
"""Reports in a batch."""
BATCH_CONNECTIONS = 4
FRESH_PARTS = 10
"""Parts of the filling of a new PostgreSQL database, each with its own rate."""
SINGLE_ROUNDS = 3
YEAR = 365 * 24 * 3_600_000_000  # microseconds
DURABLE = ("fsync=on", "synchronous_commit=on", "full_page_writes=on", "shared_buffers=256MB", "max_wal_size=4GB")


@contextmanager
def subject(script: str, folder: Path) -> Iterator[str]:
    """Run a server of benchmarks/subjects, and return its URL."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    path = ROOT / "benchmarks" / "subjects" / script
    command = [sys.executable, str(path), str(port), str(folder / f"{script}.db")]
    with subprocess.Popen(command) as process:
        try:
            deadline = time.monotonic() + 20
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port)).close()
                    break
                except ConnectionRefusedError:
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(0.05)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


@contextmanager
def ours(store_url: str, *arguments: str) -> Iterator[str]:
    """Run our server with further arguments of `serve`, and return its URL."""
    with running_server(store_url, *arguments) as server:
        yield server.url


def load(url: str, connections: int, seconds: float, batch: int = 0) -> dict[str, float]:
    """Send reports, and return the rate and the latencies."""
    command = [sys.executable, "-m", "benchmarks.load", url, KEY, str(connections), str(seconds), str(batch)]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    measured: dict[str, float] = json.loads(done.stdout)
    assert measured["failed"] == 0, f"{measured['failed']} reports were rejected"
    return measured


def measure_load(folder: Path, postgres: Postgres, seconds: float, rounds: int) -> list[list[str]]:
    """Return the rows of the table with rates and latencies."""
    subjects: dict[str, Callable[[], AbstractContextManager[str]]] = {
        "ours on SQLite": partial(ours, f"sqlite:///{folder}/load.db"),
        "ours on PostgreSQL": partial(ours, postgres.url()),
        "ours, without storage": partial(subject, "server_without_store.py", folder),
        "Starlette, msgspec, sqlite3": partial(subject, "server_bare.py", folder),
    }
    rows = [["", *(f"{count} connection{'s' if count > 1 else ''}" for count in CONNECTIONS)]]
    for name, serve in subjects.items():
        with serve() as url:
            load(url, 4, 1)  # warm-up
            cells = []
            for connections in CONNECTIONS:
                results = [load(url, connections, seconds) for _ in range(rounds)]
                rate, p50, p99 = (median(result[key] for result in results) for key in ("rate", "p50", "p99"))
                cells.append(f"{rate:,.0f}/s, p50 {p50:.1f} ms, p99 {p99:.1f} ms")
        rows.append([name, *cells])
        print(" | ".join(rows[-1]), flush=True)
    return rows


def measure_singles(folder: Path, seconds: float) -> list[list[str]]:
    """Return the rows of a table that compares our server on SQLite with the bare one, in turns."""
    subjects: dict[str, Callable[[int], AbstractContextManager[str]]] = {
        "ours": lambda number: ours(f"sqlite:///{folder}/singles-{number}.db"),
        "ours, two workers": lambda number: ours(f"sqlite:///{folder}/workers-{number}.db", "--workers", "2"),
        "bare": lambda number: subject("server_bare.py", folder / str(number)),
    }
    results: dict[str, list[dict[str, float]]] = {}
    for number in range(SINGLE_ROUNDS):
        (folder / str(number)).mkdir()
        for name, serve in subjects.items():
            with serve(number) as url:
                load(url, CONNECTIONS[-1], 1)  # warm-up
                before = cpu_seconds(url) if name != "bare" else 0.0
                result = load(url, CONNECTIONS[-1], seconds)
                used = cpu_seconds(url) - before if name != "bare" else 0.0
                result["cpu"] = used / result["reports"] * 1_000_000
            results.setdefault(name, []).append(result)
    rows = [["", "reports/s", "p50", "p99", "CPU of the server per report"]]
    for name, measured in results.items():
        rate, p50, p99, cpu = (median(result[key] for result in measured) for key in ("rate", "p50", "p99", "cpu"))
        rows.append([name, f"{rate:,.0f}", f"{p50:.1f} ms", f"{p99:.1f} ms", f"{cpu:.0f} µs" if cpu else ""])
    return rows


def measure_batches(folder: Path, postgres: Postgres, seconds: float, rounds: int) -> list[list[str]]:
    """Return the rows of the table with batches: our server on new databases, in turns."""
    rows = [["", "reports/s", "CPU of the server per report", "p50", "p99"]]
    results: dict[str, list[dict[str, float]]] = {}
    for number in range(rounds):
        for kind, database in (
            ("SQLite", nullcontext(f"sqlite:///{folder}/batches-{number}.db")),
            ("PostgreSQL", new_database(postgres.url())),
        ):
            with database as url, ours(url) as server:
                load(server, 4, 0.5, BATCH)  # warm-up
                before = cpu_seconds(server)
                result = load(server, BATCH_CONNECTIONS, seconds, BATCH)
                result["cpu"] = (cpu_seconds(server) - before) / result["reports"] * 1_000_000
            results.setdefault(kind, []).append(result)
    for kind, measured in results.items():
        rate, cpu, p50, p99 = (median(result[key] for result in measured) for key in ("rate", "cpu", "p50", "p99"))
        rows.append([kind, f"{rate:,.0f}", f"{cpu:.0f} µs", f"{p50:.1f} ms", f"{p99:.1f} ms"])
        print(" | ".join(rows[-1]), flush=True)
    return rows


def cpu_seconds(url: str) -> float:
    """Return the CPU time that a server of ours has used, in all of its workers."""
    with urlopen(Request(f"{url}/metrics", headers={"x-api-key": KEY})) as response:
        text = response.read().decode()
    return sum(
        float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith("process_cpu_seconds_total")
    )


def measure_fresh_postgresql(url: str, count: int) -> list[list[str]]:
    """Return the rows of the table with the rate of batches while a new PostgreSQL database fills."""
    rates = []
    with ours(url) as server:
        for _ in range(FRESH_PARTS):
            request_count = count // FRESH_PARTS // BATCH
            seconds = 0.0
            for body in batch_requests(KEY, request_count, BATCH):
                _, _, content = body.partition(b"\r\n\r\n")
                request = Request(f"{server}/agent-execution/reports", content, method="POST")
                request.add_header("content-type", "application/json")
                request.add_header("x-api-key", KEY)
                started = time.perf_counter()
                with urlopen(request) as response:
                    outcomes = response.read()
                seconds += time.perf_counter() - started
                assert outcomes.count(b'"status":200') == BATCH
            rates.append(request_count * BATCH / seconds)
    size = count // FRESH_PARTS
    titles = [f"{number * size:,} to {(number + 1) * size:,}" for number in range(FRESH_PARTS)]
    return [["reports", *titles], ["reports/s, one connection", *(f"{rate:,.0f}" for rate in rates)]]


def fill(store: Store, first: int, last: int, now: int) -> None:
    """Store tasks of one agent, evenly distributed over the year before `now`."""
    randomness = random.Random(first)
    for start in range(first, last, 1_000):
        store.commit([_submission(number, randomness, now) for number in range(start, min(start + 1_000, last))])


def _submission(number: int, randomness: random.Random, now: int) -> Submission:
    report = {
        "input": f"Summarize the earnings of company {number}, with the drivers of growth and the risks",
        "llm_response": '{"id":"chatcmpl-1","model":"gpt-4o-2024-08-06","choices":[]}',
        "tokens": {"prompt_tokens": randomness.randrange(5_000), "completion_tokens": randomness.randrange(900)},
        "is_success": number % 20 != 0,
        "result": "Revenue grew 22% YoY, driven by cloud subscriptions and price increases.",
        "duration": round(randomness.lognormvariate(1, 1), 3),
        "used_tools": ["web_search", "fetch_pdf"] if number % 1_000 else ["rare_tool"],
        "user_id": f"user-{number % 50}",
    }
    created_at = now - YEAR + randomness.randrange(YEAR)
    return Submission("bench", "agent", str(uuid.UUID(int=randomness.getrandbits(128))), report, created_at, created_at)


def measure_reads(store: Store, now: int, rounds: int) -> dict[str, float]:
    """Return the median time of each query in milliseconds."""
    month = now - YEAR // 12 + 1_234_567
    middle = store.history(TaskQuery(organization_id="bench", until=now - YEAR // 2), limit=1).next_cursor
    queries: dict[str, Callable[[], object]] = {
        "metrics of all time": lambda: store.metrics("bench", "agent"),
        "metrics of a month with incomplete hours": lambda: store.metrics("bench", "agent", since=month, until=now - 1),
        "metrics of the organization, by day": lambda: store.metrics("bench", hours=24),
        "history, the newest 50": lambda: page(store, {"agent_id": "agent"}),
        "history, 50 from the middle": lambda: page(store, {"agent_id": "agent"}, cursor=middle),
        "history of a user": lambda: page(store, {"user_id": "user-7"}),
        "history, failed": lambda: page(store, {"agent_id": "agent", "status": "failed"}),
        "history, a tool of one run in 1,000": lambda: page(store, {"agent_id": "agent", "tool": "rare_tool"}),
        "history, a word of no run": lambda: page(store, {"q": "unheard-of"}),
        "history, a common word": lambda: page(store, {"q": "earnings"}),
    }
    medians = {}
    for name, query in queries.items():
        query()
        times = []
        for _ in range(rounds):
            started = time.perf_counter()
            query()
            times.append((time.perf_counter() - started) * 1_000)
        medians[name] = median(times)
    return medians


def page(store: Store, filters: dict[str, str], cursor: str | None = None) -> object:
    """Return a page of the history with 50 tasks."""
    return store.history(TaskQuery(organization_id="bench", filters=filters), limit=50, cursor=cursor)


def measure_sizes(urls: dict[str, str], sizes: Sequence[int]) -> list[list[str]]:
    """Return the rows of the table with the times of reads by database and number of tasks."""
    now = time.time_ns() // 1_000
    cells: dict[tuple[str, str], list[str]] = {}
    for kind, url in urls.items():
        store = Store(url)
        stored = 0
        for size in sizes:
            fill(store, stored, size, now)
            stored = size
            for query, milliseconds in measure_reads(store, now, 7).items():
                cells.setdefault((query, kind), []).append(f"{milliseconds:.1f}")
            print(f"{kind}, {size:,} tasks: done", flush=True)
        store.close()
    rows = [["", *(f"{kind}, {size:,}" for kind in urls for size in sizes)]]
    queries = dict.fromkeys(query for query, _ in cells)
    return rows + [[query, *(cell for kind in urls for cell in cells[query, kind])] for query in queries]


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure our server.")
    parser.add_argument("--quick", action="store_true", help="measure less, and only print the results")
    parser.add_argument("--sizes", type=int, nargs="*", help="numbers of tasks (default: 1000 to 1000000)")
    parser.add_argument("--fresh", type=int, metavar="N", help="only fill a new PostgreSQL database with N reports")
    parser.add_argument("--singles", type=int, metavar="SECONDS", help="only compare single reports with the bare one")
    arguments = parser.parse_args()
    if arguments.fresh or arguments.singles:
        _measure_one(arguments.fresh, arguments.singles)
        return
    seconds, rounds = (2, 1) if arguments.quick else (8, 3)
    sizes = arguments.sizes or ([1_000, 10_000] if arguments.quick else [1_000, 10_000, 100_000, 1_000_000])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        postgres = Postgres(Path(f"{name}-postgresql"), *DURABLE)
        try:
            loaded = measure_load(folder, postgres, seconds, rounds)
            batches = measure_batches(folder, postgres, seconds, rounds)
            with new_database(postgres.url()) as url:
                fresh = measure_fresh_postgresql(url, 10_000 if arguments.quick else 100_000)
            logged = other_servers.table(other_servers.measure(folder, arguments.quick))
            grown = measure_sizes({"SQLite": f"sqlite:///{folder}/sizes.db", "PostgreSQL": postgres.url()}, sizes)
        finally:
            postgres.close()
    print(f"\n{report.as_markdown(loaded)}\n\n{report.as_markdown(batches)}\n\n{report.as_markdown(fresh)}\n")
    print(f"{report.as_markdown(logged)}\n\n{report.as_markdown(grown)}")
    if not arguments.quick:
        machine = report.Machine.this(rounds, seconds, {})
        machine_text = f"{machine.processor}, {machine.cores} cores, {machine.system}, Python {machine.python}"
        report.write(
            "make bench-server",
            TEXT.format(
                loaded=report.as_markdown(loaded),
                batches=report.as_markdown(batches),
                fresh=report.as_markdown(fresh),
                batch=BATCH,
                batch_connections=BATCH_CONNECTIONS,
                logged=report.as_markdown(logged),
                grown=report.as_markdown(grown),
                machine=machine_text,
                seconds=seconds,
                rounds=rounds,
            ),
        )


def _measure_one(fresh_count: int | None, single_seconds: int | None) -> None:
    """Measure one thing, and print it."""
    with tempfile.TemporaryDirectory() as name:
        if fresh_count:
            postgres = Postgres(Path(f"{name}-postgresql"), *DURABLE)
            try:
                with new_database(postgres.url()) as url:
                    print(report.as_markdown(measure_fresh_postgresql(url, fresh_count)))
            finally:
                postgres.close()
        if single_seconds:
            print(report.as_markdown(measure_singles(Path(name), single_seconds)))


TEXT = """\
`make bench-server` wrote this section in one run on one machine.

### Reports under load

{loaded}

Each report is a new run of about 1 kB. Each connection is persistent, and waits for the response before it sends the
next report. "Ours" is `xpander-report serve` with default settings: authentication, validation against the contract,
exact metrics with models and costs, and a commit that is on disk before the response. "Without storage" is the same
application without authentication and without a store. The last row executes one upsert for each request, on disk, in
the event loop, and does nothing else; that is fastest for one connection. Ours commits several reports at once, in a
thread. The load generator runs on the same CPUs. Each figure is the median of {rounds} rounds of {seconds} s.

### Batches

{batches}

Each request has {batch} reports of new runs, of about 1 kB each, and waits for the commit. {batch_connections}
connections send at the same time; the load generator runs on the same CPUs.

A new PostgreSQL database keeps its rate while it fills, without `ANALYZE`:

{fresh}

### Comparison with MLflow and Phoenix

{logged}

Each server runs with its default settings on SQLite. The same run takes three requests to MLflow, one OTLP span to
Phoenix, and one request to ours. The client is Python's `http.client` for all, which uses a large part of the CPU when
the server is fast. A run counts when it is in the database.

### Reads with many tasks

Times in milliseconds, measured at the store, for one agent whose tasks are distributed over a year.

{grown}

A search for a rare word or tool takes at most 30 ms for each page, and returns a cursor to continue with.

{machine}.

### Repeat it

```sh
make bench-server            # about half an hour; updates this section
make bench-server QUICK=1    # a few minutes; only prints
```

Stop other programs first.
"""


if __name__ == "__main__":
    main()
