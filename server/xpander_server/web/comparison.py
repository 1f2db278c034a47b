"""Comparison of a period with the one before it, and periods in words."""

from collections.abc import Mapping
from typing import Any

from attrs import frozen

from xpander_server.clock import DAY, HOUR, SECOND
from xpander_server.web.filters import MONTH, TIME_RANGE_LENGTHS, PageFilters
from xpander_server.web.time_zones import page_zone

_MINUTE = 60 * SECOND


@frozen
class Period:
    """Period of time, from `since` to before `until`, in microseconds since 1970 (UTC)."""

    since: int
    until: int

    @property
    def length(self) -> int:
        """The length in microseconds."""
        return self.until - self.since

    def describe(self, now: int) -> str:
        """Return the period in words, such as `26 Nov 00:00 – 27 Nov 12:00 UTC, 1 day 12 hours`."""
        suffix = page_zone().suffix
        end = "now" if self.until > now else f"{_format_moment(self.until, now)}{suffix}"
        zone = suffix if end == "now" else ""
        return f"{_format_moment(self.since, now)}{zone} – {end}, {_format_length(self.length)}"


def shown_period(filters: PageFilters, now: int) -> Period | None:
    """Return the period of a page up to the end of the current hour, or None if it has no start."""
    end = (now // HOUR + 1) * HOUR
    if filters.since is None or filters.since >= end:
        return None
    return Period(filters.since, max(filters.since + 1, end if filters.until is None else filters.until))


def previous_period(filters: PageFilters, now: int) -> Period | None:
    """Return the period to compare with: the same time of the day, a full range of the filters earlier.

    Example: the last 7 days are 6 full days and the current one until now. They are compared with the 6 days, and the
    same part of the day, of the week before.
    """
    period = shown_period(filters, now)
    if period is None:
        return None
    if filters.last == MONTH:
        start = page_zone().start_of_month(period.since, -1)
        return Period(start, min(start + period.length, period.since))
    distance = TIME_RANGE_LENGTHS.get(filters.last or "", period.length)
    if period.since < distance:
        return None
    days, rest = divmod(distance, DAY)
    if filters.last is None or rest:
        return Period(period.since - distance, period.until - distance)
    zone = page_zone()
    return Period(zone.add_days(period.since, -days), zone.add_days(period.until, -days))


def format_change(current: float | None, previous: float | None) -> str | None:
    """Return a relative change, such as `▲ 12 %`, or None if it is not defined."""
    if current is None or not previous:
        return None
    change = current / previous - 1
    if abs(change) < 0.005:
        return "± 0 %"
    arrow = "▲" if change > 0 else "▼"
    return f"{arrow} {current / previous:,.0f}×" if change >= 9.995 else f"{arrow} {abs(change):.0%}".replace("%", " %")


def format_point_change(current: float | None, previous: float | None) -> str | None:
    """Return the change of a share in percentage points, such as `▼ 2.5 points`, or None if one is unknown."""
    if current is None or previous is None:
        return None
    points = 100 * (current - previous)
    return f"{'▲' if points > 0 else '▼'} {abs(points):.1f} points" if abs(points) >= 0.05 else "± 0 points"


def summary_changes(current: Mapping[str, Any], previous: Mapping[str, Any]) -> dict[str, str | None]:
    """Return the changes of the figures of a metrics summary, by tile."""
    return {
        "runs": format_change(current["runs"]["total"], previous["runs"]["total"]),
        "success": format_point_change(current["success_rate"], previous["success_rate"]),
        "duration": format_change(current["duration"]["p50"], previous["duration"]["p50"]),
        "tokens": format_change(current["tokens"]["total_tokens"], previous["tokens"]["total_tokens"]),
        "cost": format_change(current["cost"]["total"], previous["cost"]["total"]),
    }


def _format_moment(microseconds: int, now: int) -> str:
    moment, today = (page_zone().to_local(value) for value in (microseconds, now))
    year = f" {moment.year}" if moment.year != today.year else ""
    return f"{moment.day} {moment:%b}{year} {moment:%H:%M}"


def _format_length(length: int) -> str:
    days, rest = divmod(length, DAY)
    hours, rest = divmod(rest, HOUR)
    minutes = rest // _MINUTE
    parts = [(days, "day"), (hours, "hour"), (minutes if not days else 0, "minute")]
    words = [f"{count:,} {unit}{'' if count == 1 else 's'}" for count, unit in parts if count]
    return " ".join(words) or "less than a minute"
