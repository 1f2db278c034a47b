"""Spans of OpenTelemetry around runs: the reports of the SDK and the spans are one record."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from xpander_capture.spans import find_runs, group_by_trace, summarize
from xpander_sdk import Backend, Configuration, Tasks
from xpander_sdk.otel import SpanProcessor, _convert

AGENT = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "inner agent", "input.value": "2 + 2?"}
CHAT = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o", "gen_ai.usage.input_tokens": 5}


@pytest.fixture
def exporter(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    """Return the exporter of the tracer provider that the program has set."""
    provider, exporter = TracerProvider(), InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)
    yield exporter
    provider.shutdown()


@pytest.fixture
def backend(tmp_path) -> Iterator[Backend]:
    configuration = Configuration(
        base_url=f"sqlite:///{tmp_path}/runs.db", outbox=tmp_path / "outbox.db", agent_id="desk"
    )
    backend = Backend(configuration)
    yield backend
    backend.close()


def call_agent() -> None:
    """Emit the spans of an instrumented framework."""
    tracer = trace.get_tracer_provider().get_tracer("framework")
    with tracer.start_as_current_span("invoke_agent", attributes=AGENT) as span:
        with tracer.start_as_current_span("chat", attributes=CHAT):
            pass
        span.set_attribute("output.value", "of the framework")


def runs_of_spans(exporter: InMemorySpanExporter) -> dict[str, Any]:
    """Return the runs that the server's endpoint finds in the exported spans, by the id of their task."""
    summaries = [summarize(_convert(span, is_open=False)) for span in exporter.get_finished_spans()]
    traces = group_by_trace(summaries).values()
    return {run.task_id: run for spans in traces for run in find_runs(spans, is_final=True).runs}


def span_of(exporter: InMemorySpanExporter) -> Any:
    [span] = [span for span in exporter.get_finished_spans() if span.name.startswith("invoke_agent desk")]
    return span


def test_run_and_span_processor_record_one_task(backend, monkeypatch):
    provider = TracerProvider()
    provider.add_span_processor(SpanProcessor(backend))
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)
    with backend.run(input="Where is my parcel?") as run:
        call_agent()
        run.result = "On its way"
    assert backend.outbox.flush(30)
    [item] = Tasks(configuration=backend.configuration).list(agent_id="desk")
    task = Tasks(configuration=backend.configuration).get(run.id)
    assert item.id == task.id
    assert (task.status.value, task.input.text, task.result) == ("completed", "Where is my parcel?", "On its way")
    assert task.tokens.prompt_tokens == 5
    assert Tasks(configuration=backend.configuration).list(agent_id="inner agent") == []
    provider.shutdown()


def test_exported_spans_are_the_run_of_the_program(backend, exporter):
    with backend.run() as run:
        call_agent()
    runs = runs_of_spans(exporter)
    assert list(runs) == [run.id]
    assert runs[run.id].agent_id == "desk"


def test_span_contains_no_text_of_the_run(backend, exporter):
    @backend.run()
    def answer(question: str) -> str:
        raise ValueError("a secret")

    with pytest.raises(ValueError, match="secret"):
        answer("a secret question")
    span = span_of(exporter)
    assert "secret" not in span.to_json()
    assert (span.status.status_code, span.attributes["error.type"]) == (StatusCode.ERROR, "ValueError")


def test_nested_runs_have_spans_of_their_own(backend, exporter):
    with backend.run() as outer, backend.run(agent_id="searcher") as inner:
        call_agent()
    assert set(runs_of_spans(exporter)) == {outer.id, inner.id}


def test_span_is_current_in_the_steps_of_a_generator_only(backend, exporter):
    @backend.run()
    def answer() -> Iterator[str]:
        for _ in range(2):
            call_agent()
            yield trace.get_current_span().name

    before = trace.get_current_span()
    for name in answer():
        assert name == "invoke_agent desk"
        assert trace.get_current_span() is before
    assert len(runs_of_spans(exporter)) == 1


def test_decorated_coroutines_have_a_span_each(backend, exporter):
    @backend.run()
    async def answer() -> None:
        await asyncio.sleep(0)
        call_agent()

    async def run() -> None:
        await asyncio.gather(*(answer() for _ in range(3)))

    asyncio.run(run())
    assert len(runs_of_spans(exporter)) == 3


def test_context_is_restored_after_run_that_ends_within_its_block(backend, exporter):
    before = trace.get_current_span()
    with backend.run() as run:
        run.finish(result="done")
    assert trace.get_current_span() is before
    assert span_of(exporter).status.status_code is StatusCode.UNSET


def test_current_span_gets_the_id_of_the_first_run_without_provider_of_the_program(backend, monkeypatch):
    monkeypatch.setattr(trace, "get_tracer_provider", trace.ProxyTracerProvider)
    tracer = TracerProvider().get_tracer("test")
    with tracer.start_as_current_span("request") as span:
        with backend.run() as run:
            assert trace.get_current_span() is span
        with backend.run():
            pass
    assert span.attributes["xpander.task.id"] == run.id


def test_span_that_fails_does_not_disturb_the_program(backend, monkeypatch):
    def fail() -> None:
        raise RuntimeError("no provider")

    monkeypatch.setattr(trace, "get_tracer_provider", fail)
    with backend.run() as run:
        run.result = "4"
    assert run.report_errors == ("RuntimeError",)


def test_run_that_is_off_starts_no_span(exporter, tmp_path):
    with Backend(Configuration(base_url=f"sqlite:///{tmp_path}/runs.db", runs=False)).run(agent_id="desk"):
        pass
    assert exporter.get_finished_spans() == ()
