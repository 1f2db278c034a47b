"""When to send again, and how long to wait first. Pure: no clock, no sleep."""

import random
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from attrs import frozen

RETRIED_STATUSES = frozenset({408, 429, 500, 502, 503, 504})


@frozen(kw_only=True)
class RetryPolicy:
    """How hard to try. Every attempt carries the same id, so a run is never recorded twice.

    Args:
        attempts: requests at the most, the first one included.
        first_delay: seconds before the second attempt, at the most; doubled for each further one.
        max_delay: seconds between two attempts at the most, where the backend does not ask for more.
        max_retry_after: seconds that a backend may ask for; where it asks for more, the error comes at once.
        total: seconds for all attempts and the waits between them.
    """

    attempts: int = 4
    first_delay: float = 0.25
    max_delay: float = 8.0
    max_retry_after: float = 20.0
    total: float = 30.0

    def delay(
        self, attempts: int, retry_after: float | None, remaining: float, draw: Callable[[], float] = random.random
    ) -> float | None:
        """Seconds to wait after `attempts` failed ones; None when it is time to give up.

        Args:
            retry_after: what the backend asks for.
            remaining: seconds left of the total.
            draw: a number from 0 to 1. All of the wait is drawn ("full jitter"), so that clients that failed together
                do not come back together.
        """
        if attempts >= self.attempts:
            return None
        doublings = min(attempts - 1, 60)  # beyond which a float has nothing to say
        wait = min(self.max_delay, self.first_delay * 2**doublings) * draw()
        if retry_after is not None:
            if retry_after > self.max_retry_after:
                return None
            wait += retry_after
        return wait if wait < remaining else None


def retry_after(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """The seconds that `Retry-After` asks for, as a number or as an HTTP date; None where it is absent or neither."""
    value = headers.get("retry-after", "").strip()
    if value.isascii() and value.replace(".", "", 1).isdigit():
        return float(value)
    import email.utils  # on first use: it takes milliseconds to import

    try:
        moment = email.utils.parsedate_to_datetime(value)
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (moment - (now or datetime.now(UTC))).total_seconds())
