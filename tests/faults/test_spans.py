"""What tracing shows of a report: how it went, and nothing of what is in it."""

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from faults.calls import EAGER, KEY, RESULT, Form, outcome_of
from faults.server import RECORDED, FaultServer, answer, sends


def only_span(spans: InMemorySpanExporter) -> ReadableSpan:
    (span,) = spans.get_finished_spans()
    shown = span.to_json()
    assert KEY not in shown
    assert RESULT not in shown
    assert "because" not in shown, "what a backend answers may repeat what it was sent"
    return span


def test_a_report_is_one_client_span(form: Form, spans: InMemorySpanExporter):
    with FaultServer(answer(503), RECORDED) as server:
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
        pytest.param(answer(403, {"detail": "because"}), "PermissionDeniedError", 403, 1, id="refused"),
        pytest.param(answer(503, {"detail": "because"}), "ServerError", 503, EAGER.attempts, id="failed"),
        pytest.param(answer(200, {"detail": "because"}), "ContractError", 200, 1, id="unusable"),
        pytest.param(sends(), "ConnectionFailedError", None, EAGER.attempts, id="no-answer"),
    ],
)
def test_a_report_that_fails_is_one_span_with_the_type_of_its_error(
    step, error: str, status: int | None, attempts: int, form: Form, spans: InMemorySpanExporter
):
    with FaultServer(step) as server:
        outcome_of(form, form.configuration(server.url))
    span = only_span(spans)
    assert span.attributes is not None
    assert span.attributes["error.type"] == error
    assert span.attributes.get("http.response.status_code") == status
    assert span.attributes["xpander.attempts"] == attempts
    assert span.status.status_code is StatusCode.ERROR
    assert span.status.description is None
    assert not span.events


def test_the_span_is_inside_the_one_of_the_caller(form: Form, spans: InMemorySpanExporter):
    with FaultServer(RECORDED) as server, trace.get_tracer("caller").start_as_current_span("of the caller") as outer:
        form.report(form.configuration(server.url))
    inner = next(span for span in spans.get_finished_spans() if span.name != "of the caller")
    assert inner.parent is not None
    assert inner.parent.span_id == outer.get_span_context().span_id
