"""Authentication, scopes, rate limits and separation of organizations, on a running server."""

import json
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from attrs import frozen

from server.conftest import StoreWithKeys
from support.server import KEY, ORGANIZATION, running_server
from xpander_server import contract
from xpander_server.auth.verifier import CACHE_SECONDS

REPORT = {
    "id": "t", "input": "hunter2", "result": "hunter2", "is_success": True, "duration": 4.7, "user_id": "user",
    "tokens": {"prompt_tokens": 5}, "used_tools": ["hunter2"],
}  # fmt: skip


@frozen
class Deployment:
    """Running server with two organizations, and a key of each."""

    url: str
    store_with_keys: StoreWithKeys
    key_one: str
    key_two: str

    def request(self, key: str | None, method: str, path: str, **rest: Any) -> httpx.Response:
        headers = {} if key is None else {"x-api-key": key}
        return httpx.request(method, self.url + path, headers=headers, trust_env=False, **rest)

    def report(self, key: str | None, agent: str, report: dict[str, Any]) -> httpx.Response:
        return self.request(key, "POST", f"/agent-execution/{agent}/report_task", json=report)


@pytest.fixture(scope="module")
def deployment(module_store_with_keys: StoreWithKeys) -> Iterator[Deployment]:
    store_with_keys = module_store_with_keys
    with running_server(store_with_keys.url) as server:
        yield Deployment(
            server.url,
            store_with_keys,
            store_with_keys.create_key("one", "org-one"),
            store_with_keys.create_key("two", "org-two"),
        )


def operation_path(name: str, **segments: str) -> tuple[str, str]:
    operation = contract.operations()[name]
    return operation.method, operation.path.format(**segments)


# Without the operation that erases the task of the other tests; test_erasure.py tests it.
KEYED = [name for name, operation in contract.operations().items() if operation.scope and name != "eraseTask"]
BODIES = {
    "reportTask": {"id": "t"},
    "reportTasks": {"reports": [{"agent_id": "shared", "id": "t"}]},
    "reportExecution": {"execution_id": "t"},
}
SEGMENTS = {"agent_id": "shared", "task_id": "t", "user_id": "user"}


@pytest.mark.parametrize("name", KEYED)
def test_operation_returns_no_data_of_other_organization(deployment: Deployment, name: str):
    assert deployment.report(deployment.key_one, "shared", REPORT).status_code == 200
    method, path = operation_path(name, **SEGMENTS)
    own_response = deployment.request(deployment.key_one, method, path, json=BODIES.get(name))
    other_response = deployment.request(deployment.key_two, method, path, json=BODIES.get(name))
    assert "org-one" in own_response.text
    assert "org-one" not in other_response.text
    assert "hunter2" not in other_response.text
    for key, organization_id in (
        (deployment.key_two, "org-one"),
        (deployment.key_one, "org-two"),
        (deployment.key_one, "nobody"),
    ):
        response = deployment.request(key, method, f"/{organization_id}{path}", json=BODIES.get(name))
        assert response.status_code == 403
        assert "hunter2" not in response.text


def test_same_id_in_two_organizations_makes_two_tasks(deployment: Deployment):
    for key, result in ((deployment.key_one, "of one"), (deployment.key_two, "of two")):
        # Another agent in each organization: ids are unique per organization.
        agent = f"agent-{result[-3:]}"
        assert deployment.report(key, agent, {"id": "same", "result": result, "duration": 1}).json()["result"] == result
    for key, result in ((deployment.key_one, "of one"), (deployment.key_two, "of two")):
        assert deployment.request(key, "GET", "/agent-execution/same/status").json()["result"] == result


def test_cursor_of_other_organization_returns_own_tasks_only(deployment: Deployment):
    for key in (deployment.key_one, deployment.key_two):
        for _ in range(3):
            deployment.report(key, "paged", {"result": "hunter2" if key == deployment.key_one else "mine"})
    path = "/agent-execution/executions/history/paged"
    cursor = deployment.request(deployment.key_one, "GET", path, params={"limit": 1}).headers["x-next-cursor"]
    page = deployment.request(deployment.key_two, "GET", path, params={"cursor": cursor})
    assert {item["organization_id"] for item in page.json()} <= {"org-two"}


@pytest.mark.parametrize("name", KEYED)
@pytest.mark.parametrize("scope", ["report", "read", "admin"])
def test_key_is_limited_to_its_scopes(deployment: Deployment, name: str, scope: str):
    key = deployment.store_with_keys.create_key(f"{name} {scope}", "org-one", scope)
    deployment.report(deployment.key_one, "shared", REPORT)
    method, path = operation_path(name, **SEGMENTS)
    response = deployment.request(key, method, path, json=BODIES.get(name))
    if contract.operations()[name].scope == scope:
        assert response.status_code == 200
    else:
        assert response.status_code == 403
        assert f"has no scope {contract.operations()[name].scope!r}" in response.json()["detail"]


def test_configured_key_has_all_scopes(deployment: Deployment):
    assert deployment.report(KEY, "a", {}).json()["organization_id"] == ORGANIZATION
    assert deployment.request(KEY, "GET", "/agents-metrics/a").status_code == 200
    assert deployment.request(KEY, "GET", "/metrics").status_code == 200


def test_prometheus_metrics_require_admin_scope(deployment: Deployment):
    assert deployment.request(None, "GET", "/metrics").status_code == 401
    assert deployment.request(deployment.key_one, "GET", "/metrics").status_code == 403


@pytest.mark.parametrize("scheme", ["Bearer", "bearer"])
def test_prometheus_metrics_accept_bearer_token(deployment: Deployment, scheme: str):
    def get(path: str, key: str) -> int:
        headers = {"authorization": f"{scheme} {key}"}
        return httpx.get(deployment.url + path, headers=headers, trust_env=False).status_code

    assert get("/metrics", KEY) == 200
    assert get("/metrics", "unknown") == 401
    assert get("/metrics", deployment.key_one) == 403
    assert get("/agents-metrics/a", KEY) == 401  # the contract's operations accept x-api-key only


@pytest.mark.parametrize("body", [{"id": "known"}, {"id": "known", "result": "old", "tokens": None}])
@pytest.mark.parametrize("reported_at", [None, "1000000000000000"])
def test_report_key_gets_only_what_it_has_sent(deployment: Deployment, body: dict[str, Any], reported_at: str | None):
    key = deployment.store_with_keys.create_key(f"sender {body} {reported_at}"[:100], "org-one", "report")
    assert deployment.report(deployment.key_one, "shared", {**REPORT, "id": "known"}).status_code == 200
    headers = {"x-api-key": key} | ({} if reported_at is None else {"x-reported-at": reported_at})
    response = httpx.post(
        f"{deployment.url}/agent-execution/shared/report_task", json=body, headers=headers, trust_env=False
    )
    assert response.status_code == 200
    assert "hunter2" not in response.text
    task = response.json()
    assert (task["id"], task["agent_id"], task["status"]) == ("known", "shared", "executing")
    assert (task["result"], task["tokens"], task["duration"], task["user_id"]) == (body.get("result"), None, None, None)


def test_server_notices_revoked_and_new_keys_within_seconds(deployment: Deployment):
    key = deployment.store_with_keys.create_key("leaver", "org-one")
    assert deployment.report(key, "a", {}).status_code == 200
    deployment.store_with_keys.revoke_key("leaver", "org-one")
    deadline = time.monotonic() + CACHE_SECONDS + 5
    while (status := deployment.request(key, "GET", "/agents-metrics/a").status_code) == 200:
        assert time.monotonic() < deadline
    assert status == 401
    assert deployment.report(deployment.store_with_keys.create_key("leaver", "org-one"), "a", {}).status_code == 200


def test_rate_limit_applies_per_key_and_sends_retry_after(store_with_keys: StoreWithKeys):
    keys = [store_with_keys.create_key("one", "org"), store_with_keys.create_key("two", "org")]
    with running_server(store_with_keys.url, "--rate-limit", "3/h") as server:
        deployment = Deployment(server.url, store_with_keys, *keys)
        for key in keys:
            responses = [deployment.report(key, "a", {}) for _ in range(4)]
            assert [response.status_code for response in responses] == [200, 200, 200, 429]
            assert [response.headers["x-ratelimit-remaining"] for response in responses] == ["2", "1", "0", "0"]
            assert responses[3].headers["x-ratelimit-limit"] == "3"
            assert 1 <= int(responses[3].headers["retry-after"]) <= 1_200
            assert 3_000 <= int(responses[3].headers["x-ratelimit-reset"]) <= 3_600
            assert responses[3].json() == {"detail": "Too many requests with this key."}
        # Requests without a key, or with an unknown key, are not counted.
        assert deployment.request(None, "GET", "/health").status_code == 200
        assert deployment.request("unknown", "GET", "/agents-metrics/a").status_code == 401


def test_unknown_keys_are_rate_limited_per_address_and_valid_keys_are_not(store_with_keys: StoreWithKeys):
    known = store_with_keys.create_key("one", "org")
    with running_server(store_with_keys.url) as server, httpx.Client(base_url=server.url, trust_env=False) as client:

        def request(key: str) -> httpx.Response:
            return client.get("/agents-metrics/a", headers={"x-api-key": key})

        assert request(known).status_code == 200
        statuses = []
        while 429 not in statuses:
            assert len(statuses) < 5_000
            statuses.append(request(f"guess {len(statuses)}").status_code)
        assert len(statuses) > 100
        assert set(statuses) == {401, 429}
        assert request(known).status_code == 200
        assert request("guess 0").status_code in (401, 429)  # cached as unknown, or verified again
        limited = request("another guess")
        if limited.status_code == 429:
            assert int(limited.headers["retry-after"]) >= 1


def test_trusted_proxy_determines_client_address(store_with_keys: StoreWithKeys):
    with (
        running_server(store_with_keys.url, "--behind-proxy", "127.0.0.1") as server,
        httpx.Client(base_url=server.url, trust_env=False) as client,
    ):

        def request(key: str, address: str) -> int:
            headers = {"x-api-key": key, "x-forwarded-for": address}
            return client.get("/agents-metrics/a", headers=headers).status_code

        statuses = []
        while 429 not in statuses:
            assert len(statuses) < 5_000
            # All addresses of one IPv6 network count as one caller.
            statuses.append(request(f"guess {len(statuses)}", f"2001:db8::{len(statuses):x}"))
        assert request("guess", "192.0.2.1") == 401


def test_forwarded_header_is_ignored_without_trusted_proxy(store_with_keys: StoreWithKeys):
    with running_server(store_with_keys.url) as server, httpx.Client(base_url=server.url, trust_env=False) as client:
        statuses = []
        while 429 not in statuses:
            assert len(statuses) < 5_000
            number = len(statuses)
            headers = {"x-api-key": f"guess {number}", "x-forwarded-for": f"192.0.2.{number % 250}"}
            statuses.append(client.get("/agents-metrics/a", headers=headers).status_code)


@pytest.mark.parametrize(
    ("option", "forwarded"),
    [
        ("127.0.0.1", "10.0.{0}.1, 203.0.113.7"),
        ("127.0.0.1", "203.0.113.7:{1}"),
        ("127.0.0.1", "[2001:db8::1]:{1}"),
        ("127.0.0.1", "unknown{1}"),
        ("*", "10.0.{0}.1, 203.0.113.7"),
        ("*", "unknown{1}"),
    ],
)
def test_client_cannot_invent_addresses(store_with_keys: StoreWithKeys, option: str, forwarded: str):
    with (
        running_server(store_with_keys.url, "--behind-proxy", option) as server,
        httpx.Client(base_url=server.url, trust_env=False) as client,
    ):
        statuses = []
        while 429 not in statuses:
            assert len(statuses) < 500
            number = len(statuses)
            headers = {
                "x-api-key": f"guess {number}",
                "x-forwarded-for": forwarded.format(number % 250, 1_000 + number),
            }
            statuses.append(client.get("/agents-metrics/a", headers=headers).status_code)


def test_responses_do_not_contain_keys(deployment: Deployment):
    for key in (deployment.key_one, "a-secret-that-is-wrong"):
        for path in ("/agents-metrics/a?limit=0", "/metrics", "/nothing", "/other/agents-metrics/a"):
            response = deployment.request(key, "GET", path)
            assert key not in response.text + json.dumps(dict(response.headers))
