"""What a user relies on, the same on every target and in both forms."""

import json
import time
from datetime import UTC, datetime, timedelta

import pytest

from xpander_sdk import (
    AgentExecutionStatus,
    Configuration,
    ConflictError,
    ModuleException,
    NotFoundError,
    Tokens,
    TooLargeError,
)
from xpander_sdk.reporting.report import Report

SEED = {
    "input": "Summarize Q4 earnings",
    "result": "Q4 revenue grew 22% YoY, driven by ...",
    "tokens": Tokens(prompt_tokens=2_140, completion_tokens=380),
    "duration": 4.7,
    "used_tools": ["web_search", "fetch_pdf"],
    "is_success": True,
}


@pytest.fixture(params=["task_report", "backend_report"])
def report(request, sdk):
    return getattr(sdk, request.param)


def test_the_documented_example_is_answered_with_the_recorded_task(report, agent_id, new_id):
    before = datetime.now(UTC)
    run_id = new_id()
    task = report(agent_id=agent_id, id=run_id, **SEED)
    assert (task.id, task.agent_id, task.status) == (run_id, agent_id, AgentExecutionStatus.Completed)
    assert task.input.text == "Summarize Q4 earnings"
    assert task.result == "Q4 revenue grew 22% YoY, driven by ..."
    assert task.tokens == Tokens(prompt_tokens=2_140, completion_tokens=380)
    assert task.used_tools == ["web_search", "fetch_pdf"]
    assert task.duration == 4.7
    assert before - timedelta(seconds=1) < task.created_at < datetime.now(UTC) + timedelta(seconds=1)
    assert task.finished_at is not None
    assert task.started_at == task.finished_at - timedelta(seconds=4.7)


def test_a_report_without_an_id_is_given_one(report, sdk, agent_id):
    task = report(agent_id=agent_id)
    assert sdk.load(task.id).id == task.id


def test_reusing_an_id_updates_the_one_record(report, sdk, agent_id, new_id):
    run_id = new_id()
    first = report(agent_id=agent_id, id=run_id, **SEED)
    second = report(agent_id=agent_id, id=run_id, result="corrected", duration=5, used_tools=["web_search"])
    assert second.created_at == first.created_at
    assert (second.result, second.duration, second.used_tools) == ("corrected", 5.0, ["web_search"])
    assert second.input.text == SEED["input"]
    assert second.tokens == SEED["tokens"]
    assert [item.id for item in sdk.history(agent_id)] == [run_id]
    assert sdk.metrics(agent_id).runs.total == 1


def test_what_is_none_leaves_what_is_stored(report, agent_id, new_id):
    run_id = new_id()
    report(agent_id=agent_id, id=run_id, llm_response={"kept": True}, **SEED)
    task = report(agent_id=agent_id, id=run_id, is_success=None, duration=None)
    assert (task.status, task.duration, task.llm_response) == ("completed", 4.7, {"kept": True})


def test_a_failure_shows_as_failed_in_history_and_in_metrics(report, sdk, agent_id, new_id):
    run_id = new_id()
    assert report(agent_id=agent_id, id=run_id, is_success=False, result="no network").status == "failed"
    report(agent_id=agent_id, is_success=True)
    assert [item.id for item in sdk.history(agent_id, {"status": "failed"})] == [run_id]
    metrics = sdk.metrics(agent_id)
    assert (metrics.runs.failed, metrics.runs.completed, metrics.success_rate) == (1, 1, 0.5)


def test_a_run_in_progress_is_executing_until_it_ends(report, agent_id, new_id):
    run_id = new_id()
    running = report(agent_id=agent_id, id=run_id, is_success=None)
    assert (running.status, running.finished_at, running.started_at) == ("executing", None, None)
    ended = report(agent_id=agent_id, id=run_id, is_success=True, duration=2)
    assert ended.status == "completed"
    assert ended.finished_at is not None
    assert ended.created_at == running.created_at


def test_the_same_id_under_another_agent_is_refused_and_changes_nothing(report, sdk, agent_id, new_id):
    run_id = new_id()
    first = report(agent_id=agent_id, id=run_id, result="mine")
    with pytest.raises(ConflictError) as refused:
        report(agent_id=new_id(), id=run_id, result="theirs")
    assert (refused.value.status_code, refused.value.report_id) == (409, run_id)
    assert sdk.load(run_id) == first


@pytest.mark.parametrize(
    "response",
    [
        {"b": [1, 2.5, None, True, "é\x00\u2028😀"], "a": {"": {}}, "z": -0.0, "big": 2**80},
        "text",
        0,
        False,
        [],
        [[[]]],
    ],
    ids=["nested", "text", "zero", "false", "empty", "lists"],
)
def test_an_llm_response_comes_back_as_it_was_sent(sdk, agent_id, new_id, response):
    task = sdk.task_report(agent_id=agent_id, id=new_id(), llm_response=response)
    for found in (task, sdk.load(task.id), sdk.get(task.id)):
        assert repr(found.llm_response) == repr(response)  # repr: 0 is not False, and the order of keys counts


@pytest.mark.parametrize("name", ["a/b", "ü ñ?#%2F", "..a", "a" * 255, "😀" * 255, "a:b@c"])
def test_any_id_that_is_allowed_finds_its_way(sdk, new_id, name):
    unique = new_id()
    run_id = name if len(name) > 200 else name + unique
    agent = "agent of " + name[:200]
    assert sdk.task_report(agent_id=agent, id=run_id).id == run_id
    assert sdk.load(run_id).agent_id == agent
    assert run_id in [item.id for item in sdk.history(agent)]


def test_history_is_newest_first_and_walks_all_pages(sdk, agent_id, monkeypatch):
    monkeypatch.setattr("xpander_sdk.tasks.PAGE", 3)
    made = [sdk.task_report(agent_id=agent_id).id for _ in range(8)]
    newest_first = made[::-1]
    assert [item.id for item in sdk.history(agent_id)] == newest_first
    assert [item.id for item in sdk.iterate(agent_id)] == newest_first
    for limit in (0, 1, 2, 3, 7, 8, 9):
        assert [item.id for item in sdk.history(agent_id, limit=limit)] == newest_first[:limit]


def test_a_page_that_a_backend_makes_smaller_is_not_the_end(sdk, agent_id):
    made = [sdk.task_report(agent_id=agent_id).id for _ in range(5)]
    assert [item.id for item in sdk.history(agent_id, limit=4)] == made[:0:-1]


def test_a_list_item_loads_its_whole_task(sdk, agent_id):
    sdk.task_report(agent_id=agent_id, llm_response={"x": 1})
    (item,) = sdk.history(agent_id)
    assert sdk.load_item(item).llm_response == {"x": 1}


def test_tasks_of_a_user_and_every_filter_of_the_contract(sdk, target, agent_id, new_id):
    user, parent, trigger, run_id = new_id(), new_id(), new_id(), new_id()
    extras = {"user_id": user, "parent_task_id": parent, "triggering_agent_id": trigger}
    _post(target, agent_id, {"id": run_id, **extras})
    sdk.task_report(agent_id=agent_id)
    assert [item.id for item in sdk.list_user_tasks(user)] == [run_id]
    assert [item.id for item in sdk.list_user_tasks(user, {"parent_task_id": parent}, limit=1)] == [run_id]
    assert sdk.list_user_tasks(user, {"status": "failed"}) == []
    for name, value in extras.items():
        assert [item.id for item in sdk.history(agent_id, {name: value})] == [run_id]
        assert sdk.history(agent_id, {name: new_id()}) == []
    assert sdk.history(agent_id, {"internal_status": "any"}) == []
    assert sdk.history(agent_id, {"status": AgentExecutionStatus.Paused}) == []
    assert len(sdk.history(agent_id, {"user_id": None})) == 2


def _post(target: Configuration, agent_id: str, body: dict) -> None:
    """What no official client sends, so that the SDK has no argument for it."""
    from xpander_sdk.client import client as connection
    from xpander_sdk.client import operations

    report = Report(
        agent_id=agent_id, id=body["id"], reported_at=time.time_ns() // 1_000, content=json.dumps(body).encode()
    )
    connection.send(target, operations.report_task(report))


def test_an_unknown_task_is_not_found(sdk, new_id):
    with pytest.raises(NotFoundError) as missing:
        sdk.load(new_id())
    assert missing.value.status_code == 404
    assert isinstance(missing.value, LookupError)
    assert isinstance(missing.value, ModuleException)


def test_a_report_that_is_too_large_is_refused_as_such(sdk, agent_id):
    with pytest.raises(TooLargeError) as refused:
        sdk.task_report(agent_id=agent_id, llm_response="x" * 5_000_000)
    assert refused.value.status_code == 413


def test_an_agent_without_tasks_has_an_empty_history_and_zeros(sdk, agent_id):
    assert sdk.history(agent_id) == []
    metrics = sdk.metrics(agent_id)
    assert (metrics.runs.total, metrics.success_rate, metrics.duration.p50) == (0, None, None)
    assert metrics.tokens.total_tokens == 0
    assert metrics.tools == {}


def test_metrics_add_up(sdk, agent_id):
    for number in range(1, 101):
        if number % 5:
            continue
        sdk.task_report(
            agent_id=agent_id,
            duration=number / 10,
            is_success=number % 10 == 0,
            tokens={"prompt_tokens": number, "completion_tokens": 2, "cache_read_tokens": 3, "cache_write_tokens": 4},
            used_tools=["search", "search", "fetch"] if number % 10 else ["fetch"],
        )
    sdk.task_report(agent_id=agent_id, is_success=None, duration=1_000)
    metrics = sdk.metrics(agent_id)
    assert metrics.runs == type(metrics.runs)(total=21, completed=10, failed=10, executing=1)
    assert metrics.success_rate == 0.5
    percentiles = (metrics.duration.p50, metrics.duration.p95, metrics.duration.p99)
    assert percentiles == pytest.approx((5.0, 9.5, 10.0), rel=0.01)
    assert metrics.duration.total == pytest.approx(105.0)
    assert metrics.tokens == Tokens(
        prompt_tokens=1_050, completion_tokens=40, cache_read_tokens=60, cache_write_tokens=80
    )
    assert list(metrics.tools) == ["fetch", "search"]
    assert (metrics.tools["search"].calls, metrics.tools["search"].runs) == (20, 10)
    assert (metrics.tools["fetch"].calls, metrics.tools["fetch"].runs) == (20, 20)


PRICED = {
    "llm_response": {"model": "gpt-4o-2024-08-06"},
    "tokens": {"prompt_tokens": 1_000_000, "completion_tokens": 1_000_000},
}


def test_metrics_tell_the_cost_by_model_and_how_many_are_not_known(sdk, agent_id):
    sdk.task_report(agent_id=agent_id, **PRICED)
    sdk.task_report(agent_id=agent_id, llm_response={"model": "unheard of"}, tokens={"prompt_tokens": 5})
    sdk.task_report(agent_id=agent_id)
    metrics = sdk.metrics(agent_id)
    assert (metrics.cost.total, metrics.cost.unpriced_runs) == (12.5, 2)
    known, unknown = metrics.models["gpt-4o-2024-08-06"], metrics.models["unheard of"]
    assert (known.runs, known.total_tokens, known.cost, known.unpriced_runs) == (1, 2_000_000, 12.5, 0)
    assert (unknown.runs, unknown.total_tokens, unknown.cost, unknown.unpriced_runs) == (1, 5, None, 1)


def test_metrics_come_as_a_series_too(sdk, agent_id):
    task = sdk.task_report(agent_id=agent_id, duration=2, is_success=False, **PRICED)
    assert sdk.metrics(agent_id).series is None
    for by, start in (("hour", task.created_at.replace(minute=0)), ("day", task.created_at.replace(minute=0, hour=0))):
        (point,) = sdk.metrics(agent_id, by=by).series
        assert point.start == start.replace(second=0, microsecond=0)
        assert (point.runs.failed, point.success_rate, point.duration.total) == (1, 0.0, 2.0)
        assert (point.tokens.prompt_tokens, point.cost.total) == (1_000_000, 12.5)


def test_metrics_of_the_organisation_are_those_of_its_agents(sdk, new_id):
    before = sdk.organization_metrics()
    agents = [new_id(), new_id()]
    for agent_id in agents:
        sdk.task_report(agent_id=agent_id, is_success=False)
    after = sdk.organization_metrics()
    assert after.agent_id is None
    assert after.runs.failed == before.runs.failed + 2
    assert [after.agents[agent_id].failed for agent_id in agents] == [1, 1]


def test_history_is_found_by_text_tool_model_and_time(sdk, agent_id, new_id):
    runs = {name: new_id() for name in ("text", "tool", "model", "none")}
    tasks = [
        sdk.task_report(agent_id=agent_id, id=runs["text"], input='Say "Grüße" 100%', result="a_b\\c\n"),
        sdk.task_report(agent_id=agent_id, id=runs["tool"], used_tools=["web search", "n"]),
        sdk.task_report(agent_id=agent_id, id=runs["model"], llm_response={"model": "gpt-4o"}),
        sdk.task_report(agent_id=agent_id, id=runs["none"], input="nothing"),
    ]

    def found(**filters: str) -> list[str]:
        names = {run_id: name for name, run_id in runs.items()}
        return [names[item.id] for item in sdk.history(agent_id, filters)]

    for text in ('say "grüße"', "100%", "A_B", "\\C", "\\c\n", '"'):
        assert found(q=text) == ["text"], text
    assert found(q="o") == ["none"]
    assert (found(q="nb"), found(q="GRÜSSE"), found(q="a%c")) == ([], [], [])
    assert (found(tool="web search"), found(tool="web"), found(tool="n")) == (["tool"], [], ["tool"])
    assert (found(model="gpt-4o"), found(model="gpt")) == (["model"], [])
    middle = tasks[2].created_at.isoformat()
    assert (found(since=middle), found(until=middle)) == (["none", "model"], ["tool", "text"])


def test_metrics_of_a_range_count_by_when_a_task_was_first_seen(sdk, agent_id):
    first = sdk.task_report(agent_id=agent_id)
    second = sdk.task_report(agent_id=agent_id)
    sdk.task_report(agent_id=agent_id, id=first.id, result="updated later")
    assert sdk.metrics(agent_id, second.created_at).runs.total == 1
    assert sdk.metrics(agent_id, None, second.created_at).runs.total == 1
    assert sdk.metrics(agent_id, first.created_at.isoformat(), "9999-12-31").runs.total == 2
    assert sdk.metrics(agent_id, "2020-01-01", "2020-01-02").runs.total == 0
    assert sdk.metrics(agent_id, "2020-01-01t00:00:00z").since == datetime(2020, 1, 1, tzinfo=UTC)


def test_a_report_of_a_dead_clock_cannot_shut_out_later_ones(sdk, agent_id, new_id, monkeypatch):
    run_id = new_id()
    with monkeypatch.context() as patched:
        patched.setattr("xpander_sdk.reporting.report._now", lambda: 4_000_000_000_000_000)
        sdk.task_report(agent_id=agent_id, id=run_id, result="from the future")
    assert sdk.task_report(agent_id=agent_id, id=run_id, result="now").result == "now"


def test_a_late_report_fills_gaps_and_overwrites_nothing(sdk, agent_id, new_id, monkeypatch):
    run_id = new_id()
    sdk.task_report(agent_id=agent_id, id=run_id, result="new")
    with monkeypatch.context() as patched:
        patched.setattr("xpander_sdk.reporting.report._now", lambda: 1_700_000_000_000_000)
        task = sdk.task_report(agent_id=agent_id, id=run_id, result="old", input="question", is_success=False)
    assert (task.result, task.input.text, task.status) == ("new", "question", "completed")
