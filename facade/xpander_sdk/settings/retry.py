"""Timeouts and retries of one call."""

from collections.abc import Callable

from xpander_sdk._random import random
from xpander_sdk._records import field, frozen
from xpander_sdk.settings.validators import at_least, positive

RETRIED_STATUSES = frozenset({408, 429, 500, 502, 503, 504})

_MAX_DOUBLINGS = 60  # a larger exponent could overflow a float


@frozen(kw_only=True)
class Timeouts:
    """Time limits of a call, in seconds.

    Args:
        connect: Time to open a connection, TLS included. Default 5.
        read: Time between two parts of a response. Default 15.
        total: Time for the whole call: all attempts, and the delays between them. Default 30.

    Raises:
        ValueError: A value is not above 0.

    Example:
        >>> Timeouts(total=120).read
        15.0
    """

    connect: float = field(default=5.0, validator=positive)
    read: float = field(default=15.0, validator=positive)
    total: float = field(default=30.0, validator=positive)


@frozen(kw_only=True)
class RetryPolicy:
    """Number of attempts, and delays between them.

    All attempts carry the same id, so that a run is never recorded twice.

    Args:
        attempts: Maximum number of requests, the first one included; 1 for no retry. Default 4.
        first_delay: Maximum delay before the second attempt, in seconds; it doubles for each further one. Default 0.25.
        max_delay: Maximum delay between two attempts, in seconds, unless the backend asks for more. Default 8.
        max_retry_after: Longest `Retry-After` to obey, in seconds. If the backend asks for more, the call fails at
            once. Default 20.
        budget: Maximum number of retries that all callers of one destination have outstanding. Each retry takes one
            from the budget and each call returns a tenth, so that an outage increases the traffic by a tenth at the
            most. Default 10.

    Raises:
        ValueError: A value is invalid.

    Example:
        >>> RetryPolicy(attempts=1).attempts
        1
    """

    attempts: int = field(default=4, validator=positive)
    first_delay: float = field(default=0.25, validator=at_least(0, float))
    max_delay: float = field(default=8.0, validator=at_least(0, float))
    max_retry_after: float = field(default=20.0, validator=at_least(0, float))
    budget: float = field(default=10.0, validator=at_least(0, float))

    def delay(
        self, attempts: int, retry_after: float | None, remaining: float, draw: Callable[[], float] = random
    ) -> float | None:
        """Return the seconds to wait before the next attempt, or None to give up.

        The delay is drawn from the whole range ("full jitter"), so that clients that failed together do not retry
        together.

        Args:
            attempts: Number of attempts that have failed.
            retry_after: Seconds that the backend asks to wait; None if it does not.
            remaining: Seconds until the total timeout.
            draw: Function that returns a number from 0 to 1.
        """
        if attempts >= self.attempts:
            return None
        doublings = min(attempts - 1, _MAX_DOUBLINGS)
        seconds = min(self.max_delay, self.first_delay * 2**doublings) * draw()
        if retry_after is not None:
            if retry_after > self.max_retry_after:
                return None
            seconds += retry_after
        return seconds if seconds < remaining else None
