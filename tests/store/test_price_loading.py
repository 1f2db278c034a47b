"""Loading of the price list: before the transaction that needs it, which PostgreSQL ends if it is idle for long."""

import pytest
from genai_prices import data_snapshot

from store.reports import submission
from xpander_server.domain.pricing import OwnPrice, price_list


@pytest.fixture
def events(store, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the order in which the store begins transactions that write, and uses the price list at first."""
    events: list[str] = []
    begin, get_snapshot = store._database._backend.begin, data_snapshot.get_snapshot

    def record_begin(connection, *, writes, limits):
        if writes:
            events.append("begin")
        begin(connection, writes=writes, limits=limits)

    def record_load():
        if "load" not in events:
            events.append("load")
        return get_snapshot()

    monkeypatch.setattr(store._database._backend, "begin", record_begin)
    monkeypatch.setattr(data_snapshot, "get_snapshot", record_load)
    price_list.load_prices.cache_clear()
    price_list.find_price.cache_clear()
    return events


@pytest.mark.parametrize(
    "report",
    [
        {"llm_response": '{"model": "gpt-4o", "usage": {"prompt_tokens": 9, "completion_tokens": 1}}'},
        {"calls": [{"model": "gpt-4o", "tokens": {"prompt_tokens": 9, "completion_tokens": 1}}]},
    ],
    ids=["response", "calls"],
)
def test_prices_are_loaded_before_the_transaction(store, events, report):
    assert store.report(submission(**report)).cost
    assert events == ["load", "begin"]


def test_report_of_tokens_alone_is_priced_at_the_stored_response_after_a_load(store, events):
    store.report(submission(llm_response='{"model": "gpt-4o"}'))
    events.clear()
    price_list.load_prices.cache_clear()
    assert store.report(submission(tokens={"prompt_tokens": 9, "completion_tokens": 1})).cost
    assert events == ["load", "begin"]


def test_repricing_loads_prices_before_its_transactions(store, events):
    store.own_prices.set("org", OwnPrice(model="other", prompt=1, completion=1))
    store.report(submission(llm_response='{"model": "gpt-4o"}', tokens={"prompt_tokens": 9, "completion_tokens": 1}))
    events.clear()
    price_list.load_prices.cache_clear()
    price_list.find_price.cache_clear()
    store.reprice("org", is_all=True)
    assert events[:2] == ["load", "begin"]


def test_report_without_a_cost_loads_no_prices(store, events):
    store.report(submission(result="done", duration=1.0))
    assert events == ["begin"]
