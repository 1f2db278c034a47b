"""Requests of a call with many reports, without network: each operation gets a scripted result."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from xpander_sdk import ModuleException, errors
from xpander_sdk.client.batch_size import BatchSize
from xpander_sdk.client.bulk_reports import Result, bulk_flow
from xpander_sdk.client.task_record import TaskRecord
from xpander_sdk.reporting.report import Report, new_report


def make_reports(count: int, size: int = 0) -> list[Report]:
    return [new_report("agent", id=f"run-{number}", result="x" * size) for number in range(count)]


def run(
    reports: list[Report], size: BatchSize, respond: Callable[[int], ModuleException | None], header: str | None = None
) -> tuple[list[int], list[Result]]:
    """Return the number of reports in each request, and the results."""
    flow = bulk_flow(reports, size, lambda text: text, is_compressed=False)  # type: ignore[arg-type]
    sizes: list[int] = []
    outcome: Any = None
    try:
        while True:
            operation = flow.send(outcome)
            body = json.loads(operation.content or b"")
            sent = body.get("reports", [body])
            sizes.append(len(sent))
            outcome = respond(len(sent))
            if outcome is None and operation.name == "report_task":
                outcome = operation.parse({"id": body["id"]}, {"x-report-batch": header} if header else {})
            elif outcome is None:
                tasks = [{"id": report["id"], "agent_id": report["agent_id"]} for report in sent]
                outcome = operation.parse({"outcomes": [{"status": 200, "task": task} for task in tasks]}, {})
    except StopIteration as end:
        return sizes, end.value


def accept(_: int) -> None:
    return None


def error(status: int, **values: Any) -> ModuleException:
    return errors.error_from_response(status, {}, b"", errors.RequestInfo(), values.get("retry_after"), str)


def test_backend_without_announcement_gets_single_requests():
    sizes, results = run(make_reports(5), BatchSize(), accept)
    assert sizes == [1] * 5
    assert [result.values["id"] for result in results if isinstance(result, TaskRecord)] == [
        f"run-{number}" for number in range(5)
    ]


def test_batches_begin_after_the_first_announcement_and_with_the_first_report_of_a_later_call():
    size = BatchSize()
    assert run(make_reports(600), size, accept, "256")[0] == [1, 256, 256, 87]
    assert run(make_reports(300), size, accept)[0] == [256, 44]


def test_batches_have_at_most_1_mebibyte():
    assert run(make_reports(5, size=400_000), BatchSize(256), accept)[0] == [2, 2, 1]
    assert run(make_reports(2, size=2_000_000), BatchSize(256), accept)[0] == [1, 1]


def test_batch_that_is_too_large_is_halved():
    sizes, results = run(make_reports(20), BatchSize(256), lambda sent: error(413) if sent > 6 else None)
    assert sizes == [20, 10, 5, 5, 5, 5]
    assert all(isinstance(result, TaskRecord) for result in results)


def test_backend_that_lost_the_operation_gets_single_requests():
    assert run(make_reports(3), BatchSize(256), lambda sent: error(404) if sent > 1 else None)[0] == [3, 1, 1, 1]


def test_rejected_batch_is_sent_one_by_one():
    sizes, results = run(make_reports(3), BatchSize(256), lambda sent: error(422) if sent > 1 else None)
    assert sizes == [3, 1, 1, 1]
    assert len(results) == 3


@pytest.mark.parametrize("status", [401, 403, 429, 500, 503])
def test_error_of_the_backend_ends_the_call(status: int):
    sizes, results = run(make_reports(600), BatchSize(256), lambda sent: error(status, retry_after=3.0))
    assert sizes == [256]
    assert len(results) == 600
    assert {type(result) for result in results} == {type(error(status))}
    failed = [result for result in results if isinstance(result, ModuleException)]
    assert [result.report_id for result in failed] == [f"run-{number}" for number in range(600)]
    assert {result.attempts for result in failed} == {0, 1} or {result.attempts for result in failed} == {0}


def test_unknown_agent_of_one_report_does_not_end_the_call():
    sizes, results = run(make_reports(3), BatchSize(), lambda sent: error(404))
    assert sizes == [1, 1, 1]
    assert [type(result) for result in results] == [errors.NotFoundError] * 3
