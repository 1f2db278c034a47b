"""OTLP JSON → spans, and what belongs together in a trace."""

import base64
import binascii
from collections.abc import Iterator, Mapping
from typing import Any

from attrs import field, frozen

from xpander_sdk.import_export.genai_messages import Event

_ERROR = (2, "2", "STATUS_CODE_ERROR")


@frozen(eq=False)
class Span:
    """A span, with the attributes of its resource. Times are nanoseconds since 1970 (UTC); 0 for unknown."""

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
        return self.attributes.get("gen_ai.operation.name")

    @property
    def is_generative(self) -> bool:
        return any(name.startswith("gen_ai.") for name in self.attributes)

    def family(self) -> "Iterator[Span]":
        """The span and all below it, by their start."""
        family, rest = [], [self]
        while rest:
            span = rest.pop()
            family.append(span)
            rest += span.children
        return iter(sorted(family, key=lambda span: span.start))


def read_spans(document: Any, line: int) -> list[Span]:
    """The spans of a `TracesData`, or of a list of them.

    Raises:
        ValueError: it is none.
    """
    documents = document if isinstance(document, list) else [document]
    found = []
    for data in documents:
        if not isinstance(data, dict) or "resourceSpans" not in data:
            raise ValueError("it has no resourceSpans: only traces are read, no logs and no metrics")
        for of_resource in _items(data, "resourceSpans"):
            resource = of_resource.get("resource")
            shared = _attributes(resource) if isinstance(resource, dict) else {}
            for of_scope in _items(of_resource, "scopeSpans"):
                found += [_span(span, shared, line) for span in _items(of_scope, "spans")]
    return found


def _items(holder: dict[str, Any], name: str) -> list[dict[str, Any]]:
    value = holder.get(name) or []
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise ValueError(f"{name} must be a list of objects")
    return value


def _span(span: dict[str, Any], resource: Mapping[str, Any], line: int) -> Span:
    status = span.get("status")
    status = status if isinstance(status, dict) else {}
    return Span(
        trace_id=_own_id(span, "traceId", 16),
        id=_own_id(span, "spanId", 8),
        parent_id=_id(span.get("parentSpanId"), 8),
        line=line,
        start=_nanoseconds(span.get("startTimeUnixNano")),
        end=_nanoseconds(span.get("endTimeUnixNano")),
        attributes=_attributes(span),
        resource=resource,
        events=tuple(Event(str(event.get("name")), _attributes(event)) for event in _items(span, "events")),
        is_error=status.get("code") in _ERROR,
        message=str(status.get("message") or ""),
    )


def _own_id(span: dict[str, Any], name: str, size: int) -> str:
    if not (told := _id(span.get(name), size)):
        raise ValueError(f"a span has no {name}")
    return told


def _id(value: Any, size: int) -> str:
    """In lower-case hexadecimal; of base64, too, as the plain JSON form of Protobuf has it."""
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
        told = int(value or 0)
        if not 0 <= told < 2**64:
            raise ValueError
        return told
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"a time must be nanoseconds since 1970, not {str(value)[:40]!r}") from None


def _attributes(holder: dict[str, Any]) -> dict[str, Any]:
    return {str(attribute.get("key")): _value(attribute.get("value")) for attribute in _items(holder, "attributes")}


def _value(value: Any) -> Any:
    if not isinstance(value, dict):
        return None
    kind, held = next(iter(value.items()), ("", None))
    if kind == "intValue":
        try:
            return int(str(held))
        except (TypeError, ValueError):
            return None
    if kind == "arrayValue":
        return [_value(item) for item in _items(held, "values")] if isinstance(held, dict) else []
    if kind == "kvlistValue":
        return {str(item.get("key")): _value(item.get("value")) for item in _items(held, "values")} if held else {}
    return held


def roots(found: list[Span]) -> list[Span]:
    """The spans without a parent among them, each with its children; of spans that came twice, the last.

    In the order in which their traces begin in the file.
    """
    known = {(span.trace_id, span.id): span for span in found}
    tops = []
    for span in known.values():
        parent = known.get((span.trace_id, span.parent_id))
        if parent is None or parent is span:
            tops.append(span)
        else:
            parent.children.append(span)
    return tops
