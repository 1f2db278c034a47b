"""Compact table of the prices of genai-prices, which `make prices` writes into the server's package.

A test compares the file with the installed version of the library, which requirements/dev.txt pins.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec
from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import ModelInfo, ModelPrice, TimeOfDateConstraint
from genai_prices.units import _get_registry

from xpander_server.domain.pricing.price_list import _PERIOD_SECONDS, _UNITS, Price
from xpander_server.domain.pricing.price_table import (
    FILE,
    Clause,
    LinearPrice,
    Model,
    PriceTable,
    Provider,
)

History = list[tuple[int, LinearPrice | None]]


class _Prices:
    """Histories without repetition: models with equal prices share one."""

    def __init__(self) -> None:
        self.histories: list[History] = []
        self._positions: dict[bytes, list[tuple[Any, int]]] = {}

    def position(self, model: ModelInfo) -> int:
        history = price_history(model)
        # Equal prices have equal histories; different prices may have equal ones too.
        candidates = self._positions.setdefault(msgspec.json.encode(history), [])
        for prices, position in candidates:
            if prices == model.prices:
                return position
        candidates.append((model.prices, len(self.histories)))
        self.histories.append(history)
        return candidates[-1][1]


def price_history(model: ModelInfo) -> History:
    """Return the prices of a model over time, as `PriceTable.prices` has them."""
    if isinstance(model.prices, ModelPrice):
        return [(0, linear_price(Price(model.prices)))]
    constraints = [price.constraint for price in model.prices if price.constraint is not None]
    if any(isinstance(constraint, TimeOfDateConstraint) for constraint in constraints):
        return [(0, None)]
    midnights = (datetime.combine(constraint.start_date, time(), UTC) for constraint in constraints)
    starts = sorted({datetime.fromtimestamp(0, UTC), *midnights})
    return [
        (int(start.timestamp()) // _PERIOD_SECONDS, linear_price(Price(model.get_prices(start)))) for start in starts
    ]


def linear_price(price: Price) -> LinearPrice | None:
    """Return a price by its rates; None if it is not linear."""
    rates = [price._find_rates(prompt) for prompt in (0, *(start + 1 for start in price._starts))]
    if None in rates:
        return None
    kinds = {*_UNITS, *_get_registry().units} - {*_UNITS.values()}
    own_kinds = sorted(kind for kind in kinds if price._has_own_price(kind))
    return LinearPrice(price.is_per_token, price.is_empty, price._starts, rates, own_kinds)


def clause(match: Any) -> Clause:
    """Return a clause of the library in the form of the table."""
    ((kind, operand),) = vars(match).items()
    if isinstance(operand, list):
        return Clause(kind.rstrip("_"), [clause(part) for part in operand])
    return Clause(kind, operand if kind == "regex" else operand.lower())


def build() -> PriceTable:
    """Return the table of the installed library."""
    prices = _Prices()
    providers = [
        Provider(
            provider.id,
            None if provider.model_match is None else clause(provider.model_match),
            provider.fallback_model_providers or [],
            [Model(clause(model.match), prices.position(model)) for model in provider.models],
        )
        for provider in get_snapshot().providers
    ]
    return PriceTable(version("genai-prices"), providers, prices.histories)


def encode(table: PriceTable) -> str:
    """Return the text of the file: a line for each model and each price, so that changes are easy to review."""
    return "".join(_lines(table))


def _lines(table: PriceTable) -> Iterator[str]:
    yield f'{{"version": {_json(table.version)}, "providers": ['
    for number, provider in enumerate(table.providers):
        members = {name: getattr(provider, name) for name in ("id", "model_match", "fallback_model_providers")}
        yield f'{"," if number else ""}\n{_json(members)[:-1]},"models":[\n'
        yield ",\n".join(map(_json, provider.models))
        yield "]}"
    yield '\n], "prices": [\n'
    yield ",\n".join(map(_json, table.prices))
    yield "\n]}\n"


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


if __name__ == "__main__":
    FILE.write_text(encode(build()), "utf-8")
    print(FILE.relative_to(Path.cwd()))
