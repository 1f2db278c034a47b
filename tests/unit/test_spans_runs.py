"""Facts about each run of a trace: its place, its times, its texts, its outcome, and the spans of no run."""

from dataclasses import FrozenInstanceError
from typing import Any

import pytest

from xpander_capture.spans import Run, SpanSummary, TraceRuns, explain, find_runs, group_by_trace
from xpander_capture.spans.runs import derive_task_id

SECOND = 1_000_000_000


def span(id: int, parent: int = 0, start: float = 1, end: float = 9, **more: Any) -> SpanSummary:
    times = {"start": round(start * SECOND), "end": round(end * SECOND)}
    return SpanSummary(trace_id="t", id=str(id), parent_id=str(parent) if parent else "", **{**times, **more})


def agent(id: int, parent: int = 0, start: float = 1, end: float = 9, **more: Any) -> SpanSummary:
    return span(id, parent, start, end, kind="agent", **more)


def call(id: int, parent: int = 0, start: float = 1, end: float = 9, **more: Any) -> SpanSummary:
    return span(id, parent, start, end, **{"kind": "model", "label": "chat", **more})


def find(*spans: SpanSummary, is_final: bool = True) -> TraceRuns:
    return find_runs(spans, is_final=is_final)


def only_run(*spans: SpanSummary, is_final: bool = True) -> Run:
    (run,) = find(*spans, is_final=is_final).runs
    return run


def ids(spans: list[SpanSummary]) -> list[str]:
    return [one.id for one in spans]


def test_run_has_what_its_spans_state() -> None:
    run = only_run(
        agent(1, 0, 1, 9, name="ask", agent="support", service="desk", input="hi", output="hello", user_id="u1",
              conversation_id="c1"),
        call(2, 1, 2, 4.5, model="m", usage={"prompt_tokens": 5}, response={"model": "m"}),
        span(3, 1, 5, 6, kind="tool", tool="search"),
    )  # fmt: skip
    tokens = {"prompt_tokens": 5, "completion_tokens": 0, "cache_read_tokens": 0, "cache_write_tokens": 0}
    calls = [{"model": "m", "tokens": {"prompt_tokens": 5}, "duration": 2.5}]
    assert run == Run(
        task_id="t-1", agent_id="support", agent_fallback="ask", trace_id="t", span_id="1", is_provisional=False,
        is_likely=False, reported_at=9_000_000, input="hi", result="hello", error=None,
        llm_response={"model": "m", "trace_id": "t", "span_id": "2"}, tokens=tokens, calls=calls, is_success=True,
        duration=8.0, used_tools=["search"], user_id="u1", conversation_id="c1", parent_task_id=None,
        metadata={"service": "desk"}, created_at=1_000_000, finished_at=9_000_000,
    )  # fmt: skip
    assert run.report_fields() == {
        "input": "hi", "result": "hello", "error": None,
        "llm_response": {"model": "m", "trace_id": "t", "span_id": "2"}, "tokens": tokens, "is_success": True,
        "duration": 8.0, "used_tools": ["search"], "calls": calls, "user_id": "u1", "conversation_id": "c1",
        "parent_task_id": None, "metadata": {"service": "desk"}, "created_at": 1_000_000, "finished_at": 9_000_000,
    }  # fmt: skip


def test_run_is_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        only_run(agent(1)).agent_id = "other"  # type: ignore[misc]


def test_report_of_a_run_leaves_out_what_is_empty_and_has_the_error_as_its_result() -> None:
    fields = only_run(agent(1, is_error=True, error="no")).report_fields()
    assert (fields["result"], fields["error"], fields["calls"], fields["metadata"]) == ("no", "no", None, None)
    assert only_run(agent(1, is_error=True, error="no", output="hi")).report_fields()["result"] == "hi"


# Which spans are runs


def test_runs_are_in_the_order_of_their_starts() -> None:
    found = find(span(1), span(2, 1, 1), agent(3, 2, 5), span(4, 1, 2), agent(5, 4, 3))
    assert [run.span_id for run in found.runs] == ["5", "3"]
    assert ids(found.ignored) == ["1", "2", "4"]


def test_agents_below_an_agent_are_part_of_its_run() -> None:
    found = find(agent(1), span(2, 1), agent(3, 2), call(4, 3))
    assert ([run.span_id for run in found.runs], found.ignored) == (["1"], [])


def test_tasks_below_an_agent_are_runs_of_their_own() -> None:
    outer, inner, third = find(
        agent(1, 0, 1), agent(2, 1, 2, task_id="a"), span(3, 2, 3, task_id="b"), span(4, 3, 4, task_id="b"),
        span(5, 3, 5, kind="tool", tool="x"), span(6, 1, 6, kind="tool", tool="y"),
    ).runs  # fmt: skip
    assert [(run.task_id, run.parent_task_id) for run in (outer, inner, third)] == [
        ("t-1", None), ("a", "t-1"), ("b", "a"),
    ]  # fmt: skip
    assert [run.used_tools for run in (outer, inner, third)] == [["y"], [], ["x"]]
    assert {run.agent_fallback for run in (outer, inner, third)} == {None}


def test_topmost_span_is_the_run_if_there_is_no_agent_in_the_trace() -> None:
    assert [run.span_id for run in find(span(1), call(2, 1), span(3), call(4, 3), span(5)).runs] == ["1", "3"]
    found = find(span(1), call(2, 1), span(3), agent(4, 3))
    assert ([run.span_id for run in found.runs], ids(found.ignored)) == (["4"], ["1", "2", "3"])
    assert only_run(span(1, name="POST /ask"), call(2, 1)).agent_fallback == "POST /ask"
    assert only_run(span(1, name="POST /ask"), agent(2, 1, name="inner")).agent_fallback == "POST /ask"


def test_run_below_an_unknown_span_is_provisional_unless_the_program_reports_it() -> None:
    assert only_run(agent(2, 1)).is_provisional is True
    assert only_run(agent(2)).is_provisional is False
    assert only_run(span(2, 1, task_id="a")).is_provisional is False


@pytest.mark.parametrize(
    ("orphan", "is_part"),
    [
        (call(5, 4, 2, 3), True),
        (call(5, 4, 1, 9), True),
        (span(5, 4, 2, 3, kind="step"), True),
        (call(5, 4, 0.5, 3), False),
        (call(5, 4, 2, 9.5), False),
        (span(5, 4, 2, 3), False),
    ],
)
def test_span_of_an_unknown_parent_is_part_of_the_run_of_its_time(orphan: SpanSummary, is_part: bool) -> None:
    found = find(agent(1), orphan)
    assert ([run.span_id for run in found.runs], ids(found.ignored)) == (["1"], [] if is_part else ["5"])


def test_span_of_an_unknown_parent_at_the_time_of_two_runs_is_part_of_none() -> None:
    found = find(agent(1), agent(2), call(5, 4, 2, 3, model="m"))
    assert ([run.calls for run in found.runs], ids(found.ignored)) == ([[], []], ["5"])


def test_attached_spans_are_in_the_order_of_their_starts() -> None:
    tools = [span(number, 9, start, 8, kind="tool", tool=str(number)) for number, start in ((5, 4), (6, 2))]
    run = only_run(agent(1), span(2, 1, 3, 4, kind="tool", tool="2"), *tools)
    assert run.used_tools == ["6", "2", "5"]


def test_spans_whose_parent_is_missing_are_one_run() -> None:
    spans = [call(2, 1, 2, 3, service=None), span(3, 1, 4, 5, kind="tool", tool="x", service="desk"), span(4, 7, 1, 6)]
    run = only_run(*spans)
    assert (run.task_id, run.span_id, run.is_provisional, run.is_likely) == ("t-1", "1", True, True)
    assert (run.created_at, run.finished_at, run.duration, run.agent_id) == (2_000_000, 5_000_000, 3.0, "desk")
    assert (run.is_success, run.used_tools, run.agent_fallback) == (True, ["x"], None)
    assert ids(find(*spans).ignored) == ["4"]
    unfinished = only_run(*spans, is_final=False)
    assert (unfinished.finished_at, unfinished.is_success, unfinished.reported_at) == (None, None, 5_000_000)


def test_run_whose_span_is_missing_has_the_id_of_the_first_missing_span() -> None:
    assert only_run(call(2, 1, 3, 4), call(3, 7, 2, 5)).span_id == "7"
    assert find(span(2, 1, kind="tool", tool="x")).runs == []


@pytest.mark.parametrize(
    ("kind", "label", "is_likely"),
    [("model", "chat", True), ("tool", "execute_tool", True), ("model", "model", False), ("step", "chat", False)],
)
def test_missing_span_is_likely_an_agent_if_calls_of_the_genai_conventions_are_below_it(
    kind: str, label: str, is_likely: bool
) -> None:
    other = call(3, 2, 3, 4, label="other")
    first: Any = span(2, 1, 2, 5, kind=kind, label=label)
    assert only_run(first, other).is_likely is is_likely
    assert only_run(agent(1), first, other).is_likely is False


@pytest.mark.parametrize(
    ("last", "is_success", "error"),
    [
        (call(3, 1, 4, 6, is_error=True, error="429"), False, "429"),
        (span(3, 1, 4, 6, kind="tool", tool="x", is_error=True, error="no"), True, None),
        (call(3, 1, 4, 6), True, None),
        (call(3, 1, 1, 4.5, is_error=True, error="429"), True, None),
    ],
)
def test_run_whose_span_is_missing_fails_with_its_last_call(
    last: SpanSummary, is_success: bool, error: str | None
) -> None:
    run = only_run(call(2, 1, 2, 5), last)
    assert (run.is_success, run.error) == (is_success, error)


# Times


def test_times_are_whole_microseconds() -> None:
    run = only_run(SpanSummary(trace_id="t", id="1", kind="agent", start=1_999, end=3_001_999))
    assert (run.created_at, run.finished_at, run.reported_at, run.duration) == (1, 3_001, 3_001, 0.003)
    assert all(type(time) is int for time in (run.created_at, run.finished_at, run.reported_at))


@pytest.mark.parametrize(
    ("start", "end", "created_at", "finished_at", "duration"),
    [(2, 5, 2, 5, 3.0), (2, 2, 2, 2, 0.0), (5, 2, 5, 5, None), (0, 5, 5, 5, None), (2, 0, 2, None, None)],
)
def test_times_of_a_run(
    start: float, end: float, created_at: int, finished_at: int | None, duration: float | None
) -> None:
    run = only_run(agent(1, 0, start, end))
    assert (run.created_at, run.duration) == (created_at * 1_000_000, duration)
    assert run.finished_at == (None if finished_at is None else finished_at * 1_000_000)


def test_time_of_report_is_the_latest_of_the_spans_or_the_start_of_what_the_program_reports() -> None:
    assert only_run(agent(1, 0, 1, 5), call(2, 1, 2, 7)).reported_at == 7_000_000
    assert only_run(agent(1, 0, 1, 0), call(2, 1, 8, 0)).reported_at == 8_000_000
    assert only_run(agent(1, 0, 1, 5, task_id="a"), call(2, 1, 2, 7)).reported_at == 1_000_000
    assert only_run(agent(1, 0, 0, 5, task_id="a")).reported_at == 5_000_000
    unknown = only_run(agent(1, 0, 0, 0))
    assert (unknown.reported_at, unknown.created_at, unknown.finished_at) == (None, None, None)


def test_run_that_has_not_ended_has_no_outcome() -> None:
    run = only_run(agent(1, 0, 1, 0, output="so far", is_error=True, error="no"), call(2, 1, 2, 3, response={"a": 1}))
    assert (run.result, run.error, run.llm_response, run.is_success) == (None, None, None, None)


# Names and texts


def test_agent_of_a_run() -> None:
    inner, other = agent(2, 1, 3, agent="inner"), call(3, 1, 2, agent="call")
    assert only_run(agent(1, agent="own", workflow="flow"), inner, other).agent_id == "own"
    assert only_run(agent(1, workflow="flow"), inner, other).agent_id == "inner"
    assert only_run(agent(1, workflow="flow"), agent(2, 1, 3), other).agent_id == "call"
    assert only_run(agent(1, workflow="flow", service="desk"), agent(2, 1, 3)).agent_id == "flow"
    assert only_run(agent(1, service="desk"), agent(2, 1, 2, service="no")).agent_id == "desk"
    assert only_run(agent(1), agent(2, 1, 5, agent="later"), agent(3, 1, 4, agent="earlier")).agent_id == "earlier"


def test_input_user_and_conversation_are_those_of_the_run_or_the_first_below() -> None:
    def facts(value: str | None) -> dict[str, Any]:
        return {"input": value, "user_id": value, "conversation_id": value}

    below = [call(2, 1, 4, **facts("later")), call(3, 1, 3, **facts("earlier")), call(4, 1, 2, **facts(""))]
    for top, expected in ((agent(1, **facts("own")), "own"), (agent(1, 0, 1, **facts(None)), "earlier")):
        run = only_run(top, *below)
        assert (run.input, run.user_id, run.conversation_id) == (expected,) * 3


def test_service_is_metadata_unless_the_program_reports_the_run_itself() -> None:
    assert only_run(agent(1, service="desk")).metadata == {"service": "desk"}
    assert only_run(agent(1, service="desk", task_id="a")).metadata == {}
    assert only_run(agent(1)).metadata == {}


def test_result_of_a_run() -> None:
    step = span(2, 1, 2, 9, kind="step", output="step")
    late = span(3, 1, 2, 10, kind="step", output="late step")
    early = span(4, 1, 2, 8.5, kind="step", output="early step")
    inner, first = agent(5, 1, 3, 7, output="last agent"), agent(6, 1, 4, 6, output="first agent")
    calls = [call(7, 1, 1, 9, output="last call"), call(8, 1, 3, 4, output="first call")]
    assert only_run(agent(1, output="own"), step, inner).result == "own"
    assert only_run(agent(1), step, early, inner, first, *calls).result == "step"
    assert only_run(agent(1), late, inner).result == "late step"
    assert only_run(agent(1), early, inner, first, *calls).result == "last agent"
    assert only_run(agent(1), early, *calls).result == "last call"
    assert only_run(agent(1), early, calls[1]).result == "first call"
    assert only_run(agent(1), early).result is None


def test_response_is_that_of_the_last_call() -> None:
    calls = [call(2, 1, 2, 6, response={"id": "last"}), call(3, 1, 3, 5, response={"id": "first"}), call(4, 1, 7, 8)]
    own = agent(1, response={"id": "own"})
    assert only_run(own, *calls).llm_response == {"id": "last", "trace_id": "t", "span_id": "2"}
    assert only_run(own, calls[2]).llm_response == {"id": "own", "trace_id": "t", "span_id": "1"}
    assert only_run(agent(1), calls[2]).llm_response is None
    assert only_run(call(1, 0, response={"id": "own"})).llm_response == {"id": "own", "trace_id": "t", "span_id": "1"}


# Outcome


@pytest.mark.parametrize(
    ("spans", "error"),
    [
        ([agent(1, is_error=True, error="no")], "no"),
        ([agent(1, is_error=True)], None),
        ([agent(1), agent(2, 1, is_error=True, error="no")], "no"),
        ([agent(1, error="own"), agent(2, 1, is_error=True)], "own"),
        ([agent(1), span(3, 1, kind="step"), agent(2, 3, is_error=True, error="no")], "no"),
        ([agent(1), agent(2, 1), agent(3, 2, is_error=True, error="no")], "no"),
        ([agent(1), span(4, 1, kind="step", is_error=True), agent(2, 1), agent(3, 2, is_error=True, error="no")], "no"),
    ],
)
def test_run_fails_with_its_only_agent(spans: list[SpanSummary], error: str | None) -> None:
    run = only_run(*spans)
    assert (run.is_success, run.error) == (False, error)


@pytest.mark.parametrize(
    "spans",
    [
        [agent(2, 1, is_error=True), agent(3, 1)],
        [agent(2, 1), agent(3, 2, is_error=True), agent(4, 2)],
        [span(2, 1, kind="step", is_error=True), call(3, 1, is_error=True)],
        [],
    ],
)
def test_run_succeeds_although_something_below_has_failed(spans: list[SpanSummary]) -> None:
    run = only_run(agent(1), *spans)
    assert (run.is_success, run.error) == (True, None)


@pytest.mark.parametrize(
    ("top", "below", "error"),
    [
        ({"error": "boom"}, {"error": "429", "has_exception": True}, "boom: 429"),
        ({"error": "boom"}, {"error": "429"}, "boom"),
        ({"error": "boom"}, {"error": "429", "has_exception": True, "is_error": False}, "boom"),
        ({"error": "boom"}, {"has_exception": True}, "boom"),
        ({"error": "boom", "has_exception": True}, {"error": "429", "has_exception": True}, "boom"),
        ({"error": "boom: 429"}, {"error": "429", "has_exception": True}, "boom: 429"),
        ({"error": "429"}, {"error": "boom: 429", "has_exception": True}, "429"),
        ({}, {"error": "429", "has_exception": True}, "429"),
    ],
)
def test_error_has_its_cause_in_the_last_failed_call(top: dict[str, Any], below: dict[str, Any], error: str) -> None:
    run = only_run(agent(1, is_error=True, **top), call(2, 1, 2, 4, **{"is_error": True, **below}), call(3, 1, 5, 6))
    assert run.error == error


# Spans of no run


@pytest.mark.parametrize(
    ("spans", "text"),
    [
        ([], None),
        ([span(1)], "1 span of code without attributes of an agent or a model ignored"),
        ([span(1, label="RPC"), span(2)], "2 spans of RPC calls, and of other code ignored"),
        (
            [span(1, label="RPC"), span(2, label="messaging"), span(3, label="HTTP"), span(4, label="database")],
            "4 spans of HTTP, database, messaging and RPC calls ignored",
        ),
        ([span(1, label="HTTP"), span(2, label="HTTP")], "2 spans of HTTP calls ignored"),
        ([span(1, label="HTTP"), span(2, label="RPC")], "2 spans of HTTP and RPC calls ignored"),
        (
            [span(1, kind="step", label="b"), span(2, kind="tool", label="a")],
            "2 spans of steps outside of a run (a, b) ignored",
        ),
        (
            [span(1, label="HTTP"), span(2), span(3, kind="step", label="a")],
            "3 spans of HTTP calls, and of other code, and of steps outside of a run (a) ignored",
        ),
        (
            [span(number, kind="step", label=str(number)) for number in range(1, 7)],
            "6 spans of steps outside of a run (1, 2, 3, 4, 5) ignored",
        ),
        ([span(number, label="HTTP") for number in range(1, 1_001)], "1,000 spans of HTTP calls ignored"),
    ],
)  # fmt: skip
def test_sentence_about_ignored_spans(spans: list[SpanSummary], text: str | None) -> None:
    assert explain(spans) == text


def test_spans_are_grouped_by_trace() -> None:
    spans = [SpanSummary(trace_id=trace, id=str(number)) for number, trace in enumerate("bab")]
    assert [(trace, ids(group)) for trace, group in group_by_trace(spans).items()] == [("b", ["0", "2"]), ("a", ["1"])]
    assert derive_task_id("t", "1") == "t-1"
