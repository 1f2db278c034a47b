"""Loading of the price list: outside of a transaction, which PostgreSQL ends if it is idle for long."""

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
    monkeypatch.setattr(price_list, "_is_loaded", False)
    return events


TOKENS = {"prompt_tokens": 9, "completion_tokens": 1}
ODD_TOKENS = {**TOKENS, "cache_read_tokens": 2, "input_audio_tokens": 4}  # only the library can price them


@pytest.mark.parametrize(
    "report",
    [
        {"llm_response": '{"model": "gpt-4o", "usage": {"prompt_tokens": 9, "completion_tokens": 1}}'},
        {"calls": [{"model": "gpt-4o", "tokens": TOKENS}]},
        {"tokens": TOKENS},
    ],
    ids=["response", "calls", "tokens alone"],
)
def test_most_reports_are_priced_without_the_library(store, events, report):
    assert (store.report(submission(**report)).cost is None) is ("tokens" in report)
    assert events == ["begin"]


def test_library_is_loaded_between_two_transactions_if_it_is_needed(store, events):
    calls = [{"model": "gpt-audio", "tokens": ODD_TOKENS}]
    assert store.report(submission(calls=calls)).cost
    assert events == ["begin", "load", "begin"]


def test_report_that_needed_the_library_is_counted_once(store, events):
    store.report(submission(is_success=True, calls=[{"model": "gpt-audio", "tokens": ODD_TOKENS}]))
    assert events.count("begin") == 2
    assert store.metrics("org").amounts["completed runs"] == 1


def test_repricing_loads_prices_before_its_transactions(store, events):
    store.own_prices.set("org", OwnPrice(model="other", prompt=1, completion=1))
    store.report(submission(llm_response='{"model": "gpt-4o"}', tokens={"prompt_tokens": 9, "completion_tokens": 1}))
    events.clear()
    store.reprice("org", is_all=True)
    assert events[:2] == ["load", "begin"]


def test_report_without_a_cost_loads_no_prices(store, events):
    store.report(submission(result="done", duration=1.0))
    assert events == ["begin"]
