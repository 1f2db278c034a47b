"""The pages over HTTP, without a browser: who gets in, what is said in headers, that every real run opens."""

import html
import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.testclient import TestClient

from server.conftest import Shop
from support.corpus import CORPUS, load_runs, report_for_run
from support.server import running_server
from xpander_server.api.app import create_app
from xpander_server.auth.api_keys import ApiKeys
from xpander_server.auth.authentication import KeyAuthenticator
from xpander_server.auth.rate_limit import Rate
from xpander_server.auth.verifier import Verifier
from xpander_server.clock import SECOND
from xpander_server.http.concurrency import run_in_threadpool
from xpander_server.store import Store, Submission
from xpander_server.web import page_routes
from xpander_server.web.sessions import LASTS, MAX_OF_KEY

POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'"


class Clock:
    def __init__(self) -> None:
        self.now = time.time_ns() // 1_000

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(f"sqlite:///{tmp_path}/store.db")
    yield store
    store.close()


@pytest.fixture
def new_client(store: Store, clock: Clock) -> Callable[..., TestClient]:
    def new(base_url: str = "http://server", rate: Rate | None = None) -> TestClient:
        authenticator = KeyAuthenticator(Verifier(store.keys, clock), rate)
        app = create_app(store, authenticator, run_in_threadpool, extra_routes=page_routes(store, authenticator, clock))
        return TestClient(app, base_url=base_url, follow_redirects=False)

    return new


@pytest.fixture
def client(new_client: Callable[..., TestClient], key: str) -> TestClient:
    """Somebody who is signed in."""
    made = new_client()
    sign_in(made, key)
    return made


@pytest.fixture
def key(store: Store) -> str:
    return ApiKeys(store.keys).create("visitor", "org", scopes=("read",))


def report(store: Store, task_id: str, *, organization_id: str = "org", agent_id: str = "agent", **given: Any) -> None:
    store.report(Submission(organization_id, agent_id, task_id, given, None, 10**15))


def sign_in(client: TestClient, key: str, **more: str) -> Any:
    answer = client.post("/ui/sign-in", data={"key": key, **more})
    assert answer.status_code == 303, answer.text
    return answer


def test_a_stranger_is_sent_to_sign_in_and_back_to_what_was_wanted(new_client, key):
    client = new_client()
    answer = client.get("/ui/history?agent_id=a%20b")
    assert (answer.status_code, answer.headers["location"]) == (
        303,
        "/ui/sign-in?next=%2Fui%2Fhistory%3Fagent_id%3Da%2520b",
    )
    form = client.get(answer.headers["location"])
    assert 'value="/ui/history?agent_id=a%20b"' in form.text
    answer = sign_in(client, key, next="/ui/history?agent_id=a%20b")
    assert answer.headers["location"] == "/ui/history?agent_id=a%20b"


@pytest.mark.parametrize(
    "elsewhere",
    [
        "https://evil.example",
        "//evil.example",
        "/\\evil.example",
        "/ui/\\evil",
        "/ui",
        "javascript:alert(1)",
        "/ui/\r\nX: y",
    ],
)
def test_signing_in_never_leads_to_another_site(new_client, key, elsewhere):
    assert sign_in(new_client(), key, next=elsewhere).headers["location"] == "/ui/history"


def test_a_cookie_is_for_pages_alone_and_for_tls_where_there_is_tls(new_client, key):
    plain = sign_in(new_client(), key).headers["set-cookie"]
    assert {"HttpOnly", "SameSite=lax", "Path=/ui", f"Max-Age={LASTS}"} <= set(plain.split("; "))
    assert "Secure" not in plain
    assert "Secure" in sign_in(new_client("https://server"), key).headers["set-cookie"].split("; ")


def test_the_store_keeps_no_cookie(new_client, key, store, tmp_path):
    value = sign_in(new_client(), key).cookies["xpander_session"]
    store.close()
    kept = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert value.partition(".")[2].encode() not in kept


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"sec-fetch-site": "same-origin"}, 303),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://server"}, 303),
        ({}, 303),
    ],
)
def test_forms_of_other_sites_are_refused(new_client, key, headers, status):
    client = new_client()
    assert client.post("/ui/sign-in", data={"key": key}, headers=headers).status_code == status
    sign_in(client, key)
    assert client.post("/ui/sign-out", headers=headers).status_code == status
    assert client.get("/ui/history").status_code == (303 if status == 303 else 200)


def test_only_a_form_signs_out(client):
    assert client.get("/ui/sign-out").status_code == 405
    assert client.get("/ui/history").status_code == 200


def test_a_session_ends_in_time(client, clock):
    clock.now += LASTS * SECOND - 1
    assert client.get("/ui/history").status_code == 200
    clock.now += 1
    assert client.get("/ui/history").status_code == 303


@pytest.mark.parametrize("ending", ["revoked", "expired"])
def test_a_session_ends_with_its_key(new_client, store, clock, ending):
    keys = ApiKeys(store.keys)
    expires_at = clock.now + SECOND if ending == "expired" else None
    client = new_client()
    sign_in(client, keys.create("short", "org", scopes=("read",), expires_at=expires_at))
    assert client.get("/ui/history").status_code == 200
    if ending == "revoked":
        keys.revoke("short", "org")
    else:
        clock.now += SECOND
    assert client.get("/ui/history").status_code == 303


def test_a_key_has_so_many_sessions_and_the_oldest_end_first(client, new_client, key, clock):
    others = new_client()
    for _ in range(MAX_OF_KEY - 1):
        clock.now += 1
        sign_in(others, key)
    assert client.get("/ui/history").status_code == 200
    clock.now += 1
    sign_in(others, key)
    assert client.get("/ui/history").status_code == 303
    assert others.get("/ui/history").status_code == 200


@pytest.mark.parametrize(
    "cookie", ["", ".", "x", "b3Jn.AAAA", "////.====", "b3Jn." + "A" * 10_000, "\u00e9.\u00e9", "%00.%00"]
)
def test_no_cookie_but_ours_opens_anything(new_client, cookie):
    answer = new_client().get("/ui/history", headers={"cookie": f"xpander_session={cookie}".encode()})
    assert answer.status_code == 303


def test_a_key_is_no_cookie_and_a_cookie_is_no_key(client, new_client, key):
    assert new_client().get("/ui/history", headers={"x-api-key": key}).status_code == 303
    cookie = client.cookies["xpander_session"]
    api = "/agent-execution/executions/history"
    assert client.get(api).status_code == 401
    assert client.get(api, headers={"x-api-key": cookie}).status_code == 401


def test_pages_count_as_uses_of_the_key(new_client, key):
    client = new_client(rate=Rate(3, 3_600.0))
    sign_in(client, key)
    statuses = [client.get("/ui/history").status_code for _ in range(3)]
    assert statuses == [200, 200, 429]


def test_wrong_keys_are_counted_as_those_of_the_api_are(new_client):
    client = new_client()
    statuses = {client.post("/ui/sign-in", data={"key": f"wrong-{number}"}).status_code for number in range(150)}
    assert statuses == {401, 429}


def test_another_organisations_runs_are_not_there(client, store):
    report(store, "theirs", organization_id="other", input="secret", llm_response="{}")
    for path in ("task", "task.json", "response.json"):
        answer = client.get(f"/ui/{path}?id=theirs")
        assert answer.status_code == 404
        assert "secret" not in answer.text
    assert "secret" not in client.get("/ui/history").text
    assert client.get("/ui/numbers?figure=agents&form=json").json() == []


@pytest.mark.parametrize(
    "path", ["/ui/sign-in", "/ui/history", "/ui/task?id=t", "/ui/metrics?last=all", "/ui/task?id=none"]
)
def test_every_page_runs_our_scripts_alone(client, store, path):
    report(store, "t", input="i")
    answer = client.get(path, follow_redirects=True)
    policy = answer.headers["content-security-policy"]
    assert policy.startswith(POLICY)
    assert {"form-action 'self'", "frame-ancestors 'none'", "base-uri 'none'"} <= set(policy.split("; "))
    assert answer.headers["cache-control"] == "no-store"
    assert " style=" not in answer.text
    assert "<style" not in answer.text
    assert answer.text.count("<script") == answer.text.count('<script src="/ui/static/')


OF_ANY_VIEW = ["since=yesterday", "last=1y", "agent_id=a%00b", "until=2026-13-45T00:00"]
OF_HISTORY = ["status=odd", "cursor=!!!", "cursor=AAAA", "q=" + "x" * 256]


@pytest.mark.parametrize(
    ("page", "query"),
    [*(("history", query) for query in OF_ANY_VIEW + OF_HISTORY), *(("metrics", query) for query in OF_ANY_VIEW)],
)
def test_a_view_that_cannot_be_is_told(client, page, query):
    answer = client.get(f"/ui/{page}?{query}")
    assert answer.status_code == 422
    assert 'role="alert"' in answer.text


def test_a_poll_is_answered_with_nothing_where_nothing_is_new(client, store):
    report(store, "t")
    first = client.get("/ui/history?part=runs")
    again = client.get("/ui/history?part=runs", headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    report(store, "t", result="new")
    assert client.get("/ui/history?part=runs", headers={"if-none-match": first.headers["etag"]}).status_code == 200


def test_numbers_as_csv_are_no_formulas(client, store):
    for name in ("=1+1", "+1", "-1", "@x", "plain"):
        report(store, name, agent_id=name)
    text = client.get("/ui/numbers?figure=agents&form=csv&last=all").text
    assert {line.split(",")[0] for line in text.splitlines()[1:]} == {"'=1+1", "'+1", "'-1", "'@x", "plain"}


@pytest.mark.skipif(not CORPUS.exists(), reason="the corpus of real runs is not beside this checkout")
def test_every_real_run_opens(shop: Shop):
    key = shop.key("all", "org", "read", "report")
    store = Store(shop.url)
    found = load_runs()
    assert len(found) == 833
    for run in found:
        given = report_for_run(run)
        given["llm_response"] = json.dumps(given["llm_response"], ensure_ascii=False)
        report(store, run["run"], **given)
    store.close()
    with running_server(shop.path) as server, httpx.Client(base_url=server.url) as client:
        assert client.post("/ui/sign-in", data={"key": key}).status_code == 303
        links: list[str] = []
        page = "/ui/history"
        while page:
            text = client.get(page).raise_for_status().text
            links += [html.unescape(link) for link in re.findall(r'<a class="open" href="([^"]+)"', text)]
            older = re.search(r'<a rel="next" href="([^"]+)"', text)
            page = html.unescape(older[1]) if older else ""
        assert sorted(httpx.URL(link).params["id"] for link in links) == sorted(run["run"] for run in found)
        for run in found:
            shown = client.get("/ui/task", params={"id": run["run"]})
            assert shown.status_code == 200
            assert html.escape(run["run"], quote=False) in shown.text
            response = client.get("/ui/response.json", params={"id": run["run"]})
            assert response.json() == [step["response"] for step in run["steps"]]
