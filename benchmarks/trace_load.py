"""Load generator for the endpoint of traces: sends exports of new traces over persistent connections.

`python -m benchmarks.trace_load URL KEY CONNECTIONS SECONDS` prints the results as a JSON object. Each request is about
what the exporter of OpenTelemetry sends: 100 traces of 5 spans of 1 kB, as Protobuf. The body is made once. Each
request gets new trace ids in the places of the first ones, because the load generator shares the CPU with the server.
"""

import json
import os
import re
import sys
from typing import Any

import uvloop
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from benchmarks.load import Load, measure

TRACES_OF_REQUEST = 100
HEAD = (
    "POST /v1/traces HTTP/1.1\r\nHost: bench\r\nContent-Type: application/x-protobuf\r\n"
    "x-api-key: {key}\r\nContent-Length: {length}\r\n\r\n"
)
_ID_BYTES = 16
SPANS_OF_TRACE = 5
_START = 1_767_605_400_000_000_000


def new_export(traces: int, span_bytes: int) -> bytes:
    """Return an export of runs of an agent with two model calls and two tools, after the GenAI conventions.

    Args:
        traces: Number of traces.
        span_bytes: Approximate size of a span.
    """
    request = ExportTraceServiceRequest()
    resource_spans = request.resource_spans.add()
    _set(resource_spans.resource, "service.name", "desk")
    spans = resource_spans.scope_spans.add().spans
    for _ in range(traces):
        trace_id, root_id = os.urandom(16), os.urandom(8)
        # Children end before their parents, and are exported before them.
        for position, kind in enumerate(("chat", "tool", "chat", "tool", "agent")):
            span: Any = spans.add(trace_id=trace_id, span_id=root_id if kind == "agent" else os.urandom(8), name=kind)
            if kind != "agent":
                span.parent_span_id = root_id
            begin = _START + (0 if kind == "agent" else 1_000_000 + position * 100_000_000)
            span.start_time_unix_nano = begin
            span.end_time_unix_nano = _START + 900_000_000 if kind == "agent" else begin + 90_000_000
            _describe(span, kind, "x" * max(0, span_bytes - 700))
    encoded: bytes = request.SerializeToString()
    return encoded


def _describe(span: Span, kind: str, padding: str) -> None:
    _set(span, "gen_ai.agent.name", "weather")
    _set(span, "gen_ai.provider.name", "openai")
    if kind == "tool":
        _set(span, "gen_ai.operation.name", "execute_tool")
        _set(span, "gen_ai.tool.name", "get_weather")
        _set(span, "gen_ai.tool.call.id", "call_1")
        _set(span, "gen_ai.tool.call.arguments", '{"city": "Paris"}')
        _set(span, "gen_ai.tool.call.result", padding)
        return
    _set(span, "gen_ai.operation.name", "chat" if kind == "chat" else "invoke_agent")
    _set(span, "gen_ai.request.model", "gpt-4o-mini")
    _set(span, "gen_ai.usage.input_tokens", 61 if kind == "chat" else 122)
    _set(span, "gen_ai.usage.output_tokens", 17 if kind == "chat" else 34)
    _set(span, "gen_ai.system_instructions", padding)
    _set(
        span,
        "gen_ai.input.messages",
        '[{"role": "user", "parts": [{"type": "text", "content": "What is the weather in Paris?"}]}]',
    )
    _set(
        span,
        "gen_ai.output.messages",
        '[{"role": "assistant", "parts": [{"type": "text", "content": "Rainy, 14 C."}], "finish_reason": "stop"}]',
    )
    if kind == "chat":
        _set(span, "gen_ai.response.model", "gpt-4o-mini-2024-07-18")
        _set(span, "gen_ai.response.id", f"chatcmpl-{os.urandom(8).hex()}")
        span.attributes.add(key="gen_ai.response.finish_reasons").value.array_value.values.add(string_value="stop")


def _set(container: Any, name: str, value: str | int) -> None:
    attribute = container.attributes.add(key=name)
    if isinstance(value, str):
        attribute.value.string_value = value
    else:
        attribute.value.int_value = value


class Exports:
    """Requests with new traces, without an end.

    Args:
        key: API key.
        traces: Number of traces in a request.
        span_bytes: Approximate size of a span.
    """

    def __init__(self, key: str, traces: int = TRACES_OF_REQUEST, span_bytes: int = 1_000) -> None:
        body = new_export(traces, span_bytes)
        spans = ExportTraceServiceRequest.FromString(body).resource_spans[0].scope_spans[0].spans
        trace_ids = list(dict.fromkeys(span.trace_id for span in spans))
        head = HEAD.format(key=key, length=len(body)).encode()
        self._request = bytearray(head + body)
        self._places = [[match.start() for match in re.finditer(re.escape(one), self._request)] for one in trace_ids]
        assert all(len(places) == SPANS_OF_TRACE for places in self._places)

    def pop(self) -> bytes:
        """Return the next request."""
        new_ids = os.urandom(_ID_BYTES * len(self._places))
        for number, places in enumerate(self._places):
            trace_id = new_ids[number * _ID_BYTES : (number + 1) * _ID_BYTES]
            for place in places:
                self._request[place : place + _ID_BYTES] = trace_id
        return bytes(self._request)


async def run(url: str, key: str, connections: int, seconds: float) -> dict[str, float]:
    """Send exports, and return the rate and the latencies."""
    exports: Any = Exports(key)
    return await measure(Load(exports, connections, seconds, 0), url, connections, "traces", TRACES_OF_REQUEST)


if __name__ == "__main__":
    url, key, connections, seconds = sys.argv[1:]
    print(json.dumps(uvloop.run(run(url, key, int(connections), float(seconds)))))
