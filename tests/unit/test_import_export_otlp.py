"""OTLP JSON: reader, spans, runs and messages.

The files in `tests/data` are exports of instrumented agents, without the attributes that are not read.
"""

import io
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from xpander_sdk.import_export.entries import ContentChanged, Entry
from xpander_sdk.import_export.reader import open_runs
from xpander_sdk.import_export.record import Record

DATA = Path(__file__).parents[1] / "data"
START = 1_767_605_400_000_000_000  # 2026-01-05T09:30:00Z
TRACE, ROOT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def read_entries(content: bytes, after=None) -> list[Entry]:
    reader, file_format = open_runs(io.BytesIO(content), None, None)
    assert file_format == "otlp"
    return list(reader.entries(after))


def otlp_value(value: Any) -> dict[str, Any]:
    match value:
        case bool():
            return {"boolValue": value}
        case int():
            return {"intValue": str(value)}
        case list():
            return {"arrayValue": {"values": [otlp_value(item) for item in value]}}
        case dict():
            return {"kvlistValue": {"values": otlp_attributes(value)}}
    return {"stringValue": value}


def otlp_attributes(values: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"key": key, "value": otlp_value(value)} for key, value in values.items()]


def span(id: str, attributes: dict[str, Any], parent: str = "", *, seconds: float = 2, at: int = 0, **more: Any) -> Any:
    start = START + at * 10**9
    return {
        "traceId": TRACE, "spanId": id, "parentSpanId": parent, "name": "any",
        "startTimeUnixNano": str(start), "endTimeUnixNano": str(start + int(seconds * 1e9)),
        "attributes": otlp_attributes(attributes), **more,
    }  # fmt: skip


def traces(*spans: Any, service: str = "desk") -> bytes:
    resource = {"attributes": otlp_attributes({"service.name": service})}
    return json.dumps({"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": list(spans)}]}]}).encode()


def record_of(*spans: Any, **resource: Any) -> Record:
    (entry,) = read_entries(traces(*spans, **resource))
    assert entry.record is not None
    return entry.record


def agent(attributes: dict[str, Any] | None = None, **more: Any) -> Any:
    return span(
        ROOT, {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "weather", **(attributes or {})}, **more
    )


def test_messages_in_attributes():
    completed, failed = (entry.record for entry in read_entries((DATA / "otlp-messages.jsonl").read_bytes()))
    assert completed is not None
    assert (completed.agent_id, completed.id) == ("weather", "7d3c533359bbe2cbeeee29403a5605b3-dc9958335d114bf9")
    arguments = completed.arguments
    assert (arguments["input"], arguments["result"]) == (
        "What is the weather in Paris?", "The weather in Paris is rainy, 14 °C.",
    )  # fmt: skip
    assert (arguments["is_success"], arguments["used_tools"], arguments["duration"]) == (
        True,
        ["get_weather"],
        0.044368935,
    )
    assert arguments["tokens"] == {
        "prompt_tokens": 108, "completion_tokens": 29, "cache_read_tokens": 40, "cache_write_tokens": 0,
    }  # fmt: skip
    assert arguments["created_at"] == datetime(2026, 11, 22, 17, 43, 58, 981798, tzinfo=UTC)
    assert arguments["finished_at"] == datetime(2026, 11, 22, 17, 43, 59, 26167, tzinfo=UTC)
    assert completed.reported_at == 1_795_369_439_026_167
    assert failed is not None
    assert (failed.agent_id, failed.arguments["is_success"]) == ("broken", False)
    assert (failed.arguments["input"], failed.arguments["result"]) == ("Hello?", "RuntimeError: the provider said 500")


def test_messages_in_events():
    (entry,) = read_entries((DATA / "otlp-events.jsonl").read_bytes())
    assert entry.record is not None
    arguments = entry.record.arguments
    assert (arguments["input"], arguments["result"]) == (
        "What is the weather in Paris?",
        "It is rainy in Paris, 14 °C.\n",
    )
    assert (arguments["tokens"]["prompt_tokens"], arguments["tokens"]["completion_tokens"]) == (100, 20)
    assert arguments["llm_response"]["model"] == "gpt-4o"
    assert arguments["llm_response"]["output"] == [[{"text": "It is rainy in Paris, 14 °C."}]]


MESSAGES = [
    {"role": "system", "parts": [{"type": "text", "content": "You are a bot"}]},
    {"role": "user", "parts": [{"type": "text", "content": "first"}, {"type": "blob", "content": "aGVsbG8="}]},
    {"role": "assistant", "parts": [{"type": "tool_call", "id": "c", "name": "get_weather", "arguments": {}}]},
    {"role": "user", "parts": [{"type": "text", "content": "second"}, {"type": "text", "content": "line"}]},
    {"role": "tool", "parts": [{"type": "tool_call_response", "id": "c", "result": "rainy"}]},
]


@pytest.mark.parametrize("form", [lambda messages: messages, json.dumps], ids=["structured", "as text"])
def test_input_is_the_last_message_of_the_user(form):
    assert record_of(agent({"gen_ai.input.messages": form(MESSAGES)})).arguments["input"] == "second\nline"


def test_messages_in_an_attribute_of_an_event():
    details = {"gen_ai.input.messages": MESSAGES, "gen_ai.output.messages": [{"role": "assistant", "parts": [
        {"type": "reasoning", "content": "hm"}, {"type": "text", "content": "rainy"},
    ]}]}  # fmt: skip
    event = {"name": "gen_ai.client.inference.operation.details", "attributes": otlp_attributes(details)}
    arguments = record_of(agent(events=[event])).arguments
    assert (arguments["input"], arguments["result"]) == ("second\nline", "rainy")


@pytest.mark.parametrize(
    ("name", "attributes", "text"),
    [
        ("gen_ai.user.message", {"content": "plain"}, "plain"),
        ("gen_ai.user.message", {"gen_ai.event.content": '{"role": "user", "content": "in JSON"}'}, "in JSON"),
        ("gen_ai.user.message", {"content": '{"city": "Paris"}'}, '{"city": "Paris"}'),
        ("gen_ai.content.prompt", {"gen_ai.prompt": '[{"role": "user", "content": "older"}]'}, "older"),
        ("gen_ai.content.prompt", {"gen_ai.prompt": "[not JSON"}, "[not JSON"),
    ],
)
def test_older_conventions_have_an_event_for_each_message(name, attributes, text):
    assert (
        record_of(agent(events=[{"name": name, "attributes": otlp_attributes(attributes)}])).arguments["input"] == text
    )


def test_a_choice_may_contain_its_message():
    choice = {"gen_ai.event.content": '{"index": 0, "message": {"role": "assistant", "content": "rainy"}}'}
    event = {"name": "gen_ai.choice", "attributes": otlp_attributes(choice)}
    assert record_of(agent(events=[event])).arguments["result"] == "rainy"


def test_token_counts_of_a_span_include_its_children():
    usage = {"gen_ai.usage.input_tokens": 5, "gen_ai.usage.completion_tokens": 1}
    child = span("01", {"gen_ai.operation.name": "chat", **usage}, ROOT)
    same = span("02", {"gen_ai.operation.name": "chat", **usage}, ROOT)
    tokens = record_of(agent(), child, same).arguments["tokens"]
    assert (tokens["prompt_tokens"], tokens["completion_tokens"]) == (10, 2)
    tokens = record_of(agent({"gen_ai.usage.prompt_tokens": 7}), child, same).arguments["tokens"]
    assert (tokens["prompt_tokens"], tokens["completion_tokens"]) == (7, 0)


def test_tools_include_those_of_inner_agents_in_the_order_of_their_start():
    inner = span("01", {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "inner"}, ROOT)
    tools = [
        span(f"1{number}", {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": name}, parent, at=-number)
        for number, (name, parent) in enumerate([("last", ROOT), ("middle", "01"), ("first", ROOT)])
    ]
    assert record_of(*tools, inner, agent()).arguments["used_tools"] == ["first", "middle", "last"]


def test_sibling_agents_are_separate_runs():
    parent = span("01", {"http.route": "/ask"})
    first = span("02", {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.id": "asst_1"}, "01")
    second = span("03", {"gen_ai.operation.name": "invoke_agent"}, "01")
    runs = read_entries(traces(parent, first, second))
    assert [entry.record and entry.record.agent_id for entry in runs] == ["asst_1", "desk"]
    assert {entry.record and entry.record.id for entry in runs} == {f"{TRACE}-02", f"{TRACE}-03"}


def test_root_span_is_the_run_without_an_agent_but_only_with_genai_spans():
    parent = span(ROOT, {"http.route": "/ask"}, seconds=3)
    call = span("01", {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4"}, ROOT)
    record = record_of(parent, call)
    assert (record.agent_id, record.id, record.arguments["duration"]) == ("desk", f"{TRACE}-{ROOT}", 3.0)
    assert read_entries(traces(parent)) == []
    assert record_of(call, service="unknown_service:python").agent_id is None


def test_a_run_without_end_is_in_progress():
    arguments = record_of(agent(endTimeUnixNano="0")).arguments
    assert (arguments["is_success"], arguments["finished_at"], arguments["duration"]) == (None, None, None)


@pytest.mark.parametrize(
    "failed_agent",
    [agent({"error.type": "timeout"}), agent(status={"code": 2}), agent(status={"code": "STATUS_CODE_ERROR"})],
)
def test_status_and_error_type_mean_failure(failed_agent):
    assert record_of(failed_agent).arguments["is_success"] is False


def test_spans_of_a_trace_may_be_on_any_lines_and_be_repeated():
    child = span("01", {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "x"}, ROOT)
    (entry,) = read_entries(b"\n".join([traces(child), b"", traces(agent()), traces(child)]))
    assert entry.line == 3
    assert entry.record is not None
    assert entry.record.arguments["used_tools"] == ["x"]


def test_a_document_of_many_lines_and_a_list_of_documents():
    document = json.loads(traces(agent()))
    assert len(read_entries(json.dumps(document, indent=2).encode())) == 1
    assert len(read_entries(json.dumps([document, document]).encode())) == 1


def test_ids_in_base64_are_converted():
    encoded = agent(traceId="S/kvNXezTaajzpKdDg5HNg==", spanId="APBnqgupArc=")
    assert record_of(encoded).id == f"{TRACE}-{ROOT}"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b'{"resourceLogs": []}', "only traces can be imported"),
        (b"nonsense", "the text must be JSON"),
        (b'{"resourceSpans": 5}', "resourceSpans must be a list of objects"),
        (b'{"resourceSpans": [{"scopeSpans": [{"spans": [{"spanId": "01"}]}]}]}', "each span must have a traceId"),
        (traces(agent(startTimeUnixNano="soon")), "a time must be nanoseconds since 1970, got"),
        (traces(agent(startTimeUnixNano="9" * 30)), "a time must be nanoseconds since 1970, got"),
    ],
)
def test_an_invalid_line_has_a_reason_and_does_not_block_the_others(line, message):
    invalid, valid = read_entries(traces(agent(), service="other") + b"\n" + line)
    assert message in (invalid.problem or "")
    assert (invalid.line, invalid.text) == (2, line.decode())
    assert valid.record is not None


def test_cycles_of_parents_are_ignored():
    assert read_entries(traces(span("01", {"gen_ai.operation.name": "chat"}, "02"), span("02", {}, "01"))) == []
    assert record_of(agent(parentSpanId=ROOT)).id == f"{TRACE}-{ROOT}"


def test_a_trace_may_be_deeper_than_the_recursion_limit():
    chain = [span(f"{number:016x}", {}, f"{number - 1:016x}") for number in range(2, 10_000)]
    call = span("ff", {"gen_ai.operation.name": "chat"}, f"{9_999:016x}")
    assert record_of(span(f"{1:016x}", {}), *chain, call).id == f"{TRACE}-{1:016x}"


def test_reading_continues_behind_a_position_of_the_same_content():
    content = (DATA / "otlp-messages.jsonl").read_bytes()
    all_entries = read_entries(content)
    assert read_entries(content, all_entries[0].position) == all_entries[1:]
    with pytest.raises(ContentChanged):
        read_entries(content + b"\n", all_entries[0].position)
