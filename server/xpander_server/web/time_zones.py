"""Time zone of a page: that of the parameter `tz` of its link, else the one that the browser remembers, else UTC.

Times are stored as microseconds since 1970 (UTC). A zone only determines how pages show them, which instant a time
without a zone in a link means, and where days begin: a day has 23 or 25 hours when the clocks change.
"""

import re
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo

from attrs import frozen

from xpander_server.clock import DAY, HOUR, format_timestamp

COMMON_ZONES = (
    "UTC", "Pacific/Auckland", "Australia/Sydney", "Asia/Tokyo", "Asia/Singapore", "Asia/Shanghai", "Asia/Kolkata",
    "Asia/Dubai", "Asia/Jerusalem", "Europe/Istanbul", "Europe/Athens", "Africa/Cairo", "Africa/Johannesburg",
    "Europe/Berlin", "Europe/Paris", "Europe/Madrid", "Africa/Lagos", "Europe/London", "America/Sao_Paulo",
    "America/New_York", "America/Toronto", "America/Chicago", "America/Mexico_City", "America/Denver",
    "America/Los_Angeles",
)  # fmt: skip
"""Zones to choose from on a page; the link of a page can name any other one."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NAME = re.compile(r"[A-Z][A-Za-z0-9_+-]{1,30}(/[A-Za-z0-9_+-]{1,30}){0,2}", re.ASCII)


@frozen
class Zone:
    """Time zone.

    Attributes:
        name: The name in the IANA database, such as `Europe/Berlin`, or `UTC`.
        info: The rules of the zone.
    """

    name: str
    info: tzinfo

    @property
    def is_utc(self) -> bool:
        """True for UTC itself, and not for another zone with the same clock."""
        return self.name == "UTC"

    @property
    def label(self) -> str:
        """The short name for headings, such as `Berlin` or `UTC`."""
        return self.name.rpartition("/")[2].replace("_", " ")

    @property
    def suffix(self) -> str:
        """The text that follows a time in a sentence, such as ` (Berlin)` or ` UTC`."""
        return " UTC" if self.is_utc else f" ({self.label})"

    def to_local(self, microseconds: int) -> datetime:
        """Return the local time; in UTC if the local time is outside the years 1 to 9999."""
        time = _EPOCH + timedelta(microseconds=microseconds)
        try:
            return time.astimezone(self.info)
        except OverflowError:
            return time

    def from_local(self, year: int, month: int, day: int, hour: int = 0, minute: int = 0) -> int:
        """Return the instant of a local time, in microseconds since 1970 (UTC).

        A time that occurs twice means the first one. A time that the clocks skip means the instant at which they do.
        """
        local_time = datetime(year, month, day, hour, minute, tzinfo=self.info)
        return (local_time - _EPOCH) // timedelta(microseconds=1)

    def start_of_day(self, microseconds: int, days_later: int = 0) -> int:
        """Return the start of the local day of a time, or of the day a number of days later."""
        if self.is_utc:
            return microseconds // DAY * DAY + days_later * DAY
        day = self.to_local(microseconds).date() + timedelta(days=days_later)
        return self.from_local(day.year, day.month, day.day)

    def start_of_month(self, microseconds: int, months_later: int = 0) -> int:
        """Return the start of the local month of a time, or of the month a number of months later."""
        time = self.to_local(microseconds)
        year, month = divmod(time.year * 12 + time.month - 1 + months_later, 12)
        return self.from_local(year, month + 1, 1)

    def add_days(self, microseconds: int, days: int) -> int:
        """Return the time a number of days later: the same local time, or the next one that the clocks show."""
        if self.is_utc:
            return microseconds + days * DAY
        local_time = self.to_local(microseconds) + timedelta(days=days)  # the arithmetic of local times
        return (local_time.astimezone(UTC) - _EPOCH) // timedelta(microseconds=1)

    def format_timestamp(self, microseconds: int) -> str:
        """Return a time as RFC 3339 text with the offset of the zone, always with six decimals."""
        if self.is_utc:
            return format_timestamp(microseconds)
        return self.to_local(microseconds).isoformat(timespec="microseconds")

    def has_full_hours(self, microseconds: int) -> bool:
        """Return whether local hours start with hours of UTC at a time."""
        offset = self.to_local(microseconds).utcoffset() or timedelta()
        return not offset % timedelta(microseconds=HOUR)


UTC_ZONE = Zone("UTC", UTC)


@frozen
class ZoneChoice:
    """Time zone of a page, and how it was chosen.

    Attributes:
        zone: The zone.
        parameter: The value of the parameter `tz` in the links of the page; None if they need none.
        unknown: The unknown name that the link of the page has, or None.
        page: The path and query of the page.
    """

    zone: Zone = UTC_ZONE
    parameter: str | None = None
    unknown: str | None = None
    page: str = ""

    @property
    def names(self) -> list[str]:
        """The names to choose from, the present one first."""
        return list(dict.fromkeys([self.zone.name, *COMMON_ZONES]))


_UTC_CHOICE = ZoneChoice()
zone_choice: ContextVar[ZoneChoice] = ContextVar("zone_choice", default=_UTC_CHOICE)
"""Time zone of the page that is being rendered."""


def page_zone() -> Zone:
    """Return the time zone of the page that is being rendered."""
    return zone_choice.get().zone


def choose_zone(parameter: str | None, remembered: str | None, page: str) -> ZoneChoice:
    """Return the time zone of a page; an unknown name is ignored.

    Args:
        parameter: The name in the link of the page, or None.
        remembered: The name that the browser remembers, or None.
        page: The path and query of the page.
    """
    own_zone = find_zone(remembered or "") or UTC_ZONE
    if not parameter:
        return ZoneChoice(own_zone, None if own_zone.is_utc else own_zone.name, None, page)
    linked_zone = find_zone(parameter)
    zone = linked_zone or own_zone
    needs_parameter = not (zone.is_utc and own_zone.is_utc)
    return ZoneChoice(zone, zone.name if needs_parameter else None, None if linked_zone else parameter, page)


@lru_cache(maxsize=64)
def find_zone(name: str) -> Zone | None:
    """Return the zone with a name of the IANA database, or None if it is unknown."""
    if name == "UTC":
        return UTC_ZONE
    if not _NAME.fullmatch(name):
        return None
    try:
        return Zone(name, ZoneInfo(name))
    except (KeyError, ValueError, OSError):  # unknown, not a zone, or a folder of zones
        return None
