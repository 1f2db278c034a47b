"""How long to wait: for an answer, and before the next attempt. Pure: no clock, no sleep."""

import random
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from attrs import Attribute, field, frozen

RETRIED_STATUSES = frozenset({408, 429, 500, 502, 503, 504})


def _positive(instance: object, attribute: "Attribute[Any]", value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
        raise ValueError(f"{attribute.name} must be a number above 0, not {value!r}")


def _not_negative(instance: object, attribute: "Attribute[Any]", value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
        raise ValueError(f"{attribute.name} must be a number from 0, not {value!r}")


@frozen(kw_only=True)
class Timeouts:
    """How long to wait for an answer.

    Args:
        connect: seconds for a connection, TLS included. Default 5.
        read: seconds between two parts of an answer. Default 15.
        total: seconds for the whole call: all attempts, and the waits between them. Default 30.

    Raises:
        ValueError: one of them is not above 0.
    """

    connect: float = field(default=5.0, validator=_positive)
    read: float = field(default=15.0, validator=_positive)
    total: float = field(default=30.0, validator=_positive)


@frozen(kw_only=True)
class RetryPolicy:
    """How hard to try. Every attempt carries the same id, so a run is never recorded twice.

    Args:
        attempts: requests at the most, the first one included; 1 for no retry. Default 4.
        first_delay: seconds before the second attempt, at the most; doubled for each further one. Default 0.25.
        max_delay: seconds between two attempts at the most, where the backend does not ask for more. Default 8.
        max_retry_after: seconds that a backend may ask for; if it asks for more, the error comes at once. Default 20.
        budget: retries that may be outstanding in an outage. Each retry takes one, each call gives back a tenth, so
            that traffic to a backend that is down grows by a tenth at the most. Default 10.

    Raises:
        ValueError: one of them cannot be.
    """

    attempts: int = field(default=4, validator=_positive)
    first_delay: float = field(default=0.25, validator=_not_negative)
    max_delay: float = field(default=8.0, validator=_not_negative)
    max_retry_after: float = field(default=20.0, validator=_not_negative)
    budget: float = field(default=10.0, validator=_not_negative)

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


class RetryBudget:
    """What is left of the retries that a target may cost; shared by all who report there."""

    GIVEN_BACK = 0.1  # for each call

    def __init__(self, budget: float) -> None:
        self._budget = budget
        self._left = budget

    def call(self) -> None:
        """A call was begun."""
        self._left = min(self._budget, self._left + self.GIVEN_BACK)

    def spend(self) -> bool:
        """Take one retry; False where none is left."""
        if self._left < 1:
            return False
        self._left -= 1
        return True


def retry_after(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """The seconds that `Retry-After` asks for, as a number or as an HTTP date; None where it is absent or neither."""
    value = headers.get("retry-after", "").strip()
    if value.isascii() and value.replace(".", "", 1).isdigit():
        return float(value)
    import email.utils  # on first use: it takes milliseconds to import

    try:
        moment = email.utils.parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (moment - (now or datetime.now(UTC))).total_seconds())
