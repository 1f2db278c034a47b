"""The arguments `calls`, `metadata` and `error`: what they accept, and what they become."""

import enum
import uuid
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xpander_sdk import ModelCall, Tokens
from xpander_sdk.reporting.calls import MAX_CALLS, parse_calls
from xpander_sdk.reporting.metadata import MAX_NAME, MAX_PAIRS, MAX_VALUE, parse_metadata
from xpander_sdk.reporting.validation import MAX_ERROR, parse_error
from xpander_sdk.reporting.validation import MAX_NAME as MAX_TEXT
from xpander_sdk.responses import summarize_response

CALL = {
    "provider": "openai",
    "model": "gpt-4o",
    "response_id": "r1",
    "tokens": {"prompt_tokens": 9, "reasoning_tokens": 2},
    "prompt_includes_cache": True,
    "duration": 1.5,
    "error": "cut off",
    "cost": 0.25,
}


@pytest.mark.parametrize(
    "entry", [CALL, ModelCall(**CALL), SimpleNamespace(**CALL), {**CALL, "tokens": CALL["tokens"]}]
)
def test_calls_may_be_mappings_or_objects(entry):
    assert parse_calls("calls", [entry]) == [CALL]


def test_summary_of_a_response_is_a_call():
    response = {"id": "r", "model": "gpt-4o", "object": "chat.completion", "choices": [],
                "usage": {"prompt_tokens": 9, "completion_tokens": 1, "total_tokens": 10}}  # fmt: skip
    summary = summarize_response(response, provider="openai")
    (call,) = parse_calls("calls", (item for item in [summary])) or []
    assert (call["provider"], call["model"], call["response_id"]) == ("openai", "gpt-4o", "r")
    assert call["tokens"] == {"prompt_tokens": 9, "completion_tokens": 1}


@pytest.mark.parametrize(
    ("tokens", "counts", "includes_cache"),
    [
        (Tokens(prompt_tokens=1), {"completion_tokens": 0, "prompt_tokens": 1, "cache_read_tokens": 0,
                                   "cache_write_tokens": 0}, None),
        ({"prompt_tokens": "3", "total_tokens": 9}, {"prompt_tokens": 3}, None),
        ({"input_audio_tokens": 4, "web_searches": 1}, {"input_audio_tokens": 4, "web_searches": 1}, None),
        ({"prompt_tokens": None}, {"prompt_tokens": None}, None),
        ({"input_tokens": 20, "output_tokens": 5, "cache_read_input_tokens": 300},
         {"prompt_tokens": 20, "completion_tokens": 5, "cache_read_tokens": 300}, False),
    ],
)  # fmt: skip
def test_tokens_of_a_call(tokens, counts, includes_cache):
    (call,) = parse_calls("calls", [{"tokens": tokens}]) or []
    assert call == {"tokens": counts, **({} if includes_cache is None else {"prompt_includes_cache": includes_cache})}


def test_stated_inclusion_of_the_cache_takes_precedence():
    usage = {"input_tokens": 20, "output_tokens": 5, "cache_read_input_tokens": 300}
    (call,) = parse_calls("calls", [{"tokens": usage, "prompt_includes_cache": True}]) or []
    assert call["prompt_includes_cache"] is True


def test_empty_calls_are_left_out():
    assert parse_calls("calls", []) is None
    assert parse_calls("calls", [{}]) == [{}]


@pytest.mark.parametrize(
    ("calls", "message"),
    [
        ("gpt-4o", r"calls must be a list of model calls, got 'gpt-4o'"),
        ({"model": "m"}, r"calls must be a list of model calls"),
        (5, r"calls must be a list of model calls"),
        ([5], r"calls\[0\] must be a mapping or object"),
        ([{}, {"name": "m"}], r"calls\[1\] must have keys of provider.*got 'name'.*summarize_response"),
        ([{"model": ""}], r"calls\[0\].model must have 1 to 255 characters"),
        ([{"model": "m" * (MAX_TEXT + 1)}], r"calls\[0\].model must have 1 to 255 characters"),
        ([{"provider": "a\nb"}], r"calls\[0\].provider must not contain control characters"),
        ([{"tokens": {"prompt_tokens": "x"}}], r"calls\[0\].tokens.prompt_tokens must be a whole number"),
        ([{"tokens": {"prompt_tokens": 10**12 + 1}}], r"calls\[0\].tokens.prompt_tokens must be within"),
        ([{"tokens": {"text": 3}}], r"calls\[0\].tokens must be token counts by kind"),
        ([{"duration": "x"}], r"calls\[0\].duration must be a number of seconds"),
        ([{"cost": "x"}], r"calls\[0\].cost must be a number of dollars"),
        ([{"cost": -1}], r"calls\[0\].cost must be from 0 to"),
        ([{"cost": float("nan")}], r"calls\[0\].cost must be from 0 to"),
        ([{"cost": 10**9 + 1}], r"calls\[0\].cost must be from 0 to"),
        ([{}] * (MAX_CALLS + 1), r"calls must contain at most 1,000 calls"),
    ],
)
def test_invalid_calls_name_their_position(calls, message):
    with pytest.raises(ValueError, match=message):
        parse_calls("calls", calls)


def test_count_of_a_call_may_be_a_trillion():
    for count in (10**12, -(10**12)):
        assert parse_calls("calls", [{"tokens": {"prompt_tokens": count}}]) == [{"tokens": {"prompt_tokens": count}}]
        with pytest.raises(ValueError, match=r"calls\[0\].tokens.prompt_tokens must be within ±1000000000000, got"):
            parse_calls("calls", [{"tokens": {"prompt_tokens": count + (1 if count > 0 else -1)}}])


@pytest.mark.parametrize("cost", [0, 10**9, "0.5"])
def test_cost_of_a_call_is_from_nothing_to_a_billion_dollars(cost):
    assert parse_calls("calls", [{"cost": cost}]) == [{"cost": float(cost)}]


def test_unknown_key_of_a_call_is_shortened_in_the_error():
    with pytest.raises(ValueError, match=r"got 'x{40}';"):
        parse_calls("calls", [{"x" * 50: 1}])


def test_kinds_of_tokens_that_are_not_text_are_not_ours():
    with pytest.raises(ValueError, match=r"calls\[0\].tokens must be token counts by kind"):
        parse_calls("calls", [{"tokens": {5: 1}}])


def test_limits_of_calls_are_accepted():
    assert len(parse_calls("calls", [{"model": "m" * MAX_TEXT, "cost": 10**9}] * MAX_CALLS) or []) == MAX_CALLS


class Color(enum.Enum):
    RED = "red"


def test_metadata_values_become_texts():
    key = uuid.UUID(int=5)
    pairs = {"a": "x", "b": 3, "c": 1.5, "d": True, "e": False, "f": None, "g": key, "h": Color.RED, "i": b"bytes"}
    assert parse_metadata("metadata", pairs) == {
        "a": "x", "b": "3", "c": "1.5", "d": "true", "e": "false", "g": str(key), "h": "red", "i": "bytes",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ([("a", "b")], r"metadata must be a mapping of names to texts"),
        ({"": "x"}, r"each name in metadata must have 1 to 64 characters"),
        ({5: "x"}, r"each name in metadata must be a str"),
        ({"n" * (MAX_NAME + 1): "x"}, r"each name in metadata must have 1 to 64 characters"),
        ({"n" * 65: "x"}, r"got str"),
        ({"a": "x", "b" * 70: "y" * 513}, r"each name in metadata must have 1 to 64 characters"),
        ({"a=b": "x"}, r"each name in metadata must not contain '='"),
        ({"a\n": "x"}, r"each name in metadata must not contain '=' or control characters"),
        ({"a": []}, r"metadata\['a'\] must be a str"),
        ({"a": "x" * (MAX_VALUE + 1)}, r"metadata\['a'\] must have at most 512 characters, got 513"),
        ({f"{n}": "x" for n in range(MAX_PAIRS + 1)}, r"metadata must contain at most 64 pairs, got 65"),
    ],
)
def test_invalid_metadata_name_the_rule(metadata, message):
    with pytest.raises(ValueError, match=message):
        parse_metadata("metadata", metadata)


class Level(enum.IntEnum):
    HIGH = 3


def test_number_of_an_enum_is_a_text():
    assert parse_metadata("metadata", {"level": Level.HIGH}) == {"level": "3"}


def test_lone_surrogate_in_metadata_becomes_replacement_character():
    assert parse_metadata("metadata", {"a": "x\ud800"}) == {"a": "x\ufffd"}


def test_limits_of_metadata_are_accepted():
    pairs = {f"{n:0>{MAX_NAME}}": "x" * MAX_VALUE for n in range(MAX_PAIRS)}
    assert parse_metadata("metadata", pairs) == pairs


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize(
    ("error", "text"),
    [
        ("no", "no"),
        (b"no", "no"),
        (ValueError("no"), "ValueError: no"),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
        (Unprintable(), "Unprintable"),
        (None, None),
    ],
)
def test_error_is_text_or_an_exception(error, text):
    assert parse_error("error", error) == text


def test_error_of_another_type_is_invalid():
    with pytest.raises(ValueError, match="error must be a str or None, got 5"):
        parse_error("error", 5)


@given(st.integers(MAX_ERROR - 3, MAX_ERROR + 3).map(lambda length: "a" * (length // 2) + "b" * (length - length // 2)))
def test_long_error_keeps_its_start_and_its_end(text):
    parsed: Any = parse_error("error", text)
    assert len(parsed) <= MAX_ERROR
    if len(text) <= MAX_ERROR:
        assert parsed == text
    else:
        start, end = parsed.split("\n…\n")
        assert text.startswith(start)
        assert text.endswith(end)
        assert len(parsed) > MAX_ERROR - 3
