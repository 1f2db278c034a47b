"""Decoder of OTLP: the body of an export of traces to summaries of spans.

The messages of Protobuf have no type in their bytes. An export of logs or metrics is therefore parsed as one of traces
without an error, but gives spans whose ids are not ids. The decoder then tries the other messages, to say what it got.
"""

import re
from collections.abc import Iterable
from typing import Any

import msgspec
from attrs import frozen
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span as ProtobufSpan
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from xpander_capture.spans import Event, Span, parse_valid_spans, summarize, to_json
from xpander_capture.spans.values import encode_json
from xpander_server.body_json import decode_json
from xpander_server.http.errors import HTTPError
from xpander_server.json_text import as_text
from xpander_server.store import StoredSpan

MAX_VALUES = 2_000_000
"""Largest number of values in a JSON body."""
_MAX_TIME = 2**63
_ERROR = Status.STATUS_CODE_ERROR
_TRACE_ID, _SPAN_ID = re.compile("[0-9a-f]{32}"), re.compile("[0-9a-f]{16}")
_TRACE_ID_BYTES, _SPAN_ID_BYTES = 16, 8
_ONLY_TRACES = (
    "This server records traces only. Turn the exporter of {0} off (OTEL_{1}_EXPORTER=none), or set "
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT instead of OTEL_EXPORTER_OTLP_ENDPOINT."
)


@frozen
class DecodedExport:
    """Content of an export.

    Attributes:
        spans: Spans that may belong to a run of an agent.
        invalid_count: Number of spans that are not stored because they are invalid.
        reason: Why the first of them is invalid; empty if none is.
    """

    spans: list[StoredSpan]
    invalid_count: int = 0
    reason: str = ""


def decode_protobuf(body: bytes) -> DecodedExport:
    """Return the spans of an export in the binary form of Protobuf.

    Raises:
        HTTPError: 400 if the body is not an export of traces.
    """
    try:
        request = ExportTraceServiceRequest.FromString(body)
    except DecodeError:
        _refuse_other_signal(body)
        raise HTTPError(400, "The body is not an ExportTraceServiceRequest in the binary form of Protobuf.") from None
    stored: list[StoredSpan] = []
    valid_count, invalid_count, reason = 0, 0, ""
    for resource_spans in request.resource_spans:
        resource = _attributes(resource_spans.resource.attributes)
        for scope_spans in resource_spans.scope_spans:
            for span in scope_spans.spans:
                if problem := _problem(span):
                    invalid_count, reason = invalid_count + 1, reason or problem
                else:
                    # Only the summary is kept: texts of a conversation repeat in each of its spans.
                    valid_count += 1
                    _append_summary(stored, _span(span, resource))
    if invalid_count and not valid_count:
        _refuse_other_signal(body)
    return DecodedExport(stored, invalid_count, reason)


def decode_json_export(body: bytes) -> DecodedExport:
    """Return the spans of an export in JSON.

    Raises:
        HTTPError: 400 if the body is not an export of traces.
    """
    document = decode_json(body, MAX_VALUES)
    for signal in ("logs", "metrics"):
        keys = (f"resource{signal.title()}", f"resource_{signal}")
        if isinstance(document, dict) and any(key in document for key in keys):
            raise HTTPError(400, _ONLY_TRACES.format(signal, signal.upper()))
    if document == {}:
        return DecodedExport([])  # an export without spans
    try:
        spans, errors = parse_valid_spans(document)
    except ValueError as error:
        raise HTTPError(400, f"The body is not an export of traces: {error}.") from None
    if errors and not spans:
        raise HTTPError(400, f"The body is not an export of traces: {errors[0]}.")
    return _with_valid_ids(spans, len(errors), str(errors[0]) if errors else "")


def _with_valid_ids(spans: list[Span], invalid_count: int, reason: str) -> DecodedExport:
    valid = [span for span in spans if _TRACE_ID.fullmatch(span.trace_id) and _SPAN_ID.fullmatch(span.id)]
    if len(valid) < len(spans):
        invalid_count += len(spans) - len(valid)
        reason = reason or "a trace id must have 32 hexadecimal digits, and a span id 16"
    # An invalid id of a parent is no parent.
    valid = [span if _SPAN_ID.fullmatch(span.parent_id) else span._replace(parent_id="") for span in valid]
    stored: list[StoredSpan] = []
    for span in valid:
        _append_summary(stored, span)
    return DecodedExport(stored, invalid_count, reason)


def _append_summary(stored: list[StoredSpan], span: Span) -> None:
    """Add the summary of a span, unless it is a query of a database: these have no spans below them."""
    summary = summarize(span, _encode)
    if summary.kind != "other" or summary.label != "database":
        stored.append(StoredSpan(summary, to_json(summary, _encode)))


def _encode(value: Any) -> str:
    """Return a value of an export as JSON text, in a sixth of the time of `encode_json`.

    NaN and infinite numbers become null here instead of in the report.
    """
    try:
        return as_text(value)
    except ValueError:  # a part of a character
        return encode_json(value)


def _refuse_other_signal(body: bytes) -> None:
    """Raise an error if the body is an export of logs or of metrics.

    Raises:
        HTTPError: 400; the text names the signal.
    """
    for signal, message in (("logs", ExportLogsServiceRequest), ("metrics", ExportMetricsServiceRequest)):
        try:
            request: Any = message.FromString(body)
        except DecodeError:
            continue
        if signal == "logs":
            is_match = any(
                record.time_unix_nano or record.observed_time_unix_nano
                for resource in request.resource_logs
                for scope in resource.scope_logs
                for record in scope.log_records
            )
        else:
            is_match = any(
                metric.name and metric.WhichOneof("data")
                for resource in request.resource_metrics
                for scope in resource.scope_metrics
                for metric in scope.metrics
            )
        if is_match:
            raise HTTPError(400, _ONLY_TRACES.format(signal, signal.upper()))


def _problem(span: ProtobufSpan) -> str:
    if len(span.trace_id) != _TRACE_ID_BYTES or not any(span.trace_id):
        return f"a trace id must have {_TRACE_ID_BYTES} bytes that are not all zero, got {len(span.trace_id)} bytes"
    if len(span.span_id) != _SPAN_ID_BYTES or not any(span.span_id):
        return f"a span id must have {_SPAN_ID_BYTES} bytes that are not all zero, got {len(span.span_id)} bytes"
    if span.start_time_unix_nano >= _MAX_TIME or span.end_time_unix_nano >= _MAX_TIME:
        return "a time must be nanoseconds since 1970"
    return ""


def _span(span: ProtobufSpan, resource: dict[str, Any]) -> Span:
    parent_id, status = span.parent_span_id, span.status
    events = span.events
    return Span(
        trace_id=span.trace_id.hex(),
        id=span.span_id.hex(),
        parent_id=parent_id.hex() if len(parent_id) == _SPAN_ID_BYTES and any(parent_id) else "",
        name=span.name,
        start=span.start_time_unix_nano,
        end=span.end_time_unix_nano,
        attributes=_attributes(span.attributes),
        resource=resource,
        events=tuple([Event(event.name, _attributes(event.attributes)) for event in events]) if events else (),
        is_error=status.code == _ERROR,
        message=status.message,
    )


def _attributes(attributes: Iterable[KeyValue]) -> dict[str, Any]:
    # Most values are texts, and each access to a message of Protobuf costs as much as several steps of Python.
    values: dict[str, Any] = {}
    for attribute in attributes:
        value = attribute.value
        values[attribute.key] = value.string_value or _value(value, value.WhichOneof("value"))
    return values


def _value(value: AnyValue, kind: str | None) -> Any:
    # Protobuf limits the depth of a message, so the recursion ends.
    if kind == "array_value":
        return [_value(item, item.WhichOneof("value")) for item in value.array_value.values]
    if kind == "kvlist_value":
        return _attributes(value.kvlist_value.values)
    return None if kind is None or kind == "bytes_value" else getattr(value, kind)


def encode_json_response(refused_count: int, reason: str) -> bytes:
    """Return the response to an export in JSON.

    Args:
        refused_count: Number of spans that were not stored.
        reason: Reason for which they were not stored.
    """
    partial_success = {"rejectedSpans": str(refused_count), "errorMessage": reason}
    return msgspec.json.encode({"partialSuccess": partial_success} if refused_count else {})


def encode_protobuf_response(refused_count: int, reason: str) -> bytes:
    """Return the response to an export in the binary form of Protobuf.

    Args:
        refused_count: Number of spans that were not stored.
        reason: Reason for which they were not stored.
    """
    response = ExportTraceServiceResponse()
    if refused_count:
        response.partial_success.CopyFrom(ExportTracePartialSuccess(rejected_spans=refused_count, error_message=reason))
    encoded: bytes = response.SerializeToString()
    return encoded
