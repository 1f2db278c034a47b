"""Rates and token buckets."""

import pytest

from xpander_server.auth import rate_limit
from xpander_server.auth.rate_limit import Rate, RateLimiter


@pytest.fixture
def seconds():
    return [0.0]


def new_limiter(rate: str, seconds: list[float]) -> RateLimiter:
    return RateLimiter(Rate.parse(rate), lambda: seconds[0])


@pytest.mark.parametrize(
    ("text", "rate"), [("100/s", Rate(100, 1)), ("600/m", Rate(600, 60)), ("5000/h", Rate(5_000, 3_600))]
)
def test_rate_is_parsed(text, rate):
    assert Rate.parse(text) == rate


@pytest.mark.parametrize("text", ["", "100", "0/s", "-1/s", "1.5/s", "1/d", "1/s ", "１/s", "9" * 10 + "/s", "1 / s"])
def test_invalid_rate_is_rejected(text):
    with pytest.raises(ValueError, match="must have the form 100/s"):
        Rate.parse(text)


def test_full_bucket_allows_a_burst_and_refills_continuously(seconds):
    rate_limiter = new_limiter("4/s", seconds)
    assert [rate_limiter.take("a").retry_after for _ in range(5)] == [0, 0, 0, 0, 1]
    seconds[0] += 0.25
    assert [rate_limiter.take("a").retry_after for _ in range(2)] == [0, 1]


def test_headers_report_the_remaining_tokens(seconds):
    rate_limiter = new_limiter("60/m", seconds)
    assert rate_limiter.take("a").headers == {
        "X-RateLimit-Limit": "60",
        "X-RateLimit-Remaining": "59",
        "X-RateLimit-Reset": "1",
    }
    for _ in range(59):
        rate_limiter.take("a")
    headers = rate_limiter.take("a").headers
    assert (headers["X-RateLimit-Remaining"], headers["X-RateLimit-Reset"], headers["Retry-After"]) == ("0", "60", "1")


def test_use_is_allowed_after_retry_after(seconds):
    rate_limiter = new_limiter("2/m", seconds)
    for _ in range(2):
        rate_limiter.take("a")
    seconds[0] += rate_limiter.take("a").retry_after
    assert rate_limiter.take("a").retry_after == 0


def test_pause_does_not_exceed_the_capacity(seconds):
    rate_limiter = new_limiter("2/s", seconds)
    rate_limiter.take("a")
    seconds[0] += 1_000
    assert [rate_limiter.take("a").retry_after for _ in range(3)] == [0, 0, 1]


def test_each_name_has_its_own_bucket(seconds):
    rate_limiter = new_limiter("1/s", seconds)
    assert [rate_limiter.take(name).retry_after for name in ("a", "b", "a")] == [0, 0, 1]


def test_count_of_zero_takes_no_token(seconds):
    rate_limiter = new_limiter("1/s", seconds)
    assert [rate_limiter.take("a", count).retry_after for count in (0, 0, 1, 0)] == [0, 0, 0, 1]


def test_least_recently_used_buckets_are_removed(seconds, monkeypatch):
    monkeypatch.setattr(rate_limit, "MAX_BUCKETS", 2)
    rate_limiter = new_limiter("1/h", seconds)
    for name in ("a", "b", "a", "c"):
        rate_limiter.take(name)
    # A removed bucket is full when it is used again.
    assert [rate_limiter.take(name).retry_after > 0 for name in ("a", "c", "b")] == [True, True, False]


def test_bucket_of_a_longer_period_refills_at_its_rate(seconds):
    rate_limiter = new_limiter("60/m", seconds)
    rate_limiter.take("a", 60)
    seconds[0] += 2.5
    assert [rate_limiter.take("a").retry_after for _ in range(3)] == [0, 0, 1]
    assert rate_limiter.take("a", 10).retry_after == 10


def test_returned_tokens_are_put_back_before_the_use(seconds):
    rate_limiter = new_limiter("2/h", seconds)
    rate_limiter.take("a", 2)
    assert [rate_limiter.take("a", returned=returned).retry_after for returned in (1, 0)] == [0, 1_800]


def test_use_of_more_than_the_capacity_delays_the_next_ones(seconds):
    rate_limiter = new_limiter("4/m", seconds)
    large = rate_limiter.take("a", 10)
    assert (large.retry_after, large.remaining, large.reset) == (0, 0, 150)
    assert rate_limiter.take("a").retry_after == 105
    seconds[0] += 105
    assert rate_limiter.take("a").retry_after == 0


def test_use_of_more_than_the_capacity_waits_for_a_full_bucket(seconds):
    rate_limiter = new_limiter("4/m", seconds)
    rate_limiter.take("a")
    assert rate_limiter.take("a", 10).retry_after == 15
