"""Token usage of the providers, as their SDKs return it and as JSON."""

import json
import logging
from types import SimpleNamespace
from typing import Any

import anthropic.types
import numpy as np
import openai.types
import openai.types.completion_usage
import openai.types.responses
import pytest
from attrs import make_class

from xpander_sdk import Tokens
from xpander_sdk.reporting import fields
from xpander_sdk.reporting.report import new_report
from xpander_sdk.reporting.usage import read_usage

GEMINI = {
    "prompt_token_count": 1_000,
    "candidates_token_count": 80,
    "thoughts_token_count": 20,
    "cached_content_token_count": 800,
    "total_token_count": 1_100,
}
# name: (usage, prompt, completion, cache read, cache write, whether the prompt includes the cached tokens)
USAGES: dict[str, tuple[Any, int, int, int, int, bool | None]] = {
    "OpenAI chat": (
        openai.types.CompletionUsage(
            prompt_tokens=1_000,
            completion_tokens=100,
            total_tokens=1_100,
            prompt_tokens_details=openai.types.completion_usage.PromptTokensDetails(cached_tokens=800),
        ),
        *(1_000, 100, 800, 0, True),
    ),
    "OpenAI chat without a cache": (
        openai.types.CompletionUsage(prompt_tokens=10, completion_tokens=1, total_tokens=11),
        *(10, 1, 0, 0, None),
    ),
    "OpenAI Responses": (
        openai.types.responses.ResponseUsage.model_validate(
            {
                "input_tokens": 1_000,
                "output_tokens": 100,
                "total_tokens": 1_100,
                "input_tokens_details": {"cached_tokens": 800, "cache_write_tokens": 0},
                "output_tokens_details": {"reasoning_tokens": 30},
            }
        ),
        *(1_000, 100, 800, 0, True),
    ),
    "Anthropic": (
        anthropic.types.Usage(
            input_tokens=200, output_tokens=100, cache_read_input_tokens=800, cache_creation_input_tokens=50
        ),
        *(200, 100, 800, 50, False),
    ),
    "Anthropic without a cache": (anthropic.types.Usage(input_tokens=200, output_tokens=100), 200, 100, 0, 0, None),
    "Gemini": (SimpleNamespace(**GEMINI, tool_use_prompt_token_count=None), 1_000, 100, 800, 0, True),
    "Gemini, as JSON": (
        {
            "promptTokenCount": 1_000,
            "candidatesTokenCount": 80,
            "thoughtsTokenCount": 20,
            "cachedContentTokenCount": 800,
            "totalTokenCount": 1_100,
        },
        *(1_000, 100, 800, 0, True),
    ),
    "Gemini that was blocked": ({"promptTokenCount": 7, "totalTokenCount": 7}, 7, 0, 0, 0, None),
    "Bedrock Converse": (
        {
            "inputTokens": 200,
            "outputTokens": 100,
            "totalTokens": 300,
            "cacheReadInputTokens": 800,
            "cacheWriteInputTokens": 50,
        },
        *(200, 100, 800, 50, False),
    ),
    "litellm": (
        {
            "prompt_tokens": 1_050,
            "completion_tokens": 100,
            "total_tokens": 1_150,
            "prompt_tokens_details": {"cached_tokens": 800, "cache_creation_tokens": 50},
            "cache_read_input_tokens": 800,
            "cache_creation_input_tokens": 50,
        },
        *(1_050, 100, 800, 50, True),
    ),
    "LangChain": (
        {"input_tokens": 1_000, "output_tokens": 100, "input_token_details": {"cache_read": 800, "cache_creation": 50}},
        *(1_000, 100, 800, 50, True),
    ),
    "pydantic-ai": (
        SimpleNamespace(input_tokens=1_000, output_tokens=100, cache_read_tokens=800, cache_write_tokens=50),
        *(1_000, 100, 800, 50, True),
    ),
    "DeepSeek": (
        {
            "prompt_tokens": 1_000,
            "completion_tokens": 100,
            "prompt_cache_hit_tokens": 800,
            "prompt_cache_miss_tokens": 200,
        },
        *(1_000, 100, 800, 0, True),
    ),
    "attrs and numpy": (
        make_class("Usage", ["prompt_tokens", "completion_tokens"])(np.int64(7), np.int32(2)),
        *(7, 2, 0, 0, None),
    ),
    "fields of Tokens": ({"prompt_tokens": 7, "cache_read_tokens": 3}, 7, 0, 3, 0, None),
}


@pytest.fixture(autouse=True)
def _nothing_was_logged_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fields, "_logged_subjects", set())


@pytest.mark.parametrize("name", USAGES)
def test_usage_of_each_provider_is_read(name):
    usage, prompt, completion, cache_read, cache_write, is_cache_included = USAGES[name]
    read = read_usage(usage)
    assert read is not None
    assert read.is_cache_included is is_cache_included
    assert Tokens.from_dict(usage) == Tokens(
        prompt_tokens=prompt,
        completion_tokens=completion,
        cache_read_tokens=cache_read,
        cache_write_tokens=cache_write,
    )


@pytest.mark.parametrize("name", USAGES)
def test_usage_of_a_provider_is_reported_without_a_warning(name, caplog):
    usage, prompt, completion, *_ = USAGES[name]
    body = json.loads(new_report("agent", tokens=usage).content)
    assert body["tokens"]["total_tokens"] == prompt + completion
    assert caplog.records == []


def test_misspelled_keys_are_logged_once_with_the_known_ones(caplog):
    for _ in range(2):
        new_report("agent", tokens={"prompt_tokens": 7, "completion_token": 3, "cost": 0.1})
        new_report("agent", tokens={"input": 7})
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * 2
    first, second = caplog.messages
    assert first.startswith("Unknown keys of tokens ignored: 'completion_token'; known keys are completion_tokens, ")
    assert second.startswith("Unknown keys of tokens ignored: 'input'; known keys are ")


def test_negative_values_are_sent_and_logged_once(caplog):
    for _ in range(2):
        body = json.loads(new_report("agent", duration=-1.5, tokens={"prompt_tokens": -3}).content)
        assert (body["duration"], body["tokens"]["prompt_tokens"]) == (-1.5, -3)
    assert caplog.messages == [
        "Negative count of prompt_tokens, which metrics count as zero",
        "Negative duration, which metrics count as zero: was the clock set back?",
    ]


@pytest.mark.parametrize("value", [5, "5", [1, 2], [], False, object(), SimpleNamespace(cost=1)])
def test_value_without_counts_is_an_error_that_names_its_type(value):
    with pytest.raises(ValueError, match=rf"tokens must be .*, got {type(value).__name__}$"):
        new_report("agent", tokens=value)


def test_response_instead_of_its_usage_is_an_error_with_the_fix():
    response = SimpleNamespace(usage=USAGES["OpenAI chat"][0], model="gpt-5")
    with pytest.raises(ValueError, match=r"got SimpleNamespace; pass its \.usage$"):
        new_report("agent", tokens=response)


def test_count_that_is_not_whole_is_an_error_that_names_its_key():
    with pytest.raises(ValueError, match=r"thoughts_token_count must be a whole number or None, got 1\.5"):
        Tokens.from_dict({"prompt_token_count": 1, "thoughts_token_count": 1.5})
