"""Spans of OpenTelemetry, independent of the format in which they arrive."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

Kind = Literal["agent", "model", "embedding", "tool", "step", "other"]
"""Content of a span:

agent      invocation of an agent, or of a workflow of agents
model      call of a language model that generates something
embedding  other call of a model: it has tokens, but does not make a trace the run of an agent
tool       execution of a tool
step       anything else of an agent framework, for example a node of a graph or the creation of an agent
other      everything else, for example an HTTP request or a database query
"""


@dataclass(frozen=True, slots=True)
class Event:
    """Event of a span."""

    name: str
    attributes: Mapping[str, Any]


class Span(NamedTuple):
    """Span of a trace.

    Attributes:
        trace_id, id, parent_id: Ids in lower-case hexadecimal; the parent's id is empty for a root span.
        name: Name of the span.
        start, end: Nanoseconds since 1970 (UTC); 0 if unknown. A span that has not ended has the end 0.
        attributes: Attributes of the span.
        resource: Attributes of the resource, for example `service.name`.
        events: Events of the span in their order.
        is_error: Whether the status is an error.
        message: Description of the status.
    """

    trace_id: str
    id: str
    parent_id: str
    name: str
    start: int
    end: int
    attributes: Mapping[str, Any]
    resource: Mapping[str, Any]
    events: tuple[Event, ...] = ()
    is_error: bool = False
    message: str = ""
