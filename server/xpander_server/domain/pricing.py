"""What a run cost: the model that its response names, and that model's price at the time.

What is not known stays unknown: a run without a model, without tokens, or of a model that has no price is unpriced, and
never free.
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
"""In a dollar."""

MAX_COST = 2**63 - 1
_MAX_MODEL = 255
_MILLION = 1_000_000


_NULL = msgspec.Raw(b"null")


class _Named(msgspec.Struct):
    """What providers call the model in their responses; the first that is given counts."""

    model: msgspec.Raw = _NULL
    modelVersion: msgspec.Raw = _NULL  # noqa: N815 - as they write it
    model_version: msgspec.Raw = _NULL
    model_name: msgspec.Raw = _NULL


_named = msgspec.json.Decoder(_Named)
_items = msgspec.json.Decoder(list[msgspec.Raw])


def parse_model(llm_response: str | None) -> str | None:
    """The model that a response, or each response of a list that names one, was made by.

    Args:
        llm_response: JSON text.

    Returns:
        None where none is named, or several are: the tokens of a run cannot be told apart by model.
    """
    if not llm_response:
        return None
    kind = llm_response.lstrip()[:1]
    if kind == "{":
        return _model_in(llm_response)
    if kind == "[":
        items = (bytes(item) for item in _items.decode(llm_response))
        names = {_model_in(item) for item in items if item.startswith(b"{")} - {None}
        return names.pop() if len(names) == 1 else None
    return None


def _model_in(response: str | bytes) -> str | None:
    named = _named.decode(response)
    for raw in (named.model, named.modelVersion, named.model_version, named.model_name):
        if raw is not _NULL and (text := bytes(raw)).startswith(b'"'):
            name: str = msgspec.json.decode(text)
            if 0 < len(name) <= _MAX_MODEL and name.isprintable():
                return name
    return None


def compute_cost(model: str | None, tokens: Mapping[str, int] | None, at: int) -> int | None:
    """Nano-dollars that a run cost, by the price of its model at the time `at` (microseconds since 1970); None where
    that is not known."""
    if model is None or tokens is None:
        return None
    completion, prompt = max(0, tokens["completion_tokens"]), max(0, tokens["prompt_tokens"])
    cache_read, cache_write = max(0, tokens["cache_read_tokens"]), max(0, tokens["cache_write_tokens"])
    if completion + prompt + cache_read + cache_write == 0:
        return None
    # Anthropic counts what went through a cache beside the prompt, the others within it.
    if "claude" in model or cache_read + cache_write > prompt:
        prompt += cache_read + cache_write
    price = _price(model, at // HOUR)
    if price is None:
        return None
    cost = price.of(prompt, completion, cache_read, cache_write)
    return cost if cost is not None and cost <= MAX_COST else None


def load_prices() -> None:
    """Load the prices now, which takes a third of a second, and not at the first report."""
    _model_info("")


class _Price:
    """The price of one model at one time."""

    def __init__(self, model: "ModelInfo", provider: "Provider", at: datetime) -> None:
        from genai_prices.types import TieredPrices

        self._model = model
        self._provider = provider
        self._at = at
        self._rates: tuple[int, ...] | None = None
        if not any(isinstance(value, TieredPrices) for value in vars(model.get_prices(at)).values()):
            # A flat price: what a million of each kind costs says all, and multiplying is far quicker than asking.
            probes = ((_MILLION, 0, 0, 0), (0, _MILLION, 0, 0), (_MILLION, 0, _MILLION, 0), (_MILLION, 0, 0, _MILLION))
            answers = [self._asked(*probe) for probe in probes]
            known = [round(answer * NANODOLLARS) for answer in answers if answer is not None]
            if len(known) == len(probes):
                uncached, completion, read, written = known
                self._rates = (uncached, completion, read - uncached, written - uncached)

    def of(self, *usage: int) -> int | None:
        """Nano-dollars for tokens of prompt (the cached ones included), completion, cache read, cache write."""
        if self._rates is not None:
            millionths: int = sum(map(mul, self._rates, usage))
            return (millionths + _MILLION // 2) // _MILLION
        answer = self._asked(*usage)
        return None if answer is None else round(answer * NANODOLLARS)

    def _asked(self, prompt: int, completion: int, cache_read: int, cache_write: int) -> Decimal | None:
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
            return None  # the price of one of the kinds is not known


@lru_cache(maxsize=4_096)
def _price(model: str, hour: int) -> _Price | None:
    found = _model_info(model)
    return found and _Price(*found, datetime.fromtimestamp(hour * 3_600, UTC))


@lru_cache(maxsize=4_096)
def _model_info(name: str) -> "tuple[ModelInfo, Provider] | None":
    # Imported late, for what never asks: see load_prices. Not by its own look-up, which remembers every name for ever.
    from genai_prices.data_snapshot import get_snapshot

    providers = get_snapshot().providers
    reference = name.lower().removeprefix("models/")
    for provider in providers:
        if provider.model_match is not None and provider.model_match.is_match(reference):
            model = provider.find_model(reference, all_providers=providers)
            return (model, provider) if model else None
    return None
