"""Where the server may be reached, and how: strangers and eavesdroppers are kept out unless somebody lets them in."""

import ipaddress
import socket
import ssl
from collections.abc import Sequence

from attrs import frozen


@frozen(kw_only=True)
class BindSettings:
    """Where to listen, and what stands between the server and its callers.

    Args:
        port: 0 for any that is free.
        tls_certificate, tls_key: PEM files; the certificate with those between it and a known authority.
        behind_proxy: addresses or networks of proxies that speak TLS for the server and whose `X-Forwarded-For` is
            believed; `*` for any.
        allow_plain_http: let keys and tasks cross a network unencrypted.
    """

    host: str = "127.0.0.1"
    port: int = 8100
    tls_certificate: str | None = None
    tls_key: str | None = None
    behind_proxy: Sequence[str] = ()
    allow_plain_http: bool = False

    def validate(self) -> None:
        """Raises ValueError where the settings cannot be."""
        if bool(self.tls_certificate) != bool(self.tls_key):
            raise ValueError("a TLS certificate needs its key, and a key its certificate")
        if self.tls_certificate and self.tls_key:
            _check_certificate(self.tls_certificate, self.tls_key)
        for proxy in self.behind_proxy:
            _check_proxy(proxy)

    def listen(self, *, has_key: bool) -> socket.socket:
        """A socket that listens.

        Args:
            has_key: whether there is a key that somebody has chosen to hand out.

        Raises:
            ValueError: it would be open to other machines without what protects it.
            OSError: the address cannot be listened at.
        """
        listener = socket.socket(socket.AF_INET6 if ":" in self.host else socket.AF_INET, socket.SOCK_STREAM)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((self.host, self.port))
            # The address that it has got, and not the name that was written.
            if not ipaddress.ip_address(listener.getsockname()[0].partition("%")[0]).is_loopback:
                self._check_exposed(has_key)
            listener.listen(2048)
        except BaseException:
            listener.close()
            raise
        return listener

    def _check_exposed(self, has_key: bool) -> None:
        where = f"at {self.host} other machines can reach the server"
        if not has_key:
            raise ValueError(
                f"{where}, and the store has no API key yet. Make one first, with `xpander-report keys create`, or set "
                "XPANDER_API_KEY"
            )
        if not (self.tls_certificate or self.behind_proxy or self.allow_plain_http):
            raise ValueError(
                f"{where}, and keys and tasks would cross the network unencrypted. Give --tls-certificate and "
                "--tls-key, or say which proxy speaks TLS for it: --behind-proxy ADDRESS; or, on a network that you "
                "trust, --allow-plain-http"
            )

    def url(self, listener: socket.socket) -> str:
        """Where `listener` is reached."""
        name = f"[{self.host}]" if ":" in self.host else self.host
        return f"http{'s' if self.tls_certificate else ''}://{name}:{listener.getsockname()[1]}"


def _check_proxy(proxy: str) -> None:
    try:
        if proxy != "*":
            ipaddress.ip_network(proxy)
    except ValueError:
        raise ValueError(f"{proxy!r} is no address and no network of a proxy") from None


def _check_certificate(certificate: str, key: str) -> None:
    try:
        # An empty password: a key that needs one must not ask for it at a terminal that nobody looks at.
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(certificate, key, password="")
    except OSError as error:  # ssl.SSLError is one
        raise ValueError(f"cannot use the TLS certificate {certificate!r} with the key {key!r}: {error}") from None
