"""Prices of the corpus' calls, with the provider and the model of the request; genai-prices is the oracle."""

from collections import Counter

import pytest

from support.corpus import CORPUS, load_runs
from support.model_calls import PRICED_AT, called, library_price
from xpander_sdk.responses import ResponseSummary, summarize_response
from xpander_server.domain.pricing import NANODOLLARS, compute_cost

pytestmark = pytest.mark.skipif(not CORPUS.exists(), reason=f"the corpus of agent runs is missing: {CORPUS}")

MIN_PRICED_RUNS = 751

EXPLAINED = {
    ("cerebras", "qwen-3-coder-480b"): (2, "the list has an empty price, which the library takes for 0"),
    ("openrouter", "x-ai/grok-4"): (1, "the list has an empty price, which the library takes for 0"),
    ("openai", "gpt-4o-2024-08-06"): (1, "the usage states only zeros, which the library prices at 0"),
}
"""Number of calls whose price differs from that of genai-prices, and the reason, by provider and model. The cost of
each of them is unknown to us and 0 to the library: what is unpriced is never free."""

_AT = round(PRICED_AT.timestamp()) * 1_000_000


def test_runs_of_the_corpus_are_priced() -> None:
    priced = 0
    for run in load_runs():
        summaries = [_summarize(step) for step in run["steps"]]
        costs = [_cost(summary) for summary in summaries if _has_tokens(summary)]
        priced += bool(costs) and None not in costs
    assert priced >= MIN_PRICED_RUNS


def test_prices_are_those_of_the_library_for_the_same_call() -> None:
    differences: Counter[tuple[str | None, str | None]] = Counter()
    for run in load_runs():
        for step in run["steps"]:
            expected = library_price(step)
            if expected is None:
                continue
            summary = _summarize(step)
            cost = _cost(summary)
            if cost is None or abs(cost - expected * NANODOLLARS) > 1:
                assert (cost, expected) == (None, 0)
                differences[summary.provider, summary.model] += 1
    assert differences == {key: number for key, (number, _) in EXPLAINED.items()}


def test_the_oracle_prices_most_calls() -> None:
    """A library that extracts nothing would agree with everything."""
    prices = [library_price(step) for run in load_runs() for step in run["steps"]]
    assert sum(price is not None and price > 0 for price in prices) > 900


def _summarize(step: dict[str, object]) -> ResponseSummary:
    provider, model = called(step)
    return summarize_response(step["response"], provider=provider, model=model)


def _has_tokens(summary: ResponseSummary) -> bool:
    return summary.tokens is not None and any(summary.tokens.values())


def _cost(summary: ResponseSummary) -> int | None:
    return compute_cost(
        summary.model,
        summary.tokens,
        _AT,
        provider=summary.provider,
        is_cache_included=summary.is_cache_included,
    )
