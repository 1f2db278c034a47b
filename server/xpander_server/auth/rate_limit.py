"""How often somebody may ask: token buckets, in the memory of one process."""

import math
import re
import time
from collections import OrderedDict
from collections.abc import Callable

from attrs import define, frozen

MAX_BUCKETS = 10_000
_UNITS = {"s": 1.0, "m": 60.0, "h": 3_600.0}


@frozen
class Rate:
    """So many in so many seconds; all of them at once, if need be."""

    count: int
    seconds: float

    @classmethod
    def parse(cls, text: str) -> "Rate":
        """`100/s`, `600/m`, `5000/h`. Raises ValueError."""
        found = re.fullmatch(r"([1-9][0-9]{0,8})/([smh])", text, re.ASCII)
        if found is None:
            raise ValueError(f"{text!r} is no rate: write 100/s, 600/m or 5000/h")
        return cls(int(found[1]), _UNITS[found[2]])


@frozen
class Allowance:
    """What is left to somebody."""

    limit: int
    remaining: int
    reset: int
    """Seconds until all are there again."""
    retry_after: int
    """Seconds until the next one is; 0 if this one was allowed."""

    @property
    def headers(self) -> dict[str, str]:
        told = {
            "X-RateLimit-Limit": str(self.limit),
            "X-RateLimit-Remaining": str(self.remaining),
            "X-RateLimit-Reset": str(self.reset),
        }
        return {**told, "Retry-After": str(self.retry_after)} if self.retry_after else told


@define
class _Bucket:
    tokens: float
    at: float


class RateLimiter:
    """A bucket for each name. Those that were not used for longest are forgotten when there are too many."""

    def __init__(self, rate: Rate, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._clock = clock
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def take(self, name: str, count: int = 1) -> Allowance:
        """Take `count` from the bucket of `name`, if they are there; 0 only looks whether there is one."""
        now, rate = self._clock(), self._rate
        bucket = self._buckets.get(name)
        if bucket is None:
            bucket = self._buckets[name] = _Bucket(rate.count, now)
            if len(self._buckets) > MAX_BUCKETS:
                self._buckets.popitem(last=False)
        else:
            bucket.tokens = min(rate.count, bucket.tokens + (now - bucket.at) * rate.count / rate.seconds)
            bucket.at = now
            self._buckets.move_to_end(name)
        wait = 0
        if bucket.tokens < max(count, 1):
            wait = math.ceil((max(count, 1) - bucket.tokens) * rate.seconds / rate.count) or 1
        else:
            bucket.tokens -= count
        reset = math.ceil((rate.count - bucket.tokens) * rate.seconds / rate.count)
        return Allowance(rate.count, int(bucket.tokens), reset, wait)
