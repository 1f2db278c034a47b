"""Rate limits: token buckets in the memory of one process. `shared_buckets` has those that processes share."""

import math
import re
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol

from attrs import define, frozen

MAX_BUCKETS = 10_000
_SECONDS_BY_UNIT = {"s": 1.0, "m": 60.0, "h": 3_600.0}


@frozen
class Rate:
    """Maximum number of uses in a period. All of them may occur at once.

    Attributes:
        count: Capacity of a bucket, and number of tokens that are added in one period.
        seconds: Length of the period.
    """

    count: int
    seconds: float

    @classmethod
    def parse(cls, text: str) -> "Rate":
        """Return the rate that `text` states: `100/s`, `600/m` or `5000/h`.

        Raises:
            ValueError: The text has another form.
        """
        match = re.fullmatch(r"([1-9][0-9]{0,8})/([smh])", text, re.ASCII)
        if match is None:
            raise ValueError(f"a rate must have the form 100/s, 600/m or 5000/h, got {text!r}")
        return cls(int(match[1]), _SECONDS_BY_UNIT[match[2]])


@frozen
class Allowance:
    """State of a bucket after a use, as the response headers report it.

    Attributes:
        limit: Capacity of the bucket.
        remaining: Whole tokens in the bucket.
        reset: Seconds until the bucket is full.
        retry_after: Seconds until the next use is allowed; 0 if this use was allowed.
    """

    limit: int
    remaining: int
    reset: int
    retry_after: int

    @property
    def headers(self) -> dict[str, str]:
        """Response headers: `X-RateLimit-*`, and `Retry-After` if the use was not allowed."""
        headers = {
            "X-RateLimit-Limit": str(self.limit),
            "X-RateLimit-Remaining": str(self.remaining),
            "X-RateLimit-Reset": str(self.reset),
        }
        return {**headers, "Retry-After": str(self.retry_after)} if self.retry_after else headers


@define
class Bucket:
    """Token bucket of one name.

    Attributes:
        tokens: Tokens in the bucket; below zero after a use of more tokens than its capacity.
        updated_at: Monotonic time of that number, in seconds.
    """

    tokens: float
    updated_at: float

    def take(self, rate: Rate, now: float, count: int, returned: int) -> Allowance:
        """Refill the bucket, and take tokens from it. The arguments are those of `Limiter.take`."""
        elapsed = max(0.0, now - self.updated_at)
        self.tokens = min(rate.count, self.tokens + elapsed * rate.count / rate.seconds) + returned
        self.updated_at = now
        needed, retry_after = min(max(count, 1), rate.count), 0
        if self.tokens < needed:
            retry_after = math.ceil((needed - self.tokens) * rate.seconds / rate.count)
        else:
            self.tokens -= count
        reset = math.ceil((rate.count - self.tokens) * rate.seconds / rate.count)
        return Allowance(rate.count, max(0, int(self.tokens)), reset, retry_after)


class Limiter(Protocol):
    """Token buckets of one rate, one for each name."""

    def take(self, name: str, count: int = 1, *, returned: int = 0) -> Allowance:
        """Take `count` tokens from the bucket of `name`, if it contains as many.

        More tokens than the capacity are taken from a full bucket. It then contains less than none, so that the rate
        holds in the long run.

        Args:
            name: Name of the bucket. A new bucket is full.
            count: Number of tokens. 0 takes none, and reports whether one token is available.
            returned: Number of tokens, taken before, that are put back first.
        """
        ...


class RateLimiter:
    """Limiter in the memory of this process. It keeps the `MAX_BUCKETS` that were used most recently.

    Args:
        rate: Capacity and refill rate of each bucket.
        clock: Returns a monotonic time in seconds.
    """

    def __init__(self, rate: Rate, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._clock = clock
        self._buckets: OrderedDict[str, Bucket] = OrderedDict()

    def take(self, name: str, count: int = 1, *, returned: int = 0) -> Allowance:
        """Take tokens from the bucket of `name`. See `Limiter.take`."""
        now = self._clock()
        bucket = self._buckets.get(name)
        if bucket is None:
            bucket = self._buckets[name] = Bucket(self._rate.count, now)
            if len(self._buckets) > MAX_BUCKETS:
                self._buckets.popitem(last=False)
        else:
            self._buckets.move_to_end(name)
        return bucket.take(self._rate, now, count, returned)
