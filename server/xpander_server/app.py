"""The application: the contract's operations over a store, whoever calls it and however."""

import logging
import re
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from contextlib import nullcontext
from importlib.metadata import version
from typing import Any

import anyio
import msgspec
from attrs import frozen
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from xpander_server import contract, metrics, views
from xpander_server.access import Access
from xpander_server.contract import Operation, Report
from xpander_server.errors import Problem, Refusal, invalid
from xpander_server.running import Runner
from xpander_server.store import Page, Question, Store, StoreUnavailable, Submission, Totals
from xpander_server.tasks import Conflict, Task, microseconds

MAX_BODY = 4 * 1024 * 1024  # bytes, as the contract says
PAGE = 1_000  # tasks, as the contract says
_REQUEST_ID = re.compile(rb"[\x21-\x7e]{1,128}")
_HOURS = {None: None, "hour": 1, "day": 24}
_RETRY_AFTER = {"Retry-After": "1"}

_log = logging.getLogger(__name__)


def create_app(
    store: Store,
    access: Access,
    run: Runner,
    *,
    report: Callable[[Submission], Awaitable[Task]] | None = None,
    body_seconds: float | None = None,
    clock: Callable[[], int] = lambda: time.time_ns() // 1_000,
) -> ASGIApp:
    """The contract's operations over `store`.

    Args:
        run: how to call the store.
        report: how to have a report committed. Default: by `run`, in a transaction of its own.
        body_seconds: how long a body may take to arrive; None for no limit, and for no event loop.
        clock: microseconds since 1970 (UTC).
    """
    api = _Api(store, run, report, clock)
    handlers: dict[str, _Handler] = {
        "reportTask": api.report_task,
        "getTask": api.get_task,
        "listTasks": api.list_tasks,
        "listAgentTasks": api.list_tasks,
        "listUserTasks": api.list_tasks,
        "getAgentMetrics": api.get_agent_metrics,
        "getOrganizationMetrics": api.get_organization_metrics,
        "getHealth": api.get_health,
    }
    routes: list[BaseRoute] = [
        Route("/openapi.yaml", _served(contract.text("yaml"), "application/yaml")),
        Route("/openapi.json", _served(contract.text("json"), contract.JSON)),
    ]
    for name, operation in contract.operations().items():
        endpoint = _Endpoint(operation, handlers[name], access, body_seconds)
        routes.append(Route(operation.path, endpoint.answer, methods=[operation.method]))
        if operation.needs_key:
            # Self-hosted controllers have the organisation in front.
            routes.append(Route("/{organization_id}" + operation.path, endpoint.answer, methods=[operation.method]))
    app = Starlette(routes=routes, exception_handlers={HTTPException: _http_exception})
    app.router.redirect_slashes = False
    return _Frame(app)


@frozen
class _Call:
    """A request that was let in, and is as the contract says."""

    organization_id: str
    given: dict[str, Any]
    report: Report


_Handler = Callable[[_Call], Awaitable[Response]]


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
        self._report = report or (lambda submission: run(lambda: store.report(submission)))
        self._clock = clock

    async def report_task(self, call: _Call) -> Response:
        submission = Submission(
            call.organization_id,
            call.given["agent_id"],
            call.report.get("id") or str(uuid.uuid4()),
            call.report,
            reported_at=call.given.get("x-reported-at"),
            now=self._clock(),
        )
        task = await self._report(submission)
        return _json(views.task(task))

    async def get_task(self, call: _Call) -> Response:
        task_id = call.given["task_id"]
        task = await self._run(lambda: self._store.task(call.organization_id, task_id))
        if task is None:
            raise Refusal(404, f"There is no task {task_id!r} in this organisation.")
        return _json(views.task(task))

    async def list_tasks(self, call: _Call) -> Response:
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
        return _json([views.list_item(task) for task in found.tasks], headers=headers)

    async def get_agent_metrics(self, call: _Call) -> Response:
        agent_id = call.given["agent_id"]
        summary, _ = await self._metrics(call, agent_id)
        return _json({"agent_id": agent_id, **summary})

    async def get_organization_metrics(self, call: _Call) -> Response:
        summary, totals = await self._metrics(call, None)
        return _json({**summary, "agents": metrics.agents(totals.amounts)})

    async def _metrics(self, call: _Call, agent_id: str | None) -> tuple[dict[str, Any], Totals]:
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

    async def get_health(self, call: _Call) -> Response:
        await self._run(self._store.ping)
        return _json({"status": "ok", "version": version("xpander-report")})


class _Endpoint:
    """One operation: lets a request in, checks it against the contract, and turns every outcome into an answer."""

    def __init__(self, operation: Operation, handler: _Handler, access: Access, body_seconds: float | None) -> None:
        self._operation = operation
        self._handler = handler
        self._access = access
        self._body_seconds = body_seconds

    async def answer(self, request: Request) -> Response:
        try:
            return await self._handler(await self._read(request))
        except Refusal as refusal:
            return _refused(refusal.status, refusal.detail, refusal.headers)
        except Conflict as conflict:
            return _refused(409, str(conflict))
        except StoreUnavailable as unavailable:
            _log.error("the store does not answer: %s", unavailable)
            return _refused(503, "The store does not answer.", _RETRY_AFTER)
        except ClientDisconnect:
            return _refused(400, "The body ended early.")
        except Exception:
            _log.exception("%s %s failed", request.method, self._operation.path)
            return _refused(500, "Internal server error.")

    async def _read(self, request: Request) -> _Call:
        # Who asks comes first: a stranger learns nothing of what would be valid.
        organization_id = await self._access.organization(request.headers) if self._operation.needs_key else ""
        segments = dict(request.path_params)
        if (named := segments.pop("organization_id", None)) is not None and not _is(named, organization_id):
            raise Refusal(403, f"The key does not belong to {named[:100]!r}, the organisation in front of the path.")
        given = self._operation.read_parameters(segments, request.query_params.multi_items(), request.headers.items())
        report: Report = {}
        if self._operation.has_body:
            report = self._operation.read_body(await self._body(request))
        return _Call(organization_id, given, report)

    async def _body(self, request: Request) -> bytes:
        if request.headers.get("content-type", "").split(";")[0].strip().lower() != contract.JSON:
            raise Refusal(415, f"Send the body as {contract.JSON}.")
        too_large = Refusal(413, f"The body is larger than {MAX_BODY} bytes.")
        length = request.headers.get("content-length", "")
        if length.isdecimal() and int(length) > MAX_BODY:
            raise too_large
        body = bytearray()
        limit = nullcontext() if self._body_seconds is None else anyio.fail_after(self._body_seconds)
        try:
            with limit:
                async for chunk in request.stream():
                    body += chunk
                    if len(body) > MAX_BODY:
                        raise too_large
        except TimeoutError:
            raise Refusal(408, "The body did not arrive in time.", {"Connection": "close"}) from None
        return bytes(body)


class _Frame:
    """Around every request: routes by the path as it came, so that an escaped slash stays inside its segment; and gives
    the answer the `x-request-id` of the request, or one of its own."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = next((value for name, value in scope["headers"] if name == b"x-request-id"), b"")
        request_id = given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex.encode("ascii")

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), (b"x-request-id", request_id)]
            await send(message)

        await self._app({**scope, "path": scope["raw_path"].decode("latin-1")}, receive, send_with_id)


def _is(segment: str, organization_id: str) -> bool:
    try:
        return contract.segment_text(segment) == organization_id
    except UnicodeDecodeError:
        return False


def _range(given: dict[str, Any]) -> tuple[int | None, int | None]:
    """Take `since` and `until` out of what was given, as microseconds since 1970."""
    since, until = (_microseconds(name, given.pop(name, None)) for name in ("since", "until"))
    return since, until


def _microseconds(name: str, given: str | None) -> int | None:
    try:
        return None if given is None else microseconds(given)
    except ValueError:
        raise invalid("query", name, "is no time of the calendar", "format") from None


def _json(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(msgspec.json.encode(value), status, headers, media_type=contract.JSON)


def _refused(status: int, detail: str | list[Problem], headers: Mapping[str, str] | None = None) -> Response:
    return _json({"detail": detail}, status, headers)


async def _http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _refused(error.status_code, f"{error.detail}.", error.headers)


def _served(body: bytes, media_type: str) -> Callable[[Request], Awaitable[Response]]:
    async def answer(_: Request) -> Response:
        return Response(body, media_type=media_type)

    return answer
