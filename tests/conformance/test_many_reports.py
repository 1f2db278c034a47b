"""Many reports in one call, on every target and in both forms."""

import pytest

from conformance.documented_example import REPORT
from xpander_sdk import ConflictError, Task, TooLargeError


def test_each_report_returns_its_task(sdk, agent_id, new_id):
    ids = [new_id() for _ in range(300)]
    tasks = sdk.report_many([{"agent_id": agent_id, "id": run_id, "result": run_id} for run_id in ids])
    assert [(type(task), task.id, task.result) for task in tasks] == [(Task, run_id, run_id) for run_id in ids]
    assert sdk.metrics(agent_id).runs.total == 300
    assert sdk.load(ids[299]).result == ids[299]


def test_documented_example_has_the_same_task_as_alone(sdk, agent_id, new_id):
    first, second, third = new_id(), new_id(), new_id()
    alone = sdk.backend_report(agent_id=agent_id, id=first, **REPORT)
    together = sdk.report_many([{"agent_id": agent_id, "id": run_id, **REPORT} for run_id in (second, third)])
    varying = {"id", "created_at", "started_at", "finished_at", "updated_at", "source", "extra"}
    for task in together:
        assert {name: value for name, value in task.to_dict().items() if name not in varying} == {
            name: value for name, value in alone.to_dict().items() if name not in varying
        }
        loaded = sdk.load(task.id)
        assert (loaded.result, loaded.tokens, loaded.used_tools) == (alone.result, alone.tokens, alone.used_tools)


def test_reports_of_one_run_are_recorded_in_order(sdk, agent_id, new_id):
    sdk.backend_report(agent_id=agent_id, id=new_id())
    run_id = new_id()
    reports = [
        {"id": run_id, "input": "how much?", "is_success": None},
        {"id": run_id, "result": "first"},
        {"id": run_id, "result": "last"},
    ]
    tasks = sdk.report_many([{"agent_id": agent_id, **report} for report in reports])
    assert [task.status for task in tasks] == ["executing", "completed", "completed"]
    loaded = sdk.load(run_id)
    assert (loaded.input.text, loaded.result) == ("how much?", "last")
    assert sdk.metrics(agent_id).runs.total == 2


def test_failed_report_does_not_affect_the_others(sdk, agent_id, new_id):
    taken, first, last = new_id(), new_id(), new_id()
    sdk.backend_report(agent_id=agent_id, id=taken)
    outcomes = sdk.report_many(
        [
            {"agent_id": agent_id, "id": first},
            {"agent_id": f"{agent_id}-other", "id": taken, "result": "stolen"},
            {"agent_id": agent_id, "duration": "long"},
            {"agent_id": agent_id, "result": "x" * 5_000_000},
            {"agent_id": agent_id, "resutl": "typo"},
            {"agent_id": agent_id, "id": last},
        ]
    )
    expected = [Task, ConflictError, ValueError, TooLargeError, TypeError, Task]
    assert [type(outcome) for outcome in outcomes] == expected
    assert outcomes[1].report_id == taken
    assert outcomes[1].status_code == 409
    assert sdk.load(taken).result is None
    assert sdk.metrics(agent_id).runs.total == 3


def test_no_reports_have_no_outcomes(sdk):
    assert sdk.report_many([]) == []


@pytest.mark.parametrize("reports", [{"agent_id": "a"}, ["text"], "text", [None]])
def test_reports_must_be_a_list_of_mappings(sdk, reports):
    with pytest.raises(ValueError, match="reports must be a list of mappings"):
        sdk.report_many(reports)
