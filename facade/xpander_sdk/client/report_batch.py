"""Many reports in one request: `reportTasks` of the contract.

Only a backend that announces it in the header `x-report-batch` of its responses to `reportTask` gets such a request.

    request     {"reports": [{"id": "r1", …, "agent_id": "a", "reported_at": 17…}, {"id": "r2", …}]}
    response    {"outcomes": [{"status": 200, "task": {…}}, {"status": 422, "error": {"detail": [{…}]}}]}

The outcomes have the order of the reports. Their tasks lack the documents (`input`, `llm_response`, `result`); those of
the report take their place.
"""

import json
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from attrs import evolve, field, frozen

from xpander_api import models
from xpander_api.api.tasks import report_tasks as report_tasks_endpoint
from xpander_sdk.client import operations
from xpander_sdk.client.operations import Operation
from xpander_sdk.client.task_record import TaskRecord, is_same_id, read_reported_task
from xpander_sdk.errors import ContractError, ModuleException, RequestInfo, error_from_response
from xpander_sdk.reporting.report import Report

MAX_REPORTS = 256
MAX_BYTES = 1 << 20
MIN_COMPRESSED_BYTES = 4 << 10
"""Size of a body from which compression saves more time on the way than it takes."""
_OVERHEAD_BYTES = 70  # of the agent's id and the time of report, besides the text of the id


@frozen
class ReportOutcome:
    """Outcome of one report of a batch.

    Attributes:
        report: The report.
        status: Status code that the response to this report alone would have; 0 if the outcome is not readable.
        body: The task if the report was recorded, else the error, as decoded JSON.
        retry_after: Seconds that the backend asks to wait, or None.
    """

    report: Report
    status: int
    body: Any = field(repr=False)
    retry_after: float | None = None

    @property
    def is_recorded(self) -> bool:
        """True if the backend has recorded the report."""
        return 200 <= self.status < 300

    def record(self) -> TaskRecord:
        """Return the task of a recorded report; the report supplies the values that the outcome lacks."""
        record = read_reported_task(self.body, self.report)
        return evolve(record, unusual=tuple(name for name in record.unusual if name != "input"))

    def error(self, redact: Callable[[str], str]) -> ModuleException:
        """Return the error of a report that was not recorded.

        Args:
            redact: Function that removes secrets from a text.
        """
        info = RequestInfo(report_id=self.report.id, attempts=1)
        if not self.status:
            return ContractError(None, "the outcome of the report in the response does not match the API", info)
        body = json.dumps(self.body).encode()
        return error_from_response(self.status, {}, body, info, self.retry_after, redact)


def batch_size(headers: Mapping[str, str]) -> int:
    """Return the number of reports that a backend takes in one request, by its headers; 0 if it announces none."""
    text = headers.get("x-report-batch", "")
    return min(MAX_REPORTS, int(text)) if text.isascii() and text.isdigit() and len(text) < 10 else 0


def report_one(report: Report, announce: Callable[[int], None]) -> Operation[TaskRecord]:
    """Return the operation that records one report.

    Args:
        report: The report.
        announce: Function that is called with the size of batches that the response announces, if it announces one.
    """
    operation = operations.report_task(report)

    def parse(body: Any, headers: Mapping[str, str]) -> TaskRecord:
        record = operation.parse(body, headers)
        if (size := batch_size(headers)) > 1:
            announce(size)
        return record

    return evolve(operation, parse=parse)


def report_tasks(reports: Sequence[Report], *, is_compressed: bool) -> Operation[list[ReportOutcome]]:
    """Return the operation that records reports.

    Args:
        reports: The reports, at most as many as the backend announces.
        is_compressed: Compress a large body.
    """
    request = report_tasks_endpoint._get_kwargs(body=models.TaskReports([]))
    operation = Operation(
        name="report_tasks",
        method=request["method"].upper(),
        url=request["url"],
        parse=lambda body, _: _read_outcomes(body, reports),
        headers=request["headers"],
        content=b'{"reports":[' + b",".join(map(_encode, reports)) + b"]}",
    )
    return compressed(operation) if is_compressed else operation


def compressed(operation: Operation[Any]) -> Operation[Any]:
    """Return the operation with a compressed body if that is large. The backend must accept gzip."""
    content = operation.content
    if content is None or len(content) < MIN_COMPRESSED_BYTES:
        return operation
    # Level 1: higher levels take several times as long for a few percent.
    compressor = zlib.compressobj(1, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    body = compressor.compress(content) + compressor.flush()
    return evolve(operation, content=body, headers={**operation.headers, "Content-Encoding": "gzip"})


def first_batch(reports: Sequence[Report], first: int, max_reports: int) -> list[Report]:
    """Return the reports from index `first` that one request can carry; a report that is too large is alone."""
    batch: list[Report] = []
    size = 0
    for report in reports[first : first + max_reports]:
        size += len(report.content) + len(report.agent_id) + _OVERHEAD_BYTES
        if batch and size > MAX_BYTES:
            break
        batch.append(report)
    return batch


def _encode(report: Report) -> bytes:
    # The last one of two equal names applies, so a mask that adds one of these names changes nothing.
    separator = b"" if len(report.content) <= 2 else b","
    agent_id = json.dumps(report.agent_id).encode()
    return b'%b%b"agent_id":%b,"reported_at":%d}' % (report.content[:-1], separator, agent_id, report.reported_at)


def _read_outcomes(body: Any, reports: Sequence[Report]) -> list[ReportOutcome]:
    """Return an outcome for each report.

    Raises:
        TypeError: The body is not an object with a list of outcomes.
        ValueError: The number of outcomes is not that of the reports.
    """
    outcomes = body["outcomes"]
    if not isinstance(outcomes, list):
        raise TypeError(f"outcomes must be an array, got {type(outcomes).__name__}")
    if len(outcomes) != len(reports):
        raise ValueError(f"outcomes must be {len(reports)}, got {len(outcomes)}")
    return [_read_outcome(outcome, report) for outcome, report in zip(outcomes, reports, strict=True)]


def _read_outcome(outcome: Any, report: Report) -> ReportOutcome:
    if not isinstance(outcome, dict):
        return ReportOutcome(report, 0, None)
    status, task, retry_after = outcome.get("status"), outcome.get("task"), outcome.get("retry_after")
    if type(status) is not int or not 200 <= status <= 599:
        return ReportOutcome(report, 0, None)
    if status >= 300:
        seconds = float(retry_after) if isinstance(retry_after, int | float) and retry_after >= 0 else None
        return ReportOutcome(report, status, outcome.get("error"), seconds)
    # An outcome of another run means that the order is not that of the reports: nothing is known then.
    if not isinstance(task, dict) or not is_same_id(task.get("id"), report.id):
        return ReportOutcome(report, 0, None)
    return ReportOutcome(report, status, task)
