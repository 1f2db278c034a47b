"""Pages over HTTP, without a browser: sessions, security headers, filters, downloads and every run of the corpus."""

import html
import json
import re
import time
from collections.abc import Callable, Iterator
from itertools import takewhile
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.testclient import TestClient

from server.conftest import StoreWithKeys
from support.corpus import CORPUS, load_runs, report_for_run
from support.server import running_server
from xpander_server.api.app import create_app
from xpander_server.auth.api_keys import ApiKeys
from xpander_server.auth.authentication import KeyAuthenticator
from xpander_server.auth.rate_limit import Rate
from xpander_server.auth.verifier import Verifier
from xpander_server.clock import SECOND
from xpander_server.domain.task import STALE_AFTER
from xpander_server.http.concurrency import run_in_threadpool
from xpander_server.store import Store, Submission
from xpander_server.web import page_routes
from xpander_server.web.sessions import MAX_SESSIONS_PER_KEY, SESSION_LIFETIME

CONTENT_SECURITY_POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'"


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
    def create(base_url: str = "http://server", rate: Rate | None = None) -> TestClient:
        authenticator = KeyAuthenticator(Verifier(store.keys, clock), rate)
        routes = page_routes(store, authenticator, clock)
        app = create_app(store, authenticator, run_in_threadpool, extra_routes=routes)
        return TestClient(app, base_url=base_url, follow_redirects=False)

    return create


@pytest.fixture
def client(new_client: Callable[..., TestClient], key: str) -> TestClient:
    """Return a client with a session."""
    client = new_client()
    sign_in(client, key)
    return client


@pytest.fixture
def key(store: Store) -> str:
    return ApiKeys(store.keys).create("reader", "org", scopes=("read",))


def report(store: Store, task_id: str, *, organization_id: str = "org", agent_id: str = "agent", **fields: Any) -> None:
    store.report(Submission(organization_id, agent_id, task_id, fields, None, 10**15))


def sign_in(client: TestClient, key: str, **fields: str) -> httpx.Response:
    response = client.post("/ui/sign-in", data={"key": key, **fields})
    assert response.status_code == 303, response.text
    return response


def test_sign_in_redirects_to_requested_page(new_client, key):
    client = new_client()
    response = client.get("/ui/history?agent_id=a%20b")
    assert (response.status_code, response.headers["location"]) == (
        303,
        "/ui/sign-in?next=%2Fui%2Fhistory%3Fagent_id%3Da%2520b",
    )
    form = client.get(response.headers["location"])
    assert 'value="/ui/history?agent_id=a%20b"' in form.text
    response = sign_in(client, key, next="/ui/history?agent_id=a%20b")
    assert response.headers["location"] == "/ui/history?agent_id=a%20b"


@pytest.mark.parametrize(
    "target",
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
def test_sign_in_never_redirects_to_another_site(new_client, key, target):
    assert sign_in(new_client(), key, next=target).headers["location"] == "/ui/history"


def test_cookie_is_limited_to_pages_and_to_tls_if_available(new_client, key):
    plain = sign_in(new_client(), key).headers["set-cookie"]
    assert {"HttpOnly", "SameSite=lax", "Path=/ui", f"Max-Age={SESSION_LIFETIME}"} <= set(plain.split("; "))
    assert "Secure" not in plain
    encrypted = sign_in(new_client("https://server"), key).headers["set-cookie"]
    assert encrypted.startswith("__Host-xpander_session=")
    assert {"HttpOnly", "SameSite=lax", "Path=/", "Secure"} <= set(encrypted.split("; "))
    assert "Domain" not in encrypted


def test_session_over_tls_needs_cookie_with_host_prefix(new_client, key):
    client = new_client("https://server")
    sign_in(client, key)
    assert client.get("/ui/history").status_code == 200
    value = client.cookies["__Host-xpander_session"]
    assert new_client("https://server").get("/ui/history", headers={"cookie": f"xpander_session={value}"}).is_redirect
    client.post("/ui/sign-out", headers={"origin": "https://server"})
    assert client.get("/ui/history").is_redirect


def test_store_does_not_contain_session_token(new_client, key, store, tmp_path):
    value = sign_in(new_client(), key).cookies["xpander_session"]
    store.close()
    stored = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert value.partition(".")[2].encode() not in stored


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
def test_form_from_another_site_is_rejected(new_client, key, headers, status):
    client = new_client()
    assert client.post("/ui/sign-in", data={"key": key}, headers=headers).status_code == status
    sign_in(client, key)
    assert client.post("/ui/sign-out", headers=headers).status_code == status
    assert client.get("/ui/history").status_code == (303 if status == 303 else 200)


def test_sign_out_requires_post(client):
    assert client.get("/ui/sign-out").status_code == 405
    assert client.get("/ui/history").status_code == 200


def test_session_expires(client, clock):
    clock.now += SESSION_LIFETIME * SECOND - 1
    assert client.get("/ui/history").status_code == 200
    clock.now += 1
    assert client.get("/ui/history").status_code == 303


@pytest.mark.parametrize("end", ["revoked", "expired"])
def test_session_ends_with_its_key(new_client, store, clock, end):
    keys = ApiKeys(store.keys)
    expires_at = clock.now + SECOND if end == "expired" else None
    client = new_client()
    sign_in(client, keys.create("short", "org", scopes=("read",), expires_at=expires_at))
    assert client.get("/ui/history").status_code == 200
    if end == "revoked":
        keys.revoke("short", "org")
    else:
        clock.now += SECOND
    assert client.get("/ui/history").status_code == 303


def test_number_of_sessions_per_key_is_limited(client, new_client, key, clock):
    other_client = new_client()
    for _ in range(MAX_SESSIONS_PER_KEY - 1):
        clock.now += 1
        sign_in(other_client, key)
    assert client.get("/ui/history").status_code == 200
    clock.now += 1
    sign_in(other_client, key)
    assert client.get("/ui/history").status_code == 303
    assert other_client.get("/ui/history").status_code == 200


@pytest.mark.parametrize(
    "cookie", ["", ".", "x", "b3Jn.AAAA", "////.====", "b3Jn." + "A" * 10_000, "\u00e9.\u00e9", "%00.%00"]
)
def test_malformed_cookie_is_rejected(new_client, cookie):
    response = new_client().get("/ui/history", headers={"cookie": f"xpander_session={cookie}".encode()})
    assert response.status_code == 303


def test_pages_reject_keys_and_api_rejects_cookies(client, new_client, key):
    assert new_client().get("/ui/history", headers={"x-api-key": key}).status_code == 303
    cookie = client.cookies["xpander_session"]
    api = "/agent-execution/executions/history"
    assert client.get(api).status_code == 401
    assert client.get(api, headers={"x-api-key": cookie}).status_code == 401


def test_pages_count_toward_rate_limit_of_key(new_client, key):
    client = new_client(rate=Rate(3, 3_600.0))
    sign_in(client, key)
    statuses = [client.get("/ui/history").status_code for _ in range(3)]
    assert statuses == [200, 200, 429]


def test_unknown_keys_are_rate_limited(new_client):
    client = new_client()
    attempts = (client.post("/ui/sign-in", data={"key": f"wrong-{number}"}).status_code for number in range(1_000))
    accepted = list(takewhile(lambda status: status != 429, attempts))
    assert set(accepted) == {401}
    assert len(accepted) < 1_000


def test_runs_of_another_organization_are_hidden(client, store):
    report(store, "theirs", organization_id="other", input="secret", llm_response="{}")
    for path in ("task", "task.json", "response.json"):
        response = client.get(f"/ui/{path}?id=theirs")
        assert response.status_code == 404
        assert "secret" not in response.text
    assert "secret" not in client.get("/ui/history").text
    assert client.get("/ui/numbers?figure=agents&form=json").json() == []


@pytest.mark.parametrize(
    "path", ["/ui/sign-in", "/ui/history", "/ui/task?id=t", "/ui/metrics?last=all", "/ui/task?id=none"]
)
def test_page_allows_only_own_scripts(client, store, path):
    report(store, "t", input="i")
    response = client.get(path, follow_redirects=True)
    policy = response.headers["content-security-policy"]
    assert policy.startswith(CONTENT_SECURITY_POLICY)
    assert {"form-action 'self'", "frame-ancestors 'none'", "base-uri 'none'"} <= set(policy.split("; "))
    assert response.headers["cache-control"] == "no-store"
    assert " style=" not in response.text
    assert "<style" not in response.text
    assert response.text.count("<script") == response.text.count('<script src="/ui/static/')


INVALID_FILTERS = ["since=yesterday", "last=1y", "agent_id=a%00b", "until=2026-13-45T00:00"]
INVALID_HISTORY_FILTERS = ["status=odd", "cursor=!!!", "cursor=AAAA", "q=" + "x" * 256]


@pytest.mark.parametrize(
    ("page", "query"),
    [
        *(("history", query) for query in INVALID_FILTERS + INVALID_HISTORY_FILTERS),
        *(("metrics", query) for query in INVALID_FILTERS),
    ],
)
def test_invalid_filter_is_reported(client, page, query):
    response = client.get(f"/ui/{page}?{query}")
    assert response.status_code == 422
    assert 'role="alert"' in response.text


def test_static_files_are_compressed_for_clients_that_accept_gzip(client):
    page = client.get("/ui/history").text
    for path in re.findall(r'(?:href|src)="(/ui/static/[^"]*)"', page):
        compressed = client.get(path, headers={"Accept-Encoding": "br, gzip"})
        plain = client.get(path, headers={"Accept-Encoding": "gzip;q=0, identity"})
        assert (compressed.headers["content-encoding"], compressed.headers["vary"]) == ("gzip", "Accept-Encoding")
        assert "content-encoding" not in plain.headers
        assert compressed.content == plain.content
    assert "content-encoding" not in client.get("/ui/history", headers={"Accept-Encoding": "gzip"}).headers


def test_runs_without_a_price_are_found(client, store):
    report(store, "priced", calls=[{"model": "own", "cost": 0.1}])
    report(store, "unpriced")
    page = client.get("/ui/history?cost=none").text
    assert re.findall('data-id="([^"]*)"', page) == ["unpriced"]
    assert "not priced" in page
    assert client.get("/ui/history?cost=0").status_code == 422


def test_poll_without_changes_returns_304(client, store):
    report(store, "t")
    first = client.get("/ui/history?part=runs")
    again = client.get("/ui/history?part=runs", headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    report(store, "t", result="new")
    assert client.get("/ui/history?part=runs", headers={"if-none-match": first.headers["etag"]}).status_code == 200


def test_csv_download_contains_no_formulas(client, store):
    for name in ("=1+1", "+1", "-1", "@x", "plain"):
        report(store, name, agent_id=name)
    text = client.get("/ui/numbers?figure=agents&form=csv&last=all").text
    assert {line.split(",")[0] for line in text.splitlines()[1:]} == {"'=1+1", "'+1", "'-1", "'@x", "plain"}


@pytest.mark.skipif(not CORPUS.exists(), reason="the corpus of real runs is not beside this checkout")
def test_every_run_of_corpus_is_shown(store_with_keys: StoreWithKeys):
    key = store_with_keys.create_key("all", "org", "read", "report")
    store = Store(store_with_keys.url)
    corpus = load_runs()
    assert len(corpus) == 833
    for run in corpus:
        fields = report_for_run(run)
        fields["llm_response"] = json.dumps(fields["llm_response"], ensure_ascii=False)
        report(store, run["run"], **fields)
    store.close()
    with running_server(store_with_keys.path) as server, httpx.Client(base_url=server.url) as client:
        assert client.post("/ui/sign-in", data={"key": key}).status_code == 303
        links: list[str] = []
        page = "/ui/history"
        while page:
            text = client.get(page).raise_for_status().text
            links += [html.unescape(link) for link in re.findall(r'<a class="open" href="([^"]+)"', text)]
            older = re.search(r'<a rel="next" href="([^"]+)"', text)
            page = html.unescape(older[1]) if older else ""
        assert sorted(httpx.URL(link).params["id"] for link in links) == sorted(run["run"] for run in corpus)
        for run in corpus:
            page_response = client.get("/ui/task", params={"id": run["run"]})
            assert page_response.status_code == 200
            assert html.escape(run["run"], quote=False) in page_response.text
            download = client.get("/ui/response.json", params={"id": run["run"]})
            assert download.json() == [step["response"] for step in run["steps"]]


def test_characters_that_html_forbids_are_shown_as_symbols(client, store):
    text = "".join(map(chr, [*range(0x20), 0x7F, 0x85, 0x9B]))
    report(store, "t", input=text, result=text, used_tools=[text], llm_response='{"k": "\\u0000\\u001b"}')
    for path in ("/ui/history?last=all", "/ui/task?id=t"):
        page = client.get(path).text
        assert "␀" in page
        assert not [character for character in page if ord(character) < 0x20 and character not in "\t\n\r"]
        assert not any(0x7F <= ord(character) <= 0x9F for character in page)


def test_run_is_shown_with_its_error_calls_and_context(client, store):
    report(
        store,
        "t",
        is_success=False,
        error="the <model> did not respond",
        calls=[
            {"model": "gpt-4o", "provider": "openai", "tokens": {"prompt_tokens": 1_000_000}},
            {"model": "gpt-4o-mini", "error": "overloaded"},
        ],
        conversation_id="chat & 42",
        parent_task_id="p/1",
        metadata={"environment": "a=b&c"},
    )
    page = client.get("/ui/task?id=t").text
    for text in ("the &lt;model&gt; did not respond", "gpt-4o-mini", "overloaded", "$2.50", "1,000,000"):
        assert text in page
    links = [html.unescape(link) for link in re.findall(r'href="(/ui/history\?[^"]*)"', page)]
    filters = [link for link in links if "conversation_id" in link or "metadata" in link]
    assert len(filters) == 2
    for link in filters:
        assert 'data-id="t"' in client.get(link).text
    assert 'data-id="t"' not in client.get("/ui/history?metadata=environment%3Dother").text
    assert "the &lt;model&gt; did not respond" in client.get("/ui/history").text


def test_stale_run_is_marked_and_found(client, store, clock):
    at = clock.now - STALE_AFTER - SECOND
    store.report(Submission("org", "agent", "killed", {"is_success": None}, reported_at=None, now=at))
    store.report(Submission("org", "agent", "done", {"is_success": True}, reported_at=None, now=at))
    store.report(Submission("org", "agent", "new", {"is_success": None}, reported_at=None, now=clock.now))
    assert "stale" not in client.get("/ui/task?id=new").text
    for path in ("/ui/task?id=killed", "/ui/history?is_stale=true"):
        page = client.get(path).text
        assert ">stale<" in page
        assert "executing" in page
    found = client.get("/ui/history?is_stale=true").text
    assert [name for name in ("killed", "done", "new") if f'data-id="{name}"' in found] == ["killed"]


def test_runs_are_grouped_by_day(client, store):
    report(store, "second")
    report(store, "first", created_at="2000-11-22T18:31:05Z")
    page = client.get("/ui/history").text
    headings = re.findall(r'class="day"><th[^>]*>([^<]*)', page)
    assert headings == ["Sun 9 Sep 2001 · 1 run", "Wed 22 Nov 2000 · 1 run"]
    assert ">18:31:05</time>" in page


@pytest.mark.parametrize(
    "query", ["sort=odd", "order=up", "rows=3", "offset=-1", "offset=10000", "min_cost=x", "columns=odd"]
)
def test_invalid_order_of_the_list_is_reported(client, query):
    assert client.get(f"/ui/history?{query}").status_code == 422


def choose_zone(client: TestClient, name: str, page: str, **headers: str) -> httpx.Response:
    return client.post("/ui/time-zone", data={"tz": name, "next": page}, headers=headers)


def test_a_file_of_runs_does_not_read_the_totals_of_the_view(client, store, monkeypatch):
    report(store, "first")
    monkeypatch.setattr(Store, "view", lambda *_: pytest.fail("a file has no totals"))
    assert [row["id"] for row in client.get("/ui/runs?form=json").json()] == ["first"]
    assert "first" in client.get("/ui/runs?form=csv").text


def test_time_zone_of_a_link_determines_days_times_links_and_downloads(store: Store, client: TestClient):
    report(store, "task")  # created at 2001-09-09 01:46:40 UTC
    page = client.get("/ui/history?tz=America/New_York").text
    assert "Sat 8 Sep 2001" in page
    assert ">21:46:40</time>" in page
    assert 'title="2001-09-08 21:46:40 (New York)"' in page
    links = re.findall(r'href="(/ui/(?!static)[^"]*)"', page)
    assert links
    assert [link for link in links if "tz=America%2FNew_York" not in link] == []
    day = "since=2001-09-08T00:00&until=2001-09-09T00:00&tz=America/New_York"
    rows = client.get(f"/ui/numbers?figure=runs&form=json&{day}").json()
    assert [(row["since"], row["total"]) for row in rows if row["total"]] == [("2001-09-08T21:00:00.000000-04:00", 1)]
    assert client.get(f"/ui/runs?form=json&{day}").json()[0]["created_at"] == "2001-09-08T21:46:40.000000-04:00"
    assert client.get(f"/ui/runs?form=json&{day.replace('America/New_York', 'UTC')}").json() == []
    # The page of an agent is rendered in another thread.
    assert "8 Sep 2001 00:00 – 9 Sep 2001 00:00 (New York)" in client.get(f"/ui/agent?id=agent&{day}").text


def test_chosen_time_zone_is_remembered_and_keeps_the_instants_of_the_page(client: TestClient):
    response = choose_zone(client, "Europe/Berlin", "/ui/metrics?since=2026-07-01T12%3A00&agent_id=a+b")
    assert response.status_code == 303
    assert response.headers["location"] == (
        "/ui/metrics?since=2026-07-01T12%3A00%3A00Z&agent_id=a+b&tz=Europe%2FBerlin"
    )
    assert "HttpOnly" in response.headers["set-cookie"]
    assert "tz=Europe%2FBerlin" in client.get("/ui/errors").text
    back = choose_zone(client, "UTC", "/ui/metrics?since=2026-07-01T14%3A00&tz=Europe%2FBerlin")
    assert back.headers["location"] == "/ui/metrics?since=2026-07-01T12%3A00%3A00.000000Z"
    assert "tz=" not in client.get("/ui/errors").text


def test_unknown_time_zone_is_ignored_with_a_message(store: Store, client: TestClient):
    report(store, "task")
    page = client.get("/ui/history?tz=Mars%2F<b>").text
    assert "Unknown time zone “Mars/&lt;b&gt;”; times are shown in UTC." in page
    assert "01:46:40" in page
    assert choose_zone(client, "Mars/Olympus", "/ui/history").status_code == 422


def test_form_of_time_zone_leads_to_no_other_site_and_is_not_accepted_from_one(client: TestClient):
    assert choose_zone(client, "UTC", "https://evil.example/ui/history").headers["location"] == "/ui/history"
    assert choose_zone(client, "UTC", "/ui/history", **{"sec-fetch-site": "cross-site"}).status_code == 403


@pytest.fixture
def admin(store: Store, new_client: Callable[..., TestClient]) -> TestClient:
    """Return a client with the session of an admin key."""
    client = new_client()
    sign_in(client, ApiKeys(store.keys).create("boss", "org", scopes=("read", "admin")))
    return client


def test_run_is_erased_after_confirmation_and_the_audit_log_names_the_key(store: Store, admin: TestClient):
    report(store, "task <1>", input="secret input", is_success=True)
    (link,) = re.findall(r'href="(/ui/erase[^"]*)"', admin.get("/ui/task?id=task+%3C1%3E").text)
    question = admin.get(html.unescape(link)).text
    assert "secret input" in question
    assert "task &lt;1&gt;" in question
    assert store.task("org", "task <1>") is not None  # the question alone erases nothing
    answer = admin.post("/ui/erase", data={"id": "task <1>"})
    assert answer.status_code == 200
    assert "task &lt;1&gt;" in answer.text
    assert "were erased" in answer.text
    assert admin.get("/ui/task?id=task+%3C1%3E").status_code == 404
    assert store.metrics("org").amounts["completed runs"] == 1
    (entry,) = store.audit_log("org", 10)
    assert (entry["actor"], entry["action"], entry["details"]) == ("boss", "erase", {"task_id": "task <1>", "tasks": 1})
    assert admin.post("/ui/erase", data={"id": "task <1>"}).status_code == 404


def test_erasure_is_hidden_from_other_keys_and_protected_from_other_sites(
    store: Store, client: TestClient, admin: TestClient, new_client: Callable[..., TestClient]
):
    report(store, "task", input="kept")
    assert "erase" not in client.get("/ui/task?id=task").text.lower()
    unknown = client.get("/ui/erase?id=none")
    assert (client.get("/ui/erase?id=task").text, client.post("/ui/erase", data={"id": "task"}).text) == (
        unknown.text, unknown.text,
    )  # fmt: skip
    assert admin.post("/ui/erase", data={"id": "task"}, headers={"sec-fetch-site": "cross-site"}).status_code == 403
    assert new_client().post("/ui/erase", data={"id": "task"}).status_code == 303
    for key in ("", "other"):
        assert admin.post("/ui/erase", data={"id": key}).status_code == 404
    assert store.task("org", "task") is not None
    assert store.audit_log("org", 10) == []


def test_page_of_an_error_has_the_links_to_the_other_pages_only_in_a_session(
    client: TestClient, new_client: Callable[..., TestClient]
):
    links = '<nav aria-label="Pages">'
    assert links in client.get("/ui/task?id=none").text
    refused = new_client().post("/ui/sign-out", headers={"sec-fetch-site": "cross-site"})
    assert refused.status_code == 403
    assert links not in refused.text


def test_page_of_an_invalid_filter_leads_back_to_the_same_period(client: TestClient):
    page = client.get("/ui/metrics?status=failed&last=30d&until=never")
    assert page.status_code == 422
    assert 'href="/ui/history?last=30d"' in page.text
