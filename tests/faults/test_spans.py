"""OpenTelemetry spans of reports: their outcome, and no part of their content."""

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from faults.forms import FAST_RETRIES, KEY, RESULT, Form, report_outcome
from faults.server import FaultServer
from faults.steps import ACCEPT, respond, send_raw


def only_span(spans: InMemorySpanExporter) -> ReadableSpan:
    """Return the only finished span, after asserting that it contains no secret."""
    (span,) = spans.get_finished_spans()
    text = span.to_json()
    assert KEY not in text
    assert RESULT not in text
    assert "because" not in text, "a response may repeat the request's secrets"
    return span


def test_report_creates_one_client_span(form: Form, spans: InMemorySpanExporter):
    with FaultServer(respond(503), ACCEPT) as server:
        form.report(form.configuration(server.url))
    span = only_span(spans)
    assert (span.name, span.kind) == ("xpander_sdk.report_task", SpanKind.CLIENT)
    assert span.attributes is not None
    assert span.attributes["http.response.status_code"] == 201
    assert span.attributes["xpander.attempts"] == 2
    assert str(span.attributes["server.address"]).startswith("127.0.0.1")
    assert "error.type" not in span.attributes
    assert span.status.status_code is not StatusCode.ERROR


@pytest.mark.parametrize(
    ("step", "error", "status", "attempts"),
    [
        pytest.param(respond(403, {"detail": "because"}), "PermissionDeniedError", 403, 1, id="refused"),
        pytest.param(respond(503, {"detail": "because"}), "ServerError", 503, FAST_RETRIES.attempts, id="failed"),
        pytest.param(respond(200, ["because"]), "ContractError", 200, 1, id="unusable"),
        pytest.param(send_raw(), "ConnectionFailedError", None, FAST_RETRIES.attempts, id="no-answer"),
    ],
)
def test_failed_report_creates_one_span_with_error_type(
    step, error: str, status: int | None, attempts: int, form: Form, spans: InMemorySpanExporter
):
    with FaultServer(step) as server:
        report_outcome(form, form.configuration(server.url))
    span = only_span(spans)
    assert span.attributes is not None
    assert span.attributes["error.type"] == error
    assert span.attributes.get("http.response.status_code") == status
    assert span.attributes["xpander.attempts"] == attempts
    assert span.status.status_code is StatusCode.ERROR
    assert span.status.description is None
    assert not span.events


def test_span_is_child_of_callers_span(form: Form, spans: InMemorySpanExporter):
    with FaultServer(ACCEPT) as server, trace.get_tracer("caller").start_as_current_span("of the caller") as outer:
        form.report(form.configuration(server.url))
    inner = next(span for span in spans.get_finished_spans() if span.name != "of the caller")
    assert inner.parent is not None
    assert inner.parent.span_id == outer.get_span_context().span_id
