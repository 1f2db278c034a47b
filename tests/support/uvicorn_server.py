"""Uvicorn in a thread, with a given protocol class, for tests that write to its connections."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn

CreateServer = Callable[[uvicorn.Config], uvicorn.Server]

Connect = Callable[[], socket.socket]
"""Function that returns a new connection to the server."""


@contextmanager
def running_uvicorn(
    app: Any, protocol: type, create_server: CreateServer = uvicorn.Server, **settings: Any
) -> Iterator[Connect]:
    """Run an application until the end of the block.

    Args:
        app: ASGI application.
        protocol: Class that uvicorn creates for each connection.
        create_server: Returns the server.
        **settings: Further arguments of `uvicorn.Config`.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(app, http=protocol, ws="none", lifespan="off", log_config=None, **settings)
        server = create_server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield lambda: socket.create_connection(listener.getsockname(), timeout=20)
        finally:
            server.should_exit = True
            thread.join(20)
