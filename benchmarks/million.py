"""Benchmark of all views of a store with a million tasks, on SQLite and on PostgreSQL (`make bench-million`).

Measures the whole application without a socket, from the head of a request to the complete response. Two figures of
each view are of a warm database: the median and the maximum of several requests. Another one is of a cold database:
its files are in no memory, neither of PostgreSQL nor of the operating system. Each request gets a new application, so
that no cache of the server helps. CPU is the mean of the warm requests, with the processes of PostgreSQL and with the
creation of the application.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote_plus

from sqlalchemy import select
from starlette.testclient import TestClient

from benchmarks.server import DURABLE, ROOT
from benchmarks.varied_tasks import (
    ABSENT_TEXT,
    DAY,
    DAYS,
    FREQUENT_TEXT,
    ORGANIZATION,
    RARE_MODEL,
    RARE_TEXT,
    RARE_TOOL,
    RELIABLE_AGENT,
    VariedTasks,
)
from xpander_server.api.app import create_app
from xpander_server.auth.api_keys import ApiKeys
from xpander_server.auth.authentication import KeyAuthenticator
from xpander_server.auth.verifier import Verifier
from xpander_server.clock import format_timestamp
from xpander_server.http.concurrency import run_in_threadpool
from xpander_server.store import Store, TaskQuery
from xpander_server.store.engine.limits import MAINTENANCE
from xpander_server.store.metrics.rollups import compact
from xpander_server.store.schema.tables import tasks
from xpander_server.store.writer import MAX_BATCH
from xpander_server.web import page_routes

sys.path.insert(0, str(ROOT / "tests"))

from support.postgres import Postgres

BATCH = 2_000
LATEST = 64
"""Number of commits at the end that have the size of a busy server's commits. A server has about as many uncompacted
metric deltas on average."""
GOAL_MS = 150
_TICKS = os.sysconf("SC_CLK_TCK")


class Database(NamedTuple):
    """Store that is measured, a function that removes it from all memory, and one that returns its CPU time."""

    store: Store
    evict_memory: Callable[[], None]
    cpu_seconds: Callable[[], float]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--tasks", type=int, default=1_000_000)
    arguments.add_argument("--folder", type=Path, help="folder of the stores, which are kept; default: temporary")
    arguments.add_argument("--stores", nargs="+", choices=("sqlite", "postgresql"), default=["sqlite", "postgresql"])
    arguments.add_argument("--views", default="", help="measure only the views whose names contain this text")
    arguments.add_argument("--requests", type=int, default=20, help="requests of each view with a warm database")
    arguments.add_argument("--cold", type=int, default=3, help="requests of each view with a cold database")
    options = arguments.parse_args()
    is_fast_enough = True
    with tempfile.TemporaryDirectory() as temporary:
        os.chmod(temporary, 0o711)
        folder = options.folder or Path(temporary)
        for kind in options.stores:
            opened = open_sqlite if kind == "sqlite" else open_postgresql
            with opened(folder, options.tasks) as database:
                is_fast_enough &= measure(kind, database, options)
    raise SystemExit(not is_fast_enough)


@contextmanager
def open_sqlite(folder: Path, count: int) -> Iterator[Database]:
    """Open the store of a SQLite file, and fill it if it is empty."""
    path = folder / "million.db"
    store = Store(f"sqlite:///{path}")
    fill(store, count)

    def evict_memory() -> None:
        store.pause()
        _evict(path)
        store.resume()

    yield Database(store, evict_memory, time.process_time)
    store.close()


@contextmanager
def open_postgresql(folder: Path, count: int) -> Iterator[Database]:
    """Open the store of a PostgreSQL server, and fill it if it is empty."""
    data = folder / "postgresql"
    is_new = not data.exists()
    server = Postgres(data, *DURABLE)
    if not is_new:
        with suppress(AssertionError):  # it does not run
            server.stop()
        server.start()
    try:
        store = Store(server.url())
        if fill(store, count):
            server.execute("VACUUM (ANALYZE)")  # as autovacuum does within minutes

        def evict_memory() -> None:
            store.pause()
            server.stop()
            for path in (data / "data" / "base").rglob("*"):
                _evict(path)
            server.start()
            store.resume()

        yield Database(store, evict_memory, lambda: time.process_time() + _cpu_seconds_of_server(data))
        store.close()
    finally:
        server.stop()


def _cpu_seconds_of_server(data: Path) -> float:
    """Return the CPU time of the processes of a PostgreSQL server."""
    main_process = (data / "data" / "postmaster.pid").read_text().split()[0]
    ticks = 0
    for process in Path(f"/proc/{main_process}/task/{main_process}/children").read_text().split():
        values = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        ticks += int(values[11]) + int(values[12])
    return ticks / _TICKS


def _evict(path: Path) -> None:
    """Remove a file from the cache of the operating system."""
    if path.is_file():
        with path.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def fill(store: Store, count: int) -> bool:
    """Store tasks, unless the store has some; return whether it had none."""
    if store.history(TaskQuery(organization_id=ORGANIZATION), limit=1).tasks:
        return False
    varied = VariedTasks(count, time.time_ns() // 1_000)
    started = time.monotonic()
    latest = max(0, count - LATEST * MAX_BATCH)
    batches = [(first, min(latest, first + BATCH)) for first in range(0, latest, BATCH)]
    batches += [(first, min(count, first + MAX_BATCH)) for first in range(latest, count, MAX_BATCH)]
    for first, end in batches:
        if first == latest:
            store._database.write(lambda connection: compact(connection, ORGANIZATION))
        store.commit(list(varied.submissions(first, end)), limits=MAINTENANCE)
        if first % 100_000 == 0:
            print(f"{first:,} tasks after {time.monotonic() - started:.0f} s", flush=True)
    return True


def views(store: Store) -> Mapping[str, str]:
    """Return the paths of the views by their names."""
    page = store.history(TaskQuery(organization_id=ORGANIZATION), limit=100)
    newest = page.tasks[0]
    with_parent = next(task for task in page.tasks if task.parent_task_id is not None)
    parent_of_many = store._database.read(
        lambda connection: connection.execute(
            select(tasks.c.parent_task_id)
            .where(tasks.c.organization_id == ORGANIZATION, tasks.c.parent_task_id.is_not(None))
            .limit(1)
            .limit(1)
        ).scalar_one()
    )
    old = store.history(
        TaskQuery(organization_id=ORGANIZATION, until=newest.created_at - DAYS // 2 * DAY), limit=1
    ).tasks[0]
    half = format_timestamp(old.created_at)[:16]
    runs = {
        "newest": "",
        "newest, as a live page asks": "part=runs",
        "from the middle of the time": f"until={half}",
        "oldest first": "order=asc",
        "last 7 days": "last=7d",
        "agent": "agent_id=agent-20",
        "user": "user_id=user-17",
        "conversation": "conversation_id=conversation-100",
        "parent": f"parent_task_id={parent_of_many}",
        "metadata, frequent pair": "metadata=environment%3Dproduction",
        "metadata, two pairs": "metadata=release%3D1.20&metadata=environment%3Dstaging",
        "status failed": "status=failed",
        "status executing": "status=executing",
        "stale": "is_stale=true",
        "failed of an agent": "status=failed&agent_id=agent-20",
        "failed of an agent that rarely fails": f"status=failed&agent_id={RELIABLE_AGENT}",
        "tool": "tool=tool_7",
        "rare tool": f"tool={RARE_TOOL}",
        "rare tool of an agent": f"tool={RARE_TOOL}&agent_id=agent-20",
        "model": "model=gpt-4o",
        "rare model": f"model={RARE_MODEL}",
        "triggering agent that no run has": "triggering_agent_id=agent-1",
        "sorted by duration": "sort=duration",
        "sorted by tokens": "sort=tokens",
        "sorted by cost": "sort=cost",
        "sorted by cost, smallest first": "sort=cost&order=asc",
        "sorted by cost, last 7 days": "sort=cost&last=7d",
        "sorted by tokens, of an agent": "sort=tokens&agent_id=agent-20",
        "sorted by duration, failed": "sort=duration&status=failed",
        "range of duration": "min_duration=5&max_duration=6",
        "range of tokens": "min_tokens=5000",
        "range of cost": "min_cost=0.05",
        "range that no run has": "min_cost=1000",
        "text, frequent": f"q={quote_plus(FREQUENT_TEXT)}",
        "text, rare": f"q={quote_plus(RARE_TEXT)}",
        "text, absent": f"q={quote_plus(ABSENT_TEXT)}",
        "text, absent, of an agent": f"q={quote_plus(ABSENT_TEXT)}&agent_id=agent-20",
        "id of a run": f"q={old.id}",
        "start of the id of an old run": f"q={old.id[:18]}",
    }
    return {
        **{f"runs: {name}": f"/ui/history?{query}" for name, query in runs.items()},
        "run": f"/ui/task?id={old.id}",
        "run with a parent": f"/ui/task?id={with_parent.id}",
        "run with 200 children": f"/ui/task?id={parent_of_many}",
        "run of a sorted list": f"/ui/task?id={newest.id}&view=sort%3Dcost",
        "run of a list of failed runs": f"/ui/task?id={old.id}&view=status%3Dfailed",
        "metrics, 24 hours": "/ui/metrics?last=24h",
        "metrics, 7 days": "/ui/metrics",
        "metrics, 30 days": "/ui/metrics?last=30d",
        "metrics, all time": "/ui/metrics?last=all",
        "metrics, range with minutes": f"/ui/metrics?since={half}",
        "metrics of an agent, 90 days": "/ui/metrics?last=90d&agent_id=agent-3",
        "errors, 7 days": "/ui/errors",
        "errors, all time": "/ui/errors?last=all",
        "errors of an agent, 90 days": "/ui/errors?last=90d&agent_id=agent-3",
        "errors of an agent that rarely fails": f"/ui/errors?last=all&agent_id={RELIABLE_AGENT}",
        "agents, 30 days": "/ui/agents",
        "agents, search": "/ui/agents?q=agent-2&last=90d",
        "agent, 7 days": "/ui/agent?id=agent-3",
        "agent, 90 days": "/ui/agent?id=agent-3&last=90d",
        "agent that rarely fails, all time": f"/ui/agent?id={RELIABLE_AGENT}&last=all",
        "agent compared with another": "/ui/agent?id=agent-3&compare_with=agent-5&last=90d",
        "agent compared with the period before": "/ui/agent?id=agent-3&compare=period&last=30d",
        "CSV of runs": "/ui/runs?form=csv",
        "CSV of failed runs": "/ui/runs?form=csv&status=failed",
        "CSV of runs sorted by cost": "/ui/runs?form=csv&sort=cost",
        "CSV of agents": "/ui/numbers?figure=agents&form=csv&last=all",
    }


def measure(kind: str, database: Database, options: argparse.Namespace) -> bool:
    """Print the times of all views, and return whether each median is below `GOAL_MS`."""
    store = database.store
    authenticator = KeyAuthenticator(Verifier(store.keys))
    key = ApiKeys(store.keys).create(f"benchmark-{time.time_ns()}", ORGANIZATION, scopes=("read",))

    def new_client() -> TestClient:
        routes = page_routes(store, authenticator)
        return TestClient(
            create_app(store, authenticator, run_in_threadpool, extra_routes=routes), base_url="http://server"
        )

    client = new_client()
    client.post("/ui/sign-in", data={"key": key}).raise_for_status()
    cookies = client.cookies

    def request(path: str) -> tuple[float, int]:
        client = new_client()
        client.cookies = cookies
        started = time.perf_counter()
        response = client.get(path)
        seconds = time.perf_counter() - started
        response.raise_for_status()
        return seconds * 1_000, len(response.content)

    total = int(sum(row["total"] for row in client.get("/ui/numbers?figure=agents&form=json&last=all").json()))
    print(f"\n{total:,} tasks on {kind}; load of the machine {os.getloadavg()[0]:.1f}\n")
    print("| View | Median | Maximum | CPU | Cold | Size |\n|---|---|---|---|---|---|")
    slowest: list[tuple[float, str]] = []
    for name, path in views(store).items():
        if options.views not in name:
            continue
        request(path)
        cold = []
        for _ in range(options.cold):
            database.evict_memory()
            store.health.failed_part()  # opens a connection
            cold.append(request(path)[0])
        request(path)
        used = database.cpu_seconds()
        times, sizes = zip(*(request(path) for _ in range(options.requests)), strict=True)
        cpu = (database.cpu_seconds() - used) * 1_000 / options.requests
        slowest.append((statistics.median(times), name))
        cold_time = f"{statistics.median(cold):.0f} ms" if cold else ""
        print(
            f"| {name} | {slowest[-1][0]:.0f} ms | {max(times):.0f} ms | {cpu:.0f} ms | {cold_time} |"
            f" {sizes[0] / 1_000:,.0f} kB |",
            flush=True,
        )
    misses = [name for median, name in slowest if median >= GOAL_MS]
    print(f"\nslowest median {max(slowest)[0]:.0f} ms; {len(misses)} views above {GOAL_MS} ms: {'; '.join(misses)}")
    return not misses


if __name__ == "__main__":
    main()
