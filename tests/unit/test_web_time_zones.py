"""Time zones of the pages: days, buckets, ticks and times in links, in zones whose clocks change."""

import itertools
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xpander_server.clock import DAY, HOUR, format_timestamp
from xpander_server.web.comparison import previous_period, shown_period
from xpander_server.web.filters import parse_parameters, to_exact_time
from xpander_server.web.template_filters import format_for_input, format_time, time_tag
from xpander_server.web.time_buckets import MAX_HOURS, build_time_buckets, choose_point_hours, describe_limit
from xpander_server.web.time_ticks import MAX_TICKS, choose_ticks
from xpander_server.web.time_zones import UTC_ZONE, Zone, ZoneChoice, choose_zone, find_zone, zone_choice

ZONES = [
    "Europe/Berlin", "America/Santiago", "America/Havana", "Asia/Kolkata", "Asia/Kathmandu", "Australia/Lord_Howe",
    "Pacific/Apia", "America/Los_Angeles", "UTC",
]  # fmt: skip


def zone_of(name: str) -> Zone:
    zone = find_zone(name)
    assert zone is not None
    return zone


BERLIN = zone_of("Europe/Berlin")


def instant(text: str) -> int:
    """Return a time in UTC, such as `2026-03-29 00:00`, in microseconds since 1970."""
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1_000_000


@pytest.fixture
def in_berlin() -> Iterator[None]:
    token = zone_choice.set(ZoneChoice(BERLIN, BERLIN.name))
    yield
    zone_choice.reset(token)


@pytest.mark.parametrize(
    ("day", "midnight", "hours"),
    [("2026-03-29", "2026-03-28 23:00", 23), ("2026-10-25", "2026-10-24 22:00", 25), ("2026-11-02", None, 24)],
)
def test_bucket_of_a_day_in_berlin_has_the_hours_of_that_day(day, midnight, hours):
    start = instant(midnight or "2026-11-01 23:00")
    since, now = BERLIN.start_of_day(start, -10), BERLIN.start_of_day(start, 10) - 1
    points = [(since + hour * HOUR, {"completed runs": 1}) for hour in range(1 + (now - since) // HOUR)]
    buckets = {bucket.since: bucket for bucket in build_time_buckets(points, since, None, now, BERLIN)}
    assert len(buckets) == 20
    assert all(BERLIN.to_local(since).hour == 0 for since in buckets)
    bucket = buckets[start]
    assert f"{BERLIN.to_local(start):%Y-%m-%d}" == day
    assert (bucket.until - bucket.since, bucket.amounts) == (hours * HOUR, {"completed runs": hours})


@pytest.mark.parametrize(
    ("since", "lengths"),
    [("2026-03-28 23:00", [2, 3, 3, 3, 3, 3, 3, 3]), ("2026-10-24 22:00", [4, 3, 3, 3, 3, 3, 3, 3])],
)
def test_parts_of_a_day_follow_the_clock_when_it_changes(since, lengths):
    first = instant(since)
    buckets = build_time_buckets([(first, {"failed runs": 1})], first, None, first + 5 * DAY, BERLIN)
    assert [(bucket.until - bucket.since) // HOUR for bucket in buckets[:8]] == lengths
    assert {BERLIN.to_local(bucket.since).hour for bucket in buckets} == set(range(0, 24, 3))


@given(
    zone=st.sampled_from(ZONES).map(zone_of),
    since=st.integers(0, 35_000 * 24),
    hours=st.integers(1, 3_000),
    offsets=st.lists(st.integers(0, 3_000), min_size=1, max_size=5),
)
def test_buckets_of_any_zone_are_consecutive_and_include_all_points(zone, since, hours, offsets):
    first, now = since * HOUR, (since + hours) * HOUR
    size = choose_point_hours(first, now, None, zone) * HOUR
    points = {(first + offset % hours * HOUR) // size * size: {"completed runs": 1} for offset in offsets}
    buckets = build_time_buckets(points.items(), first, None, now, zone)
    assert buckets[0].since <= first < buckets[0].until
    assert buckets[-1].since < now <= buckets[-1].until
    assert all(left.until == right.since for left, right in itertools.pairwise(buckets))
    assert all(bucket.since % HOUR == 0 and bucket.since < bucket.until for bucket in buckets)
    assert sum(sum(bucket.amounts.values()) for bucket in buckets) == len(points)


@given(zone=st.sampled_from(ZONES).map(zone_of), since=st.integers(0, 35_000 * 24), hours=st.integers(1, 60_000))
def test_ticks_of_any_zone_are_few_and_at_its_calendar_boundaries(zone, since, hours):
    first, end = since * HOUR, (since + hours) * HOUR
    ticks = choose_ticks(first, end, zone)
    assert len(ticks) <= MAX_TICKS
    assert all(first <= tick.time < end for tick in ticks)
    assert [tick.time for tick in ticks] == sorted({tick.time for tick in ticks})
    if hours > 48:
        assert ticks
    if hours > MAX_TICKS * 12 + 14:
        assert all(tick.time == zone.start_of_day(tick.time) for tick in ticks)


def test_ticks_of_a_week_in_berlin_are_its_midnights_when_the_clocks_change():
    since = instant("2026-10-22 22:00")
    ticks = choose_ticks(since, BERLIN.start_of_day(since, 6), BERLIN)
    assert [tick.label for tick in ticks] == ["23 Oct", "24 Oct", "25 Oct", "26 Oct", "27 Oct", "28 Oct"]
    assert [(after.time - tick.time) // HOUR for tick, after in itertools.pairwise(ticks)] == [
        24, 24, 25, 24, 24,
    ]  # fmt: skip


@pytest.mark.parametrize(
    "name", ["", "Europe", "Mars/Olympus", "../etc/passwd", "/etc/passwd", "localtime", "Europe/Berlin\0", "A" * 500]
)
def test_unknown_zone_is_ignored_and_stated(name):
    choice = choose_zone(name, "Europe/Berlin", "/ui/history")
    assert (choice.zone, choice.parameter) == (BERLIN, "Europe/Berlin")
    assert choice.unknown == (name or None)


def test_link_of_a_zone_takes_precedence_over_the_remembered_one():
    assert choose_zone("Asia/Tokyo", "Europe/Berlin", "").zone.name == "Asia/Tokyo"
    # A page in UTC needs a parameter only for a browser that remembers another zone.
    assert choose_zone("UTC", "Europe/Berlin", "").parameter == "UTC"
    assert choose_zone("UTC", None, "").parameter is None
    assert choose_zone(None, "no zone", "") == ZoneChoice(UTC_ZONE, None, None, "")


@pytest.mark.usefixtures("in_berlin")
@pytest.mark.parametrize(
    ("text", "exact"),
    [
        ("2026-03-29T02:30", "2026-03-29T01:30:00.000000Z"),  # skipped: the clocks show 03:30
        ("2026-10-25T02:30", "2026-10-25T00:30:00.000000Z"),  # the first of two
        ("2026-07-01T12:00:30.5", "2026-07-01T10:00:30.500000Z"), ("2026-07-01T12:00Z", "2026-07-01T12:00:00Z"),
        ("2026-02-30T12:00", "2026-02-30T12:00:00Z"), ("2026-07-01T12:00:00+05:00", "2026-07-01T12:00:00+05:00"),
    ],
)  # fmt: skip
def test_time_without_offset_is_local(text, exact):
    assert to_exact_time(text) == exact


@pytest.mark.usefixtures("in_berlin")
def test_times_are_shown_in_the_zone():
    summer = instant("2026-07-01 22:30")
    assert format_time(summer) == "2026-07-02 00:30:00"
    assert format_for_input(summer) == "2026-07-02T00:30"
    assert BERLIN.format_timestamp(summer) == "2026-07-02T00:30:00.000000+02:00"
    assert UTC_ZONE.format_timestamp(summer) == format_timestamp(summer)
    assert time_tag(summer, "00:30") == (
        '<time datetime="2026-07-01T22:30:00Z" title="2026-07-02 00:30:00 (Berlin)">00:30</time>'
    )


@pytest.mark.usefixtures("in_berlin")
def test_last_days_start_at_local_midnight_and_compare_with_the_same_local_time():
    now = instant("2026-10-28 11:30")
    filters = parse_parameters({"last": "7d"}, now)
    assert filters.since == instant("2026-10-21 22:00")
    period, previous = shown_period(filters, now), previous_period(filters, now)
    assert previous is not None
    assert (previous.since, previous.until) == (instant("2026-10-14 22:00"), instant("2026-10-21 11:00"))
    assert period is not None
    assert period.describe(now) == "22 Oct 00:00 (Berlin) – now, 6 days 14 hours"


def test_page_states_where_charts_do_not_start_with_days_of_the_zone():
    now = instant("2026-07-01 12:00")
    week, quarter = now - 7 * DAY, now - 90 * DAY
    assert describe_limit(week, now, None, BERLIN) is None
    assert describe_limit(quarter, now, None, UTC_ZONE) is None
    assert describe_limit(quarter, now, None, BERLIN) == (
        f"Over more than {MAX_HOURS // 24} days, the charts show days of UTC, which start at 02:00 Berlin time."
    )
    assert describe_limit(week, now, None, zone_of("Asia/Kolkata")) == (
        "The charts are sums of full hours of UTC, so that their days start at 23:30 Kolkata time."
    )
