"""Reports on every target and in both forms: results, updates, conflicts and limits."""

from datetime import UTC, datetime, timedelta

import pytest

from conformance.documented_example import REPORT
from xpander_sdk import (
    AgentExecutionStatus,
    ConflictError,
    ModuleException,
    NotFoundError,
    Tokens,
    TooLargeError,
)
from xpander_sdk.reporting.report import new_report


@pytest.fixture(params=["task_report", "backend_report"])
def report(request, sdk):
    return getattr(sdk, request.param)


def test_documented_example_returns_recorded_task(report, agent_id, new_id):
    before = datetime.now(UTC)
    run_id = new_id()
    task = report(agent_id=agent_id, id=run_id, **REPORT)
    assert (task.id, task.agent_id, task.status) == (run_id, agent_id, AgentExecutionStatus.Completed)
    assert task.input.text == "Summarize Q4 earnings"
    assert task.result == "Q4 revenue grew 22% YoY, driven by ..."
    assert task.tokens == Tokens(prompt_tokens=2_140, completion_tokens=380)
    assert task.used_tools == ["web_search", "fetch_pdf"]
    assert task.duration == 4.7
    assert before - timedelta(seconds=1) < task.created_at < datetime.now(UTC) + timedelta(seconds=1)
    assert task.finished_at is not None
    assert task.started_at == task.finished_at - timedelta(seconds=4.7)


def test_report_without_id_gets_an_id(report, sdk, agent_id):
    task = report(agent_id=agent_id)
    assert sdk.load(task.id).id == task.id


def test_second_report_with_same_id_updates_task(report, sdk, agent_id, new_id):
    run_id = new_id()
    first = report(agent_id=agent_id, id=run_id, **REPORT)
    second = report(agent_id=agent_id, id=run_id, result="corrected", duration=5, used_tools=["web_search"])
    assert second.created_at == first.created_at
    assert (second.result, second.duration, second.used_tools) == ("corrected", 5.0, ["web_search"])
    assert second.input.text == REPORT["input"]
    assert second.tokens == REPORT["tokens"]
    assert [item.id for item in sdk.history(agent_id)] == [run_id]
    assert sdk.metrics(agent_id).runs.total == 1


def test_none_keeps_stored_value(report, agent_id, new_id):
    run_id = new_id()
    report(agent_id=agent_id, id=run_id, llm_response={"kept": True}, **REPORT)
    task = report(agent_id=agent_id, id=run_id, is_success=None, duration=None)
    assert (task.status, task.duration, task.llm_response) == ("completed", 4.7, {"kept": True})


def test_failed_run_is_shown_in_history_and_metrics(report, sdk, agent_id, new_id):
    run_id = new_id()
    assert report(agent_id=agent_id, id=run_id, is_success=False, result="no network").status == "failed"
    report(agent_id=agent_id, is_success=True)
    assert [item.id for item in sdk.history(agent_id, {"status": "failed"})] == [run_id]
    metrics = sdk.metrics(agent_id)
    assert (metrics.runs.failed, metrics.runs.completed, metrics.success_rate) == (1, 1, 0.5)


def test_run_without_success_value_is_executing_until_it_ends(report, agent_id, new_id):
    run_id = new_id()
    running = report(agent_id=agent_id, id=run_id, is_success=None)
    assert (running.status, running.finished_at, running.started_at) == ("executing", None, None)
    ended = report(agent_id=agent_id, id=run_id, is_success=True, duration=2)
    assert ended.status == "completed"
    assert ended.finished_at is not None
    assert ended.created_at == running.created_at


def test_id_of_another_agent_raises_conflict_error_and_changes_nothing(report, sdk, agent_id, new_id):
    run_id = new_id()
    first = report(agent_id=agent_id, id=run_id, result="mine")
    with pytest.raises(ConflictError) as raised:
        report(agent_id=new_id(), id=run_id, result="theirs")
    assert (raised.value.status_code, raised.value.report_id) == (409, run_id)
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
def test_llm_response_is_returned_unchanged(sdk, agent_id, new_id, response):
    task = sdk.task_report(agent_id=agent_id, id=new_id(), llm_response=response)
    for each in (task, sdk.load(task.id), sdk.get(task.id)):
        # Compared by repr, which distinguishes 0 from False and shows the order of keys.
        assert repr(each.llm_response) == repr(response)


@pytest.mark.parametrize("name", ["a/b", "ü ñ?#%2F", "..a", "a" * 255, "😀" * 255, "a:b@c"])
def test_every_allowed_id_can_be_loaded_and_listed(sdk, new_id, name):
    run_id = name if len(name) > 200 else name + new_id()
    agent = "agent of " + name[:200]
    assert sdk.task_report(agent_id=agent, id=run_id).id == run_id
    assert sdk.load(run_id).agent_id == agent
    assert run_id in [item.id for item in sdk.history(agent)]


def test_unknown_task_raises_not_found_error(sdk, new_id):
    with pytest.raises(NotFoundError) as raised:
        sdk.load(new_id())
    assert raised.value.status_code == 404
    assert isinstance(raised.value, LookupError)
    assert isinstance(raised.value, ModuleException)


def test_too_large_report_raises_too_large_error(sdk, agent_id):
    with pytest.raises(TooLargeError) as raised:
        sdk.task_report(agent_id=agent_id, llm_response="x" * 5_000_000)
    assert raised.value.status_code == 413


def test_report_with_clock_in_future_does_not_block_later_reports(sdk, agent_id, new_id):
    run_id = new_id()
    year_2096 = 4_000_000_000_000_000
    sdk.send_report(new_report(agent_id, reported_at=year_2096, id=run_id, result="from the future"))
    assert sdk.load(run_id).result == "from the future"
    assert sdk.task_report(agent_id=agent_id, id=run_id, result="now").result == "now"


def test_late_report_only_adds_missing_values(sdk, agent_id, new_id):
    run_id = new_id()
    year_2023 = 1_700_000_000_000_000
    sdk.task_report(agent_id=agent_id, id=run_id, result="new")
    sdk.send_report(
        new_report(agent_id, reported_at=year_2023, id=run_id, result="old", input="question", is_success=False)
    )
    task = sdk.load(run_id)
    assert (task.result, task.input.text, task.status) == ("new", "question", "completed")
