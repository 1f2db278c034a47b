"""Batches of reports, in-process: outcomes, limits, rate limits, and how clients learn of batches."""

import gzip
import json
from typing import Any

import pytest

from xpander_server import contract
from xpander_server.api.app import create_app
from xpander_server.api.handlers import MAX_REPORTS
from xpander_server.auth.api_keys import ApiKeys
from xpander_server.auth.authentication import KeyAuthenticator
from xpander_server.auth.rate_limit import Rate
from xpander_server.auth.verifier import Verifier
from xpander_server.body_json import MAX_BATCH_VALUES, MAX_DEPTH, MAX_LONG_DIGITS
from xpander_server.embedded import Embedded, _request
from xpander_server.http.concurrency import run_in_threadpool
from xpander_server.store import Store

JSON = [(b"content-type", b"application/json")]
REPORTS = b"/agent-execution/reports"


@pytest.fixture
def app(tmp_path):
    embedded = Embedded(f"sqlite:///{tmp_path}/store.db", "org")
    yield embedded
    embedded.close()


def call(app: Embedded, method: str, target: bytes, body: bytes = b"", headers=JSON) -> tuple[int, dict, Any]:
    status, response_headers, response_body = app.call(method, target, headers, body)
    return status, dict(response_headers), json.loads(response_body) if response_body else None


def report_all(app: Embedded, *reports: Any) -> list[dict[str, Any]]:
    """Send a batch and return the outcomes."""
    status, _, response = call(app, "POST", REPORTS, json.dumps({"reports": reports}).encode())
    assert status == 200, response
    return response["outcomes"]


def get_task(app: Embedded, task_id: str) -> dict[str, Any]:
    status, _, task = call(app, "GET", f"/agent-execution/{task_id}/status".encode())
    assert status == 200, task
    return task


def problems(outcome: dict[str, Any]) -> list[tuple[list[Any], str]]:
    return [(problem["loc"], problem["type"]) for problem in outcome["error"]["detail"]]


def test_every_report_of_a_batch_is_stored_as_if_sent_alone(app):
    report = {"input": "in", "llm_response": {"cost": 1.5}, "is_success": True, "duration": 2, "used_tools": ["a"]}
    outcomes = report_all(app, {"agent_id": "a", "id": "t1", **report}, {"agent_id": "b/ü", "id": "t2", **report})
    assert [outcome["status"] for outcome in outcomes] == [200, 200]
    call(app, "POST", b"/agent-execution/a/report_task", json.dumps({"id": "alone", **report}).encode())
    alone, times = get_task(app, "alone"), {"created_at", "updated_at", "started_at", "finished_at"}
    for task_id, agent_id in (("t1", "a"), ("t2", "b/ü")):
        task = get_task(app, task_id)
        assert {**task, **{name: alone[name] for name in times}} == {**alone, "id": task_id, "agent_id": agent_id}
    assert call(app, "GET", b"/agents-metrics")[2]["runs"]["completed"] == 3


def test_an_outcome_contains_the_task_without_its_documents(app):
    (outcome,) = report_all(app, {"agent_id": "a", "id": "t", "input": "in", "result": "out", "is_success": False})
    task = get_task(app, "t")
    assert outcome == {
        "status": 200,
        "task": {
            "id": "t",
            "agent_id": "a",
            "organization_id": "org",
            "status": "failed",
            "is_stale": False,
            "user_id": None,
            "parent_task_id": None,
            "triggering_agent_id": None,
            "conversation_id": None,
            "created_at": task["created_at"],
            "updated_at": task["updated_at"],
        },
    }


def test_a_report_without_an_id_gets_one(app):
    (outcome,) = report_all(app, {"agent_id": "a", "result": "out"})
    assert get_task(app, outcome["task"]["id"])["result"] == "out"


def test_an_invalid_report_fails_alone_with_the_place_of_its_problem(app):
    outcomes = report_all(
        app,
        {"agent_id": "a", "id": "t1"},
        {"agent_id": "a", "id": "t2", "duration": "soon"},
        {"agent_id": "a", "id": "t3", "used_tools": ["a", 5]},
        {"id": "t4"},
        {"agent_id": "..", "id": "t5"},
        {"agent_id": "a", "id": "t6", "reported_at": -1},
        {"agent_id": "a", "id": "t7", "unknown": 1},
        "no object",
        None,
        {"agent_id": "a", "id": "t8"},
    )
    assert [outcome["status"] for outcome in outcomes] == [200, *[422] * 8, 200]
    assert [problems(outcome) for outcome in outcomes[1:9]] == [
        [(["body", "reports", 1, "duration"], "type")],
        [(["body", "reports", 2, "used_tools", 1], "type")],
        [(["body", "reports", 3], "required")],
        [(["body", "reports", 4, "agent_id"], "pattern")],
        [(["body", "reports", 5, "reported_at"], "minimum")],
        [(["body", "reports", 6, "unknown"], "additionalProperties")],
        [(["body", "reports", 7], "type")],
        [(["body", "reports", 8], "type")],
    ]
    assert call(app, "GET", b"/agents-metrics")[2]["runs"]["total"] == 2


def test_a_report_of_another_agents_task_fails_alone(app):
    report_all(app, {"agent_id": "theirs", "id": "t", "result": "first"})
    outcomes = report_all(
        app,
        {"agent_id": "a", "id": "t1"},
        {"agent_id": "a", "id": "t", "result": "mine"},
        {"agent_id": "a", "id": "t2"},
    )
    assert [outcome["status"] for outcome in outcomes] == [200, 409, 200]
    assert "belongs to another agent" in outcomes[1]["error"]["detail"]
    assert get_task(app, "t")["result"] == "first"


def test_the_first_agent_of_a_new_id_in_a_batch_owns_it(app):
    outcomes = report_all(app, {"agent_id": "a", "id": "t"}, {"agent_id": "b", "id": "t"}, {"agent_id": "a", "id": "t"})
    assert [outcome["status"] for outcome in outcomes] == [200, 409, 200]
    assert get_task(app, "t")["agent_id"] == "a"


def test_reports_of_one_id_are_merged_in_their_order(app):
    outcomes = report_all(
        app,
        {"agent_id": "a", "id": "t", "result": "draft", "input": "in"},
        {"agent_id": "a", "id": "t", "result": "final", "is_success": True},
    )
    assert [outcome["task"]["status"] for outcome in outcomes] == ["executing", "completed"]
    task = get_task(app, "t")
    assert (task["input"]["text"], task["result"], task["status"]) == ("in", "final", "completed")
    assert call(app, "GET", b"/agents-metrics/a")[2]["runs"] == {
        "total": 1,
        "completed": 1,
        "failed": 0,
        "executing": 0,
    }


def test_a_late_report_in_a_batch_does_not_replace_newer_values(app):
    report_all(
        app,
        {"agent_id": "a", "id": "t", "result": "newer", "reported_at": 1_767_605_400_000_002},
        {"agent_id": "a", "id": "t", "result": "older", "reported_at": 1_767_605_400_000_001},
    )
    assert get_task(app, "t")["result"] == "newer"


def test_a_repeated_batch_changes_nothing(app):
    reports = [{"agent_id": "a", "id": f"t{n}", "reported_at": n, "result": "r", "duration": 1.5} for n in range(3)]
    assert report_all(app, *reports) == report_all(app, *reports)
    assert call(app, "GET", b"/agents-metrics")[2]["runs"]["total"] == 3


def test_a_response_is_stored_as_the_batch_states_it(app):
    body = b'{"reports": [{"agent_id": "a", "id": "t", "llm_response": {"b": 1.10, "a": 12345678901234567890123}}]}'
    assert call(app, "POST", REPORTS, body)[0] == 200
    assert (
        b'"llm_response":{"b": 1.10, "a": 12345678901234567890123}'
        in app.call("GET", b"/agent-execution/t/status", [], b"")[2]
    )


@pytest.mark.parametrize(
    ("body", "loc", "rule"),
    [
        (b"[]", ["body"], "type"),
        (b"null", ["body"], "type"),
        (b"{}", ["body"], "required"),
        (b'{"reports": []}', ["body", "reports"], "minItems"),
        (b'{"reports": null}', ["body", "reports"], "type"),
        (b'{"reports": {"0": {"agent_id": "a"}}}', ["body", "reports"], "type"),
        (b'{"reports": [{"agent_id": "a"}], "more": 1}', ["body", "more"], "additionalProperties"),
    ],
)
def test_a_malformed_batch_is_refused_as_a_whole(app, body, loc, rule):
    status, _, response = call(app, "POST", REPORTS, body)
    assert (status, problems({"error": response})) == (422, [(loc, rule)])


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"reports": [{"agent_id": "a", "duration": NaN}]}',
        b'{"reports": [{"agent_id": "a", "result": "\\ud800"}]}',
        b'{"reports": [{"agent_id": "a"}]} {}',
        b'{"reports": 1, "reports": [{"agent_id": "a"}]}',
        b'{"reports": [' + b"[" * 10_000 + b"]" * 10_000 + b"]}",
    ],
)
def test_a_batch_that_is_not_json_is_refused_as_a_whole(app, body):
    status, _, response = call(app, "POST", REPORTS, body)
    assert (status, type(response["detail"])) == (400, str)
    assert call(app, "GET", b"/agents-metrics")[2]["runs"]["total"] == 0


def test_a_report_that_exceeds_a_limit_of_a_body_fails_alone(app):
    nested = b'{"agent_id": "a", "llm_response": ' + b"[" * MAX_DEPTH + b"]" * MAX_DEPTH + b"}"
    large = b'{"agent_id": "a", "llm_response": [' + b",".join([b"9" * 1_000] * (MAX_LONG_DIGITS // 1_000 + 1)) + b"]}"
    not_utf_8 = b'{"agent_id": "a", "result": "\xff"}'
    body = b'{"reports": [%s, %s, %s, {"agent_id": "a"}]}' % (nested, large, not_utf_8)
    status, _, response = call(app, "POST", REPORTS, body)
    assert status == 200
    assert [outcome["status"] for outcome in response["outcomes"]] == [400, 400, 400, 200]


@pytest.mark.parametrize(
    "body",
    [
        json.dumps({"reports": [{"agent_id": "a"}] * (MAX_REPORTS + 1)}).encode(),
        b'{"reports": [%s]}' % b",".join([b"0"] * (MAX_BATCH_VALUES + 1)),
        b'{"reports": [{"agent_id": "a", "result": "%s"}]}' % (b"x" * 4 * 1024 * 1024),
    ],
    ids=["reports", "values", "bytes"],
)
def test_a_batch_above_a_limit_is_too_large(app, body):
    status, _, response = call(app, "POST", REPORTS, body)
    assert (status, type(response["detail"])) == (413, str)
    assert call(app, "GET", b"/agents-metrics")[2]["runs"]["total"] == 0


def test_a_batch_may_have_the_largest_number_of_reports(app):
    outcomes = report_all(app, *({"agent_id": "a", "id": f"t{number}"} for number in range(MAX_REPORTS)))
    assert [outcome["task"]["id"] for outcome in outcomes] == [f"t{number}" for number in range(MAX_REPORTS)]


def test_a_batch_may_be_compressed_and_begin_with_a_byte_order_mark(app):
    body = b'\xef\xbb\xbf{"reports": [{"agent_id": "a", "id": "t"}]}'
    assert call(app, "POST", REPORTS, gzip.compress(body), [*JSON, (b"content-encoding", b"gzip")])[0] == 200
    assert get_task(app, "t")["agent_id"] == "a"


def test_limit_of_reports_is_that_of_the_contract():
    description = json.loads(contract.document("json"))["components"]["schemas"]
    assert description["TaskReports"]["properties"]["reports"]["maxItems"] == MAX_REPORTS


def test_reports_of_a_batch_have_all_fields_of_a_report():
    schemas = json.loads(contract.document("json"))["components"]["schemas"]
    batch = schemas["BatchReport"]["properties"]
    assert {name: batch[name] for name in batch if name not in ("agent_id", "reported_at")} == schemas["TaskReport"][
        "properties"
    ]


def test_batches_are_advertised_with_reports_and_in_the_health(app):
    _, headers, _ = call(app, "POST", b"/agent-execution/a/report_task", b"{}")
    assert headers[b"x-report-batch"] == str(MAX_REPORTS).encode()
    assert call(app, "GET", b"/health")[2]["report_batch"] == MAX_REPORTS


class TestKeys:
    """Batches of callers with keys and rate limits."""

    @pytest.fixture
    def store(self, tmp_path):
        store = Store(f"sqlite:///{tmp_path}/store.db")
        yield store
        store.close()

    async def _send(self, app: Any, key: str, *reports: Any) -> tuple[int, dict[bytes, bytes], Any]:
        body = json.dumps({"reports": reports}).encode()
        headers = [*JSON, (b"x-api-key", key.encode())]
        status, response_headers, response_body = await _request(app, "POST", REPORTS, headers, body)
        return status, dict(response_headers), json.loads(response_body)

    @pytest.mark.anyio
    async def test_a_rate_limit_counts_each_report(self, store):
        key = ApiKeys(store.keys).create("key", "org")
        app = create_app(store, KeyAuthenticator(Verifier(store.keys), Rate(10, 3600)), run_in_threadpool)
        status, headers, _ = await self._send(app, key, *[{"agent_id": "a"}] * 7)
        assert (status, headers[b"x-ratelimit-remaining"]) == (200, b"3")
        status, headers, _ = await self._send(app, key, *[{"agent_id": "a"}] * 4)
        assert (status, headers[b"retry-after"]) == (429, b"360")  # one of the four is missing
        assert (await self._send(app, key, *[{"agent_id": "a"}] * 3))[0] == 200
        assert store.metrics("org").amounts["executing runs"] == 10

    @pytest.mark.anyio
    async def test_a_batch_above_the_burst_needs_a_full_bucket_and_is_paid_off(self, store):
        key = ApiKeys(store.keys).create("key", "org")
        app = create_app(store, KeyAuthenticator(Verifier(store.keys), Rate(10, 3600)), run_in_threadpool)
        status, headers, _ = await self._send(app, key, *[{"agent_id": "a"}] * 25)
        assert (status, headers[b"x-ratelimit-remaining"]) == (200, b"0")
        status, headers, _ = await self._send(app, key, {"agent_id": "a"})
        assert (status, int(headers[b"retry-after"])) == (429, 16 * 360)

    @pytest.mark.anyio
    async def test_a_key_without_read_learns_only_what_the_batch_states(self, store):
        full = ApiKeys(store.keys).create("full", "org")
        reporter = ApiKeys(store.keys).create("reporter", "org", scopes=["report"])
        app = create_app(store, KeyAuthenticator(Verifier(store.keys)), run_in_threadpool)
        await self._send(app, full, {"agent_id": "a", "id": "t", "is_success": True, "user_id": "secret"})
        _, _, response = await self._send(
            app,
            reporter,
            {"agent_id": "a", "id": "t", "result": "r"},
            {"agent_id": "a", "id": "t", "is_success": False},
        )
        tasks = [outcome["task"] for outcome in response["outcomes"]]
        assert [(task["status"], task["user_id"]) for task in tasks] == [("executing", None), ("failed", None)]

    @pytest.mark.anyio
    async def test_a_key_without_report_is_forbidden(self, store):
        key = ApiKeys(store.keys).create("reader", "org", scopes=["read"])
        app = create_app(store, KeyAuthenticator(Verifier(store.keys)), run_in_threadpool)
        assert (await self._send(app, key, {"agent_id": "a"}))[0] == 403
