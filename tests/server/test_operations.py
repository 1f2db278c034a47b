"""Operation of the server process: signals, liveness, readiness, Prometheus metrics and logs."""

import gzip
import json
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from server.conftest import StoreWithKeys
from support.server import KEY, Server, running_server
from xpander_server.domain.metrics import summarize
from xpander_server.store import Store

AUTHORIZATION = {"x-api-key": KEY}


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("log") / "log"


@pytest.fixture(scope="module")
def logging_server(new_store_with_keys: Callable[[], StoreWithKeys], log: Path) -> Iterator[Server]:
    with running_server(new_store_with_keys().path, "--log-level", "info", "--log-format", "json", log=log) as server:
        yield server


@pytest.fixture
def client(logging_server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=logging_server.url, headers=AUTHORIZATION, trust_env=False) as client:
        yield client


def log_lines(log: Path) -> list[dict]:
    return [json.loads(line) for line in log.read_text().splitlines()]


def log_line(log: Path, response: httpx.Response) -> dict:
    """Return the line of the access log for a response."""
    (line,) = [line for line in log_lines(log) if line.get("request_id") == response.headers["x-request-id"]]
    return line


@pytest.mark.parametrize("signal_number", [signal.SIGTERM, signal.SIGINT])
def test_server_stops_at_signal_right_after_start(any_store_with_keys: StoreWithKeys, signal_number: signal.Signals):
    with running_server(any_store_with_keys.url) as server:
        server.process.send_signal(signal_number)
        assert server.process.wait(timeout=20) == 0


@pytest.mark.parametrize("signal_number", [signal.SIGTERM, signal.SIGINT])
def test_graceful_stop_keeps_answered_reports_and_completes_responses(
    any_store_with_keys: StoreWithKeys, signal_number: signal.Signals
):
    accepted: list[str] = []
    errors: list[Exception] = []
    under_load = threading.Barrier(9, timeout=60)

    def load(worker: int, url: str) -> None:
        number = 0
        try:
            with httpx.Client(base_url=url, headers=AUTHORIZATION, trust_env=False, timeout=30) as client:
                while True:
                    task_id = f"{worker}-{number}"
                    response = client.post("/agent-execution/a/report_task", json={"id": task_id})
                    assert (response.status_code, response.json()["id"]) == (200, task_id)
                    accepted.append(task_id)
                    number += 1
                    if number == 20:
                        under_load.wait()
        except (httpx.ConnectError, httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError):
            pass  # rejected, or closed between two requests; a client would retry
        except Exception as error:
            errors.append(error)

    with running_server(any_store_with_keys.url) as server:
        workers = [threading.Thread(target=load, args=(number, server.url)) for number in range(8)]
        for worker in workers:
            worker.start()
        under_load.wait()
        server.process.send_signal(signal_number)
        for worker in workers:
            worker.join(60)
        assert server.process.wait(timeout=30) == 0
    assert errors == []
    assert len(accepted) >= 160
    store = Store(any_store_with_keys.url)
    try:
        assert [task_id for task_id in accepted if store.task("org-tests", task_id) is None] == []
        runs = summarize(store.metrics("org-tests", "a").amounts)["runs"]["total"]
    finally:
        store.close()
    # Each connection may have lost the response to one more stored report.
    assert len(accepted) <= runs <= len(accepted) + 8
    # The server has merged the write-ahead log into the file.
    assert not any_store_with_keys.path.with_name("store.db-wal").exists()


def test_liveness_and_readiness(client: httpx.Client):
    for path in ("/healthz", "/health"):
        response = client.get(path, headers={"x-api-key": ""})
        assert (response.status_code, response.json()["status"]) == (200, "ok")


def test_metrics_count_requests_by_operation_and_status(client: httpx.Client):
    def request_counts() -> dict[tuple[str, str], float]:
        response = client.get("/metrics")
        assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
        return {
            (sample.labels["operation"], sample.labels["status"]): sample.value
            for family in text_string_to_metric_families(response.text)
            for sample in family.samples
            if sample.name == "xpander_requests_total"
        }

    before = request_counts()
    client.post("/agent-execution/counted/report_task", json={})
    client.post("/agent-execution/counted/report_task", json={"duration": "soon"})
    client.get("/agents-metrics/counted", headers={"x-api-key": "unknown"})
    client.get("/nothing")
    after = request_counts()
    assert {name: after[name] - before.get(name, 0) for name in after if after[name] != before.get(name)} == {
        ("reportTask", "200"): 1,
        ("reportTask", "422"): 1,
        ("getAgentMetrics", "401"): 1,
        ("none", "404"): 1,
        ("metrics", "200"): 1,
    }


def test_metrics_contain_latencies_and_process_metrics(client: httpx.Client):
    client.get("/agents-metrics/a")
    text = client.get("/metrics").text
    for name in ('xpander_request_seconds_bucket{le="0.01",operation="getAgentMetrics"}', "process_open_fds"):
        assert name in text


def test_metrics_count_commits_and_queued_reports(client: httpx.Client):
    def read_metrics() -> dict[str, float]:
        families = text_string_to_metric_families(client.get("/metrics").text)
        return {sample.name: sample.value for family in families for sample in family.samples if not sample.labels}

    before = read_metrics()
    for _ in range(3):
        client.post("/agent-execution/a/report_task", json={})
    after = read_metrics()
    assert after["xpander_reports_committed_total"] - before["xpander_reports_committed_total"] == 3
    assert 1 <= after["xpander_commits_total"] - before["xpander_commits_total"] <= 3
    assert after["xpander_reports_waiting"] == 0
    assert after["xpander_store_failures_total"] == 0


def test_access_log_has_one_line_per_request_with_its_id(client: httpx.Client, log: Path):
    response = client.post(
        "/agent-execution/an%20agent/report_task", json={"id": "t"}, headers={"x-request-id": "id-from-client"}
    )
    line = log_line(log, response)
    assert (line["request_id"], line["message"]) == (
        "id-from-client", "POST /agent-execution/an%20agent/report_task 200",
    )  # fmt: skip
    assert (line["level"], line["operation"], line["status"]) == ("INFO", "reportTask", 200)
    assert (line["organization_id"], line["client"]) == ("org-tests", "127.0.0.1")
    assert line["key"].startswith("serve-")
    assert line["milliseconds"] > 0
    assert line["time"].endswith("Z")


def test_log_contains_no_secret_and_no_payload(client: httpx.Client, log: Path):
    report = {"input": "hunter2", "result": "hunter2", "llm_response": {"a": "hunter2"}, "used_tools": ["hunter2"]}
    responses = [
        client.post("/agent-execution/a/report_task", json=report),
        client.post("/agent-execution/a/report_task", json={**report, "duration": "hunter2"}),
        client.post("/agent-execution/a/report_task", content=b'{"hunter2', headers={"content-type": "text/plain"}),
        client.get("/agent-execution/executions/history/a", params={"user_id": "hunter2", "limit": "hunter2"}),
        client.get("/agents-metrics/a", headers={"x-api-key": "hunter2"}),
    ]
    assert [response.status_code for response in responses] == [200, 422, 415, 422, 401]
    for response in responses:
        assert log_line(log, response)["status"] == response.status_code
    assert "hunter2" not in log.read_text()
    assert KEY not in log.read_text()


@pytest.mark.parametrize("path", ["/health", "/nothing", "/agents-metrics/a", "/openapi.json", "/metrics", "/healthz"])
@pytest.mark.parametrize("key", [KEY, "unknown"])
def test_every_response_has_request_id_and_security_headers(client: httpx.Client, path: str, key: str):
    headers = client.get(path, headers={"x-api-key": key}).headers
    assert headers["x-request-id"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] == "no-store"
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert "server" not in headers


def test_text_log_escapes_line_breaks_of_requests(store_with_keys: StoreWithKeys, tmp_path: Path):
    log = tmp_path / "log"
    with running_server(store_with_keys.path, "--log-level", "info", log=log) as server:
        response = httpx.get(server.url + "/a%0Ab", headers={"x-request-id": "mine"}, trust_env=False)
        assert response.status_code == 404
    (line,) = log.read_text().splitlines()
    assert "INFO xpander_server.access: GET /a%0Ab 404 " in line
    assert line.endswith("[mine]")


def test_compressed_report_is_accepted(client: httpx.Client):
    body = gzip.compress(json.dumps({"id": "packed", "result": "r" * 100_000}).encode())
    headers = {"content-type": "application/json", "content-encoding": "gzip"}
    response = client.post("/agent-execution/a/report_task", content=body, headers=headers)
    assert response.json()["result"] == "r" * 100_000
