"""Endpoint of OTLP/HTTP for traces: `POST /v1/traces`.

An exporter of OpenTelemetry repeats a request after 429, 502, 503 and 504, and drops its spans after any other error.
So whatever may succeed later is 503 with `Retry-After`, also a body that did not arrive in time or an unexpected error.
Exporters ignore a partial success; therefore refused spans are in the log, in the metrics and in the store too.
"""

import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

from attrs import define, field
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from xpander_server.api.endpoint import require_scope
from xpander_server.api.request_body import BodyMemory, EncodedBody, media_type, read_encoded_body
from xpander_server.api.responses import error_response, handle_errors
from xpander_server.auth.api_keys import REPORT
from xpander_server.auth.authentication import Authenticator
from xpander_server.contract import JSON
from xpander_server.http.concurrency import BlockingRunner
from xpander_server.http.dispatcher import request_state
from xpander_server.http.errors import HTTPError
from xpander_server.store import Cause, SpanBatch, SpanRefusal, Store, StoreUnavailable, new_refusal

if TYPE_CHECKING:
    from xpander_server.api.otlp import DecodedExport

PATH = "/v1/traces"
PROTOBUF = "application/x-protobuf"
"""Media type of an export that is not JSON."""
MAX_BYTES = 64 * 1024 * 1024
"""Largest body, compressed and decompressed."""
_MAX_AGENT = 255
_CAUSES: Mapping[int, Cause] = {400: "invalid_export", 413: "too_large", 415: "media_type"}
"""Causes of a refusal by the status of the response."""
_TOO_MANY_SPANS = "their traces have too many spans"
_LOG_SECONDS = 60.0
_RETRY = {"Retry-After": "2"}
_ONLY_TRACES = f"This server records traces only: POST {PATH}. Turn the exporters of logs and metrics off."
_WRONG_PATH = (
    f"Traces are received at {PATH}: end OTEL_EXPORTER_OTLP_TRACES_ENDPOINT, or the endpoint argument, with it."
)

_log = logging.getLogger(__name__)


class SpanRecorder(Protocol):
    """Storage of spans, as `store.SpanWriter` implements it."""

    async def record(self, batch: SpanBatch) -> int:
        """Store spans durably, and return the number of refused ones."""
        ...

    async def refuse(self, refusal: SpanRefusal) -> None:
        """Store that spans were refused, by `record` or before."""
        ...


class DirectSpanRecorder:
    """Storage of spans in one transaction for each request."""

    def __init__(self, store: Store, run: BlockingRunner) -> None:
        self._store = store
        self._run = run

    async def record(self, batch: SpanBatch) -> int:
        """Store spans. See `SpanRecorder.record`."""
        (refused,) = await self._run(lambda: self._store.commit_spans([batch]))
        return refused

    async def refuse(self, refusal: SpanRefusal) -> None:
        """Store that spans were refused, unless the store does not respond."""
        with suppress(StoreUnavailable):
            await self._run(lambda: self._store.span_refusals.add([refusal]))


class TraceExport:
    """Endpoint that stores the spans of an export.

    Args:
        recorder: Stores spans.
        authenticator: Identifies the caller.
        body_timeout: Seconds in which the body must arrive; None for no limit.
        run: Executes the decoding of bodies. A few at a time, because a decoded body may be large.
        clock: Returns the current time in microseconds since 1970.
        memory: Bounds the bytes of bodies.
    """

    def __init__(
        self,
        recorder: SpanRecorder,
        authenticator: Authenticator,
        body_timeout: float | None,
        run: BlockingRunner,
        clock: Callable[[], int],
        memory: BodyMemory,
    ) -> None:
        self._recorder = recorder
        self._authenticator = authenticator
        self._body_timeout = body_timeout
        self._run = run
        self._clock = clock
        self._memory = memory
        self._log = _RefusalLog()

    async def handle(self, request: Request) -> Response:
        """Return the response to an export.

        Raises:
            HTTPError: The request is not authorized or not valid, or should be repeated later.
        """
        request_state(request.scope).operation = "exportTraces"
        try:
            return await self._handle(request)
        except HTTPError as error:
            if error.status == 408:
                raise HTTPError(503, error.detail, {**error.headers, **_RETRY}) from None
            if cause := _CAUSES.get(error.status):
                await self._refuse(request_state(request.scope).organization_id, cause, 0, str(error.detail))
            raise

    async def _handle(self, request: Request) -> Response:
        principal = await require_scope(self._authenticator, request, REPORT, accepts_bearer=True)
        form = media_type(request)
        if form not in (JSON, PROTOBUF):
            raise HTTPError(415, f"Send the traces as {PROTOBUF} or {JSON}.")
        with self._memory.reserve(principal.organization_id) as reservation:
            body = await read_encoded_body(request, self._body_timeout, MAX_BYTES, reservation)
            export = await self._run(lambda: _decode(body, form))
        refused, reason = export.invalid_count, export.reason
        if refused:
            await self._refuse(principal.organization_id, "invalid_spans", refused, reason)
        if export.spans:
            agent = request.headers.get("x-agent-id", "").strip()
            batch = SpanBatch(
                principal.organization_id,
                export.spans,
                agent[:_MAX_AGENT] if agent.isprintable() else None,
                self._clock(),
            )
            if too_many := await self._recorder.record(batch):
                await self._refuse(principal.organization_id, "too_many_spans", too_many, _TOO_MANY_SPANS)
                refused, reason = refused + too_many, reason or _TOO_MANY_SPANS
        return Response(_encode_response(refused, reason, form), media_type=form)

    async def _refuse(self, organization_id: str, cause: Cause, spans: int, reason: str) -> None:
        if not organization_id:
            return  # the caller has no key
        refusal = new_refusal(organization_id, cause, spans, reason, self._clock())
        self._log.add(refusal)
        await self._recorder.refuse(refusal)


# The decoder is imported at the first export: most embedded stores, and many servers, never get one.


def _decode(body: EncodedBody, form: str) -> "DecodedExport":
    from xpander_server.api import otlp

    return (otlp.decode_json_export if form == JSON else otlp.decode_protobuf)(body.decode(MAX_BYTES))


def _encode_response(refused: int, reason: str, form: str) -> bytes:
    from xpander_server.api import otlp

    return (otlp.encode_json_response if form == JSON else otlp.encode_protobuf_response)(refused, reason)


def trace_routes(export: TraceExport) -> list[BaseRoute]:
    """Return the routes of OTLP/HTTP, with explanations at the paths that exporters use by mistake.

    They must be behind all other routes: the pages have `/` too.
    """

    async def explain_signal(request: Request) -> Response:
        return error_response(404, _ONLY_TRACES)

    async def explain_path(request: Request) -> Response:
        return error_response(404, _WRONG_PATH if request.method == "POST" else "Not Found.")

    return [
        Route(PATH, _retryable(handle_errors(export.handle)), methods=["POST"]),
        Route("/v1/logs", explain_signal, methods=["POST"]),
        Route("/v1/metrics", explain_signal, methods=["POST"]),
        # Every method: with another one, the path does not exist.
        Route("/", explain_path, methods=["DELETE", "GET", "PATCH", "POST", "PUT"]),
    ]


def _retryable(handler: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    """Return `handler` with 503 in place of 500, after which an exporter would drop its spans."""

    async def handle(request: Request) -> Response:
        response = await handler(request)
        if response.status_code != 500:
            return response
        return error_response(503, "Internal server error.", _RETRY)

    return handle


@define
class _Refusals:
    logged_at: float = 0.0
    requests: int = 0
    spans: int = 0


@define
class _RefusalLog:
    """Log of refused spans, with at most one record a minute for each organization."""

    _by_organization: dict[str, _Refusals] = field(factory=dict)

    def add(self, refusal: SpanRefusal) -> None:
        """Count a request of which spans, or all, were refused."""
        organization_id = refusal.organization_id
        refusals = self._by_organization.setdefault(organization_id, _Refusals())
        refusals.requests += refusal.requests
        refusals.spans += refusal.spans
        now = time.monotonic()
        if refusals.logged_at and now - refusals.logged_at < _LOG_SECONDS:
            return
        _log.warning(
            "refused spans of organization %s: %d requests with %d spans; the last reason: %s",
            organization_id, refusals.requests, refusals.spans, refusal.reason,
        )  # fmt: skip
        self._by_organization[organization_id] = _Refusals(logged_at=now)
