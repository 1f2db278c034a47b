"""Ticks of a time axis: at starts of hours, days, weeks or months of a time zone."""

from collections.abc import Iterator
from datetime import date, timedelta

from attrs import frozen

from xpander_server.clock import DAY, HOUR
from xpander_server.web.time_zones import UTC_ZONE, Zone

MAX_TICKS = 7
"""Ticks of an axis; the labels of more would overlap."""
_HOUR_STEPS = (1, 2, 3, 6, 12)
_DAY_STEPS = (1, 2, 7, 14)
_MONTH_STEPS = (1, 2, 3, 6, 12, 24, 60, 120, 600, 6_000)
_THURSDAY, _MONDAY = date(1970, 1, 1), date(1970, 1, 5)
"""Days that steps of days are counted from; steps of weeks start on Mondays."""


@frozen
class TimeTick:
    """Tick of a time axis.

    Attributes:
        time: The start of a local hour, day or month, in microseconds since 1970 (UTC).
        label: The day, such as `22 Nov`, the clock time within a day, such as `18:00`, or the month.
    """

    time: int
    label: str


def choose_ticks(since: int, until: int, zone: Zone = UTC_ZONE) -> list[TimeTick]:
    """Return the ticks of an axis from `since` to before `until`: those of the shortest step with few ticks.

    Args:
        since: The start of the axis, in microseconds since 1970 (UTC).
        until: The end of the axis, exclusive, in the same unit.
        zone: The time zone whose calendar and clock determine the ticks.

    Returns:
        At most `MAX_TICKS` ticks in order of time.
    """
    steps = [(hours, 0) for hours in _HOUR_STEPS] + [(24, days) for days in _DAY_STEPS]
    for hours, days in steps:
        if until - since > (MAX_TICKS + 1) * (days * DAY or hours * HOUR) + HOUR:
            continue  # a day may have 25 hours
        times = sorted({time for time in _day_times(since, until, hours, days or 1, zone) if since <= time < until})
        if len(times) <= MAX_TICKS:
            return [TimeTick(time, _label(time, zone)) for time in times]
    for months in _MONTH_STEPS:
        ticks = [*_month_ticks(since, until, months, zone)]
        if len(ticks) <= MAX_TICKS:
            return ticks
    return []


def _label(time: int, zone: Zone) -> str:
    local_time = zone.to_local(time)
    is_midnight = time == zone.start_of_day(time)
    return f"{local_time.day} {local_time:%b}" if is_midnight else f"{local_time:%H:%M}"


def _day_times(since: int, until: int, hours: int, days: int, zone: Zone) -> Iterator[int]:
    """Yield the starts of each step of hours on each step of days; those before `since` and after `until` too."""
    first = _MONDAY if days % 7 == 0 else _THURSDAY
    day = zone.to_local(since).date()
    day -= timedelta(days=(day - first).days % days)
    while day.year < 9_999 and (time := zone.from_local(day.year, day.month, day.day)) < until:
        yield time
        yield from (zone.from_local(day.year, day.month, day.day, hour) for hour in range(hours, 24, hours))
        day += timedelta(days=days)


def _month_ticks(since: int, until: int, step: int, zone: Zone) -> Iterator[TimeTick]:
    start = zone.to_local(since)
    month = (start.year * 12 + start.month - 1) // step * step
    count = 0
    while month < 9_999 * 12 and count <= MAX_TICKS:
        moment = date(max(1, month // 12), month % 12 + 1, 1)
        time = zone.from_local(moment.year, moment.month, 1)
        if time >= until:
            return
        if time >= since:
            count += 1
            yield TimeTick(
                time, f"{moment:%Y}" if step >= 12 else f"{moment:%b %Y}" if month % 12 == 0 else f"{moment:%b}"
            )
        month += step
