"""Conversion of the official SDK's `report_metrics` to a report."""

import json

import pytest

from xpander_server.api.execution_reports import report_from_execution
from xpander_server.embedded import Embedded

UNKNOWN = dict.fromkeys(["input", "tokens", "is_success", "result", "duration", "used_tools"])
OFFICIAL = {
    "execution_id": "t", "source": "external", "sub_executions": [], "memory_thread_id": "t", "task": "hello",
    "triggered_by": "N/A", "skills": [], "status": "completed", "internal_status": None, "duration": 0.0,
    "ai_model": "xpander", "worker": None, "ai_employee_id": None, "api_calls_made": ["x", "y"], "result": "res",
    "llm_tokens": {
        "inner": {"completion_tokens": 0, "prompt_tokens": 1, "cache_read_tokens": 0, "cache_write_tokens": 0,
                  "total_tokens": 1},
        "worker": {"completion_tokens": 2, "prompt_tokens": 5, "cache_read_tokens": 1, "cache_write_tokens": 0,
                   "total_tokens": 7},
    },
}  # fmt: skip


@pytest.fixture
def app(tmp_path):
    embedded = Embedded(f"sqlite:///{tmp_path}/store.db", "org")
    yield embedded
    embedded.close()


def report(app: Embedded, execution: object, agent: bytes = b"a") -> tuple[int, dict]:
    status, _, body = app.call(
        "POST", b"/agents-metrics/%s/execution" % agent, [(b"content-type", b"application/json")],
        json.dumps(execution).encode(),
    )  # fmt: skip
    return status, json.loads(body)


def test_execution_becomes_the_equivalent_report():
    assert report_from_execution(OFFICIAL) == {
        "id": "t", "input": "hello", "is_success": True, "result": "res", "duration": None, "used_tools": ["x", "y"],
        "tokens": {"completion_tokens": 2, "prompt_tokens": 6, "cache_read_tokens": 1, "cache_write_tokens": 0},
    }  # fmt: skip


@pytest.mark.parametrize(
    "execution",
    [
        {},
        {"task": "", "status": "executing", "result": "", "duration": 0, "api_calls_made": [], "llm_tokens": None},
        {"api_calls_made": [{"name": "x"}], "llm_tokens": {"inner": {}, "worker": None}, "status": "unknown"},
        {"llm_tokens": {"worker": {"prompt_tokens": 0, "total_tokens": 0}}},
        {"llm_tokens": {"inner": {"prompt_tokens": -1}, "worker": {"prompt_tokens": -1}}},
    ],
)
def test_defaults_become_null(execution):
    assert report_from_execution({"execution_id": "t", **execution}) == {"id": "t", **UNKNOWN}


@pytest.mark.parametrize(
    ("status", "is_success"),
    [("completed", True), ("failed", False), ("error", False), ("stopped", False), ("executing", None)],
)
def test_status_determines_the_outcome(status, is_success):
    assert report_from_execution({"execution_id": "t", "status": status})["is_success"] is is_success


def test_execution_is_stored_as_a_task(app):
    status, task = report(app, OFFICIAL)
    assert (status, task["id"], task["agent_id"], task["status"]) == (200, "t", "a", "completed")
    assert task["tokens"]["total_tokens"] == 8


def test_unknown_fields_do_not_replace_values(app):
    report(app, OFFICIAL)
    _, task = report(app, {"execution_id": "t", "duration": 4.7})
    assert (task["result"], task["duration"], task["used_tools"]) == ("res", 4.7, ["x", "y"])


@pytest.mark.parametrize(
    ("execution", "field"),
    [
        ({}, "body"),
        ({"execution_id": ""}, "execution_id"),
        ({"execution_id": "t", "duration": "soon"}, "duration"),
        ({"execution_id": "t", "llm_tokens": 5}, "llm_tokens"),
        ({"execution_id": "t", "llm_tokens": {"inner": {"prompt_tokens": 10**12}}}, "inner"),
        ({"execution_id": "t", "api_calls_made": [5]}, "api_calls_made"),
        ([], "body"),
    ],
)
def test_invalid_execution_is_rejected_with_its_field(app, execution, field):
    status, response = report(app, execution)
    assert status == 422
    assert field in response["detail"][0]["loc"]


def test_execution_of_another_agent_conflicts(app):
    report(app, OFFICIAL)
    assert report(app, OFFICIAL, b"b")[0] == 409
