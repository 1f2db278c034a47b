"""Pages, without a server: how values are written, trees, spans, charts, what updates changed."""

import json
import re
from xml.etree import ElementTree

import pytest

from xpander_server.clock import DAY, HOUR
from xpander_server.domain.metrics import OUTCOMES, summarize_point
from xpander_server.domain.task import MAX_CHANGES, merge
from xpander_server.store.previews import PREVIEW_LENGTH, decode_preview
from xpander_server.web import template_filters
from xpander_server.web.chart_data import as_csv, build_chart
from xpander_server.web.charts import Drawn, SpanAxis, columns, lines
from xpander_server.web.json_tree import MAX_LEVELS, MAX_NODES, MAX_TEXT, render_json_tree
from xpander_server.web.task import updates
from xpander_server.web.time_buckets import AT_MOST, TimeBucket, resolution, time_buckets

NOON = 20_000 * DAY + 12 * HOUR


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (None, "–"), (0, "0 s"), (0.0004, "0.4 ms"), (0.04, "40 ms"), (0.0996, "0.1 s"), (4.7, "4.7 s"), (59.4, "59 s"),
        (59.6, "1 min"), (185, "3 min 5 s"), (3_600, "1 h"), (7_800, "2 h 10 min"), (3_599.9, "1 h"),
         (10**7, "2,777 h 46 min"),
    ],
)  # fmt: skip
def test_durations_are_written_for_people(value, written):
    assert template_filters.seconds(value) == written


@pytest.mark.parametrize(
    ("value", "written"),
    [(0, "0"), (999, "999"), (999.6, "1k"), (12_345, "12.3k"), (999_499, "999k"), (999_600, "1M"), (4.5e9, "4.5G")],
)
def test_large_numbers_are_shortened(value, written):
    assert template_filters.short(value) == written


@pytest.mark.parametrize(
    ("value", "written"),
    [(0.0, "$0.00"), (1_234.5, "$1,234.50"), (0.0123, "$0.01"), (0.00123, "$0.0012"), (1e-7, "<$0.0001"), (None, "–")],
)
def test_money_is_written_with_what_counts(value, written):
    assert template_filters.dollars(value) == written


@pytest.mark.parametrize(("value", "written"), [(1, "100 %"), (0.99999, "99.9 %"), (0.5, "50 %"), (0.985, "98.5 %")])
def test_a_share_is_whole_only_where_all_are(value, written):
    assert template_filters.share(value) == written


def test_a_line_is_one_and_short():
    assert template_filters.line("a\n\tb   c") == "a b c"
    assert template_filters.line("x" * 200, 10) == "x" * 10 + "…"
    assert template_filters.line(None) == ""


@pytest.mark.parametrize("character", ["a", '"', "\\", "\n", "é", "😀", "\u0001"])
def test_the_beginning_of_a_text_is_told_wherever_its_json_is_cut(character):
    text = character * 1_000
    for shift in range(12):
        whole = "-" * shift + text
        begun = decode_preview(json.dumps(whole)[:PREVIEW_LENGTH])
        assert begun.endswith("…")
        assert whole.startswith(begun[:-1])
        assert len(begun) >= (PREVIEW_LENGTH - 14) / 12
    assert decode_preview(json.dumps(character)) == character


def test_a_tree_escapes_every_text():
    attack = "</span><script>alert(1)</script>'\"&"
    shown = str(render_json_tree(json.dumps({attack: [attack, {"a": attack}]})))
    assert "<script" not in shown
    assert shown.count("&lt;script&gt;") == 3


def test_a_tree_shows_numbers_as_they_were_reported():
    assert all(text in render_json_tree(f"[{text}]") for text in ("1.10", "12345678901234567890123", "-0", "1E+2"))


def test_a_tree_has_bounds_and_tells_of_them():
    many = str(render_json_tree(json.dumps(list(range(MAX_NODES * 2)))))
    assert "More than fits here" in many
    assert many.count('class="leaf"') < MAX_NODES
    assert many.count("<details") == many.count("</details>")
    deep = str(render_json_tree("[" * 512 + "]" * 512))
    assert deep.count("<details") == MAX_LEVELS + 1
    assert "Deeper than fits here" in deep
    assert "1 characters more" in render_json_tree(json.dumps("x" * (MAX_TEXT + 1)))


def test_spans_leave_no_gap_and_no_amount_out():
    points = [(NOON, {"completed runs": 1}), (NOON + 5 * HOUR, {"completed runs": 2, "failed runs": 1})]
    found = time_buckets(points, NOON - 3 * HOUR, None, NOON + 6 * HOUR)
    assert [span.since for span in found] == [NOON + hour * HOUR for hour in range(-3, 6)]
    assert [sum(span.amounts.values()) for span in found] == [0, 0, 0, 1, 0, 0, 0, 0, 3]
    assert time_buckets([], None, None, NOON) == []


@pytest.mark.parametrize(("days", "length"), [(1, HOUR), (7, 3 * HOUR), (30, DAY), (90, 3 * DAY), (365, 7 * DAY)])
def test_there_are_as_many_spans_as_a_chart_has_room_for(days, length):
    found = time_buckets([(NOON, {"completed runs": 1})], NOON - days * DAY, NOON, NOON)
    assert {span.until - span.since for span in found} == {length}
    assert len(found) <= AT_MOST + 1
    assert found[0].since <= NOON - days * DAY < found[0].until
    assert resolution(NOON - days * DAY, NOON, None) == (1 if length < DAY else 24)


def test_columns_are_as_tall_as_their_numbers():
    found = [TimeBucket(NOON + index * HOUR, NOON + (index + 1) * HOUR, {}) for index in range(3)]
    axis = SpanAxis(found, ["#"] * 3, ["tip"] * 3)
    svg = ElementTree.fromstring(columns([Drawn("a", "first", [1, 2, 0]), Drawn("b", "second", [3, 0, 0])], axis, str))
    heights = {
        style: [float(rect.get("height", "")) for rect in svg.findall(f".//g[@class='{style}']/rect")]
        for style in ("first", "second")
    }
    assert heights["first"][1] / heights["first"][0] == pytest.approx(2, rel=0.01)
    assert heights["second"][0] / heights["first"][0] == pytest.approx(3, rel=0.01)
    assert (len(heights["first"]), len(heights["second"])) == (2, 1)


def test_a_line_is_broken_where_nothing_is_known():
    found = [TimeBucket(NOON + index * HOUR, NOON + (index + 1) * HOUR, {}) for index in range(5)]
    axis = SpanAxis(found, ["#"] * 5, ["tip"] * 5)
    svg = ElementTree.fromstring(
        lines([Drawn("a", "first", [1.0, 2.0, None, 0.5, 1.0])], axis, template_filters.seconds)
    )
    assert len(svg.findall(".//g[@class='first']/path")) == 2
    assert len(svg.findall(".//g[@class='first']/circle")) == 4


@pytest.mark.parametrize("name", ["runs", "success", "durations", "tokens", "cache", "cost"])
def test_every_figure_of_any_size_is_drawn_without_styles_in_it(name):
    for size in (1, 10**6, 10**15):
        amounts = {
            **{f"{outcome} runs": size for outcome in OUTCOMES},
            "completed duration": size, "completed bucket 700": 3, "completed bucket 90": 1, "completed cost": size,
            "completed prompt_tokens": size, "completed completion_tokens": 1, "completed cache_read_tokens": size,
        }  # fmt: skip
        found = [TimeBucket(NOON, NOON + DAY, amounts), TimeBucket(NOON + DAY, NOON + 2 * DAY, {})]
        made = build_chart(name, found, [summarize_point(span.amounts) for span in found], ["/ui/a?b=1&c=2"] * 2)
        assert made.svg is not None
        assert not re.search(r"style=|<style|<script|http", made.svg)
        ElementTree.fromstring(made.svg)


def test_csv_is_safe_for_spreadsheets():
    assert as_csv([{"a": "=x", "b": -1}, {"a": 'q"q', "b": None}]) == 'a,b\r\n\'=x,-1\r\n"q""q",\r\n'
    assert as_csv([]) == ""


def report(task, now, **given):
    return merge(task, given, organization_id="org", agent_id="a", task_id="t", reported_at=None, now=now)


def test_updates_tell_from_what_to_what():
    task = report(None, NOON, input="i", result="one")
    task = report(task, NOON + 1, result="two", llm_response='{"a": 1}')
    task = report(task, NOON + 2, result="x" * 300, is_success=True)
    task = report(task, NOON + 3, result="x" * 300)
    latest, first = updates(task)
    assert [(field.name, field.before, field.after, field.after_length) for field in latest.fields] == [
        ("is_success", None, True, None),
        ("result", "two", None, 300),
    ]
    assert [(field.name, field.before, field.after, field.after_length) for field in first.fields] == [
        ("llm_response", None, None, 8),
        ("result", "one", "two", None),
    ]
    assert (latest.at, first.at) == (NOON + 2, NOON + 1)


def test_only_the_latest_updates_are_remembered():
    task = report(None, NOON, result="0")
    for number in range(1, MAX_CHANGES + 10):
        task = report(task, NOON + number, result=str(number))
    assert len(task.changes) == MAX_CHANGES
    assert task.changes[-1]["before"] == {"result": str(MAX_CHANGES + 8)}
