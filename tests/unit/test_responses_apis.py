"""Readers of single APIs: which values have the API's shape, and the whole response of a stream in all its parts."""

import copy
from typing import Any

import pytest

from xpander_sdk.responses import ResponseSummary, accumulate_stream, summarize_response

USAGE = {"input_tokens": 10, "output_tokens": 20}
COUNTS = {"prompt_tokens": 10, "completion_tokens": 20}

# What an event of an unknown type must not add to the response, whatever its fields are.
UNKNOWN_FIELDS: dict[str, Any] = {
    "id": "no",
    "index": 7,
    "output_index": 7,
    "usage": {"input_tokens": 999, "output_tokens": 999},
    "error": "no",
    "content_block": {"type": "text", "text": "no"},
    "item": {"type": "message", "content": [{"text": "no"}]},
    "delta": {
        "type": "text_delta",
        "text": "no",
        "stop_reason": "no",
        "finish_reason": "no",
        "message": {"content": {"text": "no"}, "tool_calls": {"id": "no", "function": {"name": "no"}}},
    },
}


# Anthropic


def event(kind: str, index: int | None = None, **fields: Any) -> dict[str, Any]:
    return {"type": kind, **({} if index is None else {"index": index}), **fields}


ANTHROPIC_STREAM = [
    event("message_start", message={"id": "msg_1", "model": "claude-x", "role": "assistant", "stop_reason": None,
                                    "usage": {**USAGE, "output_tokens": 1, "service_tier": "standard"}}),
    event("content_block_start", 2, content_block={"type": "tool_use", "id": "t1", "name": "search", "input": {}}),
    event("content_block_delta", 2, delta={"type": "input_json_delta", "partial_json": '{"q": '}),
    event("content_block_delta", 2, delta={"type": "input_json_delta", "partial_json": "1}"}),
    event("content_block_start", 0, content_block={"type": "thinking", "thinking": ""}),
    event("content_block_delta", 0, delta={"type": "thinking_delta", "thinking": "h"}),
    event("content_block_delta", 0, delta={"type": "thinking_delta", "thinking": "m"}),
    event("content_block_delta", 0, delta={"type": "signature_delta", "signature": "s"}),
    event("content_block_start", 1, content_block={"type": "text", "text": "He"}),
    event("content_block_delta", 1, delta={"type": "text_delta", "text": "llo"}),
    event("content_block_stop", 1),
    event("message_delta", delta={"stop_reason": "stop_sequence", "stop_sequence": "END"},
          usage={"output_tokens": 20}),
    event("message_stop"),
]  # fmt: skip
ANTHROPIC_MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-x",
    "content": [
        {"type": "thinking", "thinking": "hm", "signature": "s"},
        {"type": "text", "text": "Hello"},
        {"type": "tool_use", "id": "t1", "name": "search", "input": {"q": 1}},
    ],
    "stop_reason": "stop_sequence",
    "stop_sequence": "END",
    "usage": {**USAGE, "service_tier": "standard"},
}


def test_stream_of_anthropic_is_the_message() -> None:
    assert accumulate_stream(ANTHROPIC_STREAM) == ANTHROPIC_MESSAGE


def test_blocks_of_anthropic_whose_start_is_missing_have_the_type_of_their_deltas() -> None:
    deltas = [("text_delta", "text"), ("thinking_delta", "thinking"), ("input_json_delta", "partial_json")]
    stream = [
        event("content_block_delta", index, delta={"type": kind, name: "5"})
        for index, (kind, name) in enumerate(deltas)
    ]
    assert accumulate_stream(stream)["content"] == [
        {"type": "text", "text": "5"},
        {"type": "thinking", "thinking": "5"},
        {"type": "tool_use", "input": 5},
    ]


@pytest.mark.parametrize("indexes", [(None, 0), (0, None), (None, None)])
def test_block_without_an_index_is_the_first(indexes: tuple[int | None, int | None]) -> None:
    start, delta = indexes
    stream = [
        event("content_block_start", 1, content_block={"type": "text", "text": "b"}),
        event("content_block_start", start, content_block={"type": "text", "text": "a"}),
        event("content_block_delta", delta, delta={"type": "text_delta", "text": "!"}),
    ]
    assert [block["text"] for block in accumulate_stream(stream)["content"]] == ["a!", "b"]


@pytest.mark.parametrize("partial", ['{"q": ', "[" * 100_000])
def test_arguments_that_are_no_json_are_kept_as_text(partial: str) -> None:
    stream = [event("content_block_delta", 0, delta={"type": "input_json_delta", "partial_json": partial})]
    assert accumulate_stream(stream)["content"] == [{"type": "tool_use", "input": partial}]


def test_error_within_a_stream_of_anthropic() -> None:
    error = {"type": "overloaded_error", "message": "Overloaded"}
    whole = accumulate_stream([*ANTHROPIC_STREAM[:1], event("error", error=error)])
    assert (whole["error"], summarize_response(whole).error) == (error, "Overloaded")


@pytest.mark.parametrize(
    ("response", "provider"),
    [
        ({"type": "message", "role": "assistant", "content": []}, "anthropic"),
        ({"content": [], "stop_reason": "end_turn"}, "anthropic"),
        ({"content": ("a",), "stop_reason": "end_turn"}, "anthropic"),
        ({"type": "message", "content": []}, None),
        ({"type": "other", "role": "assistant", "content": []}, None),
        ({"role": "assistant", "content": []}, None),
        ({"content": [], "stop_reason": None}, None),
        ({"content": {}, "stop_reason": "end_turn"}, None),
    ],
)
def test_message_of_anthropic_by_its_shape(response: dict[str, Any], provider: str | None) -> None:
    assert summarize_response(response).provider == provider


def test_text_and_tools_of_anthropic_are_those_of_known_blocks() -> None:
    content = [
        {"type": "a", "text": "no", "name": "no"},
        {"type": "text", "text": "He", "name": "no"},
        {"type": "tool_use", "name": "search"},
        {"type": "tool_use", "name": ""},
        {"type": "text", "text": "llo"},
        {"type": "web_search_tool_result", "name": "no"},
        {"type": "thinking", "text": "no"},
        {"type": "zzz", "text": "no", "name": "no"},
        {"text": "no"},
    ]
    summary = summarize_response({**ANTHROPIC_MESSAGE, "content": content})
    assert (summary.text, summary.tool_names) == ("Hello", ("search",))


# Bedrock Converse

CONVERSE_STREAM = [
    {"messageStart": {"role": "assistant"}},
    {"contentBlockStart": {"start": {"toolUse": {"toolUseId": "t1", "name": "search"}}, "contentBlockIndex": 1}},
    {"contentBlockDelta": {"delta": {"toolUse": {"input": '{"q": '}}, "contentBlockIndex": 1}},
    {"contentBlockDelta": {"delta": {"toolUse": {"input": "1}"}}, "contentBlockIndex": 1}},
    {"contentBlockStart": {"start": {}, "contentBlockIndex": 0}},
    {"contentBlockDelta": {"delta": {"text": "He"}}},
    {"contentBlockDelta": {"delta": {"text": "llo"}, "contentBlockIndex": 0}},
    {"contentBlockDelta": {"delta": {"toolUse": {"input": "{}"}}, "contentBlockIndex": 2}},
    {"contentBlockDelta": {"delta": {"reasoningContent": {"text": "hm"}}, "contentBlockIndex": 3}},
    {"contentBlockStop": {"contentBlockIndex": 0}},
    {"messageStop": {"stopReason": "tool_use"}},
    {"metadata": {"usage": {"inputTokens": 10, "outputTokens": 20}, "metrics": {"latencyMs": 3},
                  "trace": {"promptRouter": {"invokedModelId": "nova"}}, "other": 1}},
]  # fmt: skip
CONVERSE_RESPONSE = {
    "output": {
        "message": {
            "role": "assistant",
            "content": [
                {"text": "Hello"},
                {"toolUse": {"toolUseId": "t1", "name": "search", "input": '{"q": 1}'}},
                {"toolUse": {"input": "{}"}},
            ],
        }
    },
    "stopReason": "tool_use",
    "usage": {"inputTokens": 10, "outputTokens": 20},
    "metrics": {"latencyMs": 3},
    "trace": {"promptRouter": {"invokedModelId": "nova"}},
}


def test_stream_of_converse_is_the_response() -> None:
    assert accumulate_stream(CONVERSE_STREAM) == CONVERSE_RESPONSE
    assert accumulate_stream(CONVERSE_STREAM[:1])["stopReason"] is None
    assert summarize_response(CONVERSE_STREAM) == ResponseSummary(
        provider="bedrock", model="nova", tokens=COUNTS, tool_names=("search",), text="Hello", status="tool_use"
    )


def test_each_start_of_a_message_begins_another_stream() -> None:
    assert len(summarize_response([*CONVERSE_STREAM, *CONVERSE_STREAM]).calls) == 2


@pytest.mark.parametrize(
    ("more", "provider"),
    [
        ({"stopReason": "end_turn"}, "bedrock"),
        ({"usage": {"inputTokens": 1, "outputTokens": 1}}, "bedrock"),
        ({"stopReason": "end_turn", "usage": {"inputTokens": 1}}, "bedrock"),
        ({}, None),
    ],
)
def test_response_of_converse_states_its_end_or_its_usage(more: dict[str, Any], provider: str | None) -> None:
    output = {"message": {"role": "assistant", "content": [{"text": "Hi"}]}}
    assert summarize_response({"output": output, **more}).provider == provider
    assert summarize_response(more).provider is None


@pytest.mark.parametrize(
    ("status", "error"),
    [
        ("guardrail_intervened", "stop reason: guardrail_intervened"),
        ("content_filtered", "stop reason: content_filtered"),
        ("end_turn", None),
        ("max_tokens", None),
    ],
)
def test_stop_reasons_of_converse_that_are_failures(status: str, error: str | None) -> None:
    assert summarize_response({**CONVERSE_RESPONSE, "stopReason": status}).error == error


@pytest.mark.parametrize(
    "value",
    [
        {"metadata": {"user": "u1"}},
        {"metadata": {"user": "u1"}, "messageStart": {}},
        {"type": "x", "messageStart": {"role": "assistant"}},
        {"type": "x", "metadata": {"usage": {"inputTokens": 1}}},
        {"other": {}},
    ],
)
def test_values_that_are_no_events_of_converse(value: dict[str, Any]) -> None:
    assert accumulate_stream([value]) is None


# Cohere

COHERE_STREAM = [
    {"type": "message-start", "id": "co1", "delta": {"message": {"role": "assistant"}}},
    {"type": "tool-plan-delta", "delta": {"message": {"tool_plan": "I search."}}},
    {"type": "content-start", "index": 1, "delta": {"message": {"content": {"type": "thinking", "text": ""}}}},
    {"type": "content-delta", "index": 1, "delta": {"message": {"content": {"text": "hm"}}}},
    {"type": "content-start", "delta": {"message": {"content": {"text": "He"}}}},
    {"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": "llo"}}}},
    {"type": "content-end", "index": 0},
    {"type": "tool-call-start", "index": 1, "delta": {"message": {"tool_calls": {
        "id": "t2", "function": {"name": "read", "arguments": ""}}}}},
    {"type": "tool-call-start", "index": 0, "delta": {"message": {"tool_calls": {
        "id": "t1", "function": {"name": "search", "arguments": ""}}}}},
    {"type": "tool-call-delta", "delta": {"message": {"tool_calls": {"function": {"arguments": '{"q": '}}}}},
    {"type": "tool-call-delta", "index": 0, "delta": {"message": {"tool_calls": {"function": {"arguments": "1}"}}}}},
    {"type": "tool-call-end", "index": 0},
    {"type": "message-end", "delta": {"finish_reason": "TOOL_CALL",
                                      "usage": {"billed_units": {"input_tokens": 10, "output_tokens": 20}}}},
]  # fmt: skip
COHERE_RESPONSE = {
    "id": "co1",
    "finish_reason": "TOOL_CALL",
    "usage": {"billed_units": {"input_tokens": 10, "output_tokens": 20}},
    "message": {
        "role": "assistant",
        "content": [{"type": "text", "text": "Hello"}, {"type": "thinking", "text": "hm"}],
        "tool_calls": [
            {"id": "t1", "type": "function", "function": {"name": "search", "arguments": '{"q": 1}'}},
            {"id": "t2", "type": "function", "function": {"name": "read", "arguments": ""}},
        ],
    },
}


def test_stream_of_cohere_is_the_response() -> None:
    assert accumulate_stream(COHERE_STREAM) == COHERE_RESPONSE
    assert accumulate_stream(COHERE_STREAM[:1]) == {"id": "co1", "message": {"role": "assistant", "content": []}}
    failed = {"type": "message-end", "delta": {"finish_reason": "ERROR", "error": "Overloaded"}}
    assert summarize_response([*COHERE_STREAM[:-1], failed]).error == "Overloaded"


def test_response_of_cohere_version_1() -> None:
    response = {
        "generation_id": "g1",
        "model": "command-r",
        "text": "Hi",
        "finish_reason": "ERROR_TOXIC",
        "tool_calls": [{"name": "search", "parameters": {}}, {"name": ""}],
        "meta": {"tokens": {"input_tokens": 10, "output_tokens": 20}},
    }
    assert summarize_response(response) == ResponseSummary(
        provider="cohere",
        model="command-r",
        response_id="g1",
        tokens=COUNTS,
        tool_names=("search",),
        text="Hi",
        error="finish reason: ERROR_TOXIC",
        status="ERROR_TOXIC",
    )
    assert summarize_response({**response, "meta": {"billed_units": USAGE}}).tokens == COUNTS
    assert summarize_response({**response, "usage": {"tokens": USAGE}, "meta": None}).tokens == COUNTS
    assert summarize_response({**response, "meta": {"api_version": {"version": "1"}}}).provider is None


# Events of all APIs with typed events

TYPED = {"anthropic": ANTHROPIC_STREAM, "cohere": COHERE_STREAM}


@pytest.mark.parametrize(
    "kind", ["a", "content-b", "content_block_e", "message-a", "message_a", "message_e", "zzz", None]
)
@pytest.mark.parametrize("api", TYPED)
def test_events_of_unknown_types_add_nothing(api: str, kind: str | None) -> None:
    stream = TYPED[api]
    unknown = {"type": kind, **UNKNOWN_FIELDS}
    assert accumulate_stream([*stream[:1], unknown, *stream[1:], unknown]) == accumulate_stream(stream)


def test_deltas_of_unknown_types_add_nothing() -> None:
    fields = dict.fromkeys(("text", "thinking", "signature", "partial_json"), "no")
    unknown = [
        event("content_block_delta", 1, delta={"type": kind, **fields})
        for kind in ("a", "j_delta", "t_delta", "text_delta_2", "zzz")
    ]
    assert accumulate_stream([*ANTHROPIC_STREAM, *unknown]) == ANTHROPIC_MESSAGE


# Chat completions


def chunk(delta: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": None}]
    return {"object": "chat.completion.chunk", "choices": choices, **fields}


CHAT_STREAM = [
    chunk({"role": "assistant", "content": ""}, id="c1", model="gpt-4o", created=1, x_groq={"id": "r1"}),
    chunk({"reasoning_content": "h"}),
    chunk({"reasoning_content": "m"}, model="", service_tier="flex"),
    chunk({"content": "He"}),
    chunk({"content": [{"type": "text", "text": "llo"}]}),
    chunk({"refusal": "n"}),
    chunk({"refusal": "o"}),
    chunk({"tool_calls": [
        {"index": 1, "id": "t2", "type": "function", "function": {"name": "read", "arguments": {"q": 2}}},
        {"index": 0, "id": "t1", "type": "function", "function": {"name": "search", "arguments": ""}},
    ]}),
    chunk({"tool_calls": [{"index": 0, "function": {"name": "search", "arguments": '{"q": '}}]}),
    chunk({"tool_calls": [{"function": {"arguments": "1}"}}]}),
    chunk({"tool_calls": [{"index": 2, "id": "t3", "type": "custom", "custom": {"name": "run", "input": "a"}}]}),
    chunk({"tool_calls": [{"index": 2, "custom": {"input": "b"}}]}),
    chunk({"function_call": {"name": "old", "arguments": "{"}}),
    chunk({"function_call": {"arguments": "}"}}),
    {"object": "chat.completion.chunk", "choices": [
        {"index": 1, "delta": {"content": "second", "role": "tool"}, "text": "x", "finish_reason": "length"},
        {"delta": {}, "finish_reason": "stop"},
        {"index": 1, "delta": {}, "text": "y"},
    ]},
    chunk(usage=COUNTS, x_groq={"id": "r2"}),
]  # fmt: skip
CHAT_COMPLETION = {
    "id": "c1",
    "object": "chat.completion",
    "created": 1,
    "model": "gpt-4o",
    "service_tier": "flex",
    "x_groq": {"id": "r1"},
    "choices": [
        {
            "index": 0,
            "finish_reason": "stop",
            "message": {
                "role": "assistant",
                "content": "Hello",
                "reasoning_content": "hm",
                "refusal": "no",
                "function_call": {"name": "old", "arguments": "{}"},
                "tool_calls": [
                    {"id": "t1", "type": "function", "function": {"name": "search", "arguments": '{"q": 1}'}},
                    {"id": "t2", "type": "function", "function": {"name": "read", "arguments": {"q": 2}}},
                    {"id": "t3", "type": "custom", "function": {}, "custom": {"name": "run", "input": "ab"}},
                ],
            },
        },
        {"index": 1, "finish_reason": "length", "text": "xy", "message": {"role": "tool", "content": "second"}},
    ],
    "usage": COUNTS,
}


def test_stream_of_chat_completions_is_the_completion() -> None:
    assert accumulate_stream(CHAT_STREAM) == CHAT_COMPLETION


def test_answer_and_tools_of_all_choices() -> None:
    summary = summarize_response(CHAT_COMPLETION)
    assert (summary.text, summary.status, summary.provider) == ("Hello", "stop", "groq")
    assert summary.tool_names == ("search", "read", "run", "old")


def test_choice_without_content_has_null() -> None:
    assert accumulate_stream([chunk({})])["choices"][0]["message"] == {"role": "assistant", "content": None}


@pytest.mark.parametrize(
    ("first", "second", "calls"), [("a", "b", 2), ("b", "a", 2), ("a", "a", 0), ("a", None, 0), (None, "a", 0)]
)
def test_chunks_with_another_id_are_another_stream(first: str | None, second: str | None, calls: int) -> None:
    assert len(summarize_response([chunk({}, id=first), chunk({}, id=second)]).calls) == calls


@pytest.mark.parametrize(
    ("response", "text", "api_is_known"),
    [
        ({"choices": [{"message": {"content": "a"}}, {"message": {"content": "b"}}]}, "a", True),
        ({"choices": [{"message": {"content": None, "refusal": "no"}}]}, "no", True),
        ({"choices": [{"text": "a"}, {"text": "b"}]}, "a", True),
        ({"object": "text_completion", "choices": []}, None, True),
        ({"object": "embedding.list"}, None, True),
        ({"object": "list", "usage": {"prompt_tokens": 10}}, None, True),
        ({"object": "list"}, None, False),
        ({"object": "other", "choices": []}, None, False),
        ({"choices": []}, None, False),
    ],
)
def test_chat_completion_by_its_shape(response: dict[str, Any], text: str | None, api_is_known: bool) -> None:
    summary = summarize_response({**response, "id": "r1", "model": "m", "data": []})
    assert (summary.text, summary.model, summary.response_id) == (text, "m", "r1")
    named = summarize_response({**response, "x_groq": {}, "data": []})
    assert named.provider == ("groq" if api_is_known else None)


@pytest.mark.parametrize(
    ("response_id", "provider", "expected"),
    [("gen-1", "OpenAI", "openrouter"), ("gen-1", None, None), ("c1", "OpenAI", None), (None, "OpenAI", None)],
)
def test_openrouter_names_the_host_of_a_generation(
    response_id: str | None, provider: str | None, expected: str | None
) -> None:
    response = {"object": "chat.completion", "id": response_id, "provider": provider, "choices": []}
    assert summarize_response(response).provider == expected


def test_usage_of_groq_is_read_from_its_own_place_if_there_is_no_other() -> None:
    other = {"prompt_tokens": 1, "completion_tokens": 2}
    assert summarize_response([chunk({}, usage=COUNTS, x_groq={"usage": other})]).tokens == COUNTS
    assert summarize_response([chunk({}, x_groq={"usage": other})]).tokens == other


# OpenAI Responses


def delta(kind: str, text: Any, index: int | None, part: int | None = None) -> dict[str, Any]:
    return {"type": f"response.{kind}.delta", "delta": text, "output_index": index, "content_index": part}


RESPONSES_STREAM = [
    {"type": "response.created", "response": {"id": "resp_1", "model": "gpt-5", "status": "in_progress", "output": []}},
    {"type": "response.output_item.added", "output_index": 1, "item": {
        "type": "function_call", "name": "search", "arguments": "", "call_id": "c1"}},
    {"type": "response.output_item.done", "output_index": 1, "item": {
        "type": "function_call", "arguments": '{"q": 1}', "status": "completed"}},
    {"type": "response.output_item.added", "item": {"type": "message", "role": "assistant", "content": []}},
    delta("output_text", "He", 0, 1),
    delta("output_text", "A", None),
    delta("output_text", "llo", 0, 1),
    delta("output_text", None, 0, 0),
    delta("refusal", "n", 2),
    delta("refusal", "o", 2, 0),
    delta("reasoning_text", "hm", 0, 0),
    {"type": "response.output_item.done", "output_index": 3, "item": None},
]  # fmt: skip
RESPONSES_OUTPUT = [
    {
        "type": "message",
        "role": "assistant",
        "content": [{"type": "output_text", "text": "Hello"}, {"type": "output_text", "text": "A"}],
    },
    {"type": "function_call", "name": "search", "arguments": '{"q": 1}', "call_id": "c1", "status": "completed"},
    {"type": "message", "content": [{"type": "output_refusal", "refusal": "no"}]},
]


def test_stream_of_responses_that_was_broken_off_has_the_items_so_far() -> None:
    assert accumulate_stream(RESPONSES_STREAM) == {
        "id": "resp_1",
        "object": "response",
        "model": "gpt-5",
        "status": "in_progress",
        "output": RESPONSES_OUTPUT,
    }
    assert accumulate_stream(RESPONSES_STREAM[1:]) == {"object": "response", "output": RESPONSES_OUTPUT}


@pytest.mark.parametrize("end", ["completed", "incomplete", "failed", "cancelled", "done"])
def test_last_event_of_a_stream_of_responses_is_the_response(end: str) -> None:
    whole = {"id": "resp_1", "object": "response", "status": end, "output": [{"type": "message"}], "usage": USAGE}
    last = {"type": f"response.{end}", "response": whole}
    later = delta("output_text", "late", 0)
    assert accumulate_stream([*RESPONSES_STREAM, last, later]) == whole
    assert accumulate_stream([last]) == whole
    empty = {"type": f"response.{end}", "response": {**whole, "output": []}}
    assert accumulate_stream([*RESPONSES_STREAM, empty, later]) == {**whole, "output": RESPONSES_OUTPUT}
    assert accumulate_stream([empty]) == {**whole, "output": []}


@pytest.mark.parametrize("kind", ["response.a", "response.output_item.b", "response.output_item.e", "response.zzz"])
def test_events_of_responses_of_unknown_types_add_nothing(kind: str) -> None:
    unknown = [{"type": kind, **UNKNOWN_FIELDS}, {"type": kind, **UNKNOWN_FIELDS, "delta": "no"}]
    assert accumulate_stream([*RESPONSES_STREAM, *unknown]) == accumulate_stream(RESPONSES_STREAM)


def test_text_after_a_finished_item_is_added_to_its_content() -> None:
    item = {"type": "message", "content": [{"type": "output_text", "text": "Hi", "annotations": []}, "other"]}
    done = {"type": "response.output_item.done", "output_index": 0, "item": item}
    parts = accumulate_stream([done, delta("output_text", "!", 0)])["output"][0]["content"]
    assert parts == [*item["content"], {"type": "output_text", "text": "!"}]


@pytest.mark.parametrize(
    ("response", "status"),
    [
        ({"object": "response"}, "x"),
        ({"object": "response.compaction"}, "x"),
        ({"object": "realtime.response"}, "x"),
        ({"output": []}, "x"),
        ({"object": "other"}, None),
        ({"output": {}}, None),
        ({}, None),
    ],
)
def test_response_of_openai_by_its_shape(response: dict[str, Any], status: str | None) -> None:
    assert summarize_response({"status": "x", "tools": [], **response}).status == status


@pytest.mark.parametrize(
    ("more", "error"),
    [
        ({"status": "failed", "error": {"message": "Broken"}}, "Broken"),
        ({"status": "failed", "status_details": {"error": {"message": "Broken"}}}, "Broken"),
        ({"status": "failed", "error": None}, "status: failed"),
        ({"status": "cancelled"}, "status: cancelled"),
        ({"status": "incomplete", "incomplete_details": {"reason": "max"}}, "incomplete: max"),
        ({"status": "incomplete", "incomplete_details": None}, None),
        ({"status": "completed", "incomplete_details": {"reason": "max"}}, None),
        ({"status": "z", "incomplete_details": {"reason": "max"}}, None),
        ({"status": "a", "incomplete_details": {"reason": "max"}}, None),
    ],
)
def test_error_of_a_response_of_openai(more: dict[str, Any], error: str | None) -> None:
    assert summarize_response({"object": "response", "output": [], **more}).error == error


def test_text_and_tools_of_a_response_of_openai() -> None:
    output = [
        {"type": "a", "content": [{"text": "no"}], "name": "no"},
        {"type": "message", "content": [{"text": "a"}, {"refusal": "b"}, {"transcript": "c"}, {"other": "no"}]},
        {"type": "reasoning", "content": [{"text": "no"}]},
        {"type": "mcp_call", "name": "search"},
        {"type": "file_search_call"},
        {"type": "zzz", "content": [{"text": "no"}], "name": "no"},
        {"content": [{"text": "no"}]},
    ]
    summary = summarize_response({"object": "response", "output": output})
    assert (summary.text, summary.tool_names) == ("abc", ("search", "file_search"))


STREAMS = {
    "anthropic": ANTHROPIC_STREAM,
    "converse": CONVERSE_STREAM,
    "cohere": COHERE_STREAM,
    "chat": CHAT_STREAM,
    "responses": [
        *RESPONSES_STREAM,
        {"type": "response.output_item.done", "output_index": 0, "item": RESPONSES_OUTPUT[0]},
        delta("output_text", "!", 0),
    ],
}


@pytest.mark.parametrize("api", STREAMS)
def test_events_of_a_stream_are_not_changed(api: str) -> None:
    stream = copy.deepcopy(STREAMS[api])
    whole = accumulate_stream(stream)
    assert stream == STREAMS[api]
    assert accumulate_stream(stream) == whole


# Gemini


def candidate(*parts: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"content": {"role": "model", "parts": list(parts)}, **fields}


def test_stream_of_gemini_is_the_response() -> None:
    head = {"responseId": "g1", "modelVersion": "gemini"}
    stream = [
        {**head, "candidates": [candidate({"text": "b"}, index=1), candidate({"text": "He"}, index=0)]},
        {**head, "candidates": [candidate({"text": "llo"}, finishReason="STOP")],
         "usageMetadata": {"totalTokenCount": 1}},
        {**head, "promptFeedback": {}, "candidates": [candidate(), candidate({"text": "c"}, finishReason="MAX_TOKENS")],
         "usageMetadata": {"totalTokenCount": 9}},
    ]  # fmt: skip
    assert accumulate_stream(stream) == {
        **head,
        "promptFeedback": {},
        "usageMetadata": {"totalTokenCount": 9},
        "candidates": [
            candidate({"text": "He"}, {"text": "llo"}, index=0, finishReason="STOP"),
            candidate({"text": "b"}, {"text": "c"}, index=1, finishReason="MAX_TOKENS"),
        ],
    }


def test_text_of_gemini_is_that_of_the_first_candidate_and_its_tools_are_those_of_all() -> None:
    search, read = ({"functionCall": {"name": name}} for name in ("search", "read"))
    parts = [{"text": "hm", "thought": True}, {"text": "He", "thought": False}, search, {"text": "llo"}]
    others = candidate({"text": "no"}, read, finishReason="MAX_TOKENS")
    summary = summarize_response({"candidates": [candidate(*parts, finishReason="STOP"), others]})
    assert (summary.text, summary.tool_names, summary.status) == ("Hello", ("search", "read"), "STOP")


@pytest.mark.parametrize(
    ("response", "provider"),
    [
        ({"candidates": [candidate()]}, "google"),
        ({"usageMetadata": {"totalTokenCount": 9}}, "google"),
        ({"usageMetadata": {"promptTokenCount": 9}, "modelVersion": "g"}, "google"),
        ({"promptFeedback": {}, "modelVersion": "g"}, "google"),
        ({"usageMetadata": {"promptTokenCount": 9}}, None),
        ({"promptFeedback": {}}, None),
        ({"candidates": [], "modelVersion": "g"}, None),
        ({"modelVersion": "g"}, None),
    ],
)
def test_response_of_gemini_by_its_shape(response: dict[str, Any], provider: str | None) -> None:
    assert summarize_response({**response, "other": []}).provider == provider


@pytest.mark.parametrize(
    ("status", "feedback", "error"),
    [
        ("STOP", None, None),
        ("MAX_TOKENS", {}, None),
        ("SAFETY", None, "finish reason: SAFETY"),
        ("MALFORMED_FUNCTION_CALL", {}, "finish reason: MALFORMED_FUNCTION_CALL"),
        ("SAFETY", {"blockReason": "OTHER"}, "blocked: OTHER"),
    ],
)
def test_error_of_a_response_of_gemini(status: str, feedback: Any, error: str | None) -> None:
    response = {"candidates": [candidate(finishReason=status)], "promptFeedback": feedback}
    summary = summarize_response(response)
    assert (summary.error, summary.status) == (error, status)


# Ollama


def test_stream_of_ollama_is_the_response() -> None:
    call = {"function": {"name": "search", "arguments": {}}}
    stream = [
        {"model": "m", "created_at": "1", "message": {"role": "assistant", "content": "He"}, "done": False},
        {"model": "m", "created_at": "2", "message": {"content": "llo", "tool_calls": [call]}, "done": False},
        {"model": "m", "created_at": "3", "message": {"content": ""}, "done": True, "done_reason": "stop",
         "prompt_eval_count": 10, "eval_count": 20, "total_duration": 5},
    ]  # fmt: skip
    assert accumulate_stream(stream) == {
        "model": "m",
        "created_at": "3",
        "message": {"role": "assistant", "content": "Hello", "tool_calls": [call]},
        "done": True,
        "done_reason": "stop",
        "prompt_eval_count": 10,
        "eval_count": 20,
        "total_duration": 5,
    }
    assert accumulate_stream(stream[:1])["message"] == {"role": "assistant", "content": "He"}
    assert accumulate_stream(stream[:1])["done"] is False


def test_stream_of_generated_text_is_the_response() -> None:
    stream = [{"response": "He", "done": False}, {"response": "llo", "done": False}, {"response": "", "done": True}]
    assert accumulate_stream(stream) == {"response": "Hello", "done": True}


@pytest.mark.parametrize(("done", "calls"), [(True, 2), (False, 0), (None, 0)])
def test_line_after_the_last_one_of_ollama_begins_another_stream(done: bool | None, calls: int) -> None:
    line = {"model": "m", "message": {"content": "a"}, "done": False}
    summary = summarize_response([line, {**line, "done": done, "usage": {}}, line])
    assert (len(summary.calls), summary.text) == (calls, "aaa" if calls == 0 else "a")


@pytest.mark.parametrize(
    ("response", "provider", "tokens"),
    [
        ({"message": {"content": "a"}, "done": True}, "ollama", None),
        ({"response": "a", "done": False}, "ollama", None),
        ({"prompt_eval_count": 10}, "ollama", {"prompt_tokens": 10}),
        ({"eval_count": 20}, "ollama", {"completion_tokens": 20}),
        ({"message": {"content": "a"}}, None, None),
        ({"message": {"content": "a"}, "done": "yes"}, None, None),
        ({"done": True}, None, None),
        ({"response": {}, "done": True}, None, None),
    ],
)
def test_response_of_ollama_by_its_shape(
    response: dict[str, Any], provider: str | None, tokens: dict[str, int] | None
) -> None:
    for more in ({}, {"context": []}):
        summary = summarize_response({**response, **more})
        assert (summary.provider, summary.tokens) == (provider, tokens)


# Frameworks


def test_message_of_langchain_without_metadata() -> None:
    message = {"content": "Hi", "id": "lc_run--1", "usage_metadata": USAGE}
    assert summarize_response(message) == ResponseSummary(tokens=COUNTS, text="Hi")
    assert summarize_response({**message, "id": "run-1"}).response_id is None
    assert summarize_response({**message, "id": "msg_1"}).response_id == "msg_1"
    assert summarize_response({**message, "usage_metadata": {"other": 1}}) == ResponseSummary()


@pytest.mark.parametrize("name", ["model_name", "model", "model_id"])
@pytest.mark.parametrize("usage", ["token_usage", "usage"])
@pytest.mark.parametrize("status", ["finish_reason", "stop_reason"])
def test_metadata_of_langchain_by_provider(name: str, usage: str, status: str) -> None:
    metadata = {name: "m", usage: USAGE, status: "stop", "id": "r1", "model_provider": "openai"}
    calls = [{"name": "search"}, {"name": ""}, {"name": "read"}]
    summary = summarize_response({"content": "Hi", "response_metadata": metadata, "tool_calls": calls})
    assert summary == ResponseSummary(
        provider="openai",
        model="m",
        response_id="r1",
        tokens=COUNTS,
        tool_names=("search", "read"),
        text="Hi",
        status="stop",
    )


@pytest.mark.parametrize(
    ("generations", "text"),
    [([[{"text": "a"}, {"text": "b"}], [{"text": "c"}]], "a"), ([{"text": "a"}, {"text": "b"}], "a")],
)
@pytest.mark.parametrize(("usage", "model"), [("token_usage", "model_name"), ("usage", "model")])
def test_result_of_langchain_has_the_first_generation(generations: Any, text: str, usage: str, model: str) -> None:
    summary = summarize_response({"generations": generations, "llm_output": {usage: USAGE, model: "m"}})
    assert summary == ResponseSummary(model="m", tokens=COUNTS, text=text)


def test_message_of_a_result_of_langchain_states_what_the_result_does_not() -> None:
    message = {"content": "", "response_metadata": {"model_name": "inner"}, "usage_metadata": USAGE}
    output = {"model_name": "outer", "token_usage": {"prompt_tokens": 1, "completion_tokens": 1}}
    for inner in (message, {"type": "constructor", "kwargs": message}):
        result = {"generations": [[{"text": "Hi", "message": inner}]], "llm_output": output}
        assert summarize_response(result) == ResponseSummary(model="inner", tokens=COUNTS, text="Hi")
    assert summarize_response({"generations": [], "llm_output": output}).tokens is None


@pytest.mark.parametrize("kind", ["request", "a", "zzz", None])
def test_messages_of_pydantic_ai_that_are_no_responses(kind: str | None) -> None:
    parts = [{"part_kind": "text", "content": "no"}]
    assert summarize_response({"kind": kind, "parts": parts, "model_name": None}) == ResponseSummary()
    assert summarize_response({"kind": "response", "parts": "no"}) == ResponseSummary()


def test_parts_of_pydantic_ai() -> None:
    parts = [
        {"part_kind": "a", "content": "no", "tool_name": "no"},
        {"part_kind": "text", "content": "He"},
        {"part_kind": "thinking", "content": "no"},
        {"part_kind": "tool-call", "tool_name": "search"},
        {"part_kind": "builtin-tool-call", "tool_name": "read"},
        {"part_kind": "builtin-tool-return", "tool_name": "no"},
        {"part_kind": "text", "content": "llo"},
        {"part_kind": "zzz", "content": "no", "tool_name": "no"},
        {"content": "no"},
    ]
    response = {"kind": "response", "parts": parts, "vendor_id": "v1", "finish_reason": "stop", "usage": USAGE}
    assert summarize_response(response) == ResponseSummary(
        response_id="v1", tokens=COUNTS, tool_names=("search", "read"), text="Hello", status="stop"
    )


def test_result_of_vercel_states_its_model_and_its_usage() -> None:
    result = {
        "text": "Hi",
        "finishReason": "stop",
        "usage": USAGE,
        "response": {"id": "r1", "modelId": "m"},
        "toolCalls": [{"toolName": "search"}, {"toolName": None}],
    }
    expected = ResponseSummary(
        model="m", response_id="r1", tokens=COUNTS, tool_names=("search",), text="Hi", status="stop"
    )
    assert summarize_response(result) == expected
    assert summarize_response({**result, "usage": None}).status is None
    assert summarize_response({**result, "response": {}}).status is None


@pytest.mark.parametrize("prefix", ["", "_"])
def test_message_of_haystack(prefix: str) -> None:
    meta = {"model": "m", "id": "r1", "usage": USAGE, "finish_reason": "stop"}
    content = [{"text": "He"}, {"tool_call": {"tool_name": "search"}}, {"tool_name": "read"}, {"text": "llo"}]
    message = {f"{prefix}meta": meta, f"{prefix}content": content}
    assert summarize_response(message) == ResponseSummary(
        model="m", response_id="r1", tokens=COUNTS, tool_names=("search", "read"), text="Hello", status="stop"
    )
    assert summarize_response({**message, f"{prefix}meta": {**meta, "usage": None}}) == ResponseSummary()
