"""Batches that are hostile: each report fails alone, or the whole batch is refused; nobody else's report is lost."""

import json
import time

import pytest

from contract.raw_http import JSON_HEADERS, MIB, RawClient, RawResponse

REPORTS = b"/agent-execution/reports"


def report_batch(raw_client: RawClient, *reports: bytes) -> RawResponse:
    return raw_client.request(b"POST", REPORTS, JSON_HEADERS, b'{"reports": [' + b", ".join(reports) + b"]}")


def valid_report(raw_client: RawClient) -> bytes:
    return b'{"agent_id": "%s"}' % raw_client.agent.encode()


@pytest.mark.parametrize(
    ("report", "status"),
    [
        pytest.param(b'{"agent_id": "a", "result": "\xff"}', 400, id="invalid UTF-8"),
        pytest.param(b'{"agent_id": "a", "llm_response": "\xed\xa0\x80"}', 400, id="surrogate in UTF-8"),
        pytest.param(b'{"agent_id": "a", "llm_response": 1e999}', 400, id="1e999"),
        pytest.param(b'{"agent_id": "a", "llm_response": %s}' % (b"9" * 5_000), 400, id="5,000 digits"),
        pytest.param(b'{"agent_id": "a", "llm_response": %s}' % (b"[" * 600 + b"]" * 600), 400, id="600 levels"),
        pytest.param(b'{"agent_id": "a", "used_tools": [%s0]}' % (b"0," * 50_000), 422, id="50,000 invalid tools"),
        pytest.param(b'{"agent_id": "a", %s"b": 0}' % (b'"b": 0, ' * 50_000), 422, id="50,000 unknown names"),
        pytest.param(b'{"agent_id": "a/../b"}', 200, id="path in the agent"),
        pytest.param(b'{"agent_id": "a\\u0000"}', 422, id="NUL in the agent"),
        pytest.param(b'{"agent_id": ["a"]}', 422, id="list as agent"),
        pytest.param(b'{"agent_id": "a", "agent_id": 5}', 422, id="agent stated twice"),
        pytest.param(b'{"agent_id": "a", "organization_id": "other"}', 422, id="another organization"),
        pytest.param(b'{"agent_id": "a", "reported_at": 1e30}', 422, id="time beyond all numbers"),
        pytest.param(b'{"agent_id": "a", "reported_at": "0"}', 422, id="time as text"),
        pytest.param(b'{"reports": [{"agent_id": "a"}]}', 422, id="batch in a batch"),
    ],
)
def test_hostile_report_fails_alone(raw_client: RawClient, report: bytes, status: int) -> None:
    valid = valid_report(raw_client)
    response = report_batch(raw_client, valid, report, valid)
    assert response.status == 200, response.body[:300]
    outcomes = json.loads(response.body)["outcomes"]
    assert [outcome["status"] for outcome in outcomes] == [200, status, 200]
    history = raw_client.request(b"GET", b"/agent-execution/executions/history/" + raw_client.agent.encode())
    assert len(json.loads(history.body)) == 2


@pytest.mark.parametrize(
    ("body", "status"),
    [
        pytest.param(b"", 400, id="empty"),
        pytest.param(b'{"reports": [', 400, id="truncated"),
        pytest.param(b'{"reports": [{"agent_id": "a"},]}', 400, id="trailing comma"),
        pytest.param(b'{"reports": [{"agent_id": "a", "result": "\\ud800"}]}', 400, id="lone surrogate"),
        pytest.param(b'{"reports": %s' % (b"[" * 100_000), 400, id="100,000 levels"),
        pytest.param(b'{"reports": [%s' % (b'{"agent_id":' * 100_000), 400, id="100,000 open objects"),
        pytest.param(b'[{"agent_id": "a"}]', 422, id="list"),
        pytest.param(b'{"reports": []}', 422, id="no report"),
        pytest.param(b'{"reports": {"agent_id": "a"}}', 422, id="object in place of the list"),
        pytest.param(b'{"Reports": [{"agent_id": "a"}]}', 422, id="other name"),
        pytest.param(b'{"reports": [%s{"agent_id": "a"}]}' % (b'{"agent_id": "a"},' * 256), 413, id="257 reports"),
        pytest.param(b'{"reports": [%s0]}' % (b"0," * MIB), 413, id="a million reports"),
        pytest.param(b'{"reports": [%s{}]}' % (b"{}," * MIB), 413, id="a million empty reports"),
    ],
)
def test_hostile_batch_is_refused_as_a_whole_and_quickly(raw_client: RawClient, body: bytes, status: int) -> None:
    started = time.monotonic()
    response = raw_client.request(b"POST", REPORTS, JSON_HEADERS, body)
    assert (response.status, bool(response.detail)) == (status, True)
    assert time.monotonic() - started < 10


def test_id_of_one_report_may_repeat_256_times(raw_client: RawClient) -> None:
    report = b'{"agent_id": "%s", "id": "%s", "used_tools": ["t"]}' % ((raw_client.agent.encode(),) * 2)
    response = report_batch(raw_client, *[report] * 256)
    assert [outcome["status"] for outcome in json.loads(response.body)["outcomes"]] == [200] * 256
    metrics = raw_client.request(b"GET", b"/agents-metrics/" + raw_client.agent.encode())
    assert json.loads(metrics.body)["runs"]["total"] == 1
