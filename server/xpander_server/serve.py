"""Server: opens the store and the address, and answers requests in this process or in several workers."""

import socket
import sys
from collections.abc import Callable

from xpander_server.auth.api_keys import ApiKeys
from xpander_server.auth.rate_limit import Rate
from xpander_server.clock import now
from xpander_server.http.bind import BindSettings
from xpander_server.observability.logging import LogFormat, configure_logging
from xpander_server.server_process import ServerSettings, run_server
from xpander_server.store import DEFAULT_ORGANIZATION, Store, StoreError
from xpander_server.supervisor import WorkersFailed, run_workers

__all__ = [
    "BindSettings",
    "LogFormat",
    "Rate",
    "ServerSettings",
    "StoreError",
    "WorkersFailed",
    "configure_logging",
    "serve",
]


def serve(
    settings: ServerSettings,
    *,
    workers: int = 1,
    api_key: str | None,
    organization_id: str | None,
    show_key: Callable[[str], None] | None,
    on_started: Callable[[str, bool], None],
) -> None:
    """Serve a store until SIGINT or SIGTERM. Requests in progress are answered first.

    After a signal, the server ends within about 20 seconds, also if the store does not respond: 10 seconds for
    requests, and a few seconds each for the writers and for maintenance.

    Args:
        settings: Store, address and limits.
        workers: Number of processes that answer requests. With more than one, this process only supervises them.
        api_key: Key that must give access to the organization. None uses the keys of the store.
        organization_id: Organization of `api_key` or of the created key. Default: "local".
        show_key: Receives the key that is created if the store has none and only this machine can reach the server. If
            it raises, the key is revoked. None creates no key.
        on_started: Called once all workers answer requests, with the URL and whether the store has a key.

    Raises:
        StoreError: The store cannot be opened.
        ValueError: The key belongs to another organization or has ended, or `bind` is not permitted.
        OSError: The address cannot be bound.
        WorkersFailed: The workers cannot start.
    """
    if workers > 1 and sys.platform == "win32":
        raise ValueError(f"workers must be 1 on Windows, got {workers}")
    bind = settings.bind
    bind.validate()
    store = Store(settings.store_url)
    listeners: list[socket.socket] = []
    try:
        has_key = api_key is not None or store.keys.has_active_key(now())
        if workers == 1:
            listeners = [bind.listen(has_key=has_key)]
        else:
            listeners = bind.listen_for_workers(workers, has_key=has_key)
        if api_key is not None:
            ApiKeys(store.keys).ensure(api_key, organization_id or DEFAULT_ORGANIZATION)
        elif not has_key and show_key is not None:
            _create_first_key(ApiKeys(store.keys), organization_id or DEFAULT_ORGANIZATION, show_key)
            has_key = True
        url = bind.url(listeners[0])
        if workers == 1:
            run_server(settings, store, listeners[0], on_started=lambda: on_started(url, has_key))
        else:
            store.close()  # the workers open it, and this process does not need it any more
            run_workers(settings, listeners, on_started=lambda: on_started(url, has_key))
    finally:
        store.close()
        for listener in listeners:
            listener.close()


def _create_first_key(keys: ApiKeys, organization_id: str, show_key: Callable[[str], None]) -> None:
    name = "first"
    key = keys.create(name, organization_id)
    try:
        show_key(key)
    except BaseException:
        keys.revoke(name, organization_id)
        raise
