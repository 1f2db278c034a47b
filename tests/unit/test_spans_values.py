"""Values of attributes of spans, and spans as trees."""

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from xpander_capture.spans import Span, summarize
from xpander_capture.spans.tree import link, unique
from xpander_capture.spans.values import clean_text, look_up, parse_json, read_count, read_name, read_number


@pytest.mark.parametrize(
    ("value", "count"),
    [
        (0, 0),
        (7.9, 7),
        ("22118", 22_118),
        ("1e3", 1_000),
        ("1.0", 1),
        (10**12, 10**12),
        (10**12 + 1, None),
        (-1, None),
        ("x", None),
        ("1.x", None),
        (True, None),
        (None, None),
        ([1], None),
        (float("inf"), None),
        ("nan.", None),
        ("1e999", None),
    ],
)
def test_count_is_a_number_or_its_text_up_to_a_trillion(value, count):
    assert read_count(value) == count


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (0, 0.0),
        ("0.5", 0.5),
        (1e9, 1e9),
        (1e9 + 1, None),
        (-0.1, None),
        ("x", None),
        (None, None),
        (True, None),
        (10**400, None),
        ("nan", None),
    ],
)
def test_number_is_from_zero_to_a_billion(value, number):
    assert read_number(value) == number


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (" a b ", "a b"),
        ("a\nb", "ab"),
        (5, "5"),
        ("", None),
        (" \t", None),
        (True, None),
        (1.5, None),
        ("x" * 256, "x" * 255),
        ("x" * 254 + " y", "x" * 254),
    ],
)
def test_name_has_at_most_255_printable_characters(value, name):
    assert read_name(value) == name


def test_text_has_at_most_a_million_characters():
    assert clean_text("x" * 1_000_001) == "x" * 1_000_000
    assert (clean_text("a\ud800"), clean_text(None)) == ("a?", None)


@pytest.mark.parametrize(
    ("value", "parsed"),
    [
        (" [1]", [1]),
        ('{"a": 1}', {"a": 1}),
        ("{", "{"),
        ("[" * 100_000, "[" * 100_000),
        ('"a"', '"a"'),
        ("5", "5"),
        (5, 5),
    ],
)
def test_json_text_of_a_list_or_an_object_is_parsed(value, parsed):
    assert parse_json(value) == parsed


@given(
    st.tuples(st.sampled_from("[{"), st.text('[]{}",:\\ \t\n\u00a0\ufeff019.eEINaftrulsnd')).map("".join) | st.text()
)
@example("[1]\u00a0")
@example("\ufeff[1]")
@example("[1] [2]")
@example(' {"a": [1e999, -0, "\\ud800"]}\r\n')
def test_json_text_is_parsed_as_the_library_does(text):
    value = parse_json(text)
    try:
        expected = json.loads(text)
    except ValueError:
        expected = text
    assert repr(value) == repr(expected if isinstance(expected, list | dict) else text)


def test_json_text_of_a_text_is_parsed_if_it_is_expected():
    assert parse_json('"a"', is_text=True) == "a"


def test_json_text_of_more_than_4_mib_is_not_parsed():
    longest = "[" + " " * (4 * 1_048_576 - 2) + "]"
    assert parse_json(longest) == []
    assert parse_json(longest + " ") == longest + " "


def test_value_is_looked_up_through_json_texts_and_lists():
    value = {"messages": '[{"text": "a"}, {"text": "b"}]'}
    assert [look_up(value, ("messages", number, "text")) for number in ("0", "1", "2", "-1", "x")] == [
        *("a", "b"),
        *[None] * 3,
    ]
    assert look_up({"a": 5}, ("a", "b")) is None
    assert look_up(value, ()) == value


def span(id: int, parent: int = 0, start: int = 1, end: int = 9, agent: str | None = None) -> Any:
    return summarize(
        Span(
            trace_id="5b8efff798038103d269b633813fc60c",
            id=f"{id:016x}",
            parent_id=f"{parent:016x}" if parent else "",
            name=f"span {id}",
            start=start,
            end=end,
            attributes={} if agent is None else {"gen_ai.agent.name": agent},
            resource={},
        )
    )


def numbers(nodes: Any) -> list[int]:
    return [int(node.span.id, 16) for node in nodes]


def test_subtree_has_parents_before_children_in_their_order():
    (top,) = link([span(1), span(2, 1), span(3, 1), span(4, 2)])
    assert numbers(top.subtree()) == [1, 2, 4, 3]


def test_span_of_an_unknown_parent_is_a_top_and_a_cycle_is_not():
    assert numbers(link([span(1, 9), span(2, 2), span(3, 4), span(4, 3)])) == [1, 2]


def test_span_that_ended_last_replaces_the_others_of_its_id():
    early, late = span(1, end=5), span(1, end=6)
    other = span(2, start=0)
    assert unique([early, late, other]) == unique([late, other, early]) == [other, late]


def test_one_of_two_versions_with_the_same_end_counts_in_any_order():
    first, second = span(1, agent="a"), span(1, agent="b")
    assert unique([first, second]) == unique([second, first])
    assert len(unique([first, second])) == 1
