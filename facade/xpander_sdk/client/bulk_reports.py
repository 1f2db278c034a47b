"""Many reports of one caller, in as few requests as the backend takes.

`bulk_flow` decides what is sent next, and does no I/O. `send_all` and `asend_all` execute its operations, one after
another:

    backend                          requests
    announces no batches             one for each report
    announces batches of 256         one for the first report, unless the announcement is known; then batches
    rejects a batch as a whole       its reports again, one by one; or, if it is too large, in halves

An error that concerns the backend and not one report ends the flow: all remaining reports get this error, unsent.
"""

from collections.abc import Generator, Sequence
from typing import Any

from xpander_sdk.client import client, report_batch
from xpander_sdk.client.batch_size import BatchSize
from xpander_sdk.client.operations import Operation
from xpander_sdk.client.redaction import Redaction
from xpander_sdk.client.task_record import TaskRecord
from xpander_sdk.client.transport_registry import transports
from xpander_sdk.errors import (
    ConflictError,
    InvalidReportError,
    ModuleException,
    NotFoundError,
    RequestInfo,
    TooLargeError,
)
from xpander_sdk.reporting.report import Report
from xpander_sdk.settings.configuration import Configuration

Result = TaskRecord | ModuleException

_OF_ONE_REPORT = (InvalidReportError, ConflictError, TooLargeError, NotFoundError)


def send_all(configuration: Configuration, reports: Sequence[Report]) -> list[Result]:
    """Send reports, and return the task or the error of each, in their order.

    Raises:
        ValueError: The configuration is incomplete; no request was sent.
    """
    flow = _flow(configuration, reports)
    outcome: Any = None
    try:
        while True:
            operation = flow.send(outcome)
            try:
                outcome = client.send(configuration, operation)
            except ModuleException as error:
                outcome = error
    except StopIteration as end:
        results: list[Result] = end.value
        return results


async def asend_all(configuration: Configuration, reports: Sequence[Report]) -> list[Result]:
    """Send reports on asyncio or trio, and return the task or the error of each, in their order.

    Raises:
        ValueError: The configuration is incomplete; no request was sent.
    """
    flow = _flow(configuration, reports)
    outcome: Any = None
    try:
        while True:
            operation = flow.send(outcome)
            try:
                outcome = await client.asend(configuration, operation)
            except ModuleException as error:
                outcome = error
    except StopIteration as end:
        results: list[Result] = end.value
        return results


def _flow(configuration: Configuration, reports: Sequence[Report]) -> Generator[Operation[Any], Any, list[Result]]:
    size = transports.destination(configuration).batch_size
    redact = client.redaction_for(configuration)
    return bulk_flow(reports, size, redact, is_compressed=not configuration.is_embedded)


def bulk_flow(
    reports: Sequence[Report], size: BatchSize, redact: Redaction, *, is_compressed: bool
) -> Generator[Operation[Any], Any, list[Result]]:
    """Yield the operations that send reports, and return the task or the error of each.

    Args:
        reports: The reports. Those of one run are sent in this order.
        size: Size of the batches of the destination; the flow updates it.
        redact: Removes secrets from errors.
        is_compressed: Compress large bodies.

    Yields:
        The next operation. The caller sends in its result, or the `ModuleException` that it raised.
    """
    results: list[Result] = []
    alone_until = 0  # Reports before this index are sent alone, because their batch was rejected as a whole.
    while len(results) < len(reports):
        first = len(results)
        limit = 1 if first < alone_until else size.current()
        batch = report_batch.first_batch(reports, first, limit)
        if len(batch) == 1:
            outcome = yield report_batch.report_one(batch[0], size.announce)
            results.append(outcome)
        else:
            outcome = yield report_batch.report_tasks(batch, is_compressed=is_compressed)
            if not isinstance(outcome, ModuleException):
                results += [each.record() if each.is_recorded else each.error(redact) for each in outcome]
                continue
            if size.reduce(len(batch), outcome.status_code):
                continue
            if isinstance(outcome, InvalidReportError):
                alone_until = first + len(batch)
                continue
        if isinstance(outcome, ModuleException) and not isinstance(outcome, _OF_ONE_REPORT):
            results += [_not_sent(outcome, report) for report in reports[len(results) :]]
    return results


def _not_sent(error: ModuleException, report: Report) -> ModuleException:
    info = RequestInfo(attempts=0, report_id=report.id)
    description = f"the report was not sent, because a request before it failed: {error.description}"
    return type(error)(error.status_code, description, info, retry_after=error.retry_after)
