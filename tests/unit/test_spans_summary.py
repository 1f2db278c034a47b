"""Summaries of spans: what they keep of a span, their limits, and their JSON form."""

import json
from typing import Any

import pytest

from xpander_capture.spans import Event, Span, SpanSummary, from_json, summarize, to_json

TRACE, ID = "1" * 32, "2" * 16
AGENT = {"gen_ai.operation.name": "invoke_agent"}
CALL = {"gen_ai.operation.name": "chat", "gen_ai.response.model": "gpt-4o", "gen_ai.provider.name": "openai"}
TOOL = {"gen_ai.operation.name": "execute_tool"}


def summary_of(attributes: dict[str, Any], **more: Any) -> SpanSummary:
    fields = {"parent_id": "", "name": "span", "start": 1, "end": 2, "resource": {}, **more}
    return summarize(Span(trace_id=TRACE, id=ID, attributes=attributes, **fields))


def test_json_has_the_values_that_differ_from_the_defaults() -> None:
    assert json.loads(to_json(SpanSummary(trace_id=TRACE, id=ID))) == {"trace_id": TRACE, "id": ID}
    text = to_json(summary_of({"http.route": "/"}))
    assert json.loads(text) == {"trace_id": TRACE, "id": ID, "name": "span", "start": 1, "end": 2, "label": "HTTP"}
    assert " " not in text


def test_summary_is_read_from_its_json() -> None:
    attributes = {**CALL, "gen_ai.usage.input_tokens": 5, "gen_ai.response.id": "r1", "gen_ai.conversation.id": "c1"}
    summary = summary_of(
        attributes, events=(Event("gen_ai.choice", {"content": "hi"}),), resource={"service.name": "s"}
    )
    assert from_json(to_json(summary)) == summary
    later = json.dumps({**json.loads(to_json(summary)), "added_by_a_later_version": 1})
    assert from_json(later) == summary


def test_values_that_a_summary_does_not_state_are_unknown() -> None:
    summary = from_json(json.dumps({"trace_id": TRACE, "id": ID}))
    assert {name: getattr(summary, name) for name in SpanSummary._fields} == {
        "trace_id": TRACE, "id": ID, "parent_id": "", "name": None, "start": 0, "end": 0, "kind": "other", "label": "",
        "is_error": False, "task_id": None, "agent": None, "workflow": None, "service": None, "tool": None,
        "input": None, "output": None, "error": None, "has_exception": False, "provider": None, "model": None,
        "response_id": None, "cost": None, "usage": {}, "response": {}, "user_id": None, "conversation_id": None,
    }  # fmt: skip
    with pytest.raises(AttributeError):
        summary.agent = "a"  # type: ignore[misc]
    with pytest.raises(TypeError):
        summary.usage["prompt_tokens"] = 1  # type: ignore[index]


def exception(**attributes: Any) -> Event:
    return Event("exception", {f"exception.{name}": value for name, value in attributes.items()})


@pytest.mark.parametrize(
    ("fields", "error", "has_exception"),
    [
        ({"events": (exception(type="builtins.ValueError", message="no"),)}, "ValueError: no", True),
        ({"events": (exception(type="ValueError"),)}, "ValueError", True),
        ({"events": (exception(message="no"),)}, "no", True),
        ({"events": (exception(message="first"), exception(message="last"))}, "last", True),
        ({"events": (exception(message="no"), Event("other", {}))}, "no", True),
        ({"events": (exception(), ), "message": "status"}, "status", True),
        ({"events": (Event("other", {"exception.message": "no"}),), "message": "status"}, "status", False),
        ({"message": "status"}, "status", False),
        ({"message": "x" * 20_000}, "x" * 16_384, False),
        ({"events": (exception(message="x" * 20_000),)}, "x" * 16_384, True),
        ({}, None, False),
    ],
)  # fmt: skip
def test_error_of_a_failed_span(fields: dict[str, Any], error: str | None, has_exception: bool) -> None:
    summary = summary_of(AGENT, is_error=True, **fields)
    assert (summary.error, summary.is_error, summary.has_exception) == (error, True, has_exception)


def test_type_of_an_error_is_a_failure() -> None:
    summary = summary_of({**AGENT, "error.type": "timeout"})
    assert (summary.is_error, summary.error) == (True, "timeout")
    assert summary_of({**AGENT, "error.type": "timeout"}, is_error=True, message="late").error == "late"
    assert summary_of({"error.type": 500}).error == "500"
    assert summary_of({"error.type": "x" * 20_000}).error == "x" * 16_384


def test_exception_that_was_handled_is_no_error() -> None:
    handled = summary_of(AGENT, events=(exception(message="no"),), message="fine")
    assert (handled.is_error, handled.error, handled.has_exception) == (False, None, True)


@pytest.mark.parametrize(
    ("attributes", "kind", "label"),
    [
        (CALL, "model", "chat"),
        ({"gen_ai.operation.name": "CHAT"}, "model", "CHAT"),
        ({"gen_ai.operation.name": "embeddings"}, "embedding", "embeddings"),
        ({"gen_ai.operation.name": "x" * 70, "gen_ai.agent.name": "a"}, "step", "x" * 64),
        ({"gen_ai.operation.name": 5, "gen_ai.agent.name": "a"}, "step", "step"),
        ({"gen_ai.operation.name": " ", "gen_ai.agent.name": "a"}, "step", "step"),
        ({"openinference.span.kind": "LLM"}, "model", "model"),
        ({"db.system": "sqlite"}, "other", "database"),
        ({"other": 1}, "other", ""),
        ({"xpander.task.id": "t1", "db.system": "sqlite"}, "agent", "database"),
        ({"xpander.task.id": "t1", **CALL}, "agent", "chat"),
    ],
)
def test_kind_and_label_of_a_span(attributes: dict[str, Any], kind: str, label: str) -> None:
    summary = summary_of(attributes)
    assert (summary.kind, summary.label) == (kind, label)


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        (CALL, True),
        ({"gen_ai.operation.name": "generate_content"}, True),
        (TOOL, True),
        ({"gen_ai.operation.name": "text_completion"}, False),
        ({"xpander.task.id": "t1", **CALL}, False),
        (AGENT, False),
    ],
)
def test_parent_of_calls_is_an_agent_after_the_genai_conventions(attributes: dict[str, Any], expected: bool) -> None:
    assert summary_of(attributes).has_call_semantics is expected


TEXTS = {"gen_ai.input.messages": [{"role": "user", "content": "hi"}], "gen_ai.output.messages": "hello"}
FACTS = {
    "gen_ai.response.id": "r1", "gen_ai.usage.cost": 0.5, "gen_ai.usage.input_tokens": 5, "gen_ai.agent.name": "a",
    "gen_ai.workflow.name": "w", "gen_ai.tool.name": "search", "gen_ai.conversation.id": "c1", "user.id": "u1",
}  # fmt: skip


@pytest.mark.parametrize(
    ("operation", "absent"),
    [
        ("chat", {"workflow", "tool"}),
        ("embeddings", {"workflow", "tool", "input", "output"}),
        (
            "execute_tool",
            {"workflow", "input", "output", "response_id", "cost", "usage", "provider", "model", "response"},
        ),
        ("invoke_agent", {"tool", "response_id", "cost"}),
        ("create_agent", {"workflow", "tool", "response_id", "cost"}),
    ],
)
def test_facts_of_each_kind_of_span(operation: str, absent: set[str]) -> None:
    summary = summary_of({**CALL, **TEXTS, **FACTS, "gen_ai.operation.name": operation})
    facts = {
        "agent": "a", "workflow": "w", "tool": "search", "input": "hi", "output": "hello", "provider": "openai",
        "model": "gpt-4o", "response_id": "r1", "cost": 0.5, "usage": {"prompt_tokens": 5}, "conversation_id": "c1",
        "user_id": "u1",
    }  # fmt: skip
    expected = {name: ({} if name == "usage" else None) if name in absent else value for name, value in facts.items()}
    assert {name: getattr(summary, name) for name in facts} == expected
    assert bool(summary.response) == ("response" not in absent)


def test_other_spans_have_their_user_and_service_only() -> None:
    summary = summary_of({"user.id": "u1", "session.id": "c1", "other": 1}, resource={"service.name": "desk"})
    assert (summary.user_id, summary.service, summary.conversation_id) == ("u1", "desk", None)


def test_agent_without_tokens_has_no_model() -> None:
    assert summary_of({**CALL, **AGENT}).model is None
    assert summary_of({**CALL, **AGENT, "gen_ai.usage.input_tokens": 5}).model == "gpt-4o"


@pytest.mark.parametrize(("name", "tool"), [("search", "search"), ("", "unknown")])
def test_tool_without_a_name_has_that_of_its_span(name: str, tool: str) -> None:
    assert summary_of(TOOL, name=name).tool == tool
    assert summary_of({**TOOL, "gen_ai.tool.name": "named"}, name=name).tool == "named"


@pytest.mark.parametrize(
    ("service", "expected"), [("desk", "desk"), ("unknown_service", None), ("unknown_service:python", None), ("", None)]
)
def test_default_service_is_no_service(service: str, expected: str | None) -> None:
    assert summary_of(AGENT, resource={"service.name": service}).service == expected


@pytest.mark.parametrize(("system", "provider"), [("openai", "openai"), ("LangChain", None), ("", None)])
def test_framework_is_no_provider(system: str, provider: str | None) -> None:
    assert summary_of({"gen_ai.operation.name": "chat", "gen_ai.system": system}).provider == provider


def test_response_of_a_call_has_its_facts() -> None:
    attributes = {
        **CALL, **FACTS, "gen_ai.response.finish_reasons": '["stop"]', "gen_ai.usage.output_tokens": 2,
        "llm.token_count.total": 7, "gen_ai.output.messages": [{"role": "assistant", "content": "hello"}],
    }  # fmt: skip
    assert summary_of(attributes).response == {
        "provider": "openai",
        "model": "gpt-4o",
        "id": "r1",
        "finish_reasons": ["stop"],
        "conversation_id": "c1",
        "usage": {"cost": 0.5, "input_tokens": 5, "output_tokens": 2, "total": 7},
        "output": [{"role": "assistant", "content": "hello"}],
    }
    assert summary_of({"gen_ai.operation.name": "chat"}).response == {}


@pytest.mark.parametrize(("length", "is_kept"), [(1, True), (65_532, True), (65_533, False)])
def test_output_of_a_response_has_at_most_64_kib(length: int, is_kept: bool) -> None:
    # Two brackets and two quotation marks are part of the length.
    response = summary_of(CALL, events=(Event("gen_ai.choice", {"content": "x" * length}),)).response
    assert response == {"provider": "openai", "model": "gpt-4o", **({"output": ["x" * length]} if is_kept else {})}


def test_short_output_beside_long_facts_is_kept() -> None:
    reasons = ["x" * 70_000]
    attributes = {**CALL, "gen_ai.response.finish_reasons": reasons}
    response = summary_of(attributes, events=(Event("gen_ai.choice", {"content": "hi"}),)).response
    assert (response["finish_reasons"], response["output"]) == (reasons, ["hi"])


def test_response_that_is_no_json_is_left_out_or_cleaned() -> None:
    assert summary_of({**CALL, "gen_ai.usage.details.x": object()}).response == {}
    cleaned = summary_of(CALL, events=(Event("gen_ai.choice", {"content": "a\ud800"}),)).response
    assert cleaned == {"provider": "openai", "model": "gpt-4o", "output": ["a?"]}
