"""Summary of a span: everything that the rule of runs needs, and no more.

A summary is computed once, when a span arrives. Its JSON form is what the server keeps, and its size does not depend on
the history of the conversation, which a span of a model call repeats in full.
"""

import json
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar

from xpander_capture.spans.conventions import Path
from xpander_capture.spans.known_names import KnownNames, find_known_names
from xpander_capture.spans.messages import input_text, output_messages, output_text
from xpander_capture.spans.span import Kind, Span
from xpander_capture.spans.values import (
    clean_text,
    encode_json,
    look_up,
    parse_json,
    read_count,
    read_name,
    read_number,
)

TASK_ID = "xpander.task.id"
"""Attribute with the id of the task that a span belongs to. The SDK sets it, so that its reports and the span update
the same task."""
_MAX_RESPONSE = 64 * 1024
_MAX_ERROR = 16_384

T = TypeVar("T")
Encode = Callable[[Any], str]

# Values of `gen_ai.system` that name a framework instead of the provider of a model.
_FRAMEWORKS = frozenset({"langchain", "langgraph", "strands-agents", "autogen", "crewai", "gcp.vertex.agent"})


class SpanSummary(NamedTuple):  # a frozen dataclass takes three times as long to create
    """Summary of a span. The attributes of `Span` have the same names.

    Attributes:
        name: Name of the span; the root of a trace without agents may give its name to a run.
        kind: What the span records.
        label: Name of the operation, for the explanation of what was left out.
        task_id: Id of the task that the span belongs to, if the program has set one.
        agent, workflow, service, tool: Names; None if unknown.
        input, output, error: Texts; None if unknown.
        provider, model, response_id, cost: Facts about a model call; the cost is in US dollars.
        usage: Tokens by kind. An agent's tokens are the sum of its calls.
        response: Facts about a response, as a report's `llm_response` has them.
        user_id, conversation_id: Ids; None if unknown.
    """

    trace_id: str
    id: str
    parent_id: str = ""
    name: str | None = None
    start: int = 0
    end: int = 0
    kind: Kind = "other"
    label: str = ""
    is_error: bool = False
    task_id: str | None = None
    agent: str | None = None
    workflow: str | None = None
    service: str | None = None
    tool: str | None = None
    input: str | None = None
    output: str | None = None
    error: str | None = None
    has_exception: bool = False
    provider: str | None = None
    model: str | None = None
    response_id: str | None = None
    cost: float | None = None
    usage: Mapping[str, int] = MappingProxyType({})
    response: Mapping[str, Any] = MappingProxyType({})
    user_id: str | None = None
    conversation_id: str | None = None

    @property
    def has_call_semantics(self) -> bool:
        """True for calls of models and tools after the GenAI conventions, whose parent is the agent."""
        return self.kind in ("model", "tool") and self.label in ("chat", "generate_content", "execute_tool")


_NAMES = SpanSummary._fields
_DEFAULTS = [SpanSummary._field_defaults.get(name) for name in _NAMES]


def to_json(summary: SpanSummary, encode: Encode = encode_json) -> str:
    """Return a summary as JSON text, without the values that it does not have."""
    items = zip(_NAMES, _DEFAULTS, summary, strict=True)
    # Most values are the objects of the defaults, which `is` finds in a fraction of the time.
    return encode({name: value for name, default, value in items if value is not default and value != default})


def from_json(text: str) -> SpanSummary:
    """Return the summary that `to_json` has written. Values that a later version has added are left out."""
    values = json.loads(text)
    return SpanSummary(**{name: value for name, value in values.items() if name in _NAMES})


def summarize(span: Span, encode: Encode = encode_json) -> SpanSummary:
    """Return the summary of a span.

    Args:
        span: The span.
        encode: Function that returns a value as JSON text. A value that `encode_json` cannot encode must be an error.
    """
    attributes = span.attributes
    task_id = read_name(attributes.get(TASK_ID))
    known = find_known_names(attributes)
    kind = _kind(known, attributes)
    values: dict[str, Any] = {
        "trace_id": span.trace_id,
        "id": span.id,
        "parent_id": span.parent_id,
        "name": read_name(span.name),
        "start": span.start,
        "end": span.end,
        "kind": "agent" if task_id is not None else kind,
        "label": _label(span, known, kind),
        "is_error": span.is_error or bool(attributes.get("error.type")),
        "error": _error(span),
        "task_id": task_id,
        "service": _service(span.resource),
        "user_id": _name(known.user, attributes),
    }
    if kind != "other" or task_id is not None:
        values |= _agent_values(span, known, values["kind"], encode)
    return SpanSummary(**values)


def _agent_values(span: Span, known: KnownNames, kind: Kind, encode: Encode) -> dict[str, Any]:
    """Return what only the spans of agents and models have."""
    attributes = span.attributes
    is_call = kind in ("model", "embedding")
    usage = _usage(known, attributes) if kind != "tool" else {}
    values: dict[str, Any] = {
        "agent": _name(known.agent, attributes),
        "has_exception": bool(span.events) and any(event.name == "exception" for event in span.events),
        "conversation_id": _name(known.conversation, attributes),
        "usage": usage,
    }
    if kind == "agent":
        values["workflow"] = _name(known.workflow, attributes)
    if kind == "tool":
        values["tool"] = _name(known.tool, attributes) or read_name(span.name) or "unknown"
    elif kind != "embedding":
        values["input"] = clean_text(input_text(known, attributes, span.events))
        values["output"] = clean_text(output_text(known, attributes, span.events))
    if is_call:
        values["response_id"] = _name(known.response_id, attributes)
        values["cost"] = _number(known.cost, attributes)
    if is_call or usage:
        values["provider"] = _first(_read_provider, known.provider, attributes)
        values["model"] = _name(known.model, attributes)
        values["response"] = _response(span, known, values, encode)
    return values


def _kind(known: KnownNames, attributes: Mapping[str, Any]) -> Kind:
    if known.marked_kind is not None:
        return known.marked_kind
    for name, values in known.kinds:
        value = attributes[name]
        kind = values.get(value.lower()) if isinstance(value, str) else None
        if kind is not None:
            return kind
    return known.fallback_kind


def _label(span: Span, known: KnownNames, kind: Kind) -> str:
    if kind == "other":
        return known.other_label
    operation = span.attributes.get("gen_ai.operation.name")
    return (read_name(operation) or kind)[:64] if isinstance(operation, str) else kind


def _service(resource: Mapping[str, Any]) -> str | None:
    service = read_name(resource.get("service.name"))
    # "unknown_service:python" and the like are OpenTelemetry's defaults.
    return None if service is None or service.startswith("unknown_service") else service


def _first(read: Callable[[Any], T | None], paths: tuple[Path, ...], attributes: Mapping[str, Any]) -> T | None:
    """Return the first value that `read` accepts. This is a loop without generators: it runs ten times for a span."""
    for path in paths:
        value = attributes[path.attribute]
        result = read(look_up(value, path.keys) if path.keys else value)
        if result is not None:
            return result
    return None


def _name(paths: tuple[Path, ...], attributes: Mapping[str, Any]) -> str | None:
    return _first(read_name, paths, attributes)


def _number(paths: tuple[Path, ...], attributes: Mapping[str, Any]) -> float | None:
    return _first(read_number, paths, attributes)


def _read_provider(value: Any) -> str | None:
    name = read_name(value)
    return None if name is None or name.lower() in _FRAMEWORKS else name


def _usage(known: KnownNames, attributes: Mapping[str, Any]) -> dict[str, int]:
    counts = ((kind, _first(read_count, paths, attributes)) for kind, paths in known.usage)
    return {kind: count for kind, count in counts if count is not None}


def _error(span: Span) -> str | None:
    """Return why a span failed: its exception, else the description of its status, else the type of the error."""
    return clean_text(_error_text(span))


def _error_text(span: Span) -> str | None:
    for event in reversed(span.events):
        if event.name == "exception" and span.is_error:
            kind = str(event.attributes.get("exception.type") or "").rpartition(".")[2]
            message = str(event.attributes.get("exception.message") or "")
            if kind or message:
                return f"{kind}: {message}".strip(": ")[:_MAX_ERROR]
    if span.is_error and span.message:
        return span.message[:_MAX_ERROR]
    error_type = span.attributes.get("error.type")
    return str(error_type)[:_MAX_ERROR] if error_type else None


def _response(span: Span, names: KnownNames, known: Mapping[str, Any], encode: Encode) -> dict[str, Any]:
    """Return the facts about a response, as a report's `llm_response` has them.

    Args:
        span: The span.
        names: Attributes that the span has.
        known: Values of its summary: provider, model and conversation.
        encode: See `summarize`.
    """
    attributes = span.attributes
    response = {
        "provider": known["provider"],
        "model": known["model"],
        "id": _name(names.response_id, attributes),
        "finish_reasons": parse_json(attributes.get("gen_ai.response.finish_reasons")),
        "conversation_id": known["conversation_id"],
        "usage": {short_name: attributes[name] for name, short_name in names.raw_usage},
        "output": output_messages(names, attributes, span.events),
    }
    try:
        present = {name: value for name, value in response.items() if value}
        text = encode(present)
        if len(text) > _MAX_RESPONSE and len(encode(response["output"])) > _MAX_RESPONSE:
            present.pop("output", None)  # the text is in the result
            text = encode(present)
    except (TypeError, ValueError, RecursionError):
        return {}
    try:
        text.encode()
    except UnicodeEncodeError:  # parts of characters
        cleaned: dict[str, Any] = json.loads(text.encode("utf-8", "replace"))
        return cleaned
    return present
