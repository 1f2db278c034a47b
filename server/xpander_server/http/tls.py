"""Server that counts encrypted connections from their start, and bounds the time of their handshakes.

An event loop's own TLS server creates the protocol of a connection after its handshake. Until then nothing counts the
connection, although it has a file descriptor: a client that never finishes its handshakes could take all of them. So
this server accepts encrypted connections itself:

    accept ──► count; far above a limit: close
               handshake: at most HANDSHAKE_TIMEOUT, and until the server stops
               HTTP protocol, which refuses the connection with 503 if it is above a limit
"""

import asyncio
import logging
import socket
import ssl
from typing import Any

import uvicorn

from xpander_server.http.connection_limits import ConnectionLimits, CountedConnection

HANDSHAKE_TIMEOUT = 20.0
"""Seconds from the start of a connection to the end of its TLS handshake."""
_ACCEPT_RETRY_SECONDS = 1.0
_STOP_SECONDS = 1.0

_log = logging.getLogger(__name__)


class TlsServer(uvicorn.Server):
    """uvicorn's server with TLS.

    Args:
        config: Settings of uvicorn, without those for TLS.
        context: Certificate and key. None for a server without TLS, which is uvicorn's own.
        limits: Counter of all connections.
    """

    handshake_timeout = HANDSHAKE_TIMEOUT

    def __init__(self, config: uvicorn.Config, context: ssl.SSLContext | None, limits: ConnectionLimits) -> None:
        super().__init__(config)
        self._context = context
        self._limits = limits
        self._tls_tasks: set[asyncio.Task[None]] = set()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to accept connections."""
        if self._context is None or sockets is None:
            await super().startup(sockets)
            return
        await super().startup([])
        for listener in sockets:
            listener.setblocking(False)
            self._start(self._accept(listener, self._context))

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept no more connections, end all handshakes, and answer the requests in progress."""
        tasks = set(self._tls_tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=_STOP_SECONDS)
        await super().shutdown(sockets)

    def _start(self, coroutine: Any) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tls_tasks.add(task)
        task.add_done_callback(self._tls_tasks.discard)

    async def _accept(self, listener: socket.socket, context: ssl.SSLContext) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                accepted, address = await loop.sock_accept(listener)
            except ConnectionError:
                continue  # the client has left already
            except OSError as error:  # no free descriptor or memory
                _log.error("cannot accept connections: %s", error)
                await asyncio.sleep(_ACCEPT_RETRY_SECONDS)
                continue
            connection = self._limits.add(address[0] if isinstance(address, tuple) else None)
            if connection.gets_response:
                self._start(self._shake_hands(accepted, context, connection))
            else:
                connection.remove()
                accepted.close()
            await asyncio.sleep(0)  # an accept that succeeds at once does not let other tasks run

    async def _shake_hands(
        self, accepted: socket.socket, context: ssl.SSLContext, connection: CountedConnection
    ) -> None:
        create_protocol: Any = self.config.http_protocol_class
        protocol: asyncio.Protocol = create_protocol(
            config=self.config,
            server_state=self.server_state,
            app_state=self.lifespan.state,
            connection=connection,  # the HTTP protocol counts its end
        )
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: protocol, accepted, ssl=context, ssl_handshake_timeout=self.handshake_timeout
            )
        except BaseException as error:
            # The client does not speak TLS, took too long or left (all are OSError), or the server stops.
            connection.remove()
            accepted.close()
            if not isinstance(error, OSError):
                raise
