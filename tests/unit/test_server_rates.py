"""Token buckets."""

import pytest

from xpander_server.auth import rate_limit
from xpander_server.auth.rate_limit import Rate, RateLimiter


@pytest.fixture
def seconds():
    return [0.0]


def limiter(rate: str, seconds: list[float]) -> RateLimiter:
    return RateLimiter(Rate.parse(rate), lambda: seconds[0])


@pytest.mark.parametrize(
    ("text", "rate"), [("100/s", Rate(100, 1)), ("600/m", Rate(600, 60)), ("5000/h", Rate(5_000, 3_600))]
)
def test_a_rate_is_a_number_and_a_unit(text, rate):
    assert Rate.parse(text) == rate


@pytest.mark.parametrize("text", ["", "100", "0/s", "-1/s", "1.5/s", "1/d", "1/s ", "１/s", "9" * 10 + "/s", "1 / s"])
def test_what_is_no_rate_is_told(text):
    with pytest.raises(ValueError, match="must have the form 100/s"):
        Rate.parse(text)


def test_as_many_as_the_rate_says_may_come_at_once_and_then_one_after_the_other(seconds):
    bucket = limiter("4/s", seconds)
    assert [bucket.take("a").retry_after for _ in range(5)] == [0, 0, 0, 0, 1]
    seconds[0] += 0.25
    assert [bucket.take("a").retry_after for _ in range(2)] == [0, 1]


def test_what_is_left_is_told(seconds):
    bucket = limiter("60/m", seconds)
    assert bucket.take("a").headers == {
        "X-RateLimit-Limit": "60",
        "X-RateLimit-Remaining": "59",
        "X-RateLimit-Reset": "1",
    }
    for _ in range(59):
        bucket.take("a")
    told = bucket.take("a").headers
    assert (told["X-RateLimit-Remaining"], told["X-RateLimit-Reset"], told["Retry-After"]) == ("0", "60", "1")


def test_who_waits_as_long_as_told_is_let_in(seconds):
    bucket = limiter("2/m", seconds)
    for _ in range(2):
        bucket.take("a")
    seconds[0] += bucket.take("a").retry_after
    assert bucket.take("a").retry_after == 0


def test_a_pause_never_adds_more_than_the_bucket_holds(seconds):
    bucket = limiter("2/s", seconds)
    bucket.take("a")
    seconds[0] += 1_000
    assert [bucket.take("a").retry_after for _ in range(3)] == [0, 0, 1]


def test_each_name_has_a_bucket_of_its_own(seconds):
    bucket = limiter("1/s", seconds)
    assert [bucket.take(name).retry_after for name in ("a", "b", "a")] == [0, 0, 1]


def test_a_look_takes_nothing(seconds):
    bucket = limiter("1/s", seconds)
    assert [bucket.take("a", count).retry_after for count in (0, 0, 1, 0)] == [0, 0, 0, 1]


def test_buckets_that_were_not_used_for_longest_are_forgotten(seconds, monkeypatch):
    monkeypatch.setattr(rate_limit, "MAX_BUCKETS", 2)
    bucket = limiter("1/h", seconds)
    for name in ("a", "b", "a", "c"):
        bucket.take(name)
    assert [bucket.take(name).retry_after > 0 for name in ("a", "c")] == [True, True]
    assert len(bucket._buckets) == 2
