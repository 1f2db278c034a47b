"""Keys at the door: what each opens, how often, and until when."""

import json
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from attrs import frozen

from server.conftest import Shop
from support.server import KEY, ORGANIZATION, running_server
from xpander_server import contract
from xpander_server.auth.verifier import CACHE_SECONDS

REPORT = {
    "id": "t", "input": "hunter2", "result": "hunter2", "is_success": True, "duration": 4.7, "user_id": "user",
    "tokens": {"prompt_tokens": 5}, "used_tools": ["hunter2"],
}  # fmt: skip


@frozen
class Place:
    """A server with two organisations."""

    url: str
    shop: Shop
    one: str
    two: str

    def ask(self, key: str | None, method: str, path: str, **rest: Any) -> httpx.Response:
        headers = {} if key is None else {"x-api-key": key}
        return httpx.request(method, self.url + path, headers=headers, trust_env=False, **rest)

    def report(self, key: str | None, agent: str, report: dict[str, Any]) -> httpx.Response:
        return self.ask(key, "POST", f"/agent-execution/{agent}/report_task", json=report)


@pytest.fixture(scope="module")
def place(shop_of_module: Shop) -> Iterator[Place]:
    shop = shop_of_module
    with running_server(shop.url) as server:
        yield Place(server.url, shop, shop.key("one", "org-one"), shop.key("two", "org-two"))


def operation_path(name: str, **segments: str) -> tuple[str, str]:
    operation = contract.operations()[name]
    return operation.method, operation.path.format(**segments)


KEYED = [name for name, operation in contract.operations().items() if operation.scope is not None]
BODIES = {"reportTask": {"id": "t"}, "reportExecution": {"execution_id": "t"}}
SEGMENTS = {"agent_id": "shared", "task_id": "t", "user_id": "user"}


@pytest.mark.parametrize("name", KEYED)
def test_no_operation_shows_one_organisation_what_another_has(place: Place, name: str):
    assert place.report(place.one, "shared", REPORT).status_code == 200
    method, path = operation_path(name, **SEGMENTS)
    mine = place.ask(place.one, method, path, json=BODIES.get(name))
    theirs = place.ask(place.two, method, path, json=BODIES.get(name))
    assert "org-one" in mine.text
    assert "org-one" not in theirs.text
    assert "hunter2" not in theirs.text
    for key, organization_id in ((place.two, "org-one"), (place.one, "org-two"), (place.one, "nobody")):
        answer = place.ask(key, method, f"/{organization_id}{path}", json=BODIES.get(name))
        assert answer.status_code == 403
        assert "hunter2" not in answer.text


def test_the_same_id_in_two_organisations_is_two_tasks(place: Place):
    for key, result in ((place.one, "of one"), (place.two, "of two")):
        # Even under another agent: an id belongs to its organisation.
        agent = f"agent-{result[-3:]}"
        assert place.report(key, agent, {"id": "same", "result": result, "duration": 1}).json()["result"] == result
    for key, result in ((place.one, "of one"), (place.two, "of two")):
        assert place.ask(key, "GET", "/agent-execution/same/status").json()["result"] == result


def test_a_cursor_of_one_organisation_leads_another_only_to_its_own(place: Place):
    for key in (place.one, place.two):
        for _ in range(3):
            place.report(key, "paged", {"result": "hunter2" if key == place.one else "mine"})
    path = "/agent-execution/executions/history/paged"
    cursor = place.ask(place.one, "GET", path, params={"limit": 1}).headers["x-next-cursor"]
    page = place.ask(place.two, "GET", path, params={"cursor": cursor})
    assert {item["organization_id"] for item in page.json()} <= {"org-two"}


@pytest.mark.parametrize("name", KEYED)
@pytest.mark.parametrize("scope", ["report", "read", "admin"])
def test_a_key_may_do_what_its_scopes_say_and_no_more(place: Place, name: str, scope: str):
    key = place.shop.key(f"{name} {scope}", "org-one", scope)
    place.report(place.one, "shared", REPORT)
    method, path = operation_path(name, **SEGMENTS)
    answer = place.ask(key, method, path, json=BODIES.get(name))
    if contract.operations()[name].scope == scope:
        assert answer.status_code == 200
    else:
        assert answer.status_code == 403
        assert f"has no scope {contract.operations()[name].scope!r}" in answer.json()["detail"]


def test_the_key_that_serve_was_given_has_every_scope(place: Place):
    assert place.report(KEY, "a", {}).json()["organization_id"] == ORGANIZATION
    assert place.ask(KEY, "GET", "/agents-metrics/a").status_code == 200
    assert place.ask(KEY, "GET", "/metrics").status_code == 200


def test_the_figures_of_the_server_take_the_admin_scope(place: Place):
    assert place.ask(None, "GET", "/metrics").status_code == 401
    assert place.ask(place.one, "GET", "/metrics").status_code == 403


def test_a_revoked_key_is_refused_within_seconds_and_a_new_one_let_in(place: Place):
    key = place.shop.key("leaver", "org-one")
    assert place.report(key, "a", {}).status_code == 200
    place.shop.revoke("leaver", "org-one")
    deadline = time.monotonic() + CACHE_SECONDS + 5
    while (status := place.ask(key, "GET", "/agents-metrics/a").status_code) == 200:
        assert time.monotonic() < deadline
    assert status == 401
    assert place.report(place.shop.key("leaver", "org-one"), "a", {}).status_code == 200


def test_a_rate_limit_holds_for_each_key_and_says_when_to_come_back(shop: Shop):
    keys = [shop.key("one", "org"), shop.key("two", "org")]
    with running_server(shop.url, "--rate-limit", "3/h") as server:
        place = Place(server.url, shop, *keys)
        for key in keys:
            answers = [place.report(key, "a", {}) for _ in range(4)]
            assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
            assert [answer.headers["x-ratelimit-remaining"] for answer in answers] == ["2", "1", "0", "0"]
            assert answers[3].headers["x-ratelimit-limit"] == "3"
            assert 1 <= int(answers[3].headers["retry-after"]) <= 1_200
            assert 3_000 <= int(answers[3].headers["x-ratelimit-reset"]) <= 3_600
            assert answers[3].json() == {"detail": "Too many requests with this key."}
        # What needs no key is not counted, and a stranger learns nothing of it.
        assert place.ask(None, "GET", "/health").status_code == 200
        assert place.ask("unknown", "GET", "/agents-metrics/a").status_code == 401


def test_an_address_that_tries_many_keys_is_held_up_and_those_with_a_key_are_not(shop: Shop):
    known = shop.key("one", "org")
    with running_server(shop.url) as server, httpx.Client(base_url=server.url, trust_env=False) as client:

        def ask(key: str) -> httpx.Response:
            return client.get("/agents-metrics/a", headers={"x-api-key": key})

        assert ask(known).status_code == 200
        statuses = []
        while 429 not in statuses:
            assert len(statuses) < 5_000
            statuses.append(ask(f"guess {len(statuses)}").status_code)
        assert len(statuses) > 100
        assert set(statuses) == {401, 429}
        assert ask(known).status_code == 200
        assert ask("guess 0").status_code in (401, 429)  # remembered, or looked for again
        held = ask("another guess")
        if held.status_code == 429:
            assert int(held.headers["retry-after"]) >= 1


def test_behind_a_proxy_addresses_are_those_that_it_tells(shop: Shop):
    with (
        running_server(shop.url, "--behind-proxy", "127.0.0.1") as server,
        httpx.Client(base_url=server.url, trust_env=False) as client,
    ):

        def ask(key: str, address: str) -> int:
            headers = {"x-api-key": key, "x-forwarded-for": address}
            return client.get("/agents-metrics/a", headers=headers).status_code

        statuses = []
        while 429 not in statuses:
            assert len(statuses) < 5_000
            # Of IPv6, one network is one caller.
            statuses.append(ask(f"guess {len(statuses)}", f"2001:db8::{len(statuses):x}"))
        assert ask("guess", "192.0.2.1") == 401


def test_without_a_stated_proxy_nobody_is_believed(shop: Shop):
    with running_server(shop.url) as server, httpx.Client(base_url=server.url, trust_env=False) as client:
        statuses = []
        while 429 not in statuses:
            assert len(statuses) < 5_000
            number = len(statuses)
            headers = {"x-api-key": f"guess {number}", "x-forwarded-for": f"192.0.2.{number % 250}"}
            statuses.append(client.get("/agents-metrics/a", headers=headers).status_code)


def test_no_answer_repeats_a_key(place: Place):
    for key in (place.one, "a-secret-that-is-wrong"):
        for path in ("/agents-metrics/a?limit=0", "/metrics", "/nothing", "/other/agents-metrics/a"):
            answer = place.ask(key, "GET", path)
            assert key not in answer.text + json.dumps(dict(answer.headers))
