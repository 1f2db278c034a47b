"""Decoder of the server's endpoint of traces: its summaries are those of the rule that all feeders share."""

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from support.recorded_spans import RUNS, document
from xpander_capture.spans import from_json, parse_valid_spans, summarize, to_json
from xpander_server.api.otlp import decode_json_export

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def assert_summaries_of_the_rule(exported: Any) -> None:
    """Assert that the summaries of an export, and their stored form, are those that `summarize` and `to_json` give."""
    spans, _ = parse_valid_spans(exported)
    summaries = {summary.id: summary for summary in map(summarize, spans)}
    stored = decode_json_export(json.dumps(exported).encode()).spans
    assert stored
    for span in stored:
        assert span.summary == summaries[span.summary.id]
        assert from_json(span.text) == from_json(to_json(span.summary))


@pytest.mark.parametrize("name", RUNS)
def test_recorded_spans_have_the_summaries_of_the_rule(name):
    assert_summaries_of_the_rule(document(name))


@given(VALUES, st.text(), st.integers(0, 2**80))
@example("\ud800", "x", 1)
def test_any_message_has_the_summary_of_the_rule(value, name, number):
    messages = [{"role": "assistant", "parts": [{"type": "text", "content": name}], "x": value, "n": number}]
    attributes = {
        "gen_ai.operation.name": "chat",
        "gen_ai.response.model": name,
        "gen_ai.output.messages": json.dumps(messages),
        "gen_ai.response.finish_reasons": json.dumps([value]),
        "gen_ai.usage.input_tokens": str(number),
    }
    assert_summaries_of_the_rule(
        {
            "resourceSpans": [
                {
                    "scopeSpans": [
                        {
                            "spans": [
                                {
                                    "traceId": "0" * 31 + "1",
                                    "spanId": "0" * 15 + "1",
                                    "name": "chat",
                                    "attributes": [
                                        {"key": key, "value": {"stringValue": text}} for key, text in attributes.items()
                                    ],
                                }
                            ]
                        }
                    ]
                }
            ]
        }
    )
