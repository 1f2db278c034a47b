"""Comparison of our server with those of MLflow and Phoenix, all on SQLite: a part of `make bench-server`.

The same client sends the same runs to each server, one after another on each connection. A run counts when it is in the
server's database. Phoenix responds before that, so the benchmark waits for the rows.
"""

import base64
import http.client
import json
import os
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from benchmarks.load import report

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from support.server import KEY, running_server  # noqa: E402

START_SECONDS = 120
LogRun = Callable[[http.client.HTTPConnection, int], None]
"""Function that logs the run with this number."""


def post(
    connection: http.client.HTTPConnection, path: str, body: bytes, headers: dict[str, str] | None = None
) -> bytes:
    """Send a POST request, and return the body of the response."""
    connection.request("POST", path, body, {"content-type": "application/json", **(headers or {})})
    response = connection.getresponse()
    content = response.read()
    assert response.status == 200, (path, response.status, content[:300])
    return content


def log_to_ours(connection: http.client.HTTPConnection, number: int) -> None:
    """Send the one request of a report."""
    post(connection, "/agent-execution/agent/report_task", json.dumps(report(number)).encode(), {"x-api-key": KEY})


def log_to_mlflow(connection: http.client.HTTPConnection, number: int) -> None:
    """Send the three requests that MLflow's client sends for a run with parameters, metrics and an end."""

    def call(name: str, **arguments: Any) -> Any:
        return json.loads(post(connection, f"/api/2.0/mlflow/runs/{name}", json.dumps(arguments).encode()))

    run: Any = report(number)
    now = time.time_ns() // 1_000_000
    tags = [{"key": "input", "value": run["input"]}, {"key": "result", "value": run["result"]}]
    run_id = call("create", experiment_id="0", start_time=now)["run"]["info"]["run_id"]
    metrics = {**run["tokens"], "duration": run["duration"]}
    call(
        "log-batch",
        run_id=run_id,
        tags=[*tags, {"key": "llm_response", "value": json.dumps(run["llm_response"])}],
        params=[{"key": "model", "value": "gpt-4o"}, {"key": "used_tools", "value": json.dumps(run["used_tools"])}],
        metrics=[{"key": key, "value": value, "timestamp": now, "step": 0} for key, value in metrics.items()],
    )
    call("update", run_id=run_id, status="FINISHED", end_time=now)


@contextmanager
def running(command: list[str], port: int, log: Path, environment: dict[str, str]) -> Iterator[None]:
    with (
        log.open("wb") as output,
        subprocess.Popen(
            command, stdout=output, stderr=output, env={**os.environ, **environment}, start_new_session=True
        ) as process,
    ):
        try:
            deadline = time.monotonic() + START_SECONDS
            while True:
                try:
                    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
                        connection.request("GET", "/")
                        connection.getresponse()
                    break
                except OSError:
                    if process.poll() is not None or time.monotonic() > deadline:
                        raise RuntimeError(log.read_text()[-2_000:]) from None
                    time.sleep(0.2)
            yield
        finally:
            os.killpg(process.pid, 15)
            process.wait()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def rate(
    port: int, log_run: LogRun, connections: int, runs: int, count_stored: Callable[[], int] | None = None
) -> float:
    """Return the rate in runs per second.

    Args:
        port: The port of the server.
        log_run: Logs one run.
        connections: The number of threads, each with a connection.
        runs: The number of runs.
        count_stored: Returns the number of runs in the database, for a server that responds before it stores a run.
    """
    before = count_stored() if count_stored else 0
    errors: list[BaseException] = []

    def work(first: int) -> None:
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
            try:
                for number in range(first, runs, connections):
                    log_run(connection, number)
            except BaseException as error:
                errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(connections)]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    while count_stored and count_stored() < before + runs:
        assert time.perf_counter() < started + 300
        time.sleep(0.02)
    return runs / (time.perf_counter() - started)


def measure(folder: Path, quick: bool) -> dict[str, dict[int, float]]:
    """Return the rates in runs per second, by server and number of connections."""
    many, few = (400, 60) if quick else (4_000, 400)
    rates: dict[str, dict[int, float]] = {}
    with running_server(folder / "ours.db") as server:
        port = int(server.url.rpartition(":")[2])
        rate(port, log_to_ours, 4, 100)
        rates["ours"] = {count: rate(port, log_to_ours, count, many) for count in (1, 16)}
    port = free_port()
    mlflow = [
        str(ROOT / ".loggers/mlflow/bin/mlflow"), "server", "--host", "127.0.0.1", "--port", str(port),
        "--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--default-artifact-root", str(folder),
    ]  # fmt: skip
    with running(mlflow, port, folder / "mlflow.log", {"MLFLOW_DISABLE_TELEMETRY": "true"}):
        rate(port, log_to_mlflow, 4, 20)
        rates["MLflow"] = {count: rate(port, log_to_mlflow, count, few) for count in (1, 16)}
    phoenix = ROOT / ".loggers/arize-phoenix/bin"
    process = subprocess.run(
        [phoenix / "python", ROOT / "benchmarks/subjects/phoenix_payloads.py", str(20 + 2 * few)],
        input=json.dumps(report(1)), capture_output=True, text=True, check=True,
    )  # fmt: skip
    payloads = [base64.b64decode(line) for line in process.stdout.split()]

    def log_to_phoenix(connection: http.client.HTTPConnection, number: int) -> None:
        post(connection, "/v1/traces", payloads.pop(), {"content-type": "application/x-protobuf"})

    def count_stored() -> int:
        with closing(sqlite3.connect(f"file:{folder}/phoenix.db?mode=ro", uri=True)) as connection:
            count: int = connection.execute("SELECT count(*) FROM spans").fetchone()[0]
            return count

    port = free_port()
    environment = {
        "PHOENIX_WORKING_DIR": str(folder), "PHOENIX_HOST": "127.0.0.1", "PHOENIX_PORT": str(port),
        "PHOENIX_GRPC_PORT": str(free_port()), "PHOENIX_TELEMETRY_ENABLED": "false",
    }  # fmt: skip
    with running([str(phoenix / "phoenix"), "serve"], port, folder / "phoenix.log", environment):
        rate(port, log_to_phoenix, 4, 20, count_stored)
        rates["Phoenix"] = {count: rate(port, log_to_phoenix, count, few, count_stored) for count in (1, 16)}
    return rates


def table(rates: dict[str, dict[int, float]]) -> list[list[str]]:
    """Return the rows of the table."""
    rows = [["runs per second", "1 connection", "16 connections"]]
    for name, by_count in rates.items():
        cells = [f"{by_count[count]:,.0f}" for count in (1, 16)]
        if name != "ours":
            cells = [f"{cell} (ours: {rates['ours'][count] / by_count[count]:.0f} times)"
                     for cell, count in zip(cells, (1, 16), strict=True)]  # fmt: skip
        rows.append([name, *cells])
    return rows
