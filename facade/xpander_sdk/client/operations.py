"""Operations of the API as values: method, path, headers and body, and the parser of the response.

This module has those of one task. `read_operations` has the lists and metrics, which few programs read: their models
take long to import. All operations are idempotent: a report carries its id, and the others only read.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Generic, TypeVar

from attrs import evolve, field, frozen

from xpander_api import models
from xpander_api.api.service import get_health as get_health_endpoint
from xpander_api.api.tasks import get_task as get_task_endpoint
from xpander_api.api.tasks import report_task as report_task_endpoint
from xpander_sdk.client import report_fields
from xpander_sdk.client.task_record import TaskRecord, read_loaded_task, read_reported_task
from xpander_sdk.reporting.report import Report
from xpander_sdk.reporting.validation import parse_id

T = TypeVar("T")
U = TypeVar("U")


@frozen(kw_only=True)
class Operation(Generic[T]):
    """One call of the API.

    Attributes:
        name: The operation's id in the API's description, in snake case.
        method: The HTTP method, in capitals.
        url: The path after the URL of the backend, percent-encoded.
        parse: Function of the decoded body and the headers of a 2xx response that returns the result. It may raise any
            exception if the response does not match the API.
        params: Query parameters.
        headers: Headers of this operation.
        content: The body, or None.
        report_id: The id of the report; None for other operations.
        may_be_empty: True if a 2xx response may have an empty body, which `parse` receives as an empty object.
        extended_fields: Fields of the report that not every backend supports.
        limit: Function that returns the operation for a backend that supports only some extended fields; None for
            operations other than reports.
    """

    name: str
    method: str
    url: str
    parse: Callable[[Any, Mapping[str, str]], T]
    params: dict[str, Any] = field(factory=dict)
    headers: dict[str, str] = field(factory=dict)
    content: bytes | None = field(default=None, repr=False)
    report_id: str | None = None
    may_be_empty: bool = False
    extended_fields: frozenset[str] = frozenset()
    limit: "Callable[[frozenset[str]], Operation[T]] | None" = None

    def map(self, convert: Callable[[T], U]) -> "Operation[U]":
        """Return the operation with a converted result. An exception of `convert` counts as one of `parse`."""
        return Operation(
            name=self.name,
            method=self.method,
            url=self.url,
            parse=lambda body, headers: convert(self.parse(body, headers)),
            params=self.params,
            headers=self.headers,
            content=self.content,
            report_id=self.report_id,
            may_be_empty=self.may_be_empty,
            extended_fields=self.extended_fields,
            limit=None if self.limit is None else partial(_map_limited, self.limit, convert),
        )


def _map_limited(
    limit: Callable[[frozenset[str]], Operation[T]], convert: Callable[[T], U], supported: frozenset[str]
) -> Operation[U]:
    return limit(supported).map(convert)


def report_task(report: Report) -> Operation[TaskRecord]:
    """Return the operation that records a report. Its result is complete, whatever the response lacks."""
    request = report_task_endpoint._get_kwargs(
        report.agent_id, body=models.TaskReport(), x_reported_at=report.reported_at
    )
    operation = build_operation("report_task", request, lambda body, _: read_reported_task(body, report), report)
    extended = report_fields.extended_fields(report)
    if not extended:
        return operation
    return evolve(
        operation,
        extended_fields=extended,
        limit=lambda supported: report_task(report_fields.limit_report(report, supported)),
    )


def get_report_fields(report_id: str | None) -> Operation[frozenset[str]]:
    """Return the operation that asks for the extended fields of reports that the backend supports.

    Args:
        report_id: The id of the report that waits for the answer, for errors.
    """
    operation = build_operation(
        "get_health", get_health_endpoint._get_kwargs(), lambda body, _: report_fields.read_supported_fields(body)
    )
    return evolve(operation, report_id=report_id)


def invalid_report(agent_id: object) -> Operation[None]:
    """Return the operation of a report with the body `[]`. A report is an object, so no backend can record it."""
    request = report_task_endpoint._get_kwargs(parse_id("agent_id", agent_id), body=models.TaskReport())
    return evolve(build_operation("report_task", request, lambda body, _: None), content=b"[]")


def list_span_refusals() -> Operation[None]:
    """Return the operation that lists the refused spans of the key's organization."""
    return Operation(name="list_span_refusals", method="GET", url="/v1/traces/refusals", parse=lambda body, _: None)


def get_task(task_id: object) -> Operation[TaskRecord]:
    """Return the operation that loads a task.

    Raises:
        ValueError: The id is invalid.
    """
    run_id = parse_id("task_id", task_id)
    return build_operation(
        "get_task", get_task_endpoint._get_kwargs(run_id), lambda body, _: read_loaded_task(body, run_id)
    )


def build_operation(
    name: str, request: dict[str, Any], parse: Callable[[Any, Mapping[str, str]], T], report: Report | None = None
) -> Operation[T]:
    """Return an operation.

    Args:
        name: The operation's id in the API's description, in snake case.
        request: Method, URL and headers, as the generated `_get_kwargs` return them.
        parse: Function of the decoded body and the headers that returns the result.
        report: The report that the operation sends, if it is one.
    """
    return Operation(
        name=name,
        method=request["method"].upper(),
        url=request["url"],
        parse=parse,
        params=request.get("params", {}),
        headers=request.get("headers", {}),
        content=None if report is None else report.content,
        report_id=None if report is None else report.id,
        may_be_empty=report is not None,
    )
