"""Time buckets of equal length for charts, aggregated from points of an hour or a day."""

from collections.abc import Iterable

from attrs import frozen

from xpander_server.clock import DAY, HOUR
from xpander_server.domain.metrics import Amounts, merge_amounts

MAX_BUCKETS = 62
"""Buckets of a chart. A range longer than this number of the longest buckets has more."""
_BUCKET_LENGTHS = (HOUR, 3 * HOUR, DAY, 3 * DAY, 7 * DAY, 28 * DAY)
_MONDAY = 4 * DAY
"""Monday, 1970-01-05. Buckets of several days start at multiples of their length after it: weeks start on Mondays."""


@frozen
class TimeBucket:
    """Sum of the amounts of all tasks created within a period.

    Attributes:
        since: The start of the period, in microseconds since 1970 (UTC).
        until: The end of the period, exclusive, in the same unit.
        amounts: The sum of the amounts.
    """

    since: int
    until: int
    amounts: Amounts


def choose_point_hours(since: int | None, now: int, until: int | None) -> int:
    """Return the length, in hours, of the points to read for the buckets of a time range: 1 or 24."""
    return 1 if since is not None and _choose_length(since, until or now) < DAY else 24


def build_time_buckets(
    points: Iterable[tuple[int, Amounts]], since: int | None, until: int | None, now: int
) -> list[TimeBucket]:
    """Aggregate points to consecutive buckets that cover a time range, in order of time.

    Args:
        points: The start of each hour or day with tasks, in microseconds since 1970 (UTC), and its amounts.
        since: The start of the time range, or None for the first point.
        until: The end of the time range, or None for the present.
        now: The current time.

    Returns:
        The buckets, including empty ones; an empty list if there are no points.
    """
    sorted_points = sorted(points)
    if not sorted_points:
        return []
    first = sorted_points[0][0] if since is None else since
    last = max(sorted_points[-1][0] + 1, first + 1, now if until is None else until)
    length = _choose_length(first, last)
    amounts_by_start: dict[int, list[Amounts]] = {}
    for point_start, amounts in sorted_points:
        amounts_by_start.setdefault(_bucket_start(point_start, length), []).append(amounts)
    starts = range(_bucket_start(first, length), last, length)
    return [TimeBucket(start, start + length, _sum(amounts_by_start.get(start, []))) for start in starts]


def _sum(parts: list[Amounts]) -> Amounts:
    return parts[0] if len(parts) == 1 else merge_amounts(parts)


def _choose_length(since: int, until: int) -> int:
    """Return the shortest bucket length with which a time range has at most `MAX_BUCKETS` buckets."""
    return next((length for length in _BUCKET_LENGTHS if until - since <= MAX_BUCKETS * length), _BUCKET_LENGTHS[-1])


def _bucket_start(time: int, length: int) -> int:
    offset = _MONDAY if length > DAY else 0
    return (time - offset) // length * length + offset
