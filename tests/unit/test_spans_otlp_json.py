"""OTLP JSON: names, ids, times, values of attributes, and documents that are invalid."""

import re
from typing import Any

import pytest

from xpander_capture.spans import Event, Span, parse_spans

TRACE, ID = "5b8efff798038103d269b633813fc60c", "eee19b7ec3c1b174"


def document(*spans: Any, **resource_spans: Any) -> dict[str, Any]:
    return {"resourceSpans": [{"scopeSpans": [{"spans": list(spans)}], **resource_spans}]}


def parse(**fields: Any) -> Span:
    (span,) = parse_spans(document({"traceId": TRACE, "spanId": ID, **fields}))
    return span


def value_of(value: Any) -> Any:
    return parse(attributes=[{"key": "a", "value": value}]).attributes["a"]


def test_span_has_all_fields_of_the_document() -> None:
    raw = {
        "traceId": TRACE,
        "spanId": ID,
        "parentSpanId": "00f067aa0ba902b7",
        "name": "chat",
        "startTimeUnixNano": "1767605400000000000",
        "endTimeUnixNano": 1767605402000000000,
        "attributes": [{"key": "a", "value": {"stringValue": "x"}}],
        "events": [{"name": "e", "attributes": [{"key": "b", "value": {"boolValue": True}}]}, {}],
        "status": {"code": 2, "message": "no"},
    }
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "desk"}}]}
    assert parse_spans(document(raw, resource=resource)) == [
        Span(
            trace_id=TRACE,
            id=ID,
            parent_id="00f067aa0ba902b7",
            name="chat",
            start=1767605400000000000,
            end=1767605402000000000,
            attributes={"a": "x"},
            resource={"service.name": "desk"},
            events=(Event("e", {"b": True}), Event("None", {})),
            is_error=True,
            message="no",
        )
    ]


def test_names_may_be_those_of_the_protobuf_fields() -> None:
    raw = {
        "trace_id": TRACE,
        "span_id": ID,
        "parent_span_id": "00f067aa0ba902b7",
        "start_time_unix_nano": 1,
        "end_time_unix_nano": 2,
        "attributes": [
            {"key": "a", "value": {"array_value": {"values": [{"int_value": "5"}]}}},
            {"key": "b", "value": {"kvlist_value": {"values": [{"key": "c", "value": {"double_value": 0.5}}]}}},
        ],
    }
    for name in ("scope_spans", "instrumentation_library_spans"):
        (span,) = parse_spans({"resource_spans": [{name: [{"spans": [raw]}]}]})
        assert (span.trace_id, span.id, span.parent_id, span.start, span.end) == (TRACE, ID, "00f067aa0ba902b7", 1, 2)
        assert span.attributes == {"a": [5], "b": {"c": 0.5}}


def test_spans_of_all_documents_resources_and_scopes_are_read() -> None:
    raw = {"traceId": TRACE, "spanId": ID}
    scopes = [{"spans": [raw, raw]}, {"spans": [raw]}]
    both = {"resourceSpans": [{"scopeSpans": scopes, "instrumentationLibrarySpans": scopes}, {}, {"resource": None}]}
    assert len(parse_spans([both, both])) == 12
    assert parse_spans([]) == []


def test_span_without_optional_fields() -> None:
    empty: dict[str, Any] = {"parentSpanId": None, "name": None, "status": None, "events": None, "attributes": None}
    expected = Span(trace_id=TRACE, id=ID, parent_id="", name="", start=0, end=0, attributes={}, resource={})
    assert parse() == parse(**empty) == parse(status={}) == parse(status=[2]) == expected


@pytest.mark.parametrize(
    ("trace_id", "expected"),
    [
        (TRACE.upper(), TRACE),
        ("A" * 32, "a" * 32),
        ("A" * 16, "0" * 16 + "a" * 16),
        ("W47/95gDgQPSabYzgT/GDA==", TRACE),
        ("W47/95gDgQPSabYzgT/GDA==!", "w47/95gdgqpsabyzgt/gda==!"),
        ("Z" * 16, "z" * 16),
        ("ABCDEF12", "abcdef12"),
        ("ABCD", "abcd"),
        ("Abc", "abc"),
        ("Größe", "größe"),
        ("W47/95gDgQPSabYzgT/GDFuO//eYA4ED", "w47/95gdgqpsabyzgt/gdfuo//eya4ed"),
    ],
)
def test_id_of_a_trace_in_all_forms(trace_id: str, expected: str) -> None:
    assert parse(traceId=trace_id).trace_id == expected


@pytest.mark.parametrize("value", [None, "", "0", "0" * 16, "AAAAAAAAAAA=", "AAAA", 5])
def test_parent_without_an_id(value: Any) -> None:
    assert parse(parentSpanId=value).parent_id == ""


@pytest.mark.parametrize("name", ["traceId", "spanId"])
@pytest.mark.parametrize("value", [None, "", "0" * 32])
def test_each_span_must_have_its_ids(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"each span must have a {name}"):
        parse(**{name: value})


@pytest.mark.parametrize(
    ("value", "time"), [(0, 0), ("5", 5), (5.0, 5), (None, 0), ("", 0), (2**63 - 1, 2**63 - 1), (str(2**62), 2**62)]
)
def test_time_is_in_nanoseconds(value: Any, time: int) -> None:
    assert parse(startTimeUnixNano=value, endTimeUnixNano=value) == parse(startTimeUnixNano=time, endTimeUnixNano=time)


@pytest.mark.parametrize("value", [-1, 2**63, "x", [1], float("inf"), float("nan"), "9" * 5_000])
def test_other_values_are_no_times(value: Any) -> None:
    shown = re.escape(repr(str(value)[:40]))
    with pytest.raises(ValueError, match=f"^a time must be nanoseconds since 1970, got {shown}$"):
        parse(endTimeUnixNano=value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"stringValue": "x"}, "x"),
        ({"boolValue": False}, False),
        ({"doubleValue": 0.5}, 0.5),
        ({"intValue": "5"}, 5),
        ({"intValue": 5}, 5),
        ({"intValue": "x"}, None),
        ({"intValue": None}, None),
        ({"arrayValue": {"values": [{"stringValue": "x"}, {}]}}, ["x", None]),
        ({"arrayValue": {}}, []),
        ({"arrayValue": None}, []),
        ({"kvlistValue": {"values": [{"key": "k", "value": {"intValue": "1"}}, {"key": 5}]}}, {"k": 1, "5": None}),
        ({"kvlistValue": "x"}, {}),
        ({}, None),
        (None, None),
        ("x", None),
    ],
)
def test_value_of_an_attribute(value: Any, expected: Any) -> None:
    assert value_of(value) == expected


@pytest.mark.parametrize("kind", ["arrayValue", "kvlistValue"])
def test_values_are_read_up_to_sixteen_levels_deep(kind: str) -> None:
    def nested(levels: int) -> Any:
        value: Any = {"stringValue": "x"}
        for _ in range(levels):
            value = {kind: {"values": [value if kind == "arrayValue" else {"key": "k", "value": value}]}}
        return value

    def innermost(value: Any) -> Any:
        while isinstance(value, list | dict):
            (value,) = value if isinstance(value, list) else value.values()
        return value

    assert innermost(value_of(nested(15))) == "x"
    assert innermost(value_of(nested(16))) is None


@pytest.mark.parametrize(
    ("code", "is_error"),
    [
        (2, True),
        ("2", True),
        ("STATUS_CODE_ERROR", True),
        (0, False),
        (1, False),
        ("STATUS_CODE_OK", False),
        (3, False),
    ],
)
def test_status_of_a_failed_span(code: Any, is_error: bool) -> None:
    assert parse(status={"code": code}).is_error is is_error


@pytest.mark.parametrize(
    ("invalid", "message"),
    [
        ({"resourceLogs": []}, "the document must have resourceSpans, got logs; only traces can be imported, not logs"),
        ({"resource_metrics": []}, "the document must have resourceSpans, got metrics; only traces"),
        ({}, "the document must have resourceSpans; only traces"),
        ([[]], "the document must have resourceSpans; only traces"),
        (["resourceSpans"], "the document must have resourceSpans; only traces"),
        ({"resourceSpans": 5}, "resourceSpans must be a list of objects"),
        ({"resourceSpans": [5]}, "resourceSpans must be a list of objects"),
        ({"resourceSpans": [{}, None]}, "resourceSpans must be a list of objects"),
        (document(5), "spans must be a list of objects"),
        (document({"traceId": TRACE, "spanId": ID, "attributes": {}, "events": {"a": 1}}), "events must be a list"),
        (document({"traceId": TRACE, "spanId": ID, "attributes": "a"}), "attributes must be a list of objects"),
    ],
    ids=str,
)
def test_invalid_document_has_a_reason(invalid: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        parse_spans(invalid)
