"""CPU time of traces in the server: decoding of an export, and the commit of its spans. See --help.

The program runs without sockets and in one thread, so that the CPU time is that of the server's code. A commit has
`--requests` exports of 510 spans, as the exporter of OpenTelemetry sends them: 102 traces of 5 spans each.
"""

import argparse
import gc
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from xpander_server.api.otlp import decode_protobuf
from xpander_server.store import SpanBatch, Store

SPANS_OF_TRACE = 5
TRACES_OF_REQUEST = 102
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


def cpu_of(call: Callable[[], Any]) -> tuple[float, Any]:
    """Return the seconds of CPU time of a call, and its result."""
    start = time.process_time()
    result = call()
    return time.process_time() - start, result


def measure_decoding(span_bytes: int, rounds: int) -> float:
    """Return the median CPU time of decoding 512 spans, in seconds."""
    body = new_export(103, span_bytes)
    return statistics.median(cpu_of(lambda: decode_protobuf(body))[0] for _ in range(rounds))


def measure_commits(store: Store, requests: int, rounds: int) -> tuple[float, float]:
    """Return the median CPU times of decoding and of committing one trace, in microseconds."""
    decoding, commits = [], []
    traces = requests * TRACES_OF_REQUEST
    for _ in range(rounds):
        bodies = [new_export(TRACES_OF_REQUEST, 1_000) for _ in range(requests)]
        seconds, exports = cpu_of(lambda bodies=bodies: [decode_protobuf(body) for body in bodies])
        decoding.append(seconds / traces * 1e6)
        now = time.time_ns() // 1_000
        batches = [SpanBatch("org", export.spans, None, now) for export in exports]
        seconds, _ = cpu_of(lambda batches=batches: store.commit_spans(batches))
        commits.append(seconds / traces * 1e6)
    return statistics.median(decoding), statistics.median(commits)


def main() -> None:
    """Measure, and print the figures."""
    parser = argparse.ArgumentParser(description="Measure the CPU time of traces in the server.")
    parser.add_argument("--rounds", type=int, default=15, help="repetitions, of which the median counts")
    parser.add_argument("--requests", type=int, default=2, help="exports in one commit")
    parser.add_argument("--store", help="URL of an empty store; default: a temporary SQLite file")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        store = Store(arguments.store or f"sqlite:///{Path(folder)}/store.db")
        measure_commits(store, arguments.requests, 2)  # imports, prepared statements
        gc.collect()
        gc.freeze()  # as the server does after its start
        decoding, commits = measure_commits(store, arguments.requests, arguments.rounds)
        store.close()
    total = decoding + commits
    print(f"decoding of a trace of {SPANS_OF_TRACE} spans of 1 kB   {decoding:6.0f} us CPU")
    print(f"commit of it                           {commits:6.0f} us CPU")
    print(f"both                                   {total:6.0f} us CPU, {1e6 / total:,.0f} traces per second and core")
    print(f"decoding of 515 spans of 5 kB          {measure_decoding(5_000, arguments.rounds) * 1e3:6.1f} ms CPU")


if __name__ == "__main__":
    main()
