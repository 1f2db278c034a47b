"""The application: the contract's operations over a store, whoever calls it and however."""

import uuid
from collections.abc import Awaitable, Callable, Sequence
from importlib.metadata import version
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from xpander_server import contract
from xpander_server.api import serializers
from xpander_server.api.endpoint import Endpoint, Handler, OperationRequest
from xpander_server.api.execution_reports import report_from_execution
from xpander_server.api.responses import error_response, handle_errors, json_response, static_response
from xpander_server.auth.authentication import Authenticator
from xpander_server.clock import format_timestamp, now, parse_timestamp
from xpander_server.contract import Report
from xpander_server.domain import metrics
from xpander_server.domain.task import Task
from xpander_server.http.concurrency import BlockingRunner
from xpander_server.http.dispatcher import Dispatcher, RequestObserver
from xpander_server.http.errors import HTTPError, validation_error
from xpander_server.store import MetricsResult, Page, Store, Submission, TaskQuery

PAGE = 1_000  # tasks, as the contract says
_HOURS = {None: None, "hour": 1, "day": 24}


def create_app(
    store: Store,
    authenticator: Authenticator,
    run: BlockingRunner,
    *,
    commit: Callable[[Submission], Awaitable[Task]] | None = None,
    body_timeout: float | None = None,
    clock: Callable[[], int] = now,
    extra_routes: Sequence[BaseRoute] = (),
    observer: RequestObserver | None = None,
) -> Dispatcher:
    """The contract's operations over `store`.

    Args:
        run: how to call the store.
        commit: how to have a report committed. Default: by `run`, in a transaction of its own.
        body_timeout: how long a body may take to arrive; None for no limit, and for no event loop.
        clock: microseconds since 1970 (UTC).
        extra_routes: what else is served.
        observer: is told of each request that was answered.
    """
    api = _Api(store, run, commit, clock)
    handlers: dict[str, Handler] = {
        "reportTask": api.report_task,
        "reportExecution": api.report_execution,
        "getTask": api.get_task,
        "listTasks": api.list_tasks,
        "listAgentTasks": api.list_tasks,
        "listUserTasks": api.list_tasks,
        "getAgentMetrics": api.get_agent_metrics,
        "getOrganizationMetrics": api.get_organization_metrics,
        "getHealth": api.get_health,
    }
    # Looked through in this order: what is asked most comes first.
    plain: list[Route] = []
    prefixed: list[Route] = []
    for name, operation in contract.operations().items():
        answer = handle_errors(Endpoint(operation, handlers[name], authenticator, body_timeout).answer)
        plain.append(Route(operation.path, answer, methods=[operation.method]))
        if operation.scope is not None:
            # Self-hosted controllers have the organisation in front.
            prefixed.append(Route("/{organization_id}" + operation.path, answer, methods=[operation.method]))
    described: list[BaseRoute] = [
        Route("/openapi.yaml", static_response(contract.document("yaml"), "application/yaml")),
        Route("/openapi.json", static_response(contract.document("json"), contract.JSON)),
    ]
    operations = [*plain, *prefixed]
    # The operations are in there as well, for what asks for one of them in a wrong way.
    app = Starlette(
        routes=[*operations, *described, *extra_routes], exception_handlers={HTTPException: _http_exception}
    )
    app.router.redirect_slashes = False
    return Dispatcher(operations, app, observer)


class _Api:
    """The operations."""

    def __init__(
        self,
        store: Store,
        run: BlockingRunner,
        commit: Callable[[Submission], Awaitable[Task]] | None,
        clock: Callable[[], int],
    ) -> None:
        self._store = store
        self._run = run
        self._commit = commit or (lambda submission: run(lambda: store.report(submission)))
        self._clock = clock

    async def report_task(self, request: OperationRequest) -> Response:
        return await self._report(request, request.body)

    async def report_execution(self, request: OperationRequest) -> Response:
        return await self._report(request, report_from_execution(request.body))

    async def _report(self, request: OperationRequest, report: Report) -> Response:
        submission = Submission(
            request.organization_id,
            request.parameters["agent_id"],
            report.get("id") or str(uuid.uuid4()),
            report,
            reported_at=request.parameters.get("x-reported-at"),
            now=self._clock(),
        )
        return json_response(serializers.task(await self._commit(submission)))

    async def get_task(self, request: OperationRequest) -> Response:
        task_id = request.parameters["task_id"]
        task = await self._run(lambda: self._store.task(request.organization_id, task_id))
        if task is None:
            raise HTTPError(404, f"There is no task {task_id!r} in this organisation.")
        return json_response(serializers.task(task))

    async def list_tasks(self, request: OperationRequest) -> Response:
        filters = dict(request.parameters)
        limit, cursor = filters.pop("limit", PAGE), filters.pop("cursor", None)
        since, until = _range(filters)
        question = TaskQuery(organization_id=request.organization_id, filters=filters, since=since, until=until)

        def page() -> Page:
            try:
                return self._store.history(question, limit=limit, cursor=cursor)
            except ValueError as error:
                raise validation_error("query", "cursor", str(error), "cursor") from None

        found = await self._run(page)
        headers = {} if found.next_cursor is None else {"x-next-cursor": found.next_cursor}
        return json_response([serializers.list_item(task) for task in found.tasks], headers=headers)

    async def get_agent_metrics(self, request: OperationRequest) -> Response:
        agent_id = request.parameters["agent_id"]
        summary, _ = await self._metrics(request, agent_id)
        return json_response({"agent_id": agent_id, **summary})

    async def get_organization_metrics(self, request: OperationRequest) -> Response:
        summary, totals = await self._metrics(request, None)
        return json_response({**summary, "agents": metrics.summarize_agents(totals.amounts)})

    async def _metrics(self, request: OperationRequest, agent_id: str | None) -> tuple[dict[str, Any], MetricsResult]:
        since, until = _range(dict(request.parameters))
        hours = _HOURS.get(request.parameters.get("by"))
        totals = await self._run(
            lambda: self._store.metrics(request.organization_id, agent_id, since=since, until=until, hours=hours)
        )
        summary = {
            "organization_id": request.organization_id,
            "since": format_timestamp(since),
            "until": format_timestamp(until),
            **metrics.summarize(totals.amounts),
            "series": None if totals.series is None else [serializers.point(*point) for point in totals.series],
        }
        return summary, totals

    async def get_health(self, request: OperationRequest) -> Response:
        await self._run(self._store.ping)
        return json_response({"status": "ok", "version": version("xpander-report")})


def _range(given: dict[str, Any]) -> tuple[int | None, int | None]:
    """Take `since` and `until` out of what was given, as microseconds since 1970."""
    since, until = (_microseconds(name, given.pop(name, None)) for name in ("since", "until"))
    return since, until


def _microseconds(name: str, given: str | None) -> int | None:
    try:
        return None if given is None else parse_timestamp(given)
    except ValueError:
        raise validation_error("query", name, "is no time of the calendar", "format") from None


async def _http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return error_response(error.status_code, f"{error.detail}.", error.headers)
