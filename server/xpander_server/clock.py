"""Time as the server stores it: whole microseconds since 1970-01-01 (UTC), and RFC 3339 text on the wire.

Example:
    >>> format_timestamp(1_500_000)
    '1970-01-01T00:00:01.500000Z'
    >>> parse_timestamp("1970-01-01T01:00:01.5+01:00")
    1500000
"""

import time
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import overload

MICROSECOND = 1
SECOND = 1_000_000 * MICROSECOND
HOUR = 3_600 * SECOND
DAY = 24 * HOUR

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
EARLIEST = (datetime.min.replace(tzinfo=UTC) - _EPOCH) // _MICROSECOND
LATEST = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // _MICROSECOND


def now() -> int:
    """Return the current time in microseconds since 1970 (UTC)."""
    return time.time_ns() // 1_000


@overload
def format_timestamp(microseconds: int) -> str: ...
@overload
def format_timestamp(microseconds: int | None) -> str | None: ...
def format_timestamp(microseconds: int | None) -> str | None:
    """Return a time as RFC 3339 text in UTC, always with six decimals; None for None."""
    if microseconds is None:
        return None
    seconds, fraction = divmod(microseconds, SECOND)
    return f"{_format_second(seconds)}.{fraction:06d}Z"


@lru_cache(maxsize=64)
def _format_second(seconds: int) -> str:
    return (_EPOCH + timedelta(seconds=seconds)).isoformat(timespec="seconds").removesuffix("+00:00")


def parse_timestamp(text: str) -> int:
    """Return the time that an RFC 3339 text states, in microseconds since 1970 (UTC).

    A time outside the years 1 to 9999 in UTC becomes `EARLIEST` or `LATEST`. A leap second becomes the second after it.

    Raises:
        ValueError: The text has the right format, but no calendar has this time (such as February 30).
    """
    text = text.upper()
    if text.startswith("0000-"):
        return EARLIEST
    is_leap_second = text[17:19] == "60"
    local_time = datetime.fromisoformat(f"{text[:17]}59{text[19:]}" if is_leap_second else text)
    if local_time.tzinfo is None:
        local_time = local_time.replace(tzinfo=UTC)
    # Not astimezone(UTC), which fails if the result is outside datetime's years.
    microseconds = (local_time - _EPOCH) // _MICROSECOND
    return min(max(microseconds + is_leap_second * SECOND, EARLIEST), LATEST)
