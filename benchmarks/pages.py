"""Benchmark of the web pages with a million tasks: `python -m benchmarks.pages [--tasks N] [STORE]`.

Measures the whole application without a socket, from the head of a request to the complete page. STORE is a SQLite
file, which is created if it does not exist; the default is a temporary file.
"""

import argparse
import random
import statistics
import tempfile
import time
from pathlib import Path

from starlette.testclient import TestClient

from xpander_server.api.app import create_app
from xpander_server.auth.api_keys import ApiKeys
from xpander_server.auth.authentication import KeyAuthenticator
from xpander_server.auth.verifier import Verifier
from xpander_server.http.concurrency import run_in_threadpool
from xpander_server.store import Store, Submission, TaskQuery
from xpander_server.store.metrics.rollups import compact
from xpander_server.store.writer import MAX_BATCH
from xpander_server.web import page_routes

ORGANIZATION = "org"
DAY = 86_400_000_000  # microseconds
DAYS = 120
BATCH = 2_000
LATEST = 64
"""Number of commits at the end that have the size of a busy server's commits. A server has about as many uncompacted
metric deltas on average."""
REPEATS = 30
GOAL_MS = 150
MODELS = ("gpt-4o", "claude-sonnet-4-5-20250929", "gemini-2.5-flash", "gpt-5-mini-2025-08-07")
TOOLS = tuple(f"tool_{number}" for number in range(60))


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("store", nargs="?", type=Path)
    arguments.add_argument("--tasks", type=int, default=1_000_000)
    options = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        store = Store(f"sqlite:///{options.store or Path(folder, 'store.db')}")
        fill(store, options.tasks)
        is_fast_enough = measure(store)
        store.close()
    raise SystemExit(not is_fast_enough)


def fill(store: Store, count: int) -> None:
    """Store tasks, unless the store has some."""
    if store.history(TaskQuery(organization_id=ORGANIZATION), limit=1).tasks:
        return
    randomness, now = random.Random(7), time.time_ns() // 1_000
    started = time.monotonic()
    latest = max(0, count - LATEST * MAX_BATCH)
    batches = [(first, min(latest, first + BATCH)) for first in range(0, latest, BATCH)]
    batches += [(first, min(count, first + MAX_BATCH)) for first in range(latest, count, MAX_BATCH)]
    for first, end in batches:
        if first == latest:
            store._database.write(lambda connection: compact(connection, ORGANIZATION))
        store.commit([submission(number, count, now, randomness) for number in range(first, end)])
        if first % 100_000 == 0:
            print(f"{first:,} tasks after {time.monotonic() - started:.0f} s", flush=True)


def submission(number: int, count: int, now: int, randomness: random.Random) -> Submission:
    """Return the report of one of `count` runs that are distributed over `DAYS` days."""
    report = {
        "input": f"Question {number}: what does the document that is attached to the ticket say?",
        "result": f"Answer {number}. " * 5,
        "llm_response": f'{{"model": "{MODELS[number % len(MODELS)]}", "choices": [{{"text": "Answer {number}"}}]}}',
        "tokens": {"prompt_tokens": randomness.randrange(5_000), "completion_tokens": randomness.randrange(900)},
        "is_success": (is_success := randomness.random() > 0.04),
        **({} if is_success else {"error": f"HTTP {429 + number % 7}: call {number} of 'tool_{number % 60}' failed"}),
        "duration": randomness.lognormvariate(1, 1),
        "used_tools": randomness.sample(TOOLS, randomness.randrange(4)),
    }
    created_at = now - DAYS * DAY + DAYS * DAY * number // count
    return Submission(
        ORGANIZATION, f"agent-{int(randomness.triangular(0, 30, 0))}", f"task-{number}", report, None, created_at
    )


def measure(store: Store) -> bool:
    """Print the times of all pages, and return whether each is below `GOAL_MS`."""
    authenticator = KeyAuthenticator(Verifier(store.keys))
    app = create_app(store, authenticator, run_in_threadpool, extra_routes=page_routes(store, authenticator))
    client = TestClient(app, base_url="http://server")
    key = ApiKeys(store.keys).create(f"benchmark-{time.time_ns()}", ORGANIZATION, scopes=("read",))
    client.post("/ui/sign-in", data={"key": key}).raise_for_status()
    total = int(sum(row["total"] for row in client.get("/ui/numbers?figure=agents&form=json&last=all").json()))
    print(f"\n{total:,} tasks\n\n| page | median | processor, at best of {REPEATS} | size |\n|---|---|---|---|")
    half_time = (time.time_ns() // 1_000 - DAYS * DAY // 2) // 1_000_000
    until = time.strftime("%Y-%m-%dT%H:%M", time.gmtime(half_time))
    slowest = 0.0
    for name, path in {
        "history, newest": "/ui/history",
        "history, poll": "/ui/history?part=runs",
        "history, from the middle": f"/ui/history?until={until}",
        "history of an agent": "/ui/history?agent_id=agent-20",
        "history, failed": "/ui/history?status=failed",
        "history, sorted by cost": "/ui/history?sort=cost",
        "history, slowest failed runs": "/ui/history?status=failed&sort=duration",
        "history, cost of at least $0.01": "/ui/history?min_cost=0.01",
        "history of an agent, sorted by tokens": "/ui/history?agent_id=agent-20&sort=tokens",
        "history, text that no run has": "/ui/history?q=nothing+like+this",
        "history, rare tool of an agent": "/ui/history?agent_id=agent-25&tool=tool_7",
        "a task": "/ui/task?id=task-5",
        "a task of a sorted list": f"/ui/task?id=task-{total - 1}&view=sort%3Dcost",
        "metrics, 24 hours": "/ui/metrics?last=24h",
        "metrics, 7 days": "/ui/metrics",
        "metrics, 30 days": "/ui/metrics?last=30d",
        "metrics, 90 days": "/ui/metrics?last=90d",
        "metrics, all time": "/ui/metrics?last=all",
        "metrics of an agent, 90 days": "/ui/metrics?last=90d&agent_id=agent-3",
        "errors, 7 days": "/ui/errors",
        "errors, all time": "/ui/errors?last=all",
        "errors of an agent": "/ui/errors?last=90d&agent_id=agent-3",
        "agents, 30 days": "/ui/agents",
        "agents, search": "/ui/agents?q=agent-2&last=90d",
        "an agent, 7 days": "/ui/agent?id=agent-3",
        "an agent, 90 days": "/ui/agent?id=agent-3&last=90d",
        "an agent compared with another": "/ui/agent?id=agent-3&compare_with=agent-5",
        "an agent compared with the period before": "/ui/agent?id=agent-3&compare=period&last=30d",
    }.items():
        times, processor = [], []
        for _ in range(REPEATS):
            started, used = time.perf_counter(), time.process_time()
            response = client.get(path)
            times.append((time.perf_counter() - started) * 1_000)
            processor.append((time.process_time() - used) * 1_000)
            response.raise_for_status()
        median = statistics.median(times)
        slowest = max(slowest, median)
        print(
            f"| {name} | {median:.1f} ms | {min(processor):.1f} ms | {len(response.content) / 1_000:,.0f} kB |",
            flush=True,
        )
    print(f"\nslowest median {slowest:.1f} ms, goal {GOAL_MS} ms")
    return slowest < GOAL_MS


if __name__ == "__main__":
    main()
