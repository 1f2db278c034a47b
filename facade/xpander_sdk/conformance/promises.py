"""Promises of the contract, each with the scenario that shows whether a backend keeps it.

A scenario uses runs with new ids, so it can be repeated. It raises `PromiseBroken` with what the backend did instead,
or `PromiseNotOffered` if the backend lacks an operation that the contract leaves optional.
"""

import json
import uuid
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from attrs import frozen

from xpander_sdk.conformance.backend_session import (
    BackendSession,
    PromiseBroken,
    PromiseNotOffered,
    expect,
    expect_status,
    parse_json,
    show,
)

Scenario = Callable[[BackendSession], None]

_TOKENS = {"prompt_tokens": 40, "completion_tokens": 2, "cache_read_tokens": 10, "cache_write_tokens": 5}
_RESPONSE = {"model": "model-of-nobody", "z": [1, 2.5, None, True, "é"], "a": {"nested": {"k": "v"}}}
_MAX_PAGES = 1_000


@frozen
class Promise:
    """One promise.

    Attributes:
        name: Short name, for output and for selection.
        text: What the contract promises.
        check: The scenario.
    """

    name: str
    text: str
    check: Scenario


def _check_record(session: BackendSession) -> None:
    run_id = session.new_id()
    report: dict[str, Any] = {
        "input": "question",
        "result": "answer",
        "is_success": True,
        "duration": 1.5,
        "tokens": _TOKENS,
        "used_tools": ["search", "search", "fetch"],
        "llm_response": _RESPONSE,
    }
    for task in (session.report(run_id, **report), session.load(run_id)):
        expect("id", task.get("id"), run_id)
        expect("agent_id", task.get("agent_id"), session.agent_id)
        expect("status of a run with is_success=true", task.get("status"), "completed")
        expect("input.text", (task.get("input") or {}).get("text"), "question")
        expect("result", task.get("result"), "answer")
        expect("duration", task.get("duration"), 1.5)
        expect("used_tools", task.get("used_tools"), ["search", "search", "fetch"])
        tokens = task.get("tokens") or {}
        expect("tokens", {kind: tokens.get(kind) for kind in _TOKENS}, _TOKENS)
        expect("tokens.total_tokens", tokens.get("total_tokens"), 42)
        if not task.get("finished_at"):
            raise PromiseBroken("finished_at is missing although the run has an outcome")


def _check_response(session: BackendSession) -> None:
    run_id = session.new_id()
    session.report(run_id, llm_response=_RESPONSE)
    stored = session.load(run_id).get("llm_response")
    # The text is compared, because two objects with another order of keys are equal.
    expect("llm_response as text", json.dumps(stored), json.dumps(_RESPONSE))


def _check_large_values(session: BackendSession) -> None:
    run_id = session.new_id()
    session.report(run_id, duration=86_400.25, result="x" * 100_000, tokens={"prompt_tokens": 10**12}, is_success=True)
    task = session.load(run_id)
    expect("duration", task.get("duration"), 86_400.25)
    expect("length of result", len(task.get("result") or ""), 100_000)
    expect("tokens.prompt_tokens", (task.get("tokens") or {}).get("prompt_tokens"), 10**12)


def _check_progress(session: BackendSession) -> None:
    run_id = session.new_id()
    task = session.report(run_id, input="question", is_success=None)
    expect("status of a run without an outcome", task.get("status"), "executing")
    expect("finished_at of a run without an outcome", task.get("finished_at"), None)
    session.report(run_id, result="answer", is_success=True)
    task = session.load(run_id)
    expect("status after the outcome", task.get("status"), "completed")
    expect("input.text of the first report", (task.get("input") or {}).get("text"), "question")
    expect("result of the second report", task.get("result"), "answer")


def _check_failure(session: BackendSession) -> None:
    run_id = session.new_id()
    session.report(run_id, is_success=False, result="ValueError: no such city")
    expect("status of a run with is_success=false", session.load(run_id).get("status"), "failed")


def _check_update(session: BackendSession) -> None:
    run_id = session.new_id()
    first = session.report(run_id, input="question", result="first", duration=2.0, used_tools=["search"])
    session.report(run_id, result="second", input=None, duration=0, used_tools=[])
    task = session.load(run_id)
    expect("created_at after an update", task.get("created_at"), first.get("created_at"))
    expect("result after an update", task.get("result"), "second")
    expect("input.text after an update with null", (task.get("input") or {}).get("text"), "question")
    expect("duration after an update with 0", task.get("duration"), 2.0)
    expect("used_tools after an update with an empty list", task.get("used_tools"), ["search"])


def _check_late(session: BackendSession) -> None:
    run_id = session.new_id()
    early, late = session.now(), session.now()
    session.report(run_id, at=late, result="newer", is_success=True)
    session.report(run_id, at=early, result="older", is_success=None, input="question")
    task = session.load(run_id)
    expect("result after a report that arrived late", task.get("result"), "newer")
    expect("status after a report that arrived late", task.get("status"), "completed")
    expect("input.text, which only the late report states", (task.get("input") or {}).get("text"), "question")


def _check_conflict(session: BackendSession) -> None:
    run_id = session.new_id()
    session.report(run_id, result="of the first agent", is_success=True)
    response = session.send_report({"id": run_id, "result": "of another"}, agent_id=f"conform-other-{uuid.uuid4()}")
    expect_status("a report of another agent with the same id", response, 409)
    task = session.load(run_id)
    expect("agent_id after the conflict", task.get("agent_id"), session.agent_id)
    expect("result after the conflict", task.get("result"), "of the first agent")


def _check_ids(session: BackendSession) -> None:
    run_id = f"{session.new_id()}/with slash?and #é %2F"
    session.report(run_id, result="found")
    expect("result of an id with special characters", session.load(run_id).get("result"), "found")


def _check_errors(session: BackendSession) -> None:
    unknown = session.request("GET", f"/agent-execution/{session.new_id()}/status")
    expect_status("a request for an unknown task", unknown, 404)
    path = f"/agent-execution/{quote(session.agent_id, safe='')}/report_task"
    headers = {"content-type": "application/json"}
    expect_status("a body that is not JSON", session.request("POST", path, content=b"{", headers=headers), 400)
    run_id = session.new_id()
    invalid = session.send_report({"id": run_id, "duration": "soon"})
    expect_status("a report with an invalid duration", invalid, 422)
    body = parse_json(invalid, "the response with status 422")
    problems = body.get("detail") if isinstance(body, dict) else None
    if not isinstance(problems, list) or not any("duration" in (problem.get("loc") or ()) for problem in problems):
        raise PromiseBroken(f"the response with status 422 must name the field duration, got {show(body)}")
    response = session.request("GET", f"/agent-execution/{run_id}/status")
    expect_status("the task of an invalid report", response, 404)


def _check_keys(session: BackendSession) -> None:
    if not session.configuration.current_key():
        raise PromiseNotOffered("no key is needed")
    stranger = session.with_key(f"conform-unknown-key-{uuid.uuid4()}")
    expect_status("a report with an unknown key", stranger.send_report({"id": session.new_id()}), 401)


def _check_history(session: BackendSession) -> None:
    ids = [session.new_id() for _ in range(5)]
    for number, run_id in enumerate(ids):
        session.report(run_id, is_success=number != 2)
    expected = ids[::-1]
    listed = _list_ids(session, ids)
    expect("history, newest first", listed, expected)
    expect("history in pages of 2", _list_ids(session, ids, limit=2), expected)
    expect("history of failed runs", _list_ids(session, ids, status="failed"), [ids[2]])


def _list_ids(session: BackendSession, ids: list[str], **params: object) -> list[str]:
    """Return those of the ids that the history lists, in its order, from as many pages as they take."""
    listed: list[str] = []
    cursor: str | None = None
    for _ in range(_MAX_PAGES):
        items, cursor = session.history(**params, **({} if cursor is None else {"cursor": cursor}))
        listed += [str(item.get("id")) for item in items if item.get("id") in ids]
        if cursor is None or len(listed) >= 2 * len(ids):
            break
    return listed


def _check_metrics(session: BackendSession) -> None:
    before = session.metrics()
    ids = [session.new_id() for _ in range(5)]
    for number, run_id in enumerate(ids[:4], start=1):
        for _ in range(2):  # the second report is an update, which must not count again
            session.report(run_id, is_success=number > 1, duration=number, tokens=_TOKENS, used_tools=["search"])
    session.report(ids[4], is_success=None)
    after = session.metrics()
    for kind, count in {"total": 5, "completed": 3, "failed": 1, "executing": 1}.items():
        expect(f"difference of runs.{kind}", after["runs"][kind] - before["runs"][kind], count)
    for kind, count in _TOKENS.items():
        expect(f"difference of tokens.{kind}", after["tokens"][kind] - before["tokens"][kind], 4 * count)
    expect("difference of duration.total", round(after["duration"]["total"] - before["duration"]["total"], 3), 10.0)
    if before["runs"]["total"] == 0:
        expect("tools", [(tool.get("name"), tool.get("calls")) for tool in after["tools"]], [("search", 4)])
        for percentile, value in {"p50": 2.0, "p95": 4.0, "p99": 4.0}.items():
            _expect_close(f"duration.{percentile} of 1, 2, 3 and 4 seconds", after["duration"][percentile], value)


def _expect_close(what: str, actual: object, expected: float) -> None:
    # The contract allows a relative error of 1 %.
    if not isinstance(actual, int | float) or abs(actual - expected) > 0.01 * expected:
        raise PromiseBroken(f"{what} must be {expected:g} ± 1 %, got {show(actual)}")


def _check_repeat(session: BackendSession) -> None:
    run_id, at = session.new_id(), session.now()
    first = session.report(run_id, at=at, result="answer", is_success=True)
    second = session.report(run_id, at=at, result="answer", is_success=True)
    expect("id of a report that is sent again", second.get("id"), first.get("id"))
    expect("created_at of a report that is sent again", second.get("created_at"), first.get("created_at"))
    expect("history after a report that is sent again", _list_ids(session, [run_id]), [run_id])


def _check_batch(session: BackendSession) -> None:
    probe = session.send_report({"id": session.new_id()})
    expect_status("a report", probe, 200, 201)
    if "x-report-batch" not in probe.headers:
        raise PromiseNotOffered("no batches: the response to a report has no x-report-batch")
    other_agent, before = f"conform-other-{uuid.uuid4()}", session.total_runs()
    ids = [session.new_id() for _ in range(4)]
    reports = [
        {"agent_id": session.agent_id, "id": run_id, "reported_at": session.now(), "result": run_id, "is_success": True}
        for run_id in ids
    ]
    reports[1]["duration"] = "soon"
    reports[3]["agent_id"] = other_agent
    update = {"agent_id": session.agent_id, "id": ids[0], "reported_at": session.now(), "result": "updated"}
    response = session.request("POST", "/agent-execution/reports", body={"reports": [*reports, update]})
    outcomes = session.expect_object(response, "the response to a batch").get("outcomes")
    if not isinstance(outcomes, list) or not all(isinstance(outcome, dict) for outcome in outcomes):
        raise PromiseBroken(f"outcomes must be an array of objects, got {show(outcomes)}")
    statuses = [200 if outcome.get("status") == 201 else outcome.get("status") for outcome in outcomes]
    expect("statuses of a batch whose second report is invalid", statuses, [200, 422, 200, 200, 200])
    tasks = [(outcome.get("task") or {}).get("id") for outcome in outcomes]
    expect("tasks of the batch, in order", tasks, [ids[0], None, ids[2], ids[3], ids[0]])
    expect("result after two reports in one batch", session.load(ids[0]).get("result"), "updated")
    for run_id, agent_id in ((ids[2], session.agent_id), (ids[3], other_agent)):
        task = session.load(run_id)
        expect("result of a report in a batch", task.get("result"), run_id)
        expect("agent_id of a report in a batch", task.get("agent_id"), agent_id)
    expect("history of the batch", sorted(_list_ids(session, ids)), sorted([ids[0], ids[2]]))
    if before is not None:
        expect("difference of runs.total after the batch", (session.total_runs() or 0) - before, 2)


PROMISES = (
    Promise("record", "A report is recorded, and its task can be loaded.", _check_record),
    Promise("response", "The response of the model provider is returned unchanged.", _check_response),
    Promise("large-values", "Long texts, long durations and large counts are kept.", _check_large_values),
    Promise("progress", "A run without an outcome is executing, and its outcome ends it.", _check_progress),
    Promise("failure", "A run that did not succeed has the status failed.", _check_failure),
    Promise("update", "A report updates the task of its id; null and default values erase nothing.", _check_update),
    Promise("repeat", "A report that is sent again is one task.", _check_repeat),
    Promise("late-report", "A report that arrives late overwrites nothing newer.", _check_late),
    Promise("conflict", "An id belongs to one agent.", _check_conflict),
    Promise("ids", "Ids may contain slashes and other special characters.", _check_ids),
    Promise("errors", "Errors have their documented status, and nothing is recorded.", _check_errors),
    Promise("keys", "An unknown key is rejected.", _check_keys),
    Promise("history", "The history has each run once, newest first, in pages, by status.", _check_history),
    Promise("metrics", "Metrics count each run once, in its current state.", _check_metrics),
    Promise("batch", "Each report of a batch has its own outcome, in order.", _check_batch),
)
"""All promises, in the order in which they are checked."""
