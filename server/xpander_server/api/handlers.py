"""Handlers of the contract's operations, one method for each."""

import uuid
from collections.abc import Awaitable, Callable, Mapping
from importlib.metadata import version
from typing import Any

from starlette.responses import Response

from xpander_server.api import serializers
from xpander_server.api.endpoint import Handler, OperationRequest
from xpander_server.api.execution_reports import report_from_execution
from xpander_server.api.responses import json_response
from xpander_server.clock import format_timestamp, parse_timestamp
from xpander_server.contract import Report
from xpander_server.domain import metrics
from xpander_server.domain.task import Task
from xpander_server.http.concurrency import BlockingRunner, ListRunner
from xpander_server.http.errors import HTTPError, validation_error
from xpander_server.store import MetricsResult, Store, Submission, TaskQuery

MAX_PAGE_SIZE = 1_000
"""Tasks in one page of a list; the default and the maximum of `limit` in the contract."""
_BUCKET_HOURS = {None: None, "hour": 1, "day": 24}


class OperationHandlers:
    """Operations of the contract on one store. The arguments are those of `create_app`."""

    def __init__(
        self,
        store: Store,
        run: BlockingRunner,
        run_list: ListRunner,
        commit: Callable[[Submission], Awaitable[Task]] | None,
        clock: Callable[[], int],
    ) -> None:
        self._store = store
        self._run = run
        self._run_list = run_list
        self._commit = commit or (lambda submission: run(lambda: store.report(submission)))
        self._clock = clock

    def by_operation_id(self) -> Mapping[str, Handler]:
        """Return the handlers by the contract's operationId."""
        return {
            "reportTask": self.report_task,
            "reportExecution": self.report_execution,
            "getTask": self.get_task,
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
        submission = Submission(
            request.organization_id,
            request.parameters["agent_id"],
            report.get("id") or str(uuid.uuid4()),
            report,
            reported_at=request.parameters.get("x-reported-at"),
            now=self._clock(),
        )
        task = await self._commit(submission)
        if not request.may_read:
            # Whoever may not read tasks learns only what the report alone states.
            task = submission.merge_into(None)
        return json_response(serializers.task(task))

    async def get_task(self, request: OperationRequest) -> Response:
        """Return one task."""
        task_id = request.parameters["task_id"]
        task = await self._run(lambda: self._store.task(request.organization_id, task_id))
        if task is None:
            raise HTTPError(404, f"There is no task {task_id!r} in this organization.")
        return json_response(serializers.task(task))

    async def list_tasks(self, request: OperationRequest) -> Response:
        """Return a page of tasks of the organization, of an agent or of a user: the path's parameters are filters."""
        filters = dict(request.parameters)
        limit, cursor = filters.pop("limit", MAX_PAGE_SIZE), filters.pop("cursor", None)
        since, until = _pop_time_range(filters)
        query = TaskQuery(organization_id=request.organization_id, filters=filters, since=since, until=until)

        def respond() -> Response:
            try:
                page = self._store.history(query, limit=limit, cursor=cursor)
            except ValueError as error:
                raise validation_error("query", "cursor", str(error), "cursor") from None
            headers = {} if page.next_cursor is None else {"x-next-cursor": page.next_cursor}
            # Encoded in the worker thread too, because a page has up to 8 MiB.
            return json_response([serializers.list_item(task) for task in page.tasks], headers=headers)

        return await self._run_list(request.organization_id, respond)

    async def get_agent_metrics(self, request: OperationRequest) -> Response:
        """Return the metrics of one agent."""
        agent_id = request.parameters["agent_id"]
        summary, _ = await self._read_metrics(request, agent_id)
        return json_response({"agent_id": agent_id, **summary})

    async def get_organization_metrics(self, request: OperationRequest) -> Response:
        """Return the metrics of the organization, and of each of its agents."""
        summary, result = await self._read_metrics(request, None)
        return json_response({**summary, "agents": metrics.summarize_agents(result.amounts)})

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
            **metrics.summarize(result.amounts),
            "series": None if result.series is None else [serializers.point(*point) for point in result.series],
        }
        return summary, result

    async def get_health(self, request: OperationRequest) -> Response:
        """Return the version, if the store can be read and written (readiness)."""
        failed_part = await self._run(self._store.health.failed_part)
        if failed_part is not None:
            raise HTTPError(503, f"The store cannot be {failed_part}.", {"Retry-After": "1"})
        return json_response({"status": "ok", "version": version("xpander-report")})


def _pop_time_range(parameters: dict[str, Any]) -> tuple[int | None, int | None]:
    """Remove `since` and `until` from the parameters and return them in microseconds since 1970."""
    since, until = (_parse_time(name, parameters.pop(name, None)) for name in ("since", "until"))
    return since, until


def _parse_time(name: str, text: str | None) -> int | None:
    try:
        return None if text is None else parse_timestamp(text)
    except ValueError:
        raise validation_error("query", name, "is not a time that exists in the calendar", "format") from None
