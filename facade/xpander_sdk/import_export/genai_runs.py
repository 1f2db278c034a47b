"""Spans → records: a run for each agent that was invoked, those that it invoked itself included in it.

After the GenAI semantic conventions of OpenTelemetry. A run is the outermost span of an `invoke_agent`; in a trace that
has none, its root, if anything below it is a GenAI operation. All other traces are passed over.
"""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from attrs import frozen

from xpander_sdk.import_export.genai_messages import input_text, output, output_text
from xpander_sdk.import_export.otlp import Span, roots
from xpander_sdk.import_export.record import Record

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_CALLS = ("chat", "generate_content", "text_completion")
_AGENTS, _TOOLS = "invoke_agent", "execute_tool"
# By kind of ours, in all spellings that the conventions had, the newest first.
_USAGE = {
    "prompt_tokens": ("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens"),
    "completion_tokens": ("gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens"),
    "cache_read_tokens": ("gen_ai.usage.cache_read.input_tokens", "gen_ai.usage.cache_read_input_tokens"),
    "cache_write_tokens": ("gen_ai.usage.cache_creation.input_tokens", "gen_ai.usage.cache_creation_input_tokens"),
}
_RESPONSE = {
    "provider": ("gen_ai.provider.name", "gen_ai.system"),
    "model": ("gen_ai.response.model", "gen_ai.request.model"),
    "id": ("gen_ai.response.id",),
    "finish_reasons": ("gen_ai.response.finish_reasons",),
    "conversation_id": ("gen_ai.conversation.id",),
}


@frozen
class Run:
    """A run in a trace."""

    line: int
    record: Record
    told: str


def runs_from_spans(found: list[Span]) -> Iterator[Run]:
    """The runs that these spans tell of."""
    for top in roots(found):
        for span in _outermost(top):
            yield Run(span.line, _record(span), f"trace {span.trace_id}, span {span.id}")


def _outermost(top: Span) -> list[Span]:
    agents, rest = [], [top]
    while rest:
        span = rest.pop()
        if span.operation == _AGENTS:
            agents.append(span)
        else:
            rest += reversed(span.children)
    if agents:
        return agents
    return [top] if any(span.is_generative for span in top.family()) else []


def _record(root: Span) -> Record:
    family = list(root.family())
    has_ended = root.end > 0
    calls = [span for span in family if _is_call(span)]
    failed = root.is_error or "error.type" in root.attributes
    result = _first(
        output_text(span.attributes, span.events) for span in [root, *sorted(calls, key=_end, reverse=True)]
    )
    arguments: dict[str, Any] = {
        "input": _first(input_text(span.attributes, span.events) for span in [root, *calls]),
        "result": result or (root.message or None if failed else None),
        "llm_response": _response(root, calls),
        "tokens": _tokens(root),
        "is_success": not failed if has_ended else None,
        "duration": (root.end - root.start) / 1e9 if has_ended and root.start else None,
        "used_tools": [
            str(span.attributes.get("gen_ai.tool.name") or "unknown") for span in family if span.operation == _TOOLS
        ],
        "user_id": _attribute(root, "user.id", "enduser.id"),
        "created_at": _time(root.start or root.end),
        "finished_at": _time(root.end),
    }
    return Record(_agent(root), f"{root.trace_id}-{root.id}", arguments, (root.end or root.start) // 1_000 or None)


def _is_call(span: Span) -> bool:
    """Whether it is a call of a model."""
    names_model = "gen_ai.request.model" in span.attributes or "gen_ai.response.model" in span.attributes
    return span.operation in _CALLS or (names_model and span.operation not in (_AGENTS, _TOOLS))


def _agent(root: Span) -> str | None:
    named = _attribute(root, "gen_ai.agent.id", "gen_ai.agent.name")
    if named is None:
        service = root.resource.get("service.name")
        # What an SDK says where nobody has named the service.
        named = None if str(service or "unknown_service").startswith("unknown_service") else str(service)
    return named


def _attribute(span: Span, *names: str) -> str | None:
    return next((str(span.attributes[name]) for name in names if span.attributes.get(name)), None)


def _end(span: Span) -> int:
    return span.end


def _first(texts: Iterable[str | None]) -> str | None:
    return next((text for text in texts if text), None)


def _time(nanoseconds: int) -> datetime | None:
    return _EPOCH + timedelta(microseconds=nanoseconds // 1_000) if nanoseconds else None


def _tokens(root: Span) -> dict[str, int] | None:
    """What a span says of its usage holds for all below it: its own, else the sum of its children's."""
    total: dict[str, int] = {}
    rest = [root]
    while rest:
        span = rest.pop()
        told = {
            kind: next((count for name in names if isinstance(count := span.attributes.get(name), int)), None)
            for kind, names in _USAGE.items()
        }
        if any(count is not None for count in told.values()):
            total = {kind: total.get(kind, 0) + (count or 0) for kind, count in told.items()}
        else:
            rest += span.children
    return total or None


def _response(root: Span, calls: list[Span]) -> dict[str, Any] | None:
    """What is told of the model's last response."""
    for span in [*sorted(calls, key=_end, reverse=True), root]:
        told: dict[str, Any] = {
            name: next((span.attributes[key] for key in keys if span.attributes.get(key)), None)
            for name, keys in _RESPONSE.items()
        }
        told["usage"] = {
            name.removeprefix("gen_ai.usage."): value
            for name, value in span.attributes.items()
            if name.startswith("gen_ai.usage.")
        }
        told["output"] = output(span.attributes, span.events)
        if told := {name: value for name, value in told.items() if value}:
            return {**told, "trace_id": root.trace_id, "span_id": span.id}
    return None
