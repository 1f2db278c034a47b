"""Model and cost of a run, from the provider's response and the tokens that its caller reports."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec

from xpander_capture.responses import ResponseSummary, include_cache, summarize_response
from xpander_server.domain.pricing.chat_completion import read_chat_completion
from xpander_server.domain.pricing.cost import compute_cost, sum_costs
from xpander_server.domain.pricing.own_prices import NO_OWN_PRICES, OwnPrices
from xpander_server.domain.pricing.response_text import decode_response

_MAX_MODEL_LENGTH = 255


class RunCost(NamedTuple):
    """Model and cost of a run."""

    model: str | None
    """Name of the model; None if no response names one, or if the responses name different ones."""
    cost: int | None
    """Nano-dollars; None for an unpriced run."""


def compute_run_cost(
    llm_response: str | None,
    tokens: Mapping[str, int] | None,
    at: int,
    *,
    own_prices: OwnPrices = NO_OWN_PRICES,
) -> RunCost:
    """Return the model and the cost of a run.

    Each response is priced by itself, at its own usage, if the responses state at least the tokens that the caller
    reports. Callers that add up tokens by hand leave out reasoning tokens, cached tokens and all steps but the last.
    If the caller reports more tokens than the responses state, some responses are missing; then the reported tokens are
    priced, if there is one model.

    Args:
        llm_response: JSON text of the provider's response or responses.
        tokens: Token counts that the caller reports.
        at: Time of the run, in microseconds since 1970; the prices of that time apply.
        own_prices: Prices of the organization, which take precedence.
    """
    summary = _summarize(llm_response)
    model = _valid_name(summary.model)
    if summary.tokens is not None and _covers(summary, tokens):
        return RunCost(model, sum_costs(_call_costs(summary.calls or (summary,), at, own_prices)))
    cost = compute_cost(
        model,
        tokens,
        at,
        provider=summary.provider,
        is_cache_included=summary.is_cache_included,
        own_prices=own_prices,
    )
    return RunCost(model, cost)


def _summarize(llm_response: str | None) -> ResponseSummary:
    if not llm_response:
        return ResponseSummary()
    if (summary := read_chat_completion(llm_response)) is not None:
        return summary
    try:
        return summarize_response(decode_response(llm_response))
    except (msgspec.DecodeError, RecursionError):  # stored by an older version, or nested too deeply
        return ResponseSummary()


def _covers(summary: ResponseSummary, tokens: Mapping[str, int] | None) -> bool:
    """Return whether the responses state at least the tokens that the caller reports."""
    if tokens is None:
        return True
    stated = _with_cache(summary.tokens or {}, summary.is_cache_included)
    reported = _with_cache(tokens, summary.is_cache_included)
    return all(reported.get(kind, 0) <= stated.get(kind, 0) for kind in ("prompt_tokens", "completion_tokens"))


def _with_cache(tokens: Mapping[str, int], is_cache_included: bool | None) -> Mapping[str, int]:
    return include_cache(tokens) if is_cache_included is False else tokens


def _call_costs(calls: Sequence[ResponseSummary], at: int, own_prices: OwnPrices) -> Iterator[int | None]:
    """Yield the cost of each call that states tokens; None for one without a price."""
    for call in calls:
        if not call.tokens or not any(call.tokens.values()):
            continue  # an error, or a response that is not billed
        yield compute_cost(
            _valid_name(call.model),
            call.tokens,
            at,
            provider=call.provider,
            is_cache_included=call.is_cache_included,
            own_prices=own_prices,
        )


def _valid_name(name: str | None) -> str | None:
    return name if name is not None and len(name) <= _MAX_MODEL_LENGTH and name.isprintable() else None
