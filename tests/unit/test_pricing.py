"""Prices: names of providers and models, kinds of tokens, own prices, and the cost of a run."""

import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from genai_prices.types import ModelPrice

from xpander_capture.responses import summarize_response
from xpander_server.domain.model_calls import compute_call_costs
from xpander_server.domain.pricing import MAX_COST, OwnPrice, OwnPrices, compute_cost, compute_run_cost, sum_costs
from xpander_server.domain.pricing.model_names import ModelReference, resolve
from xpander_server.domain.pricing.price_list import Price, _find_by_name, _find_in_library, find_price, load_prices

load_prices()

# DeepSeek halves its prices at night: https://api-docs.deepseek.com/quick_start/pricing
NOON = round(datetime(2026, 11, 1, 12, tzinfo=UTC).timestamp()) * 1_000_000
TOKENS = {"prompt_tokens": 1_000, "completion_tokens": 100, "cache_read_tokens": 0, "cache_write_tokens": 0}


def _dollars(model: str | None, tokens: dict[str, int] | None = None, **options: Any) -> float | None:
    cost = compute_cost(model, TOKENS if tokens is None else tokens, NOON, **options)
    return None if cost is None else cost / 1e9


def _run_dollars(response: Any, tokens: dict[str, int] | None = None) -> float | None:
    counts = None if tokens is None else {**dict.fromkeys(TOKENS, 0), **tokens}
    cost = compute_run_cost(json.dumps(response), counts, NOON).cost
    return None if cost is None else cost / 1e9


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("gpt-4o-2024-08-06", 0.0035),
        ("openai/gpt-4o-2024-08-06", 0.0035),
        ("openai:gpt-4o-2024-08-06", 0.0035),
        ("litellm/openai/gpt-4o", 0.0035),
        ("anthropic/claude-sonnet-4-20250514", 0.0045),
        ("gemini/gemini-2.5-pro", 0.00225),
        ("models/gemini-2.5-pro", 0.00225),
        ("vertex_ai/gemini-2.5-pro", 0.00225),
        ("publishers/google/models/gemini-2.5-pro", 0.00225),
        ("projects/p/locations/global/publishers/anthropic/models/claude-sonnet-4@20250514", 0.0045),
        ("mistral/mistral-large-latest", 0.0026),
        ("azure/gpt-4o", 0.0035),
        ("xai/grok-3", 0.0045),
        ("deepseek/deepseek-chat", 0.00038),
        ("groq/llama-3.3-70b-versatile", 0.000669),
        ("together_ai/meta-llama/Llama-3.3-70B-Instruct-Turbo", 0.000968),
        ("openrouter/anthropic/claude-sonnet-4", 0.0045),
        ("ft:gpt-4o-2024-08-06:org::id", 0.00525),
    ],
)
def test_gateways_write_the_provider_in_front_of_the_model(model: str, expected: float) -> None:
    assert _dollars(model) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    "model",
    [
        "us.anthropic.claude-sonnet-4-20250514-v1:0",
        "arn:aws:bedrock:us-east-1:000000000000:inference-profile/us.anthropic.claude-sonnet-4-20250514-v1:0",
        "bedrock/us.anthropic.claude-sonnet-4-20250514-v1:0",
        "bedrock/converse/us-east-1/us.anthropic.claude-sonnet-4-20250514-v1:0",
    ],
)
def test_inference_profiles_of_bedrock_have_the_price_of_their_model(model: str) -> None:
    assert _dollars(model) == _dollars(model, provider="bedrock") == pytest.approx(0.0045)


def test_other_names_of_bedrock_have_a_price() -> None:
    assert _dollars("global.anthropic.claude-haiku-4-5-20251001-v1:0") == pytest.approx(0.0015)
    assert _dollars("amazon.nova-lite-v1:0") == pytest.approx(0.000084)
    assert _dollars("openai.gpt-oss-120b", provider="bedrock") == _dollars("openai.gpt-oss-120b-1:0")


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("groq", "llama-3.3-70b-versatile"),
        ("azure", "gpt-4o"),
        ("azure_openai", "gpt-4o"),
        ("aws.bedrock", "us.amazon.nova-lite-v1:0"),
        ("gcp.vertex_ai", "claude-sonnet-4@20250514"),
        ("google-vertex", "gemini-2.5-pro"),
        ("openrouter", "openai/gpt-4o"),
        ("huggingface_nebius", "Qwen/Qwen2.5-VL-72B-Instruct"),
        ("litellm", "gpt-4o"),
    ],
)
def test_stated_provider_selects_its_price_list(provider: str, model: str) -> None:
    assert _dollars(model, provider=provider) is not None


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        (None, "my-own-model"),
        (None, "llama-3.3-70b"),
        (None, "meta-llama/llama-3.3-70b-instruct"),
        ("my-proxy", "gpt-4o"),
        ("azure", "my-deployment"),
        ("cerebras", "qwen-3-coder-480b"),  # in the list, without a price
        ("openai", "claude-sonnet-4"),
        (None, "arn:aws:bedrock:us-east-1:1:application-inference-profile/abc"),
        ("ollama", "mistral-nemo"),
        ("vllm", "gpt-4o"),
        (None, "ollama/deepseek-r1"),
        (None, "ollama_chat/llama3.2"),
        (None, "deepseek-r1:7b"),
        (None, "deepseek-r1:70b"),
        (None, "mistral-nemo:latest"),
        (None, ""),
        (None, "/"),
        (None, "openai/"),
        (None, ":"),
    ],
)
def test_unknown_and_local_models_are_unpriced(provider: str | None, model: str) -> None:
    assert _dollars(model, provider=provider) is None


@pytest.mark.parametrize(
    "model", ["whisper-1", "tts-1", "gpt-transcribe", "mistral-ocr-latest", "voxtral-mini-2602", "moderation"]
)
def test_models_without_a_price_per_token_are_unpriced(model: str) -> None:
    assert _dollars(model) is None


def test_models_with_a_price_of_the_prompt_only_are_priced() -> None:
    assert _dollars("voyage-3", {"prompt_tokens": 1_000}) == pytest.approx(0.00006)


def test_models_that_are_free_cost_nothing() -> None:
    assert _dollars("qwen/qwen3-coder:free", provider="openrouter") == 0


def test_price_per_request_is_charged_once() -> None:
    price = Price(ModelPrice(input_mtok=Decimal(1), output_mtok=Decimal(2), requests_kcount=Decimal(5)))
    assert price.compute({"prompt_tokens": 1_000, "completion_tokens": 100}) == 1_000_000 + 200_000 + 5_000_000


def test_tier_begins_above_its_start() -> None:
    from genai_prices.types import Tier, TieredPrices

    tiers = TieredPrices(base=Decimal(1), tiers=[Tier(start=10, price=Decimal(2)), Tier(start=20, price=Decimal(3))])

    def cost(prompt: int) -> int | None:
        return Price(ModelPrice(input_mtok=tiers)).compute({"prompt_tokens": prompt})

    assert [cost(prompt) for prompt in (1, 10, 11, 20, 21)] == [1_000, 10_000, 22_000, 40_000, 63_000]


@pytest.mark.parametrize(
    ("dollars_per_million", "cost"), [("0.0004", 0), ("0.0005", 1), ("0.0014", 1), ("0.0015", 2), ("-1", None)]
)
def test_price_of_a_token_is_a_whole_number_of_nano_dollars(dollars_per_million: str, cost: int | None) -> None:
    computed = Price(ModelPrice(input_mtok=Decimal(dollars_per_million))).compute({"prompt_tokens": 1})
    assert (computed, type(computed)) == (cost, type(cost))


@pytest.mark.parametrize("kind", ["cache_read_tokens", "cache_write_tokens"])
def test_more_cached_tokens_than_prompt_tokens_have_no_price(kind: str) -> None:
    price = find_price("anthropic", "claude-sonnet-4-5", 0)
    assert price is not None
    assert price.compute({"prompt_tokens": 10, "completion_tokens": 5, kind: 11}) is None
    assert price.compute({"prompt_tokens": 10, "completion_tokens": 5, kind: 10}) is not None


def _author(name: str, price: int) -> Any:
    from genai_prices.types import ClauseStartsWith, ModelInfo, Provider

    match = ClauseStartsWith("model")
    model = ModelInfo(id=f"{name}-model", match=match, prices=ModelPrice(input_mtok=Decimal(price)))
    return Provider(id=name, name=name, api_pattern="", model_match=match, models=[model])


@pytest.mark.parametrize(
    ("prices", "author"), [([], None), ([1], "0"), ([1, 1], "0"), ([1, 2], None), ([1, 1, 2], None), ([1, 2, 1], None)]
)
def test_model_of_several_authors_has_a_price_if_their_prices_are_equal(prices: list[int], author: str | None) -> None:
    authors = [_author(str(number), price) for number, price in enumerate(prices)]
    model = _find_by_name("model-1", authors)
    assert (None if model is None else model.id) == (None if author is None else f"{author}-model")


def test_price_of_a_model_is_looked_up_once_in_half_an_hour() -> None:
    _find_in_library.cache_clear()
    for microseconds in (0, 1, 1_799_999_999):
        compute_cost("gpt-4o", TOKENS, NOON + microseconds)
    assert _find_in_library.cache_info().misses == 1
    compute_cost("gpt-4o", TOKENS, NOON + 1_800_000_000)
    assert _find_in_library.cache_info().misses == 2


@pytest.mark.parametrize("prompt", [1, 200_000, 200_001, 1_000_000])
@pytest.mark.parametrize("model", ["gemini-2.5-pro", "claude-sonnet-4-20250514", "gpt-4o"])
def test_rates_of_a_tier_give_the_price_of_the_library(model: str, prompt: int) -> None:
    from genai_prices import Usage, calc_price

    usage = {"input_tokens": prompt, "output_tokens": 77, "cache_read_tokens": prompt // 3}
    at = datetime.fromtimestamp(NOON / 1e6, UTC)
    expected = calc_price(Usage(**usage), model, genai_request_timestamp=at).total_price
    tokens = {"prompt_tokens": prompt, "completion_tokens": 77, "cache_read_tokens": prompt // 3}
    cost = compute_cost(model, tokens, NOON, is_cache_included=True)
    assert cost == pytest.approx(float(expected) * 1e9, abs=1)


def test_kinds_with_a_price_of_their_own_are_charged() -> None:
    audio = {"prompt_tokens": 1_000, "completion_tokens": 0, "input_audio_tokens": 1_000}
    assert _dollars("gemini-2.5-flash", audio) == pytest.approx(0.001)  # text: 0.0003
    writes = {"prompt_tokens": 1_000, "cache_write_tokens": 1_000, "cache_write_1h_tokens": 1_000}
    assert _dollars("claude-sonnet-4-5", writes, is_cache_included=True) == pytest.approx(0.006)  # 5 minutes: 0.00375
    searches = {"prompt_tokens": 1_000, "web_searches": 2}
    assert _dollars("claude-sonnet-4-5", searches) == pytest.approx(0.003 + 0.02)


def test_kinds_without_a_price_of_their_own_cost_nothing_more() -> None:
    tokens = {"prompt_tokens": 1_000, "completion_tokens": 100, "reasoning_tokens": 90, "unknown_tokens": 7}
    assert _dollars("gpt-4o", tokens) == pytest.approx(0.0035)


def test_provider_without_a_list_has_no_prices() -> None:
    assert _dollars("Qwen/Qwen2.5-VL-72B-Instruct", provider="huggingface_nebius") is not None
    for provider in ("huggingface_n", "huggingface_zzz"):
        assert _dollars("Qwen/Qwen2.5-VL-72B-Instruct", provider=provider) is None


def test_contradicting_counts_by_modality_are_charged_as_text() -> None:
    tokens = {"prompt_tokens": 10, "completion_tokens": 0, "input_audio_tokens": 1_000}
    assert _dollars("gemini-2.5-flash", tokens) == _dollars("gemini-2.5-flash", {"prompt_tokens": 10})


def test_cache_is_read_as_the_response_states() -> None:
    tokens = {"prompt_tokens": 12_307, "cache_write_tokens": 12_304, "completion_tokens": 550}
    included = _dollars("claude-3-7-sonnet-20250219", tokens, is_cache_included=True)
    assert included == pytest.approx(0.0544, abs=1e-4)
    native = {"prompt_tokens": 3, "cache_write_tokens": 12_304, "completion_tokens": 550}
    assert _dollars("claude-3-7-sonnet-20250219", native) == included


def test_litellm_counts_the_cache_of_claude_inside_the_prompt() -> None:
    usage = {
        "prompt_tokens": 12_307,
        "completion_tokens": 550,
        "prompt_tokens_details": {"cached_tokens": 0, "cache_creation_tokens": 12_304},
        "cache_creation_input_tokens": 12_304,
    }
    response = {"model": "claude-3-7-sonnet-20250219", "object": "chat.completion", "usage": usage}
    tokens = {"prompt_tokens": 12_307, "cache_write_tokens": 12_304, "completion_tokens": 550}
    assert _run_dollars(response, tokens) == pytest.approx(0.0544, abs=1e-4)
    # The sum of ten calls is more than the one response that was sent: its convention applies to the sum.
    sums = {kind: 10 * number for kind, number in tokens.items()}
    assert _run_dollars(response, sums) == pytest.approx(0.54399, abs=1e-4)


STREAMS: dict[str, list[dict[str, Any]]] = {
    "openai": [
        {"type": "response.created", "response": {"id": "r", "model": "gpt-4o-2024-08-06"}},
        {"type": "response.output_text.delta", "delta": "hi"},
        {
            "type": "response.completed",
            "response": {
                "id": "r",
                "model": "gpt-4o-2024-08-06",
                "usage": {"input_tokens": 1_000, "output_tokens": 100},
            },
        },
    ],
    "anthropic": [
        {"type": "message_start", "message": {"id": "m", "model": "claude-sonnet-4-20250514"}},
        {"type": "message_delta", "usage": {"output_tokens": 100}},
    ],
    "chunks": [
        {"object": "chat.completion.chunk", "model": ""},
        {"object": "chat.completion.chunk", "model": "gpt-4o-2024-08-06"},
    ],
}


@pytest.mark.parametrize(("api", "expected"), [("openai", 0.0035), ("anthropic", 0.0045), ("chunks", 0.0035)])
def test_events_of_a_stream_have_a_price(api: str, expected: float) -> None:
    tokens = {"prompt_tokens": 1_000, "completion_tokens": 100}
    assert _run_dollars(STREAMS[api], tokens) == pytest.approx(expected)


@pytest.mark.parametrize("model", ["deepseek-r1:7b", "mistral-nemo", "gpt-4o"])
def test_answers_of_ollama_are_unpriced(model: str) -> None:
    response = {
        "model": model,
        "message": {"role": "assistant"},
        "prompt_eval_count": 1_000,
        "eval_count": 100,
        "done": True,
    }
    assert _run_dollars(response, {"prompt_tokens": 1_000, "completion_tokens": 100}) is None


def _chat(model: str, prompt: int, completion: int, number: int = 1) -> dict[str, Any]:
    usage = {"prompt_tokens": prompt, "completion_tokens": completion}
    return {"id": f"chatcmpl-{number}", "object": "chat.completion", "model": model, "usage": usage, "choices": []}


def test_responses_of_several_models_are_priced_by_themselves() -> None:
    responses = [_chat("gpt-4o", 1_000, 100, 1), _chat("gpt-4o-mini", 1_000, 100, 2)]
    assert _run_dollars(responses) == pytest.approx(0.0035 + 0.00021)
    assert compute_run_cost(json.dumps(responses), None, NOON).model is None
    unknown = [*responses, _chat("my-own-model", 1, 1, 3)]
    assert _run_dollars(unknown) is None


def test_usage_of_the_response_is_priced_if_it_is_more_than_the_reported_tokens() -> None:
    response = {
        "modelVersion": "gemini-2.5-pro",
        "candidates": [{"finishReason": "STOP"}],
        "usageMetadata": {"promptTokenCount": 1_000, "candidatesTokenCount": 100, "thoughtsTokenCount": 900},
    }
    # The caller forgot the thoughts, which Gemini bills as output.
    by_hand = {"prompt_tokens": 1_000, "completion_tokens": 100}
    assert _run_dollars(response, by_hand) == _run_dollars(response) == pytest.approx(0.01125)


def test_reported_tokens_are_priced_if_they_are_more_than_the_usage_of_the_response() -> None:
    """The caller reports the tokens of all steps, and the response of the last one."""
    tokens = {"prompt_tokens": 5_000, "completion_tokens": 500}
    assert _run_dollars(_chat("gpt-4o", 1_000, 100), tokens) == pytest.approx(0.0175)


CACHED = {
    "anthropic": {
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-4-5",
        "content": [],
        "usage": {"input_tokens": 10, "output_tokens": 20, "cache_read_input_tokens": 300,
                  "cache_creation_input_tokens": 50, "cache_creation": {"ephemeral_1h_input_tokens": 50}},
    },
    "openai": {
        "object": "response",
        "model": "gpt-5-mini",
        "status": "completed",
        "output": [],
        "usage": {"input_tokens": 360, "output_tokens": 20, "input_tokens_details": {"cached_tokens": 300}},
    },
    "gemini": {
        "modelVersion": "gemini-2.5-pro",
        "candidates": [],
        "usageMetadata": {"promptTokenCount": 360, "candidatesTokenCount": 5, "thoughtsTokenCount": 15,
                          "cachedContentTokenCount": 300, "totalTokenCount": 380},
    },
}  # fmt: skip


@pytest.mark.parametrize("api", CACHED)
def test_call_of_a_report_costs_what_its_response_costs(api: str) -> None:
    """Our SDK reports `calls`; the official client sends `llm_response`."""
    call = summarize_response(CACHED[api]).to_call()
    (cost,) = compute_call_costs([call], None, NOON)
    assert cost is not None
    assert cost == compute_run_cost(json.dumps(CACHED[api]), None, NOON).cost


def test_run_without_tokens_or_model_is_unpriced() -> None:
    assert compute_run_cost(None, None, NOON) == (None, None)
    assert compute_run_cost(None, TOKENS, NOON) == (None, None)
    assert compute_run_cost('{"model": "gpt-4o"}', None, NOON) == ("gpt-4o", None)
    assert compute_run_cost('"gpt-4o"', TOKENS, NOON) == (None, None)
    assert compute_run_cost("[[[[", TOKENS, NOON) == (None, None)


def test_negative_counts_cost_nothing() -> None:
    assert _dollars("gpt-4o", {"prompt_tokens": -5, "completion_tokens": -5}) is None
    assert _dollars("gpt-4o", {"prompt_tokens": 1_000, "completion_tokens": -5}) == pytest.approx(0.0025)


def test_cost_that_is_too_large_is_unknown() -> None:
    assert compute_cost("gpt-4o", {"prompt_tokens": 10**18}, NOON) is None


OWN = OwnPrices(
    [
        OwnPrice(model="llama-3.3-70b", prompt=1_000_000_000, completion=2_000_000_000),
        OwnPrice(provider="groq", model="llama-3.3-70b", prompt=3_000_000_000, completion=0),
        OwnPrice(model="ft:*", prompt=4_000_000_000, completion=0, cache_read=1_000_000_000, cache_write=5_000_000_000),
        OwnPrice(model="ft:gpt-4o*", prompt=6_000_000_000, completion=0),
        OwnPrice(model="gpt-4o", prompt=0, completion=0),
    ]
)


@pytest.mark.parametrize(
    ("provider", "model", "expected"),
    [
        (None, "llama-3.3-70b", 0.0012),
        (None, "LLAMA-3.3-70b", 0.0012),
        ("vllm", "llama-3.3-70b", 0.0012),
        ("groq", "llama-3.3-70b", 0.003),
        (None, "ft:mistral:abc", 0.004),
        (None, "ft:gpt-4o:abc", 0.006),
        ("openai", "gpt-4o", 0.0),
        ("openai", "gpt-4o-mini", 0.00021),
    ],
)
def test_own_prices_take_precedence(provider: str | None, model: str, expected: float) -> None:
    assert _dollars(model, provider=provider, own_prices=OWN) == pytest.approx(expected)


def test_own_prices_of_cached_tokens() -> None:
    tokens = {"prompt_tokens": 1_000, "cache_read_tokens": 500, "cache_write_tokens": 100}
    assert _dollars("ft:x", tokens, own_prices=OWN) == pytest.approx(0.0004 * 4 + 0.0005 + 0.0005)
    assert _dollars("llama-3.3-70b", tokens, own_prices=OWN) == pytest.approx(0.001)


def test_own_price_of_the_prompt_is_not_charged_without_a_prompt() -> None:
    assert _own_cost({"completion_tokens": 5}) == 0


def test_own_prices_apply_to_the_run() -> None:
    response = json.dumps(_chat("llama-3.3-70b", 1_000, 100))
    assert compute_run_cost(response, None, NOON, own_prices=OWN).cost == 1_200_000
    assert compute_run_cost('{"model": "llama-3.3-70b"}', TOKENS, NOON, own_prices=OWN).cost == 1_200_000


def test_names_are_resolved_to_lists() -> None:
    assert resolve("bedrock", "x/y/amazon.nova-lite-v1:0") == ModelReference("aws", "amazon.nova-lite-v1:0")
    assert resolve(None, "openrouter/openai/gpt-4o") == ModelReference("openrouter", "openai/gpt-4o")
    assert resolve("openai", "openai/gpt-4o") == ModelReference("openai", "gpt-4o")
    assert resolve(None, "Gpt-4O ") == ModelReference(None, "gpt-4o")


def test_sum_of_costs_is_unknown_if_one_is_or_if_it_is_too_large() -> None:
    assert sum_costs([]) == 0
    assert sum_costs([1, 2]) == 3
    assert sum_costs([1, None]) is None
    assert sum_costs([MAX_COST]) == MAX_COST
    assert sum_costs([MAX_COST, 1]) is None


def test_price_changes_at_the_hour_in_which_the_provider_changes_it() -> None:
    def at(*moment: int) -> int | None:
        return compute_cost("o3", TOKENS, round(datetime(*moment, tzinfo=UTC).timestamp()) * 1_000_000)

    before, change, after = at(2025, 6, 9, 23, 59, 59), at(2025, 6, 10), at(2025, 6, 10, 1)
    assert before is not None
    assert change is not None
    assert (before > change, change == after) == (True, True)


@pytest.mark.parametrize("time", [(0, 0), (0, 29), (0, 30), (0, 59), (16, 29), (16, 30), (16, 59), (17, 0)])
def test_price_changes_at_the_half_hour_at_which_deepseek_changes_it(time: tuple[int, int]) -> None:
    from genai_prices import Usage, calc_price

    at = datetime(2026, 11, 1, *time, tzinfo=UTC)
    usage = Usage(input_tokens=1_000, output_tokens=100)
    expected = calc_price(usage, "deepseek-chat", genai_request_timestamp=at).total_price
    assert compute_cost("deepseek-chat", TOKENS, round(at.timestamp()) * 1_000_000) == round(expected * 10**9)


def test_providers_change_their_prices_at_full_and_half_hours_only() -> None:
    from genai_prices.data_snapshot import get_snapshot

    prices = [model.prices for provider in get_snapshot().providers for model in provider.models]
    constraints = [price.constraint for choices in prices if isinstance(choices, list) for price in choices]
    times = [getattr(one, name) for one in constraints for name in ("start_time", "end_time") if hasattr(one, name)]
    assert times
    assert {(time.minute % 30, time.second) for time in times} == {(0, 0)}


def _own_cost(tokens: dict[str, int], prompt: int = 1_000_000, **options: Any) -> int | None:
    """Return the cost at an own price: a nano-dollar for each prompt token that is not cached."""
    price = OwnPrice(model="own", prompt=prompt, completion=0, cache_read=0, cache_write=0)
    return compute_cost("own", tokens, NOON, own_prices=OwnPrices([price]), **options)


@pytest.mark.parametrize(
    ("prompt", "cached", "is_cache_included", "uncached"),
    [(10, 4, True, 6), (10, 10, True, 0), (10, 11, True, 10), (10, 4, False, 10), (10, 4, None, 6)],
)
def test_cached_tokens_beyond_the_prompt_cannot_be_part_of_it(
    prompt: int, cached: int, is_cache_included: bool | None, uncached: int
) -> None:
    for kind in ("cache_read_tokens", "cache_write_tokens"):
        assert _own_cost({"prompt_tokens": prompt, kind: cached}, is_cache_included=is_cache_included) == uncached


@pytest.mark.parametrize(("tokens", "cost"), [(499_999, 0), (500_000, 1), (1_499_999, 1), (1_500_000, 2)])
def test_cost_is_rounded_to_nano_dollars(tokens: int, cost: int) -> None:
    assert _own_cost({"prompt_tokens": tokens}, prompt=1) == cost


def test_call_that_counts_no_tokens_is_unpriced() -> None:
    assert _own_cost({"prompt_tokens": 0, "completion_tokens": 0}) is None
    assert _own_cost({}) is None


@pytest.mark.parametrize("is_cache_included", [True, False, None])
def test_cached_tokens_without_a_prompt_are_the_prompt(is_cache_included: bool | None) -> None:
    assert _own_cost({"cache_read_tokens": 4}, is_cache_included=is_cache_included) == 0
    cost = _dollars("gpt-4o", {"cache_read_tokens": 1_000}, is_cache_included=is_cache_included)
    assert cost == pytest.approx(0.00125)


def test_largest_cost_is_the_largest_integer_of_a_database() -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        assert connection.execute("SELECT ?", (MAX_COST,)).fetchone() == (MAX_COST,)
        with pytest.raises(OverflowError):
            connection.execute("SELECT ?", (MAX_COST + 1,))


def test_largest_cost_is_known() -> None:
    assert _own_cost({"prompt_tokens": 1_000_000}, prompt=MAX_COST) == MAX_COST
    assert _own_cost({"prompt_tokens": 1_000_000}, prompt=MAX_COST + 1) is None


def test_most_specific_own_price_applies() -> None:
    prices = [("", "a*", 1), ("groq", "a*", 2), ("", "ab*", 3), ("groq", "abc", 4), ("", "abc", 5)]
    own = OwnPrices(OwnPrice(provider=p, model=m, prompt=n * 1_000_000, completion=0) for p, m, n in prices)

    def price(provider: str | None, model: str) -> int | None:
        return compute_cost(model, {"prompt_tokens": 1}, NOON, provider=provider, own_prices=own)

    assert [price(None, model) for model in ("a", "ab", "abc", "abcd", "x")] == [1, 3, 5, 3, None]
    assert [price(" Groq ", model) for model in ("a", "ab", "abc", "abcd", "x")] == [2, 3, 4, 3, None]


def test_own_price_of_another_provider_does_not_apply() -> None:
    own = OwnPrices([OwnPrice(provider="groq", model="a*", prompt=1, completion=0)])
    assert compute_cost("a", {"prompt_tokens": 10**6}, NOON, provider="vllm", own_prices=own) is None


def test_name_of_a_model_has_at_most_255_printable_characters() -> None:
    def model(name: str) -> str | None:
        return compute_run_cost(json.dumps({"model": name}), None, NOON).model

    assert [model("m"), model("m" * 255), model("m" * 256), model(""), model("a\tb")] == ["m", "m" * 255, *[None] * 3]


def test_usage_of_the_response_is_priced_if_it_equals_the_reported_tokens() -> None:
    usage = {"prompt_tokens": 1_000, "completion_tokens": 100, "prompt_tokens_details": {"cached_tokens": 1_000}}
    response = {**_chat("gpt-4o", 0, 0), "usage": usage}
    assert _run_dollars(response, {"prompt_tokens": 1_000, "completion_tokens": 100}) == pytest.approx(0.00225)
    assert _run_dollars(response, {"prompt_tokens": 1_001, "completion_tokens": 100}) == pytest.approx(0.0035025)
    assert _run_dollars(response, {"prompt_tokens": 1_000, "completion_tokens": 101}) == pytest.approx(0.00351)


def test_kind_of_tokens_that_a_response_does_not_state_is_zero() -> None:
    usage = {"prompt_tokens": 1_000, "prompt_tokens_details": {"cached_tokens": 1_000}}
    response = {**_chat("gpt-4o", 0, 0), "usage": usage}
    assert _run_dollars(response, {"prompt_tokens": 1_000}) == pytest.approx(0.00125)
    assert compute_run_cost(json.dumps(response), {"prompt_tokens": 1_000}, NOON).cost == 1_250_000
    assert _run_dollars(response, {"prompt_tokens": 1_000, "completion_tokens": 1}) == pytest.approx(0.00251)


def test_response_without_tokens_costs_nothing_beside_others() -> None:
    failed = {**_chat("my-own-model", 0, 0, 1), "usage": None}
    assert _run_dollars([failed, _chat("gpt-4o", 1_000, 100, 2)]) == pytest.approx(0.0035)


@pytest.mark.parametrize(
    ("provider", "model", "reference"),
    [
        ("huggingface_nebius", "a/b", ModelReference("huggingface_nebius", "a/b")),
        ("huggingface", "a/b", None),
        (None, "publishers/google/models/gemini-2.5-pro", ModelReference("google", "gemini-2.5-pro")),
        ("gemini", "models/gemini-2.5-pro", ModelReference("google", "gemini-2.5-pro")),
        ("openrouter", "openai/gpt-4o", ModelReference("openrouter", "openai/gpt-4o")),
        ("openai", "openai/", ModelReference("openai", "openai/")),
        ("openai", "anthropic/x", ModelReference("openai", "anthropic/x")),
        (None, "litellm/ollama/x", None),
        (None, "meta-llama/x", ModelReference(None, "meta-llama/x")),
        (None, "x:", ModelReference(None, "x:")),
        (None, "ft:x", ModelReference("openai", "ft:x")),
        (None, "us.amazon.nova", ModelReference("aws", "us.amazon.nova")),
        ("azure", "amazon.nova", ModelReference("azure", "amazon.nova")),
    ],
)
def test_reference_of_a_model(provider: str | None, model: str, reference: ModelReference | None) -> None:
    assert resolve(provider, model) == reference
