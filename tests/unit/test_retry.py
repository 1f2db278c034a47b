from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xpander_sdk.client.retry_budget import parse_retry_after
from xpander_sdk.settings.retry import RetryPolicy

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


def test_last_attempt_has_no_delay():
    assert delay(4) is None


def test_delay_beyond_deadline_is_refused():
    assert delay(1, remaining=0.2) is None


def test_retry_after_is_added_to_delay():
    assert delay(1, retry_after=7.0, random_number=0.0) == 7.0


def test_retry_after_beyond_maximum_is_refused():
    assert delay(1, retry_after=21.0) is None


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
        ("Mon, 05 Jan 2026 09:29:00 GMT", 0.0),
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
