"""Extended fields of reports: sent to backends that support them, and left out for all others."""

import json
from typing import Any

import pytest

from faults.assertions import sdk_warnings
from faults.forms import AGENT, RESULT, RUN, Form, report_outcome
from faults.server import FaultServer
from faults.steps import TASK, drip, hang, raw_response, respond
from xpander_sdk import Backend, OutboxSettings, ReceiptState, Timeouts
from xpander_sdk.reporting import fields

EXTENDED: dict[str, Any] = {
    "error": "timeout",
    "calls": [{"model": "m"}],
    "user_id": "u",
    "conversation_id": "c",
    "parent_task_id": "p",
    "metadata": {"a": "1"},
}
DOCUMENTED = list(fields.documented_names())
OURS = respond(200, {"status": "ok", "version": "1", "report_fields": list(EXTENDED)})
RECORDED = respond(200, TASK)


def targets(server: FaultServer) -> list[str]:
    """Return the last parts of the paths of all requests."""
    return [request.target.rpartition("/")[2] for request in server.requests]


def test_health_is_asked_once_and_only_for_extended_fields(form: Form):
    with FaultServer(RECORDED, OURS, RECORDED) as server:
        configuration = form.configuration(server.url)
        form.report(configuration)
        for _ in range(2):
            form.report(configuration, **EXTENDED)
        form.report(configuration)
    assert targets(server) == ["report_task", "health", "report_task", "report_task", "report_task"]
    assert list(server.requests[0].body) == DOCUMENTED
    assert list(server.requests[2].body) == [*DOCUMENTED, *EXTENDED]
    assert {name: server.requests[2].body[name] for name in EXTENDED} == EXTENDED


@pytest.mark.parametrize(
    "health",
    [
        respond(404, {"detail": "Not Found"}),
        respond(405),
        respond(401, {"detail": "Missing key"}),
        respond(200, {"status": "ok"}),
        respond(200, {"status": "ok", "report_fields": None}),
        respond(200, {"report_fields": "error"}),
        respond(200, b"<html>ok</html>"),
        respond(200, []),
        respond(301, headers={"location": "/"}),
    ],
)
def test_other_backend_gets_exactly_the_documented_fields(form: Form, health, caplog):
    with FaultServer(health, RECORDED) as server:
        configuration = form.configuration(server.url)
        task = form.report(configuration, **{**EXTENDED, "result": None})
    assert targets(server) == ["health", "report_task"]
    body = server.requests[1].body
    assert list(body) == DOCUMENTED
    assert (body["id"], body["result"]) == (RUN, "timeout")
    assert (task.error, task.metadata) == (None, {})
    assert len([text for text in sdk_warnings(caplog) if "does not support the report fields" in text]) == 1


def test_backend_whose_health_always_fails_gets_the_documented_fields(form: Form):
    with FaultServer(*[respond(500)] * 3, RECORDED) as server:
        form.report(form.configuration(server.url), **EXTENDED)
    assert targets(server) == [*["health"] * 3, "report_task"]
    assert list(server.requests[-1].body) == DOCUMENTED


def test_error_does_not_replace_a_result(form: Form):
    with FaultServer(respond(404), RECORDED) as server:
        form.report(form.configuration(server.url), error="timeout")
    assert server.requests[1].body["result"] == RESULT


def test_fields_that_the_backend_does_not_name_are_left_out(form: Form):
    with FaultServer(respond(200, {"report_fields": ["error", "future"]}), RECORDED) as server:
        form.report(form.configuration(server.url), **EXTENDED)
    assert list(server.requests[1].body) == [*DOCUMENTED, "error"]


def test_backend_that_is_unavailable_may_support_the_fields(form: Form):
    with FaultServer(*[respond(503)] * 3, OURS, RECORDED) as server:
        configuration = form.configuration(server.url)
        outcome = report_outcome(form, configuration, **EXTENDED)
        assert outcome.error is not None
        assert (outcome.error.status_code, outcome.error.report_id) == (503, RUN)
        form.report(configuration, **EXTENDED)
    assert targets(server) == ["health"] * 4 + ["report_task"]
    assert server.requests[-1].body["metadata"] == {"a": "1"}


def test_refused_access_is_not_remembered(form: Form):
    with FaultServer(respond(403), RECORDED, OURS, RECORDED) as server:
        configuration = form.configuration(server.url)
        for _ in range(2):
            form.report(configuration, **EXTENDED)
    assert targets(server) == ["health", "report_task", "health", "report_task"]
    assert ["metadata" in request.body for request in server.requests[1::2]] == [False, True]


def test_both_requests_together_end_at_the_total_timeout(form: Form):
    health = raw_response(200, {"status": "ok", "report_fields": list(EXTENDED)})
    with FaultServer(drip(health, len(health) - 5, interval=0.3), hang()) as server:
        configuration = form.configuration(server.url, timeouts=Timeouts(connect=1, read=5, total=2))
        outcome = report_outcome(form, configuration, **EXTENDED)  # asserts that the call ends in time
    assert outcome.error is not None
    assert targets(server) == ["health", "report_task"]


def test_outbox_leaves_the_fields_out_too(sync_form: Form, tmp_path):
    with FaultServer(respond(404), RECORDED) as server:
        settings = OutboxSettings(file=str(tmp_path / "outbox.db"))
        backend = Backend(sync_form.configuration(server.url, outbox=settings))
        receipt = backend.submit_external_task(agent_id=AGENT, id=RUN, **EXTENDED)
        assert receipt.wait(10) is ReceiptState.Delivered
    assert targets(server) == ["health", "report_task"]
    assert list(server.requests[1].body) == DOCUMENTED
    assert server.requests[1].body["result"] == "timeout"


def test_texts_of_a_response_do_not_count_as_extended_fields(sync_form: Form, tmp_path):
    with FaultServer(RECORDED) as server:
        settings = OutboxSettings(file=str(tmp_path / "outbox.db"))
        backend = Backend(sync_form.configuration(server.url, outbox=settings))
        response = {"error": None, "metadata": {}}
        assert backend.submit_external_task(agent_id=AGENT, id=RUN, llm_response=response).wait(10)
    assert targets(server) == ["report_task"]
    assert json.loads(server.requests[0].content)["llm_response"] == response
