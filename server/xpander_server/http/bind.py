"""Address that the server binds, and the rules that protect it.

A loopback address needs no protection. Any other address requires an API key in the store, and either TLS, a TLS proxy
or the explicit permission to use plain HTTP.
"""

import ipaddress
import re
import socket
import ssl
import sys
from collections.abc import Sequence

from attrs import frozen

_BACKLOG = 2048
DIVIDES_CONNECTIONS = sys.platform == "linux"
"""Whether the system divides connections among the sockets that listen on one address."""
_ROOT_PATH = re.compile(r"(/[A-Za-z0-9._~-]+)*")


@frozen(kw_only=True)
class BindSettings:
    """Address, TLS files and trusted proxies.

    Args:
        host: Host name or address to bind.
        port: Port to bind. 0 selects any free port.
        tls_certificate: PEM file of the certificate, followed by the intermediate certificates.
        tls_key: PEM file of the certificate's private key, without a password.
        behind_proxy: Addresses or networks of TLS proxies whose `X-Forwarded-For` header is trusted; `*` for any.
        allow_plain_http: Permit unencrypted connections from other machines.
        root_path: Path below which a proxy publishes the server: `/reports`. Default: none.
        max_connections_per_address: Open connections of one client address; trusted proxies have no such limit.
            Default: a half of all connections.
    """

    host: str = "127.0.0.1"
    port: int = 8100
    tls_certificate: str | None = None
    tls_key: str | None = None
    behind_proxy: Sequence[str] = ()
    allow_plain_http: bool = False
    root_path: str = ""
    max_connections_per_address: int | None = None

    def validate(self) -> None:
        """Check everything that can be checked without binding the address.

        Raises:
            ValueError: A setting is invalid.
        """
        if bool(self.tls_certificate) != bool(self.tls_key):
            raise ValueError("tls_certificate and tls_key must be given together")
        if self.tls_certificate and self.tls_key:
            _load_certificate(self.tls_certificate, self.tls_key)
        for proxy in self.behind_proxy:
            _check_proxy(proxy)
        if not _ROOT_PATH.fullmatch(self.root_path):
            raise ValueError(
                f"root_path must be a path without a slash at its end, such as /reports, got {self.root_path!r}"
            )

    def listen(self, *, has_key: bool) -> socket.socket:
        """Return a listening socket.

        Args:
            has_key: Whether an operator has created or configured an API key.

        Raises:
            ValueError: Other machines could reach the server, and a required protection is missing.
            OSError: The address cannot be bound.
        """
        listener = self._bind(has_key=has_key)
        listener.listen(_BACKLOG)
        return listener

    def listen_for_workers(self, count: int, *, has_key: bool) -> list[socket.socket]:
        """Return a listening socket for each of several processes, all on one address.

        On Linux, each process has a queue of its own, among which the kernel divides new connections evenly by their
        addresses (SO_REUSEPORT). With one queue for all, the process that wakes up first takes all connections that are
        in it, and keeps them. Elsewhere the kernel does not divide connections, so all processes share one queue.

        Args:
            count: Number of processes.
            has_key: Whether an operator has created or configured an API key.

        Raises:
            ValueError: Other machines could reach the server, and a required protection is missing.
            OSError: The address cannot be bound.
        """
        listeners = [self._bind(has_key=has_key)]
        try:
            if DIVIDES_CONNECTIONS:
                # Only after bind(), which therefore fails if another server listens on the address.
                listeners[0].setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            listeners[0].listen(_BACKLOG)
            while len(listeners) < count:
                listeners.append(listen_beside(listeners[0]))
        except BaseException:
            for listener in listeners:
                listener.close()
            raise
        return listeners

    def _bind(self, *, has_key: bool) -> socket.socket:
        listener = socket.socket(socket.AF_INET6 if ":" in self.host else socket.AF_INET, socket.SOCK_STREAM)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((self.host, self.port))
            # The rule depends on the bound address, because a host name can resolve to any address.
            if not ipaddress.ip_address(listener.getsockname()[0].partition("%")[0]).is_loopback:
                self._check_protection(has_key)
        except BaseException:
            listener.close()
            raise
        return listener

    def tls_context(self) -> ssl.SSLContext | None:
        """Return the TLS context of the server; None for a server without TLS."""
        if self.tls_certificate is None or self.tls_key is None:
            return None
        return _load_certificate(self.tls_certificate, self.tls_key)

    def _check_protection(self, has_key: bool) -> None:
        if not has_key:
            raise ValueError(
                f"other machines can reach the server at {self.host}, and the store has no API key. Create one with "
                "`xpander-report keys create`, or set XPANDER_API_KEY"
            )
        if not (self.tls_certificate or self.behind_proxy or self.allow_plain_http):
            raise ValueError(
                f"other machines can reach the server at {self.host}, and API keys and tasks would be sent "
                "unencrypted. Give --tls-certificate and --tls-key; or name the TLS proxy in front of the server with "
                "--behind-proxy ADDRESS; or, on a trusted network, give --allow-plain-http"
            )

    def url(self, listener: socket.socket) -> str:
        """Return the URL of `listener`."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http{'s' if self.tls_certificate else ''}://{host}:{listener.getsockname()[1]}"


def listen_beside(listener: socket.socket) -> socket.socket:
    """Return another socket that listens on the address of one that `listen_for_workers` has returned.

    Raises:
        OSError: The address cannot be bound.
    """
    if not DIVIDES_CONNECTIONS:
        return listener.dup()
    other = socket.socket(listener.family, socket.SOCK_STREAM)
    try:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(listener.getsockname())
        other.listen(_BACKLOG)
    except BaseException:
        other.close()
        raise
    return other


def _check_proxy(proxy: str) -> None:
    try:
        if proxy != "*":
            ipaddress.ip_network(proxy)
    except ValueError:
        raise ValueError(f"behind_proxy must be an IP address, a network or *, got {proxy!r}") from None


def _load_certificate(certificate: str, key: str) -> ssl.SSLContext:
    try:
        # Without a password argument, OpenSSL would ask for one on the terminal and block the start.
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate, key, password="")
    except OSError as error:  # ssl.SSLError is a subclass
        raise ValueError(f"cannot use the TLS certificate {certificate!r} with the key {key!r}: {error}") from None
    return context
