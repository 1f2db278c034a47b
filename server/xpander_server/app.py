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

from xpander_server import contract, metrics, views
from xpander_server.access import Access
from xpander_server.answers import always, as_json, refused, served
from xpander_server.auth import now
from xpander_server.contract import Report
from xpander_server.endpoint import Call, Endpoint, Handler
from xpander_server.errors import Refusal, invalid
from xpander_server.executions import as_report
from xpander_server.frame import Frame, Watch
from xpander_server.running import Runner
from xpander_server.store import Page, Question, Store, Submission, Totals
from xpander_server.tasks import Task, microseconds

PAGE = 1_000  # tasks, as the contract says
_HOURS = {None: None, "hour": 1, "day": 24}


def create_app(
    store: Store,
    access: Access,
    run: Runner,
    *,
    report: Callable[[Submission], Awaitable[Task]] | None = None,
    body_seconds: float | None = None,
    clock: Callable[[], int] = now,
    more_routes: Sequence[BaseRoute] = (),
    watch: Watch | None = None,
) -> Frame:
    """The contract's operations over `store`.

    Args:
        run: how to call the store.
        report: how to have a report committed. Default: by `run`, in a transaction of its own.
        body_seconds: how long a body may take to arrive; None for no limit, and for no event loop.
        clock: microseconds since 1970 (UTC).
        more_routes: what else is served.
        watch: is told of each request that was answered.
    """
    api = _Api(store, run, report, clock)
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
        answer = always(Endpoint(operation, handlers[name], access, body_seconds).answer)
        plain.append(Route(operation.path, answer, methods=[operation.method]))
        if operation.scope is not None:
            # Self-hosted controllers have the organisation in front.
            prefixed.append(Route("/{organization_id}" + operation.path, answer, methods=[operation.method]))
    described: list[BaseRoute] = [
        Route("/openapi.yaml", served(contract.text("yaml"), "application/yaml")),
        Route("/openapi.json", served(contract.text("json"), contract.JSON)),
    ]
    operations = [*plain, *prefixed]
    # The operations are in there as well, for what asks for one of them in a wrong way.
    app = Starlette(routes=[*operations, *described, *more_routes], exception_handlers={HTTPException: _http_exception})
    app.router.redirect_slashes = False
    return Frame(operations, app, watch)


class _Api:
    """The operations."""

    def __init__(
        self,
        store: Store,
        run: Runner,
        report: Callable[[Submission], Awaitable[Task]] | None,
        clock: Callable[[], int],
    ) -> None:
        self._store = store
        self._run = run
        self._commit = report or (lambda submission: run(lambda: store.report(submission)))
        self._clock = clock

    async def report_task(self, call: Call) -> Response:
        return await self._report(call, call.body)

    async def report_execution(self, call: Call) -> Response:
        return await self._report(call, as_report(call.body))

    async def _report(self, call: Call, report: Report) -> Response:
        submission = Submission(
            call.organization_id,
            call.given["agent_id"],
            report.get("id") or str(uuid.uuid4()),
            report,
            reported_at=call.given.get("x-reported-at"),
            now=self._clock(),
        )
        return as_json(views.task(await self._commit(submission)))

    async def get_task(self, call: Call) -> Response:
        task_id = call.given["task_id"]
        task = await self._run(lambda: self._store.task(call.organization_id, task_id))
        if task is None:
            raise Refusal(404, f"There is no task {task_id!r} in this organisation.")
        return as_json(views.task(task))

    async def list_tasks(self, call: Call) -> Response:
        filters = dict(call.given)
        limit, cursor = filters.pop("limit", PAGE), filters.pop("cursor", None)
        since, until = _range(filters)
        question = Question(organization_id=call.organization_id, filters=filters, since=since, until=until)

        def page() -> Page:
            try:
                return self._store.history(question, limit=limit, cursor=cursor)
            except ValueError as error:
                raise invalid("query", "cursor", str(error), "cursor") from None

        found = await self._run(page)
        headers = {} if found.next_cursor is None else {"x-next-cursor": found.next_cursor}
        return as_json([views.list_item(task) for task in found.tasks], headers=headers)

    async def get_agent_metrics(self, call: Call) -> Response:
        agent_id = call.given["agent_id"]
        summary, _ = await self._metrics(call, agent_id)
        return as_json({"agent_id": agent_id, **summary})

    async def get_organization_metrics(self, call: Call) -> Response:
        summary, totals = await self._metrics(call, None)
        return as_json({**summary, "agents": metrics.agents(totals.amounts)})

    async def _metrics(self, call: Call, agent_id: str | None) -> tuple[dict[str, Any], Totals]:
        since, until = _range(dict(call.given))
        hours = _HOURS.get(call.given.get("by"))
        totals = await self._run(
            lambda: self._store.metrics(call.organization_id, agent_id, since=since, until=until, hours=hours)
        )
        summary = {
            "organization_id": call.organization_id,
            "since": views.timestamp(since),
            "until": views.timestamp(until),
            **metrics.summarise(totals.amounts),
            "series": None if totals.series is None else [views.point(*point) for point in totals.series],
        }
        return summary, totals

    async def get_health(self, call: Call) -> Response:
        await self._run(self._store.ping)
        return as_json({"status": "ok", "version": version("xpander-report")})


def _range(given: dict[str, Any]) -> tuple[int | None, int | None]:
    """Take `since` and `until` out of what was given, as microseconds since 1970."""
    since, until = (_microseconds(name, given.pop(name, None)) for name in ("since", "until"))
    return since, until


def _microseconds(name: str, given: str | None) -> int | None:
    try:
        return None if given is None else microseconds(given)
    except ValueError:
        raise invalid("query", name, "is no time of the calendar", "format") from None


async def _http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return refused(error.status_code, f"{error.detail}.", error.headers)
