"""Prices of genai-prices: the price of a model of a provider, at one time."""

import os
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from threading import RLock
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from xpander_server.clock import SECOND
from xpander_server.domain.pricing.model_names import ModelReference, resolve
from xpander_server.domain.pricing.price_table import (
    BASIC_KINDS,
    LinearPrice,
    apply_rates,
    load_table,
)

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, ModelPrice

NANODOLLARS = 1_000_000_000
"""Nano-dollars in one dollar."""

_PERIOD_SECONDS = 1_800
PERIOD = _PERIOD_SECONDS * SECOND
"""Half an hour. Providers change their prices at full and at half hours: DeepSeek at 00:30 and 16:30 UTC."""

_MILLION = 1_000_000

# Bedrock's OpenAI-compatible endpoint leaves out the version in the names of models.
_VERSIONS = {"aws": ("-1:0", "-v1:0")}

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


_is_loaded = False


def load_prices() -> None:
    """Load the library with all prices, which takes a third of a second of CPU time at the first call.

    A caller does this before it begins a transaction: on a busy machine, the load takes seconds, and PostgreSQL ends a
    transaction that is idle for so long. A fork waits for the end of the load.
    """
    global _is_loaded
    if _is_loaded:
        return
    with _load_lock:
        model = _find_model(ModelReference("openai", "gpt-4o"), _library_providers())
        if model is not None:  # the library imports some modules with the first computation
            Price(model.get_prices(datetime.now(UTC))).compute({"prompt_tokens": 1})
        _is_loaded = True


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

    @property
    def is_empty(self) -> bool:
        """True if nothing has a price."""
        return not self._prices

    def compute(self, tokens: Mapping[str, int]) -> int | None:
        """Return the cost in nano-dollars.

        Args:
            tokens: Count by kind. The prompt tokens include the cached tokens.

        Returns:
            The cost; None if the counts contradict each other.
        """
        basic = {kind: tokens.get(kind, 0) for kind in BASIC_KINDS}
        special = {kind: number for kind, number in tokens.items() if number and self._has_own_price(kind)}
        if special:
            # Counts by modality may be inconsistent; then the whole prompt and the whole completion apply.
            price = self._calculate({**basic, **special})
            if price is not None:
                return round(price * NANODOLLARS)
        prompt, _, cache_read, cache_write = basic.values()
        rates = self._find_rates(prompt)
        if rates is not None and cache_read + cache_write <= prompt:
            return apply_rates(rates, list(basic.values()))
        price = self._calculate(basic)
        return None if price is None else round(price * NANODOLLARS)

    def _has_own_price(self, kind: str) -> bool:
        if kind in BASIC_KINDS:
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


def find_price(provider: str | None, model: str, period: int) -> Price | LinearPrice | None:
    """Return the price of a model.

    Args:
        provider: Name of the provider that was called; None if it is not known.
        model: Name of the model, as a program states it.
        period: Half hours since 1970; the price of that time applies.

    Returns:
        The price; None if the model is not known, or has no price per token.

    Raises:
        PricesNotLoaded: The library is not loaded, and the table does not have the price.
    """
    return (_find_in_library if _is_loaded else _find_in_table)(provider, model, period)


@lru_cache(maxsize=4_096)
def _find_in_library(provider: str | None, model: str, period: int) -> Price | None:
    reference = resolve(provider, model)
    found = None if reference is None else _find_model(reference, _library_providers())
    if reference is None or found is None:
        return None
    price = Price(found.get_prices(datetime.fromtimestamp(period * _PERIOD_SECONDS, UTC)))
    return price if _is_known(price, reference) else None


@lru_cache(maxsize=4_096)
def _find_in_table(provider: str | None, model: str, period: int) -> LinearPrice | None:
    reference = resolve(provider, model)
    if reference is None:
        return None
    with _load_lock:  # the first use may import modules of the standard library
        table = load_table()
    found = _find_model(reference, table.providers)
    if found is None:
        return None
    price = table.find_price(found, period)
    return price if _is_known(price, reference) else None


def _is_known(price: Price | LinearPrice, reference: ModelReference) -> bool:
    # An empty price is that of a model whose price is not known, unless its name says that it is free.
    return price.is_per_token or (price.is_empty and reference.name.endswith(":free"))


def _library_providers() -> "Sequence[_Provider[ModelInfo]]":
    # Imported here because the import is slow (see load_prices) and not every program needs it.
    from genai_prices.data_snapshot import get_snapshot

    return get_snapshot().providers


M = TypeVar("M", bound="_Model")
M_co = TypeVar("M_co", bound="_Model", covariant=True)


class _Match(Protocol):
    def is_match(self, name: str, /) -> bool: ...


class _Model(Protocol):
    @property
    def prices(self) -> Any: ...


class _Provider(Protocol[M_co]):
    """Price list of a provider: the interface that the lists of the library and of the table share."""

    @property
    def id(self) -> str: ...
    @property
    def model_match(self) -> _Match | None: ...
    def find_model(self, name: str, /, *, all_providers: Any) -> M_co | None: ...


def _find_model(reference: ModelReference, providers: "Sequence[_Provider[M]]") -> M | None:
    # The library's own lookup is not used because it caches every name without a limit.
    if reference.provider is not None:
        provider = next((provider for provider in providers if provider.id == reference.provider), None)
        if provider is None:
            return None
        for name in (reference.name, *(f"{reference.name}{version}" for version in _VERSIONS.get(provider.id, ()))):
            if (model := provider.find_model(name, all_providers=providers)) is not None:
                return model
        return None
    return _find_by_name(reference.name, providers)


def _find_by_name(name: str, providers: "Sequence[_Provider[M]]") -> M | None:
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
