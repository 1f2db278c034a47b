"""Responses of status 2xx that do not match the API: the run is recorded, so the caller gets a task and no error."""

from datetime import UTC, datetime
from typing import Any

import pytest
from attrs import field, frozen

from faults.assertions import sdk_warnings
from faults.forms import AGENT, RESULT, RUN, Form, report_outcome
from faults.server import FaultServer, Step
from faults.steps import TASK, respond
from xpander_sdk import Backend, ContractError, OutboxSettings, ReceiptState, Task, Tokens
from xpander_sdk.task import TaskInput

TOKENS = {"prompt_tokens": 2, "completion_tokens": 1}
REPORT: dict[str, Any] = {
    "input": "how many?", "tokens": TOKENS, "duration": 2.5, "used_tools": ["search"], "llm_response": {"model": "m"},
    "is_success": False,
}  # fmt: skip


@frozen
class Accepted:
    """Unusual response, and the task that the caller gets.

    Attributes:
        name: ID of the test case.
        step: Step of the fault server.
        extra: Expected `Task.extra`.
        values: Expected attributes of the task.
        is_logged: Whether the response causes a warning.
    """

    name: str
    step: Step
    extra: dict[str, Any] = field(factory=dict)
    values: dict[str, Any] = field(factory=dict)
    is_logged: bool = True


def without(name: str, **values: Any) -> Accepted:
    body = {key: value for key, value in TASK.items() if key != name}
    return Accepted(f"without {name}", respond(200, body), values=values)


def null(name: str, **values: Any) -> Accepted:
    return Accepted(f"null as {name}", respond(200, {**TASK, name: None}), values=values)


def invalid(name: str, value: Any, **values: Any) -> Accepted:
    return Accepted(f"{name} is {value!r:.40}", respond(200, {**TASK, name: value}), {name: value}, values)


AS_REPORTED = {
    "id": RUN, "agent_id": AGENT, "status": "failed", "result": RESULT, "input": TaskInput(text="how many?"),
    "tokens": Tokens(**TOKENS), "duration": 2.5, "used_tools": ["search"], "llm_response": {"model": "m"},
}  # fmt: skip
REPORTED_INPUT = {"input": TaskInput(text="how many?")}
CASES = [
    Accepted("200 without body", respond(200), values=AS_REPORTED),
    Accepted("201 without body", respond(201), values=AS_REPORTED),
    Accepted("202 with white space", respond(202, b" \r\n"), values=AS_REPORTED),
    Accepted("204", respond(204), values=AS_REPORTED),
    Accepted("empty object", respond(200, {}), values=AS_REPORTED),
    Accepted("another object", respond(202, {"queued": True}), {"queued": True}, AS_REPORTED),
    Accepted("task within an object", respond(200, {"data": TASK}), {"data": TASK}, AS_REPORTED),
    Accepted("only the id", respond(200, {"id": RUN}), values=AS_REPORTED),
    without("id", id=RUN),
    without("agent_id", agent_id=AGENT),
    without("status", status="failed"),
    without("created_at"),
    without("organization_id", organization_id=None),
    without("input", **REPORTED_INPUT),
    null("id", id=RUN),
    null("status", status="failed"),
    null("created_at"),
    null("organization_id", organization_id=None),
    null("input", **REPORTED_INPUT),
    invalid("created_at", 1_767_225_600),
    invalid("created_at", 1_767_225_600_000.5),
    invalid("created_at", "1767225600"),
    invalid("created_at", "yesterday"),
    invalid("created_at", ""),
    invalid("created_at", "9999-12-31T24:00:00"),
    invalid("created_at", "0001-01-01T00:00:00+14:00"),
    invalid("finished_at", {"seconds": 5}, finished_at=None),
    invalid("input", "how much?", **REPORTED_INPUT),
    invalid("input", ["how much?"], **REPORTED_INPUT),
    invalid("input", {"text": 5}, **REPORTED_INPUT),
    invalid("input", {"text": "a", "files": [{"name": "a"}]}, **REPORTED_INPUT),
    invalid("input", {"user": 5}, **REPORTED_INPUT),
    invalid("status", 3, status="failed"),
    invalid("status", {"name": "completed"}, status="failed"),
    invalid("agent_id", {"id": AGENT}, agent_id=AGENT),
    invalid("organization_id", 7, organization_id=None),
    invalid("tokens", "many", tokens=Tokens(**TOKENS)),
    invalid("tokens", {"prompt_tokens": "12"}, tokens=Tokens(**TOKENS)),
    invalid("used_tools", "search", used_tools=["search"]),
    invalid("used_tools", [{"name": "search"}], used_tools=["search"]),
    invalid("duration", "2 s", duration=2.5),
    invalid("duration", True, duration=2.5),
    invalid("result", {"text": "r"}, result=RESULT),
    invalid("is_manually_stopped", "no", is_manually_stopped=None),
    invalid("execution_attempts", "1", execution_attempts=None),
    invalid("sub_executions", "a", sub_executions=[]),
    Accepted("unknown status", respond(200, {**TASK, "status": "hibernating"}), {}, {"status": "hibernating"}, False),
    Accepted("unknown field", respond(200, {**TASK, "mood": {"name": "m"}}), {"mood": {"name": "m"}}, {}, False),
    Accepted("optional fields are null", respond(200, {**TASK, "tokens": None}), {}, {"tokens": None}, False),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_unusual_response_returns_task(case: Accepted, form: Form, caplog):
    before = datetime.now(UTC)
    with FaultServer(case.step) as server:
        configuration = form.configuration(server.url)
        outcomes = [report_outcome(form, configuration, **REPORT) for _ in range(2)]
    for outcome in outcomes:
        task = outcome.task
        assert task is not None, outcome.error
        assert {name: getattr(task, name) for name in case.values} == case.values
        assert (task.id, task.agent_id, task.extra) == (RUN, AGENT, case.extra)
        if "created_at" in case.name or case.values is AS_REPORTED:
            assert before <= task.created_at <= datetime.now(UTC)
    assert server.attempts == 2
    warnings = sdk_warnings(caplog)
    assert len(warnings) == case.is_logged, "one warning for both reports"
    for name in case.extra if case.is_logged and case.values is not AS_REPORTED else ():
        assert name in warnings[0]


@pytest.mark.parametrize("written", ["00f5cc2e31a04f79a5a0f1c2f3a4b5c6", "00F5CC2E-31A0-4F79-A5A0-F1C2F3A4B5C6"])
def test_id_may_be_another_form_of_the_same_uuid(written: str, form: Form):
    with FaultServer(respond(200, {**TASK, "id": written})) as server:
        run = "00f5cc2e-31a0-4f79-a5a0-f1c2f3a4b5c6"
        assert form.report(form.configuration(server.url), id=run).id == run


def test_each_destination_has_its_own_warning(form: Form, caplog):
    with FaultServer(respond(204)) as server:
        for _ in range(2):
            form.report(form.configuration(server.url))
    assert len(sdk_warnings(caplog)) == 2


def test_organization_of_configuration_replaces_missing_one(form: Form):
    with FaultServer(respond(204)) as server:
        assert form.report(form.configuration(server.url, organization_id="org-7")).organization_id == "org-7"


@pytest.mark.parametrize(
    "step",
    [respond(204), respond(200, {}), respond(200, {**TASK, "created_at": 5})],
    ids=["empty", "empty object", "epoch"],
)
def test_unusual_response_delivers_submitted_report(step: Step, sync_form: Form, tmp_path):
    with FaultServer(step) as server:
        outbox = OutboxSettings(file=tmp_path / "outbox.db")
        backend = Backend(sync_form.configuration(server.url, outbox=outbox))
        receipt = backend.submit_external_task(AGENT, id=RUN, result=RESULT)
        assert receipt.wait(10) is ReceiptState.Delivered
        backend.outbox.flush(5)
    assert receipt.task is not None
    assert (receipt.task.id, server.attempts) == (RUN, 1)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({**TASK, "id": "another"}, "run"),
        ({"detail": "welcome"}, "must be a task"),
        ({**TASK, "status": 5}, "status"),
        ([TASK], "JSON object"),
        (None, "API"),
    ],
    ids=["another run", "another object", "invalid status", "array", "empty"],
)
def test_loading_another_object_raises_error(body: Any, reason: str, form: Form):
    with FaultServer(respond(200, body)) as server, pytest.raises(ContractError, match=reason):
        load(form, form.configuration(server.url))


def test_loading_unusual_task_returns_it(form: Form):
    body = {"id": RUN, "agent_id": AGENT, "status": "completed", "created_at": 5, "input": "text"}
    with FaultServer(respond(200, body)) as server:
        task = load(form, form.configuration(server.url))
    assert (task.created_at, task.organization_id, task.input) == (None, None, TaskInput())
    assert task.extra == {"created_at": 5, "input": "text"}


def load(form: Form, configuration: Any) -> Task:
    return form.run(Task.aload(RUN, configuration)) if form.is_async else Task.load(RUN, configuration)
