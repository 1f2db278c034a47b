"""Time buckets for charts, aggregated from points of an hour or a day: hours, parts of a day, days, or weeks.

The store keeps sums for hours and days of UTC. Buckets in another time zone are sums of hours, so that a bucket is a
calendar day of that zone, with 23 or 25 hours when the clocks change:

    Europe/Berlin, 29 March 2026   | 28 March, 24 hours | 29 March, 23 hours | 30 March, 24 hours |
    hours of UTC                   23:00                23:00                22:00                22:00

Two limits remain, which `describe_limit` states on the page. A zone whose offset is not a number of hours has buckets
that start up to an hour before its days. Buckets of ranges of more than `MAX_HOURS` hours start with days of UTC.
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence

from attrs import frozen

from xpander_server.clock import DAY, HOUR
from xpander_server.domain.metrics import Amounts, merge_amounts
from xpander_server.web.time_zones import UTC_ZONE, Zone

MAX_BUCKETS = 62
"""Buckets of a chart. A range longer than this number of the longest buckets has more."""
MAX_HOURS = 990
"""Hours of a range whose buckets are sums of hours; the store returns at most 1,000 points."""
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


def choose_point_hours(since: int | None, now: int, until: int | None, zone: Zone = UTC_ZONE) -> int:
    """Return the length, in hours, of the points to read for the buckets of a time range: 1 or 24."""
    if since is None:
        return 24
    end = until or now
    if zone.is_utc:
        return 1 if _choose_length(since, end) < DAY else 24
    return 1 if end - since <= MAX_HOURS * HOUR else 24


def build_time_buckets(
    points: Iterable[tuple[int, Amounts]],
    since: int | None,
    until: int | None,
    now: int,
    zone: Zone = UTC_ZONE,
) -> list[TimeBucket]:
    """Aggregate points to consecutive buckets that cover a time range, in order of time.

    Args:
        points: The start of each hour or day with tasks, in microseconds since 1970 (UTC), and its amounts. Their
            length is that of `choose_point_hours`.
        since: The start of the time range, or None for the first point.
        until: The end of the time range, or None for the present.
        now: The current time.
        zone: The time zone of the page.

    Returns:
        The buckets, including empty ones; an empty list if there are no points.
    """
    sorted_points = sorted(points)
    if not sorted_points:
        return []
    first = sorted_points[0][0] if since is None else since
    last = max(sorted_points[-1][0] + 1, first + 1, now if until is None else until)
    point_hours = choose_point_hours(since, now, until, zone)
    length = max(_choose_length(first, last), point_hours * HOUR)
    if zone.is_utc or point_hours > 1 or length == HOUR:
        first_start = _bucket_start(first, length)
        starts: Sequence[int] = range(first_start, last + length, length)
    else:
        starts = _local_starts(first, last, min(length, DAY), zone)
    starts = starts[: next(index for index, start in enumerate(starts) if start >= last) + 1]
    amounts_by_bucket: dict[int, list[Amounts]] = {}
    for point_start, amounts in sorted_points:
        amounts_by_bucket.setdefault(bisect_right(starts, max(point_start, starts[0])) - 1, []).append(amounts)
    return [
        TimeBucket(start, starts[index + 1], _sum(amounts_by_bucket.get(index, [])))
        for index, start in enumerate(starts[:-1])
    ]


def describe_limit(since: int | None, now: int, until: int | None, zone: Zone) -> str | None:
    """Return why the buckets of a time range do not start with days of the zone, or None if they do."""
    if zone.is_utc:
        return None
    shown = zone.to_local((until or now) // DAY * DAY)
    if choose_point_hours(since, now, until, zone) > 1:
        return (
            f"Over more than {MAX_HOURS // 24} days, the charts show days of UTC, which start at {shown:%H:%M} "
            f"{zone.label} time."
        )
    start = zone.start_of_day(until or now)
    if zone.has_full_hours(start):
        return None
    shown = zone.to_local(start // HOUR * HOUR)
    return f"The charts are sums of full hours of UTC, so that their days start at {shown:%H:%M} {zone.label} time."


def _sum(parts: list[Amounts]) -> Amounts:
    return parts[0] if len(parts) == 1 else merge_amounts(parts)


def _choose_length(since: int, until: int) -> int:
    """Return the shortest bucket length with which a time range has at most `MAX_BUCKETS` buckets."""
    return next((length for length in _BUCKET_LENGTHS if until - since <= MAX_BUCKETS * length), _BUCKET_LENGTHS[-1])


def _bucket_start(time: int, length: int) -> int:
    offset = _MONDAY if length > DAY else 0
    return (time - offset) // length * length + offset


def _local_starts(first: int, last: int, length: int, zone: Zone) -> list[int]:
    """Return the starts of the days of a zone, or of equal parts of them by the clock, in full hours of UTC.

    The first one is not after `first`, and the final one is not before `last`.
    """
    starts: set[int] = set()
    day_start = zone.start_of_day(first)
    while day_start < last + DAY:
        day = zone.to_local(day_start)
        for hour in range(0, 24, length // HOUR):
            starts.add(zone.from_local(day.year, day.month, day.day, hour) // HOUR * HOUR)
        day_start = zone.start_of_day(day_start, 1)
    ordered = sorted(starts)
    return ordered[bisect_right(ordered, first) - 1 :]
