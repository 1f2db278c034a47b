"""The compact table of prices has the prices of the library."""

from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache
from typing import Any

import pytest
from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import ModelInfo
from hypothesis import given
from hypothesis import strategies as st

from store.price_table import build, clause, encode, price_history
from xpander_server.domain.pricing import price_table
from xpander_server.domain.pricing.model_names import ModelReference
from xpander_server.domain.pricing.price_list import _PERIOD_SECONDS, PERIOD, Price, _find_in_table, _find_model
from xpander_server.domain.pricing.price_table import FILE, Model, PricesNotLoaded, PriceTable, load_table

NOW = round(datetime(2026, 11, 1, 12, tzinfo=UTC).timestamp()) * 1_000_000 // PERIOD
PROVIDERS = [provider.id for provider in get_snapshot().providers]
COUNTS = [
    {"prompt_tokens": 1_000, "completion_tokens": 100},
    {"prompt_tokens": 1},
    {"completion_tokens": 1},
    {"prompt_tokens": 1_000, "cache_read_tokens": 900},
    {"prompt_tokens": 1_000, "cache_write_tokens": 33, "cache_read_tokens": 700, "completion_tokens": 7},
    {"prompt_tokens": 1_000, "cache_read_tokens": 1_001},
    {"prompt_tokens": 1_000, "completion_tokens": 90, "reasoning_tokens": 50},
    {"prompt_tokens": 1_000, "completion_tokens": 90, "input_audio_tokens": 20},
]


def test_table_is_that_of_the_installed_library():
    assert FILE.read_text("utf-8") == encode(build()), "run `make prices`"


def _names(match: Any) -> Iterator[str]:
    """Yield a name that meets each part of a condition of the library, as far as one can be derived from it."""
    ((kind, operand),) = vars(match).items()
    if isinstance(operand, list):
        for part in operand:
            yield from _names(part)
    elif kind == "regex":
        yield operand.strip("^$").replace(r"\d{8}", "20260102").replace("\\", "")
    else:
        yield operand.lower()
        if kind != "equals":
            yield f"{operand.lower()}-20260102"


@cache
def _positions() -> dict[int, int]:
    """Return the position of the prices of each model of the library, by the id of the model."""
    pairs = zip(get_snapshot().providers, load_table().providers, strict=True)
    models = (pair for library, table in pairs for pair in zip(library.models, table.models, strict=True))
    return {id(of_library): of_table.prices for of_library, of_table in models}


def _assert_same_prices(reference: ModelReference) -> None:
    expected = _find_model(reference, get_snapshot().providers)
    model = _find_model(reference, load_table().providers)
    assert (model and model.prices) == (expected and _positions()[id(expected)]), reference


@pytest.mark.parametrize("provider", PROVIDERS)
def test_table_has_the_names_of_all_models(provider):
    models = next(one for one in get_snapshot().providers if one.id == provider).models
    for name in {name for model in models for name in (model.id.lower(), *_names(model.match))}:
        _assert_same_prices(ModelReference(provider, name))
        _assert_same_prices(ModelReference(None, name))


@pytest.mark.parametrize("provider", PROVIDERS)
def test_table_has_the_prices_of_all_models(provider):
    models = next(one for one in get_snapshot().providers if one.id == provider).models
    for model in {_positions()[id(model)]: model for model in models}.values():
        for start, price in price_history(model):
            for period in (start, NOW) if price is not None and start <= NOW else ():
                _assert_same_costs(model, period)


def _assert_same_costs(model: ModelInfo, period: int) -> None:
    library = Price(model.get_prices(datetime.fromtimestamp(period * _PERIOD_SECONDS, UTC)))
    price = load_table().find_price(Model(clause(model.match), _positions()[id(model)]), period)
    prompts = [start + more for start in price.starts for more in (0, 1)]
    for count in [*COUNTS, *({"prompt_tokens": prompt, "completion_tokens": 9} for prompt in prompts)]:
        with suppress(PricesNotLoaded):
            assert price.compute(count) == library.compute(count), (model.id, period, count)


@pytest.mark.parametrize("name", ["gpt-4o", "gpt-5", "o3", "claude-sonnet-4-5-20250929", "gemini-2.5-pro", "grok-4"])
def test_most_calls_of_frequent_models_need_no_library(name):
    price = _find_in_table(None, name, NOW)
    assert price is not None
    assert all(price.compute(count) for count in COUNTS[:5])


@pytest.mark.parametrize("count", [COUNTS[5], {"prompt_tokens": 1_000, "input_audio_tokens": 20}])
def test_library_computes_contradictory_counts_and_tokens_with_a_price_of_their_own(count):
    price = _find_in_table(None, "gpt-audio", NOW)
    assert price is not None
    with pytest.raises(PricesNotLoaded):
        price.compute(count)


def test_library_computes_prices_that_depend_on_the_time_of_day():
    model = next(model for model in load_table().providers[0].models)
    table = PriceTable("1", [], [[(0, None)]])
    with pytest.raises(PricesNotLoaded):
        table.find_price(Model(model.match, 0), NOW)


_PARTS = st.sampled_from(
    [
        "claude",
        "gpt",
        "4o",
        "5",
        "sonnet",
        "mini",
        "o3",
        "gemini",
        "llama-3.1",
        "70b",
        "latest",
        "deepseek",
        "qwen",
        "openai",
        "bedrock",
        "anthropic.",
        "us.",
        "v1",
        "-v1:0",
        "20251211",
        "20251399",
        ":free",
        "-",
        ".",
        "/",
        "@",
    ]
)


@given(
    provider=st.sampled_from([None, *PROVIDERS]),
    name=st.lists(_PARTS, min_size=1, max_size=8).map("".join),
)
def test_table_knows_the_same_names(provider, name):
    _assert_same_prices(ModelReference(provider, name))


def test_table_of_another_version_of_the_library_is_not_used(monkeypatch):
    monkeypatch.setattr(price_table, "version", lambda name: "0.0")
    price_table.load_table.cache_clear()
    _find_in_table.cache_clear()
    with pytest.raises(PricesNotLoaded):
        _find_in_table(None, "gpt-4o", NOW)
    price_table.load_table.cache_clear()
