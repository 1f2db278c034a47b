import inspect
import re
from datetime import UTC, datetime

import pytest
from attrs import fields
from attrs.exceptions import FrozenInstanceError
from hypothesis import given
from hypothesis import strategies as st

from xpander_sdk.client.retry_budget import RetryBudget, parse_retry_after
from xpander_sdk.settings.retry import RETRIED_STATUSES, RetryPolicy, Timeouts

POLICY = RetryPolicy(attempts=4, first_delay=0.25, max_delay=1.0, max_retry_after=20.0)


def delay(
    attempts: int, retry_after: float | None = None, remaining: float = 60.0, random_number: float = 1.0
) -> float | None:
    return POLICY.delay(attempts, retry_after, remaining, lambda: random_number)


def test_delay_doubles_up_to_maximum():
    assert [delay(attempts) for attempts in (1, 2, 3)] == [0.25, 0.5, 1.0]
    assert RetryPolicy(attempts=99, max_delay=1.0).delay(50, None, 60.0, lambda: 1.0) == 1.0


def test_delay_has_full_jitter():
    assert (delay(2, random_number=0.0), delay(2, random_number=0.5)) == (0.0, 0.25)


def test_delay_stays_at_maximum_however_many_attempts_have_failed():
    policy = RetryPolicy(attempts=100_000, max_delay=3.0)
    assert [policy.delay(attempts, None, 60.0, lambda: 1.0) for attempts in (6, 1_000, 99_999)] == [3.0, 3.0, 3.0]


def test_last_attempt_has_no_delay():
    assert [delay(attempts) for attempts in (4, 5)] == [None, None]


@pytest.mark.parametrize(("remaining", "seconds"), [(0.2, None), (0.25, None), (0.26, 0.25)])
def test_delay_ends_before_the_deadline_or_is_refused(remaining, seconds):
    assert delay(1, remaining=remaining) == seconds


def test_retry_after_is_added_to_delay():
    assert delay(1, retry_after=7.0, random_number=0.0) == 7.0


def test_retry_after_beyond_maximum_is_refused():
    assert delay(1, retry_after=20.0, random_number=0.0) == 20.0
    assert delay(1, retry_after=20.1, random_number=0.0) is None


@pytest.mark.parametrize("settings", [Timeouts, RetryPolicy])
def test_defaults_are_those_that_the_docstring_states(settings):
    text = inspect.getdoc(settings) or ""
    stated = re.findall(r"^    (\w+): (?:(?!^    \w+:).)*?Default ([0-9.]+)\.$", text, re.M | re.S)
    defaults = {name: getattr(settings(), name) for name in (field.name for field in fields(settings))}
    assert {name: float(value) for name, value in stated} == defaults


@pytest.mark.parametrize("name", ["first_delay", "max_delay", "max_retry_after", "budget"])
def test_delays_and_budget_may_be_zero_but_not_below(name):
    assert getattr(RetryPolicy(**{name: 0}), name) == 0
    with pytest.raises(ValueError, match=f"{name} must be a number of at least 0, got -0.5"):
        RetryPolicy(**{name: -0.5})  # type: ignore[arg-type]


@pytest.mark.parametrize(("settings", "name"), [(Timeouts, "connect"), (Timeouts, "read"), (Timeouts, "total")])
def test_timeouts_must_be_above_zero(settings, name):
    assert getattr(settings(**{name: 0.5}), name) == 0.5
    with pytest.raises(ValueError, match=f"{name} must be a number above 0, got 0"):
        settings(**{name: 0})


@pytest.mark.parametrize(("settings", "name"), [(Timeouts(), "total"), (RetryPolicy(), "attempts")])
def test_settings_cannot_be_changed(settings, name):
    with pytest.raises(FrozenInstanceError):
        setattr(settings, name, 1)


@pytest.mark.parametrize("settings", [Timeouts, RetryPolicy])
def test_settings_are_given_by_name(settings):
    with pytest.raises(TypeError):
        settings(1)


def test_statuses_that_a_later_attempt_may_change_are_retried():
    request_timeout, too_many_requests, not_implemented, version_not_supported = 408, 429, 501, 505
    server_errors = set(range(500, 505)) - {not_implemented, version_not_supported}
    assert {request_timeout, too_many_requests, *server_errors} == RETRIED_STATUSES


def test_budget_allows_as_many_retries_as_its_capacity():
    budget = RetryBudget(3)
    assert [budget.withdraw() for _ in range(5)] == [True, True, True, False, False]


def test_ten_calls_allow_one_more_retry():
    budget = RetryBudget(1)
    budget.withdraw()
    for _ in range(9):
        budget.deposit()
    assert not budget.withdraw()
    # Two more, because ten times 0.1 is less than 1 in floating-point arithmetic.
    budget.deposit()
    budget.deposit()
    assert [budget.withdraw(), budget.withdraw()] == [True, False]


def test_deposits_do_not_exceed_the_capacity():
    budget = RetryBudget(1.5)
    for _ in range(100):
        budget.deposit()
    assert [budget.withdraw(), budget.withdraw()] == [True, False]


@given(st.integers(1, 10_000), st.none() | st.floats(0, 1e9), st.floats(0, 1e6), st.floats(0, 1))
def test_delay_is_never_negative_or_beyond_deadline(attempts, retry_after, remaining, random_number):
    seconds = RetryPolicy(attempts=10_001).delay(attempts, retry_after, remaining, lambda: random_number)
    assert seconds is None or 0 <= seconds < remaining


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7.0),
        ("0.5", 0.5),
        (" 3 ", 3.0),
        ("Mon, 05 Jan 2026 09:30:10 GMT", 10.0),
        ("Mon, 05 Jan 2026 09:30:00 GMT", 0.0),
        ("Mon, 05 Jan 2026 09:29:00 GMT", 0.0),
        ("Mon, 05 Jan 2026 11:30:10 +0200", 10.0),
        ("1.2.3", None),
        (".", None),
        ("Monday, 05-Jan-26 09:30:10 GMT", 10.0),
        ("soon", None),
        ("Mon, 01 Jan 99999999999 00:00:00 GMT", None),
        ("", None),
        ("-1", None),
        ("１", None),
    ],
)
def test_retry_after_is_seconds_or_date(value, seconds):
    assert parse_retry_after({"retry-after": value}, now=datetime(2026, 1, 5, 9, 30, tzinfo=UTC)) == seconds


def test_missing_retry_after_is_none():
    assert parse_retry_after({}) is None


def test_date_of_retry_after_is_compared_with_the_clock():
    assert parse_retry_after({"retry-after": "Mon, 05 Jan 2026 09:30:10 GMT"}) == 0.0
    in_a_century = parse_retry_after({"retry-after": "Tue, 05 Jan 2126 09:30:10 GMT"})
    assert in_a_century is not None
    assert in_a_century > 10**9
