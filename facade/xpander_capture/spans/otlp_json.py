"""Parser of OTLP JSON.

Example of a document, the JSON form of the Protobuf message `TracesData`:

    {"resourceSpans": [{
      "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "desk"}}]},
      "scopeSpans": [{"spans": [{
        "traceId": "4bf92f3577b34da6a3ce929d0e0e4736", "spanId": "00f067aa0ba902b7", "parentSpanId": "",
        "startTimeUnixNano": "1767605400000000000", "endTimeUnixNano": "1767605402000000000",
        "attributes": [{"key": "gen_ai.operation.name", "value": {"stringValue": "invoke_agent"}}],
        "events": [], "status": {"code": 0}
      }]}]
    }]}

Names may also be those of the Protobuf fields (`resource_spans`, `trace_id`), which parsers of the JSON form must
accept, and scopes may be under their name before 2022 (`instrumentationLibrarySpans`).
"""

import base64
from collections.abc import Iterator, Mapping
from typing import Any

from xpander_capture.spans.span import Event, Span

# The code of a failed span, in the spellings of different exporters.
_ERROR_CODES = (2, "2", "STATUS_CODE_ERROR")
_TRACE_ID_BYTES, _SPAN_ID_BYTES = 16, 8
_MAX_DEPTH = 16
_SIGNALS = {
    "resourceLogs": "logs",
    "resource_logs": "logs",
    "resourceMetrics": "metrics",
    "resource_metrics": "metrics",
}


def parse_spans(document: Any) -> list[Span]:
    """Return the spans of a document, or of a list of documents.

    Args:
        document: Value that was parsed from JSON.

    Raises:
        ValueError: The document is not a trace, or a span is invalid.
    """
    spans = []
    for span in _parse_each(document):
        if isinstance(span, ValueError):
            raise span
        spans.append(span)
    return spans


def parse_valid_spans(document: Any) -> tuple[list[Span], list[ValueError]]:
    """Return the valid spans of a document, or of a list of documents, and the errors of the others.

    Args:
        document: Value that was parsed from JSON.

    Raises:
        ValueError: The document is not a trace.
    """
    spans, errors = [], []
    for span in _parse_each(document):
        if isinstance(span, ValueError):
            errors.append(span)
        else:
            spans.append(span)
    return spans, errors


def _parse_each(document: Any) -> Iterator[Span | ValueError]:
    """Yield each span, or why it is invalid.

    Raises:
        ValueError: The document is not a trace.
    """
    for data in document if isinstance(document, list) else [document]:
        if not isinstance(data, dict) or ("resourceSpans" not in data and "resource_spans" not in data):
            signal = next((name for key, name in _SIGNALS.items() if isinstance(data, dict) and key in data), None)
            kind = f", got {signal}" if signal else ""
            raise ValueError(
                f"the document must have resourceSpans{kind}; only traces can be imported, not logs or metrics"
            )
        for resource_spans in _objects(data, "resourceSpans"):
            resource = resource_spans.get("resource")
            for name in ("scopeSpans", "instrumentationLibrarySpans"):
                for scope_spans in _objects(resource_spans, name):
                    yield from _parse_spans_of_scope(scope_spans, resource if isinstance(resource, dict) else {})


def _parse_spans_of_scope(scope_spans: dict[str, Any], resource: dict[str, Any]) -> Iterator[Span | ValueError]:
    spans = _get(scope_spans, "spans") or []
    if not isinstance(spans, list):
        raise ValueError("spans must be a list of objects")
    resource_attributes: dict[str, Any] | None = None
    for span in spans:
        try:
            if not isinstance(span, dict):
                raise ValueError("spans must be a list of objects")
            if resource_attributes is None:
                resource_attributes = _attributes(resource)
            yield _parse_span(span, resource_attributes)
        except ValueError as error:
            yield error


def parse_id(value: Any, size: int) -> str:
    """Return an id in lower-case hexadecimal; "" if it is missing or all zeros.

    OTLP JSON has hexadecimal ids; the standard JSON form of Protobuf has base64. Ids of 64 bits of a trace, as older
    systems have them, are filled with zeros.
    """
    if not isinstance(value, str) or not value.strip("0"):
        return ""
    if _is_hexadecimal(value) and len(value) in (16, 32):
        return value.lower().zfill(2 * size)
    try:
        decoded = base64.b64decode(value, validate=True)
    except ValueError:
        return value.lower()
    return decoded.hex() if len(decoded) == size and any(decoded) else "" if not any(decoded) else value.lower()


def _is_hexadecimal(value: str) -> bool:
    return all(character in "0123456789abcdefABCDEF" for character in value)


def _get(container: Mapping[str, Any], name: str) -> Any:
    """Return a field by its name in JSON, or by the name of the Protobuf field: `traceId` or `trace_id`."""
    value = container.get(name)
    return container.get(_snake_case(name)) if value is None else value


def _snake_case(name: str) -> str:
    return _SNAKE_CASE.get(name) or "".join(
        f"_{character.lower()}" if character.isupper() else character for character in name
    )


_SNAKE_CASE: dict[str, str] = {}
_SNAKE_CASE |= {
    name: _snake_case(name)
    for name in (
        *("resourceSpans", "scopeSpans", "instrumentationLibrarySpans", "traceId", "spanId", "parentSpanId"),
        *("startTimeUnixNano", "endTimeUnixNano"),
    )
}


def _objects(container: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    value = _get(container, name) or []
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise ValueError(f"{name} must be a list of objects")
    return value


def _parse_span(span: dict[str, Any], resource: Mapping[str, Any]) -> Span:
    status = span.get("status")
    status = status if isinstance(status, dict) else {}
    return Span(
        trace_id=_required_id(span, "traceId", _TRACE_ID_BYTES),
        id=_required_id(span, "spanId", _SPAN_ID_BYTES),
        parent_id=parse_id(_get(span, "parentSpanId"), _SPAN_ID_BYTES),
        name=str(span.get("name") or ""),
        start=_nanoseconds(_get(span, "startTimeUnixNano")),
        end=_nanoseconds(_get(span, "endTimeUnixNano")),
        attributes=_attributes(span),
        resource=resource,
        events=tuple(Event(str(event.get("name")), _attributes(event)) for event in _objects(span, "events")),
        is_error=status.get("code") in _ERROR_CODES,
        message=str(status.get("message") or ""),
    )


def _required_id(span: dict[str, Any], name: str, size: int) -> str:
    if not (span_id := parse_id(_get(span, name), size)):
        raise ValueError(f"each span must have a {name}")
    return span_id


def _nanoseconds(value: Any) -> int:
    try:
        nanoseconds = int(value or 0)
        if not 0 <= nanoseconds < 2**63:
            raise ValueError
        return nanoseconds
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"a time must be nanoseconds since 1970, got {str(value)[:40]!r}") from None


def _attributes(container: dict[str, Any]) -> dict[str, Any]:
    return {
        str(item.get("key")): _attribute_value(item.get("value"), _MAX_DEPTH)
        for item in _objects(container, "attributes")
    }


def _attribute_value(value: Any, depth: int) -> Any:
    """Return the value of an `AnyValue`, for example 5 for {"intValue": "5"}."""
    if not isinstance(value, dict) or depth == 0:
        return None
    kind, content = next(iter(value.items()), ("", None))
    if kind in ("intValue", "int_value"):
        try:
            return int(str(content))
        except ValueError:
            return None
    if kind in ("arrayValue", "array_value"):
        items = _objects(content, "values") if isinstance(content, dict) else []
        return [_attribute_value(item, depth - 1) for item in items]
    if kind in ("kvlistValue", "kvlist_value"):
        items = _objects(content, "values") if isinstance(content, dict) else []
        return {str(item.get("key")): _attribute_value(item.get("value"), depth - 1) for item in items}
    return content
