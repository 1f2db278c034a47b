"""Cost of a run: the model that the provider's response names, at the model's price at that time.

A run without a model or without tokens, or of a model without a known price, is unpriced; its cost is None, never zero.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from operator import mul
from typing import TYPE_CHECKING

import msgspec

from xpander_server.clock import HOUR

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, Provider

NANODOLLARS = 1_000_000_000
"""Nano-dollars in one dollar."""

MAX_COST = 2**63 - 1
_MAX_MODEL_LENGTH = 255
_MILLION = 1_000_000


_NULL = msgspec.Raw(b"null")


class _ModelFields(msgspec.Struct):
    """Fields in which providers name the model of a response, in order of precedence."""

    model: msgspec.Raw = _NULL
    modelVersion: msgspec.Raw = _NULL  # noqa: N815 - the provider's spelling
    model_version: msgspec.Raw = _NULL
    model_name: msgspec.Raw = _NULL


_model_fields_decoder = msgspec.json.Decoder(_ModelFields)
_items_decoder = msgspec.json.Decoder(list[msgspec.Raw])


def parse_model(llm_response: str | None) -> str | None:
    """Return the name of the model that a provider's response names.

    Args:
        llm_response: JSON text of one response or of a list of responses.

    Returns:
        The name. None if no response names a model, or if the responses of a list name different models, because the
        run's tokens are not known by model.
    """
    if not llm_response:
        return None
    kind = llm_response.lstrip()[:1]
    if kind == "{":
        return _parse_one(llm_response)
    if kind == "[":
        items = (bytes(item) for item in _items_decoder.decode(llm_response))
        names = {_parse_one(item) for item in items if item.startswith(b"{")} - {None}
        return names.pop() if len(names) == 1 else None
    return None


def _parse_one(response: str | bytes) -> str | None:
    fields = _model_fields_decoder.decode(response)
    for raw in (fields.model, fields.modelVersion, fields.model_version, fields.model_name):
        if raw is not _NULL and (text := bytes(raw)).startswith(b'"'):
            name: str = msgspec.json.decode(text)
            if 0 < len(name) <= _MAX_MODEL_LENGTH and name.isprintable():
                return name
    return None


def compute_cost(model: str | None, tokens: Mapping[str, int] | None, at: int) -> int | None:
    """Return the cost of a run in nano-dollars.

    Args:
        model: The model's name.
        tokens: Token counts by kind.
        at: The time of the run, in microseconds since 1970; the price of that time applies.

    Returns:
        The cost; None if the price is not known, there are no tokens, or the cost exceeds `MAX_COST`.
    """
    if model is None or tokens is None:
        return None
    completion, prompt = max(0, tokens["completion_tokens"]), max(0, tokens["prompt_tokens"])
    cache_read, cache_write = max(0, tokens["cache_read_tokens"]), max(0, tokens["cache_write_tokens"])
    if completion + prompt + cache_read + cache_write == 0:
        return None
    # Anthropic's prompt tokens exclude cached tokens; those of other providers include them.
    if "claude" in model or cache_read + cache_write > prompt:
        prompt += cache_read + cache_write
    price = _find_price(model, at // HOUR)
    if price is None:
        return None
    cost = price.compute(prompt, completion, cache_read, cache_write)
    return cost if cost is not None and cost <= MAX_COST else None


def load_prices() -> None:
    """Load the price data, which takes a third of a second, so that the first report does not have to wait for it."""
    _find_model("")


class _Price:
    """Price of one model at one time."""

    def __init__(self, model: "ModelInfo", provider: "Provider", at: datetime) -> None:
        from genai_prices.types import TieredPrices

        self._model = model
        self._provider = provider
        self._at = at
        self._rates: tuple[int, ...] | None = None
        if not any(isinstance(value, TieredPrices) for value in vars(model.get_prices(at)).values()):
            # A flat price is linear: the library's prices of a million tokens of each kind give four rates, and
            # multiplying with them is much faster than a call of the library.
            usages = ((_MILLION, 0, 0, 0), (0, _MILLION, 0, 0), (_MILLION, 0, _MILLION, 0), (_MILLION, 0, 0, _MILLION))
            prices = [self._calculate(*usage) for usage in usages]
            rates = [round(price * NANODOLLARS) for price in prices if price is not None]
            if len(rates) == len(usages):
                uncached, completion, cache_read, cache_write = rates
                self._rates = (uncached, completion, cache_read - uncached, cache_write - uncached)

    def compute(self, *usage: int) -> int | None:
        """Return the cost in nano-dollars.

        Args:
            *usage: Prompt tokens (including cached tokens), completion tokens, cache read tokens, cache write tokens.

        Returns:
            The cost; None if the price of one of the kinds is not known.
        """
        if self._rates is not None:
            millionths: int = sum(map(mul, self._rates, usage))
            return (millionths + _MILLION // 2) // _MILLION
        price = self._calculate(*usage)
        return None if price is None else round(price * NANODOLLARS)

    def _calculate(self, prompt: int, completion: int, cache_read: int, cache_write: int) -> Decimal | None:
        from genai_prices import Usage

        usage = Usage(
            input_tokens=prompt,
            output_tokens=completion,
            cache_read_tokens=cache_read,
            cache_write_tokens=cache_write,
        )
        try:
            return self._model.calc_price(usage, self._provider, genai_request_timestamp=self._at).total_price
        except ValueError:
            return None  # the library has no price for one of the kinds


@lru_cache(maxsize=4_096)
def _find_price(model: str, hour: int) -> _Price | None:
    model_and_provider = _find_model(model)
    return model_and_provider and _Price(*model_and_provider, datetime.fromtimestamp(hour * 3_600, UTC))


@lru_cache(maxsize=4_096)
def _find_model(name: str) -> "tuple[ModelInfo, Provider] | None":
    # Imported here because the import is slow (see load_prices) and not every program needs prices. The library's own
    # lookup is not used because it caches every name without a limit.
    from genai_prices.data_snapshot import get_snapshot

    providers = get_snapshot().providers
    reference = name.lower().removeprefix("models/")
    for provider in providers:
        if provider.model_match is not None and provider.model_match.is_match(reference):
            model = provider.find_model(reference, all_providers=providers)
            return (model, provider) if model else None
    return None
