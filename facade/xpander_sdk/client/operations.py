"""Operations of the API as values: method, path, headers and body, and the parser of the response.

All operations are idempotent: a report carries its id, and the others only read.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from typing import Any, Generic, TypeVar

from attrs import evolve, field, frozen

from xpander_api import models
from xpander_api.api.metrics import get_agent_metrics as get_agent_metrics_endpoint
from xpander_api.api.metrics import get_organization_metrics as get_organization_metrics_endpoint
from xpander_api.api.service import get_health as get_health_endpoint
from xpander_api.api.tasks import get_task as get_task_endpoint
from xpander_api.api.tasks import list_agent_tasks as list_agent_tasks_endpoint
from xpander_api.api.tasks import list_user_tasks as list_user_tasks_endpoint
from xpander_api.api.tasks import report_task as report_task_endpoint
from xpander_sdk.client import report_fields
from xpander_sdk.client.task_record import TaskRecord, read_loaded_task, read_reported_task
from xpander_sdk.reporting.metadata import parse_metadata
from xpander_sdk.reporting.report import Report
from xpander_sdk.reporting.validation import parse_datetime, parse_id

T = TypeVar("T")
U = TypeVar("U")

Filters = Mapping[str, Any]


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


@frozen
class Page:
    """Page of a history, and the cursor of the next page; None on the last page."""

    items: list[models.TaskListItem]
    next_cursor: str | None


FILTERS = (
    "user_id", "conversation_id", "parent_task_id", "triggering_agent_id", "metadata", "status", "is_stale",
    "internal_status", "tool", "model", "q", "since", "until", "sort", "order",
)  # fmt: skip
_MAX_FILTERED_PAIRS = 8
_TIME_FILTERS = frozenset({"since", "until"})


def report_task(report: Report) -> Operation[TaskRecord]:
    """Return the operation that records a report. Its result is complete, whatever the response lacks."""
    request = report_task_endpoint._get_kwargs(
        report.agent_id, body=models.TaskReport(), x_reported_at=report.reported_at
    )
    operation = _operation("report_task", request, lambda body, _: read_reported_task(body, report), report)
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
    operation = _operation(
        "get_health", get_health_endpoint._get_kwargs(), lambda body, _: report_fields.read_supported_fields(body)
    )
    return evolve(operation, report_id=report_id)


def invalid_report(agent_id: object) -> Operation[None]:
    """Return the operation of a report with the body `[]`. A report is an object, so no backend can record it."""
    request = report_task_endpoint._get_kwargs(parse_id("agent_id", agent_id), body=models.TaskReport())
    return evolve(_operation("report_task", request, lambda body, _: None), content=b"[]")


def list_span_refusals() -> Operation[None]:
    """Return the operation that lists the refused spans of the key's organization."""
    return Operation(name="list_span_refusals", method="GET", url="/v1/traces/refusals", parse=lambda body, _: None)


def get_task(task_id: object) -> Operation[TaskRecord]:
    """Return the operation that loads a task.

    Raises:
        ValueError: The id is invalid.
    """
    run_id = parse_id("task_id", task_id)
    return _operation("get_task", get_task_endpoint._get_kwargs(run_id), lambda body, _: read_loaded_task(body, run_id))


def list_agent_tasks(agent_id: object, filters: Filters, limit: int | None, cursor: str | None) -> Operation[Page]:
    """Return the operation that lists tasks of an agent; raise `ValueError` for an invalid id or filter."""
    request = list_agent_tasks_endpoint._get_kwargs(parse_id("agent_id", agent_id))
    return _operation("list_agent_tasks", {**request, "params": _page_parameters(filters, limit, cursor)}, _page)


def list_user_tasks(user_id: object, filters: Filters, limit: int | None, cursor: str | None) -> Operation[Page]:
    """Return the operation that lists tasks of a user; raise `ValueError` for an invalid id or filter."""
    request = list_user_tasks_endpoint._get_kwargs(parse_id("user_id", user_id))
    return _operation("list_user_tasks", {**request, "params": _page_parameters(filters, limit, cursor)}, _page)


def get_agent_metrics(
    agent_id: str, since: datetime | None, until: datetime | None, by: str | None
) -> Operation[models.AgentMetrics]:
    """Return the operation that loads the metrics of an agent."""
    request = get_agent_metrics_endpoint._get_kwargs(agent_id)
    request["params"] = _metrics_parameters(since, until, by)
    return _operation("get_agent_metrics", request, lambda body, _: models.AgentMetrics.from_dict(body))


def get_organization_metrics(
    since: datetime | None, until: datetime | None, by: str | None
) -> Operation[models.OrganizationMetrics]:
    """Return the operation that loads the metrics of the organization."""
    request = get_organization_metrics_endpoint._get_kwargs()
    request["params"] = _metrics_parameters(since, until, by)
    return _operation("get_organization_metrics", request, lambda body, _: models.OrganizationMetrics.from_dict(body))


def _metrics_parameters(since: datetime | None, until: datetime | None, by: str | None) -> dict[str, str]:
    if by not in (None, "hour", "day"):
        raise ValueError(f"by must be 'hour', 'day' or None, got {by!r}")
    times = {"since": since, "until": until}
    parameters = {"by": by, **{name: None if time is None else time.isoformat() for name, time in times.items()}}
    return {name: value for name, value in parameters.items() if value is not None}


def _operation(
    name: str, request: dict[str, Any], parse: Callable[[Any, Mapping[str, str]], T], report: Report | None = None
) -> Operation[T]:
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


def _page(body: Any, headers: Mapping[str, str]) -> Page:
    if not isinstance(body, list):
        raise TypeError("a history must be an array")
    return Page([models.TaskListItem.from_dict(item) for item in body], headers.get("x-next-cursor"))


def _page_parameters(filters: Filters, limit: int | None, cursor: str | None) -> dict[str, Any]:
    if not isinstance(filters, Mapping):
        raise ValueError(f"filters must be a dict, got {type(filters).__name__}")
    unknown = set(filters) - set(FILTERS)
    if unknown:
        raise ValueError(f"filters must have keys of {', '.join(FILTERS)}, got {', '.join(sorted(map(repr, unknown)))}")
    values = {name: value for name, value in filters.items() if value is not None}
    for name in _TIME_FILTERS & values.keys():
        if (time := parse_datetime(f"filters[{name!r}]", values[name])) is not None:
            values[name] = time.isoformat()
    if (pairs := values.pop("metadata", None)) is not None:
        pairs = _metadata_parameter(pairs)
    if (is_stale := values.pop("is_stale", None)) is not None and not isinstance(is_stale, bool):
        raise ValueError(f"filters['is_stale'] must be True, False or None, got {type(is_stale).__name__}")
    for name, value in values.items():
        if not isinstance(value, str):
            raise ValueError(f"filters[{name!r}] must be a str, got {type(value).__name__}")
    if (status := values.get("status")) is not None and status not in list(models.TaskStatus):
        raise ValueError(f"filters['status'] must be one of {', '.join(models.TaskStatus)}, got {status!r}")
    return {
        **{name: str(getattr(value, "value", value)) for name, value in values.items()},
        **({"metadata": pairs} if pairs else {}),
        **({"is_stale": str(is_stale).lower()} if is_stale is not None else {}),
        **({"limit": limit} if limit is not None else {}),
        **({"cursor": cursor} if cursor is not None else {}),
    }


def _metadata_parameter(pairs: Any) -> list[str]:
    if not isinstance(pairs, Mapping):
        raise ValueError(f"filters['metadata'] must be a mapping of names to texts, got {type(pairs).__name__}")
    if len(pairs) > _MAX_FILTERED_PAIRS:
        raise ValueError(f"filters['metadata'] must contain at most {_MAX_FILTERED_PAIRS} pairs, got {len(pairs)}")
    return [f"{name}={text}" for name, text in parse_metadata("filters['metadata']", pairs).items()]
