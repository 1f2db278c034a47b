"""Cost of the summary of a response: what is read from responses with many values."""

import json
import time
from typing import Any

import pytest

from xpander_capture.responses import summarize_response
from xpander_server.domain.pricing.response_text import MAX_ELEMENTS, decode_response

PROBABILITY = {"token": " the", "logprob": -1.25, "bytes": [32, 116, 104, 101]}
USAGE = {"prompt_tokens": 3, "completion_tokens": 4}


def decode(value: Any) -> Any:
    return decode_response(json.dumps(value))


@pytest.mark.parametrize("value", [{"a": [1, {"b": None}]}, [{"model": "m"}, 1, "x", []], {}, []])
def test_small_response_is_decoded_whole(value: Any):
    assert decode(value) == value


@pytest.mark.parametrize("text", ["null", "1", '"text"', "  true", ""])
def test_text_that_is_no_response_is_left_out(text: str):
    assert decode_response(text) is None


@pytest.mark.parametrize("as_list", [False, True])
def test_model_and_usage_of_a_response_with_many_values_are_read(as_list: bool):
    choice = {"message": {"content": "x"}, "logprobs": {"content": [PROBABILITY] * 2_000}}
    response = {"choices": [choice], "model": "gpt-4o", "usage": USAGE}
    summary = summarize_response(decode([response] * 3 if as_list else response))
    assert summary.model == "gpt-4o"
    assert summary.tokens is not None
    assert summary.tokens["prompt_tokens"] == (9 if as_list else 3)


def test_model_and_usage_of_a_long_stream_are_read():
    start = {
        "type": "message_start",
        "message": {"id": "m", "model": "claude-sonnet-4-5", "usage": {"input_tokens": 9}},
    }
    delta = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "x"}}
    end = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 5_000}}
    summary = summarize_response(decode([start, *[delta] * 5_000, end]))
    assert summary.model == "claude-sonnet-4-5"
    assert summary.tokens is not None
    assert (summary.tokens["prompt_tokens"], summary.tokens["completion_tokens"]) == (9, 5_000)


def test_list_of_too_many_responses_is_left_out():
    response = {"model": "gpt-4o", "usage": USAGE}
    assert decode([response] * MAX_ELEMENTS) is not None
    assert decode([response] * (MAX_ELEMENTS + 1)) is None


def test_record_of_at_most_10000_values_is_decoded_whole():
    assert decode({"a": [0] * 9_999}) == {"a": [0] * 9_999}
    assert decode({"a": [0] * 10_000}) == {}
    assert decode({"a": [{}] * 4_999}) == {"a": [{}] * 4_999}
    assert decode({"a": [[]] * 5_000}) == {}


def test_members_of_a_large_record_have_at_most_10000_characters():
    large = {"choices": [0] * 10_000, "id": "r1", "model": None}
    assert decode({**large, "model": "m" * 9_998}) == {"id": "r1", "model": "m" * 9_998}
    assert decode({**large, "model": "m" * 9_999}) == {"id": "r1"}


def test_list_of_at_most_100000_values_is_read():
    elements = [*[[0] * 999] * 99, [0] * 999]
    assert decode(elements) == [None] * 100
    assert decode([*elements[:99], [0] * 1_000]) is None


def test_elements_of_a_large_list_have_at_most_100_values_or_only_their_small_members():
    small, large = {"a": [0] * 99}, {"a": [0] * 100, "model": "m"}
    rest = [[0] * 999] * 20
    assert decode([small, large, *rest, 5]) == [small, {"model": "m"}, *[None] * 20, 5]
    assert decode([large, [0] * 9_896]) == [large, [0] * 9_896]
    assert decode([large, [0] * 9_897]) == [{"model": "m"}, None]


def test_first_and_last_fifty_events_of_a_long_stream_are_read():
    events = [{"type": "content_block_delta", "index": number} for number in range(101)]
    assert decode(events[:100]) == events[:100]
    assert decode(events) == [*events[:50], *events[51:]]


def test_stream_is_known_by_its_first_three_events():
    event, other = {"type": "content_block_delta"}, {"type": "other"}
    assert decode([other, other, event, *[other] * 100]) is not None
    assert decode([other, other, other, event, *[other] * 100]) is None
    assert decode([{"type": "other", "a": "x" * 10_000}, event, *[other] * 100]) is not None
    assert decode([{**event, "a": "x" * 10_000}, *[other] * 100]) is None
    padding = 10_000 - len(json.dumps({**event, "a": ""}))
    assert decode([{**event, "a": "x" * padding}, *[other] * 100]) is not None
    assert decode([{**event, "a": "x" * (padding + 1)}, *[other] * 100]) is None


@pytest.mark.parametrize("element", [{"model": "a"}, [], 0, {"type": "message_delta", "usage": {"output_tokens": 2}}])
def test_time_of_a_summary_does_not_grow_with_the_number_of_elements(element: Any):
    text = json.dumps([element] * 90_000)
    summarize_response(decode_response(text))
    started_at = time.process_time()
    summarize_response(decode_response(text))
    seconds = time.process_time() - started_at
    started_at = time.process_time()
    json.loads(text)  # a measure of the machine's speed
    assert seconds < 10 * (time.process_time() - started_at) + 0.05
