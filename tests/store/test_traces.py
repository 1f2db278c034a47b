"""Traces in the store: spans in any order and division give the tasks of the rule."""

import random
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from attrs import evolve
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from support.recorded_spans import RUNS, document, split
from xpander_capture.spans import Span, SpanSummary, find_runs, group_by_trace, parse_spans, summarize, to_json
from xpander_server.clock import HOUR, SECOND, now
from xpander_server.contract import Report
from xpander_server.domain.task import Task
from xpander_server.domain.traced_run import run_report
from xpander_server.store import SpanBatch, Store, StoredSpan, Submission, TaskQuery
from xpander_server.store.erasure import ErasureSelection
from xpander_server.store.schema.tables import spans as spans_table
from xpander_server.store.traces import FINAL_AFTER, HOLD, MAX_SPANS, RETAIN, UNKNOWN_AGENT

ORGANIZATION = "org"
TRACE = "5b8efff798038103d269b633813fc60c"
AGENT = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "support"}
CHAT = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o", "gen_ai.usage.input_tokens": 10}


def summary(id: int, parent: int, attributes: dict[str, Any], start: int = 1, end: int = 9) -> SpanSummary:
    return summarize(
        Span(
            trace_id=TRACE,
            id=f"{id:016x}",
            parent_id=f"{parent:016x}" if parent else "",
            name=f"span {id}",
            start=start * 1_000_000_000,
            end=end * 1_000_000_000,
            attributes=attributes,
            resource={},
        )
    )


def batch(*spans: SpanSummary, at: int = 1_000 * SECOND, agent_id: str | None = None) -> SpanBatch:
    return SpanBatch(ORGANIZATION, [StoredSpan(span, to_json(span)) for span in spans], agent_id, at)


def record(store: Store, *spans: SpanSummary, **options: Any) -> int:
    (refused,) = store.commit_spans([batch(*spans, **options)])
    return refused


def tasks_of(store: Store) -> dict[str, Task]:
    page = store.history(TaskQuery(organization_id=ORGANIZATION, filters={}), limit=1_000)
    found = {}
    for item in page.tasks:
        task = store.task(ORGANIZATION, item.id)
        assert task is not None
        found[task.id] = evolve(task, updated_at=0, changes=None, reported_at={})
    return found


def expected_tasks(spans: list[SpanSummary], at: int) -> dict[str, Task]:
    found = {}
    for trace in group_by_trace(spans).values():
        for run in find_runs(trace, is_final=True).runs:
            agent = run.agent_id or run.agent_fallback or UNKNOWN_AGENT
            submission = Submission(ORGANIZATION, agent, run.task_id, run_report(run), run.reported_at, at)
            task = submission.merge_into(None)
            found[task.id] = evolve(task, updated_at=0, reported_at={})
    return found


def only_task(store: Store) -> Task:
    (task,) = tasks_of(store).values()
    return task


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(names=st.lists(st.sampled_from(list(RUNS)), min_size=1, max_size=3, unique=True), seed=st.integers(0, 2**32))
def test_any_order_and_division_gives_the_tasks_of_the_rule(store_of_example, names, seed):
    randomness = random.Random(seed)
    at = now()
    spans = [summarize(span) for name in names for part in split(document(name)) for span in parse_spans(part)]
    arriving = spans + randomness.sample(spans, randomness.randrange(len(spans)))
    randomness.shuffle(arriving)
    with store_of_example() as store:
        while arriving:
            count = randomness.randint(1, 8)
            store.commit_spans([batch(*arriving[:count], at=at), batch(*arriving[count : 2 * count], at=at)])
            del arriving[: 2 * count]
        assert tasks_of(store) == expected_tasks(spans, at)
        amounts = store.metrics(ORGANIZATION).amounts
        store.rebuild_metrics()
        assert store.metrics(ORGANIZATION).amounts == amounts


def test_two_processes_compute_the_same_traces(store, store_url):
    at = now()
    spans = [summarize(span) for part in split(document("pydantic-ai")) for span in parse_spans(part)]
    other = Store(store_url)
    try:

        def send(target: Store, own: list[SpanSummary]) -> None:
            for span in own:
                target.commit_spans([batch(span, at=at)])

        with ThreadPoolExecutor(2) as pool:
            futures = [pool.submit(send, store, spans[::2]), pool.submit(send, other, [*spans[1::2], *spans[::4]])]
            for future in futures:
                future.result(timeout=120)
    finally:
        other.close()
    assert tasks_of(store) == expected_tasks(spans, at)


def test_run_is_in_progress_until_its_span_arrives(store):
    record(store, summary(2, 1, CHAT, 2, 3))
    task = only_task(store)
    assert (task.id, task.is_success, task.tokens and task.tokens["prompt_tokens"]) == (f"{TRACE}-{1:016x}", None, 10)
    record(store, summary(1, 0, AGENT))
    task = only_task(store)
    assert (task.id, task.agent_id, task.is_success) == (f"{TRACE}-{1:016x}", "support", True)
    record(store, summary(3, 1, CHAT, 4, 5))
    assert (only_task(store).tokens or {})["prompt_tokens"] == 20


def test_agent_that_may_be_part_of_another_run_is_held(store):
    start = 1_000 * SECOND
    record(store, summary(2, 1, AGENT, 2, 3), at=start)
    assert tasks_of(store) == {}
    store.recompute_traces(start + HOLD - 1)
    assert tasks_of(store) == {}
    store.recompute_traces(start + HOLD)
    assert list(tasks_of(store)) == [f"{TRACE}-{2:016x}"]


def test_task_that_turns_out_to_be_part_of_another_run_is_deleted_with_its_metrics(store):
    start = 1_000 * SECOND
    record(store, summary(2, 1, AGENT, 2, 3), at=start)
    store.recompute_traces(start + HOLD)
    record(store, summary(1, 0, {**AGENT, "gen_ai.agent.name": "outer"}), at=start + HOUR // 2)
    task = only_task(store)
    assert (task.id, task.agent_id) == (f"{TRACE}-{1:016x}", "outer")
    amounts = store.metrics(ORGANIZATION).amounts
    store.rebuild_metrics()
    assert store.metrics(ORGANIZATION).amounts == amounts


def test_run_whose_span_never_arrives_ends_after_a_time(store):
    start = 1_000 * SECOND
    record(store, summary(2, 1, CHAT, 2, 3), at=start)
    store.recompute_traces(start + FINAL_AFTER - 1)
    assert only_task(store).is_success is None
    store.recompute_traces(start + FINAL_AFTER)
    assert only_task(store).is_success is True


def test_spans_of_old_traces_are_deleted_and_their_tasks_stay(store):
    start = 1_000 * SECOND
    record(store, summary(1, 0, AGENT), summary(2, 1, CHAT, 2, 3), at=start)
    before = tasks_of(store)
    assert store.recompute_traces(start + RETAIN) == 1
    assert store.recompute_traces(start + 2 * RETAIN) == 0
    record(store, summary(2, 1, CHAT, 2, 3), at=start + 2 * RETAIN)
    after = only_task(store)
    assert (after.is_success, after.tokens) == (True, before[after.id].tokens)


def test_reports_of_the_program_and_spans_are_one_task(store):
    times = {"reported_at": 2 * SECOND, "now": 1_000 * SECOND}
    own: Report = {"input": "own", "result": "own", "metadata": {"a": "b"}}
    store.report(Submission(ORGANIZATION, "mine", "job-1", own, **times))
    attributes = {**AGENT, "xpander.task.id": "job-1", "input.value": "other", "output.value": "other"}
    record(store, summary(1, 0, attributes), summary(2, 1, CHAT, 2, 3))
    task = only_task(store)
    assert (task.id, task.agent_id, task.input, task.result) == ("job-1", "mine", "own", "own")
    assert (task.is_success, task.metadata, (task.tokens or {})["prompt_tokens"]) == (True, {"a": "b"}, 10)


@pytest.mark.parametrize("task_id", ["job-1", 'a "quoted" % id', None])
def test_erasure_of_a_task_deletes_its_spans_and_refuses_later_ones(store, task_id):
    attributes = {**AGENT, "input.value": "secret"} | ({} if task_id is None else {"xpander.task.id": task_id})
    record(store, summary(1, 0, attributes))
    erased = task_id or f"{TRACE}-{1:016x}"
    assert store.erase(ErasureSelection(organization_id=ORGANIZATION, task_id=erased), actor="ops", now=now()) == 1
    assert store._database.read(lambda connection: connection.execute(select(spans_table)).all()) == []
    record(store, summary(1, 0, attributes))
    assert tasks_of(store) == {}


def test_agent_of_the_request_is_for_runs_without_one(store):
    record(store, summary(1, 0, {"gen_ai.operation.name": "invoke_agent"}), agent_id="header")
    assert only_task(store).agent_id == "header"


def test_organizations_with_the_same_trace_are_separate(store):
    span = summary(1, 0, AGENT)
    other = evolve(batch(span), organization_id="other")
    store.commit_spans([batch(span), other])
    assert store.task("other", f"{TRACE}-{1:016x}") is not None
    assert len(tasks_of(store)) == 1


def test_spans_above_the_limit_of_a_trace_are_refused(store, monkeypatch):
    monkeypatch.setattr("xpander_server.store.traces.MAX_SPANS", 3)
    assert MAX_SPANS > 3
    assert record(store, *(summary(number, 0, AGENT) for number in range(1, 6))) == 2
    assert record(store, summary(1, 0, AGENT)) == 0


@pytest.mark.parametrize("text", ["NUL \0", "surrogate \ud800", "x" * 3_000_000])
def test_texts_of_all_kinds_are_stored(store, text):
    attributes = {**AGENT, "input.value": text, "gen_ai.tool.name": text, "service.name": text}
    record(store, summary(1, 0, attributes))
    assert (only_task(store).input or "").startswith(text[:3])
