"""Process that answers requests: the application behind a socket, with group commit, metrics and web pages.

It is the only process of a server, or one of several workers (`supervisor`).
"""

import gc
import signal
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from types import FrameType
from typing import cast

import uvicorn
from attrs import frozen
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from xpander_server.api.app import create_app
from xpander_server.api.body_reader import IsolatingBodyReader
from xpander_server.api.body_worker import BodyWorkers
from xpander_server.api.endpoint import require_scope
from xpander_server.api.responses import handle_errors, static_response
from xpander_server.auth.api_keys import ADMIN
from xpander_server.auth.authentication import Authenticator, KeyAuthenticator
from xpander_server.auth.rate_limit import Rate
from xpander_server.auth.shared_buckets import BucketTable, SharedRateLimiter
from xpander_server.auth.verifier import Verifier
from xpander_server.domain import pricing
from xpander_server.domain.task import STALE_AFTER
from xpander_server.http.bind import BindSettings
from xpander_server.http.concurrency import FairListRunner, LimitedThreadPool, run_in_threadpool
from xpander_server.http.connection_limits import ConnectionLimits
from xpander_server.http.descriptors import reserve_connections
from xpander_server.http.dispatcher import Dispatcher, request_state
from xpander_server.http.forwarded import TrustedProxies
from xpander_server.http.protocol import HttpProtocol
from xpander_server.http.tls import TlsServer
from xpander_server.maintenance.periodic import PeriodicTask
from xpander_server.maintenance.retention import retention_task
from xpander_server.maintenance.traces import trace_task
from xpander_server.observability.logging import LogFormat
from xpander_server.observability.prometheus import MEDIA_TYPE, RequestMetrics
from xpander_server.observability.worker_metrics import WorkerMetrics
from xpander_server.store import SpanWriter, Store, Writer
from xpander_server.web import page_routes

BODY_TIMEOUT = 30.0
"""Seconds in which the body of a request must arrive."""
KEEP_ALIVE_TIMEOUT = 75
"""Seconds that an idle connection stays open. Longer than common clients keep one, so that the client closes it."""
SHUTDOWN_TIMEOUT = 10
"""Seconds that requests may take to finish after a signal."""
BUCKETS_FILE = "buckets"
"""File with the token buckets of all workers, in their shared folder."""
_PUBLISH_INTERVAL = timedelta(seconds=1)


@frozen(kw_only=True)
class ServerSettings:
    """Settings of a process that answers requests.

    Attributes:
        store_url: `sqlite:///FILE` or `postgresql://…`.
        bind: Address, TLS files and proxies.
        rate: Rate limit of each key. None for no limit.
        max_age: Age at which tasks are deleted. None keeps tasks forever.
        stale_after: Time without a change after which an executing task is stale. Default: one day.
        log_format: Format of the log.
        log_level: Least severe level in the log.
    """

    store_url: str
    bind: BindSettings
    rate: Rate | None = None
    max_age: timedelta | None = None
    stale_after: timedelta | None = None
    log_format: LogFormat = "text"
    log_level: str = "WARNING"


@frozen
class WorkerIdentity:
    """Place of one process among several that answer as one server.

    Attributes:
        number: Number of the worker, from 0.
        count: Number of workers.
        folder: Folder that the workers share: their metrics and token buckets.
    """

    number: int
    count: int
    folder: Path


def run_server(
    settings: ServerSettings,
    store: Store,
    listener: socket.socket,
    *,
    worker: WorkerIdentity | None = None,
    on_started: Callable[[], None],
) -> None:
    """Answer requests until SIGINT or SIGTERM, and close the store. Requests in progress are answered first.

    Args:
        settings: Settings of the process.
        store: Tasks, metrics and keys.
        listener: Listening socket.
        worker: Place of this process among several; None for the only one.
        on_started: Called once requests are answered.
    """
    bind = settings.bind
    body_workers = BodyWorkers()
    try:
        with ExitStack() as exits:
            new_limiter = None
            if worker is not None:
                table = BucketTable(worker.folder / BUCKETS_FILE)
                exits.callback(table.close)
                new_limiter = partial(_shared_limiter, table)
            authenticator = KeyAuthenticator(Verifier(store.keys), settings.rate, new_limiter)
            writer = Writer(store)
            span_writer = SpanWriter(store)
            if worker is None:
                request_metrics = RequestMetrics(writer, span_writer)
            else:
                request_metrics = worker_metrics = WorkerMetrics(writer, span_writer, worker.folder, worker.number)
                exits.enter_context(
                    PeriodicTask("publish metrics", worker_metrics.publish, _PUBLISH_INTERVAL, starts_at_once=False)
                )
            run_list = FairListRunner()
            proxies = TrustedProxies(bind.behind_proxy) if bind.behind_proxy else None
            stale_after = settings.stale_after
            stale_microseconds = STALE_AFTER if stale_after is None else stale_after // timedelta(microseconds=1)
            app = create_app(
                store,
                authenticator,
                run_in_threadpool,
                writer=writer,
                run_list=run_list,
                body_timeout=BODY_TIMEOUT,
                read_large=IsolatingBodyReader(body_workers),
                span_writer=span_writer,
                # One at a time, because the spans of a body take much more memory than the body.
                run_spans=LimitedThreadPool(1),
                extra_routes=[
                    *_operations_routes(authenticator, request_metrics),
                    *page_routes(store, authenticator, run_list=run_list, stale_after=stale_microseconds),
                ],
                observer=request_metrics,
                proxies=proxies,
                root_path=bind.root_path,
                stale_after=stale_microseconds,
            )
            limits = _connection_limits(bind, proxies, 1 if worker is None else worker.count)
            server = _Server(_uvicorn_config(app, limits), bind.tls_context(), limits, store, on_started)
            exits.enter_context(_stopped_by_signals(server))
            threading.Thread(target=_warm_up, name="warm up", daemon=True).start()
            exits.enter_context(writer)
            exits.enter_context(span_writer)
            if worker is None or worker.number == 0:
                # Once for a server: if this worker ends, the one that replaces it goes on.
                exits.enter_context(trace_task(store))
                if settings.max_age is not None:
                    exits.enter_context(retention_task(store, settings.max_age))
            server.run(sockets=[listener])
    finally:
        body_workers.close()
        store.interrupt()  # no request waits for its calls any more
        store.close()


def _shared_limiter(table: BucketTable, rate: Rate, subject: str) -> SharedRateLimiter:
    return SharedRateLimiter(rate, table, subject)


class _Server(TlsServer):
    """Server that ends within its limit, whatever the database does."""

    def __init__(
        self,
        config: uvicorn.Config,
        context: ssl.SSLContext | None,
        limits: ConnectionLimits,
        store: Store,
        on_started: Callable[[], None],
    ) -> None:
        super().__init__(config, context, limits)
        self._store = store
        self._on_started = on_started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_started()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await super().shutdown(sockets)
        if self.server_state.tasks:
            # These requests have exceeded the limit. The event loop would wait for their threads without a limit.
            self._store.interrupt()


def _connection_limits(bind: BindSettings, proxies: TrustedProxies | None, process_count: int) -> ConnectionLimits:
    max_connections = reserve_connections()
    if bind.max_connections_per_address is not None:
        # The kernel divides the connections of an address among the processes. So all of them together keep the limit.
        per_address: int | None = max(1, bind.max_connections_per_address // process_count)
    else:
        per_address = None if max_connections is None else max_connections // 2
    return ConnectionLimits(max_connections, per_address, proxies)


def _uvicorn_config(app: Dispatcher, limits: ConnectionLimits) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        http=cast(type[HttpProtocol], partial(HttpProtocol, limits=limits)),  # uvicorn only calls it
        ws="none",
        proxy_headers=False,  # `TrustedProxies` replaces it
        timeout_keep_alive=KEEP_ALIVE_TIMEOUT,
        timeout_graceful_shutdown=SHUTDOWN_TIMEOUT,
    )


def _operations_routes(authenticator: Authenticator, request_metrics: RequestMetrics) -> list[BaseRoute]:
    """Return the routes for liveness and Prometheus metrics, which are not part of the contract."""

    async def get_prometheus_metrics(request: Request) -> Response:
        request_state(request.scope).operation = "metrics"
        # The key is required on every address: behind a proxy, all requests have the proxy's address.
        await require_scope(authenticator, request, ADMIN)
        return Response(request_metrics.exposition(), media_type=MEDIA_TYPE)

    return [
        Route("/healthz", static_response(b'{"status":"ok"}', "application/json")),
        Route("/metrics", handle_errors(get_prometheus_metrics)),
    ]


def _warm_up() -> None:
    """Do slow initialization before the first report needs it."""
    pricing.load_prices()
    # Objects that exist now stay until the end of the process. Freezing them spares the garbage collector from
    # examining them in each full collection, which would pause all requests for about 50 ms.
    gc.collect()
    gc.freeze()


@contextmanager
def _stopped_by_signals(server: uvicorn.Server) -> Iterator[None]:
    """Stop `server` at SIGINT and SIGTERM, also before it runs.

    While uvicorn runs, it handles both signals itself. After it has stopped, it raises them again; the handlers of this
    function then prevent the end of the process, so that the store is closed.
    """

    def stop(number: int, frame: FrameType | None) -> None:
        server.should_exit = True

    previous_handlers = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in previous_handlers.items():
            signal.signal(number, handler)
