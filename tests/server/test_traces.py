"""Endpoint of OTLP/HTTP on a running server: its forms, other signals, hostile bodies, OpenTelemetry's exporter."""

import base64
import gzip
import json
import os
import random
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from google.protobuf import json_format
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor

from support.recorded_spans import RUNS, document
from support.server import KEY, Server, running_server, serve_command, server_url
from xpander_sdk import Tasks

PROTOBUF, JSON = "application/x-protobuf", "application/json"


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[Server]:
    """Server for this module only: the recorded runs are older than those of other tests, and on the first page."""
    with running_server(tmp_path_factory.mktemp("traces") / "store.db", pages_are_whole=True) as running:
        yield running


def post(server: Server, body: bytes, path: str = "/v1/traces", **headers: str) -> tuple[int, dict[str, str], bytes]:
    sent = {"x-api-key": KEY, "content-type": PROTOBUF} | {
        name.replace("_", "-"): value for name, value in headers.items()
    }
    request = urllib.request.Request(server.url + path, body, {name: value for name, value in sent.items() if value})
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return response.status, dict(response.headers), response.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, dict(error.headers), error.read()


def protobuf(data: Any) -> bytes:
    """Return the binary form of a document of OTLP JSON, whose ids are hexadecimal."""
    request = ExportTraceServiceRequest()
    plain = json.loads(json.dumps(data))
    for span in spans_of(plain):
        for name in ("traceId", "spanId", "parentSpanId"):
            if span.get(name):
                span[name] = base64.b64encode(bytes.fromhex(span[name])).decode()
    json_format.ParseDict(plain, request)
    return request.SerializeToString()


def spans_of(data: Any) -> list[Any]:
    return [span for resource in data["resourceSpans"] for scope in resource["scopeSpans"] for span in scope["spans"]]


def new_ids(data: Any) -> Any:
    """Return a document with other trace ids, so that each test has traces of its own."""
    text = json.dumps(data)
    for trace_id in {span["traceId"] for span in spans_of(data)}:
        text = text.replace(trace_id, uuid.uuid4().hex)
    return json.loads(text)


def task_ids(data: Any) -> set[str]:
    return {span["traceId"] for span in spans_of(data)}


def list_ids(server: Server) -> list[str]:
    request = urllib.request.Request(server.url + "/agent-execution/executions/history", headers={"x-api-key": KEY})
    with urllib.request.urlopen(request, timeout=30) as response:
        return [task["id"] for task in json.loads(response.read())]


def recorded(server: Server, traces: set[str]) -> list[Any]:
    tasks = Tasks(configuration=server.configuration)
    return [tasks.get(task_id) for task_id in list_ids(server) if task_id[:32] in traces]


ENCODINGS = {"identity": lambda body: body, "gzip": gzip.compress}


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("form", [PROTOBUF, JSON])
@pytest.mark.parametrize("key_header", ["x-api-key", "authorization"])
def test_export_in_each_form(server, encoding, form, key_header):
    data = new_ids(document("pydantic-ai"))
    body = protobuf(data) if form == PROTOBUF else json.dumps(data).encode()
    headers = {"x-api-key": KEY} if key_header == "x-api-key" else {"x-api-key": "", "authorization": f"Bearer {KEY}"}
    status, response_headers, answer = post(
        server, ENCODINGS[encoding](body), content_type=form, content_encoding=encoding, **headers
    )
    assert (status, response_headers["content-type"]) == (200, form)
    assert answer == (b"" if form == PROTOBUF else b"{}")
    tasks = recorded(server, task_ids(data))
    assert sorted(task.agent_id for task in tasks) == ["bad", "t", "weather", "weather"]
    assert {task.status.value for task in tasks} == {"completed", "failed"}


def test_export_with_zstd(server):
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
    data = new_ids(document("strands"))
    assert post(server, zstd.compress(protobuf(data)), content_encoding="zstd")[0] == 200
    assert len(recorded(server, task_ids(data))) == len(RUNS["strands"])


def test_key_is_required(server):
    assert post(server, b"", x_api_key="")[0] == 401
    assert post(server, b"", x_api_key="wrong")[0] == 401


def test_export_without_spans_is_valid(server):
    assert post(server, b"")[0] == 200
    assert post(server, b"{}", content_type=JSON)[0] == 200


def test_other_signals_are_refused_by_name(server):
    logs, metrics = ExportLogsServiceRequest(), ExportMetricsServiceRequest()
    entry = logs.resource_logs.add().scope_logs.add().log_records.add()
    entry.time_unix_nano, entry.body.string_value = 1, "hello"
    metric = metrics.resource_metrics.add().scope_metrics.add().metrics.add()
    metric.name = "requests"
    metric.sum.data_points.add().as_int = 1
    for name, body in (("logs", logs.SerializeToString()), ("metrics", metrics.SerializeToString())):
        status, _, answer = post(server, body)
        assert (status, f"exporter of {name} off" in answer.decode()) == (400, True)
        status, _, answer = post(server, json.dumps({f"resource{name.title()}": []}).encode(), content_type=JSON)
        assert (status, f"exporter of {name} off" in answer.decode()) == (400, True)
        status, _, answer = post(server, body, f"/v1/{name}")
        assert (status, b"traces only" in answer) == (404, True)


def test_path_without_v1_traces_is_explained(server):
    status, _, answer = post(server, b"", "/")
    assert (status, b"/v1/traces" in answer) == (404, True)


def test_invalid_spans_are_counted_and_the_others_stored(server):
    data = new_ids(document("autogen"))
    request = ExportTraceServiceRequest.FromString(protobuf(data))
    spans = request.resource_spans[0].scope_spans[0].spans
    spans.add().name = "without ids"
    status, _, answer = post(server, request.SerializeToString())
    partial = ExportTraceServiceResponse.FromString(answer).partial_success
    assert (status, partial.rejected_spans) == (200, 1)
    assert "trace id" in partial.error_message
    assert len(recorded(server, task_ids(data))) == 1
    spans_of(data)[0]["spanId"] = "nonsense"
    status, _, answer = post(server, json.dumps(data).encode(), content_type=JSON)
    assert (status, json.loads(answer)["partialSuccess"]["rejectedSpans"]) == (200, "1")


def test_only_the_invalid_spans_of_an_export_in_snake_case_are_refused(server):
    trace_id = uuid.uuid4().hex
    attribute = {"key": "gen_ai.operation.name", "value": {"string_value": "invoke_agent"}}
    valid = {"trace_id": trace_id, "span_id": "eee19b7ec3c1b174", "name": "invoke_agent", "attributes": [attribute]}
    data = {"resource_spans": [{"scope_spans": [{"spans": [valid, {"trace_id": trace_id}, 5]}]}]}
    status, _, answer = post(server, json.dumps(data).encode(), content_type=JSON)
    assert (status, json.loads(answer)["partialSuccess"]["rejectedSpans"]) == (200, "2")
    assert len(recorded(server, {trace_id})) == 1


def test_body_above_the_limit_is_refused_without_decompressing_it(server):
    bomb = gzip.compress(bytes(65 * 1024 * 1024))
    assert post(server, bomb, content_encoding="gzip")[0] == 413


def test_large_body_of_prompts_is_accepted(server):
    data = new_ids(document("strands"))
    spans_of(data)[0]["attributes"].append({"key": "padding", "value": {"stringValue": "x" * 20_000_000}})
    assert post(server, protobuf(data))[0] == 200


HOSTILE = [
    b"\x00", b"\xff" * 100, b"{", b"[]", b"null", b"1", b'"resourceSpans"', b"[" * 100_000, b'{"a":' * 100_000,
    b'{"resourceSpans": 1}', b'{"resourceSpans": [1]}', b'{"resourceSpans": [{"scopeSpans": {}}]}',
    b'{"resourceSpans": [{"scopeSpans": [{"spans": [{}]}]}]}', b'{"resourceSpans": [null]}', b"\xef\xbb\xbf{}",
    b'{"resourceSpans": [{"resource": {"attributes": [1]}, "scopeSpans": [{"spans": [{"traceId": 1}]}]}]}',
    b"\x0a\xff\xff\xff\xff\x0f", b"\x0a\x02\x12\x00" * 10_000, b"\x0a" * 1_000, b'{"resource_spans": "x"}',
]  # fmt: skip


@pytest.mark.parametrize("body", HOSTILE, ids=range(len(HOSTILE)))
@pytest.mark.parametrize("form", [PROTOBUF, JSON])
@pytest.mark.parametrize("encoding", ["", "gzip", "zstd", "br", "gzip, gzip"])
def test_hostile_body_is_never_a_server_error(server, body, form, encoding):
    assert post(server, body, content_type=form, content_encoding=encoding)[0] in (200, 400, 413, 415)


any_value = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=20),
    lambda items: st.lists(items, max_size=3) | st.dictionaries(st.text(max_size=10), items, max_size=3),
    max_leaves=8,
)
SPAN_KEYS = st.sampled_from(
    [
        "traceId",
        "spanId",
        "parentSpanId",
        "startTimeUnixNano",
        "endTimeUnixNano",
        "attributes",
        "events",
        "status",
        "name",
    ]
)
VALID = {"traceId": "5b8efff798038103d269b633813fc60c", "spanId": "eee19b7ec3c1b174"}


@settings(max_examples=60)
@given(st.lists(st.dictionaries(SPAN_KEYS, any_value, max_size=5), max_size=4), any_value)
def test_any_json_is_never_a_server_error(server, spans, resource):
    data = {"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": [VALID | span for span in spans]}]}]}
    assert post(server, json.dumps(data).encode(), content_type=JSON)[0] in (200, 400)


@settings(max_examples=60)
@given(st.randoms(use_true_random=False))
def test_any_change_of_bytes_is_never_a_server_error(server, randomness: random.Random):
    body = bytearray(protobuf(document("autogen")))
    for _ in range(randomness.randint(1, 5)):
        body[randomness.randrange(len(body))] = randomness.randrange(256)
    assert post(server, bytes(body))[0] in (200, 400)


def make_provider(url: str, compression: Compression, *, batch: bool) -> TracerProvider:
    exporter = OTLPSpanExporter(f"{url}/v1/traces", headers={"x-api-key": KEY}, compression=compression, timeout=60)
    provider = TracerProvider(resource=Resource.create({"service.name": "exporting"}))
    provider.add_span_processor(BatchSpanProcessor(exporter) if batch else SimpleSpanProcessor(exporter))
    return provider


def run_agent(provider: TracerProvider) -> str:
    """Run an agent with two model calls; return the id of its task."""
    tracer = provider.get_tracer("test")
    with tracer.start_as_current_span(
        "invoke_agent", attributes={"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "exported"}
    ) as span:
        for _ in range(2):
            attributes = {
                "gen_ai.operation.name": "chat",
                "gen_ai.request.model": "gpt-4o",
                "gen_ai.usage.input_tokens": 5,
            }
            with tracer.start_as_current_span("chat", attributes=attributes):
                pass
        context = span.get_span_context()
    return f"{context.trace_id:032x}-{context.span_id:016x}"


@pytest.mark.parametrize("compression", [Compression.NoCompression, Compression.Gzip])
@pytest.mark.parametrize("batch", [True, False])
def test_exporter_of_opentelemetry(server, compression, batch):
    provider = make_provider(server.url, compression, batch=batch)
    ids = [run_agent(provider) for _ in range(5)]
    provider.shutdown()
    tasks = Tasks(configuration=server.configuration)
    for task_id in ids:
        task = tasks.get(task_id)
        assert task.tokens is not None
        assert (task.agent_id, task.status.value, task.tokens.prompt_tokens) == ("exported", "completed", 10)


def test_kill_of_the_server_loses_and_doubles_nothing(tmp_path):
    store = tmp_path / "store.db"

    def start(port: str) -> subprocess.Popen[str]:
        command = serve_command(store)
        command[command.index("--port") + 1] = port
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    process = start("0")
    assert process.stdout is not None
    url = server_url(process.stdout.readline())
    provider = make_provider(url, Compression.Gzip, batch=False)
    ids: list[str] = []
    try:
        with ThreadPoolExecutor(1) as pool:
            future = pool.submit(lambda: [ids.append(run_agent(provider)) for _ in range(60)])
            for _ in range(2):
                time.sleep(0.5)
                os.kill(process.pid, signal.SIGKILL)
                process.wait()
                process.stdout.close()
                process = start(url.rpartition(":")[2])
                assert process.stdout is not None
                assert process.stdout.readline()
            future.result(timeout=240)
        restarted = Server(url, process)
        tasks = Tasks(configuration=restarted.configuration)
        assert sorted(list_ids(restarted)) == sorted(ids)
        counts = [tasks.get(task_id).tokens for task_id in ids]
        assert {tokens and tokens.prompt_tokens for tokens in counts} == {10}
    finally:
        process.kill()
        process.communicate()


def test_refused_spans_are_in_the_log_and_in_the_metrics(tmp_path):
    log = tmp_path / "log.txt"
    with running_server(tmp_path / "store.db", log=log) as server:
        request = ExportTraceServiceRequest()
        request.resource_spans.add().scope_spans.add().spans.add().name = "without ids"
        body = protobuf(new_ids(document("autogen"))) + request.SerializeToString()
        assert post(server, body)[0] == 200
        scrape = urllib.request.Request(server.url + "/metrics", headers={"x-api-key": KEY})
        with urllib.request.urlopen(scrape, timeout=10) as response:
            text = response.read().decode()
        assert "xpander_spans_refused_total 1.0" in text
        assert "xpander_spans_total 3.0" in text
    assert "refused spans of organization" in log.read_text()
