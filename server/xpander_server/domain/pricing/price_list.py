"""Prices of genai-prices: the price of a model of a provider, at one time."""

import os
from bisect import bisect_left
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache, lru_cache
from operator import mul
from threading import RLock
from typing import TYPE_CHECKING, Any

from xpander_server.clock import SECOND
from xpander_server.domain.pricing.model_names import ModelReference, resolve

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, ModelPrice, Provider

NANODOLLARS = 1_000_000_000
"""Nano-dollars in one dollar."""

_PERIOD_SECONDS = 1_800
PERIOD = _PERIOD_SECONDS * SECOND
"""Half an hour. Providers change their prices at full and at half hours: DeepSeek at 00:30 and 16:30 UTC."""

_MILLION = 1_000_000

# Bedrock's OpenAI-compatible endpoint leaves out the version in the names of models.
_VERSIONS = {"aws": ("-1:0", "-v1:0")}

_BASIC_KINDS = ("prompt_tokens", "completion_tokens", "cache_read_tokens", "cache_write_tokens")
# Kinds of tokens and the names under which genai-prices counts them. The other kinds have the same name there.
_UNITS = {
    "prompt_tokens": "input_tokens",
    "completion_tokens": "output_tokens",
    "reasoning_tokens": "output_reasoning_tokens",
    "citation_tokens": "output_citation_tokens",
    "tool_prompt_tokens": "input_tool_tokens",
}


# A child that is forked while another thread imports the prices would have a part of the modules only, forever.
_load_lock = RLock()
_forks: list[None] = []  # one element during a fork that holds the lock


def _before_fork() -> None:
    _load_lock.acquire()
    _forks.append(None)


def _after_fork() -> None:
    if _forks:  # Empty if another thread has imported this module, and so registered the hooks, during the fork.
        _forks.pop()
        _load_lock.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork)


@cache
def load_prices() -> None:
    """Load the price data, which takes a third of a second of CPU time at the first call.

    A caller does this before it begins a transaction: on a busy machine, the load takes seconds, and PostgreSQL ends a
    transaction that is idle for so long. A fork waits for the end of the load.
    """
    with _load_lock:
        model = _find_model(ModelReference("openai", "gpt-4o"))
        if model is not None:  # the library imports some modules with the first computation
            Price(model.get_prices(datetime.now(UTC))).compute({"prompt_tokens": 1})


class Price:
    """Price of one model at one time."""

    def __init__(self, prices: "ModelPrice") -> None:
        from genai_prices.types import TieredPrices
        from genai_prices.units import _get_registry

        self._registry = _get_registry()
        self._prices = {key: value for key, value in vars(prices).items() if value is not None}
        tiered = [value for value in self._prices.values() if isinstance(value, TieredPrices)]
        self._starts = sorted({tier.start for value in tiered for tier in value.tiers})
        # A price per request is not linear, so the rates below do not describe it.
        self._is_linear = "requests_kcount" not in self._prices
        self._rates: dict[int, tuple[int, ...] | None] = {}

    @property
    def is_per_token(self) -> bool:
        """True if tokens have a price. Models that are priced by the minute, character or page have none."""
        return "input_mtok" in self._prices or "output_mtok" in self._prices

    def compute(self, tokens: Mapping[str, int]) -> int | None:
        """Return the cost in nano-dollars.

        Args:
            tokens: Count by kind. The prompt tokens include the cached tokens.

        Returns:
            The cost; None if the counts contradict each other.
        """
        basic = {kind: tokens.get(kind, 0) for kind in _BASIC_KINDS}
        special = {kind: number for kind, number in tokens.items() if number and self._has_own_price(kind)}
        if special:
            # Counts by modality may be inconsistent; then the whole prompt and the whole completion apply.
            price = self._calculate({**basic, **special})
            if price is not None:
                return round(price * NANODOLLARS)
        prompt, _, cache_read, cache_write = basic.values()
        rates = self._find_rates(prompt)
        if rates is not None and cache_read + cache_write <= prompt:
            millionths: int = sum(map(mul, rates, basic.values()))
            return (millionths + _MILLION // 2) // _MILLION
        price = self._calculate(basic)
        return None if price is None else round(price * NANODOLLARS)

    def _has_own_price(self, kind: str) -> bool:
        if kind in _BASIC_KINDS:
            return False
        unit = self._registry.units.get(_UNITS.get(kind, kind))
        return unit is not None and unit.price_key in self._prices

    def _find_rates(self, prompt: int) -> tuple[int, ...] | None:
        """Return the nano-dollars of a million tokens of each basic kind, for prompts in the tier of `prompt`.

        Within a tier the cost is linear, and multiplying with four rates is a hundred times faster than the library.
        """
        if not self._is_linear:
            return None
        tier = bisect_left(self._starts, prompt)
        if tier not in self._rates:
            self._rates[tier] = self._compute_rates(prompt)
        return self._rates[tier]

    def _compute_rates(self, prompt: int) -> tuple[int, ...] | None:
        from genai_prices.types import ModelPrice

        flat = ModelPrice(**{key: _price_in_tier(value, prompt) for key, value in self._prices.items()})
        usages = (
            {"prompt_tokens": _MILLION},
            {"completion_tokens": _MILLION},
            {"prompt_tokens": _MILLION, "cache_read_tokens": _MILLION},
            {"prompt_tokens": _MILLION, "cache_write_tokens": _MILLION},
        )
        prices = [self._calculate(usage, flat) for usage in usages]
        rates = [round(price * NANODOLLARS) for price in prices if price is not None]
        if len(rates) != len(usages):
            return None
        uncached, completion, cache_read, cache_write = rates
        return (uncached, completion, cache_read - uncached, cache_write - uncached)

    def _calculate(self, tokens: Mapping[str, int], prices: "ModelPrice | None" = None) -> Decimal | None:
        from genai_prices import Usage
        from genai_prices.types import ModelPrice

        usage = Usage(**{_UNITS.get(kind, kind): number for kind, number in tokens.items()})
        try:
            total: Decimal = (prices or ModelPrice(**self._prices)).calc_price(usage)["total_price"]
        except ValueError:
            return None  # the counts contradict each other, for example more cached tokens than prompt tokens
        return total


def _price_in_tier(value: Any, prompt: int) -> Any:
    for tier in reversed(getattr(value, "tiers", ())):
        if prompt > tier.start:
            return tier.price
    return getattr(value, "base", value)


@lru_cache(maxsize=4_096)
def find_price(provider: str | None, model: str, period: int) -> Price | None:
    """Return the price of a model.

    Args:
        provider: Name of the provider that was called; None if it is not known.
        model: Name of the model, as a program states it.
        period: Half hours since 1970; the price of that time applies.

    Returns:
        The price; None if the model is not known, or has no price per token.
    """
    reference = resolve(provider, model)
    found = None if reference is None else _find_model(reference)
    if found is None:
        return None
    price = Price(found.get_prices(datetime.fromtimestamp(period * _PERIOD_SECONDS, UTC)))
    # An empty price is that of a model whose price is not known, unless its name says that it is free.
    is_free = reference is not None and reference.name.endswith(":free") and not price._prices
    return price if price.is_per_token or is_free else None


def _find_model(reference: ModelReference) -> "ModelInfo | None":
    # Imported here because the import is slow (see load_prices) and not every program needs prices. The library's own
    # lookup is not used because it caches every name without a limit.
    from genai_prices.data_snapshot import get_snapshot

    providers = get_snapshot().providers
    if reference.provider is not None:
        provider = next((provider for provider in providers if provider.id == reference.provider), None)
        if provider is None:
            return None
        for name in (reference.name, *(f"{reference.name}{version}" for version in _VERSIONS.get(provider.id, ()))):
            if (model := provider.find_model(name, all_providers=providers)) is not None:
                return model
        return None
    return _find_by_name(reference.name, providers)


def _find_by_name(name: str, providers: "list[Provider]") -> "ModelInfo | None":
    """Return the model in the list of its author; None if the lists of several authors have different prices."""
    found = [
        model
        for provider in providers
        if provider.model_match is not None
        and provider.model_match.is_match(name)
        and (model := provider.find_model(name, all_providers=providers)) is not None
    ]
    if any(model.prices != found[0].prices for model in found[1:]):
        return None
    return found[0] if found else None
