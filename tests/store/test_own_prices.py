"""Own prices of organizations, and the repricing of stored tasks."""

import json
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.reports import EXAMPLES, NOON, submission
from xpander_server.clock import DAY
from xpander_server.domain.metrics import summarize
from xpander_server.domain.pricing import OwnPrice
from xpander_server.store import Store, repricing
from xpander_server.store import own_prices as own_prices_module
from xpander_server.store.repricing import Repriced

LLAMA = OwnPrice(model="my-llama", prompt=1_000_000_000, completion=2_000_000_000)
TOKENS = {"prompt_tokens": 1_000, "completion_tokens": 100}
COST = 1_200_000
"""Nano-dollars of `TOKENS` at the price of `LLAMA`."""


def response(model: str) -> str:
    return json.dumps({"model": model})


def report(store: Store, task_id: str, model: str = "my-llama", **fields):
    return store.report(submission(task_id, llm_response=response(model), tokens=TOKENS, **fields))


def cost(store: Store, task_id: str, organization_id: str = "org") -> int | None:
    task = store.task(organization_id, task_id)
    assert task is not None
    return task.cost


def all_metrics(store: Store, *organizations: str):
    return [store.metrics(name, hours=24, top_agents=5) for name in organizations or ("org",)]


def test_own_price_applies_to_later_reports_of_its_organization(store):
    assert report(store, "before").cost is None
    store.own_prices.set("org", LLAMA)
    assert report(store, "after").cost == COST
    assert cost(store, "before") is None
    assert report(store, "other", organization_id="other").cost is None


def test_own_price_of_another_process_applies_after_a_time(store, monkeypatch):
    report(store, "before")
    store._database.write(lambda connection: _insert(connection, LLAMA))
    assert report(store, "cached").cost is None
    monkeypatch.setattr(own_prices_module, "REFRESH_SECONDS", 0.0)
    assert report(store, "refreshed").cost == COST


def _insert(connection, price):
    from attrs import asdict
    from sqlalchemy import insert

    from xpander_server.store.schema.tables import own_prices

    connection.execute(insert(own_prices).values(organization_id="org", **asdict(price)))


def test_prices_are_listed_replaced_and_removed(store):
    of_groq = OwnPrice(provider="groq", model="my-llama", prompt=5, completion=6, cache_read=7, cache_write=8)
    for price in (of_groq, LLAMA, OwnPrice(model="my-llama", prompt=3, completion=4)):
        store.own_prices.set("org", price)
    assert store.own_prices.list_prices("org") == [OwnPrice(model="my-llama", prompt=3, completion=4), of_groq]
    assert store.own_prices.list_prices("other") == []
    store.own_prices.remove("org", "groq", "my-llama")
    assert [price.provider for price in store.own_prices.list_prices("org")] == [""]
    with pytest.raises(LookupError, match="the organization 'org' has no price for 'my-llama' of the provider 'groq'"):
        store.own_prices.remove("org", "groq", "my-llama")


def test_number_of_prices_is_limited(store, monkeypatch):
    monkeypatch.setattr(own_prices_module, "MAX_PRICES", 2)
    for number in (1, 2, 2):
        store.own_prices.set("org", OwnPrice(model=f"m{number}", prompt=1, completion=1))
    with pytest.raises(ValueError, match="must be at most 2"):
        store.own_prices.set("org", OwnPrice(model="m3", prompt=1, completion=1))
    store.own_prices.set("other", OwnPrice(model="m3", prompt=1, completion=1))


def test_repricing_prices_what_has_no_cost(store):
    report(store, "unpriced")
    report(store, "priced", "gpt-4o")
    store.report(submission("empty"))
    store.own_prices.set("org", LLAMA)
    store.own_prices.set("org", OwnPrice(model="gpt-4o", prompt=0, completion=0))
    assert store.reprice() == Repriced(examined=1, priced=1, changed=1)
    assert (cost(store, "unpriced"), cost(store, "priced"), cost(store, "empty")) == (COST, 3_500_000, None)
    assert store.reprice() == Repriced(examined=0, priced=0, changed=0)


def test_repricing_of_all_changes_what_has_a_cost(store):
    report(store, "priced", "gpt-4o")
    store.own_prices.set("org", OwnPrice(model="gpt-4o", prompt=0, completion=0))
    assert store.reprice(is_all=True) == Repriced(examined=1, priced=0, changed=1)
    assert cost(store, "priced") == 0
    store.own_prices.remove("org", "", "gpt-4o")
    store.reprice(model="other")
    assert cost(store, "priced") == 0
    store.reprice(model="gpt-4o")
    assert cost(store, "priced") == 3_500_000


def test_calls_are_repriced_by_their_own_models(store):
    calls = [{"model": model, "tokens": TOKENS} for model in ("gpt-4o", "my-llama")]
    task = store.report(submission("t", calls=calls))
    assert (task.cost, task.call_costs) == (None, [3_500_000, None])
    store.own_prices.set("org", LLAMA)
    assert store.reprice(model="my-llama") == Repriced(examined=1, priced=1, changed=1)
    repriced = store.task("org", "t")
    assert (repriced.cost, repriced.call_costs) == (3_500_000 + COST, [3_500_000, COST])
    metrics = all_metrics(store)
    store.rebuild_metrics()
    assert all_metrics(store) == metrics


def test_repricing_without_a_price_makes_a_task_unpriced(store):
    store.own_prices.set("org", LLAMA)
    report(store, "t")
    store.own_prices.remove("org", "", "my-llama")
    assert store.reprice(is_all=True) == Repriced(examined=1, priced=0, changed=1)
    assert cost(store, "t") is None
    assert summarize(store.metrics("org").amounts)["cost"] == {"total": None, "unpriced_runs": 1}


def test_repricing_is_limited_by_time_and_organization(store):
    report(store, "old", now=NOON - 2 * DAY)
    report(store, "new")
    report(store, "new", organization_id="other")
    for name in ("org", "other"):
        store.own_prices.set(name, LLAMA)
    assert store.reprice("org", since=NOON - DAY).changed == 1
    assert (cost(store, "old"), cost(store, "new"), cost(store, "new", "other")) == (None, COST, None)
    assert store.reprice().changed == 2


def test_dry_run_changes_nothing(store):
    report(store, "t")
    store.own_prices.set("org", LLAMA)
    before = all_metrics(store)
    assert store.reprice(is_dry_run=True) == Repriced(examined=1, priced=1, changed=1)
    assert cost(store, "t") is None
    assert all_metrics(store) == before


def test_repricing_keeps_all_other_fields(store):
    report(store, "t", result="done", is_success=True, duration=2.5)
    before = store.task("org", "t")
    store.own_prices.set("org", LLAMA)
    store.reprice()
    after = store.task("org", "t")
    assert after != before
    from attrs import evolve

    assert evolve(after, cost=None) == before
    assert after.changes == before.changes


MODELS = ("my-llama", "gpt-4o", "unheard of")
HISTORIES = st.lists(
    st.tuples(st.sampled_from("abc"), st.sampled_from(MODELS), st.integers(0, 5), st.sampled_from(["org", "other"])),
    min_size=1,
    max_size=8,
)
PRICES = st.lists(st.tuples(st.sampled_from(MODELS), st.integers(0, 10**12)), max_size=3)


@EXAMPLES
@given(history=HISTORIES, prices=PRICES, is_all=st.booleans(), chunk=st.integers(1, 3))
def test_metrics_after_a_repricing_equal_a_rebuild(store_of_example, history, prices, is_all, chunk):
    with store_of_example() as store, pytest.MonkeyPatch.context() as patch:
        patch.setattr(repricing, "CHUNK", chunk)
        numbers = count()
        for agent, model, days, organization in history:
            moment = NOON - days * DAY
            report(store, f"{next(numbers)}", model, now=moment, agent_id=agent, organization_id=organization)
        for model, amount in prices:
            store.own_prices.set("org", OwnPrice(model=model, prompt=amount, completion=amount))
        store.reprice(is_all=is_all)
        repriced = all_metrics(store, "org", "other")
        store.rebuild_metrics()
        assert all_metrics(store, "org", "other") == repriced
        assert store.reprice(is_all=is_all).changed == 0
