"""A server at work: how it ends, what it tells of itself."""

import gzip
import json
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from server.conftest import Shop
from support.server import KEY, Server, running_server
from xpander_server.domain.metrics import summarize
from xpander_server.store import Store

AUTHORIZED = {"x-api-key": KEY}


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("log") / "log"


@pytest.fixture(scope="module")
def logging_server(new_shop: Callable[[], Shop], log: Path) -> Iterator[Server]:
    with running_server(new_shop().path, "--log-level", "info", "--log-format", "json", log=log) as server:
        yield server


@pytest.fixture
def client(logging_server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=logging_server.url, headers=AUTHORIZED, trust_env=False) as client:
        yield client


def lines(log: Path) -> list[dict]:
    return [json.loads(line) for line in log.read_text().splitlines()]


def line_of(log: Path, answer: httpx.Response) -> dict:
    """The line of the access log that belongs to an answer."""
    (line,) = [line for line in lines(log) if line.get("request_id") == answer.headers["x-request-id"]]
    return line


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_it_stops_where_it_is_told_to_as_soon_as_it_says_where_it_listens(any_shop: Shop, stop: signal.Signals):
    with running_server(any_shop.url) as server:
        server.process.send_signal(stop)
        assert server.process.wait(timeout=20) == 0


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_what_was_answered_before_a_stop_is_in_the_store_and_nothing_is_cut_off(any_shop: Shop, stop: signal.Signals):
    taken: list[str] = []
    broken: list[Exception] = []
    under_load = threading.Barrier(9, timeout=60)

    def load(worker: int, url: str) -> None:
        number = 0
        try:
            with httpx.Client(base_url=url, headers=AUTHORIZED, trust_env=False, timeout=30) as client:
                while True:
                    task_id = f"{worker}-{number}"
                    answer = client.post("/agent-execution/a/report_task", json={"id": task_id})
                    assert (answer.status_code, answer.json()["id"]) == (200, task_id)
                    taken.append(task_id)
                    number += 1
                    if number == 20:
                        under_load.wait()
        except (httpx.ConnectError, httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError):
            pass  # refused or closed between two requests: to be sent again elsewhere
        except Exception as error:
            broken.append(error)

    with running_server(any_shop.url) as server:
        workers = [threading.Thread(target=load, args=(number, server.url)) for number in range(8)]
        for worker in workers:
            worker.start()
        under_load.wait()
        server.process.send_signal(stop)
        for worker in workers:
            worker.join(60)
        assert server.process.wait(timeout=30) == 0
    assert broken == []
    assert len(taken) >= 160
    store = Store(any_shop.url)
    try:
        assert [task_id for task_id in taken if store.task("org-tests", task_id) is None] == []
        counted = summarize(store.metrics("org-tests", "a").amounts)["runs"]["total"]
    finally:
        store.close()
    # One more of each connection may have been taken, and its answer lost.
    assert len(taken) <= counted <= len(taken) + 8
    # All of a file's store is in the one file.
    assert not any_shop.path.with_name("store.db-wal").exists()


def test_it_lives_and_is_ready(client: httpx.Client):
    for path in ("/healthz", "/health"):
        answer = client.get(path, headers={"x-api-key": ""})
        assert (answer.status_code, answer.json()["status"]) == (200, "ok")


def test_it_counts_requests_by_operation_and_status(client: httpx.Client):
    def counted() -> dict[tuple[str, str], float]:
        answer = client.get("/metrics")
        assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
        return {
            (sample.labels["operation"], sample.labels["status"]): sample.value
            for family in text_string_to_metric_families(answer.text)
            for sample in family.samples
            if sample.name == "xpander_requests_total"
        }

    before = counted()
    client.post("/agent-execution/counted/report_task", json={})
    client.post("/agent-execution/counted/report_task", json={"duration": "soon"})
    client.get("/agents-metrics/counted", headers={"x-api-key": "unknown"})
    client.get("/nothing")
    after = counted()
    assert {name: after[name] - before.get(name, 0) for name in after if after[name] != before.get(name)} == {
        ("reportTask", "200"): 1,
        ("reportTask", "422"): 1,
        ("getAgentMetrics", "401"): 1,
        ("none", "404"): 1,
        ("metrics", "200"): 1,
    }


def test_it_tells_how_long_requests_take_and_how_the_process_fares(client: httpx.Client):
    client.get("/agents-metrics/a")
    text = client.get("/metrics").text
    for name in ('xpander_request_seconds_bucket{le="0.01",operation="getAgentMetrics"}', "process_open_fds"):
        assert name in text


def test_it_counts_commits_and_what_waits_for_them(client: httpx.Client):
    def figures() -> dict[str, float]:
        families = text_string_to_metric_families(client.get("/metrics").text)
        return {sample.name: sample.value for family in families for sample in family.samples if not sample.labels}

    before = figures()
    for _ in range(3):
        client.post("/agent-execution/a/report_task", json={})
    after = figures()
    assert after["xpander_reports_committed_total"] - before["xpander_reports_committed_total"] == 3
    assert 1 <= after["xpander_commits_total"] - before["xpander_commits_total"] <= 3
    assert after["xpander_reports_waiting"] == 0
    assert after["xpander_store_failures_total"] == 0


def test_each_request_has_a_line_with_its_id(client: httpx.Client, log: Path):
    answer = client.post(
        "/agent-execution/an%20agent/report_task", json={"id": "t"}, headers={"x-request-id": "the-id-of-the-caller"}
    )
    line = line_of(log, answer)
    assert (line["request_id"], line["message"]) == (
        "the-id-of-the-caller", "POST /agent-execution/an%20agent/report_task 200",
    )  # fmt: skip
    assert (line["level"], line["operation"], line["status"]) == ("INFO", "reportTask", 200)
    assert (line["organization_id"], line["client"]) == ("org-tests", "127.0.0.1")
    assert line["key"].startswith("serve-")
    assert line["milliseconds"] > 0
    assert line["time"].endswith("Z")


def test_no_secret_and_no_payload_is_logged(client: httpx.Client, log: Path):
    told = {"input": "hunter2", "result": "hunter2", "llm_response": {"a": "hunter2"}, "used_tools": ["hunter2"]}
    answers = [
        client.post("/agent-execution/a/report_task", json=told),
        client.post("/agent-execution/a/report_task", json={**told, "duration": "hunter2"}),
        client.post("/agent-execution/a/report_task", content=b'{"hunter2', headers={"content-type": "text/plain"}),
        client.get("/agent-execution/executions/history/a", params={"user_id": "hunter2", "limit": "hunter2"}),
        client.get("/agents-metrics/a", headers={"x-api-key": "hunter2"}),
    ]
    assert [answer.status_code for answer in answers] == [200, 422, 415, 422, 401]
    for answer in answers:
        assert line_of(log, answer)["status"] == answer.status_code
    assert "hunter2" not in log.read_text()
    assert KEY not in log.read_text()


@pytest.mark.parametrize("path", ["/health", "/nothing", "/agents-metrics/a", "/openapi.json", "/metrics", "/healthz"])
@pytest.mark.parametrize("key", [KEY, "unknown"])
def test_every_answer_has_an_id_and_security_headers(client: httpx.Client, path: str, key: str):
    headers = client.get(path, headers={"x-api-key": key}).headers
    assert headers["x-request-id"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] == "no-store"
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert "server" not in headers


def test_text_logs_are_a_line_a_request_and_nobody_can_add_one(shop: Shop, tmp_path: Path):
    log = tmp_path / "log"
    with running_server(shop.path, "--log-level", "info", log=log) as server:
        raw = httpx.get(server.url + "/a%0Ab", headers={"x-request-id": "mine"}, trust_env=False)
        assert raw.status_code == 404
    (line,) = log.read_text().splitlines()
    assert "INFO xpander_server.access: GET /a%0Ab 404 " in line
    assert line.endswith("[mine]")


def test_a_packed_report_is_taken(client: httpx.Client):
    body = gzip.compress(json.dumps({"id": "packed", "result": "r" * 100_000}).encode())
    headers = {"content-type": "application/json", "content-encoding": "gzip"}
    answer = client.post("/agent-execution/a/report_task", content=body, headers=headers)
    assert answer.json()["result"] == "r" * 100_000
