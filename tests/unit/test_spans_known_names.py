"""Attributes that the conventions know, and the encoder of summaries."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xpander_capture.spans import Event, Span, summarize, to_json
from xpander_capture.spans.conventions import CONVENTIONS
from xpander_capture.spans.known_names import _find_and_keep, find_known_names
from xpander_capture.spans.values import encode_json

NAMES = sorted(
    {name for convention in CONVENTIONS for name in (*convention.inputs, *convention.agent, *convention.model)}
)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(), children, max_size=3),
    max_leaves=10,
)


def span(attributes: dict[str, object]) -> Span:
    return Span("1" * 32, "2" * 16, "", "span", 1, 2, attributes, {}, (Event("x", {}),))


def test_names_of_a_span_are_found_once():
    _find_and_keep.cache_clear()
    for number in range(20):
        find_known_names({"gen_ai.agent.name": f"agent {number}", "x": number})
    assert _find_and_keep.cache_info().misses == 1


@pytest.mark.parametrize(
    "attributes",
    [{f"name {number}": 1 for number in range(100)}, {"x" * 10_000: 1}],
    ids=["many names", "long name"],
)
def test_large_sets_of_names_are_not_kept(attributes: dict[str, object]):
    _find_and_keep.cache_clear()
    assert find_known_names({**attributes, "gen_ai.agent.name": "weather"}).agent
    assert _find_and_keep.cache_info().currsize == 0


@pytest.mark.parametrize(
    ("names", "is_kept"),
    [
        ([f"{number}" for number in range(64)], True),
        ([f"{number}" for number in range(65)], False),
        (["x" * 4_096], True),
        (["x" * 4_000, "y" * 96], True),
        (["x" * 4_000, "y" * 97], False),
    ],
)
def test_at_most_64_names_of_4096_characters_are_kept(names: list[str], is_kept: bool):
    _find_and_keep.cache_clear()
    find_known_names(dict.fromkeys(names))
    assert _find_and_keep.cache_info().currsize == is_kept


def test_512_sets_of_names_are_kept():
    for number in range(2_000):
        find_known_names({f"name {number}": 1})
    assert _find_and_keep.cache_info().currsize == 512


@pytest.mark.parametrize(
    ("attributes", "agent"),
    [
        ({"gen_ai.agent.id": "asst_1", "gen_ai.agent.name": "support"}, "asst_1"),
        ({"traceloop.span.kind": "agent", "gen_ai.agent.id": "run 1", "gen_ai.agent.name": "support"}, "support"),
        ({"traceloop.span.kind": "agent", "gen_ai.agent.id": "run 1", "agent.name": "support"}, "support"),
        ({"traceloop.span.kind": "agent", "gen_ai.agent.id": "run 1", "graph.node.id": "support"}, "support"),
        ({"traceloop.span.kind": "agent", "gen_ai.agent.name": "a", "agent_name": "b"}, "a"),
        ({"traceloop.span.kind": "agent", "gen_ai.agent.id": "run 1"}, None),
    ],
)
def test_id_of_an_agent_in_openllmetry_is_that_of_a_run(attributes: dict[str, object], agent: str | None):
    assert summarize(span(attributes)).agent == agent


@settings(max_examples=50)
@given(st.dictionaries(st.sampled_from(NAMES), st.text(), max_size=8), st.integers(0, 100))
def test_summary_does_not_depend_on_whether_names_are_kept(attributes: dict[str, object], others: int):
    more = {f"other {number}": number for number in range(others)}
    _find_and_keep.cache_clear()
    first = to_json(summarize(span({**attributes, **more})))
    assert to_json(summarize(span({**attributes, **more}))) == first
    # More than 64 names are not kept.
    assert to_json(summarize(span({**attributes, **{f"other {number}": number for number in range(100)}}))) == first


@settings(max_examples=100)
@given(JSON_VALUES)
def test_encoder_writes_the_text_of_the_standard_library(value: object):
    assert encode_json(value) == json.dumps(value, ensure_ascii=False, separators=(",", ":"))


@pytest.mark.parametrize("value", [object(), {1: {2}}, b"bytes"])
def test_values_without_a_form_in_json_are_an_error(value: object):
    with pytest.raises(TypeError):
        encode_json(value)
