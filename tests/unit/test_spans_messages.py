"""Texts of spans: the user's last message and the model's last message, in all forms of the conventions."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from xpander_capture.spans import Event, Span, SpanSummary, summarize

AGENT = {"gen_ai.operation.name": "invoke_agent"}


def summary_of(attributes: dict[str, Any], *events: tuple[str, dict[str, Any]]) -> SpanSummary:
    found = tuple(Event(name, values) for name, values in events)
    return summarize(Span("1" * 32, "2" * 16, "", "span", 1, 2, {**AGENT, **attributes}, {}, found))


def input_of(value: Any) -> str | None:
    return summary_of({"input.value": value}).input


def output_of(value: Any) -> str | None:
    return summary_of({"output.value": value}).output


def user(content: Any, **more: Any) -> dict[str, Any]:
    return {"role": "user", "content": content, **more}


def constructor(name: str, content: str) -> dict[str, Any]:
    path = ["langchain", "schema", "messages", name]
    return {"lc": 1, "type": "constructor", "id": path, "kwargs": {"content": content}}


@pytest.mark.parametrize(
    "value",
    [
        user("hi"),
        user([{"type": "text", "text": "hi"}]),
        user('[{"type": "text", "text": "hi"}]'),
        {"role": "user", "parts": [{"type": "text", "content": "hi"}]},
        {"role": "human", "text": "hi"},
        {"type": "human", "content": "hi"},
        {"type": "human", "data": {"content": "hi"}},
        {"role": 5, "type": "user", "content": "hi"},
        constructor("HumanMessage", "hi"),
        constructor("HumanMessageChunk", "hi"),
        ["user", "hi"],
        [["system", "You are a bot"], ["user", "hi"], ["assistant", "hello"]],
        [[user("hi")]],
        {"messages": [user("hi")]},
        {"input": {"messages": [user("hi")]}},
        {"message": user("hi")},
        {"raw": "hi"},
        {"raw": {"messages": [user("hi")]}},
        "hi",
        "[hi",
    ],
    ids=str,
)
def test_input_in_all_forms(value: Any) -> None:
    expected = value if value == "[hi" else "hi"
    assert input_of(value) == expected
    assert input_of(json.dumps(value) if not isinstance(value, str) else value) == expected


@pytest.mark.parametrize(
    "value",
    [
        {"role": "assistant", "content": "hi"},
        {"role": "model", "parts": [{"text": "hi"}]},
        {"type": "ai", "content": "hi"},
        constructor("AIMessage", "hi"),
        constructor("AIMessageChunk", "hi"),
        {"generations": [[{"type": "ChatGeneration", "message": constructor("AIMessage", "hi")}]]},
        {"choices": [{"index": 0, "message": {"role": "assistant", "content": "hi"}}]},
        {"event.name": "gen_ai.choice", "message": {"content": "hi"}},
        [user("no"), {"role": "assistant", "content": "hi"}, {"role": "tool", "content": "no"}],
    ],
    ids=str,
)
def test_output_in_all_forms(value: Any) -> None:
    assert output_of(value) == "hi"


@pytest.mark.parametrize(
    ("messages", "text"),
    [
        ([user("first"), user("second")], "second"),
        ([user("first"), user("")], "first"),
        ([user("first"), user([{"type": "blob", "content": "no"}])], "first"),
        ([user(["a", "", {"text": "b"}])], "a\nb"),
        ([user([{"type": "text", "text": "a"}, {"type": "image_url", "text": "no"}])], "a"),
        ([user([{"text": "hm", "thought": True}, {"text": "a", "thought": False}])], "a"),
        ([user(None, text="a")], "a"),
        ([user({"type": 5, "text": "a"})], "a"),
        ([user(5)], None),
        ([{"role": "system", "content": "no"}], None),
        ([{"role": "assistant", "content": "no"}], None),
        ([constructor("ToolMessage", "no")], None),
    ],
    ids=str,
)
def test_input_is_the_last_text_of_the_user(messages: Any, text: str | None) -> None:
    assert input_of(messages) == text


@pytest.mark.parametrize(
    "value",
    [
        {"city": "Zürich"},
        [1, 2],
        ["other", "hi"],
        ["user", "hi", "more"],
        ["user", 5],
        {"type": "text", "id": ["a", "HumanMessage"], "content": "no"},
        {"type": "constructor", "id": [], "kwargs": {}},
        {"type": "constructor", "id": ["a", "Other"], "kwargs": {"content": "no"}},
        {"messages": "none"},
        {"messages": []},
        5,
    ],
    ids=str,
)
def test_value_without_messages_is_its_json(value: Any) -> None:
    assert input_of(value) == json.dumps(value, ensure_ascii=False)


@pytest.mark.parametrize("value", [None, "", [], {}, {"raw": ""}, {"a": 1j}], ids=str)
def test_value_without_a_text_leaves_it_to_the_next_attribute(value: Any) -> None:
    assert input_of(value) is None
    prompt = {"gen_ai.prompt.0.role": "user", "gen_ai.prompt.0.content": "hi"}
    assert summary_of({"input.value": value, **prompt}).input == "hi"


def test_value_that_is_nested_too_deeply_has_no_text() -> None:
    value: Any = {}
    for _ in range(100_000):
        value = {"a": value}
    assert input_of(value) is None


def nest(value: Any, levels: int, wrap: Callable[[Any], Any]) -> Any:
    for _ in range(levels):
        value = wrap(value)
    return value


@pytest.mark.parametrize(
    "wrap",
    [
        lambda value: [value],
        lambda value: ["", value],
        lambda value: {"content": value},
        lambda value: {"type": "constructor", "kwargs": value},
        lambda value: {"type": "human", "data": value},
    ],
    ids=["list", "list of two", "content", "kwargs", "data"],
)
def test_text_is_found_up_to_twelve_levels_deep(wrap: Callable[[Any], Any]) -> None:
    assert input_of(user(nest({"text": "hi"}, 10, wrap))) == "hi"
    assert input_of(user(nest({"text": "hi"}, 11, wrap))) is None


@pytest.mark.parametrize("key", ["", "messages", "kwargs", "message"])
def test_message_is_found_up_to_twelve_levels_deep(key: str) -> None:
    def wrap(value: Any) -> Any:
        return {key: value} if key else [value]

    assert input_of(nest(user("hi"), 11, wrap)) == "hi"
    assert input_of(nest(user("hi"), 12, wrap)) == json.dumps(nest(user("hi"), 12, wrap))


def test_messages_in_one_attribute_for_each_field() -> None:
    prompt = {
        "gen_ai.prompt.9.role": "user",
        "gen_ai.prompt.9.content": "ninth",
        "gen_ai.prompt.10.role": "user",
        "gen_ai.prompt.10.content": "tenth",
        "gen_ai.prompt.10.tool.content": "no",
        "gen_ai.prompt.x.content": "no",
        "gen_ai.prompt.11": "no",
        "gen_ai.prompt.100000.role": "user",
        "gen_ai.prompt.100000.content": "no",
    }
    assert summary_of(prompt).input == "tenth"
    assert summary_of({**prompt, "gen_ai.prompt.99999.content": "last", "gen_ai.prompt.99999.role": "user"}).input == (
        "last"
    )


def test_contents_of_a_message_in_one_attribute_for_each_part() -> None:
    prefix = "llm.input_messages.0.message."
    attributes = {
        f"{prefix}role": "user",
        f"{prefix}contents.0.message_content.type": "text",
        f"{prefix}contents.0.message_content.text": "a",
        f"{prefix}contents.1.message_content.text": "b",
        f"{prefix}contents.1.message_content.image": "no",
        f"{prefix}other.message_content.text": "no",
        "llm.input_messages.0.other.content": "no",
    }
    assert summary_of(attributes).input == "a\nb"


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"content": "hi"}, "hi"),
        ({"content": '{"role": "user", "content": "hi"}'}, "hi"),
        ({"content": '{"content": "hi"}'}, "hi"),
        ({"content": '[{"role": "user", "content": "a"}, {"role": "user", "content": "b"}]'}, "b"),
        ({"content": '[{"text": "a"}, {"text": "b"}]'}, "a\nb"),
        ({"content": '[{"role": "user", "content": "a"}, {"text": "b"}]'}, "a\nb"),
        ({"content": "[1, 2]"}, "[1, 2]"),
        ({"content": '{"city": "Paris"}'}, '{"city": "Paris"}'),
        ({"content": '{"role": "assistant", "content": "no"}'}, None),
        ({"body": "last", "content": "first"}, "first"),
        ({"other": "no"}, None),
        ({}, None),
    ],
    ids=str,
)
def test_message_in_an_event(body: dict[str, Any], text: str | None) -> None:
    assert summary_of({}, ("gen_ai.user.message", body)).input == text
    assert summary_of({}, ("gen_ai.other", body)).input is None


def test_last_event_of_a_kind_counts_and_attributes_come_first() -> None:
    first, last = ("gen_ai.user.message", {"content": "first"}), ("gen_ai.user.message", {"content": "last"})
    assert summary_of({}, first, last).input == "last"
    assert summary_of({"input.value": "attribute"}, first, last).input == "attribute"
    messages = ("details", {"gen_ai.input.messages": [user("all")]})
    assert summary_of({}, first, messages).input == "all"


def test_choice_comes_before_the_history_of_the_model() -> None:
    choice, history = ("gen_ai.choice", {"content": "new"}), ("gen_ai.assistant.message", {"content": "old"})
    for events in ([choice, history], [history, choice]):
        assert summary_of({}, *events).output == "new"
    assert summary_of({}, history).output == "old"


CALL = {"gen_ai.operation.name": "chat", "gen_ai.response.model": "m"}
ANSWER = {"role": "assistant", "parts": [{"type": "text", "content": "hi"}]}


@pytest.mark.parametrize(
    ("attributes", "events", "output"),
    [
        ({"gen_ai.output.messages": [ANSWER]}, [], [ANSWER]),
        ({"gen_ai.output.messages": json.dumps(ANSWER)}, [], [ANSWER]),
        ({"gen_ai.output.messages": []}, [("details", {"gen_ai.output.messages": [ANSWER]})], [ANSWER]),
        ({}, [("other", {}), ("details", {"gen_ai.output.messages": json.dumps(ANSWER)})], [ANSWER]),
        ({"gen_ai.completion.0.content": "hi"}, [], [{"content": "hi"}]),
        ({}, [("gen_ai.choice", {"content": "hi"})], ["hi"]),
        ({}, [("gen_ai.assistant.message", {"content": "hi"})], ["hi"]),
        ({}, [("gen_ai.assistant.message", {"content": "old"}), ("gen_ai.choice", {"content": "hi"})], ["hi"]),
        ({"output.value": "hi"}, [], None),
        ({"final_result": "hi"}, [], None),
    ],
    ids=str,
)
def test_messages_of_the_model_are_part_of_the_response(attributes: Any, events: Any, output: Any) -> None:
    assert summary_of({**CALL, **attributes}, *events).response.get("output") == output


def test_attribute_with_a_text_is_no_json() -> None:
    assert summary_of({"final_result": '{"role": "assistant", "content": "hi"}'}).output == (
        '{"role": "assistant", "content": "hi"}'
    )
    assert summary_of({"mlflow.spanOutputs": '"hello"'}).output == "hello"
