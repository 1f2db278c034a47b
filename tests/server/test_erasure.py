"""DELETE /agent-execution/{task_id}: scope, audit log and what is left."""

import httpx
import pytest

from server.conftest import StoreWithKeys
from support.server import running_server
from xpander_server.store import Store


def test_only_an_admin_key_erases_a_task(any_store_with_keys: StoreWithKeys):
    store = any_store_with_keys
    reporter, admin = store.create_key("reporter", "org", "report", "read"), store.create_key("dpo", "org", "admin")
    with running_server(store.url) as server, httpx.Client(base_url=server.url, trust_env=False) as client:

        def delete(key: str) -> int:
            return client.delete("/agent-execution/run%2F1", headers={"x-api-key": key}).status_code

        def report() -> httpx.Response:
            return client.post("/agent-execution/a/report_task", json={"id": "run/1"}, headers={"x-api-key": reporter})

        assert report().status_code == 200
        assert delete(reporter) == 403
        assert delete(store.create_key("stranger", "another-org", "admin")) == 404
        assert (delete(admin), delete(admin)) == (204, 404)
        status = client.get("/agent-execution/run%2F1/status", headers={"x-api-key": reporter})
        assert status.status_code == 404
        late = report()
        assert (late.status_code, late.json()) == (409, {"detail": "The task 'run/1' was erased. Nothing was stored."})
    opened = Store(store.url)
    try:
        (entry,) = opened.audit_log("org", 10)
    finally:
        opened.close()
    assert (entry["actor"], entry["details"]) == ("dpo", {"task_id": "run/1", "tasks": 1})


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
def test_other_methods_at_the_path_of_a_task_are_not_allowed(store_with_keys: StoreWithKeys, method: str):
    key = store_with_keys.create_key("dpo", "org", "admin")
    with running_server(store_with_keys.url) as server:
        response = httpx.request(method, f"{server.url}/agent-execution/1", headers={"x-api-key": key}, trust_env=False)
    assert response.status_code == 405
