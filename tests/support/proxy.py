"""TCP proxy that can go silent: a host behind it seems to have vanished without closing its connections."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class Proxy:
    """Proxy on a free loopback port.

    Attributes:
        port: port of the proxy.
        target: port to which new connections are forwarded; it can be changed, like an address that moves.
    """

    def __init__(self, target: int) -> None:
        self.target = target
        self._speaks = threading.Event()
        self._speaks.set()
        self._sockets: list[socket.socket] = []
        self._lost: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def go_silent(self) -> None:
        """Forward nothing from now on, on old and new connections, and close none."""
        self._speaks.clear()

    def speak(self, *, lose_connections: bool = True) -> None:
        """Forward again.

        Args:
            lose_connections: whether the old connections stay silent, as if another machine had the address now.
        """
        if lose_connections:
            # Nothing is sent on them: not even that they are closed.
            self._lost += self._sockets
            self._sockets = []
            self._speaks = threading.Event()
        self._speaks.set()

    def close(self) -> None:
        self._listener.close()
        for connection in [*self._sockets, *self._lost]:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self.target), timeout=5)
            except OSError:
                client.close()
                continue
            server.settimeout(None)
            self._sockets += [client, server]
            for source, sink in ((client, server), (server, client)):
                threading.Thread(target=self._forward, args=(source, sink, self._speaks), daemon=True).start()

    def _forward(self, source: socket.socket, sink: socket.socket, speaks: threading.Event) -> None:
        with suppress(OSError):
            while data := source.recv(65_536):
                speaks.wait()
                sink.sendall(data)
        speaks.wait()
        with suppress(OSError):
            sink.shutdown(socket.SHUT_RDWR)


@contextmanager
def running_proxy(target: int) -> Iterator[Proxy]:
    """Run a proxy until the end of the block."""
    proxy = Proxy(target)
    try:
        yield proxy
    finally:
        proxy.close()
