"""Fast reader of chat completions: it must give what the reference gives, or leave the response to the reference."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xpander_capture.responses import summarize_response
from xpander_server.domain.pricing.chat_completion import read_chat_completion

COUNTS = st.sampled_from([0, 0, 1, 7, 2_520, 10**12]) | st.sampled_from([-1, 1.0, "5", None, True, 2**60])
PROMPT_DETAILS = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("cached_tokens", "audio_tokens", "cache_write_tokens"), COUNTS)
)
COMPLETION_DETAILS = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("reasoning_tokens", "audio_tokens", "accepted_prediction_tokens"), COUNTS)
)
USAGES = st.fixed_dictionaries(
    {"prompt_tokens": COUNTS, "completion_tokens": COUNTS},
    optional={
        "total_tokens": COUNTS,
        "prompt_tokens_details": st.none() | PROMPT_DETAILS,
        "completion_tokens_details": st.none() | COMPLETION_DETAILS,
        "cached_tokens": COUNTS,
    },
)
MESSAGES = st.sampled_from([None, {"role": "assistant", "content": "Hello"}, {"content": [{"text": "a"}]}, "text", 5])
CHOICES = st.lists(
    st.fixed_dictionaries(
        {"message": MESSAGES},
        optional={"index": st.just(0), "finish_reason": st.just("stop"), "delta": MESSAGES, "text": st.just("a")},
    ),
    max_size=2,
)
RESPONSES = st.fixed_dictionaries(
    {"object": st.sampled_from(["chat.completion"] * 5 + ["chat.completion.chunk", "list"]), "usage": USAGES},
    optional={
        "id": st.sampled_from(["chatcmpl-1", "gen-1", "", None, 5]),
        "model": st.sampled_from(["gpt-4o-2024-08-06", "", None, 5, " a\n"]),
        "created": st.just(1_767_605_400),
        "choices": CHOICES | st.none() | st.just({}),
        "system_fingerprint": st.none() | st.just("fp_1"),
        "service_tier": st.sampled_from(["flex", None]),
        "x_groq": st.just({"id": "r"}),
        "provider": st.just("OpenAI"),
        "error": st.just({"message": "no"}),
    },
)
PLAIN: dict[str, Any] = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1_767_605_400,
    "model": "gpt-4o-2024-08-06",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}],
    "usage": {
        "prompt_tokens": 2_140,
        "completion_tokens": 380,
        "total_tokens": 2_520,
        "prompt_tokens_details": {"cached_tokens": 1_024, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
    },
    "system_fingerprint": "fp_1",
}


@settings(max_examples=500, deadline=None)
@given(RESPONSES)
def test_fast_reader_gives_the_facts_of_the_reference_or_leaves_the_response_to_it(response):
    summary = read_chat_completion(json.dumps(response))
    if summary is not None:
        expected = summarize_response(response)
        for name in ("provider", "model", "tokens", "is_cache_included", "calls"):
            assert getattr(summary, name) == getattr(expected, name), name


def test_plain_chat_completion_takes_the_fast_path():
    summary = read_chat_completion(json.dumps(PLAIN))
    assert summary is not None
    expected = summarize_response(PLAIN)
    assert (summary.model, summary.tokens, summary.is_cache_included) == (
        expected.model,
        expected.tokens,
        expected.is_cache_included,
    )
    assert summary.is_cache_included is True


@pytest.mark.parametrize(
    ("details", "tokens", "is_cache_included"),
    [
        ({}, {}, None),
        ({"prompt_tokens_details": {"cached_tokens": 1}}, {"cache_read_tokens": 1}, True),
        ({"prompt_tokens_details": {"cached_tokens": 0}}, {"cache_read_tokens": 0}, None),
        ({"prompt_tokens_details": {"audio_tokens": 5}}, {"input_audio_tokens": 5}, None),
        ({"completion_tokens_details": {"reasoning_tokens": 0}}, {"reasoning_tokens": 0}, None),
        ({"completion_tokens_details": {"audio_tokens": 5}}, {"output_audio_tokens": 5}, None),
        ({"completion_tokens_details": {"accepted_prediction_tokens": 5}}, {}, None),
    ],
)
def test_counts_that_the_fast_reader_reads(details, tokens, is_cache_included):
    counts = {"prompt_tokens": 10**12, "completion_tokens": 0}
    response = {"object": "chat.completion", "model": "m", "usage": {**counts, **details}}
    summary = read_chat_completion(json.dumps(response))
    assert summary is not None
    assert summary.model == "m"
    assert summary.tokens == {"prompt_tokens": 10**12, "completion_tokens": 0, **tokens}
    assert summary.is_cache_included is is_cache_included


@pytest.mark.parametrize(
    "change",
    [
        {"model": ""},
        {"usage": {**PLAIN["usage"], "prompt_tokens": 10**12 + 1}},
        {"usage": {**PLAIN["usage"], "prompt_tokens": -1}},
        {"usage": {**PLAIN["usage"], "completion_tokens_details": {"reasoning_tokens": 1}}},
        {"usage": {**PLAIN["usage"], "prompt_tokens_details": {"other": 1}}},
        {"usage": {**PLAIN["usage"], "completion_tokens_details": {"other": 1}}},
        {"choices": [{"other": 1}]},
        {"object": "chat.completion.chunk"},
        {"model": None},
        {"x_groq": {"id": "r"}},
        {"provider": "OpenAI"},
        {"usage": {**PLAIN["usage"], "completion_tokens_details": {"reasoning_tokens": 5}}},
        {"usage": {**PLAIN["usage"], "num_search_queries": 5}},
        {"choices": [{"index": 0, "delta": {"content": "a"}}]},
    ],
)
def test_other_response_is_left_to_the_reference(change):
    assert read_chat_completion(json.dumps({**PLAIN, **change})) is None


@pytest.mark.parametrize(
    "text", ["", "null", '"chat.completion"', '{"object": "chat.completion"', "[" * 100_000 + '"chat.completion"']
)
def test_text_that_is_no_chat_completion_is_left_to_the_reference(text):
    assert read_chat_completion(text) is None
