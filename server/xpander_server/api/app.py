"""ASGI application of the server: routes, and the handler of each operation.

A request passes through these functions, from top to bottom:

    http.dispatcher.Dispatcher        request id, security headers, metrics
    api.responses.handle_errors       exceptions → error responses of the contract
    api.endpoint.Endpoint             authentication, parameters, body
    api.handlers.OperationHandlers    the operation on the store
    api.serializers                   stored values → JSON of the contract
"""

from collections.abc import Callable, Sequence

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from xpander_server import contract
from xpander_server.api.body_reader import BodyReader, without_isolation
from xpander_server.api.endpoint import Endpoint
from xpander_server.api.handlers import OperationHandlers, ReportWriter
from xpander_server.api.request_body import BodyMemory
from xpander_server.api.responses import error_response, handle_errors, static_response
from xpander_server.api.span_refusals import PATH as REFUSALS_PATH
from xpander_server.api.span_refusals import SpanRefusals
from xpander_server.api.trace_export import DirectSpanRecorder, SpanRecorder, TraceExport, trace_routes
from xpander_server.auth.authentication import Authenticator
from xpander_server.clock import now
from xpander_server.domain.task import STALE_AFTER
from xpander_server.http.concurrency import BlockingRunner, ListRunner, without_limits
from xpander_server.http.dispatcher import Dispatcher, RequestObserver
from xpander_server.http.forwarded import TrustedProxies
from xpander_server.store import Store

MAX_BODIES_BYTES = 256 * 1024 * 1024
"""Bytes of all bodies that arrive or wait to be decoded; one organization may use a half of them."""


def create_app(
    store: Store,
    authenticator: Authenticator,
    run: BlockingRunner,
    *,
    writer: ReportWriter | None = None,
    run_list: ListRunner | None = None,
    body_timeout: float | None = None,
    read_large: BodyReader | None = None,
    span_writer: SpanRecorder | None = None,
    run_spans: BlockingRunner | None = None,
    clock: Callable[[], int] = now,
    extra_routes: Sequence[BaseRoute] = (),
    observer: RequestObserver | None = None,
    proxies: TrustedProxies | None = None,
    root_path: str = "",
    stale_after: int = STALE_AFTER,
) -> Dispatcher:
    """Return the ASGI application that answers the contract's operations from `store`.

    Args:
        store: Tasks, metrics and keys.
        authenticator: Identifies the caller of a request and checks its scopes.
        run: Executes calls of the store, inline or in a worker thread.
        writer: Stores reports. Default: `run` with a transaction for each request.
        run_list: Executes lists and searches. Default: `run`, without limits.
        body_timeout: Seconds in which a body must arrive. None for no limit, and for use without an event loop.
        read_large: Decodes and validates large bodies. Default: `run`, in this process.
        span_writer: Stores spans. Default: `run` with a transaction for each request.
        run_spans: Executes the decoding of exports of traces. Default: `run`.
        clock: Returns the current time in microseconds since 1970 (UTC).
        extra_routes: Routes outside the contract, such as the web pages.
        observer: Called after each request.
        proxies: Proxies whose statements about the client are trusted.
        root_path: Path below which a proxy publishes the server. Default: none.
        stale_after: Time without a change after which an executing task is stale, in microseconds.
    """
    read_large, memory = read_large or without_isolation(run), BodyMemory(MAX_BODIES_BYTES)
    handlers = OperationHandlers(
        store, run, run_list or without_limits(run), writer, clock, stale_after
    ).by_operation_id()
    # The dispatcher tries the routes in this order. The contract lists the most frequent operation first.
    plain_routes: list[Route] = []
    prefixed_routes: list[Route] = []
    for name, operation in contract.operations().items():
        endpoint = Endpoint(operation, handlers[name], authenticator, body_timeout, read_large, memory)
        handle = handle_errors(endpoint.handle)
        plain_routes.append(Route(operation.path, handle, methods=[operation.method]))
        if operation.scope is not None:
            # Clients of self-hosted controllers prefix the path with their organization.
            prefixed_routes.append(Route("/{organization_id}" + operation.path, handle, methods=[operation.method]))
    contract_routes: list[BaseRoute] = [
        Route("/openapi.yaml", static_response(contract.document("yaml"), "application/yaml")),
        Route("/openapi.json", static_response(contract.document("json"), contract.JSON)),
    ]
    trace_export = TraceExport(
        span_writer or DirectSpanRecorder(store, run),
        authenticator,
        body_timeout,
        run_spans or run,
        clock,
        memory,
    )
    refusals = handle_errors(SpanRefusals(store, authenticator, run, clock).handle)
    refusal_routes = [Route(REFUSALS_PATH, refusals, methods=["GET"])]
    operation_routes = [*plain_routes, *prefixed_routes]
    # Starlette gets the operations too, to answer 405 if the path of an operation is used with another method.
    fallback = Starlette(
        routes=[*operation_routes, *contract_routes, *extra_routes, *refusal_routes, *trace_routes(trace_export)],
        exception_handlers={HTTPException: _handle_http_exception},
    )
    fallback.router.redirect_slashes = False
    return Dispatcher(operation_routes, fallback, observer, proxies, root_path)


async def _handle_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return error_response(error.status_code, f"{error.detail}.", error.headers)
