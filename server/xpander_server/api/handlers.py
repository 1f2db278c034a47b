"""Handlers of the contract's operations, one method for each."""

import uuid
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from typing import Any, Protocol, cast

from starlette.responses import Response

from xpander_server import contract
from xpander_server.api import serializers
from xpander_server.api.endpoint import Handler, OperationRequest
from xpander_server.api.execution_reports import report_from_execution
from xpander_server.api.responses import http_error, json_response
from xpander_server.clock import SECOND, format_timestamp, parse_timestamp
from xpander_server.contract import BatchReport, Report
from xpander_server.domain import metrics
from xpander_server.domain.task import Task
from xpander_server.http.concurrency import BlockingRunner, ListRunner
from xpander_server.http.errors import HTTPError, validation_error
from xpander_server.store import ErasureSelection, MetricsResult, Store, StoreUnavailable, Submission, TaskQuery

MAX_REPORTS = 256
"""Reports in one batch; the maximum of `reports` in the contract."""
MAX_PAGE_SIZE = 1_000
"""Tasks in one page of a list; the default and the maximum of `limit` in the contract."""
BATCH_HEADERS = {"x-report-batch": str(MAX_REPORTS)}
"""Headers that tell the clients of `reportTask` that this server has `reportTasks`."""
_BUCKET_HOURS = {None: None, "hour": 1, "day": 24}


class ReportWriter(Protocol):
    """Storage of reports, as `store.Writer` implements it."""

    async def report(self, submission: Submission) -> Task:
        """Store a report durably, and return its task, or raise the reason for which it is not stored."""
        ...

    async def report_all(self, submissions: Sequence[Submission]) -> Sequence[Task | Exception]:
        """Store reports durably in their order; return for each its task, or the reason why it is not stored."""
        ...


class _DirectWriter:
    """Storage of reports in one transaction for each request."""

    def __init__(self, store: Store, run: BlockingRunner) -> None:
        self._store = store
        self._run = run

    async def report(self, submission: Submission) -> Task:
        return await self._run(lambda: self._store.report(submission))

    async def report_all(self, submissions: Sequence[Submission]) -> Sequence[Task | Exception]:
        return await self._run(lambda: self._store.report_all(submissions))


class OperationHandlers:
    """Operations of the contract on one store. The arguments are those of `create_app`."""

    def __init__(
        self,
        store: Store,
        run: BlockingRunner,
        run_list: ListRunner,
        writer: ReportWriter | None,
        clock: Callable[[], int],
        stale_after: int,
    ) -> None:
        self._store = store
        self._run = run
        self._run_list = run_list
        self._writer: ReportWriter = writer or _DirectWriter(store, run)
        self._clock = clock
        self._stale_after = stale_after

    def by_operation_id(self) -> Mapping[str, Handler]:
        """Return the handlers by the contract's operationId."""
        return {
            "reportTask": self.report_task,
            "reportTasks": self.report_tasks,
            "reportExecution": self.report_execution,
            "getTask": self.get_task,
            "eraseTask": self.erase_task,
            "listTasks": self.list_tasks,
            "listAgentTasks": self.list_tasks,
            "listUserTasks": self.list_tasks,
            "getAgentMetrics": self.get_agent_metrics,
            "getOrganizationMetrics": self.get_organization_metrics,
            "getHealth": self.get_health,
        }

    async def report_task(self, request: OperationRequest) -> Response:
        """Store a report and return its task."""
        return await self._store_report(request, request.body)

    async def report_execution(self, request: OperationRequest) -> Response:
        """Store a report in the form of the official SDK's `report_metrics`."""
        return await self._store_report(request, report_from_execution(request.body))

    async def _store_report(self, request: OperationRequest, report: Report) -> Response:
        agent_id, reported_at = request.parameters["agent_id"], request.parameters.get("x-reported-at")
        submission = _submission(request.organization_id, agent_id, report, reported_at, self._clock())
        task = await self._writer.report(submission)
        if not request.may_read:
            # Whoever may not read tasks learns only what the report alone states.
            task = submission.merge_into(None)
        return json_response(serializers.task(task, self._stale_before()), headers=BATCH_HEADERS)

    async def report_tasks(self, request: OperationRequest) -> Response:
        """Store a batch of reports, and return the outcome of each."""
        reports: list[BatchReport | HTTPError] = request.body
        request.charge(len(reports))
        now = self._clock()
        submissions = [
            _batch_submission(request.organization_id, report, now)
            for report in reports
            if not isinstance(report, HTTPError)
        ]
        tasks = await self._writer.report_all(submissions) if submissions else []
        unavailable = [task for task in tasks if isinstance(task, StoreUnavailable)]
        if unavailable and len(unavailable) == len(reports):
            raise unavailable[0]
        if not request.may_read:
            tasks = _without_stored_values(submissions, tasks)
        stored = iter(tasks)
        results = [report if isinstance(report, HTTPError) else next(stored) for report in reports]
        stale_before = self._stale_before()
        return json_response({"outcomes": [_outcome(result, stale_before) for result in results]})

    async def get_task(self, request: OperationRequest) -> Response:
        """Return one task."""
        task_id = request.parameters["task_id"]
        task = await self._run(lambda: self._store.task(request.organization_id, task_id))
        if task is None:
            raise HTTPError(404, f"There is no task {task_id!r} in this organization.")
        return json_response(serializers.task(task, self._stale_before()))

    async def erase_task(self, request: OperationRequest) -> Response:
        """Erase the contents of one task; its metrics stay."""
        task_id = request.parameters["task_id"]
        selection = ErasureSelection(organization_id=request.organization_id, task_id=task_id)
        now = self._clock()
        if not await self._run(lambda: self._store.erase(selection, actor=request.caller or "embedded", now=now)):
            raise HTTPError(404, f"There is no task {task_id!r} in this organization.")
        return Response(status_code=204)

    async def list_tasks(self, request: OperationRequest) -> Response:
        """Return a page of tasks of the organization, of an agent or of a user: the path's parameters are filters."""
        filters = dict(request.parameters)
        limit, cursor = filters.pop("limit", MAX_PAGE_SIZE), filters.pop("cursor", None)
        since, until = _pop_time_range(filters)
        sort, order = filters.pop("sort", None), filters.pop("order", None)
        stale_before = self._stale_before()
        query = TaskQuery(
            organization_id=request.organization_id,
            filters=filters,
            since=since,
            until=until,
            stale_before=stale_before,
            oldest_first=order == "asc",
        )

        def respond() -> Response:
            sorted_since = None
            try:
                if sort is None:
                    page = self._store.history(query, limit=limit, cursor=cursor)
                else:
                    page, sorted_since = self._store.sorted_history(query, sort, limit=limit, cursor=cursor)
            except ValueError as error:
                raise validation_error("query", "cursor", str(error), "cursor") from None
            headers = {} if page.next_cursor is None else {"x-next-cursor": page.next_cursor}
            if sorted_since is not None:
                headers["x-sorted-since"] = format_timestamp(sorted_since)
            # Encoded in the worker thread too, because a page has up to 8 MiB.
            return json_response([serializers.list_item(task, stale_before) for task in page.tasks], headers=headers)

        return await self._run_list(request.organization_id, respond)

    async def get_agent_metrics(self, request: OperationRequest) -> Response:
        """Return the metrics of one agent."""
        agent_id = request.parameters["agent_id"]
        summary, _ = await self._read_metrics(request, agent_id)
        return json_response({"agent_id": agent_id, **summary})

    async def get_organization_metrics(self, request: OperationRequest) -> Response:
        """Return the metrics of the organization, and of each of its agents."""
        summary, result = await self._read_metrics(request, None)
        return json_response({**summary, "agents": metrics.summarize_agents(result.amounts, result.other_names)})

    async def _read_metrics(
        self, request: OperationRequest, agent_id: str | None
    ) -> tuple[dict[str, Any], MetricsResult]:
        since, until = _pop_time_range(dict(request.parameters))
        hours = _BUCKET_HOURS.get(request.parameters.get("by"))
        result = await self._run(
            lambda: self._store.metrics(request.organization_id, agent_id, since=since, until=until, hours=hours)
        )
        summary = {
            "organization_id": request.organization_id,
            "since": format_timestamp(since),
            "until": format_timestamp(until),
            **metrics.summarize(result.amounts, result.other_names),
            "series": None if result.series is None else [serializers.point(*point) for point in result.series],
        }
        return summary, result

    def _stale_before(self) -> int:
        return self._clock() - self._stale_after

    async def get_health(self, request: OperationRequest) -> Response:
        """Return the version, if the store can be read and written (readiness)."""
        failed_part = await self._run(self._store.health.failed_part)
        if failed_part is not None:
            raise HTTPError(503, f"The store cannot be {failed_part}.", {"Retry-After": "1"})
        return json_response(
            {
                "status": "ok",
                "version": version("xpander-report"),
                "report_batch": MAX_REPORTS,
                "stale_after": self._stale_after / SECOND,
                "report_fields": contract.extended_report_fields(),
            }
        )


def _batch_submission(organization_id: str, report: BatchReport, now: int) -> Submission:
    fields = cast(dict[str, Any], report)
    agent_id, reported_at = fields.pop("agent_id"), fields.pop("reported_at", None)
    # int(): JSON Schema accepts 1767605400000001.0 as an integer.
    return _submission(organization_id, agent_id, report, None if reported_at is None else int(reported_at), now)


def _submission(organization_id: str, agent_id: str, report: Report, reported_at: int | None, now: int) -> Submission:
    task_id = report.get("id") or str(uuid.uuid4())
    return Submission(organization_id, agent_id, task_id, report, reported_at=reported_at, now=now)


def _without_stored_values(
    submissions: Sequence[Submission], tasks: Sequence[Task | Exception]
) -> list[Task | Exception]:
    """Return the tasks as the batch alone states them, for a caller who may not read tasks."""
    stated: dict[str, Task] = {}
    results: list[Task | Exception] = []
    for submission, task in zip(submissions, tasks, strict=True):
        if isinstance(task, Exception):
            results.append(task)
            continue
        stated[submission.task_id] = submission.merge_into(stated.get(submission.task_id))
        results.append(stated[submission.task_id])
    return results


def _outcome(result: Task | Exception, stale_before: int) -> dict[str, Any]:
    """Return the contract's `ReportOutcome`."""
    if isinstance(result, Task):
        return {"status": 200, "task": serializers.reported_task(result, stale_before)}
    error = http_error(result, "POST")
    outcome: dict[str, Any] = {"status": error.status, "error": {"detail": error.detail}}
    if "Retry-After" in error.headers:
        outcome["retry_after"] = int(error.headers["Retry-After"])
    return outcome


def _pop_time_range(parameters: dict[str, Any]) -> tuple[int | None, int | None]:
    """Remove `since` and `until` from the parameters and return them in microseconds since 1970."""
    since, until = (_parse_time(name, parameters.pop(name, None)) for name in ("since", "until"))
    return since, until


def _parse_time(name: str, text: str | None) -> int | None:
    try:
        return None if text is None else parse_timestamp(text)
    except ValueError:
        raise validation_error("query", name, "is not a time that exists in the calendar", "format") from None
