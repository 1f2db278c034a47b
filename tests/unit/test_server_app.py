"""Application, called in-process: routes, validation and error responses."""

import json

import pytest

from xpander_server import contract
from xpander_server.embedded import Embedded
from xpander_server.store import Store, StoreUnavailable

JSON = [(b"content-type", b"application/json")]
REPORT = b"/agent-execution/a/report_task"


@pytest.fixture
def app(tmp_path):
    embedded = Embedded(f"sqlite:///{tmp_path}/store.db", "org")
    yield embedded
    embedded.close()


def call(app: Embedded, method: str, target: bytes, body: bytes = b"", headers=JSON):
    status, response_headers, response_body = app.call(method, target, headers, body)
    return status, dict(response_headers), json.loads(response_body) if response_body else None


def test_latest_created_at_determines_the_time_in_metrics(app):
    metrics = b"/agents-metrics/a?since=2020-01-01T00:00:00Z&until=2020-01-02T00:00:00Z"
    for created_at, runs in ((b"2020-01-01T00:00:00Z", 1), (b"2020-01-01T23:59:59Z", 1), (b"2020-01-02T00:00:00Z", 0)):
        call(app, "POST", REPORT, b'{"id": "t", "created_at": "%s"}' % created_at)
        assert call(app, "GET", metrics)[2]["runs"]["total"] == runs
    assert call(app, "GET", b"/agents-metrics/a")[2]["runs"]["total"] == 1


@pytest.mark.parametrize("suffix", ["yaml", "json"])
def test_contract_is_served_verbatim(app, suffix):
    status, _, body = app.call("GET", f"/openapi.{suffix}".encode(), [], b"")
    assert (status, body) == (200, contract.document(suffix))


def test_json_and_yaml_of_contract_are_equal():
    import yaml

    assert json.loads(contract.document("json")) == yaml.safe_load(contract.document("yaml"))


def test_every_operation_of_contract_is_implemented(app):
    bodies = {"reportExecution": b'{"execution_id": "e"}', "reportTasks": b'{"reports": [{"agent_id": "a"}]}'}
    for name, operation in contract.operations().items():
        path = operation.path.format(agent_id="a", task_id="t", user_id="u").encode()
        status, _, response = call(app, operation.method, path, bodies.get(name, b"{}"))
        assert status == 200 or response == {"detail": "There is no task 't' in this organization."}


def test_operations_of_otlp_are_described_and_have_their_own_routes(app):
    paths = json.loads(contract.document("json"))["paths"]
    described = {
        (method.upper(), path): operation["operationId"]
        for path, item in paths.items()
        for method, operation in item.items()
        if method != "parameters" and "traces" in operation["tags"]
    }
    assert set(described.values()) == {"exportTraces", "listSpanRefusals"}
    assert not set(described.values()) & set(contract.operations())
    assert [call(app, method, path.encode(), b"{}")[::2] for method, path in described] == [
        (200, {}), (200, {"refusals": []}),
    ]  # fmt: skip


def test_path_may_start_with_own_organization(app):
    assert call(app, "POST", b"/org" + REPORT, b"{}")[0] == 200
    assert call(app, "POST", b"/%6frg" + REPORT, b"{}")[0] == 200
    assert call(app, "POST", b"/other" + REPORT, b"{}")[0] == 403
    assert call(app, "POST", b"/%ff" + REPORT, b"{}")[0] == 403


@pytest.mark.parametrize("target", [b"/", b"/nothing", b"/agent-execution/t/status/", b"/agent-execution//status"])
def test_unknown_path_is_not_found(app, target):
    assert call(app, "GET", target)[::2] == (404, {"detail": "Not Found."})


def test_wrong_method_gets_allow_header(app):
    status, headers, response = call(app, "DELETE", REPORT)
    assert (status, headers[b"allow"], response) == (405, b"POST", {"detail": "Method Not Allowed."})


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
def test_invalid_body_gets_location_and_rule(app, body, loc, rule):
    status, _, response = call(app, "POST", REPORT, body)
    assert status == 422
    assert (response["detail"][0]["loc"], response["detail"][0]["type"]) == (loc, rule)


def test_error_response_does_not_contain_values(app):
    _, _, response = call(app, "POST", REPORT, b'{"duration": "hunter2", "tokens": {"prompt_tokens": "hunter2"}}')
    assert "hunter2" not in json.dumps(response)


@pytest.mark.parametrize(
    "target",
    [
        b"?limit=0", b"?limit=1001", b"?limit=1_0", b"?limit=%EF%BC%91", b"?limit=", b"?limit=1&limit=1",
        b"?limit=1000000000000000000000000000000", b"?cursor=AAAA", b"?cursor=%00", b"?status=happy", b"?user_id=",
    ],
)  # fmt: skip
def test_invalid_query_is_rejected(app, target):
    status, _, response = call(app, "GET", b"/agent-execution/executions/history/a" + target)
    assert (status, response["detail"][0]["loc"][0]) == (422, "query")


@pytest.mark.parametrize("time", [b"now", b"2026-01-01", b"2026-02-30T00:00:00Z"])
def test_invalid_time_is_rejected(app, time):
    status, _, response = call(app, "GET", b"/agents-metrics/a?since=" + time)
    assert (status, response["detail"][0]["loc"]) == (422, ["query", "since"])


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "not valid JSON"),
        (b"{", "not valid JSON"),
        (b"\xff", "not valid JSON"),
        (b'{"duration": NaN}', "contains NaN, which is not JSON"),
        (b'{"llm_response": 1e999}', "a number out of range"),
        (b'{"input": "\\ud800"}', "lone surrogate"),
        (b'{"llm_response": 1' + b"0" * 5_000 + b"}", "not valid JSON"),
        (b'{"llm_response": ' + b"[" * 600 + b"]" * 600 + b"}", "deeper than 512"),
        (b"[" * 100_000 + b"]" * 100_000, "deeper than 512"),
    ],
    ids=["empty", "half", "binary", "nan", "1e999", "surrogate", "long integer", "600 levels", "100000 levels"],
)
def test_malformed_body_is_rejected_with_reason(app, body, reason):
    status, _, response = call(app, "POST", REPORT, body)
    assert status == 400
    assert reason in response["detail"]


def test_many_brackets_without_nesting_are_accepted(app):
    assert call(app, "POST", REPORT, b'{"llm_response": [' + b"[]," * 600 + b"[]]}")[0] == 200


def test_llm_response_is_stored_verbatim(app):
    app.call("POST", REPORT, JSON, b'{"id": "t", "llm_response": {"b": 1.10, "a": [1e2,  2]}}')
    _, _, body = app.call("GET", b"/agent-execution/t/status", [], b"")
    assert b'"llm_response":{"b": 1.10, "a": [1e2,  2]}' in body


@pytest.mark.parametrize("headers", [[], [(b"content-type", b"text/plain")], [(b"Content-Type", b"application/jsonx")]])
def test_wrong_content_type_is_rejected(app, headers):
    assert call(app, "POST", REPORT, b"{}", headers)[0] == 415


def test_content_type_may_have_parameters(app):
    assert call(app, "POST", REPORT, b"{}", [(b"content-type", b"Application/JSON; charset=utf-8")])[0] == 200


def test_unavailable_store_gets_503_with_retry_after(app, monkeypatch):
    def unavailable(*_: object, **__: object) -> None:
        raise StoreUnavailable("database is locked")

    monkeypatch.setattr(Store, "report", unavailable)
    status, headers, response = call(app, "POST", REPORT, b"{}")
    assert (status, headers[b"retry-after"], response) == (503, b"1", {"detail": "The store does not answer."})


def test_response_has_request_id_of_client_or_new_id(app):
    assert call(app, "GET", b"/health", headers=[(b"x-request-id", b"mine")])[1][b"x-request-id"] == b"mine"
    for invalid in (b"", b"a b", b"x" * 129, b"\xff"):
        request_id = call(app, "GET", b"/nothing", headers=[(b"x-request-id", invalid)])[1][b"x-request-id"]
        assert len(request_id) == 32


def test_unexpected_exception_is_logged_and_hidden(app, monkeypatch, caplog):
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("hunter2")

    monkeypatch.setattr(Store, "report", broken)
    status, _, response = call(app, "POST", REPORT, b"{}")
    assert (status, response) == (500, {"detail": "Internal server error."})
    assert "hunter2" in caplog.text
