"""Failures of a view, in both stores: the newest ones are read, and the rest is stated."""

import pytest

from xpander_server.store import Submission
from xpander_server.web import failures
from xpander_server.web.failures import read_failures
from xpander_server.web.filters import PageFilters

NOW = 1_700_000_000_000_000


def view(since=None):
    return PageFilters(parameters={}, cursor=None, fields={}, since=since, until=None, last=None)


@pytest.fixture
def store_with_failures(store):
    for number in range(12):
        fields = {"is_success": number % 3 > 0, "error": f"failure {number % 2} of 'x{number}'"}
        if fields["is_success"]:
            del fields["error"]
        store.report(Submission("org", f"agent-{number % 2}", f"t{number}", fields, None, NOW + number))
    store.report(Submission("other", "agent-0", "t", {"is_success": False, "error": "other"}, None, NOW))
    return store


def test_failures_of_organization_agent_and_period_are_read(store_with_failures):
    everything = read_failures(store_with_failures, "org", None, view())
    assert (everything.count, everything.is_complete) == (4, True)
    assert [(group.pattern, group.count) for group in everything.groups] == [("failure # of …", 4)]
    assert (everything.since, everything.until) == (NOW, NOW + 9)
    assert read_failures(store_with_failures, "org", "agent-1", view()).count == 2
    assert read_failures(store_with_failures, "org", None, view(since=NOW + 5)).count == 2
    nothing = read_failures(store_with_failures, "org", "none", view())
    assert (nothing.count, nothing.groups, nothing.is_complete) == (0, [], True)


def test_only_newest_failures_are_read_and_the_page_knows(store_with_failures, monkeypatch):
    monkeypatch.setattr(failures, "MAX_FAILURES", 3)
    limited = read_failures(store_with_failures, "org", None, view())
    assert (limited.count, limited.is_complete, limited.since) == (3, False, NOW + 3)


def test_trend_has_a_bar_for_each_time_with_failures(store_with_failures):
    everything = read_failures(store_with_failures, "org", None, view())
    bars = everything.trend(everything.groups[0])
    assert len(bars) == 4
    assert {bar.height for bar in bars} == {10.0}
