"""Server process: the application behind a socket, with authentication, group commit, metrics and web pages."""

import gc
import signal
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from datetime import timedelta
from functools import partial
from types import FrameType
from typing import cast

import uvicorn
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from xpander_server.api.app import create_app
from xpander_server.api.body_reader import IsolatingBodyReader
from xpander_server.api.body_worker import BodyWorkers
from xpander_server.api.endpoint import require_scope
from xpander_server.api.responses import handle_errors, static_response
from xpander_server.auth.api_keys import ADMIN, ApiKeys
from xpander_server.auth.authentication import Authenticator, KeyAuthenticator
from xpander_server.auth.rate_limit import Rate
from xpander_server.auth.verifier import Verifier
from xpander_server.clock import now
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
from xpander_server.maintenance.retention import retention_task
from xpander_server.maintenance.traces import trace_task
from xpander_server.observability.logging import LogFormat, configure_logging
from xpander_server.observability.prometheus import MEDIA_TYPE, RequestMetrics
from xpander_server.store import DEFAULT_ORGANIZATION, SpanWriter, Store, StoreError, Writer
from xpander_server.web import page_routes

__all__ = ["BindSettings", "LogFormat", "Rate", "StoreError", "configure_logging", "serve"]

BODY_TIMEOUT = 30.0
"""Seconds in which the body of a request must arrive."""
KEEP_ALIVE_TIMEOUT = 75
"""Seconds that an idle connection stays open. Longer than common clients keep one, so that the client closes it."""
SHUTDOWN_TIMEOUT = 10
"""Seconds that requests may take to finish after a signal."""


def serve(
    store_url: str,
    bind: BindSettings,
    *,
    api_key: str | None,
    organization_id: str | None,
    rate: Rate | None = None,
    max_age: timedelta | None = None,
    stale_after: timedelta | None = None,
    show_key: Callable[[str], None] | None,
    on_started: Callable[[str, bool], None],
) -> None:
    """Serve a store until SIGINT or SIGTERM. Requests in progress are answered first.

    After a signal, the server ends within about 20 seconds, also if the store does not respond: `SHUTDOWN_TIMEOUT` for
    requests, and a few seconds each for the writers and for maintenance.

    Args:
        store_url: `sqlite:///FILE` or `postgresql://…`.
        bind: Address, TLS files and proxies.
        api_key: Key that must give access to the organization. None uses the keys of the store.
        organization_id: Organization of `api_key` or of the created key. Default: "local".
        rate: Rate limit of each key. None for no limit.
        max_age: Age at which tasks are deleted; their metrics stay. None keeps tasks forever.
        stale_after: Time without a change after which an executing task is stale. Default: one day.
        show_key: Receives the key that is created if the store has none and only this machine can reach the server. If
            it raises, the key is revoked. None creates no key.
        on_started: Called once the socket listens, with the URL and whether the store has a key.

    Raises:
        StoreError: The store cannot be opened.
        ValueError: The key belongs to another organization or has ended, or `bind` is not permitted.
        OSError: The address cannot be bound.
    """
    bind.validate()
    store = Store(store_url)
    body_workers = BodyWorkers()
    try:
        has_key = api_key is not None or store.keys.has_active_key(now())
        with bind.listen(has_key=has_key) as listener:
            if api_key is not None:
                ApiKeys(store.keys).ensure(api_key, organization_id or DEFAULT_ORGANIZATION)
            elif not has_key and show_key is not None:
                _create_first_key(ApiKeys(store.keys), organization_id or DEFAULT_ORGANIZATION, show_key)
                has_key = True
            authenticator = KeyAuthenticator(Verifier(store.keys), rate)
            writer = Writer(store)
            span_writer = SpanWriter(store)
            request_metrics = RequestMetrics(writer, span_writer)
            run_list = FairListRunner()
            proxies = TrustedProxies(bind.behind_proxy) if bind.behind_proxy else None
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
            limits = _connection_limits(bind, proxies)
            server = _Server(_uvicorn_config(app, limits), bind.tls_context(), limits, store)
            with _stopped_by_signals(server):
                on_started(bind.url(listener), has_key)
                threading.Thread(target=_warm_up, name="warm up", daemon=True).start()
                retention = nullcontext() if max_age is None else retention_task(store, max_age)
                with writer, span_writer, trace_task(store), retention:
                    server.run(sockets=[listener])
    finally:
        body_workers.close()
        store.interrupt()  # no request waits for its calls any more
        store.close()


class _Server(TlsServer):
    """Server that ends within its limit, whatever the database does."""

    def __init__(
        self, config: uvicorn.Config, context: ssl.SSLContext | None, limits: ConnectionLimits, store: Store
    ) -> None:
        super().__init__(config, context, limits)
        self._store = store

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await super().shutdown(sockets)
        if self.server_state.tasks:
            # These requests have exceeded the limit. The event loop would wait for their threads without a limit.
            self._store.interrupt()


def _create_first_key(keys: ApiKeys, organization_id: str, show_key: Callable[[str], None]) -> None:
    name = "first"
    key = keys.create(name, organization_id)
    try:
        show_key(key)
    except BaseException:
        keys.revoke(name, organization_id)
        raise


def _connection_limits(bind: BindSettings, proxies: TrustedProxies | None) -> ConnectionLimits:
    max_connections = reserve_connections()
    per_address = bind.max_connections_per_address
    if per_address is None and max_connections is not None:
        per_address = max_connections // 2
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
