from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xpander_sdk.client.retry_budget import parse_retry_after
from xpander_sdk.settings.retry import RetryPolicy

POLICY = RetryPolicy(attempts=4, first_delay=0.25, max_delay=1.0, max_retry_after=20.0)


def delay(attempts: int, asked: float | None = None, remaining: float = 60.0, drawn: float = 1.0) -> float | None:
    return POLICY.delay(attempts, asked, remaining, lambda: drawn)


def test_the_wait_doubles_up_to_its_bound():
    assert [delay(attempts) for attempts in (1, 2, 3)] == [0.25, 0.5, 1.0]
    assert RetryPolicy(attempts=99, max_delay=1.0).delay(50, None, 60.0, lambda: 1.0) == 1.0


def test_all_of_the_wait_is_drawn():
    assert (delay(2, drawn=0.0), delay(2, drawn=0.5)) == (0.0, 0.25)


def test_the_last_attempt_is_followed_by_none():
    assert delay(4) is None


def test_a_wait_that_the_deadline_does_not_allow_is_not_begun():
    assert delay(1, remaining=0.2) is None


def test_what_the_backend_asks_for_is_waited_out():
    assert delay(1, asked=7.0, drawn=0.0) == 7.0


def test_a_backend_that_asks_for_too_much_is_not_waited_for():
    assert delay(1, asked=21.0) is None


@given(st.integers(1, 10_000), st.none() | st.floats(0, 1e9), st.floats(0, 1e6), st.floats(0, 1))
def test_no_wait_is_negative_or_goes_beyond_what_remains(attempts, asked, remaining, drawn):
    wait = RetryPolicy(attempts=10_001).delay(attempts, asked, remaining, lambda: drawn)
    assert wait is None or 0 <= wait < remaining


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7.0),
        ("0.5", 0.5),
        (" 3 ", 3.0),
        ("Mon, 05 Jan 2026 09:30:10 GMT", 10.0),
        ("Mon, 05 Jan 2026 09:29:00 GMT", 0.0),
        ("Monday, 05-Jan-26 09:30:10 GMT", 10.0),
        ("soon", None),
        ("Mon, 01 Jan 99999999999 00:00:00 GMT", None),
        ("", None),
        ("-1", None),
        ("１", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(value, seconds):
    assert parse_retry_after({"retry-after": value}, now=datetime(2026, 1, 5, 9, 30, tzinfo=UTC)) == seconds


def test_an_absent_retry_after_asks_for_nothing():
    assert parse_retry_after({}) is None
