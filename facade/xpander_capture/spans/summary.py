"""Summary of a span: everything that the rule of runs needs, and no more.

A summary is computed once, when a span arrives. Its JSON form is what the server keeps, and its size does not depend on
the history of the conversation, which a span of a model call repeats in full.
"""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from xpander_capture.spans.conventions import CONVENTIONS, OTHER_KINDS, USAGE_KINDS, Path, merge
from xpander_capture.spans.messages import input_text, output_messages, output_text
from xpander_capture.spans.span import Kind, Span
from xpander_capture.spans.values import clean_text, look_up, parse_json, read_count, read_name, read_number

TASK_ID = "xpander.task.id"
"""Attribute with the id of the task that a span belongs to. The SDK sets it, so that its reports and the span update
the same task."""
_MAX_RESPONSE = 64 * 1024
_MAX_ERROR = 16_384

_KINDS = [(name, values) for convention in CONVENTIONS for name, values in convention.kinds.items()]
_MARKS = [mark for convention in CONVENTIONS for mark in convention.marks.items()]
_HINTS = [hint for convention in CONVENTIONS for hint in convention.hints.items()]
_PREFIXES = tuple(dict.fromkeys(prefix for convention in CONVENTIONS for prefix in convention.prefixes))
_AGENT = merge(lambda convention: convention.agent)
_WORKFLOW = merge(lambda convention: convention.workflow)
_TOOL = merge(lambda convention: convention.tool)
_PROVIDER = merge(lambda convention: convention.provider)
_MODEL = merge(lambda convention: convention.model)
_RESPONSE_ID = merge(lambda convention: convention.response_id)
_COST = merge(lambda convention: convention.cost)
_USER = merge(lambda convention: convention.user)
_CONVERSATION = merge(lambda convention: convention.conversation)
# OpenLLMetry writes the id of each run as the id of the agent.
_RUN_IDS_OF_AGENTS = "traceloop.span.kind"
_AGENT_NAMES = tuple(path for path in _AGENT if path.attribute != "gen_ai.agent.id")


def _usage_paths(kind: str) -> tuple[Path, ...]:
    return merge(lambda convention: convention.usage.get(kind, ()))


_USAGE = {kind: _usage_paths(kind) for kind in USAGE_KINDS}
# Values of `gen_ai.system` that name a framework instead of the provider of a model.
_FRAMEWORKS = frozenset({"langchain", "langgraph", "strands-agents", "autogen", "crewai", "gcp.vertex.agent"})


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanSummary:
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
    usage: Mapping[str, int] = field(default_factory=dict)
    response: Mapping[str, Any] = field(default_factory=dict)
    user_id: str | None = None
    conversation_id: str | None = None

    @property
    def has_call_semantics(self) -> bool:
        """True for calls of models and tools after the GenAI conventions, whose parent is the agent."""
        return self.kind in ("model", "tool") and self.label in ("chat", "generate_content", "execute_tool")


_FIELDS = tuple(dataclasses.fields(SpanSummary))
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_DEFAULTS = {
    item.name: item.default if item.default_factory is dataclasses.MISSING else item.default_factory()
    for item in _FIELDS
}


def to_json(summary: SpanSummary) -> str:
    """Return a summary as JSON text, without the values that it does not have."""
    values = {name: value for name, default in _DEFAULTS.items() if (value := getattr(summary, name)) != default}
    return _encode(values)


def from_json(text: str) -> SpanSummary:
    """Return the summary that `to_json` has written. Values that a later version has added are left out."""
    values = json.loads(text)
    return SpanSummary(**{name: value for name, value in values.items() if name in _DEFAULTS})


def summarize(span: Span) -> SpanSummary:
    """Return the summary of a span."""
    attributes = span.attributes
    task_id = read_name(attributes.get(TASK_ID))
    kind = _kind(attributes)
    values: dict[str, Any] = {
        "trace_id": span.trace_id,
        "id": span.id,
        "parent_id": span.parent_id,
        "name": read_name(span.name),
        "start": span.start,
        "end": span.end,
        "kind": "agent" if task_id is not None else kind,
        "label": _label(span, kind),
        "is_error": span.is_error or bool(attributes.get("error.type")),
        "error": _error(span),
        "task_id": task_id,
        "service": _service(span.resource),
        "user_id": _name(_USER, attributes),
    }
    if kind != "other" or task_id is not None:
        values |= _agent_values(span, values["kind"])
    return SpanSummary(**values)


def _agent_values(span: Span, kind: Kind) -> dict[str, Any]:
    """Return what only the spans of agents and models have."""
    attributes = span.attributes
    is_call = kind in ("model", "embedding")
    usage = _usage(attributes) if kind != "tool" else {}
    values: dict[str, Any] = {
        "agent": _agent(attributes),
        "has_exception": any(event.name == "exception" for event in span.events),
        "conversation_id": _name(_CONVERSATION, attributes),
        "usage": usage,
    }
    if kind == "agent":
        values["workflow"] = _name(_WORKFLOW, attributes)
    if kind == "tool":
        values["tool"] = _name(_TOOL, attributes) or read_name(span.name) or "unknown"
    elif kind != "embedding":
        values["input"] = clean_text(input_text(attributes, span.events))
        values["output"] = clean_text(output_text(attributes, span.events))
    if is_call:
        values["response_id"] = _name(_RESPONSE_ID, attributes)
        values["cost"] = _number(_COST, attributes)
    if is_call or usage:
        values["provider"] = _provider(attributes)
        values["model"] = _name(_MODEL, attributes)
        values["response"] = _response(span, values)
    return values


def _kind(attributes: Mapping[str, Any]) -> Kind:
    for names, kind in _MARKS:
        if all(name in attributes for name in names):
            return kind
    for name, values in _KINDS:
        value = attributes.get(name)
        known = values.get(value.lower()) if isinstance(value, str) else None
        if known is not None:
            return known
    for names, kind in _HINTS:
        if all(name in attributes for name in names):
            return kind
    return "step" if any(name.startswith(_PREFIXES) for name in attributes) else "other"


def _label(span: Span, kind: Kind) -> str:
    operation = span.attributes.get("gen_ai.operation.name")
    if isinstance(operation, str) and kind != "other":
        return (read_name(operation) or kind)[:64]
    if kind != "other":
        return kind
    for label, prefixes in OTHER_KINDS.items():
        if any(name.startswith(prefixes) for name in span.attributes):
            return label
    return ""


def _agent(attributes: Mapping[str, Any]) -> str | None:
    if _RUN_IDS_OF_AGENTS in attributes:
        return read_name(attributes.get("gen_ai.agent.name")) or _name(_AGENT_NAMES, attributes)
    return _name(_AGENT, attributes)


def _service(resource: Mapping[str, Any]) -> str | None:
    service = read_name(resource.get("service.name"))
    # "unknown_service:python" and the like are OpenTelemetry's defaults.
    return None if service is None or service.startswith("unknown_service") else service


def _values(paths: tuple[Path, ...], attributes: Mapping[str, Any]) -> Any:
    for path in paths:
        if path.attribute in attributes:
            value = attributes[path.attribute]
            yield look_up(value, path.keys) if path.keys else value


def _name(paths: tuple[Path, ...], attributes: Mapping[str, Any]) -> str | None:
    return next((name for value in _values(paths, attributes) if (name := read_name(value))), None)


def _number(paths: tuple[Path, ...], attributes: Mapping[str, Any]) -> float | None:
    return next((number for value in _values(paths, attributes) if (number := read_number(value)) is not None), None)


def _provider(attributes: Mapping[str, Any]) -> str | None:
    names = (read_name(value) for value in _values(_PROVIDER, attributes))
    return next((name for name in names if name and name.lower() not in _FRAMEWORKS), None)


def _usage(attributes: Mapping[str, Any]) -> dict[str, int]:
    counts = {
        kind: next((count for value in _values(paths, attributes) if (count := read_count(value)) is not None), None)
        for kind, paths in _USAGE.items()
    }
    return {kind: count for kind, count in counts.items() if count is not None}


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


def _response(span: Span, known: Mapping[str, Any]) -> dict[str, Any]:
    """Return the facts about a response, as a report's `llm_response` has them.

    Args:
        span: The span.
        known: Values of its summary: provider, model and conversation.
    """
    attributes = span.attributes
    response = {
        "provider": known["provider"],
        "model": known["model"],
        "id": _name(_RESPONSE_ID, attributes),
        "finish_reasons": parse_json(attributes.get("gen_ai.response.finish_reasons")),
        "conversation_id": known["conversation_id"],
        "usage": {
            name.removeprefix("gen_ai.usage.").removeprefix("llm.token_count."): value
            for name, value in attributes.items()
            if name.startswith(("gen_ai.usage.", "llm.token_count."))
        },
        "output": output_messages(attributes, span.events),
    }
    try:
        if len(_encode(response["output"])) > _MAX_RESPONSE:
            response["output"] = None  # the text is in the result
        present = {name: value for name, value in response.items() if value}
        text = _encode(present)
    except (TypeError, ValueError, RecursionError):
        return {}
    try:
        text.encode()
    except UnicodeEncodeError:  # parts of characters
        cleaned: dict[str, Any] = json.loads(text.encode("utf-8", "replace"))
        return cleaned
    return present
