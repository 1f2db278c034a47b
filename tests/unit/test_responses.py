"""Summaries of provider responses: each API's shape, SDK objects, wrappers, lists and batch lines."""

import json
from dataclasses import FrozenInstanceError
from types import SimpleNamespace
from typing import Any

import pytest
from anthropic.types import Message
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion
from openai.types.responses import Response

from xpander_sdk.responses import ResponseSummary, accumulate_stream, summarize_response

CHAT = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "gpt-4o-2024-08-06",
    "choices": [
        {
            "index": 0,
            "finish_reason": "tool_calls",
            "message": {
                "role": "assistant",
                "content": "Searching.",
                "tool_calls": [
                    {"id": "c1", "type": "function", "function": {"name": "search", "arguments": "{}"}},
                ],
            },
        }
    ],
    "usage": {
        "prompt_tokens": 100,
        "completion_tokens": 20,
        "total_tokens": 120,
        "prompt_tokens_details": {"cached_tokens": 40, "audio_tokens": 3},
        "completion_tokens_details": {"reasoning_tokens": 8, "audio_tokens": 2},
    },
}
RESPONSES = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1,
    "model": "gpt-5-mini",
    "status": "completed",
    "parallel_tool_calls": False,
    "tool_choice": "auto",
    "tools": [],
    "output": [
        {"id": "r1", "type": "reasoning", "summary": [{"type": "summary_text", "text": "thinking"}]},
        {"id": "w1", "type": "web_search_call", "status": "completed", "action": {"type": "search", "query": "q"}},
        {"id": "f1", "type": "function_call", "name": "search", "call_id": "c1", "arguments": "{}"},
        {
            "id": "m1",
            "type": "message",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_text", "text": "Done.", "annotations": []}],
        },
    ],
    "usage": {
        "input_tokens": 100,
        "input_tokens_details": {"cached_tokens": 40, "cache_write_tokens": 0},
        "output_tokens": 20,
        "output_tokens_details": {"reasoning_tokens": 8},
        "total_tokens": 120,
    },
}
ANTHROPIC = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-sonnet-4-5-20250929",
    "content": [
        {"type": "thinking", "thinking": "hm", "signature": "s"},
        {"type": "text", "text": "Done."},
        {"type": "tool_use", "id": "t1", "name": "search", "input": {}},
        {"type": "server_tool_use", "id": "t2", "name": "web_search", "input": {}},
    ],
    "stop_reason": "tool_use",
    "stop_sequence": None,
    "usage": {
        "input_tokens": 10,
        "output_tokens": 20,
        "cache_read_input_tokens": 300,
        "cache_creation_input_tokens": 50,
        "cache_creation": {"ephemeral_5m_input_tokens": 20, "ephemeral_1h_input_tokens": 30},
        "server_tool_use": {"web_search_requests": 2, "web_fetch_requests": 0},
        "service_tier": "standard",
    },
}
GEMINI = {
    "responseId": "g1",
    "modelVersion": "gemini-2.5-pro",
    "candidates": [
        {
            "finishReason": "STOP",
            "content": {
                "role": "model",
                "parts": [
                    {"text": "thinking", "thought": True},
                    {"text": "Done."},
                    {"functionCall": {"name": "search", "args": {}}},
                ],
            },
        }
    ],
    "usageMetadata": {
        "promptTokenCount": 100,
        "candidatesTokenCount": 20,
        "thoughtsTokenCount": 8,
        "toolUsePromptTokenCount": 5,
        "cachedContentTokenCount": 40,
        "totalTokenCount": 133,
        "promptTokensDetails": [
            {"modality": "TEXT", "tokenCount": 90},
            {"modality": "AUDIO", "tokenCount": 10},
        ],
    },
}
GEMINI_SNAKE = {
    "response_id": "g1",
    "model_version": "gemini-2.5-pro",
    "candidates": [
        {
            "finish_reason": "STOP",
            "content": {
                "role": "model",
                "parts": [
                    {"text": "thinking", "thought": True, "function_call": None},
                    {"text": "Done.", "thought": None, "function_call": None},
                    {"text": None, "function_call": {"name": "search", "args": {}}},
                ],
            },
        }
    ],
    "usage_metadata": {
        "prompt_token_count": 100,
        "candidates_token_count": 20,
        "thoughts_token_count": 8,
        "tool_use_prompt_token_count": 5,
        "cached_content_token_count": 40,
        "total_token_count": 133,
        "prompt_tokens_details": [
            {"modality": "TEXT", "token_count": 90},
            {"modality": "AUDIO", "token_count": 10},
        ],
    },
}
CONVERSE = {
    "ResponseMetadata": {"RequestId": "req-1"},
    "output": {
        "message": {
            "role": "assistant",
            "content": [{"text": "Done."}, {"toolUse": {"toolUseId": "t1", "name": "search", "input": {}}}],
        }
    },
    "stopReason": "tool_use",
    "usage": {
        "inputTokens": 10,
        "outputTokens": 20,
        "totalTokens": 380,
        "cacheReadInputTokens": 300,
        "cacheWriteInputTokens": 50,
        "cacheDetails": [{"ttl": "1h", "inputTokens": 30}, {"ttl": "5m", "inputTokens": 20}],
    },
    "metrics": {"latencyMs": 5},
}
COHERE = {
    "id": "co1",
    "finish_reason": "TOOL_CALL",
    "message": {
        "role": "assistant",
        "content": [{"type": "text", "text": "Done."}],
        "tool_calls": [{"id": "t1", "type": "function", "function": {"name": "search", "arguments": "{}"}}],
    },
    "usage": {
        "billed_units": {"input_tokens": 10, "output_tokens": 20},
        "tokens": {"input_tokens": 90, "output_tokens": 20},
    },
}
OLLAMA = {
    "model": "llama3.2:3b",
    "created_at": "2026-01-01T00:00:00Z",
    "message": {
        "role": "assistant",
        "content": "Done.",
        "tool_calls": [{"function": {"name": "search", "arguments": {}}}],
    },
    "done": True,
    "done_reason": "stop",
    "prompt_eval_count": 10,
    "eval_count": 20,
}


def test_openai_chat_completion() -> None:
    assert summarize_response(CHAT) == ResponseSummary(
        model="gpt-4o-2024-08-06",
        response_id="chatcmpl-1",
        tokens={
            "prompt_tokens": 100,
            "completion_tokens": 20,
            "cache_read_tokens": 40,
            "reasoning_tokens": 8,
            "input_audio_tokens": 3,
            "output_audio_tokens": 2,
        },
        is_cache_included=True,
        tool_names=("search",),
        text="Searching.",
        status="tool_calls",
    )


def test_openai_response() -> None:
    summary = summarize_response(RESPONSES)
    assert summary.tokens == {
        "prompt_tokens": 100,
        "completion_tokens": 20,
        "cache_read_tokens": 40,
        "cache_write_tokens": 0,
        "reasoning_tokens": 8,
    }
    assert (summary.is_cache_included, summary.status, summary.error) == (True, "completed", None)
    assert (summary.text, summary.tool_names) == ("Done.", ("web_search", "search"))


def test_anthropic_message_counts_the_cache_beside_the_prompt() -> None:
    assert summarize_response(ANTHROPIC) == ResponseSummary(
        provider="anthropic",
        model="claude-sonnet-4-5-20250929",
        response_id="msg_1",
        tokens={
            "prompt_tokens": 10,
            "completion_tokens": 20,
            "cache_read_tokens": 300,
            "cache_write_tokens": 50,
            "cache_write_5m_tokens": 20,
            "cache_write_1h_tokens": 30,
            "web_searches": 2,
        },
        is_cache_included=False,
        tool_names=("search", "web_search"),
        text="Done.",
        status="tool_use",
        service_tier="standard",
    )


@pytest.mark.parametrize(("prefix", "provider"), [("msg_bdrk_", "bedrock"), ("msg_vrtx_", "google-vertex")])
def test_anthropic_messages_of_other_clouds_name_their_cloud(prefix: str, provider: str) -> None:
    assert summarize_response({**ANTHROPIC, "id": f"{prefix}01"}).provider == provider


@pytest.mark.parametrize("response", [GEMINI, GEMINI_SNAKE], ids=["camel case", "snake case"])
def test_gemini_response(response: dict[str, Any]) -> None:
    assert summarize_response(response) == ResponseSummary(
        provider="google",
        model="gemini-2.5-pro",
        response_id="g1",
        tokens={
            "prompt_tokens": 105,
            "completion_tokens": 28,
            "cache_read_tokens": 40,
            "reasoning_tokens": 8,
            "tool_prompt_tokens": 5,
            "input_text_tokens": 90,
            "input_audio_tokens": 10,
        },
        is_cache_included=True,
        tool_names=("search",),
        text="Done.",
        status="STOP",
    )


def test_bedrock_converse_takes_the_model_from_the_caller() -> None:
    assert summarize_response(CONVERSE, model="us.amazon.nova-lite-v1:0") == ResponseSummary(
        provider="bedrock",
        model="us.amazon.nova-lite-v1:0",
        response_id="req-1",
        tokens={
            "prompt_tokens": 10,
            "completion_tokens": 20,
            "cache_read_tokens": 300,
            "cache_write_tokens": 50,
            "cache_write_5m_tokens": 20,
            "cache_write_1h_tokens": 30,
        },
        is_cache_included=False,
        tool_names=("search",),
        text="Done.",
        status="tool_use",
    )


def test_cohere_counts_billed_units() -> None:
    assert summarize_response(COHERE) == ResponseSummary(
        provider="cohere",
        response_id="co1",
        tokens={"prompt_tokens": 10, "completion_tokens": 20},
        tool_names=("search",),
        text="Done.",
        status="TOOL_CALL",
    )


def test_ollama_response() -> None:
    assert summarize_response(OLLAMA) == ResponseSummary(
        provider="ollama",
        model="llama3.2:3b",
        tokens={"prompt_tokens": 10, "completion_tokens": 20},
        tool_names=("search",),
        text="Done.",
        status="stop",
    )


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        pytest.param(
            {"prompt_tokens": 12307, "completion_tokens": 550, "cache_creation_input_tokens": 12304},
            {"prompt_tokens": 12307, "completion_tokens": 550, "cache_write_tokens": 12304},
            id="litellm",
        ),
        pytest.param(
            {"prompt_tokens": 9, "completion_tokens": 2, "prompt_cache_hit_tokens": 4, "prompt_cache_miss_tokens": 5},
            {"prompt_tokens": 9, "completion_tokens": 2, "cache_read_tokens": 4},
            id="DeepSeek",
        ),
        pytest.param(
            {"prompt_tokens": 9, "completion_tokens": 2, "cached_tokens": 4},
            {"prompt_tokens": 9, "completion_tokens": 2, "cache_read_tokens": 4},
            id="Together",
        ),
    ],
)
def test_cached_tokens_of_compatible_apis_are_part_of_the_prompt(
    usage: dict[str, int], expected: dict[str, int]
) -> None:
    summary = summarize_response({"object": "chat.completion", "model": "m", "usage": usage})
    assert (summary.tokens, summary.is_cache_included) == (expected, True)


def test_groq_states_the_usage_of_a_stream_apart() -> None:
    summary = summarize_response(
        {"object": "chat.completion", "x_groq": {"usage": {"prompt_tokens": 3, "completion_tokens": 1}}}
    )
    assert (summary.provider, summary.tokens) == ("groq", {"prompt_tokens": 3, "completion_tokens": 1})


@pytest.mark.parametrize("provider", ["x-ai", None])
def test_reasoning_that_xai_counts_beside_the_completion_is_added(provider: str | None) -> None:
    usage = {
        "prompt_tokens": 10,
        "completion_tokens": 5,
        "total_tokens": 45,
        "completion_tokens_details": {"reasoning_tokens": 30},
    }
    summary = summarize_response({"object": "chat.completion", "model": "grok-4", "usage": usage}, provider=provider)
    assert summary.tokens == {"prompt_tokens": 10, "completion_tokens": 35, "reasoning_tokens": 30}


@pytest.mark.parametrize("counts", [(22118, 1970), (22118.0, 1970.0), ("22118", "1970")])
def test_counts_may_be_floats_and_texts(counts: tuple[Any, Any]) -> None:
    usage = {"prompt_tokens": counts[0], "completion_tokens": counts[1]}
    assert summarize_response({"usage": usage}).tokens == {"prompt_tokens": 22118, "completion_tokens": 1970}


@pytest.mark.parametrize("count", [True, -1, 1.5, "1.5", "٣", float("nan"), 2**60, [1], None])
def test_values_that_are_no_counts_are_left_out(count: Any) -> None:
    tokens = summarize_response({"usage": {"prompt_tokens": count, "completion_tokens": 2}}).tokens
    assert tokens == {"completion_tokens": 2}


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        pytest.param(ChatCompletion.model_validate(CHAT), CHAT, id="openai chat"),
        pytest.param(Response.model_validate(RESPONSES), RESPONSES, id="openai responses"),
        pytest.param(Message.model_validate(ANTHROPIC), ANTHROPIC, id="anthropic"),
    ],
)
def test_objects_of_sdks_have_the_summary_of_their_dicts(response: Any, expected: dict[str, Any]) -> None:
    assert summarize_response(response) == summarize_response(expected)


def _as_object(value: Any) -> Any:
    if isinstance(value, dict):
        return SimpleNamespace(**{key: _as_object(inner) for key, inner in value.items()})
    return [_as_object(inner) for inner in value] if isinstance(value, list) else value


@pytest.mark.parametrize("response", [CHAT, RESPONSES, ANTHROPIC, GEMINI, GEMINI_SNAKE, CONVERSE, COHERE, OLLAMA])
def test_objects_are_read_by_shape(response: dict[str, Any]) -> None:
    assert summarize_response(_as_object(response)) == summarize_response(response)


@pytest.mark.parametrize("response", [CHAT, RESPONSES, ANTHROPIC, GEMINI, GEMINI_SNAKE, CONVERSE, COHERE, OLLAMA])
def test_json_text_is_read(response: dict[str, Any]) -> None:
    expected = summarize_response(response)
    assert summarize_response(json.dumps(response)) == expected
    assert summarize_response(json.dumps(response).encode()) == expected


WRAPPERS = {
    "response": lambda response: {"response": response},
    "list": lambda response: [response],
    "responses": lambda response: {"responses": [response]},
    "OpenAI batch line": lambda response: {
        "id": "b1",
        "custom_id": "a",
        "response": {"status_code": 200, "request_id": "r", "body": response},
        "error": None,
    },
    "Anthropic batch line": lambda response: {
        "custom_id": "a",
        "result": {"type": "succeeded", "message": response},
    },
    "Gemini batch line": lambda response: {"key": "a", "response": response},
    "LlamaIndex": lambda response: SimpleNamespace(raw=response, message=SimpleNamespace(blocks=[])),
    "Instructor": lambda response: SimpleNamespace(name="x", _raw_response=response),
    "nested": lambda response: {"data": {"result": {"raw_response": response}}},
}


@pytest.mark.parametrize("name", WRAPPERS)
@pytest.mark.parametrize("response", [CHAT, RESPONSES, ANTHROPIC, GEMINI, CONVERSE, COHERE, OLLAMA])
def test_wrapped_response_has_the_summary_of_the_response(name: str, response: dict[str, Any]) -> None:
    assert summarize_response(WRAPPERS[name](response)) == summarize_response(response)


LANGCHAIN = {
    "content": "Done.",
    "id": "run--1",
    "type": "ai",
    "tool_calls": [{"name": "search", "args": {}, "id": "t1"}],
    "response_metadata": {"model_name": "gpt-4o", "model_provider": "openai", "id": "chatcmpl-1"},
    "usage_metadata": {
        "input_tokens": 100,
        "output_tokens": 20,
        "total_tokens": 120,
        "input_token_details": {"cache_read": 40, "cache_creation": 5},
        "output_token_details": {"reasoning": 8},
    },
}


@pytest.mark.parametrize(
    "response",
    [
        LANGCHAIN,
        _as_object(LANGCHAIN),
        {"type": "ai", "data": LANGCHAIN},
        {"lc": 1, "type": "constructor", "id": ["langchain", "AIMessage"], "kwargs": LANGCHAIN},
        {"generations": [[{"text": "Done.", "message": LANGCHAIN}]], "llm_output": {}},
        {"messages": [{"type": "human", "content": "hi"}, LANGCHAIN]},
    ],
    ids=["dict", "object", "message_to_dict", "dumpd", "LLMResult", "LangGraph"],
)
def test_langchain_messages(response: Any) -> None:
    assert summarize_response(response) == ResponseSummary(
        provider="openai",
        model="gpt-4o",
        response_id="chatcmpl-1",
        tokens={
            "prompt_tokens": 100,
            "completion_tokens": 20,
            "cache_read_tokens": 40,
            "cache_write_tokens": 5,
            "reasoning_tokens": 8,
        },
        is_cache_included=True,
        tool_names=("search",),
        text="Done.",
    )


def test_llm_result_states_its_usage_apart() -> None:
    result = {
        "generations": [[{"text": "Done."}]],
        "llm_output": {"model_name": "gpt-4o", "token_usage": {"prompt_tokens": 3, "completion_tokens": 1}},
    }
    summary = summarize_response(result)
    assert (summary.model, summary.tokens, summary.text) == (
        "gpt-4o",
        {"prompt_tokens": 3, "completion_tokens": 1},
        "Done.",
    )


def test_pydantic_ai_response() -> None:
    response = {
        "kind": "response",
        "model_name": "gpt-4o",
        "provider_name": "openai",
        "provider_response_id": "chatcmpl-1",
        "parts": [
            {"part_kind": "text", "content": "Done."},
            {"part_kind": "tool-call", "tool_name": "search", "args": {}},
        ],
        "usage": {"input_tokens": 100, "output_tokens": 20, "cache_read_tokens": 40},
    }
    summary = summarize_response([{"kind": "request", "parts": []}, response])
    assert (summary.provider, summary.model, summary.response_id) == ("openai", "gpt-4o", "chatcmpl-1")
    assert (summary.text, summary.tool_names, summary.is_cache_included) == ("Done.", ("search",), True)
    assert summary.tokens == {"prompt_tokens": 100, "completion_tokens": 20, "cache_read_tokens": 40}


def test_vercel_result() -> None:
    result = {
        "text": "Done.",
        "finishReason": "stop",
        "usage": {"inputTokens": 100, "outputTokens": 20, "cachedInputTokens": 40, "reasoningTokens": 8},
        "response": {"id": "r1", "modelId": "gpt-4o"},
        "toolCalls": [{"toolName": "search"}],
    }
    summary = summarize_response(result)
    assert (summary.model, summary.response_id, summary.text) == ("gpt-4o", "r1", "Done.")
    assert summary.tokens == {
        "prompt_tokens": 100,
        "completion_tokens": 20,
        "cache_read_tokens": 40,
        "reasoning_tokens": 8,
    }


def test_haystack_reply() -> None:
    message = {
        "role": "assistant",
        "content": [{"text": "Done."}, {"tool_call": {"tool_name": "search", "arguments": {}}}],
        "meta": {"model": "gpt-4o", "usage": {"prompt_tokens": 3, "completion_tokens": 1}, "finish_reason": "stop"},
    }
    summary = summarize_response({"replies": [message]})
    assert (summary.model, summary.text, summary.tool_names) == ("gpt-4o", "Done.", ("search",))


def test_litellm_names_its_provider() -> None:
    response = SimpleNamespace(**CHAT, _hidden_params={"custom_llm_provider": "groq"})
    assert summarize_response(response).provider == "groq"


def test_stated_provider_and_model_apply() -> None:
    summary = summarize_response(CHAT, provider="azure", model="my-deployment")
    # The response's model is the one that was billed; a deployment's name says nothing.
    assert (summary.provider, summary.model) == ("azure", "gpt-4o-2024-08-06")
    assert summarize_response(COHERE, model="command-a").model == "command-a"


def test_list_of_responses_adds_up() -> None:
    second = {**CHAT, "id": "chatcmpl-2"}
    summary = summarize_response([CHAT, second])
    assert summary.tokens is not None
    assert (summary.tokens["prompt_tokens"], summary.tokens["cache_read_tokens"]) == (200, 80)
    assert (summary.model, summary.tool_names) == ("gpt-4o-2024-08-06", ("search", "search"))
    assert [call.response_id for call in summary.calls] == ["chatcmpl-1", "chatcmpl-2"]


def test_responses_of_one_id_count_once() -> None:
    queued = {**RESPONSES, "status": "queued", "usage": None, "output": []}
    assert summarize_response([queued, RESPONSES]) == summarize_response(RESPONSES)
    assert summarize_response([RESPONSES, RESPONSES]) == summarize_response(RESPONSES)


def test_sum_over_different_conventions_includes_the_cache() -> None:
    summary = summarize_response([CHAT, ANTHROPIC])
    assert summary.tokens is not None
    assert (summary.tokens["prompt_tokens"], summary.is_cache_included, summary.model) == (460, True, None)


def test_errors_are_read() -> None:
    openai = {"error": {"message": "The model does not exist", "type": "invalid_request_error", "code": "x"}}
    anthropic = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    assert summarize_response(openai).error == "The model does not exist"
    assert summarize_response(anthropic).error == "Overloaded"
    failed = {**RESPONSES, "status": "failed", "error": {"code": "server_error", "message": "Broken"}}
    assert summarize_response(failed).error == "Broken"
    incomplete = {**RESPONSES, "status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
    assert summarize_response(incomplete).error == "incomplete: max_output_tokens"
    assert summarize_response({"promptFeedback": {"blockReason": "SAFETY"}, "modelVersion": "g"}).error == (
        "blocked: SAFETY"
    )


def test_answers_about_texts_are_no_usage() -> None:
    assert summarize_response({"input_tokens": 1114}).tokens is None
    assert summarize_response({"object": "response.input_tokens", "input_tokens": 16}).tokens is None
    assert summarize_response({"totalTokens": 5, "promptTokensDetails": []}).tokens is None


def test_summary_is_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        summarize_response(CHAT).model = "other"  # type: ignore[misc]


def test_values_of_a_summary_are_given_by_name() -> None:
    with pytest.raises(TypeError):
        ResponseSummary("openai")  # type: ignore[misc]
    with pytest.raises(TypeError):
        summarize_response(CHAT).to_call(1.5)  # type: ignore[misc]


def test_text_of_an_answer_is_not_part_of_the_repr() -> None:
    summary = summarize_response(CHAT)
    assert summary.text == "Searching."
    assert "Searching." not in repr(summary)
    assert "gpt-4o-2024-08-06" in repr(summary)


def test_call_of_a_report_has_what_is_known() -> None:
    assert summarize_response(ANTHROPIC).to_call(duration=1.5) == {
        "provider": "anthropic",
        "model": "claude-sonnet-4-5-20250929",
        "response_id": "msg_1",
        "tokens": {
            "prompt_tokens": 10,
            "completion_tokens": 20,
            "cache_read_tokens": 300,
            "cache_write_tokens": 50,
            "cache_write_5m_tokens": 20,
            "cache_write_1h_tokens": 30,
            "web_searches": 2,
        },
        "prompt_includes_cache": False,
        "duration": 1.5,
    }
    assert summarize_response({}).to_call() == {}


def test_iterator_is_not_consumed() -> None:
    chunks = iter([{"model": "m"}])
    assert summarize_response(chunks) == ResponseSummary()
    assert next(chunks) == {"model": "m"}


class _Hostile:
    """An object whose every attribute fails."""

    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError(name)


class _FailingProperty:
    model = "gpt-4o"

    @property
    def usage(self) -> Any:
        raise RuntimeError("not available")


def test_object_that_fails_is_unknown() -> None:
    assert summarize_response(_Hostile()) == ResponseSummary()
    assert summarize_response(_FailingProperty()).model == "gpt-4o"
    assert accumulate_stream([_Hostile()]) is None


def test_mock_states_nothing() -> None:
    from unittest.mock import MagicMock

    assert summarize_response(MagicMock()) == ResponseSummary()


def test_cyclic_and_deep_values_end() -> None:
    cyclic: dict[str, Any] = {}
    cyclic["response"] = cyclic
    deep: Any = {"model": "gpt-4o"}
    for _ in range(5_000):
        deep = {"response": deep}
    assert summarize_response(cyclic) == ResponseSummary()
    assert summarize_response(deep) == ResponseSummary()
    assert summarize_response("[" * 100_000) == ResponseSummary()


# Keys that the readers look for, so that random values reach deep into them.
_KEYS = st.sampled_from(
    sorted(
        {
            "id", "object", "model", "choices", "message", "delta", "usage", "type", "content", "text", "output",
            "response", "candidates", "usageMetadata", "parts", "tool_calls", "function", "name", "index", "messages",
            "prompt_tokens", "input_tokens", "completion_tokens", "cacheDetails", "promptTokensDetails", "metadata",
            "generations", "llm_output", "error", "result", "data", "done", "status", "role", "billed_units", "event",
            "kwargs", "response_metadata", "usage_metadata", "raw", "contentBlockDelta", "stop_reason", "x_groq",
        }
    )
)  # fmt: skip
_VALUES = st.sampled_from(
    ["chat.completion", "chat.completion.chunk", "response", "message", "message_start", "content_block_delta",
     "response.completed", "response.output_text.delta", "message-end", "content-delta", "tool-call-start", "error",
     "text", "ai", "AUDIO", "assistant", ""]
)  # fmt: skip
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | _VALUES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_KEYS | st.text(max_size=3), inner, max_size=6),
    max_leaves=30,
)


@given(_JSON)
def test_arbitrary_json_never_raises(value: Any) -> None:
    summary = summarize_response(value)
    assert isinstance(summary, ResponseSummary)
    assert all(isinstance(count, int) and count >= 0 for count in (summary.tokens or {}).values())
    json.dumps(summary.to_call())
    accumulate_stream(value if isinstance(value, list) else [value])


@given(_JSON)
def test_arbitrary_objects_never_raise(value: Any) -> None:
    assert isinstance(summarize_response(_as_object(value)), ResponseSummary)
