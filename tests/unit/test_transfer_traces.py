"""OTLP JSON → records. The files of `tests/data` are what instrumented agents wrote, less what is not read."""

import io
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from xpander_sdk.import_export.reader import ContentChanged, Entry, open_runs
from xpander_sdk.import_export.record import Record

DATA = Path(__file__).parents[1] / "data"
START = 1_767_605_400_000_000_000  # 2026-01-05T09:30:00Z
TRACE, ROOT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def entries(content: bytes, after=None) -> list[Entry]:
    found, kind = open_runs(io.BytesIO(content), None, None)
    assert kind == "otlp"
    return list(found.entries(after))


def value(plain: Any) -> dict[str, Any]:
    match plain:
        case bool():
            return {"boolValue": plain}
        case int():
            return {"intValue": str(plain)}
        case list():
            return {"arrayValue": {"values": [value(item) for item in plain]}}
        case dict():
            return {"kvlistValue": {"values": attributes(plain)}}
    return {"stringValue": plain}


def attributes(plain: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"key": key, "value": value(item)} for key, item in plain.items()]


def span(id: str, told: dict[str, Any], parent: str = "", *, seconds: float = 2, at: int = 0, **more: Any) -> Any:
    start = START + at * 10**9
    return {
        "traceId": TRACE, "spanId": id, "parentSpanId": parent, "name": "any",
        "startTimeUnixNano": str(start), "endTimeUnixNano": str(start + int(seconds * 1e9)),
        "attributes": attributes(told), **more,
    }  # fmt: skip


def traces(*spans: Any, service: str = "desk") -> bytes:
    resource = {"attributes": attributes({"service.name": service})}
    return json.dumps({"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": list(spans)}]}]}).encode()


def run(*spans: Any, **resource: Any) -> Record:
    (entry,) = entries(traces(*spans, **resource))
    assert entry.record is not None
    return entry.record


def agent(told: dict[str, Any] | None = None, **more: Any) -> Any:
    return span(ROOT, {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "weather", **(told or {})}, **more)


def test_an_agent_that_told_its_messages_as_attributes():
    done, broken = (entry.record for entry in entries((DATA / "otlp-messages.jsonl").read_bytes()))
    assert done is not None
    assert (done.agent_id, done.id) == ("weather", "7d3c533359bbe2cbeeee29403a5605b3-dc9958335d114bf9")
    told = done.arguments
    assert (told["input"], told["result"]) == (
        "What is the weather in Paris?", "The weather in Paris is rainy, 14 °C.",
    )  # fmt: skip
    assert (told["is_success"], told["used_tools"], told["duration"]) == (True, ["get_weather"], 0.044368935)
    assert told["tokens"] == {
        "prompt_tokens": 108, "completion_tokens": 29, "cache_read_tokens": 40, "cache_write_tokens": 0,
    }  # fmt: skip
    assert told["created_at"] == datetime(2026, 11, 22, 17, 43, 58, 981798, tzinfo=UTC)
    assert told["finished_at"] == datetime(2026, 11, 22, 17, 43, 59, 26167, tzinfo=UTC)
    assert done.reported_at == 1_795_369_439_026_167
    assert broken is not None
    assert (broken.agent_id, broken.arguments["is_success"]) == ("broken", False)
    assert (broken.arguments["input"], broken.arguments["result"]) == ("Hello?", "RuntimeError: the provider said 500")


def test_an_agent_that_told_its_messages_as_events():
    (entry,) = entries((DATA / "otlp-events.jsonl").read_bytes())
    assert entry.record is not None
    told = entry.record.arguments
    assert (told["input"], told["result"]) == ("What is the weather in Paris?", "It is rainy in Paris, 14 °C.\n")
    assert (told["tokens"]["prompt_tokens"], told["tokens"]["completion_tokens"]) == (100, 20)
    assert told["llm_response"]["model"] == "gpt-4o"
    assert told["llm_response"]["output"] == [[{"text": "It is rainy in Paris, 14 °C."}]]


MESSAGES = [
    {"role": "system", "parts": [{"type": "text", "content": "You are a bot"}]},
    {"role": "user", "parts": [{"type": "text", "content": "first"}, {"type": "blob", "content": "aGVsbG8="}]},
    {"role": "assistant", "parts": [{"type": "tool_call", "id": "c", "name": "get_weather", "arguments": {}}]},
    {"role": "user", "parts": [{"type": "text", "content": "second"}, {"type": "text", "content": "line"}]},
    {"role": "tool", "parts": [{"type": "tool_call_response", "id": "c", "result": "rainy"}]},
]


@pytest.mark.parametrize("form", [lambda messages: messages, json.dumps], ids=["structured", "as text"])
def test_the_last_word_of_the_user_is_what_was_asked(form):
    assert run(agent({"gen_ai.input.messages": form(MESSAGES)})).arguments["input"] == "second\nline"


def test_messages_may_stand_on_an_event():
    details = {"gen_ai.input.messages": MESSAGES, "gen_ai.output.messages": [{"role": "assistant", "parts": [
        {"type": "reasoning", "content": "hm"}, {"type": "text", "content": "rainy"},
    ]}]}  # fmt: skip
    event = {"name": "gen_ai.client.inference.operation.details", "attributes": attributes(details)}
    told = run(agent(events=[event])).arguments
    assert (told["input"], told["result"]) == ("second\nline", "rainy")


@pytest.mark.parametrize(
    ("name", "told", "text"),
    [
        ("gen_ai.user.message", {"content": "plain"}, "plain"),
        ("gen_ai.user.message", {"gen_ai.event.content": '{"role": "user", "content": "in JSON"}'}, "in JSON"),
        ("gen_ai.user.message", {"content": '{"city": "Paris"}'}, '{"city": "Paris"}'),
        ("gen_ai.content.prompt", {"gen_ai.prompt": '[{"role": "user", "content": "older"}]'}, "older"),
        ("gen_ai.content.prompt", {"gen_ai.prompt": "[not JSON"}, "[not JSON"),
    ],
)
def test_older_conventions_have_an_event_for_each_message(name, told, text):
    assert run(agent(events=[{"name": name, "attributes": attributes(told)}])).arguments["input"] == text


def test_a_choice_may_hold_its_message():
    choice = {"gen_ai.event.content": '{"index": 0, "message": {"role": "assistant", "content": "rainy"}}'}
    event = {"name": "gen_ai.choice", "attributes": attributes(choice)}
    assert run(agent(events=[event])).arguments["result"] == "rainy"


def test_what_a_span_says_of_its_usage_holds_for_all_below_it():
    usage = {"gen_ai.usage.input_tokens": 5, "gen_ai.usage.completion_tokens": 1}
    child = span("01", {"gen_ai.operation.name": "chat", **usage}, ROOT)
    same = span("02", {"gen_ai.operation.name": "chat", **usage}, ROOT)
    tokens = run(agent(), child, same).arguments["tokens"]
    assert (tokens["prompt_tokens"], tokens["completion_tokens"]) == (10, 2)
    tokens = run(agent({"gen_ai.usage.prompt_tokens": 7}), child, same).arguments["tokens"]
    assert (tokens["prompt_tokens"], tokens["completion_tokens"]) == (7, 0)


def test_tools_are_in_the_order_of_their_start_those_of_inner_agents_included():
    inner = span("01", {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "inner"}, ROOT)
    tools = [
        span(f"1{number}", {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": name}, parent, at=-number)
        for number, (name, parent) in enumerate([("last", ROOT), ("middle", "01"), ("first", ROOT)])
    ]
    assert run(*tools, inner, agent()).arguments["used_tools"] == ["first", "middle", "last"]


def test_agents_side_by_side_are_runs_of_their_own():
    above = span("01", {"http.route": "/ask"})
    first = span("02", {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.id": "asst_1"}, "01")
    second = span("03", {"gen_ai.operation.name": "invoke_agent"}, "01")
    found = entries(traces(above, first, second))
    assert [entry.record and entry.record.agent_id for entry in found] == ["asst_1", "desk"]
    assert {entry.record and entry.record.id for entry in found} == {f"{TRACE}-02", f"{TRACE}-03"}


def test_without_an_agent_the_root_is_the_run_and_without_any_model_there_is_none():
    above = span(ROOT, {"http.route": "/ask"}, seconds=3)
    call = span("01", {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4"}, ROOT)
    record = run(above, call)
    assert (record.agent_id, record.id, record.arguments["duration"]) == ("desk", f"{TRACE}-{ROOT}", 3.0)
    assert entries(traces(above)) == []
    assert run(call, service="unknown_service:python").agent_id is None


def test_a_run_that_has_not_ended_goes_on():
    told = run(agent(endTimeUnixNano="0")).arguments
    assert (told["is_success"], told["finished_at"], told["duration"]) == (None, None, None)


@pytest.mark.parametrize(
    "failure",
    [agent({"error.type": "timeout"}), agent(status={"code": 2}), agent(status={"code": "STATUS_CODE_ERROR"})],
)
def test_a_run_fails_by_its_status_or_its_error(failure):
    assert run(failure).arguments["is_success"] is False


def test_spans_of_a_trace_may_stand_on_any_lines_and_come_twice():
    child = span("01", {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "x"}, ROOT)
    (entry,) = entries(b"\n".join([traces(child), b"", traces(agent()), traces(child)]))
    assert entry.line == 3
    assert entry.record is not None
    assert entry.record.arguments["used_tools"] == ["x"]


def test_a_document_over_many_lines_and_a_list_of_documents_are_read():
    document = json.loads(traces(agent()))
    assert len(entries(json.dumps(document, indent=2).encode())) == 1
    assert len(entries(json.dumps([document, document]).encode())) == 1


def test_ids_in_base64_are_the_same_ids():
    encoded = agent(traceId="S/kvNXezTaajzpKdDg5HNg==", spanId="APBnqgupArc=")
    assert run(encoded).id == f"{TRACE}-{ROOT}"


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (b'{"resourceLogs": []}', "only traces are read"),
        (b"nonsense", "it is not JSON"),
        (b'{"resourceSpans": 5}', "resourceSpans must be a list of objects"),
        (b'{"resourceSpans": [{"scopeSpans": [{"spans": [{"spanId": "01"}]}]}]}', "a span has no traceId"),
        (traces(agent(startTimeUnixNano="soon")), "a time must be nanoseconds"),
        (traces(agent(startTimeUnixNano="9" * 30)), "a time must be nanoseconds"),
    ],
)
def test_a_bad_line_says_why_and_holds_up_nothing(line, told):
    bad, good = entries(traces(agent(), service="other") + b"\n" + line)
    assert told in (bad.problem or "")
    assert (bad.line, bad.text) == (2, line.decode())
    assert good.record is not None


def test_spans_that_are_their_own_parents_are_no_end():
    assert entries(traces(span("01", {"gen_ai.operation.name": "chat"}, "02"), span("02", {}, "01"))) == []
    assert run(agent(parentSpanId=ROOT)).id == f"{TRACE}-{ROOT}"


def test_ten_thousand_generations_are_no_depth():
    chain = [span(f"{number:016x}", {}, f"{number - 1:016x}") for number in range(2, 10_000)]
    call = span("ff", {"gen_ai.operation.name": "chat"}, f"{9_999:016x}")
    assert run(span(f"{1:016x}", {}), *chain, call).id == f"{TRACE}-{1:016x}"


def test_a_source_goes_on_after_any_place_of_the_same_content():
    content = (DATA / "otlp-messages.jsonl").read_bytes()
    found = entries(content)
    assert entries(content, found[0].place) == found[1:]
    with pytest.raises(ContentChanged):
        entries(content + b"\n", found[0].place)
