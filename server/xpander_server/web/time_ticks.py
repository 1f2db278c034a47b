"""Ticks of a time axis: at starts of hours, days, weeks or months (UTC)."""

from collections.abc import Iterator
from datetime import UTC, datetime

from attrs import frozen

from xpander_server.clock import DAY, HOUR, SECOND

MAX_TICKS = 7
"""Ticks of an axis; the labels of more would overlap."""
_STEPS = (HOUR, 2 * HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR, DAY, 2 * DAY, 7 * DAY, 14 * DAY)
_MONTH_STEPS = (1, 2, 3, 6, 12, 24, 60, 120, 600, 6_000)
_MONDAY = 4 * DAY
"""Monday, 1970-01-05: steps of weeks start on Mondays."""


@frozen
class TimeTick:
    """Tick of a time axis.

    Attributes:
        time: The start of an hour, day or month, in microseconds since 1970 (UTC).
        label: The day, such as `22 Nov`, the clock time within a day, such as `18:00`, or the month.
    """

    time: int
    label: str


def choose_ticks(since: int, until: int) -> list[TimeTick]:
    """Return the ticks of an axis from `since` to before `until`: those of the shortest step with few ticks.

    Args:
        since: The start of the axis, in microseconds since 1970 (UTC).
        until: The end of the axis, exclusive, in the same unit.

    Returns:
        At most `MAX_TICKS` ticks in order of time.
    """
    for step in _STEPS:
        if until - since > (MAX_TICKS + 1) * step:
            continue
        offset = _MONDAY if step % (7 * DAY) == 0 else 0
        first = -(-(since - offset) // step) * step + offset
        times = range(first, until, step)
        if len(times) <= MAX_TICKS:
            return [TimeTick(time, _label(time)) for time in times]
    for months in _MONTH_STEPS:
        ticks = [*_month_ticks(since, until, months)]
        if len(ticks) <= MAX_TICKS:
            return ticks
    return []


def _label(time: int) -> str:
    moment = datetime.fromtimestamp(time // SECOND, UTC)
    return f"{moment:%H:%M}" if time % DAY else f"{moment.day} {moment:%b}"


def _month_ticks(since: int, until: int, step: int) -> Iterator[TimeTick]:
    start = datetime.fromtimestamp(since // SECOND, UTC)
    month = (start.year * 12 + start.month - 1) // step * step
    count = 0
    while month < 9_999 * 12 and count <= MAX_TICKS:
        moment = datetime(max(1, month // 12), month % 12 + 1, 1, tzinfo=UTC)
        time = round(moment.timestamp()) * SECOND
        if time >= until:
            return
        if time >= since:
            count += 1
            yield TimeTick(
                time, f"{moment:%Y}" if step >= 12 else f"{moment:%b %Y}" if month % 12 == 0 else f"{moment:%b}"
            )
        month += step
