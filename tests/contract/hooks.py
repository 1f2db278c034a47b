"""Hooks and checks for schemathesis, which fuzz.py loads."""

import json
import os
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import schemathesis
import yaml
from hypothesis import strategies as st
from jsonschema_rs import Draft202012Validator
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

UNCHANGED_FIELDS = (
    "llm_response", "result", "duration", "used_tools", "user_id", "parent_task_id", "triggering_agent_id",
)  # fmt: skip
"""Fields of a report that the task contains unchanged."""

_contract = yaml.safe_load(Path(os.environ["FUZZ_CONTRACT"]).read_text("utf-8"))
_batch_report = Draft202012Validator(
    {"$ref": "#/components/schemas/BatchReport", "components": _contract["components"]}, validate_formats=True
)
_spans = st.tuples(st.binary(max_size=17), st.binary(max_size=9), st.text(max_size=20), st.integers(0, 2**64 - 1))


@st.composite
def _protobuf_exports(draw: st.DrawFn) -> bytes:
    """Return an export of spans, of which most have an invalid id."""
    export = ExportTraceServiceRequest()
    spans = export.resource_spans.add().scope_spans.add().spans
    for trace_id, span_id, name, end in draw(st.lists(_spans, max_size=4)):
        spans.add(trace_id=trace_id, span_id=span_id, name=name, end_time_unix_nano=end)
    return export.SerializeToString()


schemathesis.openapi.media_type("application/x-protobuf", _protobuf_exports() | st.binary(max_size=300))
_cursors = json.loads(os.environ["FUZZ_CURSORS"])
_client = httpx.Client(base_url=os.environ["FUZZ_URL"], headers={"x-api-key": os.environ["FUZZ_KEY"]})


@schemathesis.hook
def before_call(context: schemathesis.HookContext, case: schemathesis.Case, kwargs: dict[str, Any]) -> None:
    """Replace values of valid requests.

    Only the server can create cursors. A request has one key. The ids in batches must differ from those of single
    reports: most single reports would have the id of another agent's task.
    """
    if case.meta.generation.mode.is_negative:
        return
    if "x-api-key" in case.headers:
        case.headers.pop("authorization", None)  # the server accepts one key in a request
    if "cursor" in case.query:
        case.query["cursor"] = _cursors[case.query.get("sort", "")]
    if case.operation.definition.raw.get("operationId") == "reportTasks":
        for report in case.body["reports"]:
            if report.get("id") is not None:
                report["id"] = f"batch {report['id']}"[:255]


@schemathesis.deserializer("application/x-protobuf")
def read_protobuf(context: schemathesis.DeserializationContext, response: schemathesis.Response) -> str:
    """Return the bytes of a response as the text that its schema describes. It must be a response of OTLP."""
    ExportTraceServiceResponse.FromString(response.content)
    return response.content.decode("latin-1")


@schemathesis.check
def valid_spans_are_accepted(
    context: schemathesis.CheckContext, response: schemathesis.Response, case: schemathesis.Case
) -> None:
    """Assert that no span of a valid export in JSON is refused. Exports in Protobuf are random, so 400 is permitted."""
    if case.operation.definition.raw.get("operationId") != "exportTraces":
        return
    if case.media_type == "application/json" and case.meta.generation.mode.is_positive:
        assert (response.status_code, response.json()) == (200, {}), f"a valid export got {response.text}"


@schemathesis.check
def report_is_stored(
    context: schemathesis.CheckContext, response: schemathesis.Response, case: schemathesis.Case
) -> None:
    """Assert that the response to a report contains its fields, and that getTask returns the same task."""
    if case.operation.definition.raw.get("operationId") != "reportTask" or not 200 <= response.status_code < 300:
        return
    task = response.json()
    if "x-reported-at" not in case.headers:
        _assert_fields_unchanged(case.body, task)
    assert task == _get_task(task["id"]), "getTask after a report returned another task"


@schemathesis.check
def batch_is_stored(
    context: schemathesis.CheckContext, response: schemathesis.Response, case: schemathesis.Case
) -> None:
    """Assert that each report of a batch has the right outcome: exactly the valid ones are stored, in their order."""
    if case.operation.definition.raw.get("operationId") != "reportTasks" or response.status_code != 200:
        return
    reports, outcomes = json.loads(response.request.body)["reports"], response.json()["outcomes"]
    assert len(outcomes) == len(reports), f"{len(outcomes)} outcomes of {len(reports)} reports"
    for position, (report, outcome) in enumerate(zip(reports, outcomes, strict=True)):
        problems = [error.message for error in _batch_report.iter_errors(report)]
        assert ("task" in outcome) == (outcome["status"] in (200, 201)) != ("error" in outcome), outcome
        if problems:
            assert outcome["status"] == 422, f"{report!r} is invalid: {problems}, but has the outcome {outcome!r}"
            for problem in outcome["error"]["detail"]:
                assert problem["loc"][:3] == ["body", "reports", position]
            continue
        assert outcome["status"] in (200, 409), f"{report!r} is valid, but has the outcome {outcome!r}"
        if outcome["status"] == 200:
            task = outcome["task"]
            assert task["agent_id"] == report["agent_id"]
            assert report.get("id") in (None, task["id"])
            stored = _get_task(task["id"])
            is_last = all(
                isinstance(later, dict) and later.get("id") != task["id"] for later in reports[position + 1 :]
            )
            if is_last:
                assert {name: stored[name] for name in task} == task, "getTask after a batch returned another task"
                if report.get("reported_at") is None:
                    _assert_fields_unchanged(report, stored)


def _assert_fields_unchanged(report: dict[str, Any], task: dict[str, Any]) -> None:
    for name in UNCHANGED_FIELDS:
        value = report.get(name)
        # A duration of 0 and an empty list of tools count as not given: they never replace a value.
        is_given = value is not None and not (name in ("duration", "used_tools") and not value)
        assert not is_given or task[name] == value, f"{name} was reported as {value!r}, but is {task[name]!r}"


def _get_task(task_id: str) -> Any:
    response = _client.get(f"/agent-execution/{quote(task_id, safe='')}/status")
    assert response.status_code == 200, f"getTask after a report returned {response.status_code}"
    return response.json()
