"""Compact table of the prices of genai-prices, for programs that have not loaded the library.

The import of the library takes longer than the rest of most first reports, because it brings pydantic and an HTTP
client. price_table.json has the names of all models and the rates of all prices that are linear in the numbers of
tokens. Everything else raises `PricesNotLoaded`, and `price_list` decides with the library. `make prices` writes the
table; a test compares it with the library, and the prices of all models in both.
"""

import re
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from functools import cache
from importlib.metadata import version
from operator import mul
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

FILE = Path(__file__).with_name("price_table.json")
BASIC_KINDS = ("prompt_tokens", "completion_tokens", "cache_read_tokens", "cache_write_tokens")
"""Kinds of tokens that have a rate; the other kinds are parts of them."""

_MILLION = 1_000_000
_MATCHES: dict[str, Callable[[str, str], bool]] = {
    "equals": str.__eq__,
    "starts_with": str.startswith,
    "ends_with": str.endswith,
    "contains": str.__contains__,
}
_COMPACT_DATE = re.compile(r"-(20\d{2})(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])(?=-|:|$)")


class PricesNotLoaded(Exception):
    """The table does not have the price: `load_prices` must be called before."""


class Clause(Struct, array_like=True):
    """Condition for the name of a model, in lower case."""

    kind: Literal["equals", "starts_with", "ends_with", "contains", "regex", "or", "and"]
    operand: "str | list[Clause]"

    def is_match(self, name: str) -> bool:
        """Return whether the name meets the condition."""
        if isinstance(self.operand, list):
            matches = (clause.is_match(name) for clause in self.operand)
            return any(matches) if self.kind == "or" else all(matches)
        if self.kind == "regex":
            return re.search(self.operand, name) is not None
        return _MATCHES[self.kind](name, self.operand)


class Model(Struct, array_like=True):
    """Model of a provider's list. `prices` is a position in `PriceTable.prices`."""

    match: Clause
    prices: int


class Provider(Struct):
    """Price list of a provider, with the interface that `price_list` uses of the library's class."""

    id: str
    model_match: Clause | None
    fallback_model_providers: list[str]
    models: list[Model]

    def find_model(self, name: str, *, all_providers: "Sequence[Provider]") -> Model | None:
        """Return the model with a name in this list, or in those of the fallback providers."""
        model = self._match_model(name, all_providers)
        if model is None and (dashed := _COMPACT_DATE.sub(_with_dashes, name)) != name:
            model = self._match_model(dashed, all_providers)
        return model

    def _match_model(self, name: str, all_providers: "Sequence[Provider]") -> Model | None:
        fallbacks = (
            provider
            for fallback in self.fallback_model_providers
            for provider in all_providers
            if provider.id == fallback
        )
        for provider in (self, *fallbacks):
            for model in provider.models:
                if model.match.is_match(name):
                    return model
        return None


class LinearPrice(Struct, array_like=True):
    """Price of a model at one time, with the interface of `price_list.Price`.

    Attributes:
        is_per_token: Whether tokens have a price.
        is_empty: Whether nothing has a price.
        starts: Numbers of prompt tokens above which the rates of the next tier apply.
        rates: For each tier the nano-dollars of a million tokens of each basic kind.
        own_kinds: Further kinds of tokens that have a price of their own.
    """

    is_per_token: bool
    is_empty: bool
    starts: list[int]
    rates: list[tuple[int, int, int, int]]
    own_kinds: list[str]

    def compute(self, tokens: Mapping[str, int]) -> int:
        """Return the cost in nano-dollars. The prompt tokens include the cached tokens.

        Raises:
            PricesNotLoaded: The cost does not depend on the rates alone.
        """
        basic = [tokens.get(kind, 0) for kind in BASIC_KINDS]
        prompt, _, cache_read, cache_write = basic
        if cache_read + cache_write > prompt or any(tokens.get(kind) for kind in self.own_kinds):
            raise PricesNotLoaded
        return apply_rates(self.rates[bisect_left(self.starts, prompt)], basic)


class PriceTable(Struct):
    """The table.

    Attributes:
        version: Version of genai-prices that the table was made from.
        providers: The lists, in the order of the library.
        prices: The prices over time: when each begins, in half hours since 1970, and the price; None if only the
            library can compute it. Models with equal prices have the same position.
    """

    version: str
    providers: list[Provider]
    prices: list[list[tuple[int, LinearPrice | None]]]

    def find_price(self, model: Model, period: int) -> LinearPrice:
        """Return the price of a model in a half hour.

        Raises:
            PricesNotLoaded: The price is not linear.
        """
        history = self.prices[model.prices]
        price = next((price for start, price in reversed(history) if start <= period), history[0][1])
        if price is None:
            raise PricesNotLoaded
        return price


@cache
def load_table() -> PriceTable:
    """Return the table.

    Raises:
        PricesNotLoaded: Another version of genai-prices is installed.
    """
    table = msgspec.json.decode(FILE.read_bytes(), type=PriceTable)
    if table.version != version("genai-prices"):
        raise PricesNotLoaded
    return table


def apply_rates(rates: Sequence[int], counts: Sequence[int]) -> int:
    """Return the cost in nano-dollars of counts of tokens by basic kind, rounded half up."""
    millionths: int = sum(map(mul, rates, counts))
    return (millionths + _MILLION // 2) // _MILLION


def _with_dashes(match: re.Match[str]) -> str:
    """Return the date -20251211 as -2025-12-11; unchanged if there is no such day."""
    year, month, day = match.groups()
    try:
        date(int(year), int(month), int(day))
    except ValueError:
        return match[0]
    return f"-{year}-{month}-{day}"
