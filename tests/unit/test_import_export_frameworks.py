"""Import of traces of frameworks: recordings in any division, and spans as older and foreign exporters write them."""

import base64
import io
import json
import random
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.recorded_spans import RUNS, document, split
from xpander_sdk.import_export.reader import open_runs
from xpander_sdk.import_export.record import Record

TRACE = "5b8efff798038103d269b633813fc60c"
START = 1_795_000_000_000_000_000
AGENT = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "support"}
CHAT = {"gen_ai.operation.name": "chat", "gen_ai.response.model": "gpt-4o-2024-08-06"}


def value(content: Any) -> dict[str, Any]:
    kinds = {bool: "boolValue", int: "intValue", float: "doubleValue", str: "stringValue"}
    return {kinds[type(content)]: str(content) if type(content) is int else content}


def span(number: int, parent: int, attributes: dict[str, Any], start: int = 0, end: int = 5, **more: Any) -> Any:
    return {
        "traceId": TRACE, "spanId": f"{number:016x}", "parentSpanId": f"{parent:016x}" if parent else "",
        "name": f"span {number}", "startTimeUnixNano": str(START + start * 10**9),
        "endTimeUnixNano": str(START + end * 10**9),
        "attributes": [{"key": key, "value": value(content)} for key, content in attributes.items()], **more,
    }  # fmt: skip


def traces(*spans: Any) -> Any:
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "svc"}}]}
    return {"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": list(spans)}]}]}


def read(*documents: Any) -> tuple[dict[str, Record], str | None]:
    """Return the runs of a file with a document on each line, and the sentence about what was ignored."""
    content = "\n".join(json.dumps(item) for item in documents).encode()
    reader, file_format = open_runs(io.BytesIO(content), None, None)
    assert file_format == "otlp"
    entries = list(reader.entries(None))
    assert [entry.problem for entry in entries if entry.problem] == []
    records = [entry.record for entry in entries if entry.record is not None]
    return {str(record.id): record for record in records}, reader.ignored


def only(*documents: Any) -> dict[str, Any]:
    (record,) = read(*documents)[0].values()
    return {**record.arguments, "agent_id": record.agent_id, "id": record.id}


@given(st.sampled_from(list(RUNS)), st.randoms(use_true_random=False))
def test_recording_in_any_division_gives_the_same_records(name, randomness: random.Random):
    whole = read(document(name))
    parts = split(document(name))
    parts += randomness.sample(parts, randomness.randrange(len(parts)))
    randomness.shuffle(parts)
    assert read(*parts) == whole
    assert len(whole[0]) == len(RUNS[name])


def test_indexed_messages_of_openllmetry():
    chat = {
        "llm.request.type": "chat", "gen_ai.request.model": "gpt-4o", "gen_ai.response.model": "gpt-4o-2024-08-06",
        "gen_ai.prompt.0.role": "system", "gen_ai.prompt.0.content": "Be brief", "gen_ai.prompt.1.role": "user",
        "gen_ai.prompt.1.content": "Where is my parcel?", "gen_ai.completion.0.role": "assistant",
        "gen_ai.completion.0.content": "On its way", "gen_ai.usage.prompt_tokens": 21,
    }  # fmt: skip
    run = only(
        traces(
            span(1, 0, {"traceloop.span.kind": "workflow", "traceloop.entity.name": "support"}),
            span(2, 1, chat, 1, 2),
            span(3, 1, {"traceloop.span.kind": "tool", "traceloop.entity.name": "track_parcel"}, 2, 3),
        )
    )
    assert (run["agent_id"], run["input"], run["result"], run["used_tools"]) == (
        "support", "Where is my parcel?", "On its way", ["track_parcel"],
    )  # fmt: skip
    assert run["tokens"]["prompt_tokens"] == 21


def test_spans_with_attributes_of_openinference_only():
    root = {"openinference.span.kind": "AGENT", "input.value": "Where is my parcel?", "output.value": "On its way"}
    llm = {"openinference.span.kind": "LLM", "llm.model_name": "gpt-4o", "llm.token_count.prompt": 21}
    run = only(traces(span(1, 0, root), span(2, 1, llm, 1, 2)))
    assert (run["input"], run["result"], run["tokens"]["prompt_tokens"]) == ("Where is my parcel?", "On its way", 21)


def test_first_version_of_the_spans_of_pydantic_ai():
    messages = [
        {"content": "hi", "role": "user", "event.name": "gen_ai.user.message"},
        {"role": "assistant", "content": "hello", "event.name": "gen_ai.assistant.message"},
    ]
    root = {"gen_ai.agent.name": "support", "model_name": "gpt-4o", "all_messages_events": json.dumps(messages)}
    run = only(traces(span(1, 0, root), span(2, 1, {**CHAT, "gen_ai.usage.input_tokens": 10}, 1, 2)))
    assert (run["agent_id"], run["input"], run["result"]) == ("support", "hi", "hello")


def test_names_of_protobuf_fields():
    def snake(item: Any) -> Any:
        if isinstance(item, dict):
            return {re.sub("([A-Z])", lambda m: "_" + m[1].lower(), key): snake(value) for key, value in item.items()}
        return [snake(part) for part in item] if isinstance(item, list) else item

    assert only(snake(traces(span(1, 0, AGENT))))["agent_id"] == "support"


def test_base64_ids_and_the_sum_of_an_agent():
    def encode(number: int) -> str:
        return base64.b64encode(number.to_bytes(8, "big")).decode()

    ids = {"traceId": base64.b64encode(bytes.fromhex(TRACE)).decode()}
    usage = {"gen_ai.usage.input_tokens": 113, "gen_ai.usage.output_tokens": 11}
    status = {"code": "STATUS_CODE_ERROR", "message": "boom"}
    root = {**span(1, 0, {**AGENT, **usage}), **ids, "spanId": encode(1), "status": status}
    chat = {**span(2, 1, {**CHAT, **usage}, 1, 2), **ids, "spanId": encode(2), "parentSpanId": encode(1)}
    run = only(traces(root, chat))
    assert (run["id"], run["tokens"]["prompt_tokens"], run["is_success"]) == (f"{TRACE}-{1:016x}", 113, False)


def test_sentence_about_spans_that_are_no_runs():
    http = [span(number, 0, {"http.request.method": "GET"}) for number in (1, 2)]
    assert read(traces(*http)) == ({}, "2 spans of HTTP calls ignored")


@pytest.mark.parametrize("signal", ["resourceLogs", "resourceMetrics"])
def test_logs_and_metrics_are_rejected_by_name(signal):
    reader, _ = open_runs(io.BytesIO(json.dumps({signal: []}).encode()), None, None)
    (entry,) = reader.entries(None)
    assert "only traces can be imported" in str(entry.problem)
