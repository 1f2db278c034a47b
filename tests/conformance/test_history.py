"""History on every target and in both forms: order, pages and filters."""

import json
import time

from xpander_sdk import (
    AgentExecutionStatus,
)
from xpander_sdk.reporting.report import Report


def test_history_is_newest_first_across_pages(sdk, agent_id, monkeypatch):
    monkeypatch.setattr("xpander_sdk.tasks.PAGE", 3)
    ids = [sdk.task_report(agent_id=agent_id).id for _ in range(8)]
    newest_first = ids[::-1]
    assert [item.id for item in sdk.history(agent_id)] == newest_first
    assert [item.id for item in sdk.iterate(agent_id)] == newest_first
    for limit in (0, 1, 2, 3, 7, 8, 9):
        assert [item.id for item in sdk.history(agent_id, limit=limit)] == newest_first[:limit]


def test_limit_across_pages_returns_newest_tasks(sdk, agent_id):
    ids = [sdk.task_report(agent_id=agent_id).id for _ in range(5)]
    assert [item.id for item in sdk.history(agent_id, limit=4)] == ids[:0:-1]


def test_list_item_loads_complete_task(sdk, agent_id):
    sdk.task_report(agent_id=agent_id, llm_response={"x": 1})
    (item,) = sdk.history(agent_id)
    assert sdk.load_item(item).llm_response == {"x": 1}


def test_list_has_start_of_long_result_and_load_has_all_of_it(sdk, agent_id):
    result = "long result " * 1_000
    sdk.task_report(agent_id=agent_id, result=result)
    sdk.task_report(agent_id=agent_id, result="short")
    short, long = sdk.history(agent_id)
    assert (short.result, short.result_truncated) == ("short", False)
    assert long.result_truncated
    assert result.startswith(long.result)
    assert len(long.result) > 4_000
    assert sdk.load_item(long).result == result


def test_user_tasks_and_every_filter_of_contract(sdk, agent_id, new_id):
    user, parent, trigger, run_id = new_id(), new_id(), new_id(), new_id()
    extras = {"user_id": user, "parent_task_id": parent, "triggering_agent_id": trigger}
    # Not through arguments of the SDK: no official client sends these fields in a report.
    content = json.dumps({"id": run_id, **extras}).encode()
    sdk.send_report(Report(agent_id=agent_id, id=run_id, reported_at=time.time_ns() // 1_000, content=content))
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


def test_history_is_filtered_by_text_tool_model_and_time(sdk, agent_id, new_id):
    runs = {name: new_id() for name in ("text", "tool", "model", "none")}
    tasks = [
        sdk.task_report(agent_id=agent_id, id=runs["text"], input='Say "Grüße" 100%', result="a_b\\c\n"),
        sdk.task_report(agent_id=agent_id, id=runs["tool"], used_tools=["web search", "n"]),
        sdk.task_report(agent_id=agent_id, id=runs["model"], llm_response={"model": "gpt-4o"}),
        sdk.task_report(agent_id=agent_id, id=runs["none"], input="nothing"),
    ]

    def filtered(**filters: str) -> list[str]:
        names = {run_id: name for name, run_id in runs.items()}
        return [names[item.id] for item in sdk.history(agent_id, filters)]

    for text in ('say "grüße"', "100%", "A_B", "\\C", "\\c\n", '"'):
        assert filtered(q=text) == ["text"], text
    assert filtered(q="o") == ["none"]
    assert (filtered(q="nb"), filtered(q="GRÜSSE"), filtered(q="a%c")) == ([], [], [])
    assert (filtered(tool="web search"), filtered(tool="web"), filtered(tool="n")) == (["tool"], [], ["tool"])
    assert (filtered(model="gpt-4o"), filtered(model="gpt")) == (["model"], [])
    middle = tasks[2].created_at.isoformat()
    assert (filtered(since=middle), filtered(until=middle)) == (["none", "model"], ["tool", "text"])


def test_history_states_error_of_response_if_failed_run_reports_no_text(sdk, agent_id, new_id):
    response = {"error": {"type": "rate_limit_error", "message": "The rate limit is exceeded"}}
    sdk.task_report(agent_id=agent_id, id=new_id(), is_success=False, llm_response=response)
    sdk.task_report(agent_id=agent_id, id=new_id(), is_success=False, llm_response=response, result="No answer")
    newest, oldest = sdk.history(agent_id)
    assert (oldest.error, oldest.result) == ("The rate limit is exceeded", None)
    assert (newest.error, newest.result) == (None, "No answer")
