"""Limits on retries that the backend and the other callers impose."""

from collections.abc import Mapping
from datetime import UTC, datetime


class RetryBudget:
    """Number of retries that all callers of one destination have left.

    A token bucket: each retry withdraws one token, each call deposits a tenth.

    Args:
        capacity: Maximum number of tokens; the budget starts with it.
    """

    DEPOSIT = 0.1  # tokens per call

    def __init__(self, capacity: float) -> None:
        self._capacity = capacity
        self._tokens = capacity

    def deposit(self) -> None:
        """Add the share of one call."""
        self._tokens = min(self._capacity, self._tokens + self.DEPOSIT)

    def withdraw(self) -> bool:
        """Take the token for one retry; return False if less than one is left."""
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


def parse_retry_after(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """Return the seconds that `Retry-After` asks for, or None if the header is absent or malformed.

    Args:
        headers: Headers of the response, with names in lower case.
        now: The present time, from which an HTTP date is subtracted. Default: the clock.
    """
    value = headers.get("retry-after", "").strip()
    if value.isascii() and value.replace(".", "", 1).isdigit():
        return float(value)
    import email.utils  # imported here because it takes milliseconds

    try:
        time = email.utils.parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    time = time if time.tzinfo else time.replace(tzinfo=UTC)
    return max(0.0, (time - (now or datetime.now(UTC))).total_seconds())
