"""Modules of the pages, without a server: template filters, JSON trees, time buckets, charts and updates."""

import json
import re
from xml.etree import ElementTree

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from xpander_server.clock import DAY, HOUR
from xpander_server.domain.metrics import OUTCOMES, summarize_point
from xpander_server.domain.task import MAX_CHANGES, merge
from xpander_server.store.excerpts import Excerpt, decode_start
from xpander_server.store.previews import PREVIEW_LENGTH
from xpander_server.store.view_summary import TaskFigures, ViewSummary
from xpander_server.web import template_filters
from xpander_server.web.chart_data import CHARTS, build_chart, to_csv
from xpander_server.web.charts import DataSeries, TimeAxis, render_columns, render_lines
from xpander_server.web.comparison import Period, format_change, format_point_change, previous_period, shown_period
from xpander_server.web.filters import PageFilters
from xpander_server.web.json_tree import MAX_LEVELS, MAX_NODES, MAX_TEXT, MAX_TEXT_LENGTH, render_json_tree
from xpander_server.web.task import list_updates
from xpander_server.web.time_buckets import MAX_BUCKETS, TimeBucket, build_time_buckets, choose_point_hours
from xpander_server.web.time_ticks import MAX_TICKS, choose_ticks
from xpander_server.web.time_zones import find_zone, zone_choice
from xpander_server.web.view_totals import add_up

NOON = 20_000 * DAY + 12 * HOUR


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"), (0, "0 s"), (0.0004, "0.4 ms"), (0.04, "40 ms"), (0.0996, "0.1 s"), (4.7, "4.7 s"), (59.4, "59 s"),
        (59.6, "1 min"), (185, "3 min 5 s"), (3_600, "1 h"), (7_800, "2 h 10 min"), (3_599.9, "1 h"),
         (10**7, "2,777 h 46 min"),
    ],
)  # fmt: skip
def test_duration_has_readable_unit(value, text):
    assert template_filters.format_duration(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (999, "999"), (999.6, "1k"), (12_345, "12.3k"), (999_499, "999k"), (999_600, "1M"), (4.5e9, "4.5G")],
)
def test_large_number_is_shortened(value, text):
    assert template_filters.format_short(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "$0.00"), (1_234.5, "$1,234.50"), (0.0123, "$0.01"), (0.00123, "$0.0012"), (1e-7, "<$0.0001"), (None, "–")],
)
def test_dollars_have_significant_digits(value, text):
    assert template_filters.format_dollars(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0, "$0.00"), (0.015, "$0.015"), (0.1, "$0.10"), (0.00025, "$0.00025"), (1_500, "$1,500.00")]
)
def test_dollars_at_an_axis_have_all_digits(value, text):
    assert template_filters.format_dollar_tick(value) == text


@pytest.mark.parametrize(("value", "text"), [(1, "100 %"), (0.99999, "99.9 %"), (0.5, "50 %"), (0.985, "98.5 %")])
def test_percentage_is_100_only_for_whole_share(value, text):
    assert template_filters.format_percent(value) == text


def test_text_is_shortened_to_one_line():
    assert template_filters.one_line("a\n\tb   c") == "a b c"
    assert template_filters.one_line("x" * 200, 10) == "x" * 10 + "…"
    assert template_filters.one_line(None) == ""


@pytest.mark.parametrize("character", ["a", '"', "\\", "\n", "é", "😀", "\u0001"])
def test_preview_of_text_is_valid_wherever_its_json_is_cut(character):
    text = character * 1_000
    for shift in range(12):
        complete = "-" * shift + text
        preview = decode_start(json.dumps(complete)[:PREVIEW_LENGTH], PREVIEW_LENGTH)
        assert isinstance(preview, Excerpt)
        assert complete.startswith(preview)
        assert len(preview) >= (PREVIEW_LENGTH - 14) / 12
    whole = decode_start(json.dumps(character), PREVIEW_LENGTH)
    assert (whole, type(whole)) == (character, str)


def test_json_tree_escapes_all_text():
    attack = "</span><script>alert(1)</script>'\"&"
    tree = str(render_json_tree(json.dumps({attack: [attack, {"a": attack}]})))
    assert "<script" not in tree
    assert tree.count("&lt;script&gt;") == 3


def test_json_tree_keeps_digits_of_numbers():
    assert all(
        number in render_json_tree(f"[{number}]") for number in ("1.10", "12345678901234567890123", "-0", "1E+2")
    )


def test_json_tree_is_limited_and_states_what_it_omits():
    wide = str(render_json_tree(json.dumps(list(range(MAX_NODES * 2)))))
    assert "Too large to show completely" in wide
    assert wide.count('class="leaf"') < MAX_NODES
    assert wide.count("<details") == wide.count("</details>")
    deep = str(render_json_tree("[" * 512 + "]" * 512))
    assert deep.count("<details") == MAX_LEVELS + 1
    assert "Too deep to show" in deep
    many = str(render_json_tree(json.dumps(["x" * MAX_TEXT_LENGTH] * 1_000)))
    assert len(many) < 3 * MAX_TEXT
    assert many.count('class="leaf"') == 1_000
    assert "1 more character<" in render_json_tree(json.dumps("x" * (MAX_TEXT_LENGTH + 1)))


def test_time_buckets_are_consecutive_and_include_all_points():
    points = [(NOON, {"completed runs": 1}), (NOON + 5 * HOUR, {"completed runs": 2, "failed runs": 1})]
    buckets = build_time_buckets(points, NOON - 3 * HOUR, None, NOON + 6 * HOUR)
    assert [bucket.since for bucket in buckets] == [NOON + hour * HOUR for hour in range(-3, 6)]
    assert [sum(bucket.amounts.values()) for bucket in buckets] == [0, 0, 0, 1, 0, 0, 0, 0, 3]
    assert build_time_buckets([], None, None, NOON) == []


@pytest.mark.parametrize(("days", "length"), [(1, HOUR), (7, 3 * HOUR), (30, DAY), (90, 3 * DAY), (365, 7 * DAY)])
def test_bucket_length_depends_on_time_range(days, length):
    buckets = build_time_buckets([(NOON, {"completed runs": 1})], NOON - days * DAY, NOON, NOON)
    assert {bucket.until - bucket.since for bucket in buckets} == {length}
    assert len(buckets) <= MAX_BUCKETS + 1
    assert buckets[0].since <= NOON - days * DAY < buckets[0].until
    assert choose_point_hours(NOON - days * DAY, NOON, None) == (1 if length < DAY else 24)


def hourly_axis(count: int) -> TimeAxis:
    buckets = [TimeBucket(NOON + index * HOUR, NOON + (index + 1) * HOUR, {}) for index in range(count)]
    return TimeAxis(buckets, ["#"] * count, ["tooltip"] * count)


def test_height_of_columns_is_proportional_to_values():
    series = [DataSeries("a", "series-1", [1, 2, 0]), DataSeries("b", "series-2", [3, 0, 0])]
    svg = ElementTree.fromstring(render_columns(series, hourly_axis(3), str))
    first, second = (
        [float(rect.get("height", "")) for rect in svg.findall(f".//g[@class='{style}']/rect")]
        for style in ("series-1", "series-2")
    )
    assert first[1] / first[0] == pytest.approx(2, rel=0.01)
    assert second[0] / first[0] == pytest.approx(3, rel=0.01)
    assert (len(first), len(second)) == (2, 1)


def test_line_is_interrupted_at_unknown_values():
    series = [DataSeries("a", "series-1", [1.0, 2.0, None, 0.5, 1.0])]
    svg = ElementTree.fromstring(render_lines(series, hourly_axis(5), template_filters.format_duration))
    assert len(svg.findall(".//g[@class='series-1']/path")) == 2
    (dots,) = svg.findall(".//g[@class='series-1 dots']/path")
    assert dots.get("d", "").count("M") == 4


def test_dots_of_few_runs_are_hollow_and_lines_that_cover_each_other_have_different_widths():
    amounts = {"completed runs": 4, "completed duration": 4, "completed bucket 700": 4}
    many = {key: 2 * amount for key, amount in amounts.items()}
    buckets = [TimeBucket(NOON + day * DAY, NOON + (day + 1) * DAY, each) for day, each in enumerate((amounts, many))]
    chart = build_chart("durations", buckets, [summarize_point(bucket.amounts) for bucket in buckets], ["#"] * 2)
    svg = ElementTree.fromstring(str(chart.svg))
    assert chart.has_sparse_values
    dots = {
        group.get("class", "").removesuffix(" dots"): {
            path.get("class"): path.get("d", "").count("M") for path in group.findall("path")
        }
        for group in svg.iter("g")
        if group.get("class", "").endswith(" dots")
    }
    # The wide lines of p95 and p99 have no dots where a value is of many runs.
    hollow = {"outer": 1, "inner": 1}
    assert dots == {"series-1": {"full": 1, **hollow}, "series-2": hollow, "series-3": hollow}
    widths = [float(path.get("stroke-width", "")) for path in svg.iter("path") if path.get("class") is None]
    assert widths == sorted(set(widths), reverse=True)
    assert len(widths) == 3


@pytest.mark.parametrize(
    ("seconds", "labels"),
    [
        (0.3, ["0 s", "0.1 s", "0.2 s", "0.3 s"]), (50, ["0 s", "15 s", "30 s", "45 s", "1 min"]),
        (170, ["0 s", "1 min", "2 min", "3 min"]), (99_999, ["0 s", "12 h", "24 h", "36 h"]),
        (400_000, ["0 s", "48 h", "96 h", "144 h"]),
    ],
)  # fmt: skip
def test_ticks_of_durations_are_full_units(seconds, labels):
    series = [DataSeries("p50", "series-1", [1e-3, float(seconds)])]
    svg = render_lines(series, hourly_axis(2), template_filters.format_duration, is_duration=True)
    axis = ElementTree.fromstring(svg).find(".//g[@class='axis left']")
    assert axis is not None
    assert sorted((text.text for text in axis.iter("text")), key=labels.index) == labels


@pytest.mark.parametrize(
    ("value", "text"), [(None, "–"), (0.0, "$0.0000"), (1_234.5, "$1,234.5000"), (2e-5, "<$0.0001")]
)
def test_dollars_of_a_column_have_four_digits_after_the_point(value, text):
    assert template_filters.format_list_dollars(value) == text


def test_bars_behind_a_line_have_the_height_of_the_chart_at_most():
    axis = hourly_axis(3)
    bars = DataSeries("failed", "bars", [0, 2, 8])
    svg = render_lines([DataSeries("rate", "failed", [0.0, 0.1, 0.4])], axis, str, bars)
    groups = ElementTree.fromstring(svg).iter("g")
    heights = [float(rect.attrib["height"]) for group in groups if group.get("class") == "bars" for rect in group]
    column = ElementTree.fromstring(svg).find(".//g[@class='buckets']//rect")
    assert column is not None
    assert heights == pytest.approx([float(column.attrib["height"]) / 4, float(column.attrib["height"])], abs=0.1)


def test_runs_are_counted_by_day_of_the_time_zone_where_the_count_is_complete():
    times = [10 * DAY + HOUR, 9 * DAY + 20 * HOUR, 9 * DAY, 7 * DAY]
    tasks = [TaskFigures(str(time), time, "a", True, None, None, None) for time in times]
    assert add_up(ViewSummary(tasks, True, times[-1])).by_day == {10 * DAY: 1, 9 * DAY: 2, 7 * DAY: 1}
    assert add_up(ViewSummary(tasks, False, times[-1])).by_day == {10 * DAY: 1, 9 * DAY: 2}
    choice = zone_choice.set(evolve(zone_choice.get(), zone=find_zone("Asia/Tokyo")))
    try:
        days = add_up(ViewSummary(tasks, True, times[-1])).by_day
    finally:
        zone_choice.reset(choice)
    assert days == {10 * DAY - 9 * HOUR: 2, 9 * DAY - 9 * HOUR: 1, 7 * DAY - 9 * HOUR: 1}


def test_legend_names_only_series_with_values():
    bucket = TimeBucket(NOON, NOON + DAY, {"completed runs": 4, "failed runs": 1})
    chart = build_chart("runs", [bucket], [summarize_point(bucket.amounts)], ["#"])
    assert [item.name for item in chart.legend] == ["completed", "failed"]


@given(since=st.integers(0, 60_000 * DAY), hours=st.integers(1, 60_000 * 24))
def test_ticks_are_few_and_at_calendar_boundaries(since, hours):
    until = since + hours * HOUR
    ticks = choose_ticks(since, until)
    times = [tick.time for tick in ticks]
    assert len(times) <= MAX_TICKS
    assert all(since <= time < until and time % HOUR == 0 for time in times)
    assert times == sorted(set(times))
    if hours > 48:
        assert ticks
    if hours > MAX_TICKS * 12 + 12:
        assert all(time % DAY == 0 for time in times)
    if hours <= 365 * 24:  # a clock time may appear on two days, a day or a month only once
        days = [tick.label for tick in ticks if tick.time % DAY == 0]
        assert len(set(days)) == len(days)


def test_ticks_of_a_week_are_midnights_and_those_of_a_year_are_months():
    midnight = NOON - 12 * HOUR
    assert [tick.time for tick in choose_ticks(NOON, NOON + 6 * DAY)] == [midnight + day * DAY for day in range(1, 7)]
    assert [tick.label for tick in choose_ticks(midnight, midnight + DAY)][:2] == ["4 Oct", "06:00"]
    assert [tick.label for tick in choose_ticks(midnight, midnight + 365 * DAY)] == [
        "Nov", "Jan 2025", "Mar", "May", "Jul", "Sep",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("current", "previous", "text"),
    [
        (112, 100, "▲ 12 %"), (50, 100, "▼ 50 %"), (100, 100, "± 0 %"), (2_000, 100, "▲ 20×"), (0, 5, "▼ 100 %"),
        (5, 0, None), (5, None, None), (None, 5, None),
    ],
)  # fmt: skip
def test_change_is_relative_to_period_before(current, previous, text):
    assert format_change(current, previous) == text


def test_change_of_a_rate_is_in_points():
    assert format_point_change(0.9, 0.925) == "▼ 2.5 points"
    assert format_point_change(0.5, 0.5) == "± 0 points"
    assert format_point_change(None, 0.5) is None


def filters_of(since, until=None, last=None):
    return PageFilters(parameters={}, cursor=None, fields={}, since=since, until=until, last=last)


def test_period_before_has_same_time_of_day():
    midnight = NOON - 12 * HOUR
    week = filters_of(midnight - 6 * DAY, last="7d")
    assert shown_period(week, NOON + 1) == Period(midnight - 6 * DAY, NOON + HOUR)
    assert previous_period(week, NOON + 1) == Period(midnight - 13 * DAY, NOON + HOUR - 7 * DAY)
    day = filters_of(midnight, midnight + DAY)
    assert previous_period(day, NOON) == Period(midnight - DAY, midnight)
    assert previous_period(filters_of(None, last="all"), NOON) is None


def test_period_is_described_in_words():
    assert Period(NOON, NOON + 26 * HOUR).describe(NOON + 2 * DAY) == ("4 Oct 12:00 – 5 Oct 14:00 UTC, 1 day 2 hours")
    assert Period(NOON, NOON + HOUR).describe(NOON + 1) == "4 Oct 12:00 UTC – now, 1 hour"


@pytest.mark.parametrize("name", CHARTS)
def test_chart_is_drawn_for_amounts_of_any_size_without_inline_styles(name):
    for size in (1, 10**6, 10**15):
        amounts = {
            **{f"{outcome} runs": size for outcome in OUTCOMES},
            "completed duration": size, "completed bucket 700": 3, "completed bucket 90": 1, "completed cost": size,
            "completed prompt_tokens": size, "completed completion_tokens": 1, "completed cache_read_tokens": size,
        }  # fmt: skip
        buckets = [TimeBucket(NOON, NOON + DAY, amounts), TimeBucket(NOON + DAY, NOON + 2 * DAY, {})]
        summaries = [summarize_point(bucket.amounts) for bucket in buckets]
        chart = build_chart(name, buckets, summaries, ["/ui/a?b=1&c=2"] * 2)
        assert chart.svg is not None
        assert not re.search(r"style=|<style|<script|http", chart.svg)
        ElementTree.fromstring(chart.svg)


def test_csv_contains_no_formulas():
    assert to_csv([{"a": "=x", "b": -1}, {"a": 'q"q', "b": None}]) == 'a,b\r\n\'=x,-1\r\n"q""q",\r\n'
    assert to_csv([]) == ""


def report(task, now, **fields):
    return merge(task, fields, organization_id="org", agent_id="a", task_id="t", reported_at=None, now=now)


def test_updates_have_values_before_and_after():
    task = report(None, NOON, input="i", result="one")
    task = report(task, NOON + 1, result="two", llm_response='{"a": 1}')
    task = report(task, NOON + 2, result="x" * 300, is_success=True)
    task = report(task, NOON + 3, result="x" * 300)
    latest, first = list_updates(task)
    assert [(field.name, field.before, field.after, field.after_length) for field in latest.fields] == [
        ("is_success", None, True, None),
        ("result", "two", None, 300),
    ]
    assert [(field.name, field.before, field.after, field.after_length) for field in first.fields] == [
        ("llm_response", None, None, 8),
        ("result", "one", "two", None),
    ]
    assert (latest.at, first.at) == (NOON + 2, NOON + 1)


def test_number_of_kept_updates_is_limited():
    task = report(None, NOON, result="0")
    for number in range(1, MAX_CHANGES + 10):
        task = report(task, NOON + number, result=str(number))
    assert len(task.changes) == MAX_CHANGES
    assert task.changes[-1]["before"] == {"result": str(MAX_CHANGES + 8)}
