"""The application behind a socket."""

import signal
import socket
from collections.abc import Callable
from types import FrameType

import uvicorn

from xpander_server.access import KeyAccess
from xpander_server.app import create_app
from xpander_server.auth import Keys, new_key
from xpander_server.running import in_thread
from xpander_server.store import DEFAULT_ORGANIZATION, Store, StoreError, Writer

__all__ = ["StoreError", "serve"]

BODY_SECONDS = 30.0


def serve(
    store_url: str,
    *,
    host: str,
    port: int,
    api_key: str | None,
    organization_id: str | None,
    started: Callable[[str, str | None], None],
) -> None:
    """Serve a store until a signal ends it; requests under way are answered first.

    Args:
        port: 0 for any that is free.
        api_key: a key that shall open the organisation. None keeps those of the store; where it has none, one is made.
        organization_id: the organisation of the key. Default: "local".
        started: called once it listens, with its URL and the key that was made, if one was.

    Raises:
        StoreError: the store cannot be used as it is.
        ValueError: the key belongs to another organisation.
        OSError: the address cannot be listened at.
    """
    listener = _listen(host, port)
    try:
        store = Store(store_url)
        try:
            keys = Keys(store)
            made = None
            if api_key is None and not store.keys():
                api_key = made = new_key()
            if api_key is not None:
                keys.ensure(api_key, organization_id or DEFAULT_ORGANIZATION)
            writer = Writer(store)
            app = create_app(store, KeyAccess(keys), in_thread, report=writer.report, body_seconds=BODY_SECONDS)
            config = uvicorn.Config(
                app,
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_keep_alive=75,  # longer than clients keep a connection, so that they are the ones to close it
                timeout_graceful_shutdown=10,
            )
            started(_url(listener, host), made)
            # uvicorn stops on these two, and then raises them again, which would end the process before the store is
            # closed.
            before = {number: signal.signal(number, _ignore) for number in (signal.SIGINT, signal.SIGTERM)}
            try:
                with writer:
                    uvicorn.Server(config).run(sockets=[listener])
            finally:
                for number, handler in before.items():
                    signal.signal(number, handler)
        finally:
            store.close()
    finally:
        listener.close()


def _ignore(number: int, frame: FrameType | None) -> None:
    """Not SIG_IGN: that would be handed on to child processes."""


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(2048)
    except OSError:
        listener.close()
        raise
    return listener


def _url(listener: socket.socket, host: str) -> str:
    name = f"[{host}]" if ":" in host else host
    return f"http://{name}:{listener.getsockname()[1]}"
