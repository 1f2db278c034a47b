"""Time cut into spans of one length, as many as a chart has room for."""

from collections.abc import Iterable

from attrs import frozen

from xpander_server.clock import DAY, HOUR
from xpander_server.domain.metrics import Amounts, merge_amounts

AT_MOST = 62
"""Spans of a chart, but where there are more than that many times 28 days."""
_LENGTHS = (HOUR, 3 * HOUR, DAY, 3 * DAY, 7 * DAY, 28 * DAY)
# Weeks begin on Mondays; 1970 did on a Thursday.
_OFFSET = 4 * DAY


@frozen
class TimeBucket:
    """What tasks first seen from `since` to before `until` add up to. Microseconds since 1970."""

    since: int
    until: int
    amounts: Amounts


def resolution(since: int | None, now: int, until: int | None) -> int:
    """The hours, 1 or 24, of the points that spans are made of."""
    return 1 if since is not None and _length(since, until or now) < DAY else 24


def time_buckets(
    points: Iterable[tuple[int, Amounts]], since: int | None, until: int | None, now: int
) -> list[TimeBucket]:
    """The points of a series as spans that leave no gap, in the order of time; none where there is no point.

    Args:
        points: the first microsecond of an hour or a day, and its amounts.
    """
    found = sorted(points)
    if not found:
        return []
    first = found[0][0] if since is None else since
    last = max(found[-1][0] + 1, first + 1, now if until is None else until)
    length = _length(first, last)
    by_start: dict[int, list[Amounts]] = {}
    for start, amounts in found:
        by_start.setdefault(_start(start, length), []).append(amounts)
    starts = range(_start(first, length), last, length)
    return [TimeBucket(start, start + length, _sum(by_start.get(start, []))) for start in starts]


def _sum(parts: list[Amounts]) -> Amounts:
    return parts[0] if len(parts) == 1 else merge_amounts(parts)


def _length(since: int, until: int) -> int:
    return next((length for length in _LENGTHS if until - since <= AT_MOST * length), _LENGTHS[-1])


def _start(at: int, length: int) -> int:
    offset = _OFFSET if length > DAY else 0
    return (at - offset) // length * length + offset
