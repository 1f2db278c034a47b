"""The rule of runs: what is a run, its agent, its outcome, its tokens and its calls."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xpander_capture.spans import (
    Event,
    Run,
    Span,
    TraceRuns,
    explain,
    find_runs,
    from_json,
    parse_spans,
    summarize,
    to_json,
)
from xpander_capture.spans.conventions import CONVENTIONS

TRACE = "5b8efff798038103d269b633813fc60c"
SECOND = 1_000_000_000
AGENT = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "support"}
CHAT = {"gen_ai.operation.name": "chat", "gen_ai.response.model": "gpt-4o", "gen_ai.provider.name": "openai"}
TOOL = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "search"}


def span(id: int, parent: int, attributes: dict[str, Any], start: float = 1, end: float = 9, **more: Any) -> Span:
    return Span(
        trace_id=TRACE,
        id=f"{id:016x}",
        parent_id=f"{parent:016x}" if parent else "",
        name=more.pop("name", f"span {id}"),
        start=int(start * SECOND),
        end=int(end * SECOND),
        attributes=attributes,
        resource=more.pop("resource", {}),
        **more,
    )


def find(*spans: Span, is_final: bool = True) -> TraceRuns:
    return find_runs([from_json(to_json(summarize(item))) for item in spans], is_final=is_final)


def only_run(*spans: Span, is_final: bool = True) -> Run:
    (run,) = find(*spans, is_final=is_final).runs
    return run


def usage(prompt: Any, completion: Any = 1, **more: Any) -> dict[str, Any]:
    return {**CHAT, "gen_ai.usage.input_tokens": prompt, "gen_ai.usage.output_tokens": completion, **more}


def test_conventions_have_names_and_sources():
    assert len({convention.name for convention in CONVENTIONS}) == len(CONVENTIONS)
    assert all(convention.source.startswith("https://") for convention in CONVENTIONS)


def test_agents_beside_each_other_are_runs_and_agents_below_are_part_of_them():
    inner = {**AGENT, "gen_ai.agent.name": "inner"}
    found = find(
        span(1, 0, {"http.request.method": "POST"}),
        span(2, 1, AGENT),
        span(3, 2, inner),
        span(4, 3, TOOL),
        span(5, 1, {**AGENT, "gen_ai.agent.name": "other"}, 2),
    )
    assert [(run.agent_id, run.used_tools) for run in found.runs] == [("support", ["search"]), ("other", [])]
    assert explain(found.ignored) == "1 span of HTTP calls ignored"


def test_trace_without_an_agent_is_the_run_of_its_topmost_span():
    run = only_run(span(1, 0, {"http.route": "/"}, name="POST /ask"), span(2, 1, usage(5), 2, 3))
    assert (run.span_id, run.agent_id, run.agent_fallback) == (f"{1:016x}", None, "POST /ask")


def test_trace_that_calls_no_model_has_no_run():
    found = find(
        *(span(number, 0, {"http.route": "/"}) for number in range(1, 12)),
        *(span(number, 0, {"db.system": "sqlite"}) for number in range(12, 19)),
    )
    assert found.runs == []
    assert explain(found.ignored) == "18 spans of HTTP and database calls ignored"


def test_embeddings_alone_are_no_run():
    assert find(span(1, 0, {"gen_ai.operation.name": "embeddings", "gen_ai.request.model": "e"})).runs == []


def test_workflow_above_several_agents_is_one_run_of_the_first_agent():
    run = only_run(
        span(1, 0, {"gen_ai.operation.name": "invoke_workflow", "gen_ai.workflow.name": "flow"}),
        span(3, 1, {**AGENT, "gen_ai.agent.name": "second"}, 3),
        span(2, 1, {**AGENT, "gen_ai.agent.name": "first"}, 2),
    )
    assert (run.span_id[-1], run.agent_id) == ("1", "first")


@pytest.mark.parametrize(
    ("attributes", "agent"),
    [
        ({"gen_ai.agent.id": "asst_1", "gen_ai.agent.name": "name"}, "asst_1"),
        ({"gen_ai.agent.name": "name", "agent.name": "other"}, "name"),
        ({"openinference.span.kind": "AGENT", "agent.name": "oi"}, "oi"),
        ({"metadata": '{"lc_agent_name": "graph"}'}, "graph"),
        ({"traceloop.span.kind": "workflow", "traceloop.entity.name": "flow"}, "flow"),
        ({}, "service"),
    ],
)
def test_agent_in_the_order_of_the_sources(attributes, agent):
    top = {"gen_ai.operation.name": "invoke_agent", **attributes}
    assert only_run(span(1, 0, top, resource={"service.name": "service"})).agent_id == agent


def test_default_service_names_no_agent():
    top = span(1, 0, {"gen_ai.operation.name": "invoke_agent"}, resource={"service.name": "unknown_service:python"})
    assert only_run(top).agent_id is None


def test_failed_tools_and_calls_do_not_fail_the_run():
    run = only_run(
        span(1, 0, AGENT), span(2, 1, TOOL, is_error=True), span(3, 1, usage(5), is_error=True, message="429")
    )
    assert (run.is_success, run.error) == (True, None)
    assert run.calls[0]["error"] == "429"


def test_run_fails_with_its_only_agent():
    inner = span(2, 1, {**AGENT}, is_error=True, message="boom")
    assert (only_run(span(1, 0, AGENT), inner).is_success, only_run(span(1, 0, AGENT), inner).error) == (False, "boom")
    assert only_run(span(1, 0, AGENT), inner, span(3, 1, AGENT)).is_success is True


def test_error_is_the_exception():
    event = Event("exception", {"exception.type": "builtins.ValueError", "exception.message": "no"})
    run = only_run(span(1, 0, AGENT, is_error=True, message="Traceback", events=(event,)))
    assert run.error == "ValueError: no"


def test_tokens_of_an_agent_cover_those_of_its_calls():
    top = span(1, 0, {**AGENT, "gen_ai.usage.input_tokens": 30, "gen_ai.usage.output_tokens": 3})
    run = only_run(top, span(2, 1, usage(10), 2, 3), span(3, 1, usage(20, 2), 4, 5))
    assert run.tokens == {"prompt_tokens": 30, "completion_tokens": 3, "cache_read_tokens": 0, "cache_write_tokens": 0}
    assert [call["tokens"]["prompt_tokens"] for call in run.calls] == [10, 20]


def test_cached_tokens_of_the_calls_complete_those_of_the_agent():
    top = span(1, 0, {**AGENT, "gen_ai.usage.input_tokens": 10})
    run = only_run(top, span(2, 1, usage(10, **{"gen_ai.usage.cache_read_tokens": 8})))
    assert run.tokens is not None
    assert (run.tokens["prompt_tokens"], run.tokens["cache_read_tokens"]) == (10, 8)


def test_call_that_two_instrumentations_see_counts_once():
    nested = [span(2, 1, usage(10), 2, 6), span(3, 2, usage(10, **{"gen_ai.response.id": "r1"}), 3, 5)]
    run = only_run(span(1, 0, AGENT), *nested)
    assert run.tokens is not None
    assert (run.tokens["prompt_tokens"], len(run.calls)) == (10, 1)
    assert run.calls[0]["response_id"] == "r1"
    ids = {"gen_ai.response.id": "r1"}
    beside = only_run(span(1, 0, AGENT), span(2, 1, usage(10, **ids), 2, 6), span(3, 1, usage(10, **ids), 3, 5))
    assert beside.tokens is not None
    assert (beside.tokens["prompt_tokens"], len(beside.calls)) == (10, 1)


def test_calls_one_after_the_other_with_one_response_id_are_different_calls():
    ids = {"gen_ai.response.id": "r1"}
    run = only_run(span(1, 0, AGENT), span(2, 1, usage(10, **ids), 2, 3), span(3, 1, usage(10, **ids), 4, 5))
    assert run.tokens is not None
    assert (run.tokens["prompt_tokens"], [call.get("response_id") for call in run.calls]) == (20, ["r1", None])


@pytest.mark.parametrize("count", [22118, 22118.0, "22118", "22118.0"])
def test_counts_in_all_forms(count):
    run = only_run(span(1, 0, AGENT), span(2, 1, usage(count)))
    assert run.tokens is not None
    assert run.tokens["prompt_tokens"] == 22118


@pytest.mark.parametrize("count", [True, -1, "many", float("nan"), 10**20, None, [1]])
def test_values_that_are_no_counts(count):
    attributes = {**CHAT, "gen_ai.usage.input_tokens": count}
    assert only_run(span(1, 0, AGENT), span(2, 1, attributes)).tokens is None


@pytest.mark.parametrize(
    "name",
    [
        "gen_ai.usage.cache_read.input_tokens",
        "gen_ai.usage.cache_read_input_tokens",
        "gen_ai.usage.cache_read_tokens",
        "gen_ai.usage.details.cache_read_tokens",
        "gen_ai.usage.details.cache_read_input_tokens",
    ],
)
def test_cached_tokens_in_all_spellings(name):
    run = only_run(span(1, 0, AGENT), span(2, 1, usage(10_000, 0, **{name: 8_000})))
    assert run.tokens is not None
    assert run.tokens["cache_read_tokens"] == 8_000
    assert run.calls[0]["prompt_includes_cache"] is True


def test_span_that_ends_before_it_starts_has_no_duration():
    run = only_run(span(1, 0, AGENT, 5, 4))
    assert (run.duration, run.created_at, run.finished_at) == (None, 5_000_000, 5_000_000)


def test_spans_without_their_parent_are_one_run():
    spans = [span(2, 1, usage(100), 1, 2), span(3, 1, TOOL, 2, 3), span(4, 1, usage(100), 3, 4)]
    run = only_run(*spans)
    assert run.task_id == f"{TRACE}-{1:016x}"
    assert run.tokens is not None
    assert (run.tokens["prompt_tokens"], run.used_tools, run.is_success) == (200, ["search"], True)
    assert (only_run(*spans, is_final=False).is_success, run.is_provisional) == (None, True)


def test_agent_whose_parent_is_unknown_is_provisional():
    found = find(span(2, 1, AGENT), is_final=False)
    assert [run.is_provisional for run in found.runs] == [True]


def test_call_whose_parent_is_missing_joins_the_run_of_its_time():
    run = only_run(span(1, 0, AGENT), span(3, 2, usage(10), 2, 3))
    assert run.tokens is not None
    assert run.tokens["prompt_tokens"] == 10


def test_task_id_of_the_program_is_the_id_of_the_task():
    run = only_run(span(1, 0, {"xpander.task.id": "job-1"}), span(2, 1, {**AGENT, "gen_ai.agent.name": "a"}))
    assert (run.task_id, run.agent_id, run.parent_task_id) == ("job-1", "a", None)


def test_task_inside_a_task_is_a_run_of_its_own():
    outer, inner = find(
        span(1, 0, {"xpander.task.id": "outer", **AGENT}),
        span(2, 1, {"xpander.task.id": "inner", **AGENT}, 2),
        span(3, 2, usage(10), 3),
        span(4, 1, {"xpander.task.id": "outer"}, 3),
    ).runs
    assert (outer.tokens, inner.task_id, inner.parent_task_id) == (None, "inner", "outer")
    assert inner.tokens is not None


def test_vercel_spans():
    call = {"ai.operationId": "ai.generateText.doGenerate", "ai.model.id": "gpt-4o", "ai.model.provider": "openai.chat"}
    run = only_run(
        span(1, 0, {"ai.operationId": "ai.generateText", "ai.telemetry.functionId": "support",
                    "ai.prompt": '{"prompt":"hi"}', "ai.response.text": "hello",
                    "ai.usage.promptTokens": 10, "ai.usage.completionTokens": 2}),
        span(2, 1, {**call, "ai.usage.promptTokens": 10, "ai.usage.completionTokens": 2}),
        span(3, 1, {"ai.operationId": "ai.toolCall", "ai.toolCall.name": "search"}),
    )  # fmt: skip
    assert (run.agent_id, run.input, run.result, run.used_tools) == ("support", "hi", "hello", ["search"])
    assert run.tokens is not None
    assert (run.tokens["prompt_tokens"], len(run.calls)) == (10, 1)


def test_mlflow_spans():
    run = only_run(
        span(1, 0, {"mlflow.spanType": '"AGENT"',
                    "mlflow.spanInputs": '{"messages": [{"role": "user", "content": "hi"}]}',
                    "mlflow.spanOutputs": '"hello"'}, name="support"),
        span(2, 1, {"mlflow.spanType": '"CHAT_MODEL"', "mlflow.spanInputs": '{"model": "gpt-4o"}',
                    "mlflow.chat.tokenUsage": '{"input_tokens": 10, "output_tokens": 2}'}),
        span(3, 1, {"mlflow.spanType": '"TOOL"'}, name="search"),
    )  # fmt: skip
    assert (run.input, run.result, run.used_tools, run.agent_fallback) == ("hi", "hello", ["search"], "support")
    assert run.tokens is not None
    assert (run.tokens["prompt_tokens"], run.calls[0]["model"]) == (10, "gpt-4o")


@pytest.mark.parametrize("signal", ["Logs", "Metrics"])
def test_other_signals_are_named(signal):
    with pytest.raises(ValueError, match=f"got {signal.lower()}"):
        parse_spans({f"resource{signal}": []})


def test_ids_in_all_forms():
    def ids(trace_id: str, span_id: str) -> tuple[str, str]:
        raw = {"traceId": trace_id, "spanId": span_id, "name": "x"}
        (parsed,) = parse_spans({"resourceSpans": [{"instrumentationLibrarySpans": [{"spans": [raw]}]}]})
        return parsed.trace_id, parsed.id

    assert ids("5B8EFFF798038103D269B633813FC60C", "EEE19B7EC3C1B174") == (TRACE, "eee19b7ec3c1b174")
    assert ids("W47/95gDgQPSabYzgT/GDA==", "7uGbfsPBsXQ=") == (TRACE, "eee19b7ec3c1b174")
    assert ids("d269b633813fc60c", "eee19b7ec3c1b174") == ("0" * 16 + "d269b633813fc60c", "eee19b7ec3c1b174")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda items: st.lists(items, max_size=3) | st.dictionaries(st.text(max_size=4), items, max_size=3),
    max_leaves=6,
)
attribute_names = st.sampled_from(
    sorted(
        {name for convention in CONVENTIONS for name in (*convention.kinds, *convention.inputs, *convention.outputs)}
        | {
            "gen_ai.usage.input_tokens",
            "gen_ai.agent.name",
            "xpander.task.id",
            "metadata",
            "events",
            "llm.input_messages.0.x",
        }
    )
)


@given(
    st.lists(st.tuples(st.integers(1, 4), st.integers(0, 5), st.dictionaries(attribute_names, json_values, max_size=4)))
)
def test_any_attributes_in_any_trees_are_read_without_an_error(items):
    spans = [span(number, parent, attributes) for number, parent, attributes in items]
    found = find(*spans)
    assert len({run.task_id for run in found.runs}) <= 4
    assert find(*reversed(spans)) == found
