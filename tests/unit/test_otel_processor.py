"""Span processor: the runs of instrumented agents, reported through the outbox."""

import os
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from opentelemetry import baggage
from opentelemetry.context import attach, detach
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import NonRecordingSpan, SpanContext, Status, StatusCode, TraceFlags, set_span_in_context

from support.recorded_spans import RUNS, document
from xpander_capture.spans import Run, Span, find_runs, group_by_trace, parse_spans, summarize
from xpander_sdk import Backend, Configuration, Tasks, otel
from xpander_sdk.otel import SpanProcessor

AGENT = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "support"}
CHAT = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o", "gen_ai.usage.input_tokens": 5}


@pytest.fixture
def backend(tmp_path) -> Iterator[Backend]:
    configuration = Configuration(base_url=f"sqlite:///{tmp_path}/runs.db", outbox=tmp_path / "outbox.db")
    backend = Backend(configuration)
    yield backend
    backend.close()


@pytest.fixture
def provider(backend) -> Iterator[TracerProvider]:
    provider = TracerProvider(resource=Resource({"service.name": "service"}))
    provider.add_span_processor(SpanProcessor(backend))
    yield provider
    provider.shutdown()


def get(backend: Backend, task_id: str) -> Any:
    assert backend.outbox.flush(30)
    return Tasks(configuration=backend.configuration).get(task_id)


def task_id(span: Any) -> str:
    context = span.get_span_context()
    return f"{context.trace_id:032x}-{context.span_id:016x}"


def readable(span: Span) -> ReadableSpan:
    """Return a recorded span as the SDK of OpenTelemetry has it."""

    def context(span_id: str) -> SpanContext:
        return SpanContext(int(span.trace_id, 16), int(span_id, 16), is_remote=False, trace_flags=TraceFlags(1))

    return ReadableSpan(
        span.name,
        context(span.id),
        context(span.parent_id) if span.parent_id else None,
        Resource(span.resource),
        {name: value for name, value in span.attributes.items() if value is not None},
        [Event(event.name, dict(event.attributes)) for event in span.events],
        status=Status(StatusCode.ERROR if span.is_error else StatusCode.UNSET, span.message if span.is_error else None),
        start_time=span.start,
        end_time=span.end,
    )


def reported_runs(monkeypatch: pytest.MonkeyPatch, spans: list[Span], replay: Callable[[Any], None]) -> dict[str, Run]:
    """Return the last report of each run."""
    runs: dict[str, Run] = {}
    monkeypatch.setattr(SpanProcessor, "_report", lambda self, run: runs.__setitem__(run.task_id, run))
    replay(SpanProcessor(Backend(Configuration(base_url="sqlite:///unused.db"))))
    return runs


@pytest.mark.parametrize("name", RUNS)
@pytest.mark.parametrize("seed", range(4))
def test_recording_gives_the_runs_of_the_rule(name, seed, monkeypatch):
    spans = parse_spans(document(name))
    expected = {
        run.task_id: run
        for trace in group_by_trace(map(summarize, spans)).values()
        for run in find_runs(trace, is_final=True).runs
    }

    def replay(processor: Any) -> None:
        for span in sorted(spans, key=lambda span: span.start):
            processor.on_start(readable(span))
        ending = sorted(spans, key=lambda span: span.end)
        if seed:  # spans may end in any order, also a parent before its children
            random.Random(seed).shuffle(ending)
        for span in ending:
            processor.on_end(readable(span))

    assert reported_runs(monkeypatch, spans, replay) == expected


def test_run_is_in_progress_from_its_start_and_whole_at_its_end(backend, provider):
    tracer = provider.get_tracer("test")
    with tracer.start_as_current_span("invoke_agent", attributes=AGENT) as span:
        task = get(backend, task_id(span))
        assert (task.agent_id, task.status.value) == ("support", "executing")
        with tracer.start_as_current_span("chat", attributes=CHAT) as chat:
            chat.set_attribute("gen_ai.usage.output_tokens", 2)
        span.set_attribute("output.value", "42")
    task = get(backend, task_id(span))
    assert (task.status.value, task.result, task.tokens.prompt_tokens) == ("completed", "42", 5)
    assert [call.model for call in task.calls] == ["gpt-4o"]


def test_exception_is_the_error_of_the_run(backend, provider):
    with (
        pytest.raises(ValueError, match="no"),
        provider.get_tracer("test").start_as_current_span("invoke_agent", attributes=AGENT) as span,
    ):
        raise ValueError("no")
    task = get(backend, task_id(span))
    assert (task.status.value, task.error) == ("failed", "ValueError: no")


def test_task_id_in_baggage_is_the_id_of_the_task(backend, provider):
    token = attach(baggage.set_baggage("xpander.task.id", "job-1"))
    try:
        with provider.get_tracer("test").start_as_current_span("invoke_agent", attributes=AGENT):
            pass
    finally:
        detach(token)
    assert get(backend, "job-1").status.value == "completed"


def test_parent_in_another_process_is_no_parent(backend, provider):
    remote = SpanContext(1, 2, is_remote=True, trace_flags=TraceFlags(1))
    tracer = provider.get_tracer("test")
    span = tracer.start_span("invoke_agent", set_span_in_context(NonRecordingSpan(remote)), attributes=AGENT)
    span.end()
    assert get(backend, task_id(span)).status.value == "completed"


def test_other_processors_get_the_same_spans(backend, provider):
    exporter = InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with provider.get_tracer("test").start_as_current_span("GET /", attributes={"http.request.method": "GET"}):
        pass
    assert [span.name for span in exporter.get_finished_spans()] == ["GET /"]
    assert backend.outbox.stats().accepted == 0


def test_traces_that_never_end_use_bounded_memory(backend, monkeypatch):
    monkeypatch.setattr(otel, "MAX_TRACES", 5)
    monkeypatch.setattr(otel, "MAX_SPANS", 20)
    monkeypatch.setattr(SpanProcessor, "_report", lambda self, run: None)
    processor = SpanProcessor(backend)
    provider = TracerProvider()
    provider.add_span_processor(processor)
    tracer = provider.get_tracer("test")
    roots = [tracer.start_span("forever") for _ in range(20)]
    for root in roots[-5:]:
        for _ in range(50):
            with tracer.start_as_current_span("invoke_agent", set_span_in_context(root), attributes=AGENT):
                tracer.start_span("chat", attributes=CHAT).end()
            tracer.start_span("chat", set_span_in_context(root), attributes=CHAT).end()
    assert len(processor._traces) == 5
    assert max(len(trace.spans) for trace in processor._traces.values()) <= 20


def test_agents_in_a_trace_that_goes_on_are_reported_when_they_end(backend, provider):
    tracer = provider.get_tracer("test")
    root = tracer.start_span("worker")
    ids = []
    for _ in range(3):
        with tracer.start_as_current_span("invoke_agent", set_span_in_context(root), attributes=AGENT) as span:
            tracer.start_span("chat", attributes=CHAT).end()
        ids.append(task_id(span))
    assert {get(backend, run_id).status.value for run_id in ids} == {"completed"}
    tracer.start_span("chat", set_span_in_context(root), attributes=CHAT).end()
    root.end()
    assert backend.outbox.flush(30)
    assert sorted(item.id for item in Tasks(configuration=backend.configuration).list("support")) == sorted(ids)
    assert Tasks(configuration=backend.configuration).list("service") == []


def test_error_of_reporting_does_not_reach_the_program(provider, monkeypatch, caplog):
    def fail(*_: Any) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(SpanProcessor, "_report", fail)
    for _ in range(2):
        with provider.get_tracer("test").start_as_current_span("invoke_agent", attributes=AGENT):
            pass
    assert caplog.text.count("was not reported") == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_child_of_a_fork_does_not_wait_for_the_lock_of_its_parent(backend):
    processor = SpanProcessor(backend)
    with processor._lock:
        child = os.fork()
        if child == 0:
            os._exit(0 if processor._own_lock().acquire(timeout=5) else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
