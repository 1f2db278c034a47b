"""`serve --workers N`: several processes that answer as one server, with real processes and signals."""

import asyncio
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from attrs import evolve
from prometheus_client.parser import text_string_to_metric_families

from server.conftest import StoreWithKeys
from server.crash_test import Client, check, count_answered, finish
from support.server import KEY, Server, running_server, serve_command
from xpander_server import supervisor
from xpander_server.http.bind import BindSettings
from xpander_server.server_process import ServerSettings
from xpander_server.supervisor import WorkersFailed, run_workers

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

AUTHORIZATION = {"x-api-key": KEY}
CAPACITY = 1_000
"""Requests of the rate limit of an hour."""


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("log") / "log"


@pytest.fixture(scope="module")
def server(new_store_with_keys: Callable[[], StoreWithKeys], log: Path) -> Iterator[Server]:
    """Server with two workers that tests share, without killing any."""
    arguments = ("--workers", "2", "--rate-limit", f"{CAPACITY}/h", "--log-level", "info", "--log-format", "json")
    with running_server(new_store_with_keys().path, *arguments, log=log) as server:
        yield server


def worker_ids(process_id: int) -> list[int]:
    """Return the process ids of the workers of a server."""
    return [int(text) for text in Path(f"/proc/{process_id}/task/{process_id}/children").read_text().split()]


def is_running(process_id: int) -> bool:
    try:
        state = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def wait_until(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition was not met in time"
        time.sleep(0.02)


def report(url: str, task_id: str) -> httpx.Response:
    """Send a report on a connection of its own."""
    body = {"id": task_id, "is_success": True}
    response = httpx.post(
        f"{url}/agent-execution/a/report_task", json=body, headers=AUTHORIZATION, trust_env=False, timeout=60
    )
    assert response.status_code == 200, response.text
    return response


def samples(url: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Return the server's metrics by name and labels."""
    text = httpx.get(f"{url}/metrics", headers=AUTHORIZATION, trust_env=False, timeout=60).text
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(metrics: dict[tuple[str, frozenset[tuple[str, str]]], float], name: str, **labels: str) -> float:
    return metrics.get((name, frozenset(labels.items())), 0.0)


def test_connections_are_divided_among_the_workers(server: Server, log: Path):
    for number in range(40):
        report(server.url, f"divided-{number}")
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    counts = Counter(line["worker"] for line in lines if line.get("operation") == "reportTask")
    assert set(counts) == {0, 1}
    assert min(counts.values()) >= 5  # less happens once in 5 million runs


def test_rate_limit_holds_for_all_workers_together(server: Server):
    started = time.monotonic()
    remaining = [int(report(server.url, "rate").headers["x-ratelimit-remaining"]) for _ in range(30)]
    refilled = (time.monotonic() - started) * CAPACITY / 3_600
    # Each request takes one, whichever worker answers it.
    assert 28 - refilled <= remaining[0] - remaining[-1] <= 29


def test_metrics_of_all_workers_are_added_up_exactly(server: Server):
    before = samples(server.url)
    for number in range(30):
        report(server.url, f"counted-{number}")
    for _ in range(6):  # whichever worker answers
        after = samples(server.url)
        for name, labels in (
            ("xpander_requests_total", {"operation": "reportTask", "status": "200"}),
            ("xpander_request_seconds_count", {"operation": "reportTask"}),
            ("xpander_reports_committed_total", {}),
        ):
            assert value(after, name, **labels) - value(before, name, **labels) == 30
        assert value(after, "xpander_reports_waiting") == 0


def test_metrics_of_processes_name_the_worker(server: Server):
    metrics = samples(server.url)
    for number in ("0", "1"):
        assert value(metrics, "process_resident_memory_bytes", worker=number) > 10_000_000
        assert value(metrics, "xpander_worker_starts_total", worker=number) == 1


def test_second_server_cannot_use_the_same_address(server: Server, new_store_with_keys: Callable[[], StoreWithKeys]):
    command = serve_command(new_store_with_keys().path, "--workers", "2")
    command[command.index("--port") + 1] = server.url.rpartition(":")[2]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, "Address already in use" in done.stderr) == (2, True)


@pytest.mark.slow
def test_no_answered_report_is_lost_when_a_worker_is_killed(any_store_with_keys: StoreWithKeys):
    async def load(server: Server) -> list[Client]:
        port = int(server.url.rpartition(":")[2])
        clients = [Client(number, [port], float("inf")) for number in range(8)]
        tasks: list[asyncio.Future[None]] = [asyncio.ensure_future(client.run()) for client in clients]
        while count_answered(clients) < 50:  # noqa: ASYNC110 - counts have no event
            await asyncio.sleep(0.01)
        killed = random.choice(worker_ids(server.process.pid))
        os.kill(killed, signal.SIGKILL)
        while killed in (ids := worker_ids(server.process.pid)) or len(ids) < 2:  # noqa: ASYNC110 - nor have processes
            await asyncio.sleep(0.01)
        await finish(clients, tasks)
        return clients

    with running_server(any_store_with_keys.url, "--workers", "2") as server:
        clients = asyncio.run(load(server))
    assert server.process.returncode == 0
    result = check(any_store_with_keys.url, clients)
    assert (result["lost"], result["doubled"], result["metrics equal a rebuild"]) == (0, 0, True)
    assert result["reports answered"] >= 50


@pytest.mark.slow
def test_workers_share_the_store_evenly_and_stop_gracefully_under_load(
    any_store_with_keys: StoreWithKeys, tmp_path: Path
):
    log = tmp_path / "log"
    seconds = 3.0

    async def load(server: Server) -> list[Client]:
        port = int(server.url.rpartition(":")[2])
        until = time.monotonic() + seconds
        clients = [Client(number, [port], float("inf"), timeout=10.0) for number in range(16)]
        tasks: list[asyncio.Future[Any]] = [
            asyncio.ensure_future(ignoring_refusals(client.run())) for client in clients
        ]
        await asyncio.sleep(until - time.monotonic())
        workers = worker_ids(server.process.pid)
        server.process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(server.process.wait, 30) == 0
        assert not any(is_running(worker) for worker in workers)
        for client in clients:
            client.patience = 0.0
        await asyncio.gather(*tasks)
        return clients

    async def ignoring_refusals(run: Coroutine[Any, Any, None]) -> None:
        try:
            await run
        except AssertionError as error:
            assert "did not start again" in str(error)  # noqa: PT017 - any other error is one

    arguments = ("--workers", "2", "--log-level", "info", "--log-format", "json")
    with running_server(any_store_with_keys.url, *arguments, log=log) as server:
        clients = asyncio.run(load(server))
    result = check(any_store_with_keys.url, clients)
    assert (result["lost"], result["metrics equal a rebuild"]) == (0, True)
    assert result["doubled"] <= len(clients)  # each may have lost the response to one report that was stored
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    answered = [line for line in lines if line.get("operation") == "reportTask"]
    counts = Counter(line["worker"] for line in answered)
    assert min(counts[0], counts[1]) >= 0.25 * len(answered)
    # No report waited for the other worker's turn for long.
    assert max(line["milliseconds"] for line in answered) < 5_000


@pytest.mark.slow
def test_workers_end_when_their_parent_is_killed(store_with_keys: StoreWithKeys):
    with running_server(store_with_keys.path, "--workers", "2") as server:
        workers = worker_ids(server.process.pid)
        assert len(workers) == 2
        report(server.url, "before")
        server.process.kill()
        server.process.wait(10)
        wait_until(lambda: not any(is_running(worker) for worker in workers))
    # Both have closed the store: the write-ahead log is merged into the file.
    assert not store_with_keys.path.with_name("store.db-wal").exists()


@pytest.mark.slow
def test_old_tasks_are_deleted_by_one_worker_only(store_with_keys: StoreWithKeys, tmp_path: Path):
    log = tmp_path / "log"
    command_log = ("--workers", "2", "--keep", "1h", "--log-level", "info", "--log-format", "json")
    with running_server(store_with_keys.path, log=tmp_path / "first") as server:
        body = {"id": "old", "created_at": "2020-01-01T00:00:00Z"}
        httpx.post(
            f"{server.url}/agent-execution/a/report_task", json=body, headers=AUTHORIZATION, trust_env=False, timeout=60
        )
    with running_server(store_with_keys.path, *command_log, log=log) as server:
        wait_until(lambda: "deleted 1 tasks" in log.read_text())
    (line,) = [json.loads(line) for line in log.read_text().splitlines() if "deleted" in line]
    assert line["worker"] == 0


class TestSupervisor:
    """The supervisor, with small programs in place of workers."""

    READ_SETTINGS = (
        "import socket, sys, time, os, pathlib\n"
        "control = socket.socket(fileno=os.dup(0))\n"
        "size = int.from_bytes(control.recv(4, socket.MSG_WAITALL))\n"
        "control.recv(size, socket.MSG_WAITALL)\n"
    )

    @pytest.fixture(autouse=True)
    def short_times(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(supervisor, "FIRST_DELAY", 0.01)
        monkeypatch.setattr(supervisor, "MAX_DELAY", 0.05)

    def run(self, program: str, count: int = 2, on_started: Callable[[], None] = lambda: None) -> None:
        bind = BindSettings(port=0)
        listeners = bind.listen_for_workers(count, has_key=True)
        command = (sys.executable, "-S", "-c", self.READ_SETTINGS + program)
        settings = ServerSettings(store_url="sqlite:///unused.db", bind=bind)
        try:
            run_workers(settings, listeners, on_started=on_started, command=command)
        finally:
            for listener in listeners:
                assert listener.fileno() == -1, "the listening socket was not closed"

    def test_worker_that_does_not_start_ends_the_server(self):
        with pytest.raises(WorkersFailed, match="did not start: its process ended with status 3"):
            self.run("sys.exit(3)")

    def test_server_starts_when_all_workers_are_ready_and_stops_at_a_signal(self):
        started: list[bool] = []

        def stop() -> None:
            started.append(True)
            os.kill(os.getpid(), signal.SIGTERM)

        self.run("control.send(b'r')\ntime.sleep(60)", on_started=stop)
        assert started == [True]

    def test_server_gives_up_when_no_worker_starts_any_more(self, tmp_path: Path):
        program = (
            f"count = len(list(pathlib.Path({str(tmp_path)!r}).iterdir()))\n"
            f"pathlib.Path({str(tmp_path)!r}, str(os.getpid())).touch()\n"
            "if count == 0:\n    control.send(b'r')\n    time.sleep(0.2)\nsys.exit(4)"
        )
        with pytest.raises(WorkersFailed, match="no worker starts any more: the last one ended with status 4"):
            self.run(program, count=1)
        assert len(list(tmp_path.iterdir())) >= supervisor.MAX_FAILURES

    def test_worker_that_does_not_stop_is_killed(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(supervisor, "STOP_SECONDS", 0.3)
        program = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\ncontrol.send(b'r')\ntime.sleep(60)"
        with pytest.raises(WorkersFailed, match="did not stop within"):
            self.run(program, count=1, on_started=lambda: os.kill(os.getpid(), signal.SIGTERM))


def test_queue_of_one_worker_is_beside_that_of_another():
    bind = BindSettings(port=0)
    listeners = bind.listen_for_workers(3, has_key=True)
    try:
        assert len({listener.getsockname() for listener in listeners}) == 1
        with pytest.raises(OSError, match="Address already in use"):
            evolve(bind, port=listeners[0].getsockname()[1]).listen_for_workers(2, has_key=True)
        clients = [socket.create_connection(listeners[0].getsockname()) for _ in range(60)]
        accepted = []
        for listener in listeners:
            listener.setblocking(False)
            count = 0
            try:
                while True:
                    listener.accept()[0].close()
                    count += 1
            except BlockingIOError:
                accepted.append(count)
        for client in clients:
            client.close()
    finally:
        for listener in listeners:
            listener.close()
    assert sum(accepted) == 60
    assert min(accepted) >= 3
