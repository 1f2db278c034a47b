"""Runs of agents in traces, after the GenAI semantic conventions of OpenTelemetry.

A run is the outermost `invoke_agent` span. Agents that it invokes are part of the run:

    POST /ask                          not part of a run
      invoke_agent weather             run 1: tools get_weather and search, tokens of both chat spans
        chat gpt-4o
        execute_tool get_weather
        invoke_agent researcher        part of run 1
          execute_tool search
          chat gpt-4o
      invoke_agent translator          run 2

In a trace without `invoke_agent`, the root span is the run, if a span of the trace has GenAI attributes.
Other traces have no run.
"""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from attrs import frozen

from xpander_sdk.import_export.genai_messages import input_text, output_messages, output_text
from xpander_sdk.import_export.otlp import Span, link_spans
from xpander_sdk.import_export.record import Record

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_CALL_OPERATIONS = ("chat", "generate_content", "text_completion")
_AGENT_OPERATION, _TOOL_OPERATION = "invoke_agent", "execute_tool"
# Attributes of each token count, in the names of all versions of the conventions, newest first.
_USAGE_ATTRIBUTES = {
    "prompt_tokens": ("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens"),
    "completion_tokens": ("gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens"),
    "cache_read_tokens": ("gen_ai.usage.cache_read.input_tokens", "gen_ai.usage.cache_read_input_tokens"),
    "cache_write_tokens": ("gen_ai.usage.cache_creation.input_tokens", "gen_ai.usage.cache_creation_input_tokens"),
}
_RESPONSE_ATTRIBUTES = {
    "provider": ("gen_ai.provider.name", "gen_ai.system"),
    "model": ("gen_ai.response.model", "gen_ai.request.model"),
    "id": ("gen_ai.response.id",),
    "finish_reasons": ("gen_ai.response.finish_reasons",),
    "conversation_id": ("gen_ai.conversation.id",),
}


@frozen
class TracedRun:
    """Run of a trace.

    Attributes:
        line: line of the run's span in the file, from 1.
        record: data to report.
        description: trace id and span id, for the list of rejected runs.
    """

    line: int
    record: Record
    description: str


def runs_from_spans(spans: list[Span]) -> Iterator[TracedRun]:
    """Yield the runs of all traces, in the order of the file."""
    for root in link_spans(spans):
        for span in _run_spans(root):
            yield TracedRun(span.line, _record(span), f"trace {span.trace_id}, span {span.id}")


def _run_spans(root: Span) -> list[Span]:
    agents, rest = [], [root]
    while rest:
        span = rest.pop()
        if span.operation == _AGENT_OPERATION:
            agents.append(span)
        else:
            rest += reversed(span.children)
    if agents:
        return agents
    return [root] if any(span.is_genai for span in root.subtree()) else []


def _record(run: Span) -> Record:
    spans = list(run.subtree())
    has_ended = run.end > 0
    calls = [span for span in spans if _is_model_call(span)]
    latest_calls = sorted(calls, key=_end, reverse=True)
    has_failed = run.is_error or "error.type" in run.attributes
    result = _first(output_text(span.attributes, span.events) for span in [run, *latest_calls])
    arguments: dict[str, Any] = {
        "input": _first(input_text(span.attributes, span.events) for span in [run, *calls]),
        "result": result or (run.message or None if has_failed else None),
        "llm_response": _last_response(run, latest_calls),
        "tokens": _tokens(run),
        "is_success": not has_failed if has_ended else None,
        "duration": (run.end - run.start) / 1e9 if has_ended and run.start else None,
        "used_tools": [_tool_name(span) for span in spans if span.operation == _TOOL_OPERATION],
        "user_id": _first_attribute(run, "user.id", "enduser.id"),
        "created_at": _time(run.start or run.end),
        "finished_at": _time(run.end),
    }
    return Record(_agent_id(run), f"{run.trace_id}-{run.id}", arguments, (run.end or run.start) // 1_000 or None)


def _is_model_call(span: Span) -> bool:
    has_model = "gen_ai.request.model" in span.attributes or "gen_ai.response.model" in span.attributes
    is_other_operation = span.operation in (_AGENT_OPERATION, _TOOL_OPERATION)
    return span.operation in _CALL_OPERATIONS or (has_model and not is_other_operation)


def _tool_name(span: Span) -> str:
    return str(span.attributes.get("gen_ai.tool.name") or "unknown")


def _agent_id(run: Span) -> str | None:
    agent_id = _first_attribute(run, "gen_ai.agent.id", "gen_ai.agent.name")
    if agent_id is None:
        service = str(run.resource.get("service.name") or "unknown_service")
        # "unknown_service:python" and the like are OpenTelemetry's defaults.
        return None if service.startswith("unknown_service") else service
    return agent_id


def _first_attribute(span: Span, *names: str) -> str | None:
    return next((str(span.attributes[name]) for name in names if span.attributes.get(name)), None)


def _end(span: Span) -> int:
    return span.end


def _first(texts: Iterable[str | None]) -> str | None:
    return next((text for text in texts if text), None)


def _time(nanoseconds: int) -> datetime | None:
    return _EPOCH + timedelta(microseconds=nanoseconds // 1_000) if nanoseconds else None


def _tokens(run: Span) -> dict[str, int] | None:
    """Return the sum of token counts.

    A span with counts covers all spans below it, so they are not added: agents report the sum of their model calls.
    """
    total: dict[str, int] = {}
    rest = [run]
    while rest:
        span = rest.pop()
        counts = {
            kind: next((count for name in names if isinstance(count := span.attributes.get(name), int)), None)
            for kind, names in _USAGE_ATTRIBUTES.items()
        }
        if any(count is not None for count in counts.values()):
            total = {kind: total.get(kind, 0) + (count or 0) for kind, count in counts.items()}
        else:
            rest += span.children
    return total or None


def _last_response(run: Span, latest_calls: list[Span]) -> dict[str, Any] | None:
    """Return the attributes of the last model call that has any, as `llm_response`."""
    for span in [*latest_calls, run]:
        response: dict[str, Any] = {
            name: next((span.attributes[key] for key in keys if span.attributes.get(key)), None)
            for name, keys in _RESPONSE_ATTRIBUTES.items()
        }
        response["usage"] = {
            name.removeprefix("gen_ai.usage."): value
            for name, value in span.attributes.items()
            if name.startswith("gen_ai.usage.")
        }
        response["output"] = output_messages(span.attributes, span.events)
        if response := {name: value for name, value in response.items() if value}:
            return {**response, "trace_id": run.trace_id, "span_id": span.id}
    return None
