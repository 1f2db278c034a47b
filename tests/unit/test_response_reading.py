"""Reading of values from responses: counts, texts, names, wrappers, and the combination of several responses."""

import enum
from types import SimpleNamespace
from typing import Any

import pytest

from xpander_capture.responses import reading
from xpander_capture.responses.usage import read_usage
from xpander_sdk.responses import ResponseSummary, accumulate_stream, summarize_response

MAX = 9_007_199_254_740_991
USAGE = {"prompt_tokens": 9, "completion_tokens": 2}
CHAT = {"id": "c1", "object": "chat.completion", "model": "gpt-4o", "choices": [], "usage": USAGE}


class Kind(enum.Enum):
    STOP = "stop"
    NUMBER = 5


class TextKind(enum.StrEnum):
    STOP = "stop"


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (0, 0),
        (7, 7),
        (7.0, 7),
        ("7", 7),
        ("007", 7),
        (MAX, MAX),
        (str(MAX), MAX),
        (float(2**52), 2**52),
        (MAX + 1, None),
        (str(MAX + 1), None),
        ("0" * 16 + "1", None),
        (-1, None),
        ("-1", None),
        (7.5, None),
        ("7.5", None),
        ("٧", None),
        ("", None),
        (True, None),
        (False, None),
        (None, None),
        (float("nan"), None),
        (float("inf"), None),
        ([7], None),
    ],
)
def test_count_is_a_whole_number_that_json_holds_exactly(value, number):
    assert reading.count(value) == number


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a", "a"),
        ("", None),
        (None, None),
        (Kind.STOP, "stop"),
        (Kind.NUMBER, None),
        (TextKind.STOP, "stop"),
        (SimpleNamespace(value="a"), None),
        (5, None),
    ],
)
def test_text_is_a_str_or_the_text_of_an_enum(value, text):
    assert reading.text(value) == text
    assert type(reading.text(value)) in (str, type(None))


def test_at_most_100000_items_of_a_list_are_read():
    assert len(reading.items([0] * 100_001)) == 100_000
    assert reading.items((1, 2)) == [1, 2]
    assert [reading.items(value) for value in ("ab", {1: 2}, None)] == [[], [], []]


def test_names_are_read_in_snake_case_and_in_camel_case():
    assert reading.at({"usageMetadata": {"totalTokenCount": 3}}, "usage_metadata.total_token_count") == 3
    assert reading.at(SimpleNamespace(usageMetadata=SimpleNamespace(total=3)), "usage_metadata.total") == 3
    assert reading.at({"a": None}, "a.b.c") is None
    assert reading.child({"some_name": 1, "someName": 2}, "some_name") == 1


class Declared:
    static: Any = 1

    def method(self) -> int:
        return 1

    @property
    def broken(self) -> int:
        raise RuntimeError


def test_object_has_the_names_that_its_class_declares():
    assert [reading.child(Declared(), name) for name in ("static", "method", "broken", "other")] == [
        1,
        None,
        None,
        None,
    ]


@pytest.mark.parametrize("value", [None, "a", b"a", 1, 1.0, [1], (1,), {1}, dict])
def test_plain_values_have_no_names(value):
    assert not reading.is_record(value)
    assert reading.child(value, "__len__") is None


def test_texts_of_a_content_leave_out_reasoning():
    parts = [
        "a",
        {"type": "thinking", "text": "no"},
        {"type": "reasoning", "text": "no"},
        {"text": "b"},
        {"text": ""},
        5,
    ]
    assert list(reading.texts(parts)) == ["a", "b"]
    assert (list(reading.texts("whole")), reading.join([])) == (["whole"], None)


def wrapped(response: Any, wrappers: int) -> Any:
    for _ in range(wrappers):
        response = {"response": response}
    return response


def test_up_to_seven_wrappers_are_opened():
    assert [summarize_response(wrapped(CHAT, number)).model for number in (0, 7, 8)] == ["gpt-4o", "gpt-4o", None]
    assert summarize_response([[[[[[[CHAT]]]]]]]).model == "gpt-4o"


def test_wrapper_completes_what_the_response_does_not_state():
    inner = {"role": "assistant", "content": "hi", "type": "message"}
    summary = summarize_response({"response": {**CHAT, "model": None, "usage": None}, "model": "outer", "usage": USAGE})
    assert (summary.model, summary.tokens) == ("outer", USAGE)
    assert summarize_response({"response": CHAT, "model": "outer", "usage": {"prompt_tokens": 1}}).tokens == USAGE
    assert summarize_response({"response": CHAT, "model": "outer"}).model == "gpt-4o"
    assert summarize_response({"response": CHAT, "error": "late"}).error == "late"
    assert summarize_response({"messages": [inner], "model": "outer"}).model == "outer"


def test_wrapper_of_several_responses_completes_none_of_them():
    other = {**CHAT, "id": "c2", "usage": None}
    summary = summarize_response({"responses": [CHAT, other], "usage": {"prompt_tokens": 100}})
    assert [call.tokens for call in summary.calls] == [USAGE, None]


def test_text_that_is_no_json_is_no_response():
    assert summarize_response("gpt-4o") == ResponseSummary()
    assert summarize_response({"message": '{"model": "a"}', "x": [1]}) == ResponseSummary()
    assert summarize_response('  {"model": "gpt-4o"} ').model == "gpt-4o"
    assert summarize_response(b'{"model": "gpt-4o"}').model == "gpt-4o"
    assert summarize_response(bytearray(b'data: {"object": "chat.completion.chunk", "model": "a"}\n')).model == "a"


@pytest.mark.parametrize(
    ("error", "message"),
    [
        ("no", "no"),
        ({"message": "no", "type": "t"}, "no"),
        ({"error": {"message": "no"}}, "no"),
        ({"type": "t", "code": "c"}, "t"),
        ({"code": "c"}, "c"),
        ({}, None),
    ],
)
def test_error_in_all_forms(error, message):
    assert summarize_response({"error": error}).error == message


def test_canceled_line_of_a_batch_is_an_error():
    assert summarize_response({"custom_id": "1", "result": {"type": "canceled"}}).error == "canceled"
    assert summarize_response({"custom_id": "1", "result": {"type": "succeeded"}}).error is None


def test_latest_response_of_an_id_counts_unless_it_has_no_usage():
    later = {**CHAT, "usage": {"prompt_tokens": 10, "completion_tokens": 3}}
    without = {**CHAT, "usage": None, "model": "without"}
    assert summarize_response([CHAT, later]).tokens == {"prompt_tokens": 10, "completion_tokens": 3}
    assert summarize_response([CHAT, without]).tokens == USAGE
    assert summarize_response([without, {**without, "model": "newer"}]).model == "newer"
    assert len(summarize_response([{**CHAT, "id": None}] * 2).calls) == 2


def test_list_has_the_common_facts_of_its_responses_and_the_end_of_the_last():
    first = {**CHAT, "service_tier": "flex", "choices": [{"finish_reason": "length", "message": {"content": "a"}}]}
    second = {**first, "id": "c2", "choices": [{"finish_reason": "stop", "message": {"content": "b"}}]}
    summary = summarize_response([first, second], provider="openai")
    assert (summary.text, summary.status, summary.service_tier, summary.provider) == ("b", "stop", "flex", "openai")
    other = summarize_response([first, {**second, "service_tier": "default", "model": "gpt-4o-mini"}])
    assert (other.service_tier, other.model, other.response_id) == (None, None, None)


def test_list_ends_with_its_last_response():
    summary = summarize_response(
        [{**CHAT, "id": f"c{n}", "choices": [{"message": {"content": f"{n}"}}]} for n in "123"]
    )
    assert (summary.text, len(summary.calls)) == ("3", 3)


def test_message_of_a_user_is_no_response():
    message = {"type": "message", "role": "user", "content": "hi"}
    for more in ({}, {"id": None}, {"number": 1}, {"ratio": 0.5}, {"is_read": True}):
        assert summarize_response({**message, **more}) == ResponseSummary()
    assert summarize_response({**message, "content": [{"type": "text", "text": "hi"}]}).text == "hi"


def test_list_without_usage_has_no_tokens():
    summary = summarize_response([{**CHAT, "usage": None}, {**CHAT, "id": "c2", "usage": None}])
    assert (summary.tokens, summary.is_cache_included, len(summary.calls)) == (None, None, 2)


@pytest.mark.parametrize(
    ("usage", "tokens", "is_cache_included"),
    [
        ({"prompt_tokens": 9, "prompt_tokens_details": {"cached_tokens": 4}}, (9, 4), True),
        ({"prompt_tokens": 9, "prompt_tokens_details": {"cached_tokens": 0}}, (9, 0), None),
        ({"prompt_tokens": 9, "prompt_tokens_details": {"cached_tokens": 0}, "cached_tokens": 5}, (9, 5), True),
        ({"prompt_tokens": 9, "cached_tokens": 5, "cache_read_input_tokens": 6}, (9, 5), True),
        ({"input_tokens": 9, "output_tokens": 1, "cache_read_input_tokens": 5}, (9, 5), False),
        ({"input_tokens": 9, "output_tokens": 1, "cache_read_input_tokens": 0}, (9, 0), None),
        ({"prompt_token_count": 5, "tool_use_prompt_token_count": 4, "total_token_count": 9}, (9, None), None),
    ],
)
def test_first_cache_count_that_is_not_zero_applies(usage, tokens, is_cache_included):
    result = read_usage(usage)
    assert result is not None
    assert (result.tokens["prompt_tokens"], result.tokens.get("cache_read_tokens")) == tokens
    assert result.is_cache_included is is_cache_included


@pytest.mark.parametrize(
    ("provider", "total", "completion"),
    [(None, 21, 10), (None, 16, 5), (None, 22, 5), ("x-ai", 16, 10), ("openai", 21, 5), (None, None, 5)],
)
def test_reasoning_is_added_where_the_total_shows_that_it_is_beside_the_completion(provider, total, completion):
    usage = {"prompt_tokens": 11, "completion_tokens": 5, "reasoning_tokens": 5, "total_tokens": total}
    result = read_usage(usage, provider)
    assert result is not None
    assert result.tokens["completion_tokens"] == completion


def test_counts_that_a_usage_leaves_out_are_zero():
    def completion(usage: dict[str, int], provider: str | None = None) -> int:
        result = read_usage(usage, provider)
        assert result is not None
        return result.tokens["completion_tokens"]

    assert completion({"prompt_tokens": 11, "completion_tokens": 5}, "x-ai") == 5
    assert completion({"completion_tokens": 5, "reasoning_tokens": 5, "total_tokens": 10}) == 10


def test_usage_with_names_of_two_apis_has_the_counts_of_the_one_that_states_any():
    result = read_usage({"billed_units": {"search_units": 1}, "tokens": {"input_tokens": 9, "output_tokens": 2}})
    assert result is not None
    assert result.tokens == USAGE


@pytest.mark.parametrize("kind", ["cache_read_input_tokens", "cache_creation_input_tokens"])
def test_sum_over_different_conventions_includes_either_kind_of_cached_tokens(kind):
    beside = {"input_tokens": 10, "output_tokens": 1, kind: 5}
    anthropic = {"type": "message", "role": "assistant", "id": "m1", "content": [], "usage": beside}
    inside = {**CHAT, "usage": {**USAGE, "prompt_tokens_details": {"cached_tokens": 4}}}
    without = {**CHAT, "id": "c2"}
    summary = summarize_response([inside, anthropic, without])
    assert summary.tokens is not None
    assert (summary.tokens["prompt_tokens"], summary.is_cache_included) == (9 + 15 + 9, True)


def test_citations_of_perplexity_are_output():
    usage = {"prompt_tokens": 1, "completion_tokens": 2, "citation_tokens": 30, "reasoning_tokens": 400}
    result = read_usage(usage, "perplexity")
    assert result is not None
    assert (result.tokens["completion_tokens"], result.tokens["citation_tokens"]) == (432, 30)


def test_cache_writes_of_bedrock_are_added_by_lifetime():
    details = [{"ttl": "5m", "inputTokens": 3}, {"ttl": "1h", "inputTokens": 4}, {"ttl": "5m", "inputTokens": 5}]
    usage = {
        "inputTokens": 1,
        "outputTokens": 1,
        "cacheWriteInputTokens": 12,
        "cacheDetails": [*details, {"ttl": "9d"}],
    }
    result = read_usage(usage)
    assert result is not None
    assert (result.tokens["cache_write_5m_tokens"], result.tokens["cache_write_1h_tokens"]) == (8, 4)


def test_modalities_of_gemini_are_added():
    def details(**counts: int) -> list[dict[str, Any]]:
        return [{"modality": name, "tokenCount": number} for name, number in counts.items()]

    usage = {
        "promptTokenCount": 9,
        "candidatesTokenCount": 1,
        "promptTokensDetails": details(TEXT=2, IMAGE=3, DOCUMENT=4, OTHER=99),
        "toolUsePromptTokensDetails": details(TEXT=5),
        "candidatesTokensDetails": details(AUDIO=1),
        "cacheTokensDetails": details(VIDEO=6),
    }
    result = read_usage(usage)
    assert result is not None
    kinds = ("input_text_tokens", "input_image_tokens", "output_audio_tokens", "cache_video_read_tokens")
    assert [result.tokens[kind] for kind in kinds] == [7, 7, 1, 6]


def langchain(content: str, **fields: Any) -> dict[str, Any]:
    return {"type": "AIMessageChunk", "content": content, "tool_call_chunks": [], **fields}


def test_chunks_of_langchain_are_added():
    counts = {"input_tokens": 2, "output_tokens": 1, "total_tokens": 3, "input_token_details": {"cache_read": 1}}
    chunks = [
        langchain("He", usage_metadata=counts, tool_call_chunks=[{"name": "search", "index": 0}]),
        {"type": "other"},
        langchain("llo", usage_metadata=counts, response_metadata={"model_name": "m", "finish_reason": "stop"}),
        langchain("", tool_call_chunks=[{"name": None, "index": 0}, {"name": "fetch", "index": 1}]),
    ]
    assert accumulate_stream(chunks) == {
        "type": "ai",
        "content": "Hello",
        "usage_metadata": {
            "input_tokens": 4, "output_tokens": 2, "total_tokens": 6, "input_token_details": {"cache_read": 2},
        },
        "response_metadata": {"model_name": "m", "finish_reason": "stop"},
        "tool_calls": [{"name": "search"}, {"name": "fetch"}],
    }  # fmt: skip


def test_list_of_gemini_responses_is_a_stream_if_they_are_not_finished():
    def part(text: str, finish: str | None, response_id: str | None = None) -> dict[str, Any]:
        candidate = {"content": {"parts": [{"text": text}]}, "finishReason": finish}
        usage = {"promptTokenCount": 5, "candidatesTokenCount": 1}
        return {"candidates": [candidate], "usageMetadata": usage, "modelVersion": "g", "responseId": response_id}

    def calls(*parts: dict[str, Any]) -> int:
        return len(summarize_response(list(parts)).calls)

    assert calls(part("a", None), part("b", "STOP")) == 0
    assert calls(part("a", "STOP"), part("b", "STOP")) == 2
    assert calls(part("a", "STOP"), part("b", None)) == 2
    assert calls(part("a", "STOP", "r1"), part("b", "STOP", "r1")) == 0
    assert calls(part("a", None, "r1"), part("b", "STOP", "r2")) == 2
