"""Cost of one call, and of several."""

from collections.abc import Iterable, Mapping

from xpander_server.domain.pricing.own_prices import NO_OWN_PRICES, OwnPrices
from xpander_server.domain.pricing.price_list import NANODOLLARS, PERIOD, find_price

__all__ = ["MAX_COST", "NANODOLLARS", "compute_cost", "sum_costs"]

MAX_COST = 2**63 - 1

_CACHED = ("cache_read_tokens", "cache_write_tokens")


def compute_cost(
    model: str | None,
    tokens: Mapping[str, int] | None,
    at: int,
    *,
    provider: str | None = None,
    is_cache_included: bool | None = None,
    own_prices: OwnPrices = NO_OWN_PRICES,
) -> int | None:
    """Return the cost of a call, or of all calls of a run that used one model, in nano-dollars.

    Args:
        model: Name of the model.
        tokens: Token counts by kind. Negative counts are unknown.
        at: Time of the run, in microseconds since 1970; the price of that time applies.
        provider: Name of the provider that was called; None if it is not known.
        is_cache_included: Whether the prompt tokens include the cached tokens; None for what is usual for the model.
        own_prices: Prices of the organization, which take precedence.

    Returns:
        The cost; None if the price is not known, there are no tokens, or the cost exceeds `MAX_COST`.
    """
    if model is None or tokens is None:
        return None
    counts = {kind: number for kind, number in tokens.items() if number > 0}
    if not counts:
        return None
    cached = sum(counts.get(kind, 0) for kind in _CACHED)
    prompt = counts.get("prompt_tokens", 0)
    if is_cache_included is None:
        # Anthropic's prompt tokens exclude cached tokens; those of other providers include them.
        is_cache_included = "claude" not in model.lower()
    if not is_cache_included or cached > prompt:
        counts["prompt_tokens"] = prompt + cached
    price = own_prices.find(provider, model) or find_price(provider, model, at // PERIOD)
    cost = None if price is None else price.compute(counts)
    return cost if cost is not None and cost <= MAX_COST else None


def sum_costs(costs: Iterable[int | None]) -> int | None:
    """Return the sum of some costs; None if one of them is not known, or the sum exceeds `MAX_COST`."""
    total = 0
    for cost in costs:
        if cost is None:
            return None
        total += cost
    return total if total <= MAX_COST else None
