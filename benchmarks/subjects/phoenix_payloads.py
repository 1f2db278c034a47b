"""Print runs as Phoenix's clients send them: OTLP in protobuf, encoded in base64, one on each line.

Argument: the number of runs. Standard input: one run as JSON. Needs the environment of Phoenix.
"""

import base64
import json
import os
import sys
import time

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

run = json.load(sys.stdin)
for _ in range(int(sys.argv[1])):
    request = ExportTraceServiceRequest()
    span = request.resource_spans.add().scope_spans.add().spans.add()
    span.trace_id, span.span_id, span.name = os.urandom(16), os.urandom(8), "run"
    span.end_time_unix_nano = time.time_ns()
    span.start_time_unix_nano = span.end_time_unix_nano - int(run["duration"] * 1e9)
    span.status.code = 1
    texts = {
        "openinference.span.kind": "LLM",
        "input.value": run["input"],
        "output.value": run["result"],
        "llm.model_name": run["llm_response"]["model"],
        "metadata": json.dumps({"used_tools": run["used_tools"], "llm_response": run["llm_response"]}),
    }
    for key, text in texts.items():
        attribute = span.attributes.add()
        attribute.key, attribute.value.string_value = key, text
    for key, name in (("prompt", "prompt_tokens"), ("completion", "completion_tokens")):
        attribute = span.attributes.add()
        attribute.key, attribute.value.int_value = f"llm.token_count.{key}", run["tokens"][name]
    print(base64.b64encode(request.SerializeToString()).decode())
