"""Refused spans in the store."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xpander_server.store import Store, new_refusal
from xpander_server.store.span_refusals import LATELY, MAX_REASON, SpanRefusal

NOW = 1_800_000_000_000_000


@pytest.fixture
def store(store_url: str):
    store = Store(store_url)
    yield store
    store.close()


def refusal(spans: int = 3, reason: str = "bad", *, organization_id: str = "org", at: int = NOW) -> SpanRefusal:
    return new_refusal(organization_id, "invalid_spans", spans, reason, at)


def test_refusals_of_a_cause_are_summed_and_have_the_last_reason(store):
    store.span_refusals.add([refusal(3, "first"), new_refusal("org", "too_large", 0, "large", NOW)])
    store.span_refusals.add([refusal(4, "second", at=NOW + 5)])
    latest, other = store.span_refusals.read("org", NOW + 9)
    assert (latest.requests, latest.spans, latest.reason) == (2, 7, "second")
    assert (latest.first_at, latest.last_at) == (NOW, NOW + 5)
    assert (other.cause, other.requests, other.spans) == ("too_large", 1, 0)


def test_organizations_see_only_their_own_refusals(store):
    store.span_refusals.add([refusal(), refusal(organization_id="other")])
    assert [found.organization_id for found in store.span_refusals.read("org", NOW)] == ["org"]
    assert store.span_refusals.read("nobody", NOW) == []


def test_old_refusals_are_not_shown_and_do_not_count_later(store):
    store.span_refusals.add([refusal(100)])
    later = NOW + LATELY + 1
    assert store.span_refusals.read("org", later) == []
    store.span_refusals.add([refusal(1, at=later)])
    (found,) = store.span_refusals.read("org", later)
    assert (found.requests, found.spans, found.first_at) == (1, 1, later)


@pytest.mark.parametrize("reason", ["\x00\x1b[31m\n\u202e\ud800", "x" * 10_000, ""])
def test_any_reason_is_stored(store, reason: str):
    store.span_refusals.add([refusal(reason=reason)])
    (found,) = store.span_refusals.read("org", NOW)
    assert len(found.reason) == min(len(reason), MAX_REASON)
    assert found.reason.isprintable()


@settings(max_examples=30)
@given(st.text())
def test_reasons_are_printable_and_bounded(reason: str):
    text = refusal(reason=reason).reason
    assert text.isprintable()
    assert len(text) <= MAX_REASON


def test_sum_of_refusals_is_that_of_the_store(store):
    refusals = [refusal(number, f"reason {number}", at=NOW + number) for number in range(5)]
    total = refusals[0]
    for later in refusals[1:]:
        total = total.plus(later)
    for single in refusals:
        store.span_refusals.add([single])
    assert store.span_refusals.read("org", NOW + 9) == [total]
