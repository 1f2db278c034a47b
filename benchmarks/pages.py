"""How long the server takes to render its pages over a million tasks: `python -m benchmarks.pages [--tasks N] [STORE]`.

Through the whole application, without a socket: from the head of a request to the whole page. STORE is a SQLite file
that is made where it is not there; the default is a temporary one.
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
"""Commits of the size that a busy server makes, at the end: so much is not in the rollups yet, on the average."""
REPEATS = 30
GOAL_MS = 150
MODELS = ("gpt-4o", "claude-sonnet-4-5-20250929", "gemini-2.5-flash", "gpt-5-mini-2025-08-07")
TOOLS = tuple(f"tool_{number}" for number in range(60))


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("store", nargs="?", type=Path)
    arguments.add_argument("--tasks", type=int, default=1_000_000)
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        store = Store(f"sqlite:///{given.store or Path(folder, 'store.db')}")
        fill(store, given.tasks)
        ok = measure(store)
        store.close()
    raise SystemExit(not ok)


def fill(store: Store, count: int) -> None:
    if store.history(TaskQuery(organization_id=ORGANIZATION), limit=1).tasks:
        return
    chance, now = random.Random(7), time.time_ns() // 1_000
    started = time.monotonic()
    latest = max(0, count - LATEST * MAX_BATCH)
    batches = [(first, min(latest, first + BATCH)) for first in range(0, latest, BATCH)]
    batches += [(first, min(count, first + MAX_BATCH)) for first in range(latest, count, MAX_BATCH)]
    for first, end in batches:
        if first == latest:
            store._database.write(lambda connection: compact(connection, ORGANIZATION))
        store.commit([submission(number, count, now, chance) for number in range(first, end)])
        if first % 100_000 == 0:
            print(f"{first:,} tasks after {time.monotonic() - started:.0f} s", flush=True)


def submission(number: int, count: int, now: int, chance: random.Random) -> Submission:
    report = {
        "input": f"Question {number}: what is said of it in the document that was attached to the ticket?",
        "result": f"Answer {number}. " * 5,
        "llm_response": f'{{"model": "{MODELS[number % len(MODELS)]}", "choices": [{{"text": "Answer {number}"}}]}}',
        "tokens": {"prompt_tokens": chance.randrange(5_000), "completion_tokens": chance.randrange(900)},
        "is_success": chance.random() > 0.04,
        "duration": chance.lognormvariate(1, 1),
        "used_tools": chance.sample(TOOLS, chance.randrange(4)),
    }
    seen = now - DAYS * DAY + DAYS * DAY * number // count
    return Submission(ORGANIZATION, f"agent-{int(chance.triangular(0, 30, 0))}", f"task-{number}", report, None, seen)


def measure(store: Store) -> bool:
    authenticator = KeyAuthenticator(Verifier(store.keys))
    app = create_app(store, authenticator, run_in_threadpool, extra_routes=page_routes(store, authenticator))
    client = TestClient(app, base_url="http://server")
    key = ApiKeys(store.keys).create(f"benchmark-{time.time_ns()}", ORGANIZATION, scopes=("read",))
    client.post("/ui/sign-in", data={"key": key}).raise_for_status()
    total = int(sum(row["total"] for row in client.get("/ui/numbers?figure=agents&form=json&last=all").json()))
    print(f"\n{total:,} tasks\n\n| page | median | processor, at best of {REPEATS} | size |\n|---|---|---|---|")
    half_way = (time.time_ns() // 1_000 - DAYS * DAY // 2) // 1_000_000
    until = time.strftime("%Y-%m-%dT%H:%M", time.gmtime(half_way))
    slowest = 0.0
    for name, path in {
        "history, newest": "/ui/history",
        "history, poll": "/ui/history?part=runs",
        "history, from the middle": f"/ui/history?until={until}",
        "history of an agent": "/ui/history?agent_id=agent-20",
        "history, failed": "/ui/history?status=failed",
        "history, text that no run has": "/ui/history?q=nothing+like+this",
        "history, rare tool of an agent": "/ui/history?agent_id=agent-25&tool=tool_7",
        "a task": "/ui/task?id=task-5",
        "metrics, 24 hours": "/ui/metrics?last=24h",
        "metrics, 7 days": "/ui/metrics",
        "metrics, 30 days": "/ui/metrics?last=30d",
        "metrics, 90 days": "/ui/metrics?last=90d",
        "metrics, all time": "/ui/metrics?last=all",
        "metrics of an agent, 90 days": "/ui/metrics?last=90d&agent_id=agent-3",
    }.items():
        times, processor = [], []
        for _ in range(REPEATS):
            started, used = time.perf_counter(), time.process_time()
            answer = client.get(path)
            times.append((time.perf_counter() - started) * 1_000)
            processor.append((time.process_time() - used) * 1_000)
            answer.raise_for_status()
        median = statistics.median(times)
        slowest = max(slowest, median)
        print(
            f"| {name} | {median:.1f} ms | {min(processor):.1f} ms | {len(answer.content) / 1_000:,.0f} kB |",
            flush=True,
        )
    print(f"\nslowest median {slowest:.1f} ms, goal {GOAL_MS} ms")
    return slowest < GOAL_MS


if __name__ == "__main__":
    main()
