"""Measures our server under load, and history and metrics as the tasks become many: `make bench-server`.

Prints the tables, and writes its part of docs/benchmarks.md. Both stores wait for the disk at every commit. Load and
server share all CPUs of the machine.
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
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from statistics import median

from benchmarks import loggers, report

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from support.postgres import Postgres  # noqa: E402
from support.server import KEY, running_server  # noqa: E402
from xpander_server.store import Store, Submission, TaskQuery  # noqa: E402

CONNECTIONS = (1, 16, 64)
YEAR = 365 * 24 * 3_600_000_000  # microseconds
DURABLE = ("fsync=on", "synchronous_commit=on", "full_page_writes=on", "shared_buffers=256MB", "max_wal_size=4GB")


@contextmanager
def subject(script: str, folder: Path) -> Iterator[str]:
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
def ours(store_url: str) -> Iterator[str]:
    with running_server(store_url) as server:
        yield server.url


def load(url: str, connections: int, seconds: float) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.load", url, KEY, str(connections), str(seconds)]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    measured: dict[str, float] = json.loads(done.stdout)
    assert measured["failed"] == 0, f"{measured['failed']} reports were refused"
    return measured


def under_load(folder: Path, postgres: Postgres, seconds: float, rounds: int) -> list[list[str]]:
    subjects: dict[str, Callable[[], AbstractContextManager[str]]] = {
        "ours on SQLite": partial(ours, f"sqlite:///{folder}/load.db"),
        "ours on PostgreSQL": partial(ours, postgres.url()),
        "ours, nothing kept": partial(subject, "server_without_store.py", folder),
        "Starlette, msgspec, sqlite3": partial(subject, "server_bare.py", folder),
    }
    rows = [["", *(f"{count} connection{'s' if count > 1 else ''}" for count in CONNECTIONS)]]
    for name, serve in subjects.items():
        with serve() as url:
            load(url, 4, 1)  # warms it up
            cells = []
            for connections in CONNECTIONS:
                taken = [load(url, connections, seconds) for _ in range(rounds)]
                rate, p50, p99 = (median(one[key] for one in taken) for key in ("rate", "p50", "p99"))
                cells.append(f"{rate:,.0f}/s, p50 {p50:.1f} ms, p99 {p99:.1f} ms")
        rows.append([name, *cells])
        print(" | ".join(rows[-1]), flush=True)
    return rows


def fill(store: Store, first: int, last: int, now: int) -> None:
    """Tasks of one agent, evenly over the year before `now`."""
    spread = random.Random(first)
    for begin in range(first, last, 1_000):
        store.commit([_submission(number, spread, now) for number in range(begin, min(begin + 1_000, last))])


def _submission(number: int, spread: random.Random, now: int) -> Submission:
    report = {
        "input": f"Summarize the earnings of company {number}, with the drivers of growth and the risks",
        "llm_response": '{"id":"chatcmpl-1","model":"gpt-4o-2024-08-06","choices":[]}',
        "tokens": {"prompt_tokens": spread.randrange(5_000), "completion_tokens": spread.randrange(900)},
        "is_success": number % 20 != 0,
        "result": "Revenue grew 22% YoY, driven by cloud subscriptions and price increases.",
        "duration": round(spread.lognormvariate(1, 1), 3),
        "used_tools": ["web_search", "fetch_pdf"] if number % 1_000 else ["rare_tool"],
        "user_id": f"user-{number % 50}",
    }
    at = now - YEAR + spread.randrange(YEAR)
    return Submission("bench", "agent", str(uuid.UUID(int=spread.getrandbits(128))), report, at, at)


def reading(store: Store, now: int, rounds: int) -> dict[str, float]:
    """Milliseconds, the median of some readings."""
    month = now - YEAR // 12 + 1_234_567
    middle = store.history(TaskQuery(organization_id="bench", until=now - YEAR // 2), limit=1).next_cursor
    questions: dict[str, Callable[[], object]] = {
        "metrics of all time": lambda: store.metrics("bench", "agent"),
        "metrics of a month, from and to any second": lambda: store.metrics(
            "bench", "agent", since=month, until=now - 1
        ),
        "metrics of the organisation, by day": lambda: store.metrics("bench", hours=24),
        "history, the newest 50": lambda: page(store, {"agent_id": "agent"}),
        "history, 50 from the middle": lambda: page(store, {"agent_id": "agent"}, cursor=middle),
        "history of a user": lambda: page(store, {"user_id": "user-7"}),
        "history, failed": lambda: page(store, {"agent_id": "agent", "status": "failed"}),
        "history, a tool of one run in 1,000": lambda: page(store, {"agent_id": "agent", "tool": "rare_tool"}),
        "history, a word of no run": lambda: page(store, {"q": "unheard-of"}),
        "history, a common word": lambda: page(store, {"q": "earnings"}),
    }
    taken = {}
    for name, ask in questions.items():
        ask()
        times = []
        for _ in range(rounds):
            begun = time.perf_counter()
            ask()
            times.append((time.perf_counter() - begun) * 1_000)
        taken[name] = median(times)
    return taken


def page(store: Store, filters: dict[str, str], cursor: str | None = None) -> object:
    return store.history(TaskQuery(organization_id="bench", filters=filters), limit=50, cursor=cursor)


def as_tasks_grow(urls: dict[str, str], sizes: Sequence[int]) -> list[list[str]]:
    now = time.time_ns() // 1_000
    found: dict[tuple[str, str], list[str]] = {}
    for kind, url in urls.items():
        store = Store(url)
        done = 0
        for size in sizes:
            fill(store, done, size, now)
            done = size
            for question, milliseconds in reading(store, now, 7).items():
                found.setdefault((question, kind), []).append(f"{milliseconds:.1f}")
            print(f"{kind}, {size:,} tasks: done", flush=True)
        store.close()
    rows = [["", *(f"{kind}, {size:,}" for kind in urls for size in sizes)]]
    questions = dict.fromkeys(question for question, _ in found)
    return rows + [[question, *(cell for kind in urls for cell in found[question, kind])] for question in questions]


def table(rows: list[list[str]]) -> str:
    head, *others = rows
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, ["---", *["---:"] * (len(head) - 1)], *others))


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure our server.")
    parser.add_argument("--quick", action="store_true", help="less of everything; prints only")
    parser.add_argument("--sizes", type=int, nargs="*", help="how many tasks (default: 10³ to 10⁶)")
    arguments = parser.parse_args()
    seconds, rounds = (2, 1) if arguments.quick else (8, 3)
    sizes = arguments.sizes or ([1_000, 10_000] if arguments.quick else [1_000, 10_000, 100_000, 1_000_000])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        postgres = Postgres(Path(f"{name}-postgresql"), *DURABLE)
        try:
            loaded = under_load(folder, postgres, seconds, rounds)
            logged = loggers.table(loggers.measured(folder, arguments.quick))
            grown = as_tasks_grow({"SQLite": f"sqlite:///{folder}/sizes.db", "PostgreSQL": postgres.url()}, sizes)
        finally:
            postgres.close()
    print(f"\n{table(loaded)}\n\n{table(logged)}\n\n{table(grown)}")
    if not arguments.quick:
        machine = report.Machine.this(rounds, seconds, {})
        told = f"{machine.processor}, {machine.cores} cores, {machine.system}, Python {machine.python}"
        report.write(
            "make bench-server",
            TEXT.format(
                loaded=table(loaded),
                logged=table(logged),
                grown=table(grown),
                machine=told,
                seconds=seconds,
                rounds=rounds,
            ),
        )


TEXT = """\
Our server in one run on one machine. `make bench-server` wrote this.

## Reports under load

{loaded}

Each report is a new run of about 1 kB, on a kept connection that waits for the answer before it sends the next. "Ours"
is `xpander-report serve` with its defaults: keys, validation by the contract, exact metrics with models and costs, and
a commit that is on disk before the answer. "Nothing kept" is the same application without keys and without a store.
The last line is one upsert a request, on disk, and nothing else, which the event loop itself waits for: one connection
is best served so. Ours commits in a thread, several reports at once. The load is made by a process on the same CPUs.
Each figure is the median of {rounds} rounds of {seconds} s.

## Beside MLflow and Phoenix

{logged}

Their own servers with their defaults, and ours, each on SQLite; the same run, of which MLflow takes three requests,
and Phoenix one span by OTLP. The client is Python's `http.client`, the same for all, which takes a good part of the CPU
where the server is quick. A run counts when it is in the database.

## Reading as tasks become many

Milliseconds, in the store itself, for one agent whose tasks are spread over a year.

{grown}

A rare word or tool among many tasks is looked for during 30 ms a page; the page then says where the next one goes on.

{machine}.

## Again

```sh
make bench-server            # about half an hour, and writes this part
make bench-server QUICK=1    # a few minutes, prints only
```

Close what else is running.
"""


if __name__ == "__main__":
    main()
