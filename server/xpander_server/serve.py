"""The application behind a socket."""

import gc
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from datetime import timedelta
from types import FrameType

import uvicorn
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from xpander_server.api.app import create_app
from xpander_server.api.endpoint import require_scope
from xpander_server.api.responses import handle_errors, static_response
from xpander_server.auth.api_keys import ADMIN, ApiKeys
from xpander_server.auth.authentication import Authenticator, KeyAuthenticator
from xpander_server.auth.rate_limit import Rate
from xpander_server.auth.verifier import Verifier
from xpander_server.clock import now
from xpander_server.domain import pricing
from xpander_server.http.bind import BindSettings
from xpander_server.http.concurrency import run_in_threadpool
from xpander_server.http.dispatcher import request_state
from xpander_server.http.protocol import HttpProtocol
from xpander_server.maintenance.retention import RetentionTask
from xpander_server.observability.logging import LogFormat, configure_logging
from xpander_server.observability.prometheus import MEDIA_TYPE, RequestMetrics
from xpander_server.store import DEFAULT_ORGANIZATION, Store, StoreError, Writer
from xpander_server.web import page_routes

__all__ = ["BindSettings", "LogFormat", "Rate", "StoreError", "configure_logging", "serve"]

BODY_SECONDS = 30.0


def serve(
    store_url: str,
    bind: BindSettings,
    *,
    api_key: str | None,
    organization_id: str | None,
    rate: Rate | None = None,
    max_age: timedelta | None = None,
    on_started: Callable[[str, str | None], None],
) -> None:
    """Serve a store until a signal ends it; requests under way are answered first.

    Args:
        api_key: a key that shall open the organisation. None keeps those of the store; where it has none, one is made,
            unless other machines can reach the server.
        organization_id: the organisation of the key. Default: "local".
        rate: how often each key may be used. None for no limit.
        max_age: how long tasks are kept; their metrics stay. None for ever.
        on_started: called once it listens, with its URL and the key that was made, if one was.

    Raises:
        StoreError: the store cannot be used as it is.
        ValueError: the key belongs to another organisation or has ended; or the server would be open to other machines
            without what protects it.
        OSError: the address cannot be listened at.
    """
    bind.validate()
    store = Store(store_url)
    try:
        has_key = api_key is not None or store.keys.has_active_key(now())
        with bind.listen(has_key=has_key) as listener:
            keys = ApiKeys(store.keys)
            made = None
            if api_key is not None:
                keys.ensure(api_key, organization_id or DEFAULT_ORGANIZATION)
            elif not has_key:
                made = keys.create("first", organization_id or DEFAULT_ORGANIZATION)
            authenticator = KeyAuthenticator(Verifier(store.keys), rate)
            writer = Writer(store)
            watcher = RequestMetrics(writer)
            app = create_app(
                store,
                authenticator,
                run_in_threadpool,
                commit=writer.report,
                body_timeout=BODY_SECONDS,
                extra_routes=[*_operating(authenticator, watcher), *page_routes(store, authenticator)],
                observer=watcher,
            )
            server = uvicorn.Server(
                uvicorn.Config(
                    app,
                    lifespan="off",
                    log_config=None,
                    access_log=False,
                    server_header=False,
                    http=HttpProtocol,
                    ws="none",
                    ssl_certfile=bind.tls_certificate,
                    ssl_keyfile=bind.tls_key,
                    proxy_headers=bool(bind.behind_proxy),
                    forwarded_allow_ips=list(bind.behind_proxy),
                    timeout_keep_alive=75,  # longer than clients keep a connection: they are the ones to close it
                    timeout_graceful_shutdown=10,
                )
            )
            with _stopped_by_signals(server):
                on_started(bind.url(listener), made)
                threading.Thread(target=_warm_up, name="warm up", daemon=True).start()
                with writer, nullcontext() if max_age is None else RetentionTask(store, max_age):
                    server.run(sockets=[listener])
    finally:
        store.close()


def _operating(authenticator: Authenticator, watcher: RequestMetrics) -> list[BaseRoute]:
    """What the contract has not: whether the process lives, and its figures."""

    async def figures(request: Request) -> Response:
        request_state(request.scope).operation = "metrics"
        # Whoever asks, from wherever: behind a proxy, every caller seems to be on this machine.
        await require_scope(authenticator, request, ADMIN)
        return Response(watcher.exposition(), media_type=MEDIA_TYPE)

    return [
        Route("/healthz", static_response(b'{"status":"ok"}', "application/json")),
        Route("/metrics", handle_errors(figures)),
    ]


def _warm_up() -> None:
    """Do before the first report what would hold it up."""
    pricing.load_prices()
    # What is there now stays. Otherwise the garbage collector would look through it again and again, and everybody
    # would wait for 50 ms each time.
    gc.collect()
    gc.freeze()


@contextmanager
def _stopped_by_signals(server: uvicorn.Server) -> Iterator[None]:
    """SIGINT and SIGTERM stop it, also before it runs. While it runs it sees to them itself, and raises them again when
    it has ended, which must not end the process before the store is closed."""

    def stop(number: int, frame: FrameType | None) -> None:
        server.should_exit = True

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
