"""The application, called in-process: routes and refusals that no client of ours provokes."""

import json

import pytest

from xpander_server import contract
from xpander_server.embedded import Embedded
from xpander_server.store import StoreUnavailable

JSON = [(b"content-type", b"application/json")]
REPORT = b"/agent-execution/a/report_task"


@pytest.fixture
def app(tmp_path):
    made = Embedded(f"sqlite:///{tmp_path}/store.db", "org")
    yield made
    made.close()


def call(app: Embedded, method: str, target: bytes, body: bytes = b"", headers=JSON):
    status, answered, answer = app.call(method, target, headers, body)
    return status, dict(answered), json.loads(answer) if answer else None


def test_a_task_counts_at_the_time_that_was_last_said_of_it(app):
    metrics = b"/agents-metrics/a?since=2020-01-01T00:00:00Z&until=2020-01-02T00:00:00Z"
    for told, counted in ((b"2020-01-01T00:00:00Z", 1), (b"2020-01-01T23:59:59Z", 1), (b"2020-01-02T00:00:00Z", 0)):
        call(app, "POST", REPORT, b'{"id": "t", "created_at": "%s"}' % told)
        assert call(app, "GET", metrics)[2]["runs"]["total"] == counted
    assert call(app, "GET", b"/agents-metrics/a")[2]["runs"]["total"] == 1


@pytest.mark.parametrize("suffix", ["yaml", "json"])
def test_the_contract_is_served_verbatim(app, suffix):
    status, _, body = app.call("GET", f"/openapi.{suffix}".encode(), [], b"")
    assert (status, body) == (200, contract.document(suffix))


def test_the_json_form_of_the_contract_says_the_same_as_the_yaml():
    import yaml

    assert json.loads(contract.document("json")) == yaml.safe_load(contract.document("yaml"))


def test_every_operation_of_the_contract_is_answered(app):
    bodies = {"reportExecution": b'{"execution_id": "e"}'}
    for name, operation in contract.operations().items():
        path = operation.path.format(agent_id="a", task_id="t", user_id="u").encode()
        status, _, answer = call(app, operation.method, path, bodies.get(name, b"{}"))
        assert status == 200 or answer == {"detail": "There is no task 't' in this organization."}


def test_the_organization_may_stand_in_front_if_it_is_the_right_one(app):
    assert call(app, "POST", b"/org" + REPORT, b"{}")[0] == 200
    assert call(app, "POST", b"/%6frg" + REPORT, b"{}")[0] == 200
    assert call(app, "POST", b"/other" + REPORT, b"{}")[0] == 403
    assert call(app, "POST", b"/%ff" + REPORT, b"{}")[0] == 403


@pytest.mark.parametrize("target", [b"/", b"/nothing", b"/agent-execution/t/status/", b"/agent-execution//status"])
def test_an_unknown_path_is_not_found(app, target):
    assert call(app, "GET", target)[::2] == (404, {"detail": "Not Found."})


def test_a_wrong_method_is_told_which_are_right(app):
    status, headers, answer = call(app, "DELETE", REPORT)
    assert (status, headers[b"allow"], answer) == (405, b"POST", {"detail": "Method Not Allowed."})


@pytest.mark.parametrize(
    ("body", "loc", "rule"),
    [
        (b'{"duration": "soon"}', ["body", "duration"], "type"),
        (b'{"id": ""}', ["body", "id"], "minLength"),
        (b'{"id": "a\\u0000b"}', ["body", "id"], "pattern"),
        (b'{"tokens": {"prompt_tokens": 1.5}}', ["body", "tokens", "prompt_tokens"], "type"),
        (b'{"tokens": 5}', ["body", "tokens"], "type"),
        (b'{"used_tools": ["a", 5]}', ["body", "used_tools", 1], "type"),
        (b'{"resutl": "typo"}', ["body", "resutl"], "additionalProperties"),
        (b'{"created_at": "1970-12-31T23:59:59Z"}', ["body", "created_at"], "pattern"),
        (b'{"finished_at": "2021-02-29T00:00:00Z"}', ["body", "finished_at"], "format"),
        (b"[]", ["body"], "type"),
    ],
)
def test_a_body_that_breaks_a_rule_is_told_where_and_which(app, body, loc, rule):
    status, _, answer = call(app, "POST", REPORT, body)
    assert status == 422
    assert (answer["detail"][0]["loc"], answer["detail"][0]["type"]) == (loc, rule)


def test_a_refusal_does_not_repeat_what_was_sent(app):
    _, _, answer = call(app, "POST", REPORT, b'{"duration": "hunter2", "tokens": {"prompt_tokens": "hunter2"}}')
    assert "hunter2" not in json.dumps(answer)


@pytest.mark.parametrize(
    "target",
    [
        b"?limit=0", b"?limit=1001", b"?limit=1_0", b"?limit=%EF%BC%91", b"?limit=", b"?limit=1&limit=1",
        b"?limit=1000000000000000000000000000000", b"?cursor=AAAA", b"?cursor=%00", b"?status=happy", b"?user_id=",
    ],
)  # fmt: skip
def test_a_query_that_breaks_a_rule_is_refused(app, target):
    status, _, answer = call(app, "GET", b"/agent-execution/executions/history/a" + target)
    assert (status, answer["detail"][0]["loc"][0]) == (422, "query")


@pytest.mark.parametrize("time", [b"now", b"2026-01-01", b"2026-02-30T00:00:00Z"])
def test_a_time_that_is_none_is_refused(app, time):
    status, _, answer = call(app, "GET", b"/agents-metrics/a?since=" + time)
    assert (status, answer["detail"][0]["loc"]) == (422, ["query", "since"])


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", "not valid JSON"),
        (b"{", "not valid JSON"),
        (b"\xff", "not valid JSON"),
        (b'{"duration": NaN}', "NaN, Infinity, a number out of range, or a lone surrogate"),
        (b'{"llm_response": 1e999}', "a number out of range"),
        (b'{"input": "\\ud800"}', "lone surrogate"),
        (b'{"llm_response": 1' + b"0" * 5_000 + b"}", "not valid JSON"),
        (b'{"llm_response": ' + b"[" * 600 + b"]" * 600 + b"}", "deeper than 512"),
        (b"[" * 100_000 + b"]" * 100_000, "deeper than 512"),
    ],
    ids=["empty", "half", "binary", "nan", "1e999", "surrogate", "long integer", "600 levels", "100000 levels"],
)
def test_a_body_that_is_no_json_within_the_bounds_is_malformed(app, body, told):
    status, _, answer = call(app, "POST", REPORT, body)
    assert status == 400
    assert told in answer["detail"]


def test_many_brackets_side_by_side_are_no_nesting(app):
    assert call(app, "POST", REPORT, b'{"llm_response": [' + b"[]," * 600 + b"[]]}")[0] == 200


def test_an_llm_response_is_kept_to_the_letter(app):
    app.call("POST", REPORT, JSON, b'{"id": "t", "llm_response": {"b": 1.10, "a": [1e2,  2]}}')
    _, _, body = app.call("GET", b"/agent-execution/t/status", [], b"")
    assert b'"llm_response":{"b": 1.10, "a": [1e2,  2]}' in body


@pytest.mark.parametrize("headers", [[], [(b"content-type", b"text/plain")], [(b"Content-Type", b"application/jsonx")]])
def test_a_body_of_another_kind_is_refused(app, headers):
    assert call(app, "POST", REPORT, b"{}", headers)[0] == 415


def test_a_parameter_of_the_content_type_does_no_harm(app):
    assert call(app, "POST", REPORT, b"{}", [(b"content-type", b"Application/JSON; charset=utf-8")])[0] == 200


def test_a_store_that_does_not_answer_is_a_503_that_says_when_to_come_back(app, monkeypatch, caplog):
    def unavailable(*_: object, **__: object) -> None:
        raise StoreUnavailable("database is locked")

    monkeypatch.setattr(app._store, "report", unavailable)
    status, headers, answer = call(app, "POST", REPORT, b"{}")
    assert (status, headers[b"retry-after"], answer) == (503, b"1", {"detail": "The store does not answer."})
    assert "database is locked" in caplog.text


def test_the_answer_carries_the_id_of_the_request_or_one_of_its_own(app):
    assert call(app, "GET", b"/health", headers=[(b"x-request-id", b"mine")])[1][b"x-request-id"] == b"mine"
    for odd in (b"", b"a b", b"x" * 129, b"\xff"):
        given = call(app, "GET", b"/nothing", headers=[(b"x-request-id", odd)])[1][b"x-request-id"]
        assert len(given) == 32


def test_a_fault_of_ours_is_logged_and_answered_without_a_trace(app, monkeypatch, caplog):
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("hunter2")

    monkeypatch.setattr(app._store, "report", broken)
    status, _, answer = call(app, "POST", REPORT, b"{}")
    assert (status, answer) == (500, {"detail": "Internal server error."})
    assert "hunter2" in caplog.text
