"""Parser of OTLP JSON: traces to spans with their parents and children.

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
"""

import base64
import binascii
from collections.abc import Iterator, Mapping
from typing import Any

from attrs import field, frozen

from xpander_sdk.import_export.genai_messages import Event

# The code of a failed span, in the spellings of different exporters.
_ERROR_CODES = (2, "2", "STATUS_CODE_ERROR")
_TRACE_ID_BYTES, _SPAN_ID_BYTES = 16, 8


@frozen(eq=False)
class Span:
    """Span of a trace.

    Attributes:
        trace_id, id, parent_id: ids in lower-case hexadecimal; the parent's id is empty for a root span.
        line: line of the file, from 1.
        start, end: nanoseconds since 1970 (UTC); 0 if unknown.
        resource: attributes of the resource, for example `service.name`.
        message: description of the status.
        children: spans whose parent is this span, after `link_spans`.
    """

    trace_id: str
    id: str
    parent_id: str
    line: int
    start: int
    end: int
    attributes: Mapping[str, Any]
    resource: Mapping[str, Any]
    events: tuple[Event, ...]
    is_error: bool
    message: str
    children: "list[Span]" = field(factory=list, repr=False)

    @property
    def operation(self) -> Any:
        """Value of `gen_ai.operation.name`, for example `chat`; None if the span has none."""
        return self.attributes.get("gen_ai.operation.name")

    @property
    def is_genai(self) -> bool:
        """True if the span has attributes of the GenAI conventions."""
        return any(name.startswith("gen_ai.") for name in self.attributes)

    def subtree(self) -> "Iterator[Span]":
        """Return the span and all spans below it, in the order of their starts."""
        spans, rest = [], [self]
        # A loop: a trace may be deeper than Python's recursion limit.
        while rest:
            span = rest.pop()
            spans.append(span)
            rest += span.children
        return iter(sorted(spans, key=lambda span: span.start))


def parse_spans(document: Any, line: int) -> list[Span]:
    """Return the spans of a document, or of a list of documents.

    Args:
        document: value that was parsed from JSON.
        line: line of the file on which the document starts.

    Raises:
        ValueError: the document is not a trace, or a span is invalid.
    """
    documents = document if isinstance(document, list) else [document]
    spans = []
    for data in documents:
        if not isinstance(data, dict) or "resourceSpans" not in data:
            raise ValueError("the document must have resourceSpans; only traces can be imported, not logs or metrics")
        for resource_spans in _objects(data, "resourceSpans"):
            resource = resource_spans.get("resource")
            resource_attributes = _attributes(resource) if isinstance(resource, dict) else {}
            for scope_spans in _objects(resource_spans, "scopeSpans"):
                spans += [_parse_span(span, resource_attributes, line) for span in _objects(scope_spans, "spans")]
    return spans


def link_spans(spans: list[Span]) -> list[Span]:
    """Add each span to the children of its parent; return the spans whose parent is not in the file.

    Of spans with the same id, the last one counts. The result has the order of the file.
    """
    spans_by_id = {(span.trace_id, span.id): span for span in spans}
    roots = []
    for span in spans_by_id.values():
        parent = spans_by_id.get((span.trace_id, span.parent_id))
        if parent is None or parent is span:
            roots.append(span)
        else:
            parent.children.append(span)
    return roots


def _objects(container: dict[str, Any], name: str) -> list[dict[str, Any]]:
    value = container.get(name) or []
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise ValueError(f"{name} must be a list of objects")
    return value


def _parse_span(span: dict[str, Any], resource: Mapping[str, Any], line: int) -> Span:
    status = span.get("status")
    status = status if isinstance(status, dict) else {}
    return Span(
        trace_id=_required_id(span, "traceId", _TRACE_ID_BYTES),
        id=_required_id(span, "spanId", _SPAN_ID_BYTES),
        parent_id=_parse_id(span.get("parentSpanId"), _SPAN_ID_BYTES),
        line=line,
        start=_nanoseconds(span.get("startTimeUnixNano")),
        end=_nanoseconds(span.get("endTimeUnixNano")),
        attributes=_attributes(span),
        resource=resource,
        events=tuple(Event(str(event.get("name")), _attributes(event)) for event in _objects(span, "events")),
        is_error=status.get("code") in _ERROR_CODES,
        message=str(status.get("message") or ""),
    )


def _required_id(span: dict[str, Any], name: str, size: int) -> str:
    if not (span_id := _parse_id(span.get(name), size)):
        raise ValueError(f"each span must have a {name}")
    return span_id


def _parse_id(value: Any, size: int) -> str:
    """Return an id in lower-case hexadecimal; "" if it is missing or all zeros.

    OTLP JSON has hexadecimal ids; the standard JSON form of Protobuf has base64.
    """
    if not isinstance(value, str) or not value.strip("0"):
        return ""
    if len(value) != 2 * size:
        try:
            return base64.b64decode(value, validate=True).hex()
        except (binascii.Error, ValueError):
            return value
    return value.lower()


def _nanoseconds(value: Any) -> int:
    try:
        nanoseconds = int(value or 0)
        if not 0 <= nanoseconds < 2**64:
            raise ValueError
        return nanoseconds
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"a time must be nanoseconds since 1970, got {str(value)[:40]!r}") from None


def _attributes(container: dict[str, Any]) -> dict[str, Any]:
    return {str(item.get("key")): _attribute_value(item.get("value")) for item in _objects(container, "attributes")}


def _attribute_value(value: Any) -> Any:
    """Return the value of an `AnyValue`, for example 5 for {"intValue": "5"}."""
    if not isinstance(value, dict):
        return None
    kind, content = next(iter(value.items()), ("", None))
    if kind == "intValue":
        try:
            return int(str(content))
        except (TypeError, ValueError):
            return None
    if kind == "arrayValue":
        items = _objects(content, "values") if isinstance(content, dict) else []
        return [_attribute_value(item) for item in items]
    if kind == "kvlistValue":
        items = _objects(content, "values") if content else []
        return {str(item.get("key")): _attribute_value(item.get("value")) for item in items}
    return content
